//! An interpreter of the part of the shell's language that maintainer scripts are written in
//! (POSIX.1-2024, Shell Command Language, and `local`).
//!
//! `parse` turns the text of a script into a value (`ast`), `eval` walks it. The language itself
//! touches nothing: files and commands are those of a [`Host`]. Scripts are hostile input, so
//! nesting, commands, memory and work are bounded.

mod arithmetic;
mod ast;
mod builtin;
mod cursor;
mod directory;
mod echo;
mod error;
mod eval;
mod expand;
mod glob;
mod host;
mod limits;
mod options;
mod parse;
mod pattern;
mod place;
mod read;
mod redirect;
mod source;
mod split;
mod subshell;
#[cfg(test)]
mod tests;
mod unknown;
mod words;

pub use cursor::Cursor;
pub use echo::echo;
pub use error::ScriptError;
pub use glob::{glob, matches};
pub use host::{ExitStatus, Host, HostError, Io, ScriptFile, UnknownStatement, Variables};
pub use place::source_line;

/// Which shell reads a script: they differ in words that one of them has and the other does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Debian's `/bin/sh`.
    #[default]
    Dash,
    /// `/bin/bash`. What only it has is not supported, and refused.
    Bash,
}

/// How a script is called.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The shell that reads it.
    pub dialect: Dialect,
    /// Options of the shell, as in the first line of the script: `-eu`.
    pub options: Vec<String>,
    /// `$0`, the name of the script.
    pub name: String,
    /// `$1` and those after it.
    pub arguments: Vec<String>,
    /// Variables that are set at the start.
    pub variables: Variables,
}

/// The end of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The status of the script.
    pub status: ExitStatus,
    /// The line of the last command, counted from 1; 0 if there was none.
    pub line: usize,
}

/// Runs a script.
///
/// # Errors
/// [`ScriptError`]; what the script did to the host until then stays done.
pub fn run(text: &str, call: Invocation, host: &mut dyn Host) -> Result<Exit, ScriptError> {
    let script = parse::parse(text, call.dialect)?;
    eval::Shell::new(host, call).script(&script)
}
