//! A text that is read character by character.

/// A text, and the place in it.
#[derive(Clone, Debug)]
pub struct Cursor {
    text: Vec<char>,
    at: usize,
    /// The line of the next character, counted from 1 or from where the text begins.
    pub line: usize,
}

impl Cursor {
    /// Begins to read `text`, whose first line has the number `line`.
    #[must_use]
    pub fn new(text: &str, line: usize) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            line,
        }
    }

    /// The number of characters that were read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// This place, to come back to: the number of characters that were read, and the line.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        (self.at, self.line)
    }

    /// Comes back to an earlier [`place`](Self::place).
    pub fn go_back(&mut self, place: (usize, usize)) {
        (self.at, self.line) = place;
    }

    /// The next character, which is not read; `None` at the end.
    #[must_use]
    pub fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// The character that follows `by` others.
    #[must_use]
    pub fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at.saturating_add(by)).copied()
    }

    /// Reads a character.
    pub fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// Reads `text` if it follows.
    pub fn eat(&mut self, text: &str) -> bool {
        let mut chars = text.chars().enumerate();
        let found = chars.all(|(by, c)| self.ahead(by) == Some(c));
        if found {
            for _ in text.chars() {
                self.bump();
            }
        }
        found
    }

    /// The text that was read from `start` (a number of characters) to here.
    #[must_use]
    pub fn since(&self, start: usize) -> String {
        let read = self.text.get(start..self.at).unwrap_or_default();
        read.iter().collect()
    }

    /// What is not read yet.
    #[must_use]
    pub fn rest(&self) -> &[char] {
        self.text.get(self.at..).unwrap_or_default()
    }
}
