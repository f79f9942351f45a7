//! What the checks read of the disk before it is written, and whether that is what was written.
//!
//! The disk that is judged is made of runs of files: of the golden image, of overlays. Each of them
//! may change between being judged and being written, and only what was judged may be published.
//! [`WatchedDisk`] therefore remembers a checksum of everything that the checks read, and where
//! they were told of holes, which they do not read. Every chunk that goes into an output is
//! compared with that. The judgement then holds for what was written, and need not be repeated.

use crate::bytes::is_zero;
use crate::compress::chunker::Chunk;
use crate::plan::layout::Layout;
use crate::stream::{Content, Places, ReadAt};
use crate::units::align_down;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// No reading crosses a multiple of this (bytes): chunks end there.
const BLOCK: u64 = 4096;
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// A range of the disk that was read, within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reading {
    /// Its offset on the disk (bytes).
    offset: u64,
    /// Its length (bytes), at most that of a block.
    len: u32,
    /// CRC-32.
    crc: u32,
}

/// Readings and holes, some of them several times.
#[derive(Debug, Default)]
struct Readings {
    all: Vec<Reading>,
    /// Number of readings without repetitions, as far as is known.
    different: usize,
    /// Ranges that were said to be holes (bytes of the disk).
    holes: Vec<Range<u64>>,
    /// Number of holes that do not overlap, as far as is known.
    separate: usize,
}

impl Readings {
    /// The number of readings below which none are removed.
    const FEW: usize = 1 << 16;

    fn push(&mut self, reading: Reading) {
        self.all.push(reading);
        if self.all.len() >= 2 * self.different.max(Self::FEW) {
            self.remove_repetitions();
        }
    }

    fn push_hole(&mut self, hole: Range<u64>) {
        self.holes.push(hole);
        if self.holes.len() >= 2 * self.separate.max(Self::FEW) {
            self.merge_holes();
        }
    }

    fn remove_repetitions(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
        self.different = self.all.len();
    }

    /// Sorts the holes, and makes one of those that overlap or touch.
    fn merge_holes(&mut self) {
        self.holes.sort_unstable_by_key(|hole| hole.start);
        self.holes.dedup_by(|next, last| {
            let is_joined = next.start <= last.end;
            if is_joined {
                last.end = last.end.max(next.end);
            }
            is_joined
        });
        self.separate = self.holes.len();
    }
}

/// Which parts of the disk pass by while it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrittenParts {
    pub(super) layout: Layout,
    /// Length of the root filesystem (bytes).
    pub(super) root_len: u64,
    /// Whether slot B is a copy of slot A.
    pub(super) copy_to_b: bool,
    /// Whether there is no image: then only the root filesystem is written.
    pub(super) only_root: bool,
}

impl WrittenParts {
    /// Where the byte at `offset` passes by; `None` in the data partition, which is made anew for
    /// the checksum of the root filesystem, and where nothing is written.
    fn place(&self, offset: u64) -> Option<u64> {
        let [a, b] = [self.layout.root_a, self.layout.root_b]
            .map(|slot| slot.start..slot.start + self.root_len);
        if self.copy_to_b && b.contains(&offset) {
            return Some(offset - b.start + a.start);
        }
        let data = self.layout.data;
        let is_other = (data.start..data.end()).contains(&offset) || self.only_root;
        (!is_other || a.contains(&offset)).then_some(offset)
    }

