//! A [`TreeEditor`] changes a tree and records each change with its reason. The record goes into
//! the report, and a comparison of the result with the golden image must find these changes and no
//! others.

use super::edit::EditError;
use super::{DirEntry, Leaf, LeafId, LeafKind, Node, Stat, Time, Tree, show};
use crate::stream::{Content, ReadAt as _, common_len};
use std::io;

/// What was done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Nothing was there before.
    Added,
    /// Something was there and is now different.
    Changed,
    /// What was there is gone, with all below it.
    Removed,
}

/// One change of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The real path: no symlink in it but perhaps the last component.
    pub path: Vec<u8>,
    /// How the path differs from before.
    pub action: Action,
    /// Why, for people: a short clause such as "environment tools of the update client".
    pub reason: String,
}

/// A tree being edited, and the record of it.
#[derive(Debug)]
pub struct TreeEditor<'t> {
    tree: &'t mut Tree,
    time: Time,
    changes: Vec<Change>,
}

impl<'t> TreeEditor<'t> {
    /// Starts to edit `tree`; what is made carries `time`.
    #[must_use]
    pub fn new(tree: &'t mut Tree, time: Time) -> Self {
        Self {
            tree,
            time,
            changes: Vec::new(),
        }
    }

    /// Goes on with `tree`, after these changes.
    #[must_use]
    pub fn resume(tree: &'t mut Tree, time: Time, changes: Vec<Change>) -> Self {
        Self {
            tree,
            time,
            changes,
        }
    }

