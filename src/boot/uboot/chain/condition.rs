//! Values and conditions of a U-Boot script that a running U-Boot alone decides.

use super::sources::{Site, Sources};

/// The marks around the name of a variable whose value only U-Boot has.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
/// The value of a variable that only U-Boot has.
pub(super) fn unknown(name: &str) -> String {
    format!("{OPEN}{name}{CLOSE}")
}

/// Whether a text depends on a running U-Boot.
pub(super) fn is_unknown(text: &str) -> bool {
    text.contains(OPEN)
}

/// The text for people: `${name}` for what only U-Boot knows.
pub(super) fn readable(text: &str) -> String {
    text.replace(OPEN, "${").replace(CLOSE, "}")
}

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Maybe,
}

impl Truth {
    pub(super) fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }
}

/// The result of `test` with these words, which look for files on `site` first.
pub(super) fn test(sources: &Sources<'_>, site: Site, words: &[String]) -> Truth {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    any(words.split(|word| *word == "-o").map(|words| {
        let all = words.split(|word| *word == "-a");
        any(all.map(|words| primary(sources, site, words).not())).not()
    }))
}

fn primary(sources: &Sources<'_>, site: Site, words: &[&str]) -> Truth {
    let know = |yes: bool, of: &[&str]| {
        if of.iter().any(|text| is_unknown(text)) {
            Truth::Maybe
        } else {
            Truth::of(yes)
        }
    };
    match words {
        ["!", rest @ ..] => primary(sources, site, rest).not(),
        ["-n", text] => know(!text.is_empty(), &[text]),
        ["-z", text] => know(text.is_empty(), &[text]),
        ["-n" | "-z"] => Truth::No,
        ["-e" | "-f" | "-s" | "-d", _, partition, path] => {
            let site = sources.site(partition).unwrap_or(site);
            know(sources.find(site, path).is_some(), &[path])
        }
        [a, "=" | "==", b] => know(a == b, &[a, b]),
        [a, "!=", b] => know(a != b, &[a, b]),
        [a, "<", b] => know(a < b, &[a, b]),
        [a, ">", b] => know(a > b, &[a, b]),
        [a, operator, b] => {
            let numbers = (a.parse::<i64>(), b.parse::<i64>());
            let (Ok(a), Ok(b)) = numbers else {
                return Truth::Maybe;
            };
            match *operator {
                "-eq" => Truth::of(a == b),
                "-ne" => Truth::of(a != b),
                "-lt" => Truth::of(a < b),
                "-le" => Truth::of(a <= b),
                "-gt" => Truth::of(a > b),
                "-ge" => Truth::of(a >= b),
                _ => Truth::Maybe,
            }
        }
        _ => Truth::Maybe,
    }
}

/// True when one of them is true.
fn any(all: impl Iterator<Item = Truth>) -> Truth {
    all.fold(Truth::No, |found, truth| match (found, truth) {
        (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
        (Truth::Maybe, _) | (_, Truth::Maybe) => Truth::Maybe,
        _ => Truth::No,
    })
}
