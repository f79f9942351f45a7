//! Bitmaps and counts, recomputed from all inodes and compared bit by bit.

use super::checker::Checker;
use super::descriptor::BlockGroup;
use crate::fs::ext4::format::{SUPERBLOCK_OFFSET, crc32c, incompat, mode};
use crate::verify::numbers::{index, widen};
use std::ops::Range;

/// The counts of one group or of all groups.
#[derive(Clone, Copy, Debug, Default)]
struct GroupCounts {
    free_blocks: u64,
    free_inodes: u64,
    dirs: u64,
}

impl Checker<'_> {
    /// Compares both bitmaps and the counts of every group, and the totals of the superblock.
    pub(super) fn check_bitmaps(&mut self) {
        let mut total = GroupCounts::default();
        let groups = std::mem::take(&mut self.groups);
        for (number, group) in groups.iter().enumerate() {
            let first = self.group_start(widen(number));
            let blocks = self
                .fs
                .blocks_per_group
                .min(self.fs.blocks.saturating_sub(first));
            let counts = GroupCounts {
                free_blocks: self.block_bitmap(number, group, first, blocks),
                ..self.inode_bitmap(number, group)
            };
            self.check_counts(number, group, counts);
            total.free_blocks = total.free_blocks.saturating_add(counts.free_blocks);
            total.free_inodes = total.free_inodes.saturating_add(counts.free_inodes);
        }
        self.groups = groups;
        let sb = &self.fs.sb;
        let high = if self.fs.incompat(incompat::BIT64) {
            u64::from(sb.s_free_blocks_count_hi.get()) << 32
        } else {
            0
        };
        let (blocks, inodes) = (
            high | u64::from(sb.s_free_blocks_count_lo.get()),
            u64::from(sb.s_free_inodes_count.get()),
        );
        let place = self.place().offset(SUPERBLOCK_OFFSET);
        if !self.maps_broken {
            self.log
                .check(blocks == total.free_blocks, "ext4-free-blocks", || {
                    (
                        place.clone(),
                        format!(
                            "the superblock counts {blocks} free blocks, {} are free",
                            total.free_blocks
                        ),
                    )
                });
        }
        self.log
            .check(inodes == total.free_inodes, "ext4-free-inodes", || {
                (
                    place,
                    format!(
                        "the superblock counts {inodes} free inodes, {} are free",
                        total.free_inodes
                    ),
                )
            });
    }

    fn check_counts(&mut self, number: usize, group: &BlockGroup, counts: GroupCounts) {
        let facts = [
            (
                "ext4-free-blocks",
                "free blocks",
                u64::from(group.free_blocks),
                counts.free_blocks,
                !self.maps_broken,
            ),
            (
                "ext4-free-inodes",
                "free inodes",
                u64::from(group.free_inodes),
                counts.free_inodes,
                true,
            ),
            (
                "ext4-used-dirs",
                "directories",
                u64::from(group.used_dirs),
                counts.dirs,
                !self.names_broken,
            ),
        ];
        for (code, what, stored, found, known) in facts {
            let place = self.place();
            if known {
                self.log.check(stored == found, code, || {
                    (
                        place,
                        format!("group {number} counts {stored} {what}, there are {found}"),
                    )
                });
            }
        }
    }

    /// Compares the block bitmap of a group; returns how many of its blocks are free.
    fn block_bitmap(&mut self, number: usize, group: &BlockGroup, first: u64, blocks: u64) -> u64 {
        let end = first.saturating_add(blocks);
        let used = clip(&self.ranges, first, end);
        let free = blocks.saturating_sub(total_len(&used));
        if self.blocks_uninit(group) {
            let due = blocks.saturating_sub(total_len(&clip(self.claims.metadata(), first, end)));
            if !self.maps_broken {
                let place = self.place();
                self.log.check(free == due, "ext4-block-bitmap", || {
                    (
                        place,
                        format!(
                            "group {number} has no block bitmap, so its {due} blocks must be unused, but only {free} are free"
                        ),
                    )
                });
            }
            return free;
        }
        let Some(bytes) = self.read_block(group.block_bitmap) else {
            return free;
        };
        let bits = self.fs.blocks_per_group;
        self.check_bitmap_checksum(
            "block",
            number,
            group.block_bitmap,
            &bytes,
            bits,
            (group.block_bitmap_checksum, group.wide_checksums),
        );
        if self.maps_broken {
            return free;
        }
        let mut due = vec![0; bytes.len()];
        for range in used {
            fill(&mut due, range);
        }
        fill(&mut due, blocks..bits_of(&bytes));
        self.compare(
            "ext4-block-bitmap",
            ("block", first),
            number,
            group.block_bitmap,
            &bytes,
            &due,
        );
        free
    }

    /// Compares the inode bitmap of a group; returns its free inodes and its directories.
    fn inode_bitmap(&mut self, number: usize, group: &BlockGroup) -> GroupCounts {
        let each = self.fs.inodes_per_group;
        let first = u32::try_from(number)
            .unwrap_or(u32::MAX)
            .saturating_mul(each)
            .saturating_add(1);
        let mut counts = GroupCounts {
            free_inodes: each.into(),
            ..GroupCounts::default()
        };
        let mut due = vec![0; self.fs.block_len()];
        let reserved = (first..self.fs.first_ino()).take(index(each));
        let used = self.used.range(first..first.saturating_add(each));
        for ino in reserved.chain(
            used.clone()
                .map(|(ino, _)| *ino)
                .filter(|ino| *ino >= self.fs.first_ino()),
        ) {
            let bit = u64::from(ino.saturating_sub(first));
            fill(&mut due, bit..bit.saturating_add(1));
            counts.free_inodes = counts.free_inodes.saturating_sub(1);
        }
        let dirs = used.filter(|(_, used)| used.mode & mode::TYPE == mode::DIR);
        counts.dirs = widen(dirs.count());
        if self.inodes_uninit(group) {
            return counts;
        }
        let Some(bytes) = self.read_block(group.inode_bitmap) else {
            return counts;
        };
        self.check_bitmap_checksum(
            "inode",
            number,
            group.inode_bitmap,
            &bytes,
            each.into(),
            (group.inode_bitmap_checksum, group.wide_checksums),
        );
        fill(&mut due, u64::from(each)..bits_of(&bytes));
        self.compare(
            "ext4-inode-bitmap",
            ("inode", first.into()),
            number,
            group.inode_bitmap,
            &bytes,
            &due,
        );
        counts
    }

    fn check_bitmap_checksum(
        &mut self,
        what: &str,
        number: usize,
        block: u64,
        bytes: &[u8],
        bits: u64,
        stored: (u32, bool),
    ) {
        if !self.fs.has_checksums() {
            return;
        }
        let len = index(bits.div_ceil(8)).min(bytes.len());
        let mask = if stored.1 { u32::MAX } else { 0xFFFF };
        let (stored, computed) = (
            stored.0 & mask,
            crc32c(self.fs.seed, bytes.get(..len).unwrap_or_default()) & mask,
        );
        let place = self.place().offset(self.fs.offset(block));
        let code = if what == "block" {
            "ext4-block-bitmap-checksum"
        } else {
            "ext4-inode-bitmap-checksum"
        };
        self.log.check(stored == computed, code, || {
            (
                place,
                format!(
                    "the {what} bitmap of group {number} has the checksum {stored:#010x}, computed {computed:#010x}"
                ),
            )
        });
    }

    /// One finding for each bitmap: how many bits differ, and the first.
    fn compare(
        &mut self,
        code: &'static str,
        what: (&str, u64),
        number: usize,
        block: u64,
        found: &[u8],
        due: &[u8],
    ) {
        let differing: u32 = found
            .iter()
            .zip(due)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        let place = self.place().offset(self.fs.offset(block));
        self.log.check(differing == 0, code, || {
            let mut bytes = (0_u64..).zip(found.iter().zip(due));
            let wrong = bytes.find(|(_, (found, due))| found != due);
            let (at, (found, due)) = wrong.unwrap_or((0, (&0, &1)));
            let bit = (found ^ due).trailing_zeros();
            let (is, should) = if due >> bit & 1 == 0 { ("used", "free") } else { ("free", "used") };
            let (kind, first) = what;
            let item = first.saturating_add(at.saturating_mul(8)).saturating_add(bit.into());
            (place, format!("{differing} bits of the {kind} bitmap of group {number} are wrong, first {kind} {item}: marked {is}, but {should}"))
        });
        self.log.passed_all(found.len());
    }
}

