//! Words: quotes, expansions, here-documents.

use super::Dialect;
use super::ast::{Modifier, Word, WordPart};
use super::cursor::Cursor;
use super::parse::{Heredoc, MAX_DEPTH, Parsed, Parser, parse_at};
use std::cell::OnceCell;
use std::rc::Rc;

impl Parser {
    pub(super) fn heredoc(&mut self, word: &Word, strip: bool) -> Parsed<Rc<OnceCell<Word>>> {
        let mut delimiter = String::new();
        let mut quoted = false;
        for part in word {
            match part {
                WordPart::Text(text) => delimiter.push_str(text),
                WordPart::Literal(text) => {
                    delimiter.push_str(text);
                    quoted = true;
                }
                WordPart::Quoted(inner)
                    if inner.iter().all(|part| matches!(part, WordPart::Text(_))) =>
                {
                    delimiter.extend(inner.iter().map(|part| {
                        if let WordPart::Text(text) = part {
                            text.as_str()
                        } else {
                            ""
                        }
                    }));
                    quoted = true;
                }
                _ => return self.error("a here-document with an expansion in its delimiter"),
            }
        }
        let body = Rc::new(OnceCell::new());
        self.heredocs.push(Heredoc {
            body: body.clone(),
            delimiter,
            strip,
            quoted,
        });
        Ok(body)
    }

