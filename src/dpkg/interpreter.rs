//! The shell that a script's first line asks for.

use crate::shell::Dialect;
use crate::tree::Tree;

/// The shell of a script by its first line, with its options; `None` for anything else.
/// The kernel refuses a script without that line, and dpkg then gives it to `/bin/sh`.
pub(super) fn interpreter(tree: &Tree, first_line: &str) -> Option<(Dialect, Vec<String>)> {
    let sh = match tree.walk(b"/bin/sh", true) {
        Ok(walk) if walk.path().ends_with(b"/bash") => Dialect::Bash,
        _ => Dialect::Dash,
    };
    let (name, options) = interpreter_words(first_line)?;
    let dialect = match name {
        "sh" => sh,
        "dash" => Dialect::Dash,
        "bash" => Dialect::Bash,
        _ => return None,
    };
    Some((dialect, options))
}

/// The name of the interpreter in the first line of a script, and its options.
fn interpreter_words(first_line: &str) -> Option<(&str, Vec<String>)> {
    let Some(line) = first_line.strip_prefix("#!") else {
        // A program in machine code has no text here.
        let text = !first_line.contains(|c: char| c.is_control() && c != '\t' && c != '\r');
        return text.then(|| ("sh", Vec::new()));
    };
    let mut words = line.split_whitespace();
    let name = words.next()?.rsplit('/').next()?;
    let options = words.map(str::to_owned).collect();
    matches!(name, "sh" | "bash" | "dash").then_some((name, options))
}

#[cfg(test)]
mod tests {
    use super::interpreter_words;

    #[test]
    fn shell_scripts_are_told_by_their_first_line() {
        for (first, name, options) in [
            ("#!/bin/sh", "sh", &[][..]),
            ("#! /bin/sh -e", "sh", &["-e"]),
            ("#!/usr/bin/dash", "dash", &[]),
            ("#!/bin/bash -eu", "bash", &["-eu"]),
            ("", "sh", &[]),
            ("set -e", "sh", &[]),
        ] {
            let read = interpreter_words(first).unwrap();
            assert_eq!(
                (read.0, &read.1[..]),
                (
                    name,
                    &options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>()[..]
                ),
                "{first}"
            );
        }
        for first in [
            "#!",
            "#!/usr/bin/perl -w",
            "#!/usr/bin/env sh",
            "\u{7f}ELF\u{2}\u{1}",
        ] {
            assert!(interpreter_words(first).is_none(), "{first}");
        }
    }
}
