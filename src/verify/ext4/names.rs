//! Paths of inodes, for reports.

use crate::fs::ext4::format::ROOT_INO;
use crate::tree::show;
use std::collections::BTreeMap;

/// Longer chains of parents are loops or no help.
const MAX_DEPTH: usize = 256;

/// The path by which `ino` is reached from the root; `None` when it is not.
pub(super) fn path(names: &BTreeMap<u32, (u32, Vec<u8>)>, ino: u32) -> Option<String> {
    let mut parts = Vec::new();
    let mut at = ino;
    while at != ROOT_INO {
        let (parent, name) = names.get(&at).filter(|_| parts.len() < MAX_DEPTH)?;
        parts.push(show(name));
        at = *parent;
    }
    parts.reverse();
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_at_the_root() {
        let names = BTreeMap::from([
            (12, (2, b"a".to_vec())),
            (13, (12, b"b".to_vec())),
            (14, (14, b"loop".to_vec())),
        ]);
        assert_eq!(path(&names, 13).unwrap(), "/a/b");
        assert_eq!(path(&names, ROOT_INO).unwrap(), "/");
        assert_eq!(path(&names, 14), None);
        assert_eq!(path(&names, 15), None);
    }
}
