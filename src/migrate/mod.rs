//! `goldsmith migrate`: configurations of mender-convert as a configuration of ours.
//!
//! The files are bash scripts of assignments. They are cut into statements (`statements`,
//! `declarations`), evaluated by the interpreter of `shell`, which starts no program (`read`,
//! `evaluate`), and converted by the tables of `mender_convert` (`convert`, `combined`, `hooks`).
//! The result is a text (`draft`); each of its keys was accepted by `config`.

mod combined;
mod convert;
mod declarations;
mod draft;
mod evaluate;
mod hooks;
mod quotes;
mod read;
mod statements;
mod test;
#[cfg(test)]
mod tests;
mod values;

use crate::problem::Problems;
use read::Reading;
use std::path::{Path, PathBuf};

/// What to convert.
#[derive(Clone, Debug, Default)]
pub struct MigrationRequest {
    /// Configurations of mender-convert, in the order of its `--config` arguments.
    pub files: Vec<PathBuf>,
    /// Overlay directories, as of its `--overlay` arguments.
    pub overlays: Vec<PathBuf>,
    /// Variables that its environment sets, each with its value.
    pub variables: Vec<(String, String)>,
}

/// The result.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The configuration in TOML, with comments for everything that has no key.
    pub text: String,
    /// What is left to do by hand: lower-case facts without a final period.
    pub warnings: Vec<String>,
}

/// Converts configurations of mender-convert. Paths in `source` lines are looked up from the
/// directory of the file and those above it, then from `current`.
///
/// # Errors
/// Files that cannot be read, statements that cannot be evaluated, and values that mender-convert
/// would not understand, each with file and line.
pub fn migrate(request: &MigrationRequest, current: &Path) -> Result<Migration, Problems> {
    let mut reading = Reading::new(&request.files, &request.variables, current);
    let problems = std::mem::take(&mut reading.problems);
    let mut conversion = convert::Conversion::new(&reading, problems);
    conversion.head(&request.files);
    conversion.boards();
    conversion.variables();
    combined::all(&mut conversion);
    conversion.overlays(&request.overlays);
    conversion.rest();
    hooks::all(&mut conversion);
    conversion.finish()
}
