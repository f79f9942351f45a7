//! A second opinion on FAT12, FAT16 and FAT32: both tables, every chain, every entry, by code that
//! shares nothing with the reader and the writer.
//!
//! Source: *Microsoft Extensible Firmware Initiative FAT32 File System Specification* 1.03. Time
//! and memory are bounded by the number of clusters: each is followed once.

mod dirs;
mod table;

use super::finding::{Location, Log, Severity};
use crate::stream::ReadAt;
use table::{AllocationTable, EntryWidth};

fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

/// The numbers of a boot sector; offsets and sizes in bytes.
#[derive(Clone, Debug)]
struct Geometry {
    width: EntryWidth,
    cluster: u64,
    /// Clusters, numbered from 2.
    clusters: u32,
    fat: u64,
    fat_len: u64,
    copies: u64,
    root: u64,
    root_len: u64,
    root_cluster: u32,
    data: u64,
    sector: u64,
    info_sector: u64,
    backup_sector: u64,
    media: u8,
    flags: u16,
}

/// What is known of each cluster.
#[derive(Debug)]
struct UsedClusters {
    /// A bit for each cluster that some file or directory has.
    taken: Vec<u64>,
}

impl UsedClusters {
    /// Marks a cluster; false when it was marked before.
    fn take(&mut self, cluster: u32) -> bool {
        let Some(word) = self.taken.get_mut(cluster as usize / 64) else {
            return false;
        };
        let bit = 1 << (cluster % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn has(&self, cluster: u32) -> bool {
        self.taken
            .get(cluster as usize / 64)
            .is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }
}

/// The state of a check of one filesystem.
struct Checker<'a> {
    source: &'a dyn ReadAt,
    partition: Option<u32>,
    log: &'a mut Log,
    geometry: Geometry,
    table: AllocationTable,
    used: UsedClusters,
    /// Some chain or directory could not be followed, so not every cluster in use is known.
    broken: bool,
}

/// Checks the filesystem at the start of `source`.
pub(super) fn check(source: &dyn ReadAt, partition: Option<u32>, log: &mut Log) {
    let place = || Location::of(partition);
    let mut boot = [0; 512];
    if let Err(e) = source.read_exact_at(0, &mut boot) {
        return log.error(
            "fat-unreadable",
            place().offset(0),
            format!("reading the boot sector: {e}"),
        );
    }
    let geometry = match Geometry::new(&boot, source.len()) {
        Ok(geometry) => geometry,
        Err(text) => return log.error("fat-boot-sector", place().offset(0), text),
    };
    log.passed(8);
    let table = match AllocationTable::read(source, &geometry) {
        Ok(table) => table,
        Err(e) => {
            return log.error(
                "fat-unreadable",
                place().offset(geometry.fat),
                format!("reading the table: {e}"),
            );
        }
    };
    let used = UsedClusters {
        taken: vec![0; geometry.clusters as usize / 64 + 1],
    };
    let mut checker = Checker {
        source,
        partition,
        log,
        geometry,
        table,
        used,
        broken: false,
    };
    checker.check_copies(&boot);
    checker.check_marks();
    checker.check_tree();
    checker.check_lost();
    checker.check_info();
}

impl Geometry {
    fn new(boot: &[u8; 512], len: u64) -> Result<Self, String> {
        if boot[510..] != [0x55, 0xAA] {
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
        let root_len = u64::from(le16(boot, 17)) * 32;
        let total = if le16(boot, 19) == 0 {
            u64::from(le32(boot, 32))
        } else {
            u64::from(le16(boot, 19))
        };
        let fat_sectors = if wide {
            u64::from(le32(boot, 36))
        } else {
            u64::from(le16(boot, 22))
        };
        let before = reserved + copies * fat_sectors + root_len.div_ceil(sector);
        if fat_sectors == 0 || total <= before || total.saturating_mul(sector) > len {
            return Err(format!(
                "{total} sectors, {before} of them before the first cluster, in {} sectors",
                len / sector
            ));
        }
        let clusters = (total - before) / per_cluster;
        let width = match clusters {
            _ if wide => EntryWidth::Fat32,
            0..4085 => EntryWidth::Fat12,
            _ => EntryWidth::Fat16,
        };
        let room = fat_sectors * sector * 8 / width.bits();
        if clusters + 2 > room || clusters > u64::from(width.end()) - 8 {
            return Err(format!(
                "the table has room for {room} entries, {} are needed",
                clusters + 2
            ));
        }
        if wide && root_len != 0 {
            return Err(format!(
                "FAT32 has a root directory of {root_len} bytes in front of the clusters, not 0"
            ));
        }
        Ok(Self {
            width,
            cluster: per_cluster * sector,
            clusters: u32::try_from(clusters).map_err(|e| e.to_string())?,
            fat: reserved * sector,
            fat_len: fat_sectors * sector,
            copies,
            root: (reserved + copies * fat_sectors) * sector,
            root_len,
            root_cluster: if wide {
                le32(boot, 44) & 0x0FFF_FFFF
            } else {
                0
            },
            data: before * sector,
            sector,
            info_sector: if wide { le16(boot, 48).into() } else { 0 },
            backup_sector: if wide { le16(boot, 50).into() } else { 0 },
            media: boot[21],
            flags: if wide { le16(boot, 40) } else { 0 },
        })
    }

    /// Where a cluster begins; `None` when there is no such cluster.
    fn offset(&self, cluster: u32) -> Option<u64> {
        let index = cluster
            .checked_sub(2)
            .filter(|index| *index < self.clusters)?;
        Some(self.data + u64::from(index) * self.cluster)
    }
}

impl Checker<'_> {
    fn place(&self) -> Location {
        Location::of(self.partition)
    }

