//! Checks of FAT12, FAT16 and FAT32: both tables, every chain, every entry, by code that is
//! independent of the reader and the writer.
//!
//! Source: *Microsoft Extensible Firmware Initiative FAT32 File System Specification* 1.03. Time
//! and memory are bounded by the number of clusters: each is followed once.

mod checker;
mod dirs;
mod geometry;
mod table;

use super::finding::{Location, Log, Severity};
use super::numbers::{index, widen};
use crate::stream::ReadAt;
use checker::{Checker, UsedClusters};
use geometry::{Geometry, le32};
use std::io;
use table::AllocationTable;

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
    let used = UsedClusters::new(geometry.clusters);
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

impl Checker<'_> {
    /// Both tables are equal; FAT32 keeps a copy of its boot sector.
    fn check_copies(&mut self, boot: &[u8; 512]) {
        let (fat, len) = (self.geometry.fat, self.geometry.fat_len);
        let mirrored = self.geometry.flags & 0x80 == 0;
        if self.geometry.copies == 2 && mirrored {
            let second = fat.saturating_add(len);
            let found = difference(self.source, [fat, second], len);
            let place = self.place();
            match found {
                Ok(at) => {
                    self.log.check(at.is_none(), "fat-copies", || {
                        let at = at.unwrap_or(0);
                        (
                            place.offset(second.saturating_add(at)),
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
        let backup = (self.geometry.backup_sector).saturating_mul(self.geometry.sector);
        if backup != 0 && backup < fat {
            let mut copy = [0; 512];
            let same = self.source.read_exact_at(backup, &mut copy).is_ok() && copy == *boot;
            let place = self.place().offset(backup);
            self.log.check(same, "fat-backup", || {
                (
                    place,
                    "the copy of the boot sector differs from the first".into(),
                )
            });
        }
    }

    /// The first two entries: the media byte and the marks of a clean unmount.
    fn check_marks(&mut self) {
        let width = self.geometry.width;
        let (first, second) = (self.table.entry(0), self.table.entry(1));
        let media = self.geometry.media;
        let place = self.place().offset(self.geometry.fat);
        let found = first & 0xFF;
        self.log.check(found == u32::from(media), "fat-media", || {
            let text = format!(
                "the table begins with the media byte {found:#04x}, the boot sector has {media:#04x}"
            );
            (place.clone(), text)
        });
        if let Some((clean, fine)) = width.marks() {
            let good = second & clean != 0 && second & fine != 0;
            self.log.check(good, "fat-dirty", || {
                let text = format!(
                    "the marks {second:#x} mean that it was not cleanly unmounted or had errors"
                );
                (place, text)
            });
        }
    }

    /// Clusters in use that belong to no file.
    fn check_lost(&mut self) {
        if self.broken {
            return;
        }
        let bad = self.geometry.width.bad();
        let lost: Vec<u32> = self
            .geometry
            .numbers()
            .filter(|cluster| {
                let entry = self.table.entry(*cluster);
                entry != 0 && entry != bad
            })
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

    /// FSInfo: its three signatures, and a count of free clusters that is right or unknown.
    fn check_info(&mut self) {
        let at = (self.geometry.info_sector).saturating_mul(self.geometry.sector);
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
                        "FSInfo has the signatures {:#x}, {:#x}, {:#x}",
                        marks[0], marks[1], marks[2]
                    ),
                )
            },
        );
        let free = self
            .geometry
            .numbers()
            .filter(|cluster| self.table.entry(*cluster) == 0)
            .count();
        let (stored, next) = (le32(&info, 488), le32(&info, 492));
        let right = stored == u32::MAX || index(stored) == free;
        if !right {
            let text = format!("FSInfo counts {stored} free clusters, {free} are free");
            self.log
                .add(Severity::Error, "fat-info", place.clone(), text);
        }
        let inside = next == u32::MAX || self.geometry.numbers().contains(&next);
        self.log.check(inside, "fat-info", || {
            (
                place,
                format!(
                    "FSInfo has {next} as the next free cluster, there are {}",
                    self.geometry.clusters
                ),
            )
        });
    }
}

/// The first byte in which the two ranges of `len` bytes that begin at `starts` differ.
fn difference(source: &dyn ReadAt, starts: [u64; 2], len: u64) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = 0;
    while at < len {
        let part = index(len.saturating_sub(at)).min(left.len());
        let left = left.get_mut(..part).unwrap_or_default();
        let right = right.get_mut(..part).unwrap_or_default();
        source.read_exact_at(starts[0].saturating_add(at), left)?;
        source.read_exact_at(starts[1].saturating_add(at), right)?;
        let differs = left.iter().zip(right.iter()).position(|(a, b)| a != b);
        if let Some(inner) = differs {
            return Ok(Some(at.saturating_add(widen(inner))));
        }
        at = at.saturating_add(widen(part));
    }
    Ok(None)
}
