//! The files that packages brought, by the lists of dpkg.

use super::references;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The paths of files that packages brought, without those that their owner edits.
#[must_use]
pub fn packaged(root: &Tree) -> BTreeSet<Vec<u8>> {
    const INFO: &str = "/var/lib/dpkg/info";
    const LIST_LIMIT: u64 = 16 << 20;
    let mut out = BTreeSet::new();
    for path in references::entries(root, INFO) {
        if !path.ends_with(".list") {
            continue;
        }
        let bytes = root.read(&path, LIST_LIMIT).ok().flatten();
        for line in bytes.unwrap_or_default().split(|byte| *byte == b'\n') {
            if line.is_empty() || line.starts_with(b"/etc/") {
                continue;
            }
            // A list may name `/bin/x`, where `/bin` is a link.
            match root.walk(line, false) {
                Ok(walk) => out.insert(walk.path()),
                Err(_) => out.insert(line.to_vec()),
            };
        }
    }
    out
}
