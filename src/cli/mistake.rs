//! Command lines that are wrong in a way that tells what was meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::path::Path;

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

/// The message for an error of the command line whose meaning can be guessed.
pub(super) fn explained(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand)?;
            let line = |meant: &str| {
                format!(
                    "error: `{word}` is not a command of goldsmith\nhint: did you mean `goldsmith {meant}`?\n"
                )
            };
            if Path::new(word).is_file() {
                return Some(line(&format!("convert {word}")));
            }
            let mut commands = COMMANDS.iter();
            let (command, _) = commands.find(|(_, names)| names.contains(&word))?;
            Some(line(command))
        }
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg)?;
            let name = word.split('=').next().unwrap_or(word);
            let (_, ours) = OPTIONS.iter().find(|(theirs, _)| *theirs == name)?;
            Some(format!(
                "error: there is no option {name}\nhint: write {ours}\n"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, commands};
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
            let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
            explained(&error)
        };
        for (line, expected) in [
            ("goldsmith build a.img", "`goldsmith convert`"),
            ("goldsmith Cargo.toml", "`goldsmith convert Cargo.toml`"),
            ("goldsmith convert --name x a.img", "-n NAME"),
            ("goldsmith convert --output=x a.img", "-o DIR"),
            ("goldsmith plan --size 8 a.img", "-s storage.size"),
        ] {
            let text = explain(line).unwrap_or_default();
            assert!(text.contains(expected), "{line}: {text}");
        }
        for line in ["goldsmith conver a.img", "goldsmith plan --nonsense a.img"] {
            assert_eq!(explain(line), None, "{line}");
        }
    }
}
