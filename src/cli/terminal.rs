//! Text for people at a terminal: colours, and lines that break between words.

use console::{Term, style};
use std::borrow::Cow;
use std::io::IsTerminal as _;

/// The level of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing was made.
    Error,
    /// Advice that belongs to the message before it.
    Hint,
    /// The results are usable, but the user should know.
    Warning,
    /// Information.
    Note,
}

impl Level {
    /// All levels.
    const ALL: [Self; 4] = [Self::Error, Self::Hint, Self::Warning, Self::Note];

    /// The word before the message.
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error:",
            Self::Hint => "hint:",
            Self::Warning => "warning:",
            Self::Note => "note:",
        }
    }

    /// The word in its colour, if colours are wanted on standard error.
    fn painted(self) -> String {
        let word = style(self.word()).for_stderr().bold();
        let word = match self {
            Self::Error => word.red(),
            Self::Hint => word.cyan(),
            Self::Warning => word.yellow(),
            Self::Note => word.green(),
        };
        word.to_string()
    }
}

/// The text without characters that a terminal would take for commands: names and contents of
/// images may hold any.
pub(super) fn without_controls(text: &str) -> Cow<'_, str> {
    let is_command = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_command(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether standard error is a terminal that can move its cursor.
pub(super) fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// A message with lines that break between words on a terminal, all but the first indented by
/// `indent` columns.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    if !is_terminal() {
        return text.to_owned();
    }
    let (_, columns) = Term::stderr().size();
    broken(text, usize::from(columns), indent)
}

/// The text of an error or a hint: only the first line breaks between words, since lines after it
/// are those of a configuration.
pub(super) fn wrapped_first(text: &str, indent: usize) -> String {
    match text.split_once('\n') {
        Some((first, rest)) => format!("{}\n{rest}", wrapped(first, indent)),
        None => wrapped(text, indent),
    }
}

/// Lists and tables for standard output: on a terminal, lines that are too long break between
/// words, and go on where their last column begins.
pub(super) fn listed(text: &str) -> Cow<'_, str> {
    if !std::io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    let (_, columns) = Term::stdout().size();
    Cow::Owned(broken_list(text, usize::from(columns)))
}

fn broken_list(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        match console::measure_text_width(bare) > columns {
            true => out.push_str(&broken(bare, columns, hanging_indent(bare))),
            false => out.push_str(bare),
        }
        if line.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// Where the text of a line begins that has a name in front of it, with at least two blanks
/// between; otherwise four columns after the beginning of the line.
fn hanging_indent(line: &str) -> usize {
    const NAMES_END: usize = 24;
    let start = line.len() - line.trim_start().len();
    let gap = line.get(start..).and_then(|rest| rest.find("  "));
    let text = gap.and_then(|gap| {
        let at = start + gap;
        let rest = line.get(at..)?;
        Some(at + rest.len() - rest.trim_start().len())
    });
    text.filter(|at| *at <= NAMES_END).unwrap_or(start + 4)
}

/// The text of errors with the words at the beginnings of its lines coloured, if standard error is
/// a terminal.
pub(super) fn painted(text: &str) -> String {
    if !is_terminal() {
        return text.to_owned();
    }
    let line = |line: &str| {
        let mut levels = Level::ALL.iter();
        let found = levels.find_map(|level| Some((level, line.strip_prefix(level.word())?)));
        found.map_or_else(|| line.to_owned(), |(level, rest)| level.painted() + rest)
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The words of a line; what is between backticks, such as a command, is one of them.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut is_code) = (0, false);
    let closed = line.matches('`').count().is_multiple_of(2);
    for (at, c) in line.char_indices() {
        match c {
            '`' => is_code = !is_code && closed,
            ' ' if !is_code => {
                words.push(line.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(line.get(start..).unwrap_or_default());
    words
}

/// Breaks a text between words into lines of at most `columns` columns, all but the first indented
/// by `indent`; words that are longer stay whole.
fn broken(text: &str, columns: usize, indent: usize) -> String {
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        let mut column = 0;
        if number > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        }
        for (at, word) in words(line).into_iter().enumerate() {
            let width = console::measure_text_width(word);
            if at > 0 && column + 1 + width > columns {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else if at > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert!(matches!(without_controls("a\tb\n"), Cow::Borrowed(_)));
        assert_eq!(
            without_controls("a\x1b[2Jb\r\u{9b}c"),
            "a\\u{1b}[2Jb\\r\\u{9b}c"
        );
    }

    #[test]
    fn lists_go_on_where_their_text_begins() {
        let text = "Kernel    one two three\n  a reason: four five six\nshort\n";
        assert_eq!(
            broken_list(text, 18),
            "Kernel    one two\n          three\n  a reason: four\n      five six\nshort\n"
        );
        assert_eq!(hanging_indent("error[code]: text"), 4);
        assert_eq!(hanging_indent("    remedy: text"), 8);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(
            broken("note: one two three", 14, 6),
            "note: one two\n      three"
        );
        assert_eq!(broken("one two", 7, 6), "one two");
        assert_eq!(
            broken("a-very-long-word x", 10, 4),
            "a-very-long-word\n    x"
        );
        assert_eq!(broken("one\n  two", 80, 2), "one\n    two");
        assert_eq!(broken("", 80, 2), "");
        assert_eq!(broken("run `a b c d` now", 9, 2), "run\n  `a b c d`\n  now");
        assert_eq!(broken("a ` b c", 3, 0), "a `\nb c");
        assert_eq!(broken("größer ünd", 9, 2), "größer\n  ünd");
    }
}
