//! Files that appear under their final name only when they are complete.
//!
//! Each is written next to its final name as `.goldsmith-*.part`, and locked while it is written.
//! Files of a killed run are no longer locked: the next run that writes into the directory removes
//! them.

mod publish;

use crate::input_file;
use crate::problem::Problem;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = ".goldsmith-";
const SUFFIX: &str = ".part";
/// The bytes of the final name that are in that of a temporary file: Linux allows 255.
const NAMED: usize = 200;

/// The state of this process that a signal handler needs.
struct Open {
    /// Temporary files.
    files: Vec<PathBuf>,
    /// Temporary directories.
    dirs: Vec<PathBuf>,
    /// Whether files have been given their final names.
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

/// Removes the temporary files of this process, just before it is ended by a signal. Threads that
/// create or publish files afterwards block. Returns whether files have been given their final
/// names.
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

/// A temporary directory that is removed when the value is dropped, or by [`abandon`].
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
    /// Locked while the directory is in use, if others look for leftovers next to it.
    _lock: Option<File>,
}

/// The file in a directory of [`Scratch::below`] that is locked while it is in use.
const LOCK: &str = "in-use";

impl Scratch {
    /// Creates an empty directory where the host keeps temporary files.
    ///
    /// # Errors
    /// I/O errors of creating it.
    pub(crate) fn new() -> io::Result<Self> {
        Self::create(|new| new.prefix("goldsmith-").tempdir())
    }

    /// Creates a directory in the directory `parent`, which is created if it is missing; removes
    /// those of killed runs there.
    ///
    /// # Errors
    /// I/O errors of creating it.
    pub(crate) fn below(parent: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        clear_left_dirs(parent)?;
        let mut scratch = Self::create(|new| new.prefix(PREFIX).tempdir_in(parent))?;
        let lock = File::create_new(scratch.path().join(LOCK))?;
        lock.lock()?;
        scratch._lock = Some(lock);
        Ok(scratch)
    }

    fn create(
        new: impl FnOnce(&mut tempfile::Builder<'_, '_>) -> io::Result<tempfile::TempDir>,
    ) -> io::Result<Self> {
        let mut open = open();
        let dir = new(&mut tempfile::Builder::new())?;
        open.dirs.push(dir.path().to_owned());
        Ok(Self { dir, _lock: None })
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        open().dirs.retain(|known| known != self.dir.path());
    }
}

/// The output directory, with the files that are complete.
#[derive(Debug)]
pub(crate) struct Outputs {
    dir: PathBuf,
    done: Vec<Pending>,
}

/// A file that is being written. It is removed if it is dropped before it is published.
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

    /// `error` with the name of the file that was being written.
    pub(crate) fn writing(&self, error: io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!("writing {}: {error}", self.target.display()),
        )
    }

    /// The path while it is being written.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The final path.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

impl Outputs {
    /// Creates the directory if it is missing, and removes files left by killed runs.
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

    /// Creates the temporary file for the output `name`.
    ///
    /// # Errors
    /// A [`Problem`] that names the directory or file that cannot be created.
    pub(crate) fn create(&self, name: &str) -> Result<Pending, Problem> {
        let target = self.dir.join(name);
        if target.is_dir() {
            return Err(Problem::new(format!(
                "the output {} cannot be written: it is a directory",
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

    /// A new temporary file that is locked. In another container, another process may have the same
    /// number.
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

    /// Adds a complete file, which gets its final name in [`Outputs::publish`], with all others.
    pub(crate) fn finish(&mut self, pending: Pending) {
        self.done.push(pending);
    }

    /// The path of a temporary file, whose name is not longer than names may be.
    fn hidden(&self, attempt: u32, name: &str) -> PathBuf {
        let most = name.len().min(NAMED);
        let end = (0..=most).rev().find(|at| name.is_char_boundary(*at));
        let name = name.get(..end.unwrap_or(0)).unwrap_or_default();
        self.dir.join(format!(
            "{PREFIX}{}-{attempt}-{name}{SUFFIX}",
            std::process::id()
        ))
    }
}

/// Why results cannot be written to `dir`, which may not exist yet. Nothing is written.
pub(super) fn refused(dir: &Path) -> Option<Problem> {
    let there = dir.ancestors().find(|one| one.symlink_metadata().is_ok());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Some(unusable(dir, &io::ErrorKind::NotADirectory.into()));
    }
    let denied = super::space::may_write(there).err()?;
    Some(unusable(dir, &denied))
}

fn unusable(dir: &Path, error: &io::Error) -> Problem {
    Problem::new(format!(
        "the output directory {} cannot be used: {error}",
        dir.display()
    ))
    .hint("choose another one with --output-dir")
}

/// Creates a temporary file that is known to [`abandon`], and locks it so that other runs do not
/// remove it. `None` if another run removed it before it was locked.
fn open_locked(temporary: &Path) -> io::Result<Option<File>> {
    let mut open = open();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(temporary)?;
    let locked = file.lock().and_then(|()| file.metadata());
    // A file that cannot be locked must not stay.
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

/// Removes directories of [`Scratch::below`] that no process has locked.
fn clear_left_dirs(parent: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let ours = name.is_some_and(|name| name.starts_with(PREFIX));
        if ours
            && let Ok(lock) = input_file::open(&path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            // If it cannot be removed now, the next run tries again.
            let _ = std::fs::remove_dir_all(path);
        }
    }
    Ok(())
}

/// Removes temporary files that no process has locked.
fn clear_leftovers(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours
            && let Ok(file) = input_file::open(&path)
            && file.try_lock().is_ok()
        {
            match std::fs::remove_file(&path) {
                // Another run that starts at the same time removed it.
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
    fn a_directory_that_cannot_be_used_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(refused(dir.path()).is_none());
        assert!(refused(&dir.path().join("new/below")).is_none());
        assert!(refused(Path::new("new-below-the-working-directory")).is_none());
        for taken in [file.clone(), file.join("below")] {
            let problem = refused(&taken).unwrap();
            assert!(problem.message.ends_with("not a directory"), "{problem}");
            assert!(Outputs::new(&taken).is_err());
        }
        let read_only = Path::new("/proc/1");
        assert!(refused(read_only).is_some());
    }

    #[test]
    fn scratch_directories_of_killed_runs_go() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(".goldsmith-left");
        let begun = dir.path().join(".goldsmith-begun");
        let own = dir.path().join("own");
        for path in [&left, &begun, &own] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(left.join(LOCK), "").unwrap();
        std::fs::write(own.join(LOCK), "").unwrap();
        let first = Scratch::below(dir.path()).unwrap();
        let second = Scratch::below(dir.path()).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir());
        assert!(!left.exists() && begun.is_dir() && own.is_dir());
        drop((first, second));
        assert_eq!(names(dir.path()), [".goldsmith-begun", "own"]);
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
        // Names as long as Linux allows, which only differ at their ends.
        let outputs = Outputs::new(dir.path()).unwrap();
        let long = ["img", "json"].map(|end| "é".repeat(125) + "." + end);
        let pending = long.each_ref().map(|name| outputs.create(name).unwrap());
        assert_ne!(pending[0].temporary(), pending[1].temporary());
        drop(pending);
        let dropped = Outputs::new(dir.path()).unwrap().create("b").unwrap();
        drop(dropped);
        assert_eq!(names(dir.path()), ["a"]);
    }
}
