//! Statements of scripts whose effects are unknown, as the user reads and accepts them.

use crate::shell::{UnknownStatement, source_line};
use crate::tree::show;
use std::collections::BTreeMap;
use std::fmt;

/// Entries of the configuration that a hint shows.
const MAX_ENTRIES: usize = 20;
/// Statements that a message shows of other texts, for each statement of the script.
const MAX_WITHIN: usize = 40;

/// A statement of a script that is unknown, or that reads or calls others that are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The line of the script, counted from 1.
    pub(super) line: usize,
    /// Its source, by which it is accepted.
    pub(super) text: String,
    /// What is unknown in the texts that it reads and the programs that it calls, with places.
    within: Vec<String>,
    /// Why the effect cannot be had here.
    why: Option<&'static str>,
    /// Whether the script reads what it prints.
    pub(super) read: bool,
}

/// The statement at a line of a script, as messages show it.
pub(super) fn shown(text: &str, line: usize) -> String {
    show(source_line(text, line).as_bytes())
}

/// Statements of a script by their lines; `impossible` says of some, by their words, why they are
/// refused.
pub(super) fn gather(
    text: &str,
    unknown: &[UnknownStatement],
    impossible: &BTreeMap<String, &'static str>,
) -> Vec<Unknown> {
    let mut lines: BTreeMap<usize, Unknown> = BTreeMap::new();
    for statement in unknown {
        let entry = lines.entry(statement.line).or_insert_with(|| Unknown {
            line: statement.line,
            text: shown(text, statement.line),
            within: Vec::new(),
            why: None,
            read: false,
        });
        entry.read |= statement.read;
        let why = impossible.get(&statement.words).copied();
        if let Some(place) = &statement.place {
            let place = show(place.as_bytes());
            if !entry.within.contains(&place) {
                entry.within.push(place);
            }
        }
        entry.why = entry.why.or(why);
    }
    lines.into_values().collect()
}

/// The way to install the package without some statements: an entry for each.
pub(super) fn hint(package: &str, script: &str, refused: &[Unknown]) -> String {
    let (read, alone): (Vec<_>, Vec<_>) = refused.iter().partition(|statement| statement.read);
    let mut out = String::new();
    if !alone.is_empty() {
        out.push_str(
            "to install the package without the effects of a statement, accept that it is left out, \
             each by an entry of its own:",
        );
        for statement in alone.iter().take(MAX_ENTRIES) {
            let text = quoted(&statement.text);
            out.push_str(&format!(
                "\n[[client.accept]]\npackage = \"{package}\"\nscript = \"{script}\"\n\
                 statement = {text}\nreason = \"...\""
            ));
        }
        if alone.len() > MAX_ENTRIES {
            let more = alone.len() - MAX_ENTRIES;
            out.push_str(&format!("\nand {more} more entries like these"));
        }
    }
    if !read.is_empty() {
        let lines: Vec<String> = read.iter().map(|s| s.line.to_string()).collect();
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!(
            "the script goes on with what line {} prints, so that this cannot be left out alone: \
             install the package in the golden image, or accept the script as a whole by an entry \
             without `statement`",
            lines.join(", ")
        ));
    }
    out
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  line {}: {}", self.line, self.text)?;
        if let Some(why) = self.why {
            write!(f, " ({why})")?;
        }
        for place in self.within.iter().take(MAX_WITHIN) {
            write!(f, "\n    in {place}")?;
        }
        if self.within.len() > MAX_WITHIN {
            write!(f, "\n    and {} more", self.within.len() - MAX_WITHIN)?;
        }
        Ok(())
    }
}
