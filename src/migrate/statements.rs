//! Cuts a bash script into its statements, and writes those with words that only bash has in the
//! words of sh, which `shell` evaluates.
//!
//! Functions are cut out whole and unread: they are kept as text. `NAME+=VALUE`, arrays,
//! `declare` and `function` are what configurations use of bash; everything else of it stays, and
//! is refused where a value depends on it. What cannot be said in the words of sh is an error, not
//! something else.

use super::quotes::{CutError, Quotes};

/// A statement at the top of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its first line, counted from 1.
    pub(super) line: usize,
    pub(super) kind: StatementKind,
    /// The text as it is in the file.
    pub(super) original: String,
}

/// The kinds of statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// The definition of a function.
    Function(String),
    /// Anything else.
    Commands {
        /// In the words of sh, with as many lines as before.
        text: String,
        /// The variables that it assigns in so many words, with arrays.
        assigned: Vec<String>,
        /// The variables that it makes constants.
        constants: Vec<String>,
        /// The commands and reserved words in it, without those of substitutions.
        commands: Vec<String>,
    },
}

/// All statements of a script.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, CutError> {
    let mut cutter = Cutter {
        quotes: Quotes::new(text),
        out: String::new(),
        open: Vec::new(),
        heredocs: Vec::new(),
        assigned: Vec::new(),
        constants: Vec::new(),
        names: Vec::new(),
        command: true,
        declaring: None,
        prefix: false,
        target: false,
        unsetting: false,
        naming: false,
        only_assigns: true,
        in_body: false,
    };
    let mut out = Vec::new();
    while let Some(statement) = cutter.statement()? {
        out.push(statement);
    }
    Ok(out)
}

/// What is open and has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Parenthesis,
    Brace,
    If,
    Case,
    Loop,
}

pub(super) struct Cutter {
    pub(super) quotes: Quotes,
    /// The statement in the words of sh so far.
    pub(super) out: String,
    pub(super) open: Vec<Open>,
    /// Here-documents whose bodies begin on the next line: their ends, and whether tabs before
    /// them count.
    pub(super) heredocs: Vec<(String, bool)>,
    pub(super) assigned: Vec<String>,
    pub(super) constants: Vec<String>,
    /// The commands so far.
    pub(super) names: Vec<String>,
    /// Whether the next word is a command.
    pub(super) command: bool,
    /// The declaration whose words follow.
    pub(super) declaring: Option<Declaration>,
    /// Whether an assignment is in front of the next word.
    pub(super) prefix: bool,
    /// Whether the next word is a file that is redirected to.
    pub(super) target: bool,
    /// Whether the words are those of `unset`.
    pub(super) unsetting: bool,
    /// Whether the next word is the name of a function within another.
    pub(super) naming: bool,
    pub(super) only_assigns: bool,
    /// Whether this is the body of a function, of which nothing but its end matters.
    pub(super) in_body: bool,
}

/// `export`, `readonly`, `declare` or `typeset`, while its words are read.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    /// The command.
    pub(super) word: String,
    /// Where it begins in the statement in the words of sh.
    pub(super) start: usize,
    /// Whether its names become constants.
    pub(super) constant: bool,
    /// The number of names so far.
    pub(super) names: usize,
    /// Whether one of them is an array.
    pub(super) array: bool,
}

impl Cutter {
    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, CutError> {
        self.quotes.error(reason)
    }