    /// All tables are equal; FAT32 keeps a copy of its boot sector.
    fn check_copies(&mut self, boot: &[u8; 512]) {
        let (fat, len) = (self.geometry.fat, self.geometry.fat_len);
        let mirrored = self.geometry.flags & 0x80 == 0;
        if self.geometry.copies == 2 && mirrored {
            let found = table::difference(self.source, fat, fat + len, len);
            let place = self.place();
            match found {
                Ok(at) => {
                    self.log.check(at.is_none(), "fat-copies", || {
                        let at = at.unwrap_or(0);
                        (
                            place.offset(fat + len + at),
                            format!("the second table differs from the first at byte {at}"),
                        )
                    });
                }
                Err(e) => self.log.error(
                    "fat-unreadable",
                    place,
                    format!("comparing the tables: {e}"),
                ),
            }
        }
        let backup = self.geometry.backup_sector * self.geometry.sector;
        if backup != 0 && backup < fat {
            let mut copy = [0; 512];
            let same = self.source.read_exact_at(backup, &mut copy).is_ok() && copy == *boot;
            let place = self.place().offset(backup);
            self.log.check(same, "fat-backup", || {
                (place, "the copy of the boot sector differs from it".into())
            });
        }
    }

    /// The first two entries: the media byte and the marks of a clean unmount.
    fn check_marks(&mut self) {
        let width = self.geometry.width;
        let (first, second) = (self.table.entry(0), self.table.entry(1));
        let media = self.geometry.media;
        let place = self.place().offset(self.geometry.fat);
        self.log.check(first & 0xFF == u32::from(media), "fat-media", || {
            (place.clone(), format!("the table begins with the media byte {:#04x}, the boot sector has {media:#04x}", first & 0xFF))
        });
        if let Some((clean, fine)) = width.marks() {
            self.log.check(second & clean != 0 && second & fine != 0, "fat-dirty", || {
                (place, format!("the marks {second:#x} say that it was not unmounted or that errors were met"))
            });
        }
    }

    /// Clusters in use that no file has.
    fn check_lost(&mut self) {
        if self.broken {
            return;
        }
        let bad = self.geometry.width.bad();
        let lost: Vec<u32> = (2..self.geometry.clusters + 2)
            .filter(|cluster| !matches!(self.table.entry(*cluster), entry if entry == 0 || entry == bad))
            .filter(|cluster| !self.used.has(*cluster))
            .collect();
        let place = self.place();
        let first = lost.first().copied();
        let offset = first
            .and_then(|first| self.geometry.offset(first))
            .unwrap_or(0);
        self.log.check(lost.is_empty(), "fat-lost", || {
            (
                place.offset(offset),
                format!(
                    "{} clusters are in use but belong to no file, first cluster {}",
                    lost.len(),
                    first.unwrap_or(0)
                ),
            )
        });
    }

    /// FSInfo: its three marks, and a count of free clusters that is right or unknown.
    fn check_info(&mut self) {
        let at = self.geometry.info_sector * self.geometry.sector;
        if at == 0 || at >= self.geometry.fat {
            return;
        }
        let mut info = [0; 512];
        let place = self.place().offset(at);
        if self.source.read_exact_at(at, &mut info).is_err() {
            return;
        }
        let marks = [le32(&info, 0), le32(&info, 484), le32(&info, 508)];
        self.log.check(
            marks == [0x4161_5252, 0x6141_7272, 0xAA55_0000],
            "fat-info",
            || {
                (
                    place.clone(),
                    format!(
                        "FSInfo has the marks {:#x}, {:#x}, {:#x}",
                        marks[0], marks[1], marks[2]
                    ),
                )
            },
        );
        let free = (2..self.geometry.clusters + 2)
            .filter(|cluster| self.table.entry(*cluster) == 0)
            .count();
        let (stored, next) = (le32(&info, 488), le32(&info, 492));
        let right = stored == u32::MAX || stored as usize == free;
        if !right {
            let text = format!("FSInfo counts {stored} free clusters, {free} are free");
            self.log
                .add(Severity::Error, "fat-info", place.clone(), text);
        }
        let inside = next == u32::MAX || (2..self.geometry.clusters + 2).contains(&next);
        self.log.check(inside, "fat-info", || {
            (
                place,
                format!(
                    "FSInfo names {next} as the next free cluster, there are {}",
                    self.geometry.clusters
                ),
            )
        });
    }
}
