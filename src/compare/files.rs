//! Files of two filesystems.

use super::{in_pieces, patch};
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Stat, Tree, show};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// In what way a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// It is in the second filesystem only.
    Added,
    /// It is in the first filesystem only.
    Removed,
    /// It is in both.
    Changed,
}

impl Sort {
    /// `+`, `-` or `~`.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Added => "+",
            Self::Removed => "-",
            Self::Changed => "~",
        }
    }
}

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileChange {
    /// The path, from `/`.
    pub path: String,
    /// In what way.
    pub sort: Sort,
    /// What it is, or was: `file`, `directory`, `symbolic link` and so on.
    pub kind: &'static str,
    /// What differs, each with both values: `mode 0644 -> 0600`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
    /// The package that differs and that the file is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The lines that differ, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

impl FileChange {
    /// Whether a change of its package explains it: the file came, went or has another content.
    #[must_use]
    pub fn is_of_package(&self) -> bool {
        let explained = |what: &String| {
            self.sort != Sort::Changed || what.starts_with("content") || what.starts_with("target ")
        };
        let is_kept = self.kind == "directory" && self.sort == Sort::Changed;
        self.package.is_some() && !is_kept && self.what.iter().all(explained)
    }

    /// What differs, in one line; of a path on one side only, what it is.
    #[must_use]
    pub fn described(&self) -> String {
        let what = self.what.join(", ");
        match (self.sort, self.kind) {
            (Sort::Changed, _) | (_, "file") => what,
            (_, "directory") => String::new(),
            (_, kind) => format!("{kind} {what}").trim_end().to_owned(),
        }
    }
}

/// The files of two filesystems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Files {
    /// The paths that differ, parents before children.
    pub changes: Vec<FileChange>,
    /// Number of paths that are the same in all but, perhaps, times.
    pub same: u64,
    /// Number of those whose modification time differs.
    pub times: u64,
}

/// Compares the files of two trees. Those in `owners` get the name of their package; with
/// `patches`, the lines that differ in text files that everybody may read are part of the result.
pub(super) fn compare(
    old: &Tree,
    new: &Tree,
    owners: &BTreeMap<Vec<u8>, String>,
    patches: bool,
) -> io::Result<Files> {
    let mut walk = Walk {
        old,
        new,
        links: (old.link_counts(), new.link_counts()),
        owners,
        patches,
        public: true,
        found: Files::default(),
    };
    let what = stat(&old.root.stat, &new.root.stat);
    walk.both(
        b"/",
        "directory",
        what,
        None,
        (&old.root.stat, &new.root.stat),
    );
    walk.directory(&mut Vec::new(), &old.root, &new.root)?;
    Ok(walk.found)
}

struct Walk<'t> {
    old: &'t Tree,
    new: &'t Tree,
    /// How many names each file has.
    links: (BTreeMap<LeafId, u32>, BTreeMap<LeafId, u32>),
    owners: &'t BTreeMap<Vec<u8>, String>,
    patches: bool,
    /// Everybody may enter the directory, on both sides.
    public: bool,
    found: Files,
}

