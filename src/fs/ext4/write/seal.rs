//! Superblock, group descriptors and bitmaps: what says which blocks and inodes are used, with the
//! checksums over it all (kernel's pages `super`, `group_descr`, `bitmaps`, `checksums`).

use super::super::format::{
    FIRST_INO, GroupDesc, JOURNAL_INO, MAGIC, SUPERBLOCK_OFFSET, Superblock, bg_flags, compat,
    crc32c, incompat, ro_compat,
};
use super::Options;
use super::dir::HASH_VERSION;
use super::geometry::{
    BLOCK, BLOCK_LEN, BLOCKS_PER_GROUP, DESC_LEN, Group, INODE_LEN, LOG_GROUPS_PER_FLEX,
};
use super::inode::{EXTRA_LEN, halves};
use super::layout::Layout;
use super::plan::{Plan, hash_seed};
use super::sums::Sums;
use zerocopy::{FromZeros, IntoBytes};

/// Where `s_checksum` stands, the last field.
const CHECKSUM_AT: usize = 1020;
/// `s_checksum_type`: CRC-32C, the only one there is.
const CHECKSUM_TYPE: u8 = 1;
/// `s_default_mount_opts`: `user_xattr` and `acl`.
const DEFAULT_MOUNT_OPTIONS: u32 = 0xC;
/// `s_flags`: names in directory hashes are unsigned bytes.
const UNSIGNED_HASH: u32 = 2;
/// `s_jnl_backup_type`: `s_jnl_blocks` holds `i_block` and the length of the journal.
const BACKUP_BLOCKS: u8 = 1;
/// `s_state`: cleanly unmounted. `s_errors`: continue.
const CLEAN: u16 = 1;
const CONTINUE: u16 = 1;

/// What a group has left.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    free_blocks: u32,
    used_inodes: u32,
    /// How far the inode table is used.
    last_inode: u32,
    directories: u32,
}

/// The used and the free of all groups, in the forms that the disk wants.
pub(super) struct Seal<'l> {
    plan: &'l Plan<'l>,
    layout: &'l Layout,
    options: &'l Options,
    sums: Sums,
    counts: Vec<Count>,
}

impl<'l> Seal<'l> {
    /// Counts blocks and inodes.
    pub(super) fn new(plan: &'l Plan<'l>, layout: &'l Layout, options: &'l Options) -> Self {
        let sums = Sums::of_filesystem(options.uuid, options.metadata_csum);
        let counts = vec![Count::default(); layout.geometry.groups.len()];
        let mut seal = Self {
            plan,
            layout,
            options,
            sums,
            counts,
        };
        seal.count_blocks();
        seal.count_inodes();
        seal
    }

    fn count_blocks(&mut self) {
        for span in self.layout.geometry.free.spans() {
            let mut start = span.start;
            while start < span.end() {
                let end = span
                    .end()
                    .min((start / BLOCKS_PER_GROUP + 1).saturating_mul(BLOCKS_PER_GROUP));
                self.counts[(start / BLOCKS_PER_GROUP) as usize].free_blocks += end - start;
                start = end;
            }
        }
    }

    fn count_inodes(&mut self) {
        let each = self.layout.geometry.inodes_per_group;
        for number in self.numbers() {
            let count = &mut self.counts[((number - 1) / each) as usize];
            count.used_inodes += 1;
            count.last_inode = (number - 1) % each + 1;
        }
        for inode in self.plan.inodes.iter().filter(|inode| inode.is_dir()) {
            self.counts[((inode.number - 1) / each) as usize].directories += 1;
        }
    }

