//! Which blocks and inodes are used, group by group: the counts that superblock, group descriptors
//! and bitmaps are made from.

use super::super::format::FIRST_INO;
use super::Options;
use super::checksum::ChecksumSeed;
use super::geometry::BLOCKS_PER_GROUP;
use super::layout::Layout;
use super::plan::Plan;

/// The counts of one group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupUsage {
    pub(super) free_blocks: u32,
    pub(super) used_inodes: u32,
    /// The last used inode's number within the group, from 1; 0 when none is used.
    pub(super) last_inode: u32,
    pub(super) directories: u32,
}

/// The filesystem and what is used in each of its groups.
pub(super) struct Usage<'l> {
    pub(super) plan: &'l Plan<'l>,
    pub(super) layout: &'l Layout,
    pub(super) options: &'l Options,
    pub(super) checksum_seed: ChecksumSeed,
    /// One for each group.
    pub(super) groups: Vec<GroupUsage>,
}

impl<'l> Usage<'l> {
    /// Counts blocks and inodes.
    pub(super) fn new(plan: &'l Plan<'l>, layout: &'l Layout, options: &'l Options) -> Self {
        let mut usage = Self {
            plan,
            layout,
            options,
            checksum_seed: ChecksumSeed::of_filesystem(options.uuid, options.metadata_csum),
            groups: vec![GroupUsage::default(); layout.geometry.groups.len()],
        };
        usage.count_blocks();
        usage.count_inodes();
        usage
    }

    fn count_blocks(&mut self) {
        for span in self.layout.geometry.free.spans() {
            let mut start = span.start;
            while start < span.end() {
                let end = span
                    .end()
                    .min((start / BLOCKS_PER_GROUP + 1).saturating_mul(BLOCKS_PER_GROUP));
                self.groups[(start / BLOCKS_PER_GROUP) as usize].free_blocks += end - start;
                start = end;
            }
        }
    }

    fn count_inodes(&mut self) {
        let each = self.layout.geometry.inodes_per_group;
        for number in self.numbers() {
            let count = &mut self.groups[((number - 1) / each) as usize];
            count.used_inodes += 1;
            count.last_inode = (number - 1) % each + 1;
        }
        for inode in self.plan.inodes.iter().filter(|inode| inode.is_dir()) {
            self.groups[((inode.number - 1) / each) as usize].directories += 1;
        }
    }

    /// Numbers of used inodes in ascending order, beginning with the reserved ones.
    fn numbers(&self) -> impl Iterator<Item = u32> + use<'l> {
        let plan: &'l Plan<'l> = self.plan;
        (1..FIRST_INO).chain(
            plan.inodes
                .iter()
                .map(|inode| inode.number)
                .filter(|number| *number >= FIRST_INO),
        )
    }

    /// Used inodes, including the reserved ones.
    pub(super) fn used_inodes(&self) -> u32 {
        self.groups.iter().map(|count| count.used_inodes).sum()
    }

    /// Free blocks of the filesystem.
    pub(super) fn free_blocks(&self) -> u32 {
        self.layout.geometry.free.blocks()
    }

    /// Blocks reserved for root.
    pub(super) fn reserved_blocks(&self) -> u32 {
        let share =
            u64::from(self.layout.geometry.blocks) * u64::from(self.options.reserved_percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// `BLOCK_UNINIT`: only the copies of superblock and descriptors are used, which the kernel
    /// finds by itself. Never the last group, whose bitmap also marks the end of the filesystem.
    pub(super) fn blocks_uninit(&self, index: usize) -> bool {
        let geometry = &self.layout.geometry;
        let group = &geometry.groups[index];
        let own = if group.has_super {
            geometry.super_blocks()
        } else {
            0
        };
        self.checksum_seed.enabled()
            && index + 1 < geometry.groups.len()
            && self.groups[index].free_blocks + own == group.blocks
    }

    /// `INODE_UNINIT`: no inode is used.
    pub(super) fn inodes_uninit(&self, index: usize) -> bool {
        self.checksum_seed.enabled() && self.groups[index].used_inodes == 0
    }

    /// Blocks of the journal.
    pub(super) fn journal_blocks(&self) -> u32 {
        self.layout
            .geometry
            .journal
            .iter()
            .map(|span| span.len)
            .sum()
    }
}
