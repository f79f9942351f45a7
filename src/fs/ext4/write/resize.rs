//! The resize inode: a file whose blocks are the reserved descriptor blocks, so that a filesystem
//! can grow where it is (`lib/ext2fs/res_gdt.c` of e2fsprogs and `reserve_backup_gdb` of the kernel
//! agree on this form).
//!
//! ```text
//! i_block[13] -> double indirect block: entry n -> reserved block of descriptor block n in group 0
//!                each of those: an entry for its copy in every backup group
//! ```

use super::geometry::{ADDRS_PER_BLOCK, BLOCK, BLOCK_LEN, Geometry};

/// `i_size`: as far as a double indirect block reaches.
pub(super) const RESIZE_LEN: u64 =
    (12 + ADDRS_PER_BLOCK as u64 + (ADDRS_PER_BLOCK as u64) * (ADDRS_PER_BLOCK as u64)) * BLOCK;
/// The double indirect block in `i_block`.
const DOUBLE_INDIRECT: usize = 13;

/// `i_block` of the resize inode, whose double indirect block is `resize_block`.
pub(super) fn map(resize_block: u32) -> [u8; 60] {
    let mut out = [0; 60];
    out[4 * DOUBLE_INDIRECT..][..4].copy_from_slice(&resize_block.to_le_bytes());
    out
}

/// How many blocks the inode has.
pub(super) fn blocks(geometry: &Geometry) -> u64 {
    1 + u64::from(geometry.reserved_descriptor_blocks) * (1 + geometry.backups().count() as u64)
}

/// The double indirect block and the reserved blocks of group 0.
pub(super) fn encode(geometry: &Geometry, resize_block: u32) -> Vec<(u32, Vec<u8>)> {
    let mut double = vec![0; BLOCK_LEN];
    let mut out = Vec::new();
    for reserved in 0..geometry.reserved_descriptor_blocks {
        let descriptor = geometry.descriptor_blocks + reserved;
        let place = 1 + descriptor;
        put(&mut double, descriptor % ADDRS_PER_BLOCK, place);
        let mut block = vec![0; BLOCK_LEN];
        for (entry, group) in (0..).zip(geometry.backups()) {
            put(&mut block, entry, group.first + place);
        }
        out.push((place, block));
    }
    out.push((resize_block, double));
    out
}

fn put(block: &mut [u8], entry: u32, value: u32) {
    let at = 4 * entry as usize;
    block[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