    /// Where the bytes of `range` pass by, in parts.
    fn places(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Layout {
            root_a,
            root_b,
            data,
            ..
        } = self.layout;
        let slots = [root_a, root_b].map(|slot| [slot.start, slot.start + self.root_len]);
        let mut cuts = [slots[0], slots[1], [data.start, data.end()]].concat();
        cuts.retain(|cut| range.start < *cut && *cut < range.end);
        cuts.extend([range.start, range.end]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
        parts.into_iter().filter_map(|part| {
            let start = self.place(part.start)?;
            Some(start..start + (part.end - part.start))
        })
    }
}

/// A disk that remembers what is read of it.
#[derive(Debug)]
pub(super) struct WatchedDisk {
    disk: Content,
    parts: WrittenParts,
    readings: Mutex<Readings>,
}

impl WatchedDisk {
    pub(super) fn new(disk: Content, parts: WrittenParts) -> Self {
        Self {
            disk,
            parts,
            readings: Mutex::default(),
        }
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read so far.
    pub(super) fn judged(&self) -> Judged {
        let mut readings = std::mem::take(&mut *self.readings());
        readings.remove_repetitions();
        readings.merge_holes();
        readings.all.shrink_to_fit();
        readings.holes.shrink_to_fit();
        Judged {
            readings: readings.all,
            written: AtomicUsize::new(0),
            hole_bytes: readings
                .holes
                .iter()
                .map(|hole| hole.end - hole.start)
                .sum(),
            holes: readings.holes,
            written_holes: AtomicU64::new(0),
        }
    }
}

impl ReadAt for WatchedDisk {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read_exact_at(offset, buf)?;
        let (mut at, mut rest) = (offset, &*buf);
        let mut found = Vec::new();
        while !rest.is_empty() {
            let len = (align_down(at, BLOCK) + BLOCK - at).min(rest.len() as u64);
            let (part, after) = rest.split_at(len as usize);
            if let Some(offset) = self.parts.place(at) {
                let crc = crc32fast::hash(part);
                let len = len as u32;
                found.push(Reading { offset, len, crc });
            }
            at += len;
            rest = after;
        }
        // Several threads read: no checksum is computed while others wait.
        let mut readings = self.readings();
        found.into_iter().for_each(|reading| readings.push(reading));
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let data = self.disk.next_data(offset)?;
        let end = data.as_ref().map_or(self.disk.len(), |data| data.start);
        if offset < end {
            let mut readings = self.readings();
            let holes = self.parts.places(offset..end);
            holes.for_each(|hole| readings.push_hole(hole));
        }
        Ok(data)
    }

    /// What is known of these places holds without reading them, and is not remembered here: that
    /// the golden image did not change is checked at the end.
    fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
        self.disk.places(range, places)
    }
}

/// What the checks read of a disk.
#[derive(Debug)]
pub(super) struct Judged {
    /// By offset, without repetitions.
    readings: Vec<Reading>,
    /// How many of them were found in what was written.
    written: AtomicUsize,
    /// Where there was nothing to read (bytes of the disk), by offset, none touching the next.
    holes: Vec<Range<u64>>,
    /// The length of all holes (bytes).
    hole_bytes: u64,
    /// How much of them was found to be zero in what was written (bytes).
    written_holes: AtomicU64,
}

impl Judged {
    /// Compares a chunk that is written at `start` of the disk with what was judged; each chunk
    /// must come once.
    ///
    /// # Errors
    /// The first range that is another one now.
    pub(super) fn compare(&self, start: u64, chunk: &Chunk) -> io::Result<()> {
        let end = start + chunk.len() as u64;
        let first = self
            .readings
            .partition_point(|reading| reading.offset < start);
        let mut found = 0;
        for reading in &self.readings[first..] {
            if reading.offset >= end {
                break;
            }
            let len = reading.len as usize;
            let from = (reading.offset - start) as usize;
            let written = match chunk {
                Chunk::Zero(_) => &ZEROS[..len],
                Chunk::Data(bytes) => match bytes.get(from..from + len) {
                    Some(written) => written,
                    // It ends in the next chunk, and stays unknown.
                    None => continue,
                },
            };
            if crc32fast::hash(written) != reading.crc {
                let offset = reading.offset;
                return Err(changed(offset..offset + u64::from(reading.len)));
            }
            found += 1;
        }
        self.written.fetch_add(found, Ordering::Relaxed);
        self.compare_holes(start..end, chunk)
    }

    /// As [`Self::compare`], with the holes alone; the chunk is written at `range`.
    fn compare_holes(&self, range: Range<u64>, chunk: &Chunk) -> io::Result<()> {
        let first = self.holes.partition_point(|hole| hole.end <= range.start);
        let holes = self.holes[first..].iter();
        let mut found = 0;
        for hole in holes.take_while(|hole| hole.start < range.end) {
            let hole = hole.start.max(range.start)..hole.end.min(range.end);
            if let Chunk::Data(bytes) = chunk {
                let from = (hole.start - range.start) as usize;
                let to = (hole.end - range.start) as usize;
                if !is_zero(&bytes[from..to]) {
                    return Err(changed(hole));
                }
            }
            found += hole.end - hole.start;
        }
        self.written_holes.fetch_add(found, Ordering::Relaxed);
        Ok(())
    }

