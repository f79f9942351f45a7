//! A finding, as people and programs see it.

use super::codes::Code;
use crate::verify::Severity;
use serde::Serialize;

/// The number of places that a finding names; further ones are counted.
const NAMED: usize = 5;

/// A place, and what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The path of the file on the device, with `:LINE` where a line matters; empty: there is no
    /// file.
    pub path: String,
    /// What is there, never a secret.
    pub value: String,
}

/// Something that the owner of an image should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of finding; it stays the same from version to version.
    pub code: &'static str,
    /// The fact, in lower case, without a final period.
    pub text: String,
    /// The first places.
    pub evidence: Vec<Evidence>,
    /// The number of further places.
    pub omitted: usize,
    /// What to do about it, as an imperative.
    pub remedy: String,
}

impl Finding {
    /// A finding of this code, with its severity and its remedy.
    pub(super) fn new(code: &Code, text: impl Into<String>) -> Self {
        Self {
            severity: code.severity,
            code: code.name,
            text: text.into(),
            evidence: Vec::new(),
            omitted: 0,
            remedy: code.remedy.to_owned(),
        }
    }

    /// The same with one more place.
    pub(super) fn at(mut self, path: impl Into<String>, value: impl Into<String>) -> Self {
        if self.evidence.len() < NAMED {
            self.evidence.push(Evidence {
                path: path.into(),
                value: value.into(),
            });
        } else {
            self.omitted += 1;
        }
        self
    }

    /// The same with all these places.
    pub(super) fn all(self, places: impl IntoIterator<Item = (String, String)>) -> Self {
        let places = places.into_iter();
        places.fold(self, |finding, (path, value)| finding.at(path, value))
    }

    /// The same, less severe.
    pub(super) fn only(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The same with another remedy.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    /// The finding as a sentence whose reader sees elsewhere how severe it is.
    #[must_use]
    pub fn sentence(&self) -> String {
        let places: Vec<&str> = self.evidence.iter().map(|one| one.path.as_str()).collect();
        let more = match self.omitted {
            0 => String::new(),
            omitted => format!(" and {omitted} more"),
        };
        let places = places.into_iter().filter(|path| !path.is_empty());
        let places: Vec<&str> = places.collect();
        let places = match places.is_empty() {
            true => String::new(),
            false => format!(" ({}{more})", places.join(", ")),
        };
        format!(
            "{}{places}; {} (doctor: {})",
            self.text, self.remedy, self.code
        )
    }
}
