//! The words and signs of a shell script. What is open at the end of the text ends there.

/// A word of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// Its text without quotes; `${name}` for variables.
    pub(super) text: String,
    /// Whether any of it is quoted.
    pub(super) quoted: bool,
    /// Scripts of `$(...)`, with their lines.
    pub(super) inner: Vec<(String, u32)>,
    /// Its line, from 1; 0 for a mark that is not in the script.
    pub(super) line: u32,
}

/// A piece of a script.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// A word.
    Word(Word),
    /// `;`, `&`, `&&`, `||`, `|`, `(`, `)`, `;;`, a line end.
    Sign(&'static str),
    /// `>` and the like; the target follows.
    Into,
    /// `<`; the source follows.
    From,
    /// `<<<`; the text follows.
    Text,
    /// The text of a here document.
    Here(String, u32),
}

/// Cuts a text into tokens.
pub(super) struct Cutter {
    text: Vec<char>,
    at: usize,
    line: u32,
    out: Vec<Token>,
    /// Here documents whose text begins on the next line: place in `out`, end, and whether tabs
    /// are dropped.
    open: Vec<(usize, String, bool)>,
}

/// The operators, the longer ones first.
const SIGNS: [&str; 11] = [";;&", ";;", ";&", "&&", "||", "|&", ";", "&", "|", "(", ")"];

impl Cutter {
    /// The tokens of a text whose first line has this number.
    pub(super) fn tokens(text: &str, line: u32) -> Vec<Token> {
        let mut cutter = Self {
            text: text.chars().collect(),
            at: 0,
            line,
            out: Vec::new(),
            open: Vec::new(),
        };
        while cutter.token() {}
        cutter.out
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at.saturating_add(ahead)).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at = self.at.saturating_add(1);
        if c == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(c)
    }

    fn looks_at(&self, sign: &str) -> bool {
        (0..)
            .zip(sign.chars())
            .all(|(at, c)| self.peek(at) == Some(c))
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Reads one token; `false` at the end.
    fn token(&mut self) -> bool {
        let Some(c) = self.peek(0) else { return false };
        match c {
            '\n' => {
                self.next();
                self.out.push(Token::Sign("\n"));
                self.here_documents();
            }
            c if c.is_whitespace() => self.skip(1),
            '\\' if self.peek(1) == Some('\n') => self.skip(2),
            '#' => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.next();
                }
            }
            '<' | '>' => self.redirection(),
            '&' if self.looks_at("&>") => {
                self.skip(1);
                self.redirection();
            }
            _ => match SIGNS.iter().find(|sign| self.looks_at(sign)) {
                Some(sign) => {
                    self.skip(sign.len());
                    self.out.push(Token::Sign(sign));
                }
                None => {
                    let word = self.word();
                    self.out.push(Token::Word(word));
                }
            },
        }
        true
    }

    fn redirection(&mut self) {
        // The number of a descriptor is not a word.
        let is_number = |word: &Word| {
            !word.quoted && !word.text.is_empty() && word.text.chars().all(|c| c.is_ascii_digit())
        };
        let touches = self
            .at
            .checked_sub(1)
            .and_then(|at| self.text.get(at))
            .is_some_and(char::is_ascii_digit);
        if touches && matches!(self.out.last(), Some(Token::Word(word)) if is_number(word)) {
            self.out.pop();
        }
        if self.looks_at("<<<") {
            self.skip(3);
            self.out.push(Token::Text);
        } else if self.looks_at("<<") {
            self.skip(2);
            let strip = self.peek(0) == Some('-');
            self.skip(usize::from(strip));
            while self.peek(0).is_some_and(|c| c == ' ' || c == '\t') {
                self.next();
            }
            let end = self.word().text;
            self.open.push((self.out.len(), end, strip));
            self.out.push(Token::Here(String::new(), self.line));
        } else if self.looks_at("<(") || self.looks_at(">(") {
            self.skip(2);
            let (line, text) = (self.line, self.balanced(')'));
            let inner = vec![(text, line)];
            self.out.push(Token::Word(Word {
                quoted: true,
                inner,
                line,
                ..Word::default()
            }));
        } else {
            let input = self.peek(0) == Some('<');
            self.skip(1);
            while self.peek(0).is_some_and(|c| matches!(c, '>' | '|' | '&')) {
                self.next();
            }
            self.out.push(if input { Token::From } else { Token::Into });
        }
    }

    fn here_documents(&mut self) {
        for (place, end, strip) in std::mem::take(&mut self.open) {
            let (first, mut body) = (self.line, String::new());
            while self.peek(0).is_some() {
                let mut line = String::new();
                while let Some(c) = self.next().filter(|c| *c != '\n') {
                    line.push(c);
                }
                let plain = if strip {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if plain == end {
                    break;
                }
                body.push_str(plain);
                body.push('\n');
            }
            if let Some(token) = self.out.get_mut(place) {
                *token = Token::Here(body, first);
            }
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word {
            line: self.line,
            ..Word::default()
        };
        while let Some(c) = self.peek(0) {
            if c == '(' && word.text.ends_with('=') {
                // The list of an array.
                self.next();
                self.balanced(')');
                continue;
            }
            if c.is_whitespace() || ";&|()<>".contains(c) {
                break;
            }
            self.next();
            match c {
                '\'' => {
                    word.quoted = true;
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        word.text.push(c);
                    }
                }
                '"' => {
                    word.quoted = true;
                    self.quoted(&mut word);
                }
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c) => word.text.push(c),
                },
                '$' | '`' => self.expansion(c, &mut word),
                _ => word.text.push(c),
            }
        }
        word
    }

    fn quoted(&mut self, word: &mut Word) {
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => match self.next() {
                    Some(c) if "$`\"\\".contains(c) => word.text.push(c),
                    Some('\n') | None => {}
                    Some(c) => word.text.extend(['\\', c]),
                },
                '$' | '`' => self.expansion(c, word),
                _ => word.text.push(c),
            }
        }
    }

    /// What follows `$`, or a backquote.
    fn expansion(&mut self, c: char, word: &mut Word) {
        let line = self.line;
        if c == '`' {
            let mut text = String::new();
            while let Some(c) = self.next().filter(|c| *c != '`') {
                text.push(c);
            }
            word.inner.push((text, line));
        } else if self.looks_at("((") {
            self.skip(2);
            self.balanced(')');
            self.next();
            word.text.push_str("${()}");
        } else if self.looks_at("(") {
            self.skip(1);
            let text = self.balanced(')');
            let of_script = text.contains("dirname")
                && ["$0", "{0", "BASH_SOURCE"]
                    .iter()
                    .any(|name| text.contains(name));
            word.text
                .push_str(if of_script { "${0%/*}" } else { "${()}" });
            word.inner.push((text, line));
        } else if self.looks_at("{") {
            self.skip(1);
            let name = self.balanced('}');
            word.text.push_str(&format!("${{{name}}}"));
        } else {
            word.text.push('$');
        }
    }

    /// The text up to the end of a bracket that is open.
    fn balanced(&mut self, end: char) -> String {
        let begin = if end == ')' { '(' } else { '{' };
        let (mut depth, mut quote, mut text) = (0_usize, None, String::new());
        while let Some(c) = self.next() {
            match quote {
                Some(open) if open == c => quote = None,
                Some(_) => {}
                None if c == '\'' || c == '"' => quote = Some(c),
                None if c == begin => depth = depth.saturating_add(1),
                None if c == end && depth == 0 => break,
                None if c == end => depth = depth.saturating_sub(1),
                None => {}
            }
            text.push(c);
            if c == '\\' {
                text.extend(self.next());
            }
        }
        text
    }
}
