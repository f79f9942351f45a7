//! Problems that the user must solve, each with a hint. The problems of a plan are collected and
//! shown together.

use std::fmt;

/// One problem, with a hint where there is a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The fact: in lower case, with place and numbers, without a final period.
    pub message: String,
    /// Advice, as an imperative without a final period.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// Replaces the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// All problems found, in that order. Not empty when used as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Appends a problem.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Fails with all problems, if there are any.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn check(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// The entry of the configuration that accepts the file at `path`, for the end of a hint.
#[must_use]
pub fn accept_entry(path: &str) -> String {
    format!("\n[[accept]]\nfile = {path:?}\nreason = \"...\"")
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The command line itself is wrong, whatever files contain: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub Problems);

impl From<Problem> for Usage {
    fn from(problem: Problem) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {}