    /// An error of what is not evaluated; in the body of a function it does not matter.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Result<(), CutError> {
        match self.in_body {
            true => Ok(()),
            false => self.error(reason),
        }
    }

    /// The words of a command have ended, and another one may follow.
    fn begin_command(&mut self) {
        self.command = true;
        self.declaring = None;
        self.prefix = false;
        self.target = false;
        self.unsetting = false;
    }

    /// The next statement; `None` at the end.
    fn statement(&mut self) -> Result<Option<Statement>, CutError> {
        self.between();
        if self.quotes.cursor.peek().is_none() {
            return Ok(None);
        }
        let (start, line) = (self.quotes.cursor.at(), self.quotes.cursor.line);
        self.out.clear();
        self.assigned.clear();
        self.constants.clear();
        self.names.clear();
        self.begin_command();
        self.only_assigns = true;
        let function = self.function_name();
        if let Some(name) = function {
            self.body(&name)?;
            let kind = StatementKind::Function(name);
            return Ok(Some(self.done(start, line, kind)));
        }
        self.commands()?;
        let kind = StatementKind::Commands {
            text: std::mem::take(&mut self.out),
            assigned: std::mem::take(&mut self.assigned),
            constants: std::mem::take(&mut self.constants),
            commands: std::mem::take(&mut self.names),
        };
        Ok(Some(self.done(start, line, kind)))
    }

    fn done(&self, start: usize, line: usize, kind: StatementKind) -> Statement {
        let original = self.quotes.cursor.since(start).trim_end().to_owned();
        Statement {
            line,
            kind,
            original,
        }
    }

    /// Skips what is between statements.
    fn between(&mut self) {
        loop {
            match self.quotes.cursor.peek() {
                Some(' ' | '\t' | '\r' | '\n' | ';') => {
                    self.quotes.cursor.bump();
                }
                Some('\\') if self.quotes.cursor.ahead(1) == Some('\n') => {
                    self.quotes.cursor.bump();
                    self.quotes.cursor.bump();
                }
                Some('#') => self.quotes.skip_comment(),
                _ => return,
            }
        }
    }

    /// The name of the function whose definition begins here, after which its body follows; `None`
    /// if there is none, and nothing was read.
    fn function_name(&mut self) -> Option<String> {
        let start = self.quotes.cursor.place();
        let mut name = self.quotes.bare_word();
        let keyword = name == "function";
        if keyword {
            self.quotes.skip_blanks();
            name = self.quotes.bare_word();
        }
        self.quotes.skip_blanks();
        let parentheses = self.quotes.eat_empty_parentheses();
        if !name.is_empty() && (keyword || parentheses) {
            return Some(name);
        }
        self.quotes.cursor.go_back(start);
        None
    }

    /// The body of a function.
    fn body(&mut self, name: &str) -> Result<(), CutError> {
        self.between();
        match self.quotes.cursor.peek() {
            Some('{' | '(') => {}
            _ => return self.error(format!("the function {name} has no body in braces")),
        }
        // The text is kept as it is; only its end is looked for.
        self.in_body = true;
        let result = self.commands();
        self.in_body = false;
        result
    }

    /// Commands up to the end of a line or a `;` at which nothing is open.
    fn commands(&mut self) -> Result<(), CutError> {
        let mut continued = false;
        loop {
            let Some(c) = self.quotes.cursor.peek() else {
                return self.ended();
            };
            match c {
                '\n' => {
                    self.take();
                    self.read_heredocs()?;
                    if self.open.is_empty() && !continued {
                        return Ok(());
                    }
                    self.begin_command();
                    continue;
                }
                ' ' | '\t' | '\r' => {
                    self.take();
                    continue;
                }
                '\\' if self.quotes.cursor.ahead(1) == Some('\n') => {
                    self.take();
                    self.take();
                    continue;
                }
                '#' => {
                    self.quotes.skip_comment();
                    continue;
                }
                ';' if self.open.is_empty() => {
                    self.quotes.cursor.bump();
                    return Ok(());
                }
                _ => {}
            }
            continued = matches!(c, '|') || (c == '&' && self.quotes.cursor.ahead(1) == Some('&'));
            if ";&|()<>".contains(c) {
                self.only_assigns = false;
                self.operator(c)?;
            } else {
                self.word()?;
            }
        }
    }

    /// The end of the text.
    fn ended(&self) -> Result<(), CutError> {
        let missing = match self.open.last() {
            None => match self.heredocs.last() {
                None => return Ok(()),
                Some((end, _)) => end,
            },
            Some(Open::Parenthesis) => ")",
            Some(Open::Brace) => "}",
            Some(Open::If) => "fi",
            Some(Open::Case) => "esac",
            Some(Open::Loop) => "done",
        };
        self.error(format!("the file ends before `{missing}`"))
    }

    /// Copies a character.
    pub(super) fn take(&mut self) {
        self.out.extend(self.quotes.cursor.bump());
    }

    fn operator(&mut self, c: char) -> Result<(), CutError> {
        if !"<>".contains(c) {
            self.begin_command();
        }
        match c {
            '(' => {
                if self.quotes.cursor.ahead(1) == Some('(') {
                    self.names.push("((".to_owned());
                }
                self.open.push(Open::Parenthesis);
                self.take();
            }
            ')' => {
                match self.open.last() {
                    Some(Open::Parenthesis) => {
                        self.open.pop();
                        // The body of a function follows `()`.
                        self.command = self.out.trim_end().ends_with('(');
                        if self.command {
                            self.refuse("a function that is defined within other commands")?;
                        }
                    }
                    // The end of a pattern.
                    Some(Open::Case) => {}
                    _ => return self.error("unexpected `)`"),
                }
                self.take();
            }
            '<' if self.quotes.cursor.ahead(1) == Some('<') => return self.heredoc(),
            '<' | '>' => {
                self.command = false;
                self.target = true;
                self.take();
                while self.quotes.cursor.peek().is_some_and(|c| "&>|".contains(c)) {
                    self.take();
                }
            }
            _ => {
                self.take();
                while self.quotes.cursor.peek() == Some(c) {
                    self.take();
                }
            }
        }
        Ok(())
    }

    /// `<<` or `<<<`.
    fn heredoc(&mut self) -> Result<(), CutError> {
        self.command = false;
        self.take();
        self.take();
        if self.quotes.cursor.peek() == Some('<') {
            self.target = true;
            self.take();
            return Ok(());
        }
        let tabs = self.quotes.cursor.peek() == Some('-');
        if tabs {
            self.take();
        }
        while matches!(self.quotes.cursor.peek(), Some(' ' | '\t')) {
            self.take();
        }
        let word = self.quotes.word()?;
        self.out.push_str(&word);
        let end: String = word.chars().filter(|c| !"'\"\\".contains(*c)).collect();
        if end.is_empty() {
            return self.error("a here-document without an end");
        }
        self.heredocs.push((end, tabs));
        Ok(())
    }

    fn read_heredocs(&mut self) -> Result<(), CutError> {
        for (end, tabs) in std::mem::take(&mut self.heredocs) {
            loop {
                let Some(line) = self.quotes.whole_line() else {
                    return self.error(format!("the file ends before `{end}`"));
                };
                self.out.push_str(&line);
                let text = line.trim_end_matches('\n');
                let text = if tabs {
                    text.trim_start_matches('\t')
                } else {
                    text
                };
                if text == end {
                    break;
                }
            }
        }
        Ok(())
    }
}
