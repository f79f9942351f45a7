//! What a real kernel's driver wrote, held against the model of it.
//!
//! A recording is a log as the kernel's target dm-log-writes keeps it, and QEMU's driver
//! `blklogwrites`: a header, then each write with its bytes and each flush, in the order in which
//! they reached the disk.
//!
//! ```text
//! header  0 magic (8 bytes)    8 version 1 (8)    16 entries (8)    24 size of a sector (4)
//! entry   0 sector (8)         8 sectors (8)      16 flags (8): 1 is a flush, 4 a discard
//! ```
//! Both are padded to a sector, all numbers little endian; the bytes of a write follow its entry.
//! (Linux, `Documentation/admin-guide/device-mapper/log-writes.rst`, `drivers/md/dm-log-writes.c`.)

use super::driver::Driver;
use super::fat::{Disk, ROOT, SECTOR, first_sectors, sector_of};
use super::op::{Op, apply};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The sectors of the disk after the filesystem; the last is written at each border of steps.
pub(crate) const MORE: u32 = 16;

/// An entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// A step ends.
    Step,
    Write(u32, Box<[u8; SECTOR]>),
    Flush,
}

/// How much of a recording was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Sectors that were written, and that the model writes so, too.
    pub(crate) writes: usize,
    /// Writes of the two sectors that the model has not: the mark of a mounted volume, and the
    /// count of free clusters.
    pub(crate) others: usize,
    /// Flushes where the model has one, each with the whole medium compared.
    pub(crate) flushes: usize,
    /// Flushes besides.
    pub(crate) more_flushes: usize,
}

/// The entries of a log; `marker` is the sector that is written at borders of steps.
pub(crate) fn parse(log: &[u8], marker: u32) -> Vec<Logged> {
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
    assert_eq!(
        number(0),
        0x006a_7366_7773_6872,
        "the magic number of a log"
    );
    assert_eq!(log[24..28], 512_u32.to_le_bytes(), "its sectors");
    let mut out = Vec::new();
    let mut at = SECTOR;
    // The count in the header is that of the last time that it was written.
    while at + SECTOR <= log.len() && log[at..at + 24].iter().any(|byte| *byte != 0) {
        let (sector, count, flags) = (number(at), number(at + 8), number(at + 16));
        at += SECTOR;
        assert_eq!(flags & !3, 0, "neither discarded nor marked");
        let sectors = u32::try_from(sector).unwrap()..;
        for (sector, _) in sectors.zip(0..count) {
            let bytes: [u8; SECTOR] = log[at..at + SECTOR].try_into().unwrap();
            at += SECTOR;
            out.push(match sector == marker {
                true => Logged::Step,
                false => Logged::Write(sector, Box::new(bytes)),
            });
        }
        if flags & 1 != 0 {
            out.push(Logged::Flush);
        }
    }
    out
}

/// The sectors of directories.
fn directories(disk: &Disk) -> BTreeSet<u32> {
    let all = disk.walk().into_iter().filter(|(_, entry)| entry.is_dir);
    all.map(|(_, entry)| entry.first)
        .chain([ROOT])
        .flat_map(|first| disk.chain(first).0)
        .map(sector_of)
        .collect()
}

/// A sector without the times in it, if it is one of a directory.
fn timeless(sector: u32, bytes: &[u8; SECTOR], directories: &BTreeSet<u32>) -> [u8; SECTOR] {
    let mut out = *bytes;
    if directories.contains(&sector) {
        for entry in out.chunks_mut(32).filter(|entry| entry[11] != 0x0f) {
            entry[13..20].fill(0);
            entry[22..26].fill(0);
        }
    }
    out
}

/// Holds a recording of steps, each with what its tool did, against the model of the driver: each
/// sector that was written must be one that the model has written since its last flush, in one of
/// its versions; and where the model assumes a flush there was one, when the medium was what the
/// model has then.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(
    logged: &[Logged],
    start: &Disk,
    steps: &[Vec<Op>],
) -> Result<Compared, String> {
    let mut driver = Driver::new(start.clone(), false);
    let mut medium = start.clone();
    let mut seen = Compared::default();
    // What comes before the first step mounts the filesystem, what comes after the last unmounts.
    let parts: Vec<&[Logged]> = logged.split(|entry| *entry == Logged::Step).collect();
    if parts.len() != steps.len() + 2 {
        return Err(format!("{} parts for {} steps", parts.len(), steps.len()));
    }
    for (number, (ops, part)) in (1..).zip(steps.iter().zip(&parts[1..])) {
        let mut part = part.iter();
        let mut submitted = 0;
        let place = |what: String| format!("step {number}: {what}");
        for op in ops {
            match op {
                Op::SyncAll => submitted = driver.pending.len(),
                Op::Flush if submitted == driver.pending.len() => {
                    follow(&mut part, &mut medium, &driver, &mut seen, true).map_err(place)?;
                    driver.flush();
                    submitted = 0;
                }
                Op::Flush => {}
                other => apply(&mut driver, other),
            }
        }
        follow(&mut part, &mut medium, &driver, &mut seen, false).map_err(place)?;
    }
    Ok(seen)
}

