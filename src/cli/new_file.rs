//! Files that a command makes apart from its results: no file is ever replaced.

use crate::problem::Problem;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Fails if something is at `path`; `hint` says how to name another file.
///
/// # Errors
/// [`Problem`].
pub(super) fn check(path: &Path, hint: &str) -> Result<(), Problem> {
    match path.symlink_metadata() {
        Ok(_) => Err(taken(path, hint)),
        Err(_) => Ok(()),
    }
}

/// Writes a new file.
///
/// # Errors
/// [`Problem`] if something is at `path`; I/O errors, after which there is no file.
pub(super) fn write(path: &Path, text: &str, hint: &str) -> anyhow::Result<()> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::Error::from(taken(path, hint)),
        _ => Problem::new(format!("writing {}: {error}", path.display())).into(),
    };
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(|error| {
        // The half of a file would be another one.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

fn taken(path: &Path, hint: &str) -> Problem {
    let problem = Problem::new(format!("{} exists; nothing is replaced", path.display()));
    problem.hint(hint)
}
