//! Names on the boot partition, whatever their case.

use crate::tree::{DirEntry, Tree, show};

/// `path` with each component in the case in which the tree has it already: a FAT filesystem knows
/// no other difference.
pub(in crate::boot) fn find_name(tree: &Tree, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for component in path.split('/').filter(|component| !component.is_empty()) {
        let known = tree
            .dir(if out.is_empty() { b"/" } else { &out[..] })
            .and_then(|dir| {
                let same = |name: &&Vec<u8>| name.eq_ignore_ascii_case(component.as_bytes());
                dir.entries.keys().find(same).cloned()
            });
        out.push(b'/');
        out.extend(known.unwrap_or_else(|| component.as_bytes().to_vec()));
    }
    out
}

/// The names in a directory of the boot partition.
pub(in crate::boot) fn names(tree: &Tree, path: &str) -> Vec<Vec<u8>> {
    let dir = tree.dir(find_name(tree, path));
    let entries = dir.map(|dir| dir.entries.iter()).into_iter().flatten();
    entries
        .filter(|(_, entry)| matches!(entry, DirEntry::Dir(_) | DirEntry::Leaf(_)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The names at the top of the boot partition, in lower case.
pub(in crate::boot) fn top_names(boot: &Tree) -> Vec<String> {
    names(boot, "/")
        .iter()
        .map(|name| show(name).to_lowercase())
        .collect()
}
