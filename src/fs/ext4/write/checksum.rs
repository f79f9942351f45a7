//! The CRC-32C checksums of `metadata_csum` (the kernel's page `checksums`), or none.

use super::super::format::crc32c;
use crate::stamp::Uuid;

/// The CRC-32C that the checksums of a filesystem, or of one inode, are continued from; without the
/// feature the checksums do not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChecksumSeed(Option<u32>);

impl ChecksumSeed {
    /// The seed of the filesystem with this UUID.
    pub(super) fn of_filesystem(uuid: Uuid, enabled: bool) -> Self {
        Self(enabled.then(|| crc32c(!0, &uuid.0)))
    }

    /// The seed of the inode with this number and generation 0.
    pub(super) fn for_inode(self, number: u32) -> Self {
        Self(self.checksum(&[&number.to_le_bytes(), &0u32.to_le_bytes()]))
    }

    /// Whether the filesystem has checksums.
    pub(super) fn enabled(self) -> bool {
        self.0.is_some()
    }

    /// The checksum over the concatenation of `parts`.
    pub(super) fn checksum(self, parts: &[&[u8]]) -> Option<u32> {
        self.0
            .map(|seed| parts.iter().fold(seed, |crc, part| crc32c(crc, part)))
    }

    /// Writes the checksum over the first `covered` bytes to offset `at`.
    pub(super) fn write_checksum(self, block: &mut [u8], covered: usize, at: usize) {
        if let Some(checksum) = self.checksum(&[&block[..covered]]) {
            block[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        }
    }
}
