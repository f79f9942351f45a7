//! The boot sector, the kinds and the times of FAT.

use super::Error;
use crate::tree::Time;
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

/// A little-endian number of two bytes; `bytes` holds them.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

/// A little-endian number of four bytes.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
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
            return refuse("the first sector is no boot sector".into());
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
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
        let before = reserved + fats * fat_sectors + root_sectors;
        if fat_sectors == 0 || total <= before || total * sector > len {
            return refuse(format!(
                "{total} sectors of {sector} bytes, {before} of them before the clusters, in {len} bytes"
            ));
        }
        let clusters = (total - before) / per_cluster;
        let kind = match clusters {
            _ if wide => FatKind::Fat32,
            ..=4084 => FatKind::Fat12,
            _ => FatKind::Fat16,
        };
        let entries = fat_sectors * sector * 8 / kind.bits();
        // A table shorter than the clusters bounds them, as in Linux.
        let clusters = clusters
            .min(entries.saturating_sub(2))
            .min(u64::from(kind.marks()) - 2);
        let extra = if wide { 64 } else { 36 };
        let has_id = matches!(boot[extra + 2], 0x28 | 0x29);
        let mut label = [b' '; 11];
        if boot[extra + 2] == 0x29 {
            label.copy_from_slice(&boot[extra + 7..extra + 18]);
        }
        Ok(Self {
            kind,
            cluster: per_cluster * sector,
            clusters: u32::try_from(clusters).unwrap_or(u32::MAX),
            fat: reserved * sector,
            root: (
                (reserved + fats * fat_sectors) * sector,
                root_entries * ENTRY as u64,
            ),
            root_cluster: if wide {
                le32(boot, 44) & 0x0fff_ffff
            } else {
                0
            },
            data: before * sector,
            end: total * sector,
            volume_id: if has_id { le32(boot, extra + 3) } else { 0 },
            label,
            mounted: boot[extra + 1] & 1 != 0,
        })
    }

    /// Where a cluster begins; `None` when there is no such cluster.
    pub(super) fn offset(&self, cluster: u32) -> Option<u64> {
        let index = cluster
            .checked_sub(2)
            .filter(|index| *index < self.clusters)?;
        Some(self.data + u64::from(index) * self.cluster)
    }
}

/// Days from 1970-01-01 to this date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + day_of_year
        - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Seconds of a FAT date and time; a field out of range (month 0) counts as its least value.
pub(super) fn from_dos(day: u16, time: u16) -> Time {
    let (year, month, mday) = (
        i64::from(day >> 9) + 1980,
        i64::from(day >> 5 & 15).clamp(1, 12),
        i64::from(day & 31).max(1),
    );
    let (hour, minute, second) = (
        i64::from(time >> 11),
        i64::from(time >> 5 & 63),
        i64::from(time & 31) * 2,
    );
    Time {
        seconds: days(year, month, mday) * 86_400 + hour * 3600 + minute * 60 + second,
        nanos: 0,
    }
}

/// A time as FAT date and time, cut to 1980..=2107 and even seconds.
pub(super) fn to_dos(time: Time) -> (u16, u16) {
    let (least, most) = (days(1980, 1, 1) * 86_400, days(2108, 1, 1) * 86_400 - 2);
    let seconds = time.seconds.clamp(least, most);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let packed_day = ((year - 1980) << 9) | (month << 5) | day;
    let packed_time = ((of_day / 3600) << 11) | ((of_day / 60 % 60) << 5) | (of_day % 60 / 2);
    (
        u16::try_from(packed_day).unwrap_or(u16::MAX),
        u16::try_from(packed_time).unwrap_or(u16::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_even_and_clamped() {
        for (seconds, expected) in [
            (1_700_000_001, 1_700_000_000),
            (951_827_696, 951_827_696), // 29 February 2000
            (0, 315_532_800),
            (5_000_000_000, 4_354_819_198),
            (4_102_444_799, 4_102_444_798), // the last second before 2100, which is no leap year
            (4_107_542_400, 4_107_542_400), // 1 March 2100
        ] {
            let (day, time) = to_dos(Time { seconds, nanos: 5 });
            assert_eq!(
                from_dos(day, time),
                Time {
                    seconds: expected,
                    nanos: 0
                },
                "{seconds}"
            );
        }
        assert_eq!(
            to_dos(Time {
                seconds: 315_532_800,
                nanos: 0
            }),
            (0x21, 0)
        );
        assert_eq!(
            from_dos(0, 0),
            Time {
                seconds: 315_532_800,
                nanos: 0
            }
        );
    }
}