/// Goes on in the recording to the flush at which the medium is what the model has, or to its end.
fn follow<'l>(
    part: &mut impl Iterator<Item = &'l Logged>,
    medium: &mut Disk,
    driver: &Driver,
    seen: &mut Compared,
    to_flush: bool,
) -> Result<(), String> {
    let mut dirs = directories(&driver.now);
    dirs.extend(directories(&driver.durable));
    let same = |medium: &Disk| {
        let sectors: BTreeSet<u32> = driver.pending.iter().map(|(sector, _)| *sector).collect();
        sectors.into_iter().find(|sector| {
            timeless(*sector, &medium.get(*sector), &dirs)
                != timeless(*sector, &driver.now.get(*sector), &dirs)
        })
    };
    for entry in part {
        match entry {
            Logged::Step => return Err("a step within a step".to_owned()),
            Logged::Write(sector, bytes) => {
                let of_model = driver.pending.iter().filter(|(at, _)| at == sector);
                let mut versions = of_model.map(|(_, bytes)| **bytes);
                let found = timeless(*sector, bytes, &dirs);
                let is = |known: [u8; SECTOR]| timeless(*sector, &known, &dirs) == found;
                if !first_sectors().contains(sector) {
                    if !is(driver.durable.get(*sector)) && !versions.any(is) {
                        return Err(format!("sector {sector} is written as {}", text(bytes)));
                    }
                    seen.writes += 1;
                    medium.put(*sector, Arc::new(**bytes));
                } else {
                    seen.others += 1;
                }
            }
            Logged::Flush if to_flush && same(medium).is_none() => {
                seen.flushes += 1;
                return Ok(());
            }
            Logged::Flush => seen.more_flushes += 1,
        }
    }
    match same(medium).filter(|_| to_flush) {
        None if to_flush => Err("there is no flush".to_owned()),
        None => Ok(()),
        Some(sector) => Err(format!(
            "sector {sector} is {}, not {}",
            text(&medium.get(sector)),
            text(&driver.now.get(sector))
        )),
    }
}

/// A sector for a message.
fn text(bytes: &[u8; SECTOR]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two sectors, on the medium.
    fn steps() -> (Disk, Vec<Vec<Op>>, Vec<Logged>) {
        let start = Disk::format();
        let put = Op::Put("A".into(), vec![b'a'; 700]);
        let steps = vec![vec![put, Op::SyncAll, Op::Flush]];
        let mut driver = Driver::new(start.clone(), false);
        apply(&mut driver, &steps[0][0]);
        let mut logged = vec![Logged::Step];
        let all = driver.pending.iter();
        logged.extend(all.map(|(sector, bytes)| Logged::Write(*sector, Box::new(**bytes))));
        logged.extend([Logged::Flush, Logged::Step]);
        (start, steps, logged)
    }

    #[test]
    fn a_recording_is_what_the_model_writes() {
        let (start, steps, logged) = steps();
        let seen = compare(&logged, &start, &steps).unwrap();
        assert_eq!((seen.flushes, seen.more_flushes), (1, 0));
        assert!(seen.writes > 5);
    }

    #[test]
    fn each_difference_of_a_recording_is_found() {
        let (start, steps, logged) = steps();
        let flush = logged.len() - 2;
        // No flush; a flush before the last write; another byte; another sector.
        let mut none = logged.clone();
        none.remove(flush);
        let mut early = logged.clone();
        early.swap(flush, flush - 1);
        let mut byte = logged.clone();
        let mut sector = logged.clone();
        let mut kept = logged.clone();
        if let (Logged::Write(_, bytes), Logged::Write(at, _)) = (&mut byte[1], &mut sector[1]) {
            bytes[4] ^= 1;
            *at += 1;
        }
        kept.remove(1);
        for (what, logged) in [
            ("none", none),
            ("early", early),
            ("byte", byte),
            ("sector", sector),
        ] {
            assert!(compare(&logged, &start, &steps).is_err(), "{what}");
        }
        let last = kept.len() - 3;
        kept.remove(last);
        assert!(
            compare(&kept, &start, &steps).is_err(),
            "a sector is missing"
        );
    }
}
