//! Why a set was refused, in a few words.

use goldsmith::problem::Problem;
use std::collections::BTreeSet;
use std::fmt;

/// What a refusal is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// A statement of a script; its command.
    Statement(String),
    /// A trigger without a model.
    Trigger,
    /// Anything else, in the words of the message.
    Other(String),
}

/// Below the table of refusals.
pub(super) const ADVICE: &str = "
Where the effects of a script's statements do not matter on the device (a cache that is rebuilt, a file of the running system), accept
them: the `hint:` of the message is the entry of the configuration, `reason` is yours. Where they matter, do what the script does in an
[overlay or a hook](hooks.md), or install the package in the golden image, where its scripts run: everything is kept from there.
`goldsmith plan` shows all problems at once.
";

/// The reasons of a refusal, each once.
pub(super) fn of(problems: &[Problem]) -> BTreeSet<Reason> {
    problems.iter().flat_map(reasons).collect()
}

fn reasons(problem: &Problem) -> Vec<Reason> {
    let message = &problem.message;
    if message.contains("whose effects are unknown") {
        // Those of programs that the script calls are below its own.
        let lines = message.lines().filter(|line| line.starts_with("  line "));
        return lines.map(|line| Reason::Statement(command(line))).collect();
    }
    if message.contains("trigger") {
        return vec![Reason::Trigger];
    }
    // Names and versions differ from set to set.
    let words = message.lines().next().unwrap_or_default();
    let words = words.strip_prefix("package ").map_or(words, |rest| {
        rest.split_once(": ").map_or(rest, |(_, rest)| rest)
    });
    vec![Reason::Other(words.chars().take(80).collect())]
}

/// The command that a line of a message is about: `  line 8: if [ -z "$(id -u x)" ]; then`.
fn command(line: &str) -> String {
    let statement = line
        .split_once(": ")
        .map_or(line, |(_, statement)| statement);
    let inner = ["$(", "`"]
        .iter()
        .find_map(|open| statement.split_once(open));
    let words = |text: &str| -> Option<String> {
        let plain = [
            "if", "while", "then", "else", "!", "[", "(", "{", "elif", "do", "-z", "-n", "-x",
            "test",
        ];
        let word = text.split_whitespace().find(|word| {
            let word = word.trim_start_matches(['(', '!', '"']);
            !plain.contains(&word)
                && !word.is_empty()
                && !word.starts_with(['$', '-'])
                && !assigns(word)
        })?;
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !"/._-".contains(c));
        Some(word.rsplit('/').next().unwrap_or(word).to_owned()).filter(|word| !word.is_empty())
    };
    let starts_with_test =
        statement.contains("[ ") || statement.starts_with("test ") || assigns(statement);
    let inner = inner
        .filter(|_| starts_with_test)
        .and_then(|(_, inner)| words(inner));
    inner
        .or_else(|| words(statement))
        .unwrap_or_else(|| "other".into())
}

/// Whether text begins with an assignment.
fn assigns(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

impl Reason {
    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Statement(_) => "accept the statement, or do what it does in an overlay",
            Self::Trigger => {
                "accept the script that the trigger runs, or install the package in the golden image"
            }
            Self::Other(_) => "see the hint of the message",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(command) => write!(f, "`{command}`"),
            Self::Trigger => f.write_str("a trigger"),
            Self::Other(words) => f.write_str(&words.replace('|', "\\|")),
        }
    }
}

#[test]
fn the_command_of_a_statement() {
    for (line, expected) in [
        (
            "  line 8: if [ -z \"`id -u dnsmasq 2> /dev/null`\" ]; then",
            "id",
        ),
        (
            "  line 14: NAME='x' /lib/runit-helper/runit-helper postinst \"$@\"",
            "runit-helper",
        ),
        (
            "  line 18: fc-cache -s -f -v 1>/var/log/f 2>&1 || (printf x)",
            "fc-cache",
        ),
        ("  line 3: x=$(mktemp)", "mktemp"),
    ] {
        assert_eq!(command(line), expected, "{line}");
    }
}
