//! Two trees compared, and the tree of ours written over a copy of the root.

use super::root::Copy;
use goldsmith::stream::Content;
use goldsmith::tree::{DirEntry, LeafId, LeafKind, Stat, Tree};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file's text is shown where files differ.
const SHOWN: usize = 6000;

/// A path at which two trees differ, and what is there in each.
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) ours: Option<String>,
    pub(super) theirs: Option<String>,
}

/// The digests of the files of a root, whose contents many trees share, by the place where they
/// are read. They hold as long as the root is there.
pub(super) struct Digests(BTreeMap<(usize, u64, u64), String>);

impl Digests {
    pub(super) fn new(root: &Tree) -> Self {
        let mut out = BTreeMap::new();
        root.visit(&mut |_, entry| {
            let DirEntry::Leaf(id) = entry else { return };
            if let LeafKind::File(content) = &root.leaf(*id).kind
                && let Some(place) = place(content)
            {
                out.entry(place).or_insert_with(|| digest(content));
            }
        });
        Self(out)
    }

    fn of(&self, content: &Content) -> String {
        let known = place(content).and_then(|place| self.0.get(&place).cloned());
        known.unwrap_or_else(|| digest(content))
    }
}

fn place(content: &Content) -> Option<(usize, u64, u64)> {
    let [run] = content.runs() else { return None };
    let at = Arc::as_ptr(&run.source).cast::<()>().addr();
    Some((at, run.source_offset, run.len))
}

