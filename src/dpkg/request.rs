//! The request to install packages, and the report of it.

use crate::problem::{Problem, Problems};
use crate::stream::Source;
use std::path::PathBuf;

/// A maintainer script whose unknown effects the user takes responsibility for: they are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedScript {
    /// The name of the package.
    pub package: String,
    /// `config`, `preinst`, `postinst`, `prerm` or `postrm`.
    pub script: String,
    /// The one statement that is left out, by its line of the script without blanks around it and
    /// with the lines that continue it; otherwise all whose effects are unknown.
    pub statement: Option<String>,
    /// Why the effects may be left out, for the report.
    pub reason: String,
}

/// A file that must be there before a package is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultFile {
    /// The package that needs it; without it, the file is not made.
    pub package: String,
    /// The absolute path. A file that is there stays as it is.
    pub path: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// The permission bits.
    pub mode: u16,
}

/// The packages to install, and how.
#[derive(Clone, Debug, Default)]
pub struct InstallRequest {
    /// The file name of each package, for messages, and its bytes.
    pub debs: Vec<(PathBuf, Source)>,
    /// Whether the services of the update client are enabled; otherwise they are left disabled, as
    /// by a systemd preset.
    pub managed: bool,
    /// Scripts that may have unknown effects.
    pub accept: Vec<AcceptedScript>,
    /// Files that are made after unpacking where they are missing.
    pub defaults: Vec<DefaultFile>,
    /// The names of packages that may be replaced by earlier versions.
    pub downgrades: Vec<String>,
}

/// A package that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// The control field `Package`.
    pub name: String,
    /// The control field `Version`, in full.
    pub version: String,
    /// The field `Architecture`; may be `all`.
    pub architecture: String,
    /// SHA-256 of the package file in hexadecimal.
    pub sha256: String,
    /// The package file as the request named it.
    pub file: String,
    /// The version that it replaced.
    pub upgraded_from: Option<String>,
}

/// The result of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallReport {
    /// The packages in the order in which they were configured.
    pub packages: Vec<InstalledPackage>,
    /// Notes for the user: kept configuration files, triggers left to the device.
    pub notes: Vec<String>,
    /// The effects that were left out, with the user's reason.
    pub accepted: Vec<String>,
    /// The entries of [`InstallRequest::accept`] that nothing needed, by their positions.
    pub unused: Vec<usize>,
}

/// Collects everything that an installation reports, from all of its steps.
#[derive(Debug, Default)]
pub(super) struct Journal {
    report: InstallReport,
    problems: Problems,
}

impl Journal {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn note(&mut self, text: String) {
        self.report.notes.push(text);
    }

    /// Takes note of an effect that was left out; repetitions are dropped.
    pub(super) fn accepted(&mut self, text: String) {
        if !self.report.accepted.contains(&text) {
            self.report.accepted.push(text);
        }
    }

    /// Takes note of an entry of the request that nothing needed.
    pub(super) fn unused(&mut self, at: usize) {
        self.report.unused.push(at);
    }

    pub(super) fn installed(&mut self, package: InstalledPackage) {
        self.report.packages.push(package);
    }

    /// The report, or all problems.
    pub(super) fn finish(self) -> Result<InstallReport, Problems> {
        self.problems.check().map(|()| self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_outweighs_the_report() {
        let mut journal = Journal::default();
        for _ in 0..2 {
            journal.accepted("left out".into());
        }
        journal.note("a note".into());
        assert_eq!(journal.report.accepted, ["left out"]);
        journal.problem(Problem::new("a"));
        journal.problem(Problem::new("b"));
        assert_eq!(journal.finish().unwrap_err().to_string(), "a\nb");
    }
}
