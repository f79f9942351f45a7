//! What a system must have, as its owner says it in TOML: files, packages, sizes, units that run,
//! commands that succeed. `goldsmith boot --check --rules FILE` asks for them, see
//! `docs/boot-check.md`.

mod files;
mod glob;
mod read;

pub use files::{judge_files, judge_sizes};
pub use glob::Glob;

use crate::problem::Problems;
use std::time::Duration;

/// The rules of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files of the root filesystem.
    pub files: Vec<FileRule>,
    /// Installed Debian packages.
    pub packages: Vec<PackageRule>,
    /// The most that results may take.
    pub sizes: SizeRules,
    /// Units of systemd that must be active.
    pub units: Vec<String>,
    /// Commands on the running system.
    pub commands: Vec<CommandRule>,
}

/// A rule for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRule {
    /// Its path, absolute.
    pub path: String,
    /// Its permission bits.
    pub mode: Option<u16>,
    /// Its owner: `USER` or `USER:GROUP`, by name or number.
    pub owner: Option<String>,
    /// Text that it contains.
    pub contains: Option<String>,
    /// Whether it must not exist.
    pub absent: bool,
}

/// A rule for a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRule {
    /// Its name.
    pub name: String,
    /// What its version must be.
    pub version: Option<Glob>,
}

/// The most that results may take (bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeRules {
    /// Files and metadata of the root filesystem.
    pub root_used: Option<u64>,
    /// The disk.
    pub image: Option<u64>,
    /// The file of the Artifact.
    pub artifact: Option<u64>,
}

/// A rule for a command, which a shell of root runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRule {
    /// The command, of one or more lines.
    pub run: String,
    /// Its exit status.
    pub exit: i32,
    /// What a line of its output must be.
    pub output_matches: Option<Glob>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Rules {
    /// Reads the text of a file called `name`.
    ///
    /// # Errors
    /// All problems of the text: no TOML, unknown keys, values of other types.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        read::rules(name, text)
    }

    /// Whether a rule asks for a running system.
    #[must_use]
    pub fn need_a_start(&self) -> bool {
        !self.units.is_empty() || !self.commands.is_empty()
    }
}

/// A rule and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The rule in short, as in `file /etc/app.conf`.
    pub rule: String,
    /// Why it is broken; `None` if it holds.
    pub broken: Option<String>,
}
