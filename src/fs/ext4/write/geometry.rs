//! Where groups, descriptors, bitmaps, inode tables and the journal lie in a filesystem of a given
//! size: the same numbers that `mke2fs` would choose, the metadata of each flex group packed at its
//! start (kernel's pages `blockgroup`, `group_descr`).

use super::space::{Free, Span};
use super::{Journal, Options};
use crate::units::align_up;
use std::ops::Range;

/// Bytes in a block, the only size written.
pub(super) const BLOCK: u64 = 4096;
/// The same for lengths of buffers.
pub(super) const BLOCK_LEN: usize = 4096;
/// Blocks in a group: as many as one block of bitmap has bits.
pub(super) const BLOCKS_PER_GROUP: u32 = 32768;
/// Inodes in a group at most, for the same reason.
pub(super) const MAX_INODES_PER_GROUP: u32 = 32768;
/// Bytes of an inode.
pub(super) const INODE_LEN: usize = 256;
/// Inodes in a block of an inode table.
pub(super) const INODES_PER_BLOCK: u32 = 16;
/// Bytes of a group descriptor.
pub(super) fn descriptor_len(options: &Options) -> usize {
    if options.wide { 64 } else { 32 }
}

/// Group descriptors in a block.
fn descriptors_per_block(options: &Options) -> u32 {
    if options.wide { 64 } else { 128 }
}

/// Block numbers in a block: the most reserved descriptor blocks that the resize inode can name.
pub(super) const ADDRS_PER_BLOCK: u32 = 1024;
/// `s_log_groups_per_flex`, the default of `mke2fs`.
pub(super) const LOG_GROUPS_PER_FLEX: u8 = 4;
/// Groups whose metadata lie together.
const GROUPS_PER_FLEX: u32 = 1 << LOG_GROUPS_PER_FLEX;
/// A last group with less room than this besides its metadata is left out, as `mke2fs` does.
const LEAST_IN_LAST_GROUP: u32 = 50;
/// How far growth is provided for: this many times the size, or the reach of block numbers.
const GROWTH: u32 = 1024;

/// Journal blocks by filesystem size in blocks, `ext2fs_default_journal_size`: from each size on,
/// that many. Below: none.
pub(super) const JOURNAL_TIERS: [(u32, u32); 8] = [
    (2048, 1024),
    (32 << 10, 4096),
    (256 << 10, 8192),
    (512 << 10, 16384),
    (4096 << 10, 32768),
    (8192 << 10, 65536),
    (16384 << 10, 131_072),
    (32768 << 10, 262_144),
];

/// A block group; blocks are counted from the start of the filesystem.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) first: u32,
    /// How many blocks it has: the last group may have fewer.
    pub(super) blocks: u32,
    /// Whether a superblock and the descriptors are at its start.
    pub(super) has_super: bool,
    /// Block of its block bitmap.
    pub(super) block_bitmap: u32,
    /// Block of its inode bitmap.
    pub(super) inode_bitmap: u32,
    /// First block of its inode table.
    pub(super) inode_table: u32,
}

/// The numbers of a filesystem and what is free once its static metadata and the journal have their
/// places.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    /// Blocks of the filesystem, which may be fewer than were asked for.
    pub(super) blocks: u32,
    pub(super) inodes_per_group: u32,
    /// Blocks of each group's inode table.
    pub(super) table_blocks: u32,
    pub(super) descriptor_blocks: u32,
    pub(super) reserved_descriptor_blocks: u32,
    pub(super) groups: Vec<Group>,
    /// Where the journal is; empty without one.
    pub(super) journal: Vec<Span>,
    /// What static metadata takes, without the journal (blocks).
    pub(super) static_blocks: u32,
    pub(super) free: Free,
}

