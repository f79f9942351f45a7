//! Words of bash as text: where each ends, with its quotes and expansions.

use crate::shell::Cursor;

/// How deep quotes and substitutions may nest.
const MAX_DEPTH: usize = 40;

/// Why a script cannot be cut: the line and the reason, a lower-case fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutError {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// A text that is read character by character.
pub(super) struct Quotes {
    pub(super) cursor: Cursor,
    depth: usize,
}

impl Quotes {
    pub(super) fn new(text: &str) -> Self {
        Self {
            cursor: Cursor::new(text, 1),
            depth: 0,
        }
    }

    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, CutError> {
        Err(CutError {
            line: self.cursor.line,
            reason: reason.into(),
        })
    }

    /// Skips a comment, up to the end of its line.
    pub(super) fn skip_comment(&mut self) {
        while self.cursor.peek().is_some_and(|c| c != '\n') {
            self.cursor.bump();
        }
    }

    /// Whether another word follows on the line, and not the end of a command.
    pub(super) fn more_on_line(&self) -> bool {
        let next = self
            .cursor
            .rest()
            .iter()
            .find(|c| !matches!(c, ' ' | '\t' | '\r'));
        next.is_some_and(|c| !";&|)\n#".contains(*c))
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.cursor.peek(), Some(' ' | '\t')) {
            self.cursor.bump();
        }
    }

    /// Characters that need no quotes and have no meaning: the name of a function.
    pub(super) fn bare_word(&mut self) -> String {
        let start = self.cursor.at();
        while self
            .cursor
            .peek()
            .is_some_and(|c| c.is_alphanumeric() || "_-.:+/@".contains(c))
        {
            self.cursor.bump();
        }
        self.cursor.since(start)
    }

    /// `()`, with blanks in it; nothing is read otherwise.
    pub(super) fn eat_empty_parentheses(&mut self) -> bool {
        if self.cursor.peek() != Some('(') {
            return false;
        }
        let mut by = 1;
        while matches!(self.cursor.ahead(by), Some(' ' | '\t')) {
            by += 1;
        }
        let found = self.cursor.ahead(by) == Some(')');
        if found {
            self.skip(by + 1);
        }
        found
    }

    /// The rest of the line with its end; `None` at the end of the text.
    pub(super) fn whole_line(&mut self) -> Option<String> {
        self.cursor.peek()?;
        let start = self.cursor.at();
        while self.cursor.bump().is_some_and(|c| c != '\n') {}
        Some(self.cursor.since(start))
    }

    /// `NAME=` or `NAME+=`: the name, and whether it appends; nothing is read otherwise.
    pub(super) fn assignment(&mut self) -> Option<(String, bool)> {
        let mut len = 0;
        while self
            .cursor
            .ahead(len)
            .is_some_and(|c| c == '_' || c.is_ascii_alphabetic() || (len > 0 && c.is_ascii_digit()))
        {
            len += 1;
        }
        let appends = self.cursor.ahead(len) == Some('+');
        let sign = len + usize::from(appends);
        if len == 0 || self.cursor.ahead(sign) != Some('=') {
            return None;
        }
        let name = self.cursor.rest().get(..len)?.iter().collect();
        self.skip(sign + 1);
        Some((name, appends))
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.cursor.bump();
        }
    }

    /// A word, as it is in the text; empty if none begins here.
    pub(super) fn word(&mut self) -> Result<String, CutError> {
        let start = self.cursor.at();
        while let Some(c) = self.cursor.peek() {
            if " \t\r\n;&|<>()".contains(c) {
                break;
            }
            self.piece(c)?;
        }
        Ok(self.cursor.since(start))
    }

    /// A character, or what it opens up to its end.
    fn piece(&mut self, c: char) -> Result<(), CutError> {
        match c {
            '\\' => {
                self.cursor.bump();
                self.cursor.bump();
                Ok(())
            }
            '\'' => self.until('\'', "a single quote"),
            '$' if self.cursor.ahead(1) == Some('\'') => {
                self.cursor.bump();
                self.until_unescaped('\'', "a single quote")
            }
            '`' => self.until_unescaped('`', "a backquote"),
            '"' => self.nested(Self::double_quoted),
            '$' => self.nested(Self::expansion),
            _ => {
                self.cursor.bump();
                Ok(())
            }
        }
    }

    fn nested(&mut self, f: fn(&mut Self) -> Result<(), CutError>) -> Result<(), CutError> {
        if self.depth >= MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        result
    }

    /// Text without expansions up to its end.
    fn until(&mut self, end: char, what: &str) -> Result<(), CutError> {
        let line = self.cursor.line;
        self.cursor.bump();
        loop {
            match self.cursor.bump() {
                Some(c) if c == end => return Ok(()),
                Some(_) => {}
                None => return self.unclosed(line, what),
            }
        }
    }

    /// Text up to its end, in which a backslash quotes.
    fn until_unescaped(&mut self, end: char, what: &str) -> Result<(), CutError> {
        let line = self.cursor.line;
        self.cursor.bump();
        loop {
            match self.cursor.bump() {
                Some(c) if c == end => return Ok(()),
                Some('\\') => {
                    self.cursor.bump();
                }
                Some(_) => {}
                None => return self.unclosed(line, what),
            }
        }
    }

    fn unclosed(&self, line: usize, what: &str) -> Result<(), CutError> {
        Err(CutError {
            line,
            reason: format!("{what} without its end"),
        })
    }

    fn double_quoted(&mut self) -> Result<(), CutError> {
        let line = self.cursor.line;
        self.cursor.bump();
        loop {
            match self.cursor.peek() {
                Some('"') => {
                    self.cursor.bump();
                    return Ok(());
                }
                Some('\'') => {
                    self.cursor.bump();
                }
                Some('$') if self.cursor.ahead(1) == Some('\'') => {
                    self.cursor.bump();
                }
                Some(c) => self.piece(c)?,
                None => return self.unclosed(line, "a double quote"),
            }
        }
    }

    /// What begins with `$`.
    fn expansion(&mut self) -> Result<(), CutError> {
        let line = self.cursor.line;
        self.cursor.bump();
        let end = match self.cursor.peek() {
            Some('(') => ')',
            Some('{') => '}',
            _ => return Ok(()),
        };
        let begin = self.cursor.peek();
        self.cursor.bump();
        let mut open = 1;
        while let Some(c) = self.cursor.peek() {
            if Some(c) == begin {
                open += 1;
                self.cursor.bump();
            } else if c == end {
                open -= 1;
                self.cursor.bump();
                if open == 0 {
                    return Ok(());
                }
            } else {
                self.piece(c)?;
            }
        }
        self.unclosed(line, if end == ')' { "`$(`" } else { "`${`" })
    }
}
