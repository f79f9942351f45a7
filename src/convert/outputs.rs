//! Files that appear under their final name only when they are complete.
//!
//! Each is written next to its final name as `.goldsmith-*.part`, locked while it is written. What
//! a killed run left behind is not locked any more: the next run that writes into the directory
//! removes it.

mod publish;

use crate::problem::Problem;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = ".goldsmith-";
const SUFFIX: &str = ".part";

/// The state of this process that a signal handler needs.
struct Open {
    /// Temporary files.
    files: Vec<PathBuf>,
    /// Temporary directories.
    dirs: Vec<PathBuf>,
    /// Files have got their final names.
    published: bool,
}

static OPEN: Mutex<Open> = Mutex::new(Open {
    files: Vec::new(),
    dirs: Vec::new(),
    published: false,
});

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of this process: for the moment before it is ended by a signal.
/// Whoever creates or publishes files afterwards waits for the end. Returns whether files have got
/// their final names.
pub fn abandon() -> bool {
    let mut open = open();
    for path in open.files.drain(..) {
        // Nothing else can be done about a failure here.
        let _ = std::fs::remove_file(path);
    }
    for path in open.dirs.drain(..) {
        let _ = std::fs::remove_dir_all(path);
    }
    let published = open.published;
    std::mem::forget(open);
    published
}

fn forget(path: &Path) {
    open().files.retain(|known| known != path);
}

/// An empty directory that goes away with the value, or by [`abandon`].
#[derive(Debug)]
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new one, where the host keeps temporary files.
    ///
    /// # Errors
    /// I/O errors of creating it.
    pub(crate) fn new() -> io::Result<Self> {
        let mut open = open();
        let dir = tempfile::Builder::new().prefix("goldsmith-").tempdir()?;
        open.dirs.push(dir.path().to_owned());
        Ok(Self(dir))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        open().dirs.retain(|known| known != self.0.path());
    }
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

    /// The error of writing it, with its name.
    pub(crate) fn writing(&self, error: io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!("writing {}: {error}", self.target.display()),
        )
    }

    /// Its name until then.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
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
        Ok(Self {
            dir: dir.to_owned(),
            done: Vec::new(),
        })
    }

    /// Starts the file `name`.
    ///
    /// # Errors
    /// A [`Problem`] that names what could not be created.
    pub(crate) fn create(&self, name: &str) -> Result<Pending, Problem> {
        let target = self.dir.join(name);
        if target.is_dir() {
            return Err(Problem::new(format!(
                "{} is a directory, where a file would be written",
                target.display()
            )));
        }
        let (file, temporary) = self.temporary(name).map_err(|e| unusable(&self.dir, &e))?;
        Ok(Pending {
            file,
            temporary,
            target,
            kept: false,
        })
    }

    /// A new temporary file that is locked. Another process may have the same number, in another
    /// container.
    fn temporary(&self, name: &str) -> io::Result<(File, PathBuf)> {
        for attempt in 0_u32.. {
            let path = self.hidden(attempt, name);
            match open_locked(&path) {
                Ok(Some(file)) => return Ok((file, path)),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Takes a file that is complete; it gets its name with all others in [`Outputs::publish`].
    pub(crate) fn finish(&mut self, pending: Pending) {
        self.done.push(pending);
    }

    /// The path of a temporary file.
    fn hidden(&self, attempt: u32, name: &str) -> PathBuf {
        self.dir.join(format!(
            "{PREFIX}{}-{attempt}-{name}{SUFFIX}",
            std::process::id()
        ))
    }
}

fn unusable(dir: &Path, error: &io::Error) -> Problem {
    Problem::new(format!(
        "the output directory {} cannot be used: {error}",
        dir.display()
    ))
    .hint("name another one with --output-dir")
}

/// Creates a temporary file, known to [`abandon`] and locked against the clearing of another run;
/// `None` when such a run was faster than the lock and took it away.
fn open_locked(temporary: &Path) -> io::Result<Option<File>> {
    let mut open = open();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(temporary)?;
    let locked = file.lock().and_then(|()| file.metadata());
    // Where it cannot be locked it must not stay.
    let taken = locked
        .inspect_err(|_| drop(std::fs::remove_file(temporary)))?
        .nlink()
        == 0;
    if taken {
        return Ok(None);
    }
    open.files.push(temporary.to_owned());
    Ok(Some(file))
}

/// Removes temporary files that no process holds.
fn clear_leftovers(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            match std::fs::remove_file(&path) {
                // Another run that starts now took it away.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    pub(crate) fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_its_name_before_all_is_done_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(".goldsmith-1-x.part"),
            "left by a killed run",
        )
        .unwrap();
        std::fs::write(dir.path().join("a"), "the user's earlier output").unwrap();
        let mut outputs = Outputs::new(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        let pending = outputs.create("a").unwrap();
        pending.file().write_all(b"new").unwrap();
        // A second run at the same time leaves it alone.
        let other = Outputs::new(dir.path()).unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        drop(other);
        assert_eq!(
            std::fs::read(dir.path().join("a")).unwrap(),
            b"the user's earlier output"
        );
        outputs.finish(pending);
        assert_eq!(outputs.publish().unwrap(), [dir.path().join("a")]);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
        let dropped = Outputs::new(dir.path()).unwrap().create("b").unwrap();
        drop(dropped);
        assert_eq!(names(dir.path()), ["a"]);
    }
}
