//! A row of the table of references.

use super::names::Resolution;
use serde::Serialize;

/// What was done with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// It stays as it is.
    Kept,
    /// It has another name now.
    Rewritten,
    /// It is taken out.
    Removed,
    /// It stays, because the user accepts its file.
    Accepted,
    /// It stays, and a note says what is wrong with it.
    Noted,
}

impl Treatment {
    /// The name for people, the same as in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Rewritten => "rewritten",
            Self::Removed => "removed",
            Self::Accepted => "accepted",
            Self::Noted => "noted",
        }
    }
}

/// A reference of the golden system to a device or mount point, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// The path of the file on the device, absolute.
    pub file: String,
    /// Its line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What kind of setting it is, such as `fstab`.
    pub kind: &'static str,
    /// The device as it is written.
    pub what: String,
    /// What that is on the golden disk; empty: nothing of it.
    pub golden: String,
    /// What it is on the converted disk.
    pub converted: String,
    /// What was done.
    pub action: Treatment,
}

impl Row {
    /// The place of the reference, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}", self.file),
        }
    }

    pub(crate) fn new(
        file: &str,
        line: usize,
        kind: &'static str,
        what: &str,
        resolution: &Resolution,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            kind,
            what: what.to_owned(),
            golden: resolution.golden.clone(),
            converted: resolution.converted.clone(),
            action: Treatment::Kept,
        }
    }

    pub(crate) fn action(self, action: Treatment) -> Self {
        Self { action, ..self }
    }
}
