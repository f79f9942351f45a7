//! The files that packages brought, by the lists of dpkg.

use super::references;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The paths of files that packages brought, without those that their owner edits.
#[must_use]
pub fn packaged(root: &Tree) -> BTreeSet<Vec<u8>> {
    let mut out = BTreeSet::new();
    for_each_line(root, &mut |line| {
        out.insert(in_tree(root, line));
    });
    out
}

/// Those of `paths` that [`packaged`] would name, without its memory for all others.
#[must_use]
pub fn packaged_of<'p>(root: &Tree, paths: &[&'p [u8]]) -> BTreeSet<&'p [u8]> {
    let mut out = BTreeSet::new();
    if paths.is_empty() {
        return out;
    }
    let names: BTreeSet<Option<&[u8]>> = paths.iter().map(|path| name(path)).collect();
    for_each_line(root, &mut |line| {
        if names.contains(&name(line)) {
            let line = in_tree(root, line);
            out.extend(paths.iter().copied().filter(|path| *path == line));
        }
    });
    out
}

/// The last component of a path.
fn name(path: &[u8]) -> Option<&[u8]> {
    path.rsplit(|byte| *byte == b'/').next()
}

/// The path of a line in the tree: a list may name `/bin/x`, where `/bin` is a link.
fn in_tree(root: &Tree, line: &[u8]) -> Vec<u8> {
    root.walk(line, false)
        .map_or_else(|_| line.to_vec(), |walk| walk.path())
}

/// Calls `f` with each line of the lists that is not below `/etc`.
fn for_each_line(root: &Tree, f: &mut dyn FnMut(&[u8])) {
    const INFO: &str = "/var/lib/dpkg/info";
    const LIST_LIMIT: u64 = 16 << 20;
    let lists = references::entries(root, INFO).into_iter();
    for path in lists.filter(|path| path.ends_with(".list")) {
        let bytes = root.read(&path, LIST_LIMIT).ok().flatten();
        let bytes = bytes.unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"/etc/"));
        lines.for_each(&mut *f);
    }
}
