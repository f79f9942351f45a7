//! Gives all finished files their final names, or none of them.

use super::{Outputs, Pending, open};
use crate::input_file;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The file that had a final name before.
enum Before {
    Nothing,
    /// A file, which also has this second name.
    Kept(PathBuf),
    /// A file that could not be given a second name.
    Lost,
}

impl Before {
    fn path(&self) -> Option<&Path> {
        if let Self::Kept(path) = self {
            Some(path)
        } else {
            None
        }
    }
}

impl Outputs {
    /// Gives all finished files their final names, or none of them, and returns the names in the
    /// order in which the files were finished. Only one run at a time does so in a directory, and a
    /// signal takes effect before or after it.
    ///
    /// # Errors
    /// I/O errors of renaming: all names then refer to the same files as before, except those that
    /// the error lists. I/O errors of syncing the directory, when all files have their names.
    pub(crate) fn publish(mut self) -> io::Result<Vec<PathBuf>> {
        for pending in &self.done {
            pending.file.sync_all().map_err(|e| pending.writing(e))?;
        }
        let dir = File::open(&self.dir).map_err(|e| in_dir(&self.dir, "opening", &e))?;
        // Filesystems without locks are supported too.
        let _ = dir.lock();
        let mut open = open();
        let before: Vec<Before> = self
            .done
            .iter()
            .map(|pending| self.keep(&pending.target))
            .collect();
        let failed = (0..)
            .zip(&mut self.done)
            .find_map(|(at, pending)| Some((at, pending.publish().err()?)));
        let result = match failed {
            None => {
                open.published = true;
                Ok(self
                    .done
                    .iter()
                    .map(|pending| pending.target.clone())
                    .collect())
            }
            Some((at, error)) => Err(withdrawn(self.done.iter_mut().zip(&before).take(at), error)),
        };
        for kept in before.iter().filter_map(Before::path) {
            // It does not exist any more if it was restored.
            let _ = std::fs::remove_file(kept);
        }
        drop(open);
        let names = result?;
        match dir.sync_all() {
            // Some filesystems do not support it.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) => {}
            result => result.map_err(|e| {
                in_dir(
                    &self.dir,
                    "all results are published, but a power cut may undo that: syncing",
                    &e,
                )
            })?,
        }
        Ok(names)
    }

    /// The files of these names that have other bytes, and will be replaced.
    ///
    /// # Errors
    /// I/O errors of a finished file.
    pub(crate) fn replaced(&self) -> io::Result<Vec<PathBuf>> {
        let mut out = Vec::new();
        for pending in &self.done {
            let same = match input_file::open(&pending.target) {
                Ok(old) => same_bytes(&old, &pending.file)?,
                Err(e) => e.kind() == io::ErrorKind::NotFound,
            };
            if !same {
                out.push(pending.target.clone());
            }
        }
        Ok(out)
    }

    /// Gives the file at `target` a second name.
    fn keep(&self, target: &Path) -> Before {
        match target.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Before::Nothing,
            Err(_) => return Before::Lost,
            Ok(_) => {}
        }
        for attempt in 0_u32.. {
            let path = self.hidden(attempt, "earlier");
            match std::fs::hard_link(target, &path) {
                Ok(()) => return Before::Kept(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                // Not every filesystem has hard links.
                Err(_) => return Before::Lost,
            }
        }
        Before::Lost
    }
}

impl Pending {
    /// Gives the file its final name.
    fn publish(&mut self) -> io::Result<()> {
        std::fs::rename(&self.temporary, &self.target).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("renaming to {}: {e}", self.target.display()),
            )
        })?;
        self.kept = true;
        Ok(())
    }

    /// Restores the file that had the final name before; false if that is not possible.
    fn withdraw(&mut self, before: &Before) -> bool {
        match before {
            Before::Nothing => {
                self.kept = std::fs::rename(&self.target, &self.temporary).is_err();
                !self.kept
            }
            Before::Kept(path) => std::fs::rename(path, &self.target).is_ok(),
            Before::Lost => false,
        }
    }
}

/// Whether two files have the same bytes.
fn same_bytes(one: &File, other: &File) -> io::Result<bool> {
    const PIECE: usize = 1 << 20;
    let len = one.metadata()?.len();
    if len != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < len {
        let count = usize::try_from(len - at).map_or(PIECE, |rest| rest.min(PIECE));
        one.read_exact_at(&mut left[..count], at)?;
        other.read_exact_at(&mut right[..count], at)?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// Restores the files that had the names of `published` before; returns `error`, with the names
/// that could not be restored.
fn withdrawn<'a>(
    published: impl Iterator<Item = (&'a mut Pending, &'a Before)>,
    error: io::Error,
) -> io::Error {
    let left: Vec<String> = published
        .filter_map(|(pending, before)| {
            (!pending.withdraw(before)).then(|| pending.target.display().to_string())
        })
        .collect();
    if left.is_empty() {
        error
    } else {
        io::Error::new(
            error.kind(),
            format!("{error}; already replaced: {}", left.join(", ")),
        )
    }
}

fn in_dir(dir: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use std::io::Write;

    /// Results of a run, written and finished.
    fn finished(dir: &Path, names: &[&str]) -> Outputs {
        let mut outputs = Outputs::new(dir).unwrap();
        for name in names {
            let pending = outputs.create(name).unwrap();
            pending.file().write_all(b"new").unwrap();
            outputs.finish(pending);
        }
        outputs
    }

    #[test]
    fn a_name_that_is_refused_gives_the_others_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "earlier").unwrap();
        let outputs = finished(dir.path(), &["a", "b", "c", "d"]);
        // Made by another process: a file cannot be renamed to a directory.
        std::fs::create_dir(dir.path().join("c")).unwrap();
        let error = outputs.publish().unwrap_err().to_string();
        assert!(
            error.starts_with("renaming to ") && !error.contains("already replaced"),
            "{error}"
        );
        assert_eq!(names(dir.path()), ["a", "c"]);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"earlier");
    }

    #[test]
    fn names_are_given_by_one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let outputs = finished(dir.path(), &["a"]);
        let other = File::open(dir.path()).unwrap();
        other.lock().unwrap();
        std::thread::scope(|scope| {
            let published = scope.spawn(|| outputs.publish());
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!dir.path().join("a").exists());
            other.unlock().unwrap();
            published.join().unwrap().unwrap();
        });
        assert_eq!(names(dir.path()), ["a"]);
    }
}
