//! Putting the files of one filesystem into a directory of another.

use super::edit::EditError;
use super::{Dir, DirEntry, LeafId, Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Tree {
    /// Puts all files of `other` into the directory `path`, which is made if it is missing and gets
    /// the metadata of `other`'s root; hard links among them are kept. With `replace` nothing else
    /// is left in the directory; otherwise entries of the same name are replaced. Returns the
    /// entries that are gone: paths within the directory, parents only.
    ///
    /// # Errors
    /// [`EditError`] when the path cannot be walked or leads to something else.
    pub fn graft(
        &mut self,
        path: &str,
        other: &Tree,
        replace: bool,
    ) -> Result<Vec<Vec<u8>>, EditError> {
        let real = self.mkdir(path, &other.root.stat)?;
        let mut graft = Graft {
            target: self,
            source: other,
            ids: BTreeMap::new(),
            gone: Vec::new(),
        };
        let copy = graft.dir(&other.root);
        let Graft { mut gone, .. } = graft;
        let mut dir = &mut self.root;
        for name in &real {
            match dir.entries.get_mut(name) {
                Some(DirEntry::Dir(next)) => dir = Arc::make_mut(next),
                _ => return Err(EditError::Missing(path.to_owned())),
            }
        }
        if replace {
            gone.extend(dir.entries.keys().cloned());
            dir.entries.clear();
        }
        union(dir, copy, &mut Vec::new(), &mut gone);
        Ok(gone)
    }
}

/// State of a graft.
struct Graft<'t> {
    target: &'t mut Tree,
    source: &'t Tree,
    ids: BTreeMap<LeafId, LeafId>,
    gone: Vec<Vec<u8>>,
}

impl Graft<'_> {
    /// A copy of a directory of the source, whose leaves are those of the target.
    fn dir(&mut self, dir: &Dir) -> Dir {
        let mut copy = Dir::new(dir.stat.clone());
        for (name, entry) in &dir.entries {
            let entry = match entry {
                DirEntry::Dir(dir) => self.dir(dir).into(),
                DirEntry::Leaf(id) => DirEntry::Leaf(self.leaf(*id)),
            };
            copy.entries.insert(name.clone(), entry);
        }
        copy
    }

    fn leaf(&mut self, id: LeafId) -> LeafId {
        if let Some(known) = self.ids.get(&id) {
            return *known;
        }
        let copy = self.target.add_leaf(self.source.leaf(id).clone());
        self.ids.insert(id, copy);
        copy
    }
}

/// Puts the entries of `new` into `dir`, which gets its metadata.
fn union(dir: &mut Dir, new: Dir, path: &mut Vec<u8>, gone: &mut Vec<Vec<u8>>) {
    dir.stat = new.stat;
    for (name, entry) in new.entries {
        let len = path.len();
        path.push(b'/');
        path.extend_from_slice(&name);
        match (dir.entries.get_mut(&name), entry) {
            (Some(DirEntry::Dir(old)), DirEntry::Dir(new)) => {
                union(Arc::make_mut(old), Arc::unwrap_or_clone(new), path, gone);
            }
            (old, entry) => {
                if old.is_some() {
                    gone.push(path.clone());
                }
                dir.entries.insert(name, entry);
            }
        }
        path.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stat, Time, Tree};

    fn stat(mode: u16) -> Stat {
        Stat::root(mode, Time::default())
    }

    #[test]
    fn a_graft_keeps_links_metadata_and_what_it_does_not_replace() {
        let mut tree = Tree::new(stat(0o755));
        for path in ["/home/a/x", "/home/b", "/etc/c"] {
            tree.put_file(path, "old", stat(0o600)).unwrap();
        }
        let mut other = Tree::new(stat(0o700));
        let id = other.put_file("/a/x", "new", stat(0o640)).unwrap();
        other.link("/a/y", id, &stat(0o755)).unwrap();
        let mut kept = tree.clone();
        let gone = kept.graft("/home", &other, false).unwrap();
        assert_eq!(gone, [b"/a/x".to_vec()]);
        assert_eq!(kept.read("/home/b", 9).unwrap().unwrap(), b"old");
        assert_eq!(kept.read("/home/a/y", 9).unwrap().unwrap(), b"new");
        assert_eq!(kept.dir("/home").unwrap().stat.mode, 0o700);
        assert_eq!(kept.link_counts().values().max(), Some(&2));
        let gone = tree.graft("/home", &other, true).unwrap();
        assert_eq!(gone, [b"a".to_vec(), b"b".to_vec()]);
        assert!(tree.find("/home/b").is_none());
        assert_eq!(tree.read("/etc/c", 9).unwrap().unwrap(), b"old");
        // Where nothing was, the directory is made; where a file is, nothing is lost.
        tree.graft("/srv/app", &other, true).unwrap();
        assert_eq!(tree.read("/srv/app/a/x", 9).unwrap().unwrap(), b"new");
        assert!(tree.graft("/etc/c", &other, true).is_err());
        assert_eq!(tree.read("/etc/c", 9).unwrap().unwrap(), b"old");
    }
}
