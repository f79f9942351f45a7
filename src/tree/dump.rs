//! The text form of a tree that tests compare: one sorted line for each path.

use super::{DirEntry, LeafId, LeafKind, Stat, Tree, show};
use crate::digest::{hex, sha256};
use crate::stream::ReadAt;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

/// One line for each path: `path type mode uid gid size rdev nlink-group mtime.ns flags content
/// xattrs`. Regular files are read and named by their SHA-256; hard links by the first path of the
/// file.
///
/// # Errors
/// I/O errors of a file's source.
pub fn dump(tree: &Tree) -> io::Result<String> {
    let mut first: BTreeMap<LeafId, String> = BTreeMap::new();
    let mut rows: Vec<(Vec<u8>, &DirEntry)> = Vec::new();
    tree.visit(&mut |path, entry| rows.push((path.to_vec(), entry)));
    let mut out = String::new();
    let _ = writeln!(out, "/ dir {}", stat_text(&tree.root.stat));
    for (path, entry) in rows {
        let path = show(&path);
        match entry {
            DirEntry::Dir(dir) => {
                let _ = writeln!(out, "{path} dir {}", stat_text(&dir.stat));
            }
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                let group = first.entry(*id).or_insert_with(|| path.clone());
                let kind = kind_text(&leaf.kind)?;
                let _ = writeln!(out, "{path} {kind} link={group} {}", stat_text(&leaf.stat));
            }
        }
    }
    Ok(out)
}

fn kind_text(kind: &LeafKind) -> io::Result<String> {
    Ok(match kind {
        LeafKind::File(content) => {
            let digest = hex(&sha256(content)?);
            format!("file size={} sha256={digest}", content.len())
        }
        LeafKind::Symlink(target) => format!("symlink -> {}", show(target)),
        LeafKind::CharDevice { major, minor } => format!("char {major}:{minor}"),
        LeafKind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
        LeafKind::Fifo => "fifo".into(),
        LeafKind::Socket => "socket".into(),
    })
}

fn stat_text(stat: &Stat) -> String {
    let mut out = format!(
        "mode={:04o} owner={}:{} mtime={}.{:09} flags={:#x}",
        stat.mode, stat.uid, stat.gid, stat.mtime.seconds, stat.mtime.nanos, stat.flags
    );
    if stat.project != 0 {
        let _ = write!(out, " project={}", stat.project);
    }
    for (name, value) in &stat.xattrs {
        let _ = write!(out, " {}={}", show(name), hex(value));
    }
    out
}
