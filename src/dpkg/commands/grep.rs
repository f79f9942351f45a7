//! `grep(1)` with the patterns that [`Regex`] knows.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use super::regex::Regex;
use crate::shell::Io;

const LONG: [&str; 12] = [
    "--quiet",
    "--silent",
    "--fixed-strings",
    "--extended-regexp",
    "--line-regexp",
    "--no-messages",
    "--ignore-case",
    "--invert-match",
    "--count",
    "--word-regexp",
    "--only-matching",
    "--no-filename",
];

/// The options of a call.
struct Options<'a>(Vec<&'a str>);

impl Options<'_> {
    fn set(&self, letter: char, name: &str) -> bool {
        has(&self.0, letter) || self.0.contains(&name)
    }

    fn quiet(&self) -> bool {
        self.set('q', "--quiet") || self.0.contains(&"--silent")
    }

    /// The compiled patterns; `None` if one is not understood.
    fn compile(&self, patterns: &[&str]) -> Option<Vec<Regex>> {
        let extended = self.set('E', "--extended-regexp");
        let words = self.set('w', "--word-regexp");
        let mut out = Vec::new();
        for pattern in patterns.iter().flat_map(|pattern| pattern.split('\n')) {
            let regex = if self.set('F', "--fixed-strings") {
                Regex::literal(pattern)
            } else {
                Regex::read(pattern, extended)?
            };
            if words && !regex.is_literal() {
                return None;
            }
            out.push(regex.ignoring_case(self.set('i', "--ignore-case")));
        }
        Some(out)
    }
}

pub(super) fn grep(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (mut patterns, mut plain) = (Vec::new(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.strip_prefix("--regexp=") {
            Some(pattern) => patterns.push(pattern),
            None if *arg == "-e" || *arg == "--regexp" => match rest.next() {
                Some(pattern) => patterns.push(pattern),
                None => return Ok(Some(2)),
            },
            None => plain.push(*arg),
        }
    }
    plain.retain(|arg| !matches!(*arg, "--color" | "--color=auto" | "--color=never" | "-a"));
    let (letters, mut files) = options(&plain);
    // A joined letter that takes a value, and matches without their lines, are not supported.
    let supported = known(&letters, "qsFxEvicwhG", &LONG);
    let options = Options(letters);
    if !supported || options.0.contains(&"--only-matching") {
        return Ok(None);
    }
    if patterns.is_empty() {
        if files.is_empty() {
            return Ok(Some(2));
        }
        patterns.push(files.remove(0));
    }
    let Some(needles) = options.compile(&patterns) else {
        return Ok(None);
    };
    if files.is_empty() {
        files.push("-");
    }
    search(host, &options, &needles, &files, io)
}

fn search(
    host: &ScriptHost<'_, '_>,
    options: &Options<'_>,
    needles: &[Regex],
    files: &[&str],
    io: &mut Io,
) -> CommandResult {
    let (whole, words) = (
        options.set('x', "--line-regexp"),
        options.set('w', "--word-regexp"),
    );
    let (quiet, counts) = (options.quiet(), options.set('c', "--count"));
    let named = files.len() > 1 && !options.set('h', "--no-filename");
    let mut status = 1;
    let mut failed = false;
    for file in files {
        let text = if *file == "-" {
            Some(io.rest())
        } else {
            host.text(file)?
        };
        let Some(text) = text else {
            failed = true;
            continue;
        };
        let prefix = if named {
            format!("{file}:")
        } else {
            String::new()
        };
        let hits = |line: &&str| needles.iter().any(|needle| needle.hits(line, whole, words));
        let inverted = options.set('v', "--invert-match");
        let found: Vec<&str> = text.lines().filter(|line| hits(line) != inverted).collect();
        if !found.is_empty() {
            status = 0;
        }
        if quiet {
            continue;
        }
        if counts {
            io.print_line(&format!("{prefix}{}", found.len()));
            continue;
        }
        for line in found {
            io.print_line(&format!("{prefix}{line}"));
        }
    }
    let failed = failed && !(quiet && status == 0);
    Ok(Some(if failed { 2 } else { status }))
}