impl Geometry {
    /// The geometry of `blocks` blocks and at least `inodes` inodes; `None` when static metadata
    /// and journal do not fit, or so many inodes do not fit the groups.
    pub(super) fn new(blocks: u32, inodes: u64, options: &Options) -> Option<Self> {
        let mut geometry = Self::numbers(blocks, inodes, options)?;
        geometry.free = geometry.between_supers()?;
        geometry.place_groups()?;
        geometry.static_blocks = geometry.blocks - geometry.free.blocks();
        let journal = journal_blocks(geometry.blocks, options);
        if journal > 0 {
            let whole = geometry.free.take_whole(journal, 0).map(|start| {
                vec![Span {
                    start,
                    len: journal,
                }]
            });
            geometry.journal = whole.or_else(|| geometry.free.take(journal))?;
        }
        Some(geometry)
    }

    /// The counts, before anything has a place. A last group too small for its own metadata is
    /// dropped once.
    fn numbers(blocks: u32, inodes: u64, options: &Options) -> Option<Self> {
        let mut blocks = blocks;
        let mut wanted = (u64::from(blocks) * BLOCK / options.inode_ratio)
            .max(inodes)
            .max(1);
        loop {
            let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
            let inodes_per_group = inodes_per_group(wanted, groups)?;
            wanted = u64::from(inodes_per_group) * u64::from(groups);
            let descriptor_blocks = groups.div_ceil(descriptors_per_block(options));
            let geometry = Self {
                blocks,
                inodes_per_group,
                table_blocks: inodes_per_group / INODES_PER_BLOCK,
                descriptor_blocks,
                reserved_descriptor_blocks: reserved_descriptor_blocks(
                    blocks,
                    descriptor_blocks,
                    descriptors_per_block(options),
                ),
                groups: Vec::new(),
                journal: Vec::new(),
                static_blocks: 0,
                free: Free::default(),
            };
            let rest = blocks % BLOCKS_PER_GROUP;
            let own = geometry.own_metadata(groups - 1);
            if rest == 0 || rest >= own + LEAST_IN_LAST_GROUP || groups == 1 && rest >= own {
                return (wanted >= inodes).then_some(geometry);
            }
            blocks -= rest;
            if blocks == 0 {
                return None;
            }
        }
    }

    /// Blocks of superblock and descriptors where a group has them.
    pub(super) fn super_blocks(&self) -> u32 {
        1 + self.descriptor_blocks + self.reserved_descriptor_blocks
    }

    /// Blocks of a group's metadata if they all lay within it.
    fn own_metadata(&self, group: u32) -> u32 {
        2 + self.table_blocks
            + if has_super(group) {
                self.super_blocks()
            } else {
                0
            }
    }

    /// All that lies between the copies of the superblock.
    fn between_supers(&self) -> Option<Free> {
        let mut free = Free::default();
        let mut start = 0;
        let count = self.blocks.div_ceil(BLOCKS_PER_GROUP);
        for group in super_groups().take_while(|group| *group < count) {
            let first = group * BLOCKS_PER_GROUP;
            free.push(start, first);
            start = first
                .checked_add(self.super_blocks())
                .filter(|end| *end <= self.blocks)?;
        }
        free.push(start, self.blocks);
        Some(free)
    }

    /// Gives bitmaps and inode tables their places, flex group by flex group.
    fn place_groups(&mut self) -> Option<()> {
        let count = self.blocks.div_ceil(BLOCKS_PER_GROUP);
        for flex in (0..count).step_by(GROUPS_PER_FLEX as usize) {
            let members = GROUPS_PER_FLEX.min(count - flex);
            let from = flex * BLOCKS_PER_GROUP;
            let bitmaps = self.place(2 * members, from)?;
            let together = self.free.take_whole(members * self.table_blocks, from);
            for member in 0..members {
                let group = flex + member;
                let inode_table = match together {
                    Some(start) => start + member * self.table_blocks,
                    None => self.place(self.table_blocks, from)?,
                };
                let first = group * BLOCKS_PER_GROUP;
                self.groups.push(Group {
                    first,
                    blocks: BLOCKS_PER_GROUP.min(self.blocks - first),
                    has_super: has_super(group),
                    block_bitmap: bitmaps + member,
                    inode_bitmap: bitmaps + members + member,
                    inode_table,
                });
            }
        }
        Some(())
    }

