//! A script as a value.

use std::cell::OnceCell;
use std::rc::Rc;

/// A statement list.
pub(crate) type List = Vec<Statement>;
/// A word before expansion.
pub(crate) type Word = Vec<Part>;

/// A piece of a word.
#[derive(Clone, Debug)]
pub(crate) enum Part {
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
pub(crate) enum Modifier {
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
pub(crate) struct Statement {
    pub(crate) first: Pipeline,
    /// `true` for `&&`.
    pub(crate) rest: Vec<(bool, Pipeline)>,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

/// A command, its redirections and its line in the script (from 1).
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) redirects: Vec<Redirect>,
}

/// The kinds of command.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Simple {
        assigns: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    Group(List),
    Subshell(List),
    If {
        branches: Vec<(List, List)>,
        otherwise: List,
    },
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: List,
    },
    While {
        until: bool,
        condition: List,
        body: List,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
    Function {
        name: String,
        body: Rc<Command>,
    },
}

/// A redirection.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    pub(crate) fd: u32,
    pub(crate) to: Target,
}

/// Where a redirection leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    Duplicate(Word),
    Here(Rc<OnceCell<Word>>),
}
