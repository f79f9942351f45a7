//! The text form of a tree that tests compare: one sorted line for each path.

use super::{Entry, Kind, LeafId, Stat, Tree, show};
use crate::stream::ReadAt;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

/// One line for each path: `path type mode uid gid size rdev nlink-group mtime.ns flags content xattrs`. Regular files are read
/// and named by their SHA-256; hard links by the first path of the file.
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
            let mut hash = Sha256::new();
            let mut buf = vec![0; 1 << 16];
            let mut at = 0;
            while at < content.len() {
                let part = usize::try_from((content.len() - at).min(1 << 16)).unwrap_or(0);
                content.read_exact_at(at, &mut buf[..part])?;
                hash.update(&buf[..part]);
                at += part as u64;
            }
            let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
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
        let value: String = value.iter().map(|b| format!("{b:02x}")).collect();
        let _ = write!(out, " {}={value}", show(name));
    }
    out
}
