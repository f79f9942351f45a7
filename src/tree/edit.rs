//! Reading and changing a tree by path. Every path is walked inside the root (see [`Tree::walk`]):
//! nothing can leave it.

use super::path::{Node, WalkError};
use super::{Dir, DirEntry, Leaf, LeafId, LeafKind, Stat, Tree, show};
use crate::stream::Content;
use std::sync::Arc;

/// How deep directories may lie: as deep as the reader of ext4 goes. A tree is a nested value, so
/// depth costs stack.
const MAX_DEPTH: usize = 1024;

/// Why an edit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The path cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// Nothing is at the path.
    #[error("{0}: no such file or directory")]
    Missing(String),
    /// A directory is where a leaf should go, or the other way round.
    #[error("{0}: is {1}, which {2} cannot replace")]
    InTheWay(String, &'static str, &'static str),
    /// A name that no filesystem holds.
    #[error("{0}: a name of {1} bytes (1 to 255 are possible)")]
    BadName(String, usize),
    /// A directory deeper than what filesystems are read to.
    #[error("{0}: more than {MAX_DEPTH} directories within each other")]
    TooDeep(String),
    /// Reading a file failed.
    #[error("reading {0}: {1}")]
    Io(String, std::io::Error),
}

impl Tree {
    /// What is at `path`, following the last symlink; `None` when nothing is there or the walk
    /// fails.
    #[must_use]
    pub fn find(&self, path: impl AsRef<[u8]>) -> Option<Node<'_>> {
        let walk = self
            .walk(path.as_ref(), true)
            .ok()
            .filter(|walk| walk.exists)?;
        self.entry_real(&walk.real)
    }

    /// What is at `path`, not following the last symlink.
    #[must_use]
    pub fn find_nofollow(&self, path: impl AsRef<[u8]>) -> Option<Node<'_>> {
        let walk = self
            .walk(path.as_ref(), false)
            .ok()
            .filter(|walk| walk.exists)?;
        self.entry_real(&walk.real)
    }

    /// The directory at `path`, symlinks followed.
    #[must_use]
    pub fn dir(&self, path: impl AsRef<[u8]>) -> Option<&Dir> {
        match self.find(path)? {
            Node::Dir(dir) => Some(dir),
            Node::Leaf(_) => None,
        }
    }

    /// The content of the regular file at `path`, symlinks followed.
    #[must_use]
    pub fn file(&self, path: impl AsRef<[u8]>) -> Option<&Content> {
        match self.find(path)? {
            Node::Leaf(Leaf {
                kind: LeafKind::File(content),
                ..
            }) => Some(content),
            _ => None,
        }
    }

    /// The bytes of the regular file at `path` (symlinks followed), at most `limit` of them; `None`
    /// when the file does not exist.
    ///
    /// # Errors
    /// [`EditError::Io`] when reading fails or the file is larger.
    pub fn read(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<Vec<u8>>, EditError> {
        let path = path.as_ref();
        self.file(path)
            .map(|content| {
                content
                    .read_all(limit)
                    .map_err(|e| EditError::Io(show(path), e))
            })
            .transpose()
    }

    /// The text of a regular file (symlinks followed), when it exists; bytes that are not UTF-8 are
    /// an error.
    ///
    /// # Errors
    /// As [`Tree::read`], and [`EditError::Io`] for other bytes.
    pub fn text(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<String>, EditError> {
        let path = path.as_ref();
        let utf8 = |bytes| {
            String::from_utf8(bytes)
                .map_err(|e| EditError::Io(show(path), std::io::Error::other(e)))
        };
        self.read(path, limit)?.map(utf8).transpose()
    }

    /// Makes the directory at `path` and all parents that are missing with `stat`; directories that
    /// exist stay as they are. Returns the real components.
    ///
    /// # Errors
    /// [`EditError`] when a leaf is in the way.
    pub fn mkdir(
        &mut self,
        path: impl AsRef<[u8]>,
        stat: &Stat,
    ) -> Result<Vec<Vec<u8>>, EditError> {
        let path = path.as_ref();
        let walk = self.walk(path, true)?;
        if walk.real.len() > MAX_DEPTH {
            return Err(EditError::TooDeep(show(path)));
        }
        let mut dir = &mut self.root;
        for name in &walk.real {
            check_name(path, name)?;
            let entry = dir
                .entries
                .entry(name.clone())
                .or_insert_with(|| Dir::new(stat.clone()).into());
            match entry {
                DirEntry::Dir(next) => dir = Arc::make_mut(next),
                DirEntry::Leaf(_) => {
                    return Err(EditError::InTheWay(
                        show(path),
                        "not a directory",
                        "a directory",
                    ));
                }
            }
        }
        Ok(walk.real)
    }

    /// Puts a leaf at `path`, replacing the leaf there (a symlink at the end is replaced, not
    /// followed; those before it are followed). Missing parents are made as root's 0755 directories
    /// with the leaf's mtime. Other hard links of what was there stay.
    ///
    /// # Errors
    /// [`EditError`] when a directory is there.
    pub fn put(&mut self, path: impl AsRef<[u8]>, leaf: Leaf) -> Result<LeafId, EditError> {
        let time = leaf.stat.mtime;
        let id = self.add_leaf(leaf);
        self.link(path, id, &Stat::root(0o755, time))?;
        Ok(id)
    }

    /// Puts a regular file of these bytes at `path`: see [`Tree::put`].
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn put_file(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: impl Into<Vec<u8>>,
        stat: Stat,
    ) -> Result<LeafId, EditError> {
        let bytes: Vec<u8> = bytes.into();
        self.put(
            path,
            Leaf {
                stat,
                kind: LeafKind::File(Content::bytes(bytes)),
            },
        )
    }

    /// Puts a symlink at `path`: see [`Tree::put`].
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub fn put_symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl Into<Vec<u8>>,
        time: super::Time,
    ) -> Result<LeafId, EditError> {
        self.put(
            path,
            Leaf {
                stat: Stat::root(0o777, time),
                kind: LeafKind::Symlink(target.into()),
            },
        )
    }

    /// Gives a leaf one more name, replacing the leaf that has it. Missing parents get `parents`.
    ///
    /// # Errors
    /// [`EditError`] when a directory is there.
    pub fn link(
        &mut self,
        path: impl AsRef<[u8]>,
        id: LeafId,
        parents: &Stat,
    ) -> Result<(), EditError> {
        let path = path.as_ref();
        let walk = self.walk(path, false)?;
        let in_the_way = || EditError::InTheWay(show(path), "a directory", "a file");
        let (name, parent) = walk.real.split_last().ok_or_else(in_the_way)?;
        check_name(path, name)?;
        let parent = self.mkdir(join(parent), parents)?;
        let dir = self
            .dir_real_mut(&parent)
            .ok_or_else(|| EditError::Missing(show(path)))?;
        if matches!(dir.entries.get(name), Some(DirEntry::Dir(_))) {
            return Err(in_the_way());
        }
        dir.entries.insert(name.clone(), DirEntry::Leaf(id));
        Ok(())
    }

    /// Takes what is at `path` out of the tree (the last symlink not followed) and returns it;
    /// `None` when nothing is there.
    ///
    /// # Errors
    /// [`EditError::Walk`].
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> Result<Option<DirEntry>, EditError> {
        let walk = self.walk(path.as_ref(), false)?;
        let Some((name, parent)) = walk.real.split_last() else {
            return Ok(None);
        };
        Ok(self
            .dir_real_mut(parent)
            .and_then(|dir| dir.entries.remove(name)))
    }

    /// The stat of what is at `path`, to change it (the last symlink not followed).
    #[must_use]
    pub fn stat_mut(&mut self, path: impl AsRef<[u8]>) -> Option<&mut Stat> {
        let walk = self
            .walk(path.as_ref(), false)
            .ok()
            .filter(|walk| walk.exists)?;
        let Some((name, parent)) = walk.real.split_last() else {
            return Some(&mut self.root.stat);
        };
        let id = match self.dir_real_mut(parent)?.entries.get(name)? {
            DirEntry::Leaf(id) => *id,
            DirEntry::Dir(_) => return self.dir_real_mut(&walk.real).map(|dir| &mut dir.stat),
        };
        Some(&mut self.leaf_mut(id).stat)
    }
}

