//! The table: which cluster follows which.

use super::Geometry;
use crate::stream::ReadAt;
use std::io;

/// Bits of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryWidth {
    Fat12,
    Fat16,
    Fat32,
}

impl EntryWidth {
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// From this entry on the chain ends.
    pub(super) fn end(self) -> u32 {
        match self {
            Self::Fat12 => 0xFF8,
            Self::Fat16 => 0xFFF8,
            Self::Fat32 => 0x0FFF_FFF8,
        }
    }

    /// Marks a cluster that cannot be used.
    pub(super) fn bad(self) -> u32 {
        self.end() - 1
    }

    /// Bits of entry 1: cleanly unmounted, no errors.
    pub(super) fn marks(self) -> Option<(u32, u32)> {
        match self {
            Self::Fat12 => None,
            Self::Fat16 => Some((0x8000, 0x4000)),
            Self::Fat32 => Some((0x0800_0000, 0x0400_0000)),
        }
    }
}

/// The first table, in memory: as large as it must be for the clusters there are.
#[derive(Debug)]
pub(super) struct AllocationTable {
    width: EntryWidth,
    bytes: Vec<u8>,
}

impl AllocationTable {
    pub(super) fn read(source: &dyn ReadAt, geometry: &Geometry) -> io::Result<Self> {
        let len = ((u64::from(geometry.clusters) + 2) * geometry.width.bits()).div_ceil(8);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        source.read_exact_at(geometry.fat, &mut bytes)?;
        Ok(Self {
            width: geometry.width,
            bytes,
        })
    }

    /// The entry of a cluster; 0 for one that there is not.
    pub(super) fn entry(&self, cluster: u32) -> u32 {
        let index = cluster as usize;
        match self.width {
            EntryWidth::Fat12 => {
                let pair = u32::from(super::le16(&self.bytes, index + index / 2));
                if index.is_multiple_of(2) {
                    pair & 0xFFF
                } else {
                    pair >> 4
                }
            }
            EntryWidth::Fat16 => super::le16(&self.bytes, 2 * index).into(),
            EntryWidth::Fat32 => super::le32(&self.bytes, 4 * index) & 0x0FFF_FFFF,
        }
    }
}

/// The first byte in which two ranges of `len` bytes differ.
pub(super) fn difference(source: &dyn ReadAt, a: u64, b: u64, len: u64) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = 0;
    while at < len {
        let part = usize::try_from((len - at).min(1 << 16)).unwrap_or(0);
        source.read_exact_at(a + at, &mut left[..part])?;
        source.read_exact_at(b + at, &mut right[..part])?;
        if let Some(inner) = (0..part).find(|at| left[*at] != right[*at]) {
            return Ok(Some(at + inner as u64));
        }
        at += part as u64;
    }
    Ok(None)
}
