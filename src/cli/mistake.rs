//! Command lines that are wrong in a way that tells what was meant.

use super::{Cli, annotate, message, not_printed, print};
use crate::problem::Problem;
use crate::verify::Severity;
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The exit code for a wrong command line.
const WRONG_USAGE: u8 = 2;

/// What other programs call our commands.
const COMMANDS: [(&str, &[&str]); 13] = [
    ("convert", &["build", "make", "create", "generate", "image"]),
    ("plan", &["dry-run", "preview", "simulate", "explain"]),
    ("flash", &["write", "burn", "dd", "install"]),
    ("inspect", &["info", "show", "partitions"]),
    ("ls", &["list", "dir", "files"]),
    ("extract", &["cp", "copy", "unpack"]),
    ("diff", &["compare", "cmp", "changes"]),
    ("boot", &["qemu", "emulate", "run", "try"]),
    ("verify", &["validate", "test", "fsck"]),
    ("lock", &["resolve", "update", "upgrade", "add"]),
    ("fetch", &["download", "pull", "get"]),
    ("init", &["new", "setup", "start", "configure"]),
    ("doctor", &["lint", "audit", "examine"]),
];

/// What other programs call our options, and what does the same here.
const OPTIONS: [(&str, &str); 13] = [
    ("--name", "-n NAME (--artifact-name)"),
    ("--release", "-n NAME (--artifact-name)"),
    ("--version-name", "-n NAME (--artifact-name)"),
    ("--disk-image", "the image as the last argument"),
    ("--image", "the image as the last argument"),
    ("--input", "the image as the last argument"),
    ("--output", "-o DIR (--output-dir)"),
    ("--out", "-o DIR (--output-dir)"),
    ("--dry-run", "the command `plan`"),
    ("--size", "-s storage.size=\"8 GiB\""),
    ("--device-type", "-s board.device-type=NAME"),
    ("--key", "-s artifact.key=FILE"),
    ("--board", "-c BOARD; `goldsmith boards` lists them"),
];

/// Reports an error of the command line, or prints the help that was asked for.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                for problem in message::problems(&not_printed(error).into()) {
                    annotate::show(Severity::Error, "", &problem);
                }
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        };
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments.iter().filter_map(|one| one.to_str()).collect();
    let explained = explained(error, &words);
    match &explained {
        Some(problem) => annotate::show(Severity::Error, "", problem),
        None => drop(error.print()),
    }
    if asks_for_object(&arguments) {
        let problem = explained.unwrap_or_else(|| problem(&error.to_string()));
        let _ = print(&message::object(vec![problem], WRONG_USAGE));
    }
    ExitCode::from(WRONG_USAGE)
}

/// Whether a command line that cannot be parsed has `--json`, which its command knows.
fn asks_for_object(arguments: &[OsString]) -> bool {
    let options = arguments.iter().take_while(|one| *one != "--");
    let mut words = options.clone().filter_map(|one| one.to_str());
    let mut command = &Cli::command();
    for word in &mut words {
        command = match command.find_subcommand(word) {
            Some(found) => found,
            None if word.starts_with('-') => continue,
            None => break,
        };
    }
    let known = command.get_arguments().any(|one| one.get_id() == "json");
    known && options.clone().any(|one| one == "--json")
}

/// The message of clap: its first paragraph, and its advice.
fn problem(text: &str) -> Problem {
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let first = paragraphs.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let advice = paragraphs.find_map(|one| one.strip_prefix("tip: "));
    Problem {
        message: words,
        hint: advice.map(str::to_owned),
    }
}

