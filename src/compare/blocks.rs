//! Blocks that differ: what a device has to write, and what a delta has to carry.

use super::in_pieces;
use crate::stream::Source;
use serde::Serialize;
use std::io;

/// The length of a block (bytes): that of ext4 and of flash translation layers.
pub(super) const BLOCK: usize = 4096;

/// How many blocks of two filesystems differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blocks {
    /// Blocks of 4096 bytes that differ.
    pub different: u64,
    /// Blocks of each of them.
    pub all: u64,
}

/// Compares two filesystems of the same length; `None` if the lengths differ.
pub(super) fn compare(old: &Source, new: &Source) -> io::Result<Option<Blocks>> {
    if old.len() != new.len() {
        return Ok(None);
    }
    let mut found = Blocks::default();
    in_pieces((&**old, &**new), &mut |one, other| {
        for (one, other) in one.chunks(BLOCK).zip(other.chunks(BLOCK)) {
            found.all = found.all.saturating_add(1);
            found.different = found.different.saturating_add(u64::from(one != other));
        }
        true
    })?;
    Ok(Some(found))
}
