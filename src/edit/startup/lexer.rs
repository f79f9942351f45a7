//! The tokens of a shell script. Nothing is an error: what is open at the end of the text ends
//! there.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// The text of a word, without quotes.
    pub(super) text: String,
    /// Whether any of it was quoted.
    pub(super) quoted: bool,
    /// The scripts in `$(...)` and backquotes of it, with their lines.
    pub(super) substitutions: Vec<(String, usize)>,
    /// Its line, from 1; 0 for a mark that is not in the script.
    pub(super) line: usize,
}

/// The kind of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A word.
    Word,
    /// `;`, `&`, `|`, `&&`, `||`, `(`, `)`, `;;` or the end of a line.
    Operator(&'static str),
    /// `>`, `>>`, `>&`, `&>`: its word follows.
    Output,
    /// `<`, `<&`, `<<<`: its word follows.
    Input,
    /// The text of a here document.
    Here(String),
}

impl Token {
    /// A word that was not quoted.
    pub(super) fn word(text: &str, line: usize) -> Self {
        Self {
            kind: TokenKind::Word,
            text: text.to_owned(),
            quoted: false,
            substitutions: Vec::new(),
            line,
        }
    }

    fn of(kind: TokenKind, line: usize) -> Self {
        Self {
            kind,
            ..Self::word("", line)
        }
    }
}