/// The message for an error of the command line whose meaning can be guessed.
fn explained(error: &clap::Error, words: &[&str]) -> Option<Problem> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand)?;
            let line = |meant: &str| {
                Problem::new(format!("`{word}` is not a command of goldsmith"))
                    .hint(format!("did you mean `goldsmith {meant}`?"))
            };
            if words.first() == Some(&"fleet") {
                let is_file = word.ends_with(".toml");
                return is_file.then(|| line(&format!("fleet convert {word}")));
            }
            if word.ends_with(".toml") {
                return Some(line(&format!("plan -c {word} IMAGE")));
            }
            if Path::new(word).is_file() {
                return Some(line(&format!("convert {word}")));
            }
            let mut commands = COMMANDS.iter();
            let (command, _) = commands.find(|(_, names)| names.contains(&word))?;
            Some(line(command))
        }
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg)?;
            if !word.starts_with('-') {
                return surplus(word, words);
            }
            let name = word.split('=').next().unwrap_or(word);
            let (_, ours) = OPTIONS.iter().find(|(theirs, _)| *theirs == name)?;
            Some(Problem::new(format!("there is no option {name}")).hint(format!("write {ours}")))
        }
        ErrorKind::MissingRequiredArgument => {
            let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            let is = |one: &str| *missing == [one];
            let has_config = words.iter().any(|word| is_config_option(word));
            match (is("<IMAGE>") && has_config, is("--config <FILE>")) {
                (true, _) => Some(
                    Problem::new("the golden image is missing")
                        .hint("name it as the last argument, after the configuration"),
                ),
                (_, true) => Some(Problem::new("the configuration is missing").hint(
                    "name it with -c, as in `-c device.toml`; `goldsmith init IMAGE` writes one",
                )),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether an argument names a configuration.
fn is_config_option(word: &str) -> bool {
    word == "-c" || word.starts_with("--config")
}

/// An argument too many: a configuration without `-c`, or a path without a colon.
fn surplus(word: &str, words: &[&str]) -> Option<Problem> {
    let command = words.first().copied().unwrap_or_default();
    // As in `convert device.toml golden.img`, where the image is the surplus.
    let bare = words
        .iter()
        .zip(words.iter().skip(1))
        .find_map(|(before, word)| {
            (word.ends_with(".toml") && !is_config_option(before)).then_some(*word)
        });
    let takes_config = ["convert", "plan", "check", "doctor", "lock", "fetch"].contains(&command);
    if let Some(config) = bare.filter(|_| takes_config) {
        let problem = Problem::new(format!("{config} is named without -c"));
        return Some(problem.hint(format!("write `goldsmith {command} -c {config} ...`")));
    }
    let takes_address = ["ls", "cat", "extract"].contains(&command);
    let image = words.iter().rev().skip_while(|one| **one != word).nth(1)?;
    if takes_address && Path::new(image).is_file() {
        let path = word.trim_start_matches('/');
        let problem = Problem::new(format!("`{word}` is an argument too many"));
        return Some(problem.hint(format!("did you mean {image}:/{path}?")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands;
    use clap::Parser as _;

    #[test]
    fn words_of_others_are_none_of_ours() {
        let ours = commands();
        for (command, names) in COMMANDS {
            assert!(ours.iter().any(|one| one == command), "{command}");
            for name in names {
                assert!(!ours.iter().any(|one| one == name), "{name}");
            }
        }
    }

    #[test]
    fn what_was_meant() {
        let explain = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let error = Cli::try_parse_from(&words).unwrap_err();
            explained(&error, words.get(1..).unwrap_or_default())
        };
        for (line, expected) in [
            ("goldsmith build a.img", "`goldsmith convert`"),
            ("goldsmith LICENSE-MIT", "`goldsmith convert LICENSE-MIT`"),
            ("goldsmith convert --name x a.img", "-n NAME"),
            ("goldsmith convert --output=x a.img", "-o DIR"),
            ("goldsmith plan --size 8 a.img", "-s storage.size"),
            (
                "goldsmith device.toml",
                "`goldsmith plan -c device.toml IMAGE`",
            ),
            (
                "goldsmith fleet fleet.toml",
                "`goldsmith fleet convert fleet.toml`",
            ),
            (
                "goldsmith convert device.toml golden.img",
                "`goldsmith convert -c device.toml ...`",
            ),
            (
                "goldsmith check device.toml",
                "`goldsmith check -c device.toml ...`",
            ),
            (
                "goldsmith cat Cargo.toml etc/fstab",
                "did you mean Cargo.toml:/etc/fstab?",
            ),
            ("goldsmith check", "`-c device.toml`"),
            ("goldsmith lock a.img", "`-c device.toml`"),
            ("goldsmith plan -c a.toml", "as the last argument"),
        ] {
            let text = explain(line).map(|one| one.to_string()).unwrap_or_default();
            assert!(text.contains(expected), "{line}: {text}");
        }
        for line in [
            "goldsmith conver a.img",
            "goldsmith plan --nonsense a.img",
            "goldsmith plan a.img b.img",
            "goldsmith plan",
        ] {
            assert_eq!(explain(line), None, "{line}");
        }
    }
}
