//! An interpreter of the part of the shell's language that maintainer scripts are written in
//! (POSIX.1-2024, Shell Command Language, and `local`).
//!
//! `parse` turns the text of a script into a value (`ast`), `eval` walks it. The language itself
//! touches nothing: files and commands are those of a [`Host`]. Scripts are hostile input, so
//! nesting, commands, memory and work are bounded.

mod ast;
mod builtin;
mod error;
mod eval;
mod expand;
mod glob;
mod host;
mod parse;
mod pattern;
mod redirect;
#[cfg(test)]
mod tests;
mod words;

pub use error::ScriptError;
pub use glob::{glob, matches};
pub use host::{ExitStatus, Host, HostError, Io, Variables};

/// How a script is called.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
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
    let script = parse::parse(text)?;
    eval::Shell::new(host, call).script(&script)
}
