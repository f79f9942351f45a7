//! The system that a maintainer script sees and changes: the tree and the database.

use super::database::Database;
use crate::shell::UnknownStatement;
use crate::stream::{Content, ReadAt};
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Node, Stat, show};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a path that Linux takes.
const PATH_MAX: usize = 4096;

/// Bytes of a file that scripts read as text; a larger one is an error.
const TEXT_LIMIT: u64 = 16 << 20;

/// The script that runs, and its package.
#[derive(Clone, Debug, Default)]
pub(super) struct ScriptContext {
    /// The name of the package.
    pub(super) name: String,
    pub(super) architecture: String,
    /// The name of the package's files in `info`, without their suffix.
    pub(super) base: String,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub(super) script: String,
    /// The package's debconf templates.
    pub(super) templates: Vec<u8>,
}

/// The host of one script.
pub(super) struct ScriptHost<'w, 't> {
    pub(super) editor: &'w mut TreeEditor<'t>,
    pub(super) database: &'w mut Database,
    pub(super) package: ScriptContext,
    /// Units that stay disabled.
    pub(super) disabled: &'w BTreeSet<String>,
    /// Statements outside of the model, each once.
    pub(super) unknown: Vec<UnknownStatement>,
    /// Why calls of commands, by their words, are refused.
    pub(super) impossible: BTreeMap<String, &'static str>,
    /// Lines of the script whose statements the user leaves out.
    pub(super) left_out: BTreeSet<usize>,
    /// Bytes of files that were read or written so far.
    pub(super) work: Cell<u64>,
    /// Triggers that were activated by name.
    pub(super) activated: Vec<String>,
    /// Answers to debconf's questions, by this script and those before it.
    pub(super) answers: BTreeMap<String, String>,
    /// Effects that are left out and need no other decision, for the user.
    pub(super) notes: Vec<String>,
    /// Effects without which the result would be wrong: clauses that follow the name of the script.
    pub(super) refused: Vec<String>,
    /// Temporary files made so far.
    pub(super) temporary: usize,
    /// The real path of the directory that relative paths begin at.
    pub(super) dir: String,
    /// The permissions that new files do not get.
    pub(super) umask: u16,
}

/// The permissions that new files do not get, as dpkg calls scripts.
pub(super) const UMASK: u16 = 0o022;

impl<'w, 't> ScriptHost<'w, 't> {
    pub(super) fn new(
        editor: &'w mut TreeEditor<'t>,
        database: &'w mut Database,
        package: ScriptContext,
        disabled: &'w BTreeSet<String>,
    ) -> Self {
        Self {
            editor,
            database,
            package,
            disabled,
            unknown: Vec::new(),
            impossible: BTreeMap::new(),
            left_out: BTreeSet::new(),
            work: Cell::new(0),
            activated: Vec::new(),
            answers: BTreeMap::new(),
            notes: Vec::new(),
            refused: Vec::new(),
            temporary: 0,
            dir: "/".to_owned(),
            umask: UMASK,
        }
    }

    /// Refuses to make what no system can name, before a path is walked for each directory on it.
    fn fits(&self, path: &str) -> Result<(), EditError> {
        if path.len() <= PATH_MAX {
            return Ok(());
        }
        let shown: String = path.chars().take(60).collect();
        Err(EditError::TooDeep(format!("{shown}...")))
    }

