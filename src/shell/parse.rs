//! The parser: from the text of a script to its statements.

use std::cell::OnceCell;
use std::rc::Rc;

use super::Dialect;
use super::ast::{
    Command, CommandKind, List, Pipeline, Redirect, RedirectTarget, Statement, Word, WordPart,
};
use super::cursor::Cursor;
use super::error::ScriptError;

/// How deep groups, substitutions and conditions may nest.
pub(super) const MAX_DEPTH: usize = 40;

pub(super) type Parsed<T> = Result<T, ScriptError>;

/// Reads a whole script.
pub(super) fn parse(text: &str, dialect: Dialect) -> Parsed<List> {
    parse_at(text, 1, 0, dialect)
}

pub(super) fn parse_at(text: &str, line: usize, depth: usize, dialect: Dialect) -> Parsed<List> {
    let mut parser = Parser {
        cursor: Cursor::new(text, line),
        depth,
        heredocs: Vec::new(),
        dialect,
        quoted: false,
    };
    let list = parser.list()?;
    if parser.cursor.peek().is_some() {
        return Err(parser.unexpected());
    }
    Ok(list)
}

pub(super) struct Heredoc {
    pub(super) body: Rc<OnceCell<Word>>,
    pub(super) delimiter: String,
    pub(super) strip: bool,
    pub(super) quoted: bool,
}

pub(super) struct Parser {
    pub(super) cursor: Cursor,
    pub(super) depth: usize,
    pub(super) heredocs: Vec<Heredoc>,
    pub(super) dialect: Dialect,
    /// Whether this is within double quotes.
    pub(super) quoted: bool,
}

