//! The configuration under construction, and its text.

use crate::config::{Config, ConfigError};
use std::fmt::Write as _;

/// The tables in the order in which they are written; the first has no name.
const TABLES: [&str; 12] = [
    "",
    "board",
    "storage",
    "storage.ids",
    "boot",
    "root",
    "data",
    "rootfs",
    "client",
    "server",
    "artifact",
    "output",
];

/// Columns of comments.
const WIDTH: usize = 100;

/// A key with its value.
#[derive(Clone, Debug)]
struct Entry {
    /// The full name of the key.
    key: String,
    /// The value, in TOML.
    value: String,
    /// Where it comes from.
    origin: String,
    /// What to know about it; may be empty.
    note: String,
}

impl Entry {
    fn table(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }

    fn name(&self) -> &str {
        self.key
            .rsplit_once('.')
            .map_or(&self.key, |(_, name)| name)
    }
}

/// A paragraph of comments with a title.
#[derive(Clone, Debug)]
struct Remark {
    title: String,
    lines: Vec<String>,
}

impl Remark {
    /// The lines that were in a file.
    fn code(&self) -> impl Iterator<Item = &String> {
        self.lines.iter().filter(|line| line.starts_with("  "))
    }
}

/// The configuration under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    head: Vec<String>,
    entries: Vec<Entry>,
    /// Comments in a table, by its name.
    comments: Vec<(String, String)>,
    remarks: Vec<Remark>,
}

impl Draft {
    /// Adds a line to the comment at the top.
    pub(super) fn head(&mut self, line: impl Into<String>) {
        self.head.push(line.into());
    }

    /// Sets a key to a value in TOML; a later value replaces an earlier one.
    ///
    /// # Errors
    /// Why goldsmith would not accept this value.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: impl Into<String>,
        origin: impl Into<String>,
        note: &str,
    ) -> Result<(), String> {
        let entry = Entry {
            key: key.to_owned(),
            value: value.into(),
            origin: origin.into(),
            note: note.to_owned(),
        };
        accepted(&format!("{} = {}\n", entry.key, entry.value))?;
        self.entries.retain(|other| other.key != entry.key);
        self.entries.push(entry);
        Ok(())
    }

    /// Whether a key is set.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Adds a comment to a table.
    pub(super) fn comment(&mut self, table: &str, text: impl Into<String>) {
        self.comments.push((table.to_owned(), text.into()));
    }

    /// Adds a paragraph of comments at the end; `lines` are kept as they are.
    pub(super) fn remark(&mut self, title: impl Into<String>, lines: Vec<String>) {
        let title = title.into();
        self.remarks.push(Remark { title, lines });
    }

    /// Shortens the longest remarks until the text has at most `limit` bytes: their lines of code,
    /// which begin with blanks, are left out. Returns the titles of these remarks.
    pub(super) fn shorten(&mut self, limit: usize) -> Vec<String> {
        let mut titles = Vec::new();
        let size = |remark: &Remark| remark.code().map(String::len).sum::<usize>();
        while self.text().len() > limit {
            let longest = self.remarks.iter_mut().max_by_key(|remark| size(remark));
            let Some(remark) = longest.filter(|remark| size(remark) > 0) else {
                break;
            };
            let count = remark.code().count();
            remark.lines.retain(|line| !line.starts_with("  "));
            remark.lines.push(format!(
                "({count} lines are left out, since a configuration has at most {limit} bytes: see the file)"
            ));
            titles.push(remark.title.clone());
        }
        titles
    }

    /// The text, in TOML.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for line in &self.head {
            comment(&mut out, line);
        }
        for table in TABLES {
            let entries: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| entry.table() == table)
                .collect();
            let comments: Vec<&String> = self
                .comments
                .iter()
                .filter(|(name, _)| name == table)
                .map(|(_, text)| text)
                .collect();
            if entries.is_empty() && comments.is_empty() {
                continue;
            }
            out.push('\n');
            if !table.is_empty() {
                let _ = writeln!(out, "[{table}]");
            }
            for entry in entries {
                if !entry.note.is_empty() {
                    comment(&mut out, &entry.note);
                }
                let setting = format!("{} = {}", entry.name(), entry.value);
                let _ = writeln!(out, "{setting:<40} # {}", printable(&entry.origin));
            }
            for text in comments {
                comment(&mut out, text);
            }
        }
        for remark in &self.remarks {
            out.push('\n');
            comment(&mut out, &remark.title);
            for line in &remark.lines {
                let _ = writeln!(out, "#   {}", printable(line));
            }
        }
        out
    }
}

/// Whether goldsmith accepts a text as a configuration.
///
/// # Errors
/// The first reason why not, without the place.
pub(super) fn accepted(text: &str) -> Result<(), String> {
    match Config::parse(text) {
        Ok(_) => Ok(()),
        Err(ConfigError(problems)) => {
            let first = problems.0.first().map(|problem| problem.message.clone());
            let message = first.unwrap_or_default();
            let place = message.strip_prefix("configuration:").map(|rest| {
                rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':')
                    .trim_start()
                    .to_owned()
            });
            Err(place.unwrap_or(message))
        }
    }
}

/// Writes a comment, broken at blanks.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in printable(text).split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

/// Text that a comment of TOML may contain: no control characters but tabs.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
        .collect()
}
