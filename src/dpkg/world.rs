//! What a maintainer script sees and changes: the tree, the database, and the record of what was
//! done.

use super::database::Database;
use crate::stream::{Content, ReadAt};
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{Dir, DirEntry, Leaf, LeafKind, Node, Stat};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Files that scripts read are small; larger ones are no text.
const TEXT_LIMIT: u64 = 16 << 20;

/// The package whose script runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) architecture: String,
    pub(crate) base: String,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub(crate) script: String,
    /// The package's debconf templates.
    pub(crate) templates: Vec<u8>,
}

/// The world of one script.
pub(crate) struct World<'w, 't> {
    pub(crate) editor: &'w mut TreeEditor<'t>,
    pub(crate) database: &'w mut Database,
    pub(crate) package: Context,
    /// Units that stay disabled.
    pub(crate) disabled: &'w BTreeSet<String>,
    /// Statements outside of the model: line and what they say.
    pub(crate) unknown: Vec<(usize, String)>,
    /// What was done, for people.
    pub(crate) log: Vec<String>,
    /// The same, to find what is already there.
    pub(crate) logged: BTreeSet<String>,
    /// How much was looked at so far: bytes of files, steps of patterns.
    pub(crate) work: Cell<u64>,
    /// Triggers that were activated by name.
    pub(crate) activated: Vec<String>,
    /// Answers to debconf's questions, by this script.
    pub(crate) answers: BTreeMap<String, String>,
}

impl World<'_, '_> {
    /// Notes a statement outside of the model.
    pub(crate) fn unknown(&mut self, line: usize, what: &str) {
        self.unknown.push((line, what.to_owned()));
    }

    /// Notes what was done.
    pub(crate) fn done(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.logged.insert(what.clone()) {
            self.log.push(what);
        }
    }

    /// Counts work; the interpreter ends a script that does too much.
    pub(crate) fn works(&self, units: u64) {
        self.work.set(self.work.get().saturating_add(units));
    }

    /// Why a change is made.
    pub(crate) fn reason(&self) -> String {
        format!("{} of package {}", self.package.script, self.package.name)
    }

