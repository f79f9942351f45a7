//! What the filesystems of an image say of their own condition: facts that do not keep them from
//! being read, but that their owner should know.

use crate::fs::ext4::read::{Info, Losses};
use crate::fs::fat;

/// The remarks about an ext2, ext3 or ext4 filesystem, one sentence each.
#[must_use]
pub fn ext(info: &Info, losses: &Losses) -> Vec<String> {
    let mut out = Vec::new();
    if info.has_errors {
        out.push(
            "Linux or e2fsck recorded errors in it that were not repaired: check a copy of the \
             image with `e2fsck -f`"
                .to_owned(),
        );
    }
    if let Some(blocks) = info.replayed {
        out.push(format!(
            "it was not unmounted: {blocks} blocks are taken from its journal; programs that ran \
             may have written half of their files"
        ));
    }
    if let Some(first) = losses.nameless.first() {
        out.push(format!(
            "{} inodes are in use without a name (first: inode {first}), so their contents are \
             not carried over; `e2fsck -f` on a copy of the image moves them to lost+found",
            losses.nameless.len()
        ));
    }
    out
}

/// The remarks about a FAT filesystem.
#[must_use]
pub fn fat(info: &fat::Info) -> Vec<String> {
    let dirty = "it was not unmounted, or had errors: check a copy of the image with `fsck.fat`";
    info.dirty.then(|| dirty.to_owned()).into_iter().collect()
}
