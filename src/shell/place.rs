//! Places of statements: in the script itself, or in a text that it reads or calls.

use super::ast::Command;
use std::rc::Rc;

/// Lines that a statement may be continued over, for messages.
const MAX_LINES: usize = 50;

/// A text other than the script itself: a file, or a text that the script composed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The file; `None` for a text of `eval` or `trap`.
    pub(super) file: Option<String>,
    pub(super) text: Rc<str>,
}

/// A function, and the text that defined it; `None` for the script itself.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) body: Rc<Command>,
    pub(super) source: Option<Source>,
}

/// A text under way within another one.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// The line of the text outside of it.
    pub(super) line: usize,
    /// The text; `None` for a function of the script itself.
    pub(super) source: Option<Source>,
    /// Whether the output of the statement outside of it is read by the script.
    pub(super) read: bool,
}

/// The source of the statement at a line of a text, counted from 1: without the blanks around it,
/// and with the lines that continue it.
#[must_use]
pub fn source_line(text: &str, line: usize) -> String {
    let mut out = String::new();
    for line in text.lines().skip(line.saturating_sub(1)).take(MAX_LINES) {
        let line = line.trim();
        let continued = line.strip_suffix('\\').filter(|_| {
            let marks = line.chars().rev().take_while(|c| *c == '\\');
            marks.count() % 2 == 1
        });
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(continued.unwrap_or(line).trim_end());
        if continued.is_none() {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::source_line;

    #[test]
    fn statements_have_the_lines_that_continue_them() {
        let text = "a\n  b \\\n    c\\\n d\ne \\\\\nf\n";
        assert_eq!(source_line(text, 1), "a");
        assert_eq!(source_line(text, 2), "b c d");
        assert_eq!(source_line(text, 5), "e \\\\");
        assert_eq!(source_line(text, 9), "");
    }
}
