//! The file allocation table: the cluster that follows each cluster.

use super::geometry::{EntryWidth, Geometry, le16, le32};
use crate::stream::ReadAt;
use crate::verify::numbers::index;
use std::io;

/// The first table, in memory: as large as it must be for the clusters there are.
#[derive(Debug)]
pub(super) struct AllocationTable {
    width: EntryWidth,
    bytes: Vec<u8>,
}

impl AllocationTable {
    /// Reads the first table.
    pub(super) fn read(source: &dyn ReadAt, geometry: &Geometry) -> io::Result<Self> {
        let len = u64::from(geometry.clusters)
            .saturating_add(2)
            .saturating_mul(geometry.width.bits())
            .div_ceil(8);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        source.read_exact_at(geometry.fat, &mut bytes)?;
        Ok(Self {
            width: geometry.width,
            bytes,
        })
    }

    /// The entry of a cluster; 0 for a cluster that does not exist.
    pub(super) fn entry(&self, cluster: u32) -> u32 {
        let at = index(cluster);
        match self.width {
            EntryWidth::Fat12 => {
                let pair = u32::from(le16(&self.bytes, at.saturating_add(at / 2)));
                if at.is_multiple_of(2) {
                    pair & 0xFFF
                } else {
                    pair >> 4
                }
            }
            EntryWidth::Fat16 => le16(&self.bytes, at.saturating_mul(2)).into(),
            EntryWidth::Fat32 => le32(&self.bytes, at.saturating_mul(4)) & 0x0FFF_FFFF,
        }
    }
}