/// Real components as a path.
fn join(real: &[Vec<u8>]) -> Vec<u8> {
    real.iter().fold(Vec::new(), |mut path, name| {
        path.push(b'/');
        path.extend_from_slice(name);
        path
    })
}

/// Refuses names that no filesystem holds.
fn check_name(path: &[u8], name: &[u8]) -> Result<(), EditError> {
    let fine = (1..=255).contains(&name.len()) && !name.contains(&0) && name != b"..";
    if fine {
        Ok(())
    } else {
        Err(EditError::BadName(show(path), name.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stat, Time, Tree};
    use super::*;

    fn tree() -> Tree {
        let time = Time {
            seconds: 1,
            nanos: 0,
        };
        let mut tree = Tree::new(Stat::root(0o755, time));
        tree.put_file("/usr/bin/sh", "sh", Stat::root(0o755, time))
            .unwrap();
        tree.put_symlink("/bin", "usr/bin", time).unwrap();
        tree.put_symlink("/up", "../../../etc", time).unwrap();
        tree.put_symlink("/loop", "/loop", time).unwrap();
        tree
    }

    #[test]
    fn symlinks_are_followed_inside_the_root() {
        let mut tree = tree();
        assert_eq!(tree.read("/bin/sh", 10).unwrap().unwrap(), b"sh");
        tree.put_file("/up/../../passwd", "x", Stat::root(0o644, Time::default()))
            .unwrap();
        assert!(tree.file("/passwd").is_some());
        tree.put_file("/up/hosts", "y", Stat::root(0o644, Time::default()))
            .unwrap();
        assert!(tree.file("/etc/hosts").is_some());
        assert!(matches!(
            tree.mkdir("/loop/x", &Stat::root(0o755, Time::default())),
            Err(EditError::Walk(WalkError::Loop(_)))
        ));
        assert!(
            tree.put_file("/usr/bin/sh/x", "", Stat::root(0o644, Time::default()))
                .is_err()
        );
        assert!(
            tree.put_file("/usr", "", Stat::root(0o644, Time::default()))
                .is_err()
        );
        assert!(tree.remove("/bin").unwrap().is_some());
        assert!(tree.file("/usr/bin/sh").is_some());
        // Back from what does not exist, and from what does.
        assert_eq!(
            tree.walk(b"/none/below/../../usr/bin/sh", true)
                .unwrap()
                .path(),
            b"/usr/bin/sh"
        );
        assert_eq!(
            tree.walk(b"/usr/bin/../none/../bin", true).unwrap().path(),
            b"/usr/bin"
        );
        assert!(tree.walk(b"/usr/../up/../usr/bin/sh", true).unwrap().exists);
        let deep = |depth: usize| "/d".repeat(depth);
        tree.mkdir(deep(1024), &Stat::root(0o755, Time::default()))
            .unwrap();
        assert!(matches!(
            tree.mkdir(deep(1025), &Stat::root(0o755, Time::default())),
            Err(EditError::TooDeep(_))
        ));
        assert!(matches!(
            tree.put_file(deep(1026), "", Stat::root(0o644, Time::default())),
            Err(EditError::TooDeep(_))
        ));
        tree.stat_mut("/usr/bin").unwrap().uid = 7;
        assert_eq!(tree.dir("/usr/bin").unwrap().stat.uid, 7);
    }
}
