//! From the text of a script to its statements.

use std::cell::OnceCell;
use std::rc::Rc;

/// How deep groups, substitutions and conditions may nest.
const MAX_DEPTH: usize = 64;

/// A statement list.
pub(in super::super) type List = Vec<Statement>;
/// A word before expansion.
pub(in super::super) type Word = Vec<Part>;

/// A piece of a word.
#[derive(Clone, Debug)]
pub(in super::super) enum Part {
    /// Text as it stands.
    Text(String),
    /// Text in single quotes or behind a backslash.
    Literal(String),
    /// What stands in double quotes.
    Quoted(Word),
    /// `$name` or `${name...}`.
    Variable(String, Option<(Modifier, Word)>),
    /// `$(...)` or backquotes.
    Command(Rc<List>),
    /// `$((...))`.
    Arithmetic(Word),
}

/// What `${name...}` does to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Modifier {
    /// `${#name}`
    Length,
    /// `-`; with a colon an empty value counts as unset.
    Default { colon: bool },
    /// `=`
    Assign { colon: bool },
    /// `?`
    Require { colon: bool },
    /// `+`
    Alternative { colon: bool },
    /// `%`, `%%`
    Suffix { longest: bool },
    /// `#`, `##`
    Prefix { longest: bool },
}

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, Debug)]
pub(in super::super) struct Statement {
    pub(in super::super) first: Pipeline,
    /// `true` for `&&`.
    pub(in super::super) rest: Vec<(bool, Pipeline)>,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(in super::super) struct Pipeline {
    pub(in super::super) negated: bool,
    pub(in super::super) commands: Vec<Command>,
}

/// A command, its redirections and its line in the script (from 1).
#[derive(Clone, Debug)]
pub(in super::super) struct Command {
    pub(in super::super) line: usize,
    pub(in super::super) kind: Kind,
    pub(in super::super) redirects: Vec<Redirect>,
}

/// The kinds of command.
#[derive(Clone, Debug)]
pub(in super::super) enum Kind {
    Simple { assigns: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: List },
    For { name: String, words: Option<Vec<Word>>, body: List },
    While { until: bool, condition: List, body: List },
    Case { word: Word, arms: Vec<(Vec<Word>, List)> },
    Function { name: String, body: Rc<Command> },
}

/// A redirection.
#[derive(Clone, Debug)]
pub(in super::super) struct Redirect {
    pub(in super::super) fd: u32,
    pub(in super::super) to: Target,
}

/// Where a redirection leads.
#[derive(Clone, Debug)]
pub(in super::super) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    Duplicate(Word),
    Here(Rc<OnceCell<Word>>),
}

/// Why a script could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(in super::super) struct ParseError {
    pub(in super::super) line: usize,
    pub(in super::super) what: String,
}

type Parsed<T> = Result<T, ParseError>;

/// Reads a whole script.
pub(in super::super) fn parse(text: &str) -> Parsed<List> {
    parse_at(text, 1, 0)
}

fn parse_at(text: &str, line: usize, depth: usize) -> Parsed<List> {
    let mut parser = Parser { text: text.chars().collect(), at: 0, line, depth, heredocs: Vec::new() };
    let list = parser.list()?;
    if parser.at < parser.text.len() {
        return Err(parser.unexpected());
    }
    Ok(list)
}

struct Heredoc {
    body: Rc<OnceCell<Word>>,
    delimiter: String,
    strip: bool,
    quoted: bool,
}

struct Parser {
    text: Vec<char>,
    at: usize,
    line: usize,
    depth: usize,
    heredocs: Vec<Heredoc>,
}

