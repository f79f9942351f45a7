//! What conversions of the same golden image share. Each has the results that it would have alone.

use super::known_roots::KnownRoots;
use crate::doctor::TriedPasswords;
use crate::edit::SharedEdits;
use crate::image::output::KnownDigests;
use crate::verify::SearchedFiles;
use std::fmt;

/// What several conversions of one golden image need to find out once.
#[derive(Default)]
pub struct SharedWork {
    /// The first edits.
    pub(super) edits: SharedEdits,
    /// Passwords that were held against common ones.
    pub(super) tried: TriedPasswords,
    /// Files that were searched for private keys.
    pub(super) searched: SearchedFiles,
    /// Digests of block maps.
    pub(super) digests: KnownDigests,
    /// Root filesystems that were written.
    pub(super) roots: KnownRoots,
}

impl fmt::Debug for SharedWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWork").finish_non_exhaustive()
    }
}
