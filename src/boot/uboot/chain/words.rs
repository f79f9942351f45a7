//! The words of a U-Boot script: separators, quotes and variables.
//!
//! U-Boot's `hush` has the quoting of the POSIX shell, without command substitution, arithmetic and
//! redirections.

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text as it is.
    Text(String),
    /// The value of a variable, which is split at blanks outside quotes.
    Variable { name: String, quoted: bool },
}

/// A word or a separator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, with its line.
    Word(Vec<Piece>, usize),
    /// A line end, `;` or `&`.
    End,
    /// `&&`
    And,
    /// `||`
    Or,
}

impl Token {
    /// The text of an unquoted word without variables: a reserved word may be one.
    pub(super) fn plain(&self) -> Option<&str> {
        match self {
            Self::Word(pieces, _) => match pieces.as_slice() {
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The tokens of a script. Quotes that are not closed end with the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader {
        chars: text.chars().peekable(),
        line: 1,
        out: Vec::new(),
        word: None,
    };
    while let Some(c) = reader.next() {
        reader.unquoted(c);
    }
    reader.end_word();
    reader.out
}

struct Reader<'t> {
    chars: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    out: Vec<Token>,
    word: Option<Vec<Piece>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(c)
    }

    fn end_word(&mut self) {
        let line = self.line;
        self.out
            .extend(self.word.take().map(|pieces| Token::Word(pieces, line)));
    }

    fn separator(&mut self, token: Token) {
        self.end_word();
        self.out.push(token);
    }

    fn push(&mut self, c: char) {
        let word = self.word.get_or_insert_default();
        match word.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => word.push(Piece::Text(c.to_string())),
        }
    }

    fn unquoted(&mut self, c: char) {
        match c {
            '\n' | ';' => self.separator(Token::End),
            '&' | '|' if self.chars.peek() == Some(&c) => {
                self.next();
                self.separator(if c == '&' { Token::And } else { Token::Or });
            }
            '&' => self.separator(Token::End),
            c if c.is_whitespace() => self.end_word(),
            '#' if self.word.is_none() => while self.chars.next_if(|c| *c != '\n').is_some() {},
            '\\' => match self.next() {
                Some('\n') | None => {}
                Some(c) => self.push(c),
            },
            '\'' => {
                self.word.get_or_insert_default();
                while let Some(c) = self.next().filter(|c| *c != '\'') {
                    self.push(c);
                }
            }
            '"' => self.double_quoted(),
            '$' => self.variable(false),
            c => self.push(c),
        }
    }

    fn double_quoted(&mut self) {
        self.word.get_or_insert_default();
        while let Some(c) = self.next().filter(|c| *c != '"') {
            match c {
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c) => self.push(c),
                },
                '$' => self.variable(true),
                c => self.push(c),
            }
        }
    }

    /// After `$`: `{name}`, `name` or `?`.
    fn variable(&mut self, quoted: bool) {
        let mut name = String::new();
        if self.chars.next_if_eq(&'{').is_some() {
            while let Some(c) = self.next().filter(|c| *c != '}') {
                name.push(c);
            }
        } else if self.chars.next_if_eq(&'?').is_some() {
            name.push('?');
        } else {
            let in_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            while let Some(c) = self.chars.next_if(in_name) {
                name.push(c);
            }
        }
        if name.is_empty() {
            return self.push('$');
        }
        let word = self.word.get_or_insert_default();
        word.push(Piece::Variable { name, quoted });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_variables_and_separators_are_those_of_hush() {
        let text = |text: &str| Piece::Text(text.into());
        let variable = |name: &str, quoted| Piece::Variable {
            name: name.into(),
            quoted,
        };
        let found = tokens("a \"b ${c}d\" # x\ne='f $g'\\\n;h$i&&j||'' \\\"");
        let expected = vec![
            Token::Word(vec![text("a")], 1),
            Token::Word(vec![text("b "), variable("c", true), text("d")], 1),
            Token::End,
            Token::Word(vec![text("e=f $g")], 3),
            Token::End,
            Token::Word(vec![text("h"), variable("i", false)], 3),
            Token::And,
            Token::Word(vec![text("j")], 3),
            Token::Or,
            Token::Word(vec![], 3),
            Token::Word(vec![text("\"")], 3),
        ];
        assert_eq!(found, expected);
        assert_eq!(tokens("if").first().and_then(Token::plain), Some("if"));
    }
}
