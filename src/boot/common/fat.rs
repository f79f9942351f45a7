//! Names on the boot partition, whatever their case.

use crate::tree::Tree;

/// The names in a directory of the boot partition, its path in any case.
pub(in crate::boot) fn names(tree: &Tree, path: &str) -> Vec<Vec<u8>> {
    tree.dir_ignore_case(path)
        .map_or_else(Vec::new, |dir| dir.entries.keys().cloned().collect())
}
