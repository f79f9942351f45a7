//! The statements of a U-Boot script.

use super::words::{Piece, Token, tokens};

/// How deep conditions and loops may nest.
const MAX_DEPTH: usize = 40;

/// Statements that run one after the other.
pub(super) type List = Vec<Statement>;

/// Commands joined by `&&` (true) and `||` (false).
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) first: Command,
    pub(super) rest: Vec<(bool, Command)>,
}

/// A command.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Simple(Vec<Vec<Piece>>),
    If {
        branches: Vec<(List, List)>,
        otherwise: List,
    },
    For {
        name: String,
        words: Vec<Vec<Piece>>,
        body: List,
    },
    While {
        condition: List,
        body: List,
    },
}

/// The statements of a script; an error has the line.
pub(super) fn parse(text: &str) -> Result<List, String> {
    let tokens = tokens(text);
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let list = parser.list(&[])?;
    match parser.peek() {
        None => Ok(list),
        Some(token) => Err(unexpected(Some(token))),
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

const RESERVED: [&str; 7] = ["then", "else", "elif", "fi", "do", "done", "in"];

fn unexpected(token: Option<&Token>) -> String {
    match token {
        Some(Token::Word(_, line)) => {
            let word = token.and_then(Token::plain).unwrap_or("a word");
            format!("line {line}: unexpected `{}`", word.escape_default())
        }
        Some(_) => "unexpected separator".to_owned(),
        None => "unexpected end".to_owned(),
    }
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'t Token> {
        let token = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(token)
    }

    fn word(&self) -> Option<&'t str> {
        self.peek().and_then(Token::plain)
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        while self.peek() == Some(&Token::End) {
            self.next();
        }
        if self.word() == Some(word) {
            self.next();
            return Ok(());
        }
        Err(unexpected(self.peek()))
    }

    /// Statements up to one of the words `ends`, which is left.
    fn list(&mut self, ends: &[&str]) -> Result<List, String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(format!("conditions nest deeper than {MAX_DEPTH}"));
        }
        let mut list = List::new();
        loop {
            while self.peek() == Some(&Token::End) {
                self.next();
            }
            if self.peek().is_none() || self.word().is_some_and(|word| ends.contains(&word)) {
                break;
            }
            let first = self.command()?;
            let mut rest = Vec::new();
            while let Some(joint @ (Token::And | Token::Or)) = self.peek() {
                self.next();
                while self.peek() == Some(&Token::End) {
                    self.next();
                }
                rest.push((*joint == Token::And, self.command()?));
            }
            list.push(Statement { first, rest });
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(list)
    }

    fn command(&mut self) -> Result<Command, String> {
        match self.word() {
            Some("if") => self.condition(),
            Some("for") => self.for_loop(),
            Some("while" | "until") => self.while_loop(),
            Some(word) if RESERVED.contains(&word) => Err(unexpected(self.peek())),
            _ => {
                let mut words = Vec::new();
                while let Some(Token::Word(pieces, _)) = self.peek() {
                    words.push(pieces.clone());
                    self.next();
                }
                if words.is_empty() {
                    return Err(unexpected(self.peek()));
                }
                Ok(Command::Simple(words))
            }
        }
    }

    fn condition(&mut self) -> Result<Command, String> {
        self.next();
        let mut branches = Vec::new();
        let mut otherwise = List::new();
        loop {
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            if self.word() == Some("elif") {
                self.next();
                continue;
            }
            if self.word() == Some("else") {
                self.next();
                otherwise = self.list(&["fi"])?;
            }
            self.expect("fi")?;
            return Ok(Command::If {
                branches,
                otherwise,
            });
        }
    }

    fn for_loop(&mut self) -> Result<Command, String> {
        self.next();
        let name = self
            .word()
            .ok_or_else(|| unexpected(self.peek()))?
            .to_owned();
        self.next();
        self.expect("in")?;
        let mut words = Vec::new();
        while let Some(Token::Word(pieces, _)) = self.peek() {
            words.push(pieces.clone());
            self.next();
        }
        let body = self.loop_body()?;
        Ok(Command::For { name, words, body })
    }

    fn while_loop(&mut self) -> Result<Command, String> {
        self.next();
        let condition = self.list(&["do"])?;
        let body = self.loop_body()?;
        Ok(Command::While { condition, body })
    }

    fn loop_body(&mut self) -> Result<List, String> {
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(body)
    }
}
