//! The answer: what to install, or why that is impossible.

use crate::problem::Problem;
use std::fmt;

/// Why a package was chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is wanted; the text as written.
    Wanted(String),
    /// Another package depends on it.
    Depends {
        /// Name of that package.
        by: String,
        /// The alternatives as in the field, such as `libc6 (>= 2.36)`.
        relation: String,
    },
    /// Another package recommends it.
    Recommends {
        /// Name of that package.
        by: String,
        /// The alternatives as in the field.
        relation: String,
    },
    /// Its installed version cannot stay, and `may_change` lists it.
    Upgraded {
        /// The installed version.
        from: String,
        /// The fact that it contradicts, such as `a 2 depends on b (>= 3)`.
        why: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted(text) => write!(f, "wanted: {text}"),
            Self::Depends { by, relation } => write!(f, "{by} depends on {relation}"),
            Self::Recommends { by, relation } => write!(f, "{by} recommends {relation}"),
            Self::Upgraded { from, why } => write!(f, "{from} cannot stay: {why}"),
        }
    }
}

/// A package to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index into [`Request::candidates`](super::Request::candidates).
    pub candidate: usize,
    /// The first reason for it.
    pub why: Why,
}

/// An installed package to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Index into [`Request::installed`](super::Request::installed).
    pub installed: usize,
    /// The fact that it contradicts, such as `a 2 conflicts with b`.
    pub why: String,
}

/// The packages to install.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// The packages to install, by name and architecture. Installed ones that stay are not
    /// among them.
    pub packages: Vec<Chosen>,
    /// The installed packages to remove, by name and architecture.
    pub removed: Vec<Removed>,
    /// Sentences about what was decided: recommended packages that were left out, wanted
    /// packages that are installed already.
    pub notes: Vec<String>,
}

/// Why no choice is possible: each problem alone is a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsolvable {
    /// One for each contradiction.
    pub reasons: Vec<Reason>,
}

/// One reason why no choice is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The fewest facts that contradict each other, in words, with a way out that was tried.
    pub problem: Problem,
    /// Names of installed packages without which there is a choice, where the request does not
    /// allow to remove them. The problem has no hint then.
    pub in_the_way: Vec<String>,
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            in_the_way: Vec::new(),
        }
    }
}

impl fmt::Display for Unsolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self
            .reasons
            .iter()
            .map(|reason| reason.problem.to_string())
            .collect();
        f.write_str(&all.join("\n"))
    }
}

impl std::error::Error for Unsolvable {}
