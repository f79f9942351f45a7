//! A block group as its descriptor has it (kernel's page `group_descr`).

use crate::fs::ext4::format::GroupDesc;

/// The fields of a group descriptor, low and high halves joined. Positions are block numbers.
#[derive(Clone, Debug)]
pub(super) struct BlockGroup {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) used_dirs: u32,
    pub(super) unused_inodes: u32,
    pub(super) flags: u16,
    pub(super) block_bitmap_checksum: u32,
    pub(super) inode_bitmap_checksum: u32,
    /// The checksums of the bitmaps have 32 bits, not 16.
    pub(super) wide_checksums: bool,
}

impl BlockGroup {
    /// `size` is the length of descriptors in bytes.
    pub(super) fn new(raw: &GroupDesc, size: usize) -> Self {
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let short = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        Self {
            block_bitmap: wide(raw.bg_block_bitmap_lo.get(), raw.bg_block_bitmap_hi.get()),
            inode_bitmap: wide(raw.bg_inode_bitmap_lo.get(), raw.bg_inode_bitmap_hi.get()),
            inode_table: wide(raw.bg_inode_table_lo.get(), raw.bg_inode_table_hi.get()),
            free_blocks: short(
                raw.bg_free_blocks_count_lo.get(),
                raw.bg_free_blocks_count_hi.get(),
            ),
            free_inodes: short(
                raw.bg_free_inodes_count_lo.get(),
                raw.bg_free_inodes_count_hi.get(),
            ),
            used_dirs: short(
                raw.bg_used_dirs_count_lo.get(),
                raw.bg_used_dirs_count_hi.get(),
            ),
            unused_inodes: short(raw.bg_itable_unused_lo.get(), raw.bg_itable_unused_hi.get()),
            flags: raw.bg_flags.get(),
            block_bitmap_checksum: short(
                raw.bg_block_bitmap_csum_lo.get(),
                raw.bg_block_bitmap_csum_hi.get(),
            ),
            inode_bitmap_checksum: short(
                raw.bg_inode_bitmap_csum_lo.get(),
                raw.bg_inode_bitmap_csum_hi.get(),
            ),
            wide_checksums: size >= 64,
        }
    }

    /// Whether a bit of `bg_flags` is set.
    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
