//! The text form of a tree that tests compare: one sorted line for each path.

use super::{Entry, Kind, LeafId, Stat, Tree, show};
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
/// What reading a file said.
pub fn dump(tree: &Tree) -> io::Result<String> {
    let mut first: BTreeMap<LeafId, String> = BTreeMap::new();
    let mut rows: Vec<(Vec<u8>, &Entry)> = Vec::new();
    tree.visit(&mut |path, entry| rows.push((path.to_vec(), entry)));
    let mut out = String::new();
    let _ = writeln!(out, "/ dir {}", stat_text(&tree.root.stat));
    for (path, entry) in rows {
        let path = show(&path);
        match entry {
            Entry::Dir(dir) => {
                let _ = writeln!(out, "{path} dir {}", stat_text(&dir.stat));
            }
            Entry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                let group = first.entry(*id).or_insert_with(|| path.clone());
                let kind = kind_text(&leaf.kind)?;
                let _ = writeln!(out, "{path} {kind} link={group} {}", stat_text(&leaf.stat));
            }
        }
    }
    Ok(out)
}

fn kind_text(kind: &Kind) -> io::Result<String> {
    Ok(match kind {
        Kind::File(content) => {
            let digest = hex(&sha256(content)?);
            format!("file size={} sha256={digest}", content.len())
        }
        Kind::Symlink(target) => format!("symlink -> {}", show(target)),
        Kind::CharDevice { major, minor } => format!("char {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
        Kind::Fifo => "fifo".into(),
        Kind::Socket => "socket".into(),
    })
}

fn stat_text(stat: &Stat) -> String {
    let mut out = format!(
        "mode={:04o} owner={}:{} mtime={}.{:09} flags={:#x}",
        stat.mode, stat.uid, stat.gid, stat.mtime.seconds, stat.mtime.nanos, stat.flags
    );
    for (name, value) in &stat.xattrs {
        let _ = write!(out, " {}={}", show(name), hex(value));
    }
    out
}
