//! The boot sector, the kinds and the times of FAT.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

use super::Error;
use crate::bytes::{self};
use crate::units::len_u64;
use std::fmt;

/// Bytes of a directory entry.
pub(super) const ENTRY: usize = 32;
/// The most entries a directory may have, by its 16-bit index (2 MiB).
pub(super) const MAX_ENTRIES: usize = 65_536;

/// Attribute bits of a directory entry.
pub(super) mod attr {
    pub(in super::super) const READ_ONLY: u8 = 0x01;
    pub(in super::super) const HIDDEN: u8 = 0x02;
    pub(in super::super) const SYSTEM: u8 = 0x04;
    pub(in super::super) const VOLUME_ID: u8 = 0x08;
    pub(in super::super) const DIRECTORY: u8 = 0x10;
    pub(in super::super) const ARCHIVE: u8 = 0x20;
    /// A part of a long name: the four lowest bits together.
    pub(in super::super) const LONG_NAME: u8 = 0x0f;
    /// The bits that tell a long name's part.
    pub(in super::super) const LONG_NAME_MASK: u8 = 0x3f;
}

/// The three widths of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits for each cluster, below 4,085 clusters.
    Fat12,
    /// 16 bits, below 65,525 clusters.
    Fat16,
    /// 32 bits of which 28 count.
    Fat32,
}

impl FatKind {
    /// Bits of a table entry.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// How many entries a table of `bytes` bytes has.
    fn entries_in(self, bytes: u64) -> u64 {
        let bits = bytes.saturating_mul(8);
        match self {
            Self::Fat12 => bits / 12,
            Self::Fat16 => bits / 16,
            Self::Fat32 => bits / 32,
        }
    }

    /// From here on a table entry is a mark (7: bad, 8 and more: the last cluster) and no cluster.
    pub(super) fn marks(self) -> u32 {
        match self {
            Self::Fat12 => 0xff7,
            Self::Fat16 => 0xfff7,
            Self::Fat32 => 0x0fff_fff7,
        }
    }
}

impl fmt::Display for FatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        })
    }
}

/// What a FAT filesystem says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The width of its table.
    pub kind: FatKind,
    /// The serial number (`XXXX-XXXX` as `blkid` shows it); 0 when it has none.
    pub volume_id: u32,
    /// The label: of the root directory, else of the boot sector.
    pub label: Option<String>,
    /// Bytes of a cluster.
    pub cluster_size: u32,
    /// Bytes of the filesystem.
    pub size: u64,
    /// Whether it was not unmounted or is marked as damaged.
    pub dirty: bool,
    /// Paths with the attributes hidden or system, which a tree does not hold.
    pub hidden: Vec<Vec<u8>>,
}

/// The numbers of a boot sector, checked; offsets are in bytes.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) kind: FatKind,
    /// Bytes of a cluster.
    pub(super) cluster: u64,
    /// How many clusters there are; they are numbered from 2.
    pub(super) clusters: u32,
    /// Where the first FAT begins.
    pub(super) fat: u64,
    /// Where the root directory of FAT12 and FAT16 begins, and how many bytes it has.
    pub(super) root: (u64, u64),
    /// The root directory's first cluster on FAT32.
    pub(super) root_cluster: u32,
    /// Where cluster 2 begins.
    pub(super) data: u64,
    /// Where the filesystem ends.
    pub(super) end: u64,
    pub(super) volume_id: u32,
    pub(super) label: [u8; 11],
    /// The "mounted" bit that Linux keeps in the boot sector.
    pub(super) mounted: bool,
}

/// The little-endian 16-bit integer at `offset` of a structure of fixed size, which contains it.
pub(super) fn le16<const N: usize>(bytes: &[u8; N], offset: usize) -> u16 {
    bytes::le16(bytes, offset).unwrap_or(0)
}

/// The little-endian 32-bit integer at `offset` of a structure of fixed size, which contains it.
pub(super) fn le32<const N: usize>(bytes: &[u8; N], offset: usize) -> u32 {
    bytes::le32(bytes, offset).unwrap_or(0)
}