impl Walk<'_> {
    fn directory(&mut self, path: &mut Vec<u8>, old: &Dir, new: &Dir) -> io::Result<()> {
        let outside = self.public;
        self.public = outside && old.stat.mode & new.stat.mode & 0o001 != 0;
        let names: BTreeSet<&Vec<u8>> = old.entries.keys().chain(new.entries.keys()).collect();
        for name in names {
            let len = path.len();
            path.push(b'/');
            path.extend_from_slice(name);
            match (old.entries.get(name), new.entries.get(name)) {
                (Some(DirEntry::Dir(old)), Some(DirEntry::Dir(new))) => {
                    let what = stat(&old.stat, &new.stat);
                    self.both(path, "directory", what, None, (&old.stat, &new.stat));
                    self.directory(path, old, new)?;
                }
                (Some(DirEntry::Leaf(old)), Some(DirEntry::Leaf(new))) => {
                    self.leaf(path, *old, *new)?;
                }
                (old, new) => {
                    if let Some(entry) = old {
                        self.alone(path, entry, Sort::Removed);
                    }
                    if let Some(entry) = new {
                        self.alone(path, entry, Sort::Added);
                    }
                }
            }
            path.truncate(len);
        }
        self.public = outside;
        Ok(())
    }

    /// A path that is in both trees.
    fn both(
        &mut self,
        path: &[u8],
        kind: &'static str,
        what: Vec<String>,
        patch: Option<String>,
        stats: (&Stat, &Stat),
    ) {
        if what.is_empty() {
            let times = u64::from(stats.0.mtime != stats.1.mtime);
            self.found.same = self.found.same.saturating_add(1);
            self.found.times = self.found.times.saturating_add(times);
        } else {
            self.push(path, Sort::Changed, kind, what, patch);
        }
    }

    fn push(
        &mut self,
        path: &[u8],
        sort: Sort,
        kind: &'static str,
        what: Vec<String>,
        patch: Option<String>,
    ) {
        let database = || {
            let is_part = !self.owners.is_empty() && path.starts_with(b"/var/lib/dpkg/");
            is_part.then(|| "dpkg's database".to_owned())
        };
        self.found.changes.push(FileChange {
            path: show(path),
            sort,
            kind,
            what,
            package: self.owners.get(path).cloned().or_else(database),
            patch,
        });
    }

    /// A path that is in one of the trees, with everything below it.
    fn alone(&mut self, path: &mut Vec<u8>, entry: &DirEntry, sort: Sort) {
        match entry {
            DirEntry::Leaf(id) => {
                let tree = if sort == Sort::Added {
                    self.new
                } else {
                    self.old
                };
                let leaf = tree.leaf(*id);
                let what = match &leaf.kind {
                    LeafKind::File(content) => vec![format!("{} bytes", content.len())],
                    LeafKind::Symlink(target) => vec![format!("to {}", show(target))],
                    _ => Vec::new(),
                };
                self.push(path, sort, kind(&leaf.kind), what, None);
            }
            DirEntry::Dir(dir) => {
                self.push(path, sort, "directory", Vec::new(), None);
                for (name, entry) in &dir.entries {
                    let len = path.len();
                    path.push(b'/');
                    path.extend_from_slice(name);
                    self.alone(path, entry, sort);
                    path.truncate(len);
                }
            }
        }
    }

    fn leaf(&mut self, path: &[u8], old: LeafId, new: LeafId) -> io::Result<()> {
        let count = |counts: &BTreeMap<LeafId, u32>, id| counts.get(&id).copied().unwrap_or(1);
        let links = (count(&self.links.0, old), count(&self.links.1, new));
        let (old, new) = (self.old.leaf(old), self.new.leaf(new));
        let (mut what, patch) = self.content(path, old, new)?;
        what.extend(stat(&old.stat, &new.stat));
        if links.0 != links.1 {
            what.push(format!("hard links {} -> {}", links.0, links.1));
        }
        self.both(path, kind(&new.kind), what, patch, (&old.stat, &new.stat));
        Ok(())
    }

    /// What differs in kind and content.
    fn content(
        &self,
        path: &[u8],
        old: &Leaf,
        new: &Leaf,
    ) -> io::Result<(Vec<String>, Option<String>)> {
        let mut patch = None;
        let what = match (&old.kind, &new.kind) {
            (LeafKind::File(one), LeafKind::File(other)) => {
                if is_same(one, other)? {
                    return Ok((Vec::new(), None));
                }
                let is_public = self.public && old.stat.mode & new.stat.mode & 0o004 != 0;
                if self.patches && is_public && !self.owners.contains_key(path) {
                    patch = patch::patch(one, other)?;
                }
                match (one.len(), other.len()) {
                    (one, other) if one == other => vec!["content".to_owned()],
                    (one, other) => vec![format!("content, {one} -> {other} bytes")],
                }
            }
            (LeafKind::Symlink(one), LeafKind::Symlink(other)) if one != other => {
                vec![format!("target {} -> {}", show(one), show(other))]
            }
            (one, other) => match (numbers(one), numbers(other)) {
                _ if kind(one) != kind(other) => {
                    vec![format!("{} -> {}", kind(one), kind(other))]
                }
                (one, other) if one != other => {
                    vec![format!(
                        "device {}:{} -> {}:{}",
                        one.0, one.1, other.0, other.1
                    )]
                }
                _ => Vec::new(),
            },
        };
        Ok((what, patch))
    }
}

/// The numbers of a device; zeros for anything else.
fn numbers(kind: &LeafKind) -> (u32, u32) {
    match kind {
        LeafKind::CharDevice { major, minor } | LeafKind::BlockDevice { major, minor } => {
            (*major, *minor)
        }
        _ => (0, 0),
    }
}

/// The name of a kind of inode.
fn kind(kind: &LeafKind) -> &'static str {
    match kind {
        LeafKind::File(_) => "file",
        LeafKind::Symlink(_) => "symbolic link",
        LeafKind::CharDevice { .. } => "character device",
        LeafKind::BlockDevice { .. } => "block device",
        LeafKind::Fifo => "pipe",
        LeafKind::Socket => "socket",
    }
}

/// What differs in owner, permission bits, flags and extended attributes.
fn stat(old: &Stat, new: &Stat) -> Vec<String> {
    let mut what = Vec::new();
    if old.mode != new.mode {
        what.push(format!("mode {:04o} -> {:04o}", old.mode, new.mode));
    }
    if (old.uid, old.gid) != (new.uid, new.gid) {
        let (one, other) = (old, new);
        what.push(format!(
            "owner {}:{} -> {}:{}",
            one.uid, one.gid, other.uid, other.gid
        ));
    }
    if old.flags != new.flags {
        what.push(format!("flags {:#x} -> {:#x}", old.flags, new.flags));
    }
    if old.project != new.project {
        what.push(format!("project {} -> {}", old.project, new.project));
    }
    let names: BTreeSet<&Vec<u8>> = old.xattrs.keys().chain(new.xattrs.keys()).collect();
    for name in names {
        let verb = match (old.xattrs.get(name), new.xattrs.get(name)) {
            (Some(_), None) => "removed",
            (None, Some(_)) => "added",
            (old, new) if old != new => "changed",
            _ => continue,
        };
        what.push(format!("attribute {} {verb}", show(name)));
    }
    what
}

/// Whether two contents have the same bytes.
fn is_same(old: &Content, new: &Content) -> io::Result<bool> {
    if old.len() != new.len() {
        return Ok(false);
    }
    let mut same = true;
    in_pieces((old, new), &mut |one, other| {
        same = one == other;
        same
    })?;
    Ok(same)
}