    /// The tree as it is now.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        self.tree
    }

    /// The tree, for changes that are recorded by hand with [`TreeEditor::record`].
    pub fn tree_mut(&mut self) -> &mut Tree {
        self.tree
    }

    /// The time that new files carry.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// What was done so far, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// All that was done, in order.
    #[must_use]
    pub fn finish(self) -> Vec<Change> {
        self.changes
    }

    /// Records a change made by hand.
    pub fn record(&mut self, path: impl Into<Vec<u8>>, action: Action, reason: &str) {
        self.changes.push(Change {
            path: path.into(),
            action,
            reason: reason.to_owned(),
        });
    }

    /// Puts any leaf at `path` (the last symlink is replaced, not followed), with parents as
    /// [`Tree::put`] makes them; missing parents are recorded too.
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn put(
        &mut self,
        path: impl AsRef<[u8]>,
        leaf: Leaf,
        reason: &str,
    ) -> Result<LeafId, EditError> {
        let path = path.as_ref();
        self.parents(path, reason)?;
        let walk = self.tree.walk(path, false)?;
        let id = self.tree.put(path, leaf)?;
        self.record(
            walk.path(),
            if walk.exists {
                Action::Changed
            } else {
                Action::Added
            },
            reason,
        );
        Ok(id)
    }

    /// Whether what is at `path` (a last symlink not followed) is what `leaf` would be but for its
    /// times.
    fn already(&self, path: &[u8], leaf: &Leaf) -> Result<bool, EditError> {
        let Some(Node::Leaf(old)) = self.tree.find_nofollow(path) else {
            return Ok(false);
        };
        let marks = |stat: &Stat| {
            (
                stat.mode,
                stat.uid,
                stat.gid,
                stat.project,
                stat.flags,
                stat.xattrs.clone(),
            )
        };
        let same = marks(&old.stat) == marks(&leaf.stat)
            && match (&old.kind, &leaf.kind) {
                (LeafKind::File(old), LeafKind::File(new)) => {
                    same_bytes(old, new).map_err(|e| EditError::Io(show(path), e))?
                }
                (LeafKind::Symlink(old), LeafKind::Symlink(new)) => old == new,
                _ => false,
            };
        Ok(same)
    }

    /// Puts a leaf, unless one that is the same but for its times is there: what was edited before
    /// needs no edit. The bytes of files of the same length are read for it.
    ///
    /// # Errors
    /// As [`Tree::put`], and I/O errors of the sources.
    pub fn place(&mut self, path: &[u8], leaf: Leaf, reason: &str) -> Result<(), EditError> {
        if !self.already(path, &leaf)? {
            self.put(path, leaf, reason)?;
        }
        Ok(())
    }

    /// Puts a regular file of root's with these permission bits; one that is there and the same
    /// stays as it is.
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn file(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: impl Into<Vec<u8>>,
        mode: u16,
        reason: &str,
    ) -> Result<(), EditError> {
        let bytes: Vec<u8> = bytes.into();
        let kind = LeafKind::File(Content::bytes(bytes));
        self.place(
            path.as_ref(),
            Leaf {
                stat: Stat::root(mode, self.time),
                kind,
            },
            reason,
        )
    }

    /// Replaces the content of a file that exists (symlinks followed) and keeps its owner, mode and
    /// attributes; a file that is missing is made with `mode`.
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn rewrite(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: impl Into<Vec<u8>>,
        mode: u16,
        reason: &str,
    ) -> Result<(), EditError> {
        let path = path.as_ref();
        let real = self.tree.walk(path, true)?.path();
        let stat = match self.tree.find(path) {
            Some(Node::Leaf(leaf)) => Stat {
                mtime: self.time,
                ctime: self.time,
                ..leaf.stat.clone()
            },
            _ => Stat::root(mode, self.time),
        };
        let bytes: Vec<u8> = bytes.into();
        self.place(
            &real,
            Leaf {
                stat,
                kind: LeafKind::File(Content::bytes(bytes)),
            },
            reason,
        )
    }

    /// Puts a symlink; one with this target stays as it is.
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl Into<Vec<u8>>,
        reason: &str,
    ) -> Result<(), EditError> {
        self.place(
            path.as_ref(),
            Leaf {
                stat: Stat::root(0o777, self.time),
                kind: LeafKind::Symlink(target.into()),
            },
            reason,
        )
    }

    /// Makes a directory of root's and its parents where they are missing; one that exists stays as
    /// it is.
    ///
    /// # Errors
    /// As [`Tree::mkdir`].
    pub fn dir(
        &mut self,
        path: impl AsRef<[u8]>,
        mode: u16,
        reason: &str,
    ) -> Result<(), EditError> {
        let path = path.as_ref();
        self.parents(path, reason)?;
        let walk = self.tree.walk(path, true)?;
        self.tree.mkdir(path, &Stat::root(mode, self.time))?;
        if !walk.exists {
            self.record(walk.path(), Action::Added, reason);
        }
        Ok(())
    }

    /// Takes what is at `path` out (the last symlink not followed) and returns it.
    ///
    /// # Errors
    /// As [`Tree::remove`].
    pub fn remove(
        &mut self,
        path: impl AsRef<[u8]>,
        reason: &str,
    ) -> Result<Option<DirEntry>, EditError> {
        let real = self.tree.walk(path.as_ref(), false)?.path();
        let gone = self.tree.remove(path)?;
        if gone.is_some() {
            self.record(real, Action::Removed, reason);
        }
        Ok(gone)
    }

    /// The bytes of a regular file (symlinks followed), when it exists.
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub fn read(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<Vec<u8>>, EditError> {
        self.tree.read(path, limit)
    }

    /// The text of a regular file (symlinks followed), when it exists; bytes that are not UTF-8 are
    /// an error.
    ///
    /// # Errors
    /// As [`Tree::text`].
    pub fn text(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<String>, EditError> {
        self.tree.text(path, limit)
    }

    /// Makes and records the parents of `path` that are missing, as root's 0755.
    fn parents(&mut self, path: &[u8], reason: &str) -> Result<(), EditError> {
        let walk = self.tree.walk(path, false)?;
        let Some((_, parents)) = walk.real.split_last() else {
            return Ok(());
        };
        let mut at = Vec::new();
        for name in parents {
            at.push(b'/');
            at.extend_from_slice(name);
            if self.tree.find_nofollow(&at).is_none() {
                self.tree.mkdir(&at, &Stat::root(0o755, self.time))?;
                self.record(at.clone(), Action::Added, reason);
            }
        }
        Ok(())
    }
}

/// Whether two files have the same bytes.
fn same_bytes(a: &Content, b: &Content) -> io::Result<bool> {
    Ok(a.len() == b.len() && common_len((a, 0), (b, 0), a.len())? == a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_recorded_at_its_real_path() {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        tree.put_symlink("/bin", "usr/bin", Time::default())
            .unwrap();
        let mut editor = TreeEditor::new(&mut tree, Time::default());
        editor.file("/bin/tool", "a", 0o755, "r").unwrap();
        editor.rewrite("/bin/tool", "b", 0o600, "again").unwrap();
        editor.remove("/bin", "tidy").unwrap();
        // An identical file needs no change.
        editor.symlink("/link", "x", "r").unwrap();
        for _ in 0..2 {
            editor.file("/usr/bin/tool", "b", 0o755, "third").unwrap();
            editor.symlink("/link", "x", "twice").unwrap();
            editor
                .rewrite("/usr/bin/tool", "b", 0o755, "twice")
                .unwrap();
        }
        let changes = editor.finish();
        let short: Vec<(String, Action)> =
            changes.iter().map(|c| (show(&c.path), c.action)).collect();
        let expected = [
            ("/usr", Action::Added),
            ("/usr/bin", Action::Added),
            ("/usr/bin/tool", Action::Added),
        ];
        let expected = expected.into_iter().chain([
            ("/usr/bin/tool", Action::Changed),
            ("/bin", Action::Removed),
            ("/link", Action::Added),
        ]);
        assert_eq!(
            short,
            expected.map(|(p, a)| (p.to_owned(), a)).collect::<Vec<_>>()
        );
    }
}