fn digest(content: &Content) -> String {
    hex(&Sha256::digest(content.read_all(1 << 32).expect("a file")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What is at each path of a tree: its type, mode, owner, attributes, and content.
pub(super) struct Facts(BTreeMap<String, String>);

impl Facts {
    pub(super) fn of(tree: &Tree, digests: &Digests) -> Self {
        let mut out = BTreeMap::from([("/".to_owned(), stat(0o040_000, &tree.root.stat))]);
        let mut first: BTreeMap<LeafId, String> = BTreeMap::new();
        tree.visit(&mut |path, entry| {
            let path = String::from_utf8_lossy(path).into_owned();
            let facts = match entry {
                DirEntry::Dir(dir) => stat(0o040_000, &dir.stat),
                DirEntry::Leaf(id) => {
                    let leaf = tree.leaf(*id);
                    let (kind, what) = kind(&path, &leaf.kind, digests);
                    let other = first.entry(*id).or_insert_with(|| path.clone());
                    let link = if *other == path {
                        String::new()
                    } else {
                        format!(" the same file as {other}")
                    };
                    stat(kind, &leaf.stat) + &what + &link
                }
            };
            out.insert(path, facts);
        });
        Self(out)
    }

    /// Where these facts of ours are not `theirs`.
    pub(super) fn differences(&self, theirs: &Self) -> Vec<Difference> {
        let paths = self.0.keys().chain(theirs.0.keys());
        let mut paths: Vec<&String> = paths
            .filter(|path| self.0.get(*path) != theirs.0.get(*path))
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths
            .into_iter()
            .map(|path| Difference {
                path: path.clone(),
                ours: self.0.get(path).cloned(),
                theirs: theirs.0.get(path).cloned(),
            })
            .collect()
    }
}

impl Facts {
    /// The text of what differs from `base`, from which `base.patched` makes these facts again.
    pub(super) fn patch(&self, base: &Self) -> String {
        let of = |difference: Difference| {
            let facts = difference.ours.unwrap_or_default();
            format!("{}\0{facts}\0", difference.path)
        };
        self.differences(base).into_iter().map(of).collect()
    }

    /// These facts with a patch; `None` if it is cut.
    pub(super) fn patched(&self, patch: &str) -> Option<Self> {
        let mut out = self.0.clone();
        let mut rest = patch;
        while !rest.is_empty() {
            let (path, after) = rest.split_once('\0')?;
            let (facts, after) = after.split_once('\0')?;
            if facts.is_empty() {
                out.remove(path);
            } else {
                out.insert(path.to_owned(), facts.to_owned());
            }
            rest = after;
        }
        Some(Self(out))
    }
}

fn stat(kind: u32, stat: &Stat) -> String {
    let mode = kind | u32::from(stat.mode);
    let mut text = format!("{mode:o} {}:{}", stat.uid, stat.gid);
    for (name, value) in &stat.xattrs {
        let _ = write!(text, " {}={}", String::from_utf8_lossy(name), hex(value));
    }
    text
}

/// The type of a leaf and what is in it.
fn kind(path: &str, kind: &LeafKind, digests: &Digests) -> (u32, String) {
    match kind {
        LeafKind::File(content) => (0o100_000, format!(" {}", file(path, content, digests))),
        LeafKind::Symlink(target) => (
            0o120_000,
            format!(" -> {}", String::from_utf8_lossy(target)),
        ),
        LeafKind::CharDevice { major, minor } => (0o020_000, format!(" {major},{minor}")),
        LeafKind::BlockDevice { major, minor } => (0o060_000, format!(" {major},{minor}")),
        LeafKind::Fifo => (0o010_000, String::new()),
        LeafKind::Socket => (0o140_000, String::new()),
    }
}

/// The digest of a file, and its text where it is short enough to be shown.
fn file(path: &str, content: &Content, digests: &Digests) -> String {
    // dpkg writes these in the order of its hash table.
    let records = [("statoverride", 1), ("diversions", 3)]
        .into_iter()
        .find(|(name, _)| path == format!("/var/lib/dpkg/{name}"));
    let text = |limit: usize| {
        let bytes = content.read_all(1 << 32).ok()?;
        String::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() < limit)
    };
    if let Some((_, lines)) = records {
        let text = text(usize::MAX).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        let mut records: Vec<String> = all.chunks(lines).map(|lines| lines.join(" ")).collect();
        records.sort_unstable();
        return records.join("; ");
    }
    let shown = path.starts_with("/var/lib") || path.starts_with("/etc");
    let limit = if path == "/var/lib/dpkg/status" {
        usize::MAX
    } else {
        SHOWN
    };
    match text(limit).filter(|_| shown) {
        Some(text) => format!("{text:?}"),
        None => digests.of(content),
    }
}

/// Makes the copy of the root what `tree` is, at the paths of `differences`.
pub(super) fn write(copy: &Copy, tree: &Tree, differences: &[Difference]) {
    let at = |path: &str| copy.root.join(path.trim_start_matches('/'));
    for difference in differences.iter().rev() {
        let path = at(&difference.path);
        let gone = difference.ours.is_none() || difference.theirs.is_some();
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if !gone {
            continue;
        }
        if !meta.is_dir() {
            fs::remove_file(&path).expect("removing a file");
        } else if difference
            .ours
            .as_ref()
            .is_none_or(|ours| !ours.starts_with("4"))
        {
            fs::remove_dir_all(&path).expect("removing a directory");
        }
    }
    let changed: BTreeMap<&str, &Difference> = differences
        .iter()
        .map(|difference| (difference.path.as_str(), difference))
        .collect();
    let mut first: BTreeMap<LeafId, PathBuf> = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        let path = String::from_utf8_lossy(path).into_owned();
        let to = at(&path);
        let other = match entry {
            DirEntry::Leaf(id) => Some(first.entry(*id).or_insert_with(|| to.clone()).clone()),
            DirEntry::Dir(_) => None,
        };
        if changed.contains_key(path.as_str()) {
            make(tree, entry, &to, other.filter(|other| *other != to));
        }
    });
}

fn make(tree: &Tree, entry: &DirEntry, to: &Path, other: Option<PathBuf>) {
    if let Some(other) = other {
        return fs::hard_link(other, to).expect("a link");
    }
    let stat = match entry {
        DirEntry::Dir(dir) => {
            if !to.is_dir() {
                fs::create_dir(to).expect("a directory");
            }
            &dir.stat
        }
        DirEntry::Leaf(id) => {
            let leaf = tree.leaf(*id);
            match &leaf.kind {
                LeafKind::File(content) => {
                    fs::write(to, content.read_all(1 << 32).expect("a file")).expect("a file");
                }
                LeafKind::Symlink(target) => {
                    std::os::unix::fs::symlink(OsStr::from_bytes(target), to).expect("a link");
                }
                // What dpkg reads are files.
                _ => fs::write(to, "").expect("a file"),
            }
            &leaf.stat
        }
    };
    std::os::unix::fs::lchown(to, Some(stat.uid), Some(stat.gid)).expect("an owner");
    if !to.is_symlink() {
        let mode = fs::Permissions::from_mode(u32::from(stat.mode));
        fs::set_permissions(to, mode).expect("a mode");
    }
}