impl Geometry {
    /// Reads the boot sector of a source of `len` bytes (fatgen103, "Boot Sector and BPB", "FAT
    /// Type Determination").
    pub(super) fn parse(boot: &[u8; 512], len: u64) -> Result<Self, Error> {
        let refuse = |what: String| Err(Error::NotFat(what));
        let sector = u64::from(le16(boot, 11));
        let per_cluster = u64::from(boot[13]);
        let (reserved, fats, root_entries) = (
            u64::from(le16(boot, 14)),
            u64::from(boot[16]),
            u64::from(le16(boot, 17)),
        );
        if boot[510..] != [0x55, 0xaa] || !matches!(boot[0], 0xeb | 0xe9) {
            return refuse("the first sector is not a boot sector".into());
        }
        if !matches!(sector, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return refuse(format!(
                "sectors of {sector} bytes, {per_cluster} in a cluster"
            ));
        }
        if reserved == 0 || !matches!(fats, 1 | 2) {
            return refuse(format!("{reserved} reserved sectors, {fats} tables"));
        }
        let total = Some(u64::from(le16(boot, 19)))
            .filter(|n| *n != 0)
            .unwrap_or(u64::from(le32(boot, 32)));
        let wide = le16(boot, 22) == 0;
        let fat_sectors = if wide {
            u64::from(le32(boot, 36))
        } else {
            u64::from(le16(boot, 22))
        };
        let root_len = root_entries.saturating_mul(len_u64(ENTRY));
        let fat_end = fats.saturating_mul(fat_sectors).saturating_add(reserved);
        let before = fat_end.saturating_add(root_len.div_ceil(sector));
        let size = total.saturating_mul(sector);
        if fat_sectors != 0 && total > before && size > len {
            return refuse(format!(
                "the filesystem has {size} bytes, of which the last {} are missing",
                size.saturating_sub(len)
            ));
        }
        if fat_sectors == 0 || total <= before || total.saturating_mul(sector) > len {
            return refuse(format!(
                "{total} sectors of {sector} bytes, {before} of them before the clusters, in {len} bytes"
            ));
        }
        let clusters = total
            .saturating_sub(before)
            .checked_div(per_cluster)
            .unwrap_or(0);
        let kind = match clusters {
            _ if wide => FatKind::Fat32,
            ..=4084 => FatKind::Fat12,
            _ => FatKind::Fat16,
        };
        let entries = kind.entries_in(fat_sectors.saturating_mul(sector));
        // A table shorter than the clusters bounds them, as in Linux.
        let clusters = clusters
            .min(entries.saturating_sub(2))
            .min(u64::from(kind.marks()).saturating_sub(2));
        let extra = ExtendedBpb::parse(boot, wide);
        Ok(Self {
            kind,
            cluster: per_cluster.saturating_mul(sector),
            clusters: u32::try_from(clusters).unwrap_or(u32::MAX),
            fat: reserved.saturating_mul(sector),
            root: (fat_end.saturating_mul(sector), root_len),
            root_cluster: if wide {
                le32(boot, 44) & 0x0fff_ffff
            } else {
                0
            },
            data: before.saturating_mul(sector),
            end: total.saturating_mul(sector),
            volume_id: extra.volume_id,
            label: extra.label,
            mounted: extra.mounted,
        })
    }

    /// Where a cluster begins; `None` when it is out of range.
    pub(super) fn offset(&self, cluster: u32) -> Option<u64> {
        let index = cluster
            .checked_sub(2)
            .filter(|index| *index < self.clusters)?;
        let start = u64::from(index).saturating_mul(self.cluster);
        Some(self.data.saturating_add(start))
    }
}

/// The part of the boot sector from `BS_DrvNum` on, whose place depends on the width of the table.
struct ExtendedBpb {
    /// 0 where the signature says that there is none.
    volume_id: u32,
    label: [u8; 11],
    mounted: bool,
}

impl ExtendedBpb {
    fn parse(boot: &[u8; 512], wide: bool) -> Self {
        let fields = if wide {
            boot.last_chunk::<{ 512 - 64 }>()
                .and_then(|rest| rest.first_chunk())
        } else {
            boot.last_chunk::<{ 512 - 36 }>()
                .and_then(|rest| rest.first_chunk())
        };
        let fields: &[u8; 18] = fields.unwrap_or(&[0; 18]);
        let mut label = [b' '; 11];
        if fields[2] == 0x29 {
            label.copy_from_slice(&fields[7..18]);
        }
        Self {
            volume_id: match fields[2] {
                0x28 | 0x29 => le32(fields, 3),
                _ => 0,
            },
            label,
            mounted: fields[1] & 1 != 0,
        }
    }
}
