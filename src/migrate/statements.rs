//! Cuts a bash script into its statements, and writes those with words that only bash has in the
//! words of sh, which `shell` evaluates.
//!
//! Functions are cut out whole and unread: they are kept as text. `NAME+=VALUE`, arrays,
//! `declare` and `function` are what configurations use of bash; everything else of it stays, and
//! is refused where a value depends on it.

use super::quotes::{CutError, Quotes};

/// The command that assigns an array: its name is an argument.
pub(super) const SET_ARRAY: &str = "array:set";
/// The command that appends to an array.
pub(super) const APPEND_ARRAY: &str = "array:append";

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
        /// The variables that it assigns, with arrays.
        assigned: Vec<String>,
        /// Whether it only assigns, so that each of them is assigned for certain.
        only_assigns: bool,
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
        command: true,
        declaring: false,
        naming: false,
        only_assigns: true,
    };
    let mut out = Vec::new();
    while let Some(statement) = cutter.statement()? {
        out.push(statement);
    }
    Ok(out)
}

/// What is open and has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Parenthesis,
    Brace,
    If,
    Case,
    Loop,
}

struct Cutter {
    quotes: Quotes,
    /// The statement in the words of sh so far.
    out: String,
    open: Vec<Open>,
    /// Here-documents whose bodies begin on the next line: their ends, and whether tabs before
    /// them count.
    heredocs: Vec<(String, bool)>,
    assigned: Vec<String>,
    /// Whether the next word is a command.
    command: bool,
    /// Whether the words are those of `declare`.
    declaring: bool,
    /// Whether the next word is the name of a function within another.
    naming: bool,
    only_assigns: bool,
}

impl Cutter {
    fn error<T>(&self, reason: impl Into<String>) -> Result<T, CutError> {
        self.quotes.error(reason)
    }