const RESERVED: [&str; 16] = [
    "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "{",
    "}", "!", "in",
];
const CLOSERS: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Parsed<T> {
        Err(ScriptError {
            line: self.cursor.line,
            reason: reason.into(),
        })
    }

    pub(super) fn unexpected(&self) -> ScriptError {
        let reason = match self.cursor.peek() {
            Some(c) => format!("unexpected `{}`", c.escape_default()),
            None => "unexpected end".to_owned(),
        };
        ScriptError {
            line: self.cursor.line,
            reason,
        }
    }

    /// Skips blanks, continued lines and comments.
    pub(super) fn blanks(&mut self) {
        loop {
            match self.cursor.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.cursor.bump();
                }
                Some('\\') if self.cursor.ahead(1) == Some('\n') => {
                    self.cursor.eat("\\\n");
                }
                Some('#') => {
                    while self.cursor.peek().is_some_and(|c| c != '\n') {
                        self.cursor.bump();
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips blanks and line ends, and reads the bodies of here-documents on the way.
    pub(super) fn newlines(&mut self) -> Parsed<()> {
        loop {
            self.blanks();
            if self.cursor.peek() != Some('\n') {
                return Ok(());
            }
            self.cursor.bump();
            self.read_heredocs()?;
        }
    }

    /// The reserved word at this place, if there is one.
    pub(super) fn reserved(&self) -> Option<&'static str> {
        let delimited = |len: usize| {
            self.cursor
                .ahead(len)
                .is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(c))
        };
        let here = |word: &&&str| {
            word.chars()
                .enumerate()
                .all(|(by, c)| self.cursor.ahead(by) == Some(c))
                && delimited(word.len())
        };
        RESERVED.iter().find(here).copied()
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        self.newlines()?;
        if self.reserved() == Some(word) && self.cursor.eat(word) {
            Ok(())
        } else {
            self.error(format!("`{word}` expected"))
        }
    }

    pub(super) fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// Statements up to something that closes the list.
    pub(super) fn list(&mut self) -> Parsed<List> {
        let mut out = Vec::new();
        loop {
            self.newlines()?;
            let closed = match self.cursor.peek() {
                None | Some(')') => true,
                Some(';') => self.cursor.ahead(1) == Some(';'),
                _ => self.reserved().is_some_and(|word| CLOSERS.contains(&word)),
            };
            if closed {
                return Ok(out);
            }
            let statement = self.statement()?;
            out.push(statement);
            self.blanks();
            match self.cursor.peek() {
                Some(';') if self.cursor.ahead(1) != Some(';') => {
                    self.cursor.bump();
                }
                Some('&') => {
                    self.cursor.bump();
                    if let Some(last) = out.last_mut() {
                        last.background = true;
                    }
                }
                Some('\n' | ')' | ';') | None => {}
                _ if self.reserved().is_some_and(|word| CLOSERS.contains(&word)) => {}
                _ => return Err(self.unexpected()),
            }
        }
    }

    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let and = if self.cursor.eat("&&") {
                true
            } else if self.cursor.eat("||") {
                false
            } else {
                return Ok(Statement {
                    first,
                    rest,
                    background: false,
                });
            };
            self.newlines()?;
            rest.push((and, self.pipeline()?));
        }
    }

    pub(super) fn pipeline(&mut self) -> Parsed<Pipeline> {
        let mut negated = false;
        self.blanks();
        while self.reserved() == Some("!") {
            self.cursor.eat("!");
            self.blanks();
            negated = !negated;
        }
        let mut commands = vec![self.nested(Self::command)?];
        loop {
            self.blanks();
            if self.cursor.peek() != Some('|') || self.cursor.ahead(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            self.cursor.bump();
            self.newlines()?;
            commands.push(self.nested(Self::command)?);
        }
    }

    pub(super) fn command(&mut self) -> Parsed<Command> {
        self.blanks();
        let line = self.cursor.line;
        let kind = match self.reserved() {
            Some("{") => {
                self.cursor.eat("{");
                let list = self.list()?;
                self.expect("}")?;
                CommandKind::Group(list)
            }
            Some("if") => self.if_command()?,
            Some("while") => self.while_command("while")?,
            Some("until") => self.while_command("until")?,
            Some("for") => self.for_command()?,
            Some("case") => self.case_command()?,
            Some(word) if word != "in" => return self.error(format!("unexpected `{word}`")),
            _ if self.cursor.peek() == Some('(') => {
                if self.dialect == Dialect::Bash && self.cursor.ahead(1) == Some('(') {
                    return self.error("an expression that sh does not have");
                }
                self.cursor.bump();
                let list = self.list()?;
                self.close()?;
                CommandKind::Subshell(list)
            }
            _ => return self.simple(line),
        };
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(Command {
            line,
            kind,
            redirects,
        })
    }

    pub(super) fn close(&mut self) -> Parsed<()> {
        self.newlines()?;
        if self.cursor.eat(")") {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub(super) fn if_command(&mut self) -> Parsed<CommandKind> {
        self.cursor.eat("if");
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.expect("then")?;
            branches.push((condition, self.list()?));
            match self.reserved() {
                Some("elif") => self.cursor.eat("elif"),
                Some("else") => {
                    self.cursor.eat("else");
                    let otherwise = self.list()?;
                    self.expect("fi")?;
                    return Ok(CommandKind::If {
                        branches,
                        otherwise,
                    });
                }
                _ => {
                    self.expect("fi")?;
                    return Ok(CommandKind::If {
                        branches,
                        otherwise: Vec::new(),
                    });
                }
            };
        }
    }

    pub(super) fn while_command(&mut self, word: &str) -> Parsed<CommandKind> {
        self.cursor.eat(word);
        let condition = self.list()?;
        let body = self.do_group()?;
        Ok(CommandKind::While {
            until: word == "until",
            condition,
            body,
        })
    }

    pub(super) fn do_group(&mut self) -> Parsed<List> {
        self.expect("do")?;
        let body = self.list()?;
        self.expect("done")?;
        Ok(body)
    }

    pub(super) fn name(&mut self) -> String {
        let mut out = String::new();
        while let Some(c) = self
            .cursor
            .peek()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            out.push(c);
            self.cursor.bump();
        }
        out
    }

    pub(super) fn for_command(&mut self) -> Parsed<CommandKind> {
        self.cursor.eat("for");
        self.blanks();
        let name = self.name();
        if name.is_empty() {
            return Err(self.unexpected());
        }
        self.newlines()?;
        let mut words = None;
        if self.reserved() == Some("in") {
            self.cursor.eat("in");
            let mut list = Vec::new();
            self.blanks();
            while let Some(word) = self.word()? {
                list.push(word);
                self.blanks();
            }
            words = Some(list);
        }
        self.blanks();
        self.cursor.eat(";");
        let body = self.do_group()?;
        Ok(CommandKind::For { name, words, body })
    }

    pub(super) fn case_command(&mut self) -> Parsed<CommandKind> {
        self.cursor.eat("case");
        self.blanks();
        let Some(word) = self.word()? else {
            return Err(self.unexpected());
        };
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines()?;
            if self.reserved() == Some("esac") {
                self.cursor.eat("esac");
                return Ok(CommandKind::Case { word, arms });
            }
            self.cursor.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                let Some(pattern) = self.word()? else {
                    return Err(self.unexpected());
                };
                patterns.push(pattern);
                self.blanks();
                if !self.cursor.eat("|") {
                    break;
                }
            }
            self.close()?;
            arms.push((patterns, self.list()?));
            self.newlines()?;
            if !self.cursor.eat(";;") && self.reserved() != Some("esac") {
                return Err(self.unexpected());
            }
        }
    }

    pub(super) fn simple(&mut self, line: usize) -> Parsed<Command> {
        let (mut assigns, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            } else if let Some(name) = self.assignment().filter(|_| words.is_empty()) {
                self.cursor.eat(&name);
                self.cursor.eat("=");
                let value = self.word()?.unwrap_or_default();
                if tilde_after_colon(&value) {
                    return self.error("a `~` after a colon");
                }
                assigns.push((name, value));
            } else if let Some(word) = self.word()? {
                words.push(word);
            } else {
                break;
            }
            if let [only] = words.as_slice()
                && let [WordPart::Text(name)] = only.as_slice()
                && self.opens_function()
                && assigns.is_empty()
            {
                let name = name.clone();
                return self.function(name, line);
            }
        }
        if assigns.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command {
            line,
            kind: CommandKind::Simple { assigns, words },
            redirects,
        })
    }

    /// Whether `(` follows the first word, perhaps after blanks.
    pub(super) fn opens_function(&mut self) -> bool {
        self.blanks();
        self.cursor.peek() == Some('(')
    }

    pub(super) fn function(&mut self, name: String, line: usize) -> Parsed<Command> {
        self.cursor.bump();
        self.close()?;
        self.newlines()?;
        let body = Rc::new(self.nested(Self::command)?);
        Ok(Command {
            line,
            kind: CommandKind::Function { name, body },
            redirects: Vec::new(),
        })
    }

    /// The name of the variable whose assignment begins here.
    fn assignment(&self) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.cursor.ahead(name.len())? {
                '=' if !name.is_empty() => return Some(name),
                c if c == '_'
                    || c.is_ascii_alphabetic()
                    || (c.is_ascii_digit() && !name.is_empty()) =>
                {
                    name.push(c)
                }
                _ => return None,
            }
        }
    }

    pub(super) fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        self.blanks();
        let mut digits = String::new();
        while let Some(digit) = self.cursor.ahead(digits.len()).filter(char::is_ascii_digit) {
            digits.push(digit);
        }
        if !matches!(self.cursor.ahead(digits.len()), Some('<' | '>')) {
            return Ok(None);
        }
        self.cursor.eat(&digits);
        let signs = ["<<-", "<<", "<&", "<", ">>", ">&", ">|", ">"];
        let Some(sign) = signs.into_iter().find(|sign| self.cursor.eat(sign)) else {
            return Err(self.unexpected());
        };
        let fd = digits.parse().unwrap_or(u32::from(sign.starts_with('>')));
        self.blanks();
        let Some(word) = self.word()? else {
            return Err(self.unexpected());
        };
        let to = match sign {
            "<" => RedirectTarget::Read(word),
            ">" => RedirectTarget::Write(word),
            ">|" => RedirectTarget::Overwrite(word),
            ">>" => RedirectTarget::Append(word),
            "<&" | ">&" => RedirectTarget::Duplicate(word),
            _ => RedirectTarget::Here(self.heredoc(&word, sign == "<<-")?),
        };
        Ok(Some(Redirect { fd, to }))
    }
}