const RESERVED: [&str; 16] =
    ["if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "{", "}", "!", "in"];
const CLOSERS: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    fn error<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(ParseError { line: self.line, what: what.into() })
    }

    fn unexpected(&self) -> ParseError {
        let what = match self.peek() {
            Some(c) => format!("unexpected `{}`", c.escape_default()),
            None => "unexpected end".to_owned(),
        };
        ParseError { line: self.line, what }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn ahead(&self, by: usize) -> Option<char> {
        self.text.get(self.at.saturating_add(by)).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(by, c)| self.ahead(by) == Some(c));
        if found {
            for _ in text.chars() {
                self.next();
            }
        }
        found
    }

    /// Passes over blanks, continued lines and comments.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.next();
                }
                Some('\\') if self.ahead(1) == Some('\n') => {
                    self.eat("\\\n");
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    /// Passes over blanks and line ends; bodies of here-documents are read on the way.
    fn newlines(&mut self) -> Parsed<()> {
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                return Ok(());
            }
            self.next();
            self.read_heredocs()?;
        }
    }

    /// The reserved word that stands here, if one does.
    fn reserved(&self) -> Option<&'static str> {
        let delimited = |len: usize| self.ahead(len).is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(c));
        let here = |word: &&&str| word.chars().enumerate().all(|(by, c)| self.ahead(by) == Some(c)) && delimited(word.len());
        RESERVED.iter().find(here).copied()
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        self.newlines()?;
        if self.reserved() == Some(word) && self.eat(word) { Ok(()) } else { self.error(format!("`{word}` expected")) }
    }

    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// Statements up to something that closes the list.
    fn list(&mut self) -> Parsed<List> {
        let mut out = Vec::new();
        loop {
            self.newlines()?;
            let closed = match self.peek() {
                None | Some(')') => true,
                Some(';') => self.ahead(1) == Some(';'),
                _ => self.reserved().is_some_and(|word| CLOSERS.contains(&word)),
            };
            if closed {
                return Ok(out);
            }
            out.push(self.statement()?);
            self.blanks();
            match self.peek() {
                Some(';') if self.ahead(1) != Some(';') => {
                    self.next();
                }
                Some('&') => return self.error("a command in the background"),
                Some('\n' | ')' | ';') | None => {}
                _ if self.reserved().is_some_and(|word| CLOSERS.contains(&word)) => {}
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let and = if self.eat("&&") {
                true
            } else if self.eat("||") {
                false
            } else {
                return Ok(Statement { first, rest });
            };
            self.newlines()?;
            rest.push((and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let mut negated = false;
        self.blanks();
        while self.reserved() == Some("!") {
            self.eat("!");
            self.blanks();
            negated = !negated;
        }
        let mut commands = vec![self.nested(Self::command)?];
        loop {
            self.blanks();
            if self.peek() != Some('|') || self.ahead(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            self.next();
            self.newlines()?;
            commands.push(self.nested(Self::command)?);
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        self.blanks();
        let line = self.line;
        let kind = match self.reserved() {
            Some("{") => {
                self.eat("{");
                let list = self.list()?;
                self.expect("}")?;
                Kind::Group(list)
            }
            Some("if") => self.if_command()?,
            Some("while") => self.while_command("while")?,
            Some("until") => self.while_command("until")?,
            Some("for") => self.for_command()?,
            Some("case") => self.case_command()?,
            Some(word) if word != "in" => return self.error(format!("unexpected `{word}`")),
            _ if self.peek() == Some('(') => {
                self.next();
                let list = self.list()?;
                self.close()?;
                Kind::Subshell(list)
            }
            _ => return self.simple(line),
        };
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(Command { line, kind, redirects })
    }

    fn close(&mut self) -> Parsed<()> {
        self.newlines()?;
        if self.eat(")") { Ok(()) } else { Err(self.unexpected()) }
    }

    fn if_command(&mut self) -> Parsed<Kind> {
        self.eat("if");
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.expect("then")?;
            branches.push((condition, self.list()?));
            match self.reserved() {
                Some("elif") => self.eat("elif"),
                Some("else") => {
                    self.eat("else");
                    let otherwise = self.list()?;
                    self.expect("fi")?;
                    return Ok(Kind::If { branches, otherwise });
                }
                _ => {
                    self.expect("fi")?;
                    return Ok(Kind::If { branches, otherwise: Vec::new() });
                }
            };
        }
    }

    fn while_command(&mut self, word: &str) -> Parsed<Kind> {
        self.eat(word);
        let condition = self.list()?;
        let body = self.do_group()?;
        Ok(Kind::While { until: word == "until", condition, body })
    }

    fn do_group(&mut self) -> Parsed<List> {
        self.expect("do")?;
        let body = self.list()?;
        self.expect("done")?;
        Ok(body)
    }

    fn name(&mut self) -> String {
        let mut out = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            out.push(c);
            self.next();
        }
        out
    }

    fn for_command(&mut self) -> Parsed<Kind> {
        self.eat("for");
        self.blanks();
        let name = self.name();
        if name.is_empty() {
            return Err(self.unexpected());
        }
        self.newlines()?;
        let mut words = None;
        if self.reserved() == Some("in") {
            self.eat("in");
            let mut list = Vec::new();
            self.blanks();
            while let Some(word) = self.word()? {
                list.push(word);
                self.blanks();
            }
            words = Some(list);
        }
        self.blanks();
        self.eat(";");
        let body = self.do_group()?;
        Ok(Kind::For { name, words, body })
    }

    fn case_command(&mut self) -> Parsed<Kind> {
        self.eat("case");
        self.blanks();
        let Some(word) = self.word()? else { return Err(self.unexpected()) };
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines()?;
            if self.reserved() == Some("esac") {
                self.eat("esac");
                return Ok(Kind::Case { word, arms });
            }
            self.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks();
                let Some(pattern) = self.word()? else { return Err(self.unexpected()) };
                patterns.push(pattern);
                self.blanks();
                if !self.eat("|") {
                    break;
                }
            }
            self.close()?;
            arms.push((patterns, self.list()?));
            self.newlines()?;
            if !self.eat(";;") && self.reserved() != Some("esac") {
                return Err(self.unexpected());
            }
        }
    }

    fn simple(&mut self, line: usize) -> Parsed<Command> {
        let (mut assigns, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            } else if let Some(name) = self.assignment().filter(|_| words.is_empty()) {
                self.eat(&name);
                self.eat("=");
                assigns.push((name, self.word()?.unwrap_or_default()));
            } else if let Some(word) = self.word()? {
                words.push(word);
            } else {
                break;
            }
            if let [only] = words.as_slice()
                && let [Part::Text(name)] = only.as_slice()
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
        Ok(Command { line, kind: Kind::Simple { assigns, words }, redirects })
    }

    /// Whether `(` follows the first word, perhaps behind blanks.
    fn opens_function(&mut self) -> bool {
        self.blanks();
        self.peek() == Some('(')
    }

    fn function(&mut self, name: String, line: usize) -> Parsed<Command> {
        self.next();
        self.close()?;
        self.newlines()?;
        let body = Rc::new(self.nested(Self::command)?);
        Ok(Command { line, kind: Kind::Function { name, body }, redirects: Vec::new() })
    }

    /// The name of the variable whose assignment begins here.
    fn assignment(&self) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.ahead(name.len())? {
                '=' if !name.is_empty() => return Some(name),
                c if c == '_' || c.is_ascii_alphabetic() || (c.is_ascii_digit() && !name.is_empty()) => name.push(c),
                _ => return None,
            }
        }
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        self.blanks();
        let mut digits = String::new();
        while let Some(digit) = self.ahead(digits.len()).filter(char::is_ascii_digit) {
            digits.push(digit);
        }
        if !matches!(self.ahead(digits.len()), Some('<' | '>')) {
            return Ok(None);
        }
        self.eat(&digits);
        let signs = ["<<-", "<<", "<&", "<", ">>", ">&", ">|", ">"];
        let Some(sign) = signs.into_iter().find(|sign| self.eat(sign)) else { return Err(self.unexpected()) };
        let fd = digits.parse().unwrap_or(u32::from(sign.starts_with('>')));
        self.blanks();
        let Some(word) = self.word()? else { return Err(self.unexpected()) };
        let to = match sign {
            "<" => Target::Read(word),
            ">" | ">|" => Target::Write(word),
            ">>" => Target::Append(word),
            "<&" | ">&" => Target::Duplicate(word),
            _ => Target::Here(self.heredoc(&word, sign == "<<-")?),
        };
        Ok(Some(Redirect { fd, to }))
    }

    fn heredoc(&mut self, word: &Word, strip: bool) -> Parsed<Rc<OnceCell<Word>>> {
        let mut delimiter = String::new();
        let mut quoted = false;
        for part in word {
            match part {
                Part::Text(text) => delimiter.push_str(text),
                Part::Literal(text) => {
                    delimiter.push_str(text);
                    quoted = true;
                }
                Part::Quoted(inner) if inner.iter().all(|part| matches!(part, Part::Text(_))) => {
                    delimiter.extend(inner.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" }));
                    quoted = true;
                }
                _ => return self.error("a here-document with an expansion in its delimiter"),
            }
        }
        let body = Rc::new(OnceCell::new());
        self.heredocs.push(Heredoc { body: body.clone(), delimiter, strip, quoted });
        Ok(body)
    }

    fn read_heredocs(&mut self) -> Parsed<()> {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let first = self.line;
            let mut text = String::new();
            loop {
                if self.peek().is_none() {
                    return self.error(format!("here-document without its end `{}`", heredoc.delimiter));
                }
                let mut line = String::new();
                while let Some(c) = self.next().filter(|c| *c != '\n') {
                    line.push(c);
                }
                let line = if heredoc.strip { line.trim_start_matches('\t') } else { &line };
                if line == heredoc.delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            let word = if heredoc.quoted { vec![Part::Literal(text)] } else { self.quoted_text(&text, first)? };
            let _ = heredoc.body.set(word);
        }
        Ok(())
    }

    /// Text with expansions but without quotes, as in a here-document.
    fn quoted_text(&self, text: &str, line: usize) -> Parsed<Word> {
        let mut inner = Parser { text: text.chars().collect(), at: 0, line, depth: self.depth + 1, heredocs: Vec::new() };
        if inner.depth > MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH}"));
        }
        Ok(vec![Part::Quoted(inner.double_quoted(None)?)])
    }

    /// A word; `None` when none begins here.
    fn word(&mut self) -> Parsed<Option<Word>> {
        self.word_until(|c| c.is_whitespace() || ";&|<>()".contains(c))
    }

    fn word_until(&mut self, ends: impl Fn(char) -> bool) -> Parsed<Option<Word>> {
        let mut parts: Word = Vec::new();
        while let Some(c) = self.peek().filter(|c| !ends(*c)) {
            match c {
                '\'' => parts.push(Part::Literal(self.single_quoted()?)),
                '"' => {
                    self.next();
                    parts.push(Part::Quoted(self.double_quoted(Some('"'))?));
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c) => parts.push(Part::Literal(c.to_string())),
                        None => return Err(self.unexpected()),
                    }
                }
                '$' | '`' => parts.push(self.substitution()?),
                _ => {
                    self.next();
                    push_text(&mut parts, c);
                }
            }
        }
        Ok((!parts.is_empty()).then_some(parts))
    }

    fn single_quoted(&mut self) -> Parsed<String> {
        self.next();
        let mut out = String::new();
        loop {
            match self.next() {
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
                None => return self.error("a single quote without its end"),
            }
        }
    }

    /// Text up to `end`, or all of it, with expansions.
    fn double_quoted(&mut self, end: Option<char>) -> Parsed<Word> {
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                None if end.is_none() => return Ok(parts),
                None => return self.error("a double quote without its end"),
                Some(c) if Some(c) == end => {
                    self.next();
                    return Ok(parts);
                }
                Some('\\') => {
                    self.next();
                    match self.next() {
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
                    self.next();
                    push_text(&mut parts, c);
                }
            }
        }
    }

    /// What `$` or a backquote begins.
    fn substitution(&mut self) -> Parsed<Part> {
        if self.peek() == Some('`') {
            return self.backquoted();
        }
        self.next();
        match self.peek() {
            Some('(') if self.ahead(1) == Some('(') => self.nested(Self::arithmetic),
            Some('(') => {
                self.next();
                let list = self.nested(Self::list)?;
                self.close()?;
                Ok(Part::Command(Rc::new(list)))
            }
            Some('{') => {
                self.next();
                self.nested(Self::braced)
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => Ok(Part::Variable(self.name(), None)),
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.next();
                Ok(Part::Variable(c.to_string(), None))
            }
            _ => Ok(Part::Literal("$".into())),
        }
    }

    fn backquoted(&mut self) -> Parsed<Part> {
        let line = self.line;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('`') => break,
                Some('\\') if self.peek().is_some_and(|c| "$`\\".contains(c)) => text.extend(self.next()),
                Some(c) => text.push(c),
                None => return self.error("a backquote without its end"),
            }
        }
        let depth = self.depth;
        self.nested(|_| parse_at(&text, line, depth + 1)).map(|list| Part::Command(Rc::new(list)))
    }

    fn arithmetic(&mut self) -> Parsed<Part> {
        self.eat("((");
        let mut parts = Vec::new();
        let mut open = 0;
        loop {
            match self.peek() {
                Some(')') if open == 0 => break,
                Some('$' | '`') => parts.push(self.substitution()?),
                Some(c) => {
                    open += i32::from(c == '(') - i32::from(c == ')');
                    self.next();
                    push_text(&mut parts, c);
                }
                None => return Err(self.unexpected()),
            }
        }
        if self.eat("))") { Ok(Part::Arithmetic(parts)) } else { Err(self.unexpected()) }
    }

    fn braced(&mut self) -> Parsed<Part> {
        let length = self.peek() == Some('#') && self.ahead(1) != Some('}') && self.eat("#");
        let mut name = self.name();
        if name.is_empty() {
            name = self.next().filter(|c| "@*#?-$!".contains(*c)).map(String::from).unwrap_or_default();
        }
        if name.is_empty() {
            return Err(self.unexpected());
        }
        if length {
            return if self.eat("}") {
                Ok(Part::Variable(name, Some((Modifier::Length, Vec::new()))))
            } else {
                Err(self.unexpected())
            };
        }
        if self.eat("}") {
            return Ok(Part::Variable(name, None));
        }
        let colon = self.eat(":");
        let modifier = match self.next() {
            Some('-') => Modifier::Default { colon },
            Some('=') => Modifier::Assign { colon },
            Some('?') => Modifier::Require { colon },
            Some('+') => Modifier::Alternative { colon },
            Some('%') if !colon => Modifier::Suffix { longest: self.eat("%") },
            Some('#') if !colon => Modifier::Prefix { longest: self.eat("#") },
            _ => return self.error("an expansion that sh does not have"),
        };
        let word = self.word_until(|c| c == '}')?.unwrap_or_default();
        if self.eat("}") { Ok(Part::Variable(name, Some((modifier, word)))) } else { Err(self.unexpected()) }
    }
}

fn push_text(parts: &mut Word, c: char) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => parts.push(Part::Text(c.to_string())),
    }
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
        assert_eq!(parse(text).unwrap().len(), 8 - 1);
    }

    #[test]
    fn what_is_no_script() {
        for (bad, line) in [
            ("\nif true; then", 2),
            ("echo 'x", 1),
            ("a &\n", 1),
            ("a ) b", 1),
            ("cat <<EOF\nx\n", 3),
            ("${a/b/c}", 1),
            ("fi", 1),
            ("case x in a) b", 1),
            ("x=$(", 1),
        ] {
            assert_eq!(parse(bad).map(|_| ()).unwrap_err().line, line, "{bad}");
        }
        for deep in ["(".repeat(10_000), "$(".repeat(10_000), "{ ".repeat(10_000), "${a-".repeat(10_000), "if ".repeat(10_000)] {
            assert!(parse(&deep).is_err());
        }
    }
}