    /// The next statement; `None` at the end.
    fn statement(&mut self) -> Result<Option<Statement>, CutError> {
        self.between();
        if self.quotes.peek().is_none() {
            return Ok(None);
        }
        let (start, line) = (self.quotes.at, self.quotes.line);
        self.out.clear();
        self.assigned.clear();
        self.command = true;
        self.declaring = false;
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
            only_assigns: self.only_assigns,
        };
        Ok(Some(self.done(start, line, kind)))
    }

    fn done(&self, start: usize, line: usize, kind: StatementKind) -> Statement {
        let original = self.quotes.slice(start).trim_end().to_owned();
        Statement {
            line,
            kind,
            original,
        }
    }

    /// Skips what is between statements.
    fn between(&mut self) {
        loop {
            match self.quotes.peek() {
                Some(' ' | '\t' | '\r' | '\n' | ';') => {
                    self.quotes.next();
                }
                Some('\\') if self.quotes.ahead(1) == Some('\n') => {
                    self.quotes.next();
                    self.quotes.next();
                }
                Some('#') => self.quotes.skip_comment(),
                _ => return,
            }
        }
    }

    /// The name of the function whose definition begins here, after which its body follows; `None`
    /// if there is none, and nothing was read.
    fn function_name(&mut self) -> Option<String> {
        let start = (self.quotes.at, self.quotes.line);
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
        (self.quotes.at, self.quotes.line) = start;
        None
    }

    /// The body of a function.
    fn body(&mut self, name: &str) -> Result<(), CutError> {
        self.between();
        match self.quotes.peek() {
            Some('{' | '(') => {}
            _ => return self.error(format!("the function {name} has no body in braces")),
        }
        // The text is kept as it is; only its end is looked for.
        self.commands()
    }

    /// Commands up to the end of a line or a `;` at which nothing is open.
    fn commands(&mut self) -> Result<(), CutError> {
        let mut continued = false;
        loop {
            let Some(c) = self.quotes.peek() else {
                return self.ended();
            };
            match c {
                '\n' => {
                    self.take();
                    self.read_heredocs()?;
                    if self.open.is_empty() && !continued {
                        return Ok(());
                    }
                    self.command = true;
                    continue;
                }
                ' ' | '\t' | '\r' => {
                    self.take();
                    continue;
                }
                '\\' if self.quotes.ahead(1) == Some('\n') => {
                    self.take();
                    self.take();
                    continue;
                }
                '#' => {
                    self.quotes.skip_comment();
                    continue;
                }
                ';' if self.open.is_empty() => {
                    self.quotes.next();
                    return Ok(());
                }
                _ => {}
            }
            continued = matches!(c, '|') || (c == '&' && self.quotes.ahead(1) == Some('&'));
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
    fn take(&mut self) {
        self.out.extend(self.quotes.next());
    }

    fn operator(&mut self, c: char) -> Result<(), CutError> {
        self.command = true;
        match c {
            '(' => {
                self.open.push(Open::Parenthesis);
                self.take();
            }
            ')' => {
                match self.open.last() {
                    Some(Open::Parenthesis) => {
                        self.open.pop();
                        // The body of a function follows `()`.
                        self.command = self.out.trim_end().ends_with('(');
                    }
                    // The end of a pattern.
                    Some(Open::Case) => {}
                    _ => return self.error("unexpected `)`"),
                }
                self.take();
            }
            '<' if self.quotes.ahead(1) == Some('<') => return self.heredoc(),
            '<' | '>' => {
                self.command = false;
                self.take();
                while self.quotes.peek().is_some_and(|c| "&>|".contains(c)) {
                    self.take();
                }
            }
            _ => {
                self.take();
                while self.quotes.peek() == Some(c) {
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
        if self.quotes.peek() == Some('<') {
            self.take();
            return Ok(());
        }
        let tabs = self.quotes.peek() == Some('-');
        if tabs {
            self.take();
        }
        while matches!(self.quotes.peek(), Some(' ' | '\t')) {
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

    /// A word, with its meaning for what is open.
    fn word(&mut self) -> Result<(), CutError> {
        if self.command && self.assignment()? {
            return Ok(());
        }
        let word = self.quotes.word()?;
        if self.declaring {
            // An option of `declare`, or a name without a value.
            self.command = true;
            return Ok(());
        }
        if self.command {
            self.keyword(&word)?;
            self.naming = word == "function";
        } else if std::mem::take(&mut self.naming) {
            self.command = true;
        } else {
            self.command = word == "in" && self.open.last() == Some(&Open::Case);
            if let Some((name, _)) = word.split_once('=').filter(|_| self.out_declares()) {
                self.assigned.push(name.to_owned());
            }
        }
        if !self.declaring {
            self.out.push_str(&word);
        }
        Ok(())
    }

    /// Whether the words are those of `export` or `readonly`, which sh has.
    fn out_declares(&self) -> bool {
        let first = self.out.split_whitespace().next();
        matches!(first, Some("export" | "readonly"))
    }

    /// A word that is a command or reserved.
    fn keyword(&mut self, word: &str) -> Result<(), CutError> {
        if matches!(word, "declare" | "typeset") {
            self.declaring = true;
            return Ok(());
        }
        self.only_assigns &= matches!(word, "export" | "readonly") && self.out.trim().is_empty();
        let opens = match word {
            "if" => Some(Open::If),
            "case" => Some(Open::Case),
            "for" | "select" | "while" | "until" => Some(Open::Loop),
            "{" => Some(Open::Brace),
            _ => None,
        };
        let closes = match word {
            "fi" => Some(Open::If),
            "esac" => Some(Open::Case),
            "done" => Some(Open::Loop),
            "}" => Some(Open::Brace),
            _ => None,
        };
        if let Some(closed) = closes
            && self.open.pop() != Some(closed)
        {
            return self.error(format!("unexpected `{word}`"));
        }
        self.open.extend(opens);
        self.command = matches!(
            word,
            "if" | "while" | "until" | "{" | "then" | "else" | "elif" | "do" | "!" | "time"
        );
        Ok(())
    }

    /// An assignment, if one begins here: `NAME=VALUE`, `NAME+=VALUE`, `NAME=(...)`.
    fn assignment(&mut self) -> Result<bool, CutError> {
        let Some((name, appends)) = self.quotes.assignment() else {
            return Ok(false);
        };
        let before = self.out.trim_end();
        let array = self.quotes.peek() == Some('(');
        if !self.assigned.is_empty()
            && self.only_assigns
            && array
            && !before.ends_with(';')
            && !before.is_empty()
        {
            self.out.push(';');
        }
        if array {
            self.quotes.next();
            let command = if appends { APPEND_ARRAY } else { SET_ARRAY };
            self.out.push_str(&format!("{command} {name} "));
            self.elements()?;
            if self.quotes.more_on_line() {
                self.out.push(';');
            }
        } else {
            let value = self.quotes.word()?;
            let earlier = if appends {
                format!("\"${{{name}-}}\"")
            } else {
                String::new()
            };
            self.out.push_str(&format!("{name}={earlier}{value}"));
        }
        self.assigned.push(name);
        Ok(true)
    }

    /// The elements of an array, after its parenthesis.
    fn elements(&mut self) -> Result<(), CutError> {
        loop {
            match self.quotes.peek() {
                None => return self.error("the file ends before `)`"),
                Some(')') => {
                    self.quotes.next();
                    return Ok(());
                }
                Some('\n') => {
                    self.quotes.next();
                    self.out.push_str("\\\n");
                }
                Some('\\') if self.quotes.ahead(1) == Some('\n') => {
                    self.take();
                    self.take();
                }
                Some(' ' | '\t' | '\r') => self.take(),
                Some('#') => self.quotes.skip_comment(),
                Some('[') => return self.error("an array with indices"),
                Some(c) if ";&|<>(".contains(c) => return self.error(format!("unexpected `{c}`")),
                Some(_) => {
                    let word = self.quotes.word()?;
                    self.out.push_str(&word);
                }
            }
        }
    }
}