    /// What stands at a path, symlinks followed.
    pub(crate) fn find(&self, path: &str) -> Option<Node<'_>> {
        self.editor.tree().find(path)
    }

    /// What stands at a path, the last symlink not followed.
    pub(crate) fn find_nofollow(&self, path: &str) -> Option<Node<'_>> {
        self.editor.tree().find_nofollow(path)
    }

    /// Whether a symlink stands at a path, and its target.
    pub(crate) fn link_target(&self, path: &str) -> Option<String> {
        match self.find_nofollow(path)? {
            Node::Leaf(Leaf {
                kind: LeafKind::Symlink(target),
                ..
            }) => Some(String::from_utf8_lossy(target).into_owned()),
            _ => None,
        }
    }

    /// Whether something stands at a path, symlinks followed.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Whether a regular file stands at a path, symlinks followed.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.editor.tree().file(path).is_some()
    }

    /// Whether a directory stands at a path, symlinks followed.
    pub(crate) fn is_dir(&self, path: &str) -> bool {
        self.editor.tree().dir(path).is_some()
    }

    /// The stat of what stands at a path.
    pub(crate) fn stat(&self, path: &str, follow: bool) -> Option<&Stat> {
        match if follow {
            self.find(path)
        } else {
            self.find_nofollow(path)
        }? {
            Node::Dir(dir) => Some(&dir.stat),
            Node::Leaf(leaf) => Some(&leaf.stat),
        }
    }

    /// The path of a program, as the shell finds it: a path as it is, a name along `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<String> {
        let runs = |path: &String| {
            self.is_file(path)
                && self
                    .stat(path, true)
                    .is_some_and(|stat| stat.mode & 0o111 != 0)
        };
        if name.contains('/') {
            return Some(name.to_owned()).filter(runs);
        }
        [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
        .into_iter()
        .map(|dir| format!("{dir}/{name}"))
        .find(runs)
    }

    /// The text of a file; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, EditError> {
        if path == "/dev/null" {
            return Ok(Some(String::new()));
        }
        let bytes = self.editor.tree().read(path, TEXT_LIMIT)?;
        self.works(bytes.as_ref().map_or(0, Vec::len) as u64);
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes a file as `>` or `>>` would.
    pub(crate) fn write(
        &mut self,
        path: &str,
        bytes: &[u8],
        append: bool,
    ) -> Result<(), EditError> {
        let reason = self.reason();
        let mut all = if append {
            self.editor
                .tree()
                .read(path, TEXT_LIMIT)?
                .unwrap_or_default()
        } else {
            Vec::new()
        };
        all.extend_from_slice(bytes);
        self.works(all.len() as u64);
        self.editor.rewrite(path, all, 0o644, &reason)?;
        Ok(())
    }

    /// Makes a directory of root's and its parents; one that exists stays as it is.
    pub(crate) fn mkdir(&mut self, path: &str, mode: u16) -> Result<(), EditError> {
        let reason = self.reason();
        if self.is_dir(path) {
            Ok(())
        } else {
            self.editor.dir(path, mode, &reason)
        }
    }

    /// Takes a path out of the tree.
    pub(crate) fn remove(&mut self, path: &str) -> Result<Option<DirEntry>, EditError> {
        let reason = self.reason();
        self.editor.remove(path, &reason)
    }

    /// Puts a symlink.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> Result<(), EditError> {
        let reason = self.reason();
        self.editor.symlink(path, target, &reason)?;
        Ok(())
    }

    /// Puts an entry that was taken out of the tree at another path.
    pub(crate) fn place(&mut self, path: &str, entry: DirEntry) -> Result<(), EditError> {
        let reason = self.reason();
        let walk = self.editor.tree().walk(path.as_bytes(), false)?;
        let parents = Stat::root(0o755, self.editor.time());
        match entry {
            DirEntry::Leaf(id) => self.editor.tree_mut().link(path, id, &parents)?,
            DirEntry::Dir(dir) => self.place_dir(path, Arc::unwrap_or_clone(dir))?,
        }
        self.editor.record(
            walk.path(),
            if walk.exists {
                Action::Changed
            } else {
                Action::Added
            },
            &reason,
        );
        Ok(())
    }

    /// Puts a directory with all below it where none is.
    fn place_dir(&mut self, path: &str, dir: Dir) -> Result<(), EditError> {
        let parents = dir.stat.clone();
        self.editor.tree_mut().mkdir(path, &parents)?;
        let mut todo = vec![(path.to_owned().into_bytes(), dir)];
        while let Some((base, dir)) = todo.pop() {
            for (name, entry) in dir.entries {
                let path = [&base[..], b"/", &name].concat();
                match entry {
                    DirEntry::Leaf(id) => self.editor.tree_mut().link(&path, id, &parents)?,
                    DirEntry::Dir(inner) => {
                        self.editor.tree_mut().mkdir(&path, &inner.stat.clone())?;
                        todo.push((path, Arc::unwrap_or_clone(inner)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies a regular file with mode, owner and time, as `cp -p`.
    pub(crate) fn copy(&mut self, from: &str, to: &str) -> Result<bool, EditError> {
        let Some(Node::Leaf(leaf)) = self.find(from) else {
            return Ok(false);
        };
        let leaf = leaf.clone();
        let reason = self.reason();
        self.editor.put(to, leaf, &reason)?;
        Ok(true)
    }

    /// Changes the stat of what stands at a path; `false` when nothing does.
    pub(crate) fn change(
        &mut self,
        path: &str,
        follow: bool,
        f: impl FnOnce(&mut Stat),
    ) -> Result<bool, EditError> {
        let reason = self.reason();
        let walk = self.editor.tree().walk(path.as_bytes(), follow)?;
        let real = walk.path();
        let Some(stat) = self
            .editor
            .tree_mut()
            .stat_mut(&real)
            .filter(|_| walk.exists)
        else {
            return Ok(false);
        };
        let before = stat.clone();
        f(stat);
        if *stat != before {
            self.editor.record(real, Action::Changed, &reason);
        }
        Ok(true)
    }

    /// A file's bytes when it is a regular one, for comparison.
    pub(crate) fn content(&self, path: &str) -> Option<&Content> {
        self.editor.tree().file(path)
    }

    /// Bytes of a file, 0 when it is none.
    pub(crate) fn size(&self, path: &str) -> u64 {
        self.content(path).map_or(0, ReadAt::len)
    }
}
