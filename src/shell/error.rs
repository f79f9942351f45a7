//! How a script ends before its last statement.

use super::host::ExitStatus;

/// Why a script cannot be interpreted: it does not follow the supported grammar, exceeds a limit,
/// or its host failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// The line of the script, counted from 1.
    pub line: usize,
    /// A lower-case fact without a final period.
    pub reason: String,
}

/// A control flow that leaves the statements around a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// `exit`, or a failure under `set -e`.
    Exit(ExitStatus),
    Return(ExitStatus),
    /// Levels of loops, at least 1.
    Break(usize),
    Continue(usize),
    Error(ScriptError),
}
