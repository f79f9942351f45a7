//! A script as a value.

use std::cell::OnceCell;
use std::rc::Rc;

/// Statements that run one after the other.
pub(super) type List = Vec<Statement>;
/// A word before expansion, in pieces.
pub(super) type Word = Vec<WordPart>;

/// A piece of a word.
#[derive(Clone, Debug)]
pub(super) enum WordPart {
    /// Unquoted text, in which `*`, `?` and `[` are patterns.
    Text(String),
    /// Text in single quotes or after a backslash.
    Literal(String),
    /// Text in double quotes.
    Quoted(Word),
    /// `~` or `~user` at the beginning of a word.
    Tilde(String),
    /// `$name`, or `${name...}` with an operator and its word.
    Variable(String, Option<(Modifier, Word)>),
    /// Command substitution: `$(...)` or backquotes.
    Command(Rc<List>),
    /// Arithmetic expansion, `$((...))`, by its expression.
    Arithmetic(Word),
}

/// The operator of `${name...}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    /// `${#name}`: the length in characters
    Length,
    /// `-`; with a colon an empty value counts as unset.
    Default { colon: bool },
    /// `=`: the word if unset, which is also assigned.
    Assign { colon: bool },
    /// `?`: an error with the word if unset.
    Require { colon: bool },
    /// `+`: the word if set, else nothing.
    Alternative { colon: bool },
    /// `%`, or `%%` for the longest match: without a suffix.
    Suffix { longest: bool },
    /// `#`, or `##` for the longest match: without a prefix.
    Prefix { longest: bool },
}

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) first: Pipeline,
    /// Each with `true` for `&&` before it, `false` for `||`.
    pub(super) rest: Vec<(bool, Pipeline)>,
    /// Whether the shell goes on without waiting for it: `&`.
    pub(super) background: bool,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// A command, its redirections and its line in the script (from 1).
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) kind: CommandKind,
    pub(super) redirects: Vec<Redirect>,
}

/// The kinds of command.
#[derive(Clone, Debug)]
pub(super) enum CommandKind {
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

/// A redirection of descriptor `fd`.
#[derive(Clone, Debug)]
pub(super) struct Redirect {
    pub(super) fd: u32,
    pub(super) to: RedirectTarget,
}

/// The source or destination of a redirection.
#[derive(Clone, Debug)]
pub(super) enum RedirectTarget {
    Read(Word),
    Write(Word),
    /// `>|`: even under `set -C`.
    Overwrite(Word),
    Append(Word),
    Duplicate(Word),
    Here(Rc<OnceCell<Word>>),
}