    /// Whether all that was judged in `range` of the disk was judged by `other` too, with the same
    /// bytes: what was written for `other` then needs no comparison. It counts as found.
    pub(super) fn is_part_of(&self, other: &Self, range: Range<u64>) -> bool {
        let first = self
            .readings
            .partition_point(|reading| reading.offset < range.start);
        let last = self
            .readings
            .partition_point(|reading| reading.offset < range.end);
        let readings = &self.readings[first..last];
        let mut holes = 0;
        let from = self.holes.partition_point(|hole| hole.end <= range.start);
        for hole in &self.holes[from..] {
            if hole.start >= range.end {
                break;
            }
            let hole = hole.start.max(range.start)..hole.end.min(range.end);
            let at = other.holes.partition_point(|known| known.end <= hole.start);
            let is_known = other
                .holes
                .get(at)
                .is_some_and(|known| known.start <= hole.start && hole.end <= known.end);
            if !is_known {
                return false;
            }
            holes += hole.end - hole.start;
        }
        let known = |reading| other.readings.binary_search(reading).is_ok();
        if !readings.iter().all(known) {
            return false;
        }
        self.written.fetch_add(readings.len(), Ordering::Relaxed);
        self.written_holes.fetch_add(holes, Ordering::Relaxed);
        true
    }

    /// Whether everything that was judged was found in what was written.
    pub(super) fn is_written(&self) -> bool {
        self.written.load(Ordering::Relaxed) == self.readings.len()
            && self.written_holes.load(Ordering::Relaxed) == self.hole_bytes
    }
}