    /// Contiguous blocks from `from` on, else anywhere.
    fn place(&mut self, blocks: u32, from: u32) -> Option<u32> {
        self.free
            .take_whole(blocks, from)
            .or_else(|| self.free.take_whole(blocks, 0))
    }

    /// What is not free, as ranges of bytes in ascending order.
    pub(super) fn used(&self) -> Vec<Range<u64>> {
        let bytes = |block: u32| u64::from(block) * BLOCK;
        let mut start = 0;
        let mut out = Vec::new();
        for free in self.free.spans() {
            out.push(bytes(start)..bytes(free.start));
            start = free.end();
        }
        out.push(bytes(start)..bytes(self.blocks));
        out.retain(|range| !range.is_empty());
        out
    }

    /// Inodes of all groups, reserved ones included.
    pub(super) fn inodes(&self) -> u32 {
        u32::try_from(u64::from(self.inodes_per_group) * self.groups.len() as u64)
            .unwrap_or(u32::MAX)
    }

    /// The groups after the first that hold copies of superblock and descriptors.
    pub(super) fn backups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().skip(1).filter(|group| group.has_super)
    }
}

/// Blocks of the journal of a filesystem of this many blocks.
fn journal_blocks(blocks: u32, options: &Options) -> u32 {
    match options.journal {
        Journal::Auto => JOURNAL_TIERS
            .iter()
            .rev()
            .find(|(from, _)| blocks >= *from)
            .map_or(0, |(_, journal)| *journal),
        Journal::Off => 0,
        Journal::Blocks(journal) => journal,
    }
}

/// Inodes in each group: all wanted ones shared out, whole blocks of inode table; `None` when inode
/// numbers do not reach.
fn inodes_per_group(wanted: u64, groups: u32) -> Option<u32> {
    let step = u64::from(INODES_PER_BLOCK);
    let each =
        align_up(wanted.div_ceil(u64::from(groups)), step).min(u64::from(MAX_INODES_PER_GROUP));
    let reach = u64::from(u32::MAX) / u64::from(groups) / step * step;
    u32::try_from(each.min(reach)).ok()
}

/// `s_reserved_gdt_blocks`: descriptors for a filesystem [`GROWTH`] times as large, as many as the
/// resize inode can name.
fn reserved_descriptor_blocks(blocks: u32, descriptor_blocks: u32, per_block: u32) -> u32 {
    let grown = if blocks < u32::MAX / GROWTH {
        blocks * GROWTH
    } else {
        u32::MAX
    };
    let all = grown.div_ceil(BLOCKS_PER_GROUP).div_ceil(per_block);
    all.saturating_sub(descriptor_blocks).min(ADDRS_PER_BLOCK)
}

/// Whether `sparse_super` puts a superblock at the start of this group.
pub(super) fn has_super(group: u32) -> bool {
    super_groups()
        .take_while(|at| *at <= group)
        .any(|at| at == group)
}