/// The bits of a bitmap.
fn bits_of(bitmap: &[u8]) -> u64 {
    widen(bitmap.len()).saturating_mul(8)
}

/// The length of all ranges together.
fn total_len(ranges: &[Range<u64>]) -> u64 {
    ranges
        .iter()
        .map(|range| range.end.saturating_sub(range.start))
        .sum()
}

/// The parts of sorted ranges that lie between two numbers, counted from the first.
fn clip(ranges: &[Range<u64>], start: u64, end: u64) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= start);
    let inside = ranges
        .get(first..)
        .unwrap_or_default()
        .iter()
        .take_while(|range| range.start < end);
    inside
        .map(|range| {
            let clipped = range.start.max(start)..range.end.min(end);
            clipped.start.saturating_sub(start)..clipped.end.saturating_sub(start)
        })
        .collect()
}

/// Sets the bits in the range `bits`.
fn fill(bitmap: &mut [u8], bits: Range<u64>) {
    let mut at = bits.start;
    while at < bits.end {
        let whole = at.is_multiple_of(8) && bits.end.saturating_sub(at) >= 8;
        if let Some(byte) = bitmap.get_mut(index(at / 8)) {
            *byte |= if whole { 0xFF } else { 1 << (at % 8) };
        }
        at = at.saturating_add(if whole { 8 } else { 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_clipped_ranges() {
        let mut bitmap = [0; 4];
        fill(&mut bitmap, 3..21);
        fill(&mut bitmap, 30..40);
        assert_eq!(bitmap, [0xF8, 0xFF, 0x1F, 0xC0]);
        assert_eq!(clip(&[0..5, 8..20, 30..40], 4, 32), [0..1, 4..16, 26..28]);
        assert!(clip(&[0..5, 9..10], 5, 9).is_empty());
    }
}
