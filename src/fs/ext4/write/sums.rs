//! The CRC-32C checksums of `metadata_csum` (the kernel's page `checksums`), or none.

use super::super::format::crc32c;
use crate::stamp::Uuid;

/// Where the checksums of a filesystem or of one inode start; without the feature there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums(Option<u32>);

impl Sums {
    /// Of the filesystem with this UUID.
    pub(super) fn of_filesystem(uuid: Uuid, enabled: bool) -> Self {
        Self(enabled.then(|| crc32c(!0, &uuid.0)))
    }

    /// Of the inode with this number and the generation 0.
    pub(super) fn of_inode(self, number: u32) -> Self {
        Self(self.sum(&[&number.to_le_bytes(), &0u32.to_le_bytes()]))
    }

    /// True when the filesystem has checksums.
    pub(super) fn enabled(self) -> bool {
        self.0.is_some()
    }

    /// The checksum over `parts`, one after the other.
    pub(super) fn sum(self, parts: &[&[u8]]) -> Option<u32> {
        self.0
            .map(|seed| parts.iter().fold(seed, |sum, part| crc32c(sum, part)))
    }

    /// Puts the checksum over the first `covered` bytes at `at`.
    pub(super) fn seal_tail(self, block: &mut [u8], covered: usize, at: usize) {
        if let Some(sum) = self.sum(&[&block[..covered]]) {
            block[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
