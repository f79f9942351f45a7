//! The geometry of a filesystem: the numbers of its boot sector.

use crate::bytes;

/// The little-endian number at `at`; 0 outside of `bytes`.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes::le16(bytes, at).unwrap_or(0)
}

/// The little-endian number at `at`; 0 outside of `bytes`.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes::le32(bytes, at).unwrap_or(0)
}

/// The width of the entries of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryWidth {
    Fat12,
    Fat16,
    Fat32,
}

impl EntryWidth {
    /// Bits of an entry.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// The first entry that ends a chain; all greater ones do too.
    pub(super) fn end(self) -> u32 {
        match self {
            Self::Fat12 => 0xFF8,
            Self::Fat16 => 0xFFF8,
            Self::Fat32 => 0x0FFF_FFF8,
        }
    }

    /// The entry of a bad cluster.
    pub(super) fn bad(self) -> u32 {
        match self {
            Self::Fat12 => 0xFF7,
            Self::Fat16 => 0xFFF7,
            Self::Fat32 => 0x0FFF_FFF7,
        }
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

/// A number with 16 bits at `short`, or with 32 bits at `long` if the former is 0.
fn short_or_long(boot: &[u8; 512], short: usize, long: usize) -> u64 {
    match le16(boot, short) {
        0 => le32(boot, long).into(),
        number => number.into(),
    }
}

/// The numbers of a boot sector; offsets and sizes in bytes. All of the filesystem is within the
/// source, so sums and products of these do not overflow.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) width: EntryWidth,
    /// The size of a cluster, a power of two of at least 512.
    pub(super) cluster: u64,
    /// The number of clusters; the first is number 2.
    pub(super) clusters: u32,
    /// The offset and the size of the first table.
    pub(super) fat: u64,
    pub(super) fat_len: u64,
    /// The number of tables, 1 or 2.
    pub(super) copies: u64,
    /// The offset and the size of the root directory of FAT12 and FAT16.
    pub(super) root: u64,
    pub(super) root_len: u64,
    /// The first cluster of the root directory of FAT32, else 0.
    pub(super) root_cluster: u32,
    /// The offset of cluster 2.
    pub(super) data: u64,
    /// Bytes in a sector: 512 to 4096.
    pub(super) sector: u64,
    /// The sectors of FSInfo and of the copy of the boot sector; 0: none.
    pub(super) info_sector: u64,
    pub(super) backup_sector: u64,
    /// `BPB_Media`, which the first byte of each FAT repeats.
    pub(super) media: u8,
    /// `BPB_ExtFlags` of FAT32, else 0.
    pub(super) flags: u16,
}

impl Geometry {
    /// The numbers of a boot sector, or the first fault among them; `len` is the size of the
    /// source.
    pub(super) fn new(boot: &[u8; 512], len: u64) -> Result<Self, String> {
        if !boot.ends_with(&[0x55, 0xAA]) {
            return Err("the boot sector does not end in 55 aa".into());
        }
        let sector = u64::from(le16(boot, 11));
        let (per_cluster, reserved, copies) = (
            u64::from(boot[13]),
            u64::from(le16(boot, 14)),
            u64::from(boot[16]),
        );
        if !matches!(sector, 512 | 1024 | 2048 | 4096)
            || !per_cluster.is_power_of_two()
            || reserved == 0
            || !matches!(copies, 1 | 2)
        {
            return Err(format!(
                "{sector} bytes in a sector, {per_cluster} sectors in a cluster, {reserved} reserved, {copies} tables"
            ));
        }
        let wide = le16(boot, 22) == 0;
        let root_len = u64::from(le16(boot, 17)).saturating_mul(32);
        let total = short_or_long(boot, 19, 32);
        let fat_sectors = short_or_long(boot, 22, 36);
        let tables_end = reserved.saturating_add(copies.saturating_mul(fat_sectors));
        let before = tables_end.saturating_add(root_len.div_ceil(sector));
        if fat_sectors == 0 || total <= before || total.saturating_mul(sector) > len {
            return Err(format!(
                "{total} sectors, {before} of them before the first cluster, in {} sectors",
                len.checked_div(sector).unwrap_or(0)
            ));
        }
        let clusters = total
            .saturating_sub(before)
            .checked_div(per_cluster)
            .unwrap_or(0);
        let width = match clusters {
            _ if wide => EntryWidth::Fat32,
            0..4085 => EntryWidth::Fat12,
            _ => EntryWidth::Fat16,
        };
        let fat_len = fat_sectors.saturating_mul(sector);
        let room = fat_len.saturating_mul(8).checked_div(width.bits());
        let (room, needed) = (room.unwrap_or(0), clusters.saturating_add(2));
        if needed > room || clusters > u64::from(width.end()).saturating_sub(8) {
            return Err(format!(
                "the table has room for {room} entries, {needed} are needed"
            ));
        }
        if wide && root_len != 0 {
            return Err(format!(
                "FAT32 has a root directory of {root_len} bytes before the clusters, not 0"
            ));
        }
        Ok(Self {
            width,
            cluster: per_cluster.saturating_mul(sector),
            clusters: u32::try_from(clusters).map_err(|e| e.to_string())?,
            fat: reserved.saturating_mul(sector),
            fat_len,
            copies,
            root: tables_end.saturating_mul(sector),
            root_len,
            root_cluster: if wide {
                le32(boot, 44) & 0x0FFF_FFFF
            } else {
                0
            },
            data: before.saturating_mul(sector),
            sector,
            info_sector: if wide { le16(boot, 48).into() } else { 0 },
            backup_sector: if wide { le16(boot, 50).into() } else { 0 },
            media: boot[21],
            flags: if wide { le16(boot, 40) } else { 0 },
        })
    }

