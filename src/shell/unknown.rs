//! What the host is told of statements without their effect, and where errors are.

use super::error::ScriptError;
use super::eval::Shell;
use super::host::UnknownStatement;
use super::place::{Source, source_line};

impl Shell<'_> {
    /// The text of the command that runs; `None` for the script itself.
    pub(super) fn source_now(&self) -> Option<&Source> {
        self.sources.last()?.source.as_ref()
    }

    /// Passes a statement without its effect to the host, with its place; `read` says whether its
    /// output is read by the script.
    pub(super) fn unknown(&mut self, statement: &str, read: bool) {
        let place = self.source_now().map(|source| {
            let words = source_line(&source.text, self.line);
            match &source.file {
                Some(file) => format!("{file} line {}: {words}", self.line),
                None => words,
            }
        });
        self.unknown_at(statement, place, read);
    }

    /// Passes a statement to the host that has its effect, or lacks it, at a place of its own.
    pub(super) fn unknown_at(&mut self, statement: &str, place: Option<String>, read: bool) {
        // Memory is counted before the host keeps anything; the next command sees the limit.
        self.count_text(statement.len() + place.as_ref().map_or(0, String::len));
        let (line, read) = match self.sources.first() {
            Some(first) => (first.line, first.read),
            None => (self.line, read),
        };
        self.host.unknown(UnknownStatement {
            line,
            words: statement.to_owned(),
            place,
            read,
        });
    }

    /// An error at the command that runs: its line of the script, and its place in another text.
    pub(super) fn error_now(&self, reason: String) -> ScriptError {
        let Some(first) = self.sources.first() else {
            return ScriptError {
                line: self.line,
                reason,
            };
        };
        let reason = match self.source_now().map(|source| source.file.as_ref()) {
            Some(Some(file)) => format!("{file} line {}: {reason}", self.line),
            Some(None) => format!("line {} of its text: {reason}", self.line),
            None => format!("line {}: {reason}", self.line),
        };
        ScriptError {
            line: first.line,
            reason,
        }
    }

    /// Whether the statement that runs is left out as the host wishes, with all texts that it
    /// reads and programs that it calls. Statements of these are not asked for alone.
    pub(super) fn left_out(&mut self, words: &str, read: bool) -> bool {
        let left_out = self.sources.is_empty() && !read && self.host.left_out(self.line);
        if left_out {
            self.unknown(words, false);
        }
        left_out
    }
}