/// 0, 1 and the powers of 3, 5 and 7 in ascending order.
fn super_groups() -> impl Iterator<Item = u32> {
    let mut next = [3u64, 5, 7];
    let powers = std::iter::from_fn(move || {
        let least = next.into_iter().min()?;
        let base = [3, 5, 7];
        for (at, power) in next
            .iter_mut()
            .enumerate()
            .filter(|(_, power)| **power == least)
        {
            *power *= base[at];
        }
        u32::try_from(least).ok()
    });
    [0, 1].into_iter().chain(powers)
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::*;

    #[test]
    fn copies_of_the_superblock() {
        assert_eq!(
            super_groups().take(13).collect::<Vec<_>>(),
            [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]
        );
        assert!(
            has_super(0)
                && has_super(1)
                && has_super(49)
                && !has_super(2)
                && !has_super(6)
                && !has_super(15)
        );
    }

    /// Inodes, blocks, reserved descriptor blocks, inodes per group, journal blocks and
    /// `s_overhead_clusters` as `mke2fs -b 4096 -i 16384` and `dumpe2fs` 1.47.0 give them.
    #[test]
    fn the_same_numbers_as_mke2fs() {
        let table = [
            (1u32, 64, 256, 0, 64, 0, 8),
            (4, 256, 1024, 0, 256, 0, 20),
            (8, 512, 2048, 0, 512, 1024, 1060),
            (16, 1024, 4096, 1, 1024, 1024, 1093),
            (64, 4096, 16384, 7, 4096, 1024, 1291),
            (128, 8192, 32768, 15, 8192, 4096, 4627),
            (129, 8256, 32768, 15, 8256, 4096, 4631),
            (130, 8320, 33280, 16, 4160, 4096, 4656),
            (137, 8768, 35072, 17, 4384, 4096, 4686),
            (200, 12800, 51200, 24, 6400, 4096, 4952),
            (512, 32768, 131_072, 63, 8192, 4096, 6347),
            (1024, 65536, 262_144, 127, 8192, 8192, 12949),
            (2048, 131_072, 524_288, 255, 8192, 16384, 26150),
            (4096, 262_144, 1_048_576, 511, 8192, 16384, 36936),
            (8192, 524_288, 2_097_152, 1023, 8192, 16384, 58505),
            (16384, 1_048_576, 4_194_304, 1024, 8192, 32768, 109_857),
            (20480, 1_310_720, 5_242_880, 1024, 8192, 32768, 126_316),
            (40960, 2_621_440, 10_485_760, 1024, 8192, 65536, 242_376),
            (65536, 4_194_304, 16_777_216, 1024, 8192, 131_072, 407_669),
            (132_096, 8_454_144, 33_816_576, 1024, 8192, 262_144, 808_222),
            (
                307_200, 19_660_800, 78_643_200, 1024, 8192, 262_144, 1_512_752,
            ),
            (
                2 << 20,
                134_217_728,
                536_870_912,
                1024,
                8192,
                262_144,
                8_709_140,
            ),
        ];
        for (mebibytes, inodes, blocks, reserved, per_group, journal, overhead) in table {
            let geometry = Geometry::new(mebibytes * 256, 12, &options()).unwrap();
            let journal_blocks: u32 = geometry.journal.iter().map(|span| span.len).sum();
            assert_eq!(geometry.inodes(), inodes, "inodes of {mebibytes} MiB");
            assert_eq!(geometry.blocks, blocks, "blocks of {mebibytes} MiB");
            assert_eq!(
                geometry.reserved_descriptor_blocks, reserved,
                "reserved descriptors of {mebibytes} MiB"
            );
            assert_eq!(
                geometry.inodes_per_group, per_group,
                "inodes per group of {mebibytes} MiB"
            );
            assert_eq!(journal_blocks, journal, "journal of {mebibytes} MiB");
            assert_eq!(
                geometry.static_blocks + journal,
                overhead,
                "overhead of {mebibytes} MiB"
            );
            assert_eq!(
                geometry.blocks,
                geometry.static_blocks + journal + geometry.free.blocks()
            );
        }
    }

    #[test]
    fn dense_inodes_and_what_does_not_fit() {
        let mut dense = options();
        dense.inode_ratio = 4096;
        let geometry = Geometry::new(64 * BLOCKS_PER_GROUP, 12, &dense).unwrap();
        assert_eq!(geometry.inodes_per_group, 32768);
        assert_eq!(
            geometry
                .groups
                .iter()
                .map(|g| g.inode_table)
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            64
        );
        assert!(Geometry::new(4, 12, &options()).is_none());
        assert!(Geometry::new(2000, 40_000, &options()).is_none());
        assert!(Geometry::new(3 * BLOCKS_PER_GROUP, 3 * 32768 + 1, &options()).is_none());
        assert!(Geometry::new(u32::MAX, 12, &options()).is_some());
    }
}