    pub(super) fn read_heredocs(&mut self) -> Parsed<()> {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let first = self.cursor.line;
            let mut text = String::new();
            loop {
                if self.cursor.peek().is_none() {
                    return self.error(format!(
                        "here-document without its end `{}`",
                        heredoc.delimiter
                    ));
                }
                let mut line = String::new();
                while let Some(c) = self.cursor.bump().filter(|c| *c != '\n') {
                    line.push(c);
                }
                let line = if heredoc.strip {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if line == heredoc.delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            let word = if heredoc.quoted {
                vec![WordPart::Literal(text)]
            } else {
                self.quoted_text(&text, first)?
            };
            let _ = heredoc.body.set(word);
        }
        Ok(())
    }

    /// Text with expansions but without quotes, as in a here-document.
    pub(super) fn quoted_text(&self, text: &str, line: usize) -> Parsed<Word> {
        let mut inner = Parser {
            cursor: Cursor::new(text, line),
            depth: self.depth + 1,
            heredocs: Vec::new(),
            dialect: self.dialect,
            quoted: true,
        };
        if inner.depth > MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        Ok(vec![WordPart::Quoted(inner.double_quoted(None)?)])
    }

    /// A word; `None` when none begins here.
    pub(super) fn word(&mut self) -> Parsed<Option<Word>> {
        self.word_until(|c| c.is_whitespace() || ";&|<>()".contains(c))
    }

    pub(super) fn word_until(&mut self, ends: impl Fn(char) -> bool) -> Parsed<Option<Word>> {
        let mut parts: Word = Vec::new();
        let quoted = self.quoted;
        while let Some(c) = self.cursor.peek().filter(|c| !ends(*c)) {
            match c {
                '\'' if quoted => {
                    return self.error("a single quote in an expansion within double quotes");
                }
                '~' if parts.is_empty() && !quoted => parts.push(self.tilde(&ends)),
                '\'' => parts.push(WordPart::Literal(self.single_quoted()?)),
                '"' => {
                    self.cursor.bump();
                    parts.push(WordPart::Quoted(self.double_quoted(Some('"'))?));
                    self.quoted = quoted;
                }
                '\\' => {
                    self.cursor.bump();
                    match self.cursor.bump() {
                        Some('\n') => {}
                        Some(c) => parts.push(WordPart::Literal(c.to_string())),
                        None => return Err(self.unexpected()),
                    }
                }
                '$' | '`' => parts.push(self.substitution()?),
                _ => {
                    self.cursor.bump();
                    push_text(&mut parts, c);
                }
            }
        }
        if self.dialect == Dialect::Bash && has_braces(&parts) {
            return self.error("a brace expansion");
        }
        Ok((!parts.is_empty()).then_some(parts))
    }

    /// `~USER`, if nothing of it is quoted.
    fn tilde(&mut self, ends: &impl Fn(char) -> bool) -> WordPart {
        self.cursor.bump();
        let mut user = String::new();
        while let Some(c) = self
            .cursor
            .peek()
            .filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c))
        {
            user.push(c);
            self.cursor.bump();
        }
        if self.cursor.peek().is_none_or(|c| c == '/' || ends(c)) {
            WordPart::Tilde(user)
        } else {
            WordPart::Text(format!("~{user}"))
        }
    }

    pub(super) fn single_quoted(&mut self) -> Parsed<String> {
        self.cursor.bump();
        let mut out = String::new();
        loop {
            match self.cursor.bump() {
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
                None => return self.error("a single quote without its end"),
            }
        }
    }

    /// Text up to `end`, or all of it, with expansions.
    pub(super) fn double_quoted(&mut self, end: Option<char>) -> Parsed<Word> {
        let before = std::mem::replace(&mut self.quoted, true);
        let parts = self.double_quoted_parts(end);
        self.quoted = before;
        parts
    }

    fn double_quoted_parts(&mut self, end: Option<char>) -> Parsed<Word> {
        let mut parts = Vec::new();
        loop {
            match self.cursor.peek() {
                None if end.is_none() => return Ok(parts),
                None => return self.error("a double quote without its end"),
                Some(c) if Some(c) == end => {
                    self.cursor.bump();
                    return Ok(parts);
                }
                Some('\\') => {
                    self.cursor.bump();
                    match self.cursor.bump() {
                        Some('\n') => {}
                        Some(c) if "$`\\".contains(c) || Some(c) == end => push_text(&mut parts, c),
                        Some(c) => {
                            push_text(&mut parts, '\\');
                            push_text(&mut parts, c);
                        }
                        None => push_text(&mut parts, '\\'),
                    }
                }
                Some('$' | '`') => parts.push(self.substitution()?),
                Some(c) => {
                    self.cursor.bump();
                    push_text(&mut parts, c);
                }
            }
        }
    }

    /// The expansion that `$` or a backquote begins.
    pub(super) fn substitution(&mut self) -> Parsed<WordPart> {
        if self.cursor.peek() == Some('`') {
            return self.backquoted();
        }
        self.cursor.bump();
        match self.cursor.peek() {
            Some('(') if self.cursor.ahead(1) == Some('(') => self.nested(Self::arithmetic),
            Some('(') => {
                self.cursor.bump();
                let quoted = std::mem::replace(&mut self.quoted, false);
                let list = self.nested(Self::list)?;
                self.close()?;
                self.quoted = quoted;
                Ok(WordPart::Command(Rc::new(list)))
            }
            Some('{') => {
                self.cursor.bump();
                self.nested(Self::braced)
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                Ok(WordPart::Variable(self.name(), None))
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.cursor.bump();
                Ok(WordPart::Variable(c.to_string(), None))
            }
            Some('\'' | '"') if self.dialect == Dialect::Bash && !self.quoted => {
                self.error("a kind of quotes that sh does not have")
            }
            _ => Ok(WordPart::Literal("$".into())),
        }
    }

    pub(super) fn backquoted(&mut self) -> Parsed<WordPart> {
        let line = self.cursor.line;
        self.cursor.bump();
        let mut text = String::new();
        loop {
            match self.cursor.bump() {
                Some('`') => break,
                Some('\\') if self.cursor.peek().is_some_and(|c| "$`\\".contains(c)) => {
                    text.extend(self.cursor.bump())
                }
                Some(c) => text.push(c),
                None => return self.error("a backquote without its end"),
            }
        }
        let depth = self.depth;
        let dialect = self.dialect;
        self.nested(|_| parse_at(&text, line, depth + 1, dialect))
            .map(|list| WordPart::Command(Rc::new(list)))
    }

    pub(super) fn arithmetic(&mut self) -> Parsed<WordPart> {
        self.cursor.eat("((");
        let mut parts = Vec::new();
        let mut open = 0;
        loop {
            match self.cursor.peek() {
                Some(')') if open == 0 => break,
                Some('$' | '`') => parts.push(self.substitution()?),
                Some(c) => {
                    open += i32::from(c == '(') - i32::from(c == ')');
                    self.cursor.bump();
                    push_text(&mut parts, c);
                }
                None => return Err(self.unexpected()),
            }
        }
        if self.cursor.eat("))") {
            Ok(WordPart::Arithmetic(parts))
        } else {
            Err(self.unexpected())
        }
    }

    pub(super) fn braced(&mut self) -> Parsed<WordPart> {
        let length = self.cursor.peek() == Some('#')
            && self.cursor.ahead(1) != Some('}')
            && self.cursor.eat("#");
        let mut name = self.name();
        if name.is_empty() {
            name = self
                .cursor
                .bump()
                .filter(|c| "@*#?-$!".contains(*c))
                .map(String::from)
                .unwrap_or_default();
        }
        if name.is_empty() {
            return Err(self.unexpected());
        }
        if length {
            return if self.cursor.eat("}") {
                Ok(WordPart::Variable(
                    name,
                    Some((Modifier::Length, Vec::new())),
                ))
            } else {
                Err(self.unexpected())
            };
        }
        if self.cursor.eat("}") {
            return Ok(WordPart::Variable(name, None));
        }
        let colon = self.cursor.eat(":");
        let modifier = match self.cursor.bump() {
            Some('-') => Modifier::Default { colon },
            Some('=') => Modifier::Assign { colon },
            Some('?') => Modifier::Require { colon },
            Some('+') => Modifier::Alternative { colon },
            Some('%') if !colon => Modifier::Suffix {
                longest: self.cursor.eat("%"),
            },
            Some('#') if !colon => Modifier::Prefix {
                longest: self.cursor.eat("#"),
            },
            _ => return self.error("an expansion that sh does not have"),
        };
        let word = self.word_until(|c| c == '}')?.unwrap_or_default();
        if self.cursor.eat("}") {
            Ok(WordPart::Variable(name, Some((modifier, word))))
        } else {
            Err(self.unexpected())
        }
    }
}

/// Whether a word has braces that bash expands: with a comma or two dots in them.
fn has_braces(parts: &Word) -> bool {
    let marks: String = parts
        .iter()
        .map(|part| match part {
            WordPart::Text(text) => text.as_str(),
            _ => "x",
        })
        .collect();
    marks.split_once('{').is_some_and(|(_, rest)| {
        rest.split_once('}')
            .is_some_and(|(inner, _)| inner.contains(',') || inner.contains(".."))
    })
}

fn push_text(parts: &mut Word, c: char) {
    match parts.last_mut() {
        Some(WordPart::Text(text)) => text.push(c),
        _ => parts.push(WordPart::Text(c.to_string())),
    }
}