/// Whether an assigned value has a `~` that a shell expands after a colon.
fn tilde_after_colon(value: &Word) -> bool {
    value
        .iter()
        .any(|part| matches!(part, WordPart::Text(text) if text.contains(":~")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_are_made_of() {
        let text = "set -e\n# remark\ncase \"$1\" in\n  configure|x) a=1 b='2' cmd \\\n  more ;;\n  *) ;;\nesac\n\
            if ! [ -d /x ] && true; then :; elif a | b; then c; else { d; }; fi\n\
            f() { local x; return 0; }\nfor i in 1 \"$@\"; do echo $(($i+1)) ${i%%.*} `date`; done >/dev/null 2>&1\n\
            cat <<EOF >x\n$HOME 'q'\nEOF\nwhile read -r l; do :; done < /f\n";
        assert_eq!(parse(text, Dialect::Dash).unwrap().len(), 8 - 1);
    }

    #[test]
    fn what_is_no_script() {
        for (bad, line) in [
            ("\nif true; then", 2),
            ("echo 'x", 1),
            ("a & & b", 1),
            ("a ) b", 1),
            ("cat <<EOF\nx\n", 3),
            ("${a/b/c}", 1),
            ("fi", 1),
            ("case x in a) b", 1),
            ("x=$(", 1),
        ] {
            assert_eq!(
                parse(bad, Dialect::Dash).map(|_| ()).unwrap_err().line,
                line,
                "{bad}"
            );
        }
        for deep in [
            "(".repeat(10_000),
            "$(".repeat(10_000),
            "{ ".repeat(10_000),
            "${a-".repeat(10_000),
            "if ".repeat(10_000),
        ] {
            assert!(parse(&deep, Dialect::Dash).is_err());
        }
    }
}
