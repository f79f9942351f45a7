//! The Debian packages to install.

use crate::config::{self, Config};
use crate::problem::{Problem, Problems};
use std::path::PathBuf;

/// The packages of `[client]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackagePlan {
    /// The package files on the host, in the order of the configuration.
    pub files: Vec<PathBuf>,
    /// Maintainer scripts that are left out.
    pub accepted: Vec<AcceptedScript>,
}

/// A maintainer script that the user accepts to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedScript {
    /// The name of its package.
    pub package: String,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub script: &'static str,
    /// The one statement that is left out; otherwise all whose effect is unknown.
    pub statement: Option<String>,
    /// Why it is not needed, for the record.
    pub reason: String,
}

impl PackagePlan {
    /// # Errors
    /// Patterns that match no file; directories that cannot be listed.
    pub(super) fn new(config: &Config) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut files = Vec::new();
        for pattern in &config.client.packages {
            match config::expand(pattern) {
                Ok(found) if found.is_empty() => {
                    let shown = pattern.display();
                    problems.push(
                        Problem::new(format!("client.packages: {shown} matches no file")).hint(
                            "relative paths are resolved against the config file's directory",
                        ),
                    );
                }
                Ok(found) => files.extend(found),
                Err(e) => problems.push(Problem::new(format!(
                    "looking for packages {}: {e}",
                    pattern.display()
                ))),
            }
        }
        problems.check()?;
        let accepted = config.client.accept.iter().map(|accept| AcceptedScript {
            package: accept.package.clone(),
            script: accept.script.word(),
            statement: accept.statement.clone(),
            reason: accept.reason.clone(),
        });
        Ok(Self {
            files,
            accepted: accepted.collect(),
        })
    }
}