    /// The offset of a cluster; `None` if there is no such cluster.
    pub(super) fn offset(&self, cluster: u32) -> Option<u64> {
        let index = cluster
            .checked_sub(2)
            .filter(|index| *index < self.clusters)?;
        let offset = u64::from(index).saturating_mul(self.cluster);
        Some(self.data.saturating_add(offset))
    }

    /// The numbers of all clusters.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        2..self.clusters.saturating_add(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot sector of FAT16: 512-byte sectors, 4 in a cluster, 1 reserved, 2 tables of 20
    /// sectors, 512 entries in the root directory, `sectors` in all.
    fn boot(sectors: u16) -> [u8; 512] {
        let mut boot = [0; 512];
        let fields: [(usize, &[u8]); 8] = [
            (11, &[0, 2]),
            (13, &[4]),
            (14, &[1, 0]),
            (16, &[2]),
            (17, &[0, 2]),
            (19, &sectors.to_le_bytes()),
            (22, &[20, 0]),
            (510, &[0x55, 0xAA]),
        ];
        for (at, bytes) in fields {
            boot[at..at + bytes.len()].copy_from_slice(bytes);
        }
        boot
    }

    #[test]
    fn offsets_follow_from_the_boot_sector() {
        let geometry = Geometry::new(&boot(20_000), 20_000 * 512).unwrap();
        assert_eq!(geometry.width, EntryWidth::Fat16);
        assert_eq!((geometry.fat, geometry.fat_len), (512, 20 * 512));
        assert_eq!((geometry.root, geometry.root_len), (41 * 512, 512 * 32));
        // 41 sectors up to the root directory, 32 for it.
        assert_eq!((geometry.data, geometry.clusters), (73 * 512, 4981));
        assert_eq!(geometry.offset(2), Some(73 * 512));
        assert_eq!(geometry.offset(4982), Some(73 * 512 + 4980 * 2048));
        for outside in [0, 1, 4983, u32::MAX] {
            assert_eq!(geometry.offset(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_filesystem_that_exceeds_its_source_or_table_is_refused() {
        assert!(Geometry::new(&boot(20_000), 20_000 * 512 - 1).is_err());
        assert!(Geometry::new(&boot(73), 20_000 * 512).is_err());
        // 20 sectors have room for 5120 entries, 5118 clusters.
        let most = 73 + 5118 * 4;
        assert!(Geometry::new(&boot(most), 1 << 30).is_ok());
        assert!(Geometry::new(&boot(most + 4), 1 << 30).is_err());
    }
}
