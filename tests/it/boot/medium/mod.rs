//! A medium with a FAT on it: which sectors Linux's driver writes, and what of them a power cut
//! leaves.

pub(crate) mod choices;
pub(crate) mod driver;
pub(crate) mod fat;
mod fsck;
pub(crate) mod op;
pub(crate) mod recorded;
pub(crate) mod recorder;

pub(crate) use fsck::Fsck;

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A number for a value, for tables of what was seen.
pub(crate) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
