//! Files that appear under their final name only when they are complete.
//!
//! Each is written beside its final name as `.goldsmith-*.part`, locked while it is written. What a killed run left behind is not
//! locked any more: the next run that writes into the directory removes it.

use crate::problem::Problem;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const PREFIX: &str = ".goldsmith-";
const SUFFIX: &str = ".part";

/// Temporary files of this process, so that a signal can take them away.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the temporary files of this process: for the moment before it is ended by a signal.
pub fn abandon() {
    for path in OPEN.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // The file may just have got its final name; nothing else can be done about a failure here.
        let _ = std::fs::remove_file(path);
    }
}

fn forget(path: &Path) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open != path);
}

/// A directory that outputs go to.
#[derive(Debug)]
pub(crate) struct Outputs {
    dir: PathBuf,
    done: Vec<Pending>,
}

/// A file that is being written; dropped before it was finished, it is removed.
#[derive(Debug)]
pub(crate) struct Pending {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.temporary);
        }
        forget(&self.temporary);
    }
}

impl Pending {
    /// The open file, for reading and writing.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its final name.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

impl Outputs {
    /// Makes the directory where it is missing and clears what killed runs left in it.
    ///
    /// # Errors
    /// A [`Problem`] that names the directory.
    pub(crate) fn new(dir: &Path) -> Result<Self, Problem> {
        let failed = |e: io::Error| unusable(dir, &e);
        if dir.exists() && !dir.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        std::fs::create_dir_all(dir).map_err(failed)?;
        clear_leftovers(dir).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), done: Vec::new() })
    }

    /// Starts the file `name`.
    ///
    /// # Errors
    /// A [`Problem`] that names what could not be created.
    pub(crate) fn create(&self, name: &str) -> Result<Pending, Problem> {
        let target = self.dir.join(name);
        if target.is_dir() {
            return Err(Problem::new(format!("{} is a directory, where a file would be written", target.display())));
        }
        let temporary = self.dir.join(format!("{PREFIX}{}-{name}{SUFFIX}", std::process::id()));
        match open_locked(&temporary) {
            Ok(file) => Ok(Pending { file, temporary, target, kept: false }),
            Err(e) => Err(unusable(&self.dir, &e)),
        }
    }

    /// Takes a file that is complete; it gets its name with all others in [`Outputs::publish`].
    pub(crate) fn finish(&mut self, pending: Pending) {
        self.done.push(pending);
    }

    /// Gives all finished files their final names, in the order in which they were finished, and returns these.
    ///
    /// # Errors
    /// What renaming said. Files that were renamed before keep their names.
    pub(crate) fn publish(mut self) -> io::Result<Vec<PathBuf>> {
        for pending in &self.done {
            pending.file.sync_all()?;
        }
        let mut names = Vec::new();
        for pending in &mut self.done {
            std::fs::rename(&pending.temporary, &pending.target)
                .map_err(|e| io::Error::new(e.kind(), format!("renaming to {}: {e}", pending.target.display())))?;
            pending.kept = true;
            names.push(pending.target.clone());
        }
        File::open(&self.dir)?.sync_all()?;
        Ok(names)
    }
}

fn unusable(dir: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("the output directory {} cannot be used: {error}", dir.display()))
        .hint("name another one with --output-dir")
}

/// Creates a temporary file, known to [`abandon`] and locked against the clearing of another run.
fn open_locked(temporary: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(temporary)?;
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(temporary.to_owned());
    file.lock()?;
    Ok(file)
}

/// Removes temporary files that no process holds.
fn clear_leftovers(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let ours =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_its_name_before_all_is_done_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".goldsmith-1-x.part"), "left by a killed run").unwrap();
        std::fs::write(dir.path().join("a"), "the user's earlier output").unwrap();
        let mut outputs = Outputs::new(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        let pending = outputs.create("a").unwrap();
        pending.file().write_all(b"new").unwrap();
        // A second run beside it leaves it alone.
        let other = Outputs::new(dir.path()).unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        drop(other);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"the user's earlier output");
        outputs.finish(pending);
        assert_eq!(outputs.publish().unwrap(), [dir.path().join("a")]);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        let dropped = Outputs::new(dir.path()).unwrap().create("b").unwrap();
        drop(dropped);
        assert_eq!(names(dir.path()), ["a"]);
    }
}