    /// A path from the root: a relative one begins at the working directory.
    pub(super) fn at<'p>(&self, path: &'p str) -> Cow<'p, str> {
        // Paths are walked from the root, for some changes once for each directory on the way.
        let depth = path.len().saturating_add(self.dir.len()) / 2;
        self.count_work(depth.saturating_mul(depth).saturating_mul(2));
        if path.is_empty() || path.starts_with('/') || self.dir == "/" {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(format!("{}/{path}", self.dir))
        }
    }

    /// The real path of the directory at a path; `None` if there is none.
    pub(super) fn real_dir(&self, path: &str) -> Option<String> {
        if !self.is_dir(path) {
            return None;
        }
        let walk = self.editor.tree().walk(self.at(path).as_bytes(), true);
        let real = String::from_utf8(walk.ok()?.path()).ok()?;
        Some(if real.is_empty() { "/".into() } else { real })
    }

    /// The leaf at a path; `None` for a directory, and where nothing is.
    pub(super) fn leaf_id(&self, path: &str, follow: bool) -> Option<LeafId> {
        let tree = self.editor.tree();
        let real = tree.walk(self.at(path).as_bytes(), follow).ok()?.path();
        let at = real.iter().rposition(|b| *b == b'/')?;
        match tree
            .dir(real.get(..at)?)?
            .entries
            .get(real.get(at + 1..)?)?
        {
            DirEntry::Leaf(id) => Some(*id),
            DirEntry::Dir(_) => None,
        }
    }

    /// Counts bytes that are read or written, or work of that size.
    pub(super) fn count_work(&self, bytes: usize) {
        self.work.set(self.work.get().saturating_add(bytes as u64));
    }

    /// Counts a look at entries of directories.
    pub(super) fn count_entries(&self, entries: usize) {
        self.count_work(entries.saturating_mul(300));
    }

    /// Why a change is made.
    pub(super) fn reason(&self) -> String {
        format!("{} of package {}", self.package.script, self.package.name)
    }

    /// The entry at a path, symlinks followed.
    pub(super) fn find(&self, path: &str) -> Option<Node<'_>> {
        let found = self.editor.tree().find(self.at(path).as_bytes());
        found.filter(|_| !path.is_empty())
    }

    /// The entry at a path, the last symlink not followed.
    pub(super) fn find_nofollow(&self, path: &str) -> Option<Node<'_>> {
        let found = self.editor.tree().find_nofollow(self.at(path).as_bytes());
        found.filter(|_| !path.is_empty())
    }

    /// The target of the symlink at a path; `None` if there is none.
    pub(super) fn link_target(&self, path: &str) -> Option<String> {
        match self.find_nofollow(path)? {
            Node::Leaf(Leaf {
                kind: LeafKind::Symlink(target),
                ..
            }) => Some(String::from_utf8_lossy(target).into_owned()),
            _ => None,
        }
    }

    /// Whether there is an entry at a path, symlinks followed.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Whether there is a regular file at a path, symlinks followed.
    pub(super) fn is_file(&self, path: &str) -> bool {
        self.content(path).is_some()
    }

    /// Whether there is a directory at a path, symlinks followed.
    pub(super) fn is_dir(&self, path: &str) -> bool {
        !path.is_empty() && self.editor.tree().dir(self.at(path).as_bytes()).is_some()
    }

    /// The stat of the entry at a path.
    pub(super) fn stat(&self, path: &str, follow: bool) -> Option<&Stat> {
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
    pub(super) fn program(&self, name: &str) -> Option<String> {
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

    /// The text of a file; bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, EditError> {
        if path == "/dev/null" {
            return Ok(Some(String::new()));
        }
        let bytes = self
            .editor
            .tree()
            .read(self.at(path).as_bytes(), TEXT_LIMIT)?;
        self.count_work(bytes.as_ref().map_or(0, Vec::len));
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes a file as `>` or `>>` would.
    pub(super) fn write_file(
        &mut self,
        path: &str,
        bytes: &[u8],
        append: bool,
    ) -> Result<(), EditError> {
        let at = self.at(path).into_owned();
        let old = self.editor.tree().read(&at, TEXT_LIMIT)?;
        let same = !append && old.as_deref() == Some(bytes) || append && bytes.is_empty();
        if same && old.is_some() {
            return Ok(());
        }
        let mut all = old.filter(|_| append).unwrap_or_default();
        all.extend_from_slice(bytes);
        self.count_work(all.len());
        self.write_content(&at, Content::bytes(all), 0o666 & !self.umask)
    }

    /// Writes a file, all of whose names see it; one that is missing is made with `mode`.
    pub(super) fn write_content(
        &mut self,
        path: &str,
        content: Content,
        mode: u16,
    ) -> Result<(), EditError> {
        self.fits(path)?;
        let (reason, time) = (self.reason(), self.editor.time());
        let path = self.at(path).into_owned();
        let real = self.editor.tree().walk(path.as_bytes(), true)?.path();
        let kind = LeafKind::File(content);
        let Some(id) = self.leaf_id(&path, true) else {
            let stat = Stat::root(mode, time);
            self.editor.put(&real, Leaf { stat, kind }, &reason)?;
            return self.inherit(&path);
        };
        let leaf = self.editor.tree_mut().leaf_mut(id);
        leaf.kind = kind;
        (leaf.stat.mtime, leaf.stat.ctime) = (time, time);
        leaf.stat.xattrs.remove(&b"security.capability"[..]);
        self.editor.record(real, Action::Changed, &reason);
        Ok(())
    }

    /// Gives a file one more name.
    pub(super) fn hard_link(&mut self, id: LeafId, path: &str) -> Result<(), EditError> {
        self.fits(path)?;
        let reason = self.reason();
        let path = self.at(path).into_owned();
        let real = self.editor.tree().walk(path.as_bytes(), false)?.path();
        let parents = Stat::root(0o755, self.editor.time());
        self.editor.tree_mut().link(&path, id, &parents)?;
        self.editor.record(real, Action::Added, &reason);
        Ok(())
    }

    /// Creates a directory owned by root, with its parents; one that exists stays as it is.
    pub(super) fn mkdir(&mut self, path: &str, mode: u16) -> Result<(), EditError> {
        self.fits(path)?;
        let reason = self.reason();
        let mut made = Vec::new();
        let path = self.at(path).into_owned();
        let mut rest = path.trim_end_matches('/');
        while !rest.is_empty() && !self.is_dir(rest) {
            made.push(rest);
            rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        for dir in made.into_iter().rev() {
            self.editor.dir(dir, mode, &reason)?;
            self.inherit(dir)?;
        }
        Ok(())
    }

    /// Whether the directory in which a path would be is there.
    pub(super) fn has_parent(&self, path: &str) -> bool {
        match path.trim_end_matches('/').rsplit_once('/') {
            None => self.is_dir(&self.dir),
            Some(("", _)) => true,
            Some((parent, _)) => self.is_dir(parent),
        }
    }

    /// Gives what was just made the group of a directory with the setgid bit, and a directory the
    /// bit too.
    pub(super) fn inherit(&mut self, path: &str) -> Result<(), EditError> {
        let at = self.at(path);
        let real = self.editor.tree().walk(at.as_bytes(), false)?.path();
        let Some(at) = real.iter().rposition(|b| *b == b'/') else {
            return Ok(());
        };
        let parent = match self.editor.tree().dir(real.get(..at).unwrap_or_default()) {
            Some(parent) => parent.stat.clone(),
            None => return Ok(()),
        };
        if parent.mode & 0o2000 == 0 {
            return Ok(());
        }
        let path = show(&real);
        let dir = self.is_dir(&path) && self.link_target(&path).is_none();
        self.change_stat(&path, false, |stat| {
            stat.gid = parent.gid;
            if dir {
                stat.mode |= 0o2000;
            }
        })?;
        Ok(())
    }

    /// Takes note of an effect that is left out.
    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Removes a path with all below it.
    pub(super) fn remove(&mut self, path: &str) -> Result<Option<DirEntry>, EditError> {
        let reason = self.reason();
        let path = self.at(path).into_owned();
        self.editor.remove(path, &reason)
    }

    /// Creates a symlink in place of any file at the path.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<(), EditError> {
        self.fits(path)?;
        let reason = self.reason();
        let path = self.at(path).into_owned();
        self.editor.symlink(&path, target, &reason)?;
        self.inherit(&path)
    }

    /// Inserts an entry that was removed elsewhere.
    pub(super) fn insert(&mut self, path: &str, entry: DirEntry) -> Result<(), EditError> {
        self.fits(path)?;
        let reason = self.reason();
        let path = &self.at(path).into_owned();
        let walk = self.editor.tree().walk(path.as_bytes(), false)?;
        let parents = Stat::root(0o755, self.editor.time());
        match entry {
            DirEntry::Leaf(id) => self.editor.tree_mut().link(path, id, &parents)?,
            DirEntry::Dir(dir) => self.insert_dir(path, Arc::unwrap_or_clone(dir))?,
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

    /// Inserts a directory with all below it where there is none.
    fn insert_dir(&mut self, path: &str, dir: Dir) -> Result<(), EditError> {
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
    pub(super) fn copy(&mut self, from: &str, to: &str) -> Result<bool, EditError> {
        self.fits(to)?;
        let Some(Node::Leaf(leaf)) = self.find(from) else {
            return Ok(false);
        };
        let leaf = leaf.clone();
        let reason = self.reason();
        let to = self.at(to).into_owned();
        self.editor.put(to, leaf, &reason)?;
        Ok(true)
    }

    /// Changes the stat of the entry at a path; `false` if there is none.
    pub(super) fn change_stat(
        &mut self,
        path: &str,
        follow: bool,
        f: impl FnOnce(&mut Stat),
    ) -> Result<bool, EditError> {
        let reason = self.reason();
        let at = self.at(path);
        let walk = self.editor.tree().walk(at.as_bytes(), follow)?;
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

    /// The content of a regular file.
    pub(super) fn content(&self, path: &str) -> Option<&Content> {
        self.editor.tree().file(self.at(path).as_bytes())
    }

    /// The length of a regular file in bytes; 0 if there is none.
    pub(super) fn file_size(&self, path: &str) -> u64 {
        self.content(path).map_or(0, ReadAt::len)
    }
}