    /// Numbers of used inodes in ascending order, the reserved ones first.
    fn numbers(&self) -> impl Iterator<Item = u32> + use<'l> {
        let plan: &'l Plan<'l> = self.plan;
        (1..FIRST_INO).chain(
            plan.inodes
                .iter()
                .map(|inode| inode.number)
                .filter(|number| *number >= FIRST_INO),
        )
    }

    /// Used inodes; the reserved ones count.
    pub(super) fn used_inodes(&self) -> u32 {
        self.counts.iter().map(|count| count.used_inodes).sum()
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

    /// `BLOCK_UNINIT`: nothing is used but the copies of superblock and descriptors, which the
    /// kernel finds by itself. The last group is left out because its bitmap also says where the
    /// filesystem ends.
    fn blocks_uninit(&self, index: usize) -> bool {
        let geometry = &self.layout.geometry;
        let group = &geometry.groups[index];
        let own = if group.has_super {
            geometry.super_blocks()
        } else {
            0
        };
        self.sums.enabled()
            && index + 1 < geometry.groups.len()
            && self.counts[index].free_blocks + own == group.blocks
    }

    fn inodes_uninit(&self, index: usize) -> bool {
        self.sums.enabled() && self.counts[index].used_inodes == 0
    }

    /// The bitmaps that are on disk, with their blocks; those of groups marked uninitialised are
    /// left zero.
    pub(super) fn bitmaps(&self) -> Vec<(u32, Vec<u8>)> {
        let groups = self.layout.geometry.groups.iter().enumerate();
        let mut out = Vec::new();
        for (index, group) in groups {
            out.extend(
                self.block_bitmap(index, group)
                    .map(|bitmap| (group.block_bitmap, bitmap)),
            );
            out.extend(
                self.inode_bitmap(index)
                    .map(|bitmap| (group.inode_bitmap, bitmap)),
            );
        }
        out
    }

    /// Ones for used blocks and for those behind the end of the group.
    fn block_bitmap(&self, index: usize, group: &Group) -> Option<Vec<u8>> {
        if self.blocks_uninit(index) {
            return None;
        }
        let spans = self.layout.geometry.free.spans();
        let end = group.first + group.blocks;
        let first = spans.partition_point(|span| span.end() <= group.first);
        let mut bitmap = vec![0xFF; BLOCK_LEN];
        for span in spans[first..].iter().take_while(|span| span.start < end) {
            fill(
                &mut bitmap,
                span.start.max(group.first) - group.first,
                span.end().min(end) - group.first,
                false,
            );
        }
        Some(bitmap)
    }

    fn inode_bitmap(&self, index: usize) -> Option<Vec<u8>> {
        if self.inodes_uninit(index) {
            return None;
        }
        let each = self.layout.geometry.inodes_per_group;
        let first = u32::try_from(index)
            .unwrap_or(u32::MAX)
            .saturating_mul(each);
        let mut bitmap = vec![0xFF; BLOCK_LEN];
        fill(&mut bitmap, 0, each, false);
        let own = if index == 0 { FIRST_INO - 1 } else { 0 };
        fill(&mut bitmap, 0, own, true);
        let inodes = &self.plan.inodes;
        let start = inodes.partition_point(|inode| inode.number <= first);
        for inode in inodes[start..]
            .iter()
            .take_while(|inode| inode.number - first <= each)
        {
            fill(
                &mut bitmap,
                inode.number - first - 1,
                inode.number - first,
                true,
            );
        }
        Some(bitmap)
    }

    /// The blocks of group descriptors.
    pub(super) fn descriptors(&self) -> Vec<u8> {
        let geometry = &self.layout.geometry;
        let mut out = Vec::with_capacity(geometry.descriptor_blocks as usize * BLOCK_LEN);
        for (index, group) in geometry.groups.iter().enumerate() {
            out.extend_from_slice(self.descriptor(index, group).as_bytes());
        }
        out.resize(geometry.descriptor_blocks as usize * BLOCK_LEN, 0);
        out
    }

    fn descriptor(&self, index: usize, group: &Group) -> GroupDesc {
        let count = self.counts[index];
        let each = self.layout.geometry.inodes_per_group;
        let free_inodes = each - count.used_inodes;
        let mut desc = GroupDesc {
            bg_block_bitmap_lo: group.block_bitmap.into(),
            bg_inode_bitmap_lo: group.inode_bitmap.into(),
            bg_inode_table_lo: group.inode_table.into(),
            ..GroupDesc::default()
        };
        (desc.bg_free_blocks_count_lo, desc.bg_free_blocks_count_hi) = words(count.free_blocks);
        (desc.bg_free_inodes_count_lo, desc.bg_free_inodes_count_hi) = words(free_inodes);
        (desc.bg_used_dirs_count_lo, desc.bg_used_dirs_count_hi) = words(count.directories);
        if !self.sums.enabled() {
            return desc;
        }
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = bg_flags::INODE_ZEROED
            | flag(self.inodes_uninit(index), bg_flags::INODE_UNINIT)
            | flag(self.blocks_uninit(index), bg_flags::BLOCK_UNINIT);
        desc.bg_flags = flags.into();
        (desc.bg_itable_unused_lo, desc.bg_itable_unused_hi) = words(each - count.last_inode);
        let sum = |bitmap: Option<Vec<u8>>, bits: u32| {
            bitmap.and_then(|bitmap| self.sums.sum(&[&bitmap[..bits as usize / 8]]))
        };
        let block_sum = sum(self.block_bitmap(index, group), BLOCKS_PER_GROUP).unwrap_or(0);
        let inode_sum = sum(self.inode_bitmap(index), each).unwrap_or(0);
        (desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi) = words(block_sum);
        (desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi) = words(inode_sum);
        let number = u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes();
        desc.bg_checksum = words(self.sums.sum(&[&number, desc.as_bytes()]).unwrap_or(0)).0;
        desc
    }

    /// The superblock as it stands in `group`; `journal` is the inode's `i_block`.
    pub(super) fn superblock(&self, group: u32, journal: Option<&[u8; 60]>) -> Superblock {
        let mut sb = self.counted_superblock();
        self.describe(&mut sb);
        sb.s_block_group_nr = words(group).0;
        if let Some(block) = journal {
            sb.s_journal_inum = JOURNAL_INO.into();
            sb.s_jnl_backup_type = BACKUP_BLOCKS;
            sb.s_feature_compat |= compat::HAS_JOURNAL;
            let len = u64::from(self.journal_blocks()) * BLOCK;
            for (word, bytes) in sb.s_jnl_blocks.iter_mut().zip(block.chunks_exact(4)) {
                *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into();
            }
            (sb.s_jnl_blocks[16], sb.s_jnl_blocks[15]) = halves(len);
        }
        if self.sums.enabled() {
            // The UUID is among the bytes, so this one sum does not start with it.
            sb.s_checksum = crc32c(!0, &sb.as_bytes()[..CHECKSUM_AT]).into();
        }
        sb
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

    /// A superblock with all that is counted.
    fn counted_superblock(&self) -> Superblock {
        let geometry = &self.layout.geometry;
        let mut sb = Superblock::new_zeroed();
        sb.s_inodes_count = geometry.inodes().into();
        sb.s_blocks_count_lo = geometry.blocks.into();
        sb.s_r_blocks_count_lo = self.reserved_blocks().into();
        sb.s_free_blocks_count_lo = self.free_blocks().into();
        sb.s_free_inodes_count = (geometry.inodes() - self.used_inodes()).into();
        sb.s_log_block_size = 2.into();
        sb.s_log_cluster_size = 2.into();
        sb.s_blocks_per_group = BLOCKS_PER_GROUP.into();
        sb.s_clusters_per_group = BLOCKS_PER_GROUP.into();
        sb.s_inodes_per_group = geometry.inodes_per_group.into();
        sb.s_reserved_gdt_blocks = words(geometry.reserved_descriptor_blocks).0;
        sb.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
        sb.s_overhead_clusters = (geometry.static_blocks + self.journal_blocks()).into();
        sb
    }

    /// Fills in what does not depend on the size.
    fn describe(&self, sb: &mut Superblock) {
        let options = self.options;
        let (seconds, seconds_hi) = halves::<u32>(options.time.seconds.cast_unsigned());
        sb.s_magic = MAGIC.into();
        sb.s_max_mnt_count = u16::MAX.into();
        sb.s_state = CLEAN.into();
        sb.s_errors = CONTINUE.into();
        sb.s_rev_level = 1.into();
        sb.s_first_ino = FIRST_INO.into();
        sb.s_inode_size = words(INODE_LEN as u32).0;
        sb.s_desc_size = words(DESC_LEN as u32).0;
        (sb.s_min_extra_isize, sb.s_want_extra_isize) = (EXTRA_LEN.into(), EXTRA_LEN.into());
        (sb.s_wtime, sb.s_mkfs_time, sb.s_lastcheck) =
            (seconds.into(), seconds.into(), seconds.into());
        // s_wtime_hi, s_mtime_hi, s_mkfs_time_hi, s_lastcheck_hi: the eight bits above.
        let hi = seconds_hi.to_le_bytes()[0];
        sb.s_times_hi = [hi, 0, hi, hi, 0, 0, 0, 0];
        sb.s_feature_compat = (compat::EXT_ATTR | compat::RESIZE_INODE | compat::DIR_INDEX).into();
        sb.s_feature_incompat =
            (incompat::FILETYPE | incompat::EXTENTS | incompat::BIT64 | incompat::FLEX_BG).into();
        let read_only = ro_compat::SPARSE_SUPER
            | ro_compat::LARGE_FILE
            | ro_compat::HUGE_FILE
            | ro_compat::DIR_NLINK
            | ro_compat::EXTRA_ISIZE
            | if self.sums.enabled() {
                ro_compat::METADATA_CSUM
            } else {
                0
            };
        sb.s_feature_ro_compat = read_only.into();
        sb.s_checksum_type = if self.sums.enabled() {
            CHECKSUM_TYPE
        } else {
            0
        };
        sb.s_uuid = options.uuid.0;
        sb.s_volume_name[..options.label.len()].copy_from_slice(&options.label);
        sb.s_last_mounted[..options.last_mounted.len()].copy_from_slice(&options.last_mounted);
        sb.s_hash_seed = hash_seed(options).map(Into::into);
        sb.s_def_hash_version = HASH_VERSION;
        sb.s_default_mount_opts = DEFAULT_MOUNT_OPTIONS.into();
        sb.s_flags = UNSIGNED_HASH.into();
    }
}

/// The first block of the filesystem: boot sectors of nothing, then the superblock.
pub(super) fn first_block(superblock: &Superblock) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(SUPERBLOCK_OFFSET).unwrap_or(0)];
    out.extend_from_slice(superblock.as_bytes());
    out.resize(BLOCK_LEN, 0);
    out
}

/// The lower and the upper 16 bits.
fn words<T: From<u16>>(value: u32) -> (T, T) {
    let part = |shift: u32| T::from(u16::try_from(value >> shift & 0xFFFF).unwrap_or(0));
    (part(0), part(16))
}

/// Sets or clears the bits `start..end`.
fn fill(bitmap: &mut [u8], start: u32, end: u32, value: bool) {
    for bit in start..end {
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        if value {
            bitmap[byte] |= mask
        } else {
            bitmap[byte] &= !mask
        }
    }
}
