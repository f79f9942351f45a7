//! Words of bash as text: where each ends, with its quotes and expansions.

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
    text: Vec<char>,
    /// The number of characters that were read.
    pub(super) at: usize,
    /// The line, counted from 1.
    pub(super) line: usize,
    depth: usize,
}

impl Quotes {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            line: 1,
            depth: 0,
        }
    }

    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, CutError> {
        Err(CutError {
            line: self.line,
            reason: reason.into(),
        })
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at.saturating_add(by)).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// The text from `start` to here.
    pub(super) fn slice(&self, start: usize) -> String {
        self.text
            .get(start..self.at)
            .unwrap_or_default()
            .iter()
            .collect()
    }

    /// Skips a comment, up to the end of its line.
    pub(super) fn skip_comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    /// Whether another word follows on the line, and not the end of a command.
    pub(super) fn more_on_line(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let next = rest.iter().find(|c| !matches!(c, ' ' | '\t' | '\r'));
        next.is_some_and(|c| !";&|)\n#".contains(*c))
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
    }

    /// Characters that need no quotes and have no meaning: the name of a function.
    pub(super) fn bare_word(&mut self) -> String {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|c| c.is_alphanumeric() || "_-.:+/@".contains(c))
        {
            self.next();
        }
        self.slice(start)
    }

    /// `()`, with blanks in it; nothing is read otherwise.
    pub(super) fn eat_empty_parentheses(&mut self) -> bool {
        if self.peek() != Some('(') {
            return false;
        }
        let mut by = 1;
        while matches!(self.ahead(by), Some(' ' | '\t')) {
            by += 1;
        }
        let found = self.ahead(by) == Some(')');
        if found {
            self.at += by + 1;
        }
        found
    }

    /// The rest of the line with its end; `None` at the end of the text.
    pub(super) fn whole_line(&mut self) -> Option<String> {
        self.peek()?;
        let start = self.at;
        while self.next().is_some_and(|c| c != '\n') {}
        Some(self.slice(start))
    }

    /// `NAME=` or `NAME+=`: the name, and whether it appends; nothing is read otherwise.
    pub(super) fn assignment(&mut self) -> Option<(String, bool)> {
        let mut len = 0;
        while self
            .ahead(len)
            .is_some_and(|c| c == '_' || c.is_ascii_alphabetic() || (len > 0 && c.is_ascii_digit()))
        {
            len += 1;
        }
        let appends = self.ahead(len) == Some('+');
        let sign = len + usize::from(appends);
        if len == 0 || self.ahead(sign) != Some('=') {
            return None;
        }
        let name = self.text.get(self.at..self.at + len)?.iter().collect();
        self.at += sign + 1;
        Some((name, appends))
    }

    /// A word, as it is in the text; empty if none begins here.
    pub(super) fn word(&mut self) -> Result<String, CutError> {
        let start = self.at;
        while let Some(c) = self.peek() {
            if " \t\r\n;&|<>()".contains(c) {
                break;
            }
            self.piece(c)?;
        }
        Ok(self.slice(start))
    }

    /// A character, or what it opens up to its end.
    fn piece(&mut self, c: char) -> Result<(), CutError> {
        match c {
            '\\' => {
                self.next();
                self.next();
                Ok(())
            }
            '\'' => self.until('\'', "a single quote"),
            '$' if self.ahead(1) == Some('\'') => {
                self.next();
                self.until_unescaped('\'', "a single quote")
            }
            '`' => self.until_unescaped('`', "a backquote"),
            '"' => self.nested(Self::double_quoted),
            '$' => self.nested(Self::expansion),
            _ => {
                self.next();
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
        let line = self.line;
        self.next();
        loop {
            match self.next() {
                Some(c) if c == end => return Ok(()),
                Some(_) => {}
                None => return self.unclosed(line, what),
            }
        }
    }

    /// Text up to its end, in which a backslash quotes.
    fn until_unescaped(&mut self, end: char, what: &str) -> Result<(), CutError> {
        let line = self.line;
        self.next();
        loop {
            match self.next() {
                Some(c) if c == end => return Ok(()),
                Some('\\') => {
                    self.next();
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
        let line = self.line;
        self.next();
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('\'') => {
                    self.next();
                }
                Some('$') if self.ahead(1) == Some('\'') => {
                    self.next();
                }
                Some(c) => self.piece(c)?,
                None => return self.unclosed(line, "a double quote"),
            }
        }
    }

    /// What begins with `$`.
    fn expansion(&mut self) -> Result<(), CutError> {
        let line = self.line;
        self.next();
        let end = match self.peek() {
            Some('(') => ')',
            Some('{') => '}',
            _ => return Ok(()),
        };
        let begin = self.peek();
        self.next();
        let mut open = 1;
        while let Some(c) = self.peek() {
            if Some(c) == begin {
                open += 1;
                self.next();
            } else if c == end {
                open -= 1;
                self.next();
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