/// The tokens of `text`, whose first line has this number.
pub(super) fn tokens(text: &str, first_line: usize) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: first_line,
        tokens: Vec::new(),
        word: None,
        here: Vec::new(),
    };
    lexer.run();
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    word: Option<Token>,
    /// Here documents that begin at the next line: the end, and whether tabs are taken out.
    here: Vec<(String, bool)>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied()?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.peek(n) == c)
    }

    fn current(&mut self) -> &mut Token {
        let line = self.line;
        self.word.get_or_insert_with(|| Token::word("", line))
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take());
    }

    fn run(&mut self) {
        while self.at < self.chars.len() {
            self.step();
        }
        self.end_word();
    }

    fn step(&mut self) {
        match self.peek(0) {
            '\\' => {
                self.at += 1;
                match self.next() {
                    Some('\n') | None => {}
                    Some(c) => {
                        let word = self.current();
                        word.quoted = true;
                        word.text.push(c);
                    }
                }
            }
            '\'' => {
                self.at += 1;
                let text = self.until_quote();
                let word = self.current();
                word.quoted = true;
                word.text.push_str(&text);
            }
            '"' => self.double_quoted(),
            '`' | '$' => self.expansion(),
            '#' if self.word.is_none() => {
                while !matches!(self.peek(0), '\n' | '\0') && self.at < self.chars.len() {
                    self.at += 1;
                }
            }
            c if c == '\n' || ";&|()<>".contains(c) => self.operator(),
            c if c.is_whitespace() => {
                self.end_word();
                self.at += 1;
            }
            c => {
                self.at += 1;
                self.current().text.push(c);
            }
        }
    }

    /// The text up to the next single quote.
    fn until_quote(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.next().filter(|c| *c != '\'') {
            text.push(c);
        }
        text
    }

    fn double_quoted(&mut self) {
        self.current().quoted = true;
        self.at += 1;
        while self.at < self.chars.len() {
            match self.peek(0) {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        self.current().text.push(c);
                    }
                }
                '`' | '$' => self.expansion(),
                _ => {
                    let c = self.next().unwrap_or_default();
                    self.current().text.push(c);
                }
            }
        }
    }

    /// `$name`, `${...}`, `$(...)`, `$((...))`, or backquotes.
    fn expansion(&mut self) {
        let line = self.line;
        if self.peek(0) == '`' {
            self.at += 1;
            let mut text = String::new();
            while let Some(c) = self.next().filter(|c| *c != '`') {
                text.push(c);
            }
            self.current().substitutions.push((text, line));
            return;
        }
        if self.starts_with("$((") {
            self.at += 3;
            self.balanced('(', ')', 2);
        } else if self.starts_with("$(") {
            self.at += 2;
            let text = self.balanced('(', ')', 1);
            self.current().substitutions.push((text, line));
        } else if self.starts_with("${") {
            self.at += 2;
            let text = self.balanced('{', '}', 1);
            self.current().text.push_str(&format!("${{{text}}}"));
        } else {
            self.at += 1;
            self.current().text.push('$');
        }
    }

    /// The text up to the character that closes `depth` open ones; quotes are respected.
    fn balanced(&mut self, open: char, close: char, mut depth: usize) -> String {
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                _ if c == open => depth += 1,
                _ if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                '\'' => {
                    let quoted = self.until_quote();
                    text.push_str(&format!("'{quoted}"));
                    text.push('\'');
                    continue;
                }
                '\\' => {
                    text.push(c);
                    text.extend(self.next());
                    continue;
                }
                _ => {}
            }
            text.push(c);
        }
        text
    }

    fn operator(&mut self) {
        let line = self.line;
        if self.word.is_none() && self.starts_with("((") {
            self.at += 2;
            self.balanced('(', ')', 2);
            self.tokens.push(Token::word("((", line));
            return;
        }
        if self.starts_with("&>") || matches!(self.peek(0), '<' | '>') {
            return self.redirection();
        }
        self.end_word();
        for operator in ["&&", "||", ";;", ";", "&", "|", "(", ")"] {
            if self.starts_with(operator) {
                self.at += operator.len();
                self.tokens
                    .push(Token::of(TokenKind::Operator(operator), line));
                return;
            }
        }
        self.at += 1;
        self.line += 1;
        for (end, tabs) in std::mem::take(&mut self.here) {
            self.here_document(&end, tabs);
        }
        self.tokens.push(Token::of(TokenKind::Operator("\n"), line));
    }

    fn redirection(&mut self) {
        // The number of a descriptor is not a word.
        let number = |word: &Token| word.text.chars().all(|c| c.is_ascii_digit()) && !word.quoted;
        if self.word.as_ref().is_some_and(number) {
            self.word = None;
        }
        self.end_word();
        let line = self.line;
        for (text, kind) in [
            ("<<<", TokenKind::Input),
            ("<<-", TokenKind::Here(String::new())),
            ("<<", TokenKind::Here(String::new())),
            ("&>>", TokenKind::Output),
            ("&>", TokenKind::Output),
            (">>", TokenKind::Output),
            (">&", TokenKind::Output),
            (">|", TokenKind::Output),
            (">", TokenKind::Output),
            ("<&", TokenKind::Input),
            ("<>", TokenKind::Input),
            ("<", TokenKind::Input),
        ] {
            if !self.starts_with(text) {
                continue;
            }
            self.at += text.len();
            if matches!(kind, TokenKind::Here(_)) {
                let end = self.delimiter();
                self.here.push((end, text == "<<-"));
            } else if self.peek(0) == '(' {
                // `<(...)`: a process whose output is read.
                self.at += 1;
                let text = self.balanced('(', ')', 1);
                self.current().substitutions.push((text, line));
            } else {
                self.tokens.push(Token::of(kind, line));
            }
            return;
        }
    }

    /// The word after `<<`.
    fn delimiter(&mut self) -> String {
        while matches!(self.peek(0), ' ' | '\t') {
            self.at += 1;
        }
        let mut end = String::new();
        loop {
            let c = self.peek(0);
            if c == '\0' || c.is_whitespace() || ";&|()<>".contains(c) {
                return end;
            }
            self.at += 1;
            if !"'\"\\".contains(c) {
                end.push(c);
            }
        }
    }

    fn here_document(&mut self, end: &str, tabs: bool) {
        let first = self.line;
        let mut body = String::new();
        while self.at < self.chars.len() {
            let mut line = String::new();
            while let Some(c) = self.next().filter(|c| *c != '\n') {
                line.push(c);
            }
            let text = if tabs {
                line.trim_start_matches('\t')
            } else {
                &line
            };
            if text.trim_end_matches('\r') == end {
                break;
            }
            body.push_str(text);
            body.push('\n');
        }
        self.tokens.push(Token::of(TokenKind::Here(body), first));
    }
}