/// The error of bytes that are others now.
fn changed(range: Range<u64>) -> io::Error {
    let Range { start, end } = range;
    io::Error::other(format!(
        "bytes {start} to {end} of the disk are not those that were checked: a file that goes into \
         the image was changed meanwhile"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::pool::Pool;
    use crate::plan::family::PartitionSet;
    use crate::plan::layout::Extent;
    use crate::stream::{Known, Run, unchanging};
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    fn parts() -> WrittenParts {
        let extent = |start, len| Extent {
            start: start * MIB,
            len: len * MIB,
        };
        WrittenParts {
            layout: Layout {
                boot: extent(1, 1),
                boot_len: MIB,
                set: PartitionSet::OneBoot,
                root_a: extent(2, 2),
                root_b: extent(4, 2),
                data: extent(6, 1),
                total: 8 * MIB,
            },
            root_len: MIB + 5000,
            copy_to_b: true,
            only_root: false,
        }
    }

    /// A disk of which every 3000 bytes differ.
    fn disk() -> Vec<u8> {
        (0..8 * MIB).map(|at| (at / 3000 % 251) as u8).collect()
    }

    fn chunk(bytes: &[u8]) -> Chunk {
        let mut buffer = Pool::new(bytes.len()).take();
        buffer.whole().copy_from_slice(bytes);
        Chunk::Data(Arc::new(buffer))
    }

    /// What was judged after these ranges were read.
    fn judged(parts: WrittenParts, ranges: &[Range<u64>]) -> Judged {
        let disk = WatchedDisk::new(Content::bytes(disk()), parts);
        for range in ranges {
            let mut buf = vec![0; (range.end - range.start) as usize];
            disk.read_exact_at(range.start, &mut buf).unwrap();
            // What is read twice counts once.
            disk.read_exact_at(range.start, &mut buf).unwrap();
        }
        disk.judged()
    }

    #[test]
    fn what_was_read_must_be_written_and_nothing_else() {
        let disk = disk();
        let start = 2 * MIB;
        let root = &disk[start as usize..][..(MIB + 5000) as usize];
        let ranges = [start + 100..start + 9000, start + MIB..start + MIB + 4999];
        let known = judged(parts(), &ranges);
        assert!(!known.is_written());
        let (first, second) = root.split_at(8192);
        known.compare(start, &chunk(first)).unwrap();
        assert!(!known.is_written());
        known.compare(start + 8192, &chunk(second)).unwrap();
        assert!(known.is_written());
        // A byte that was read is another one, and so is one that was not.
        for (at, is_refused) in [
            (99, false),
            (100, true),
            (8999, true),
            (9000, false),
            (MIB as usize - 1, false),
            (MIB as usize, true),
            (MIB as usize + 4999, false),
        ] {
            let mut other = root.to_vec();
            other[at] ^= 1;
            let known = judged(parts(), &ranges);
            assert_eq!(
                known.compare(start, &chunk(&other)).is_err(),
                is_refused,
                "{at}"
            );
        }
        let zeros = Chunk::Zero(root.len());
        let error = known.compare(start, &zeros).unwrap_err().to_string();
        let expected = "bytes 2097252 to 2101248 of the disk are not those that were checked: a file \
                        that goes into the image was changed meanwhile";
        assert_eq!(error, expected);
    }

    #[test]
    fn slot_b_is_slot_a_and_the_data_partition_is_made_anew() {
        let (a, b) = (2 * MIB, 4 * MIB);
        let places = |parts: WrittenParts| {
            let last = b + MIB + 4999;
            [0, a, b, last, last + 1, 6 * MIB, 7 * MIB].map(|at| parts.place(at))
        };
        let (end, after) = (Some(a + MIB + 4999), Some(b + MIB + 5000));
        let all = [Some(0), Some(a), Some(a), end, after, None, Some(7 * MIB)];
        assert_eq!(places(parts()), all);
        let only_root = WrittenParts {
            only_root: true,
            ..parts()
        };
        let root = [None, Some(a), Some(a), end, None, None, None];
        assert_eq!(places(only_root), root);
    }

    /// What was judged after the disk, with these data alone, was asked for data from `offset` on.
    fn judged_holes(parts: WrittenParts, data: Range<u64>, offset: u64) -> Judged {
        let mut disk = Content::hole(8 * MIB);
        disk.push_bytes(data.start, vec![7; (data.end - data.start) as usize]);
        let disk = WatchedDisk::new(disk, parts);
        let mut at = offset;
        while let Some(data) = disk.next_data(at).unwrap() {
            at = data.end;
            // What is asked twice counts once.
            disk.next_data(offset).unwrap();
        }
        disk.judged()
    }

    #[test]
    fn what_is_known_of_the_golden_image_is_known_of_the_disk() {
        let known = Known::<u32>::default();
        let golden = unchanging(vec![5; 9000]);
        let of_board = |identity: u8| {
            let mut disk = Content::hole(0);
            disk.push_bytes(2 * MIB, vec![identity; 4096]);
            disk.push(Run {
                offset: 2 * MIB + 4096,
                len: 9000,
                source: Arc::clone(&golden),
                source_offset: 0,
            });
            disk.set_len(8 * MIB);
            WatchedDisk::new(disk, parts())
        };
        let file = 2 * MIB + 4096..2 * MIB + 13_096;
        let [first, second] = [1, 2].map(of_board);
        let entry = known.entry(&first, file.clone()).unwrap();
        entry.value.get_or_init(|| 7);
        let entry = known.entry(&second, file).unwrap();
        assert_eq!((entry.is_new, entry.value.get()), (false, Some(&7)));
        // The identity is its own.
        assert!(known.entry(&second, 2 * MIB..2 * MIB + 4096).is_none());
    }

    #[test]
    fn what_was_a_hole_must_be_written_as_zeros() {
        let start = 2 * MIB;
        // All of slot A is a hole but for two blocks, and what follows it is not of interest.
        let only_root = WrittenParts {
            only_root: true,
            copy_to_b: false,
            ..parts()
        };
        let data = start + 8192..start + 16384;
        let known = || judged_holes(only_root, data.clone(), start + 4096);
        let len = (MIB + 5000) as usize;
        let mut root = vec![0; len];
        root[8192..16384].fill(7);
        let whole = known();
        whole.compare(start, &chunk(&root)).unwrap();
        assert!(whole.is_written());
        // In chunks, some of them zeros.
        let pieces = known();
        pieces.compare(start, &Chunk::Zero(8000)).unwrap();
        pieces
            .compare(start + 8000, &chunk(&root[8000..20_000]))
            .unwrap();
        assert!(!pieces.is_written());
        let rest = Chunk::Zero(len - 20_000);
        pieces.compare(start + 20_000, &rest).unwrap();
        assert!(pieces.is_written());
        for (at, is_refused) in [
            (4095, false),
            (4096, true),
            (8191, true),
            (8192, false),
            (16383, false),
            (16384, true),
            (len - 1, true),
        ] {
            let mut other = root.clone();
            other[at] ^= 1;
            let found = known().compare(start, &chunk(&other));
            assert_eq!(found.is_err(), is_refused, "{at}");
        }
    }

    #[test]
    fn what_was_judged_of_another_disk_holds_where_all_of_it_is_the_same() {
        let start = 2 * MIB;
        let range = start..start + MIB;
        let other = judged(
            parts(),
            &[start..start + 9000, start + 20_000..start + 30_000],
        );
        // Part of it, read in the same blocks.
        let part = judged(parts(), std::slice::from_ref(&(start..start + 9000)));
        assert!(part.is_part_of(&other, range.clone()));
        assert!(part.is_written());
        // More than that, only the first blocks of which are the same.
        let more = judged(parts(), std::slice::from_ref(&(start..start + 9001)));
        assert!(!more.is_part_of(&other, range.clone()));
        assert!(more.is_part_of(&other, start..start + 8192));
        assert!(!more.is_written());
        // Other bytes.
        let mut changed = disk();
        changed[start as usize + 100] ^= 1;
        let disk = WatchedDisk::new(Content::bytes(changed), parts());
        let mut buf = [0; 200];
        disk.read_exact_at(start, &mut buf).unwrap();
        assert!(!disk.judged().is_part_of(&other, range));
    }

    #[test]
    fn holes_of_another_disk_hold_where_it_has_them() {
        let start = 2 * MIB;
        let only_root = WrittenParts {
            only_root: true,
            copy_to_b: false,
            ..parts()
        };
        let holes = |data| judged_holes(only_root, data, start);
        let other = holes(start + 8192..start + 16_384);
        let end = start + only_root.root_len;
        let same = holes(start + 8192..start + 16_384);
        assert!(same.is_part_of(&other, start..start + 12_288));
        assert!(!same.is_written());
        assert!(same.is_part_of(&other, start + 12_288..end));
        assert!(same.is_written());
        let longer = holes(start + 8192..start + 12_288);
        assert!(longer.is_part_of(&other, start..start + 12_288));
        assert!(!longer.is_part_of(&other, start + 12_288..end));
    }

    #[test]
    fn a_hole_across_partitions_is_cut_where_they_begin_and_end() {
        let holes = |parts: WrittenParts, offset| judged_holes(parts, 0..MIB, offset).holes;
        let end_a = 2 * MIB + MIB + 5000;
        let end_b = end_a + 2 * MIB;
        // Slot B is slot A, and the data partition is made anew.
        let all = [MIB..4 * MIB, end_b..6 * MIB, 7 * MIB..8 * MIB];
        assert_eq!(holes(parts(), 0), all);
        let within_b = [2 * MIB + 9..end_a, end_b..6 * MIB, 7 * MIB..8 * MIB];
        assert_eq!(holes(parts(), 4 * MIB + 9), within_b);
        let only_root = WrittenParts {
            only_root: true,
            ..parts()
        };
        let root = 2 * MIB..end_a;
        assert_eq!(holes(only_root, 0), [root]);
    }

    #[test]
    fn what_passes_by_in_two_chunks_stays_unknown() {
        let start = 2 * MIB;
        let known = judged(parts(), std::slice::from_ref(&(start..start + 3000)));
        known.compare(start, &chunk(&[0; 2999])).unwrap();
        known.compare(start + 2999, &chunk(&[0; 5000])).unwrap();
        assert!(!known.is_written());
    }
}
