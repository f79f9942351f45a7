//! The group descriptors (kernel's page `group_descr`).

use super::super::format::{GroupDesc, bg_flags};
use super::bitmaps::{block_bitmap, inode_bitmap};
use super::geometry::{BLOCK_LEN, BLOCKS_PER_GROUP, Group, descriptor_len};
use super::inode::words;
use super::usage::Usage;
use zerocopy::IntoBytes;

/// The blocks of group descriptors.
pub(super) fn descriptors(usage: &Usage<'_>) -> Vec<u8> {
    let geometry = &usage.layout.geometry;
    let mut out = Vec::with_capacity(geometry.descriptor_blocks as usize * BLOCK_LEN);
    for (index, group) in geometry.groups.iter().enumerate() {
        let desc = descriptor(usage, index, group);
        out.extend_from_slice(&desc.as_bytes()[..descriptor_len(usage.options)]);
    }
    out.resize(geometry.descriptor_blocks as usize * BLOCK_LEN, 0);
    out
}

fn descriptor(usage: &Usage<'_>, index: usize, group: &Group) -> GroupDesc {
    let counts = usage.groups[index];
    let each = usage.layout.geometry.inodes_per_group;
    let free_inodes = each - counts.used_inodes;
    let mut desc = GroupDesc {
        bg_block_bitmap_lo: group.block_bitmap.into(),
        bg_inode_bitmap_lo: group.inode_bitmap.into(),
        bg_inode_table_lo: group.inode_table.into(),
        ..GroupDesc::default()
    };
    (desc.bg_free_blocks_count_lo, desc.bg_free_blocks_count_hi) = words(counts.free_blocks);
    (desc.bg_free_inodes_count_lo, desc.bg_free_inodes_count_hi) = words(free_inodes);
    (desc.bg_used_dirs_count_lo, desc.bg_used_dirs_count_hi) = words(counts.directories);
    if !usage.checksum_seed.enabled() {
        return desc;
    }
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    let flags = bg_flags::INODE_ZEROED
        | flag(usage.inodes_uninit(index), bg_flags::INODE_UNINIT)
        | flag(usage.blocks_uninit(index), bg_flags::BLOCK_UNINIT);
    desc.bg_flags = flags.into();
    (desc.bg_itable_unused_lo, desc.bg_itable_unused_hi) = words(each - counts.last_inode);
    let checksum = |bitmap: Option<Vec<u8>>, bits: u32| {
        bitmap.and_then(|bitmap| {
            usage
                .checksum_seed
                .checksum(&[&bitmap[..bits as usize / 8]])
        })
    };
    let block_checksum = checksum(block_bitmap(usage, index, group), BLOCKS_PER_GROUP).unwrap_or(0);
    let inode_checksum = checksum(inode_bitmap(usage, index), each).unwrap_or(0);
    (desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi) = words(block_checksum);
    (desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi) = words(inode_checksum);
    let number = u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes();
    desc.bg_checksum = words(
        usage
            .checksum_seed
            .checksum(&[&number, &desc.as_bytes()[..descriptor_len(usage.options)]])
            .unwrap_or(0),
    )
    .0;
    desc
}
