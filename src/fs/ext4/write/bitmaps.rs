//! The block and inode bitmaps (kernel's page `bitmaps`).

use super::super::format::FIRST_INO;
use super::geometry::{BLOCK_LEN, Group};
use super::usage::Usage;

/// All bitmaps and the blocks that they go to; those of groups marked uninitialised stay zero and
/// are left out.
pub(super) fn bitmaps(usage: &Usage<'_>) -> Vec<(u32, Vec<u8>)> {
    let groups = usage.layout.geometry.groups.iter().enumerate();
    let mut out = Vec::new();
    for (index, group) in groups {
        out.extend(block_bitmap(usage, index, group).map(|bitmap| (group.block_bitmap, bitmap)));
        out.extend(inode_bitmap(usage, index).map(|bitmap| (group.inode_bitmap, bitmap)));
    }
    out
}

/// Ones for used blocks and for the bits after the last block of the group; `None` when the group
/// is marked uninitialised.
pub(super) fn block_bitmap(usage: &Usage<'_>, index: usize, group: &Group) -> Option<Vec<u8>> {
    if usage.blocks_uninit(index) {
        return None;
    }
    let spans = usage.layout.geometry.free.spans();
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

/// Ones for used inodes and for the bits after the last inode of the group; `None` when the group
/// is marked uninitialised.
pub(super) fn inode_bitmap(usage: &Usage<'_>, index: usize) -> Option<Vec<u8>> {
    if usage.inodes_uninit(index) {
        return None;
    }
    let each = usage.layout.geometry.inodes_per_group;
    let first = u32::try_from(index)
        .unwrap_or(u32::MAX)
        .saturating_mul(each);
    let mut bitmap = vec![0xFF; BLOCK_LEN];
    fill(&mut bitmap, 0, each, false);
    let own = if index == 0 { FIRST_INO - 1 } else { 0 };
    fill(&mut bitmap, 0, own, true);
    let inodes = &usage.plan.inodes;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_filled_across_bytes() {
        let mut bitmap = vec![0; 4];
        fill(&mut bitmap, 3, 18, true);
        assert_eq!(bitmap, [0b1111_1000, 0xFF, 0b11, 0]);
        fill(&mut bitmap, 4, 5, false);
        fill(&mut bitmap, 16, 18, false);
        fill(&mut bitmap, 9, 9, false);
        assert_eq!(bitmap, [0b1110_1000, 0xFF, 0, 0]);
    }
}
