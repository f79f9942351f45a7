//! The journal: empty and clean, in the form that `mke2fs` leaves (kernel's page `journal`; all
//! numbers big end first).

use super::geometry::{BLOCK, BLOCK_LEN};
use crate::stamp::Uuid;

/// `h_magic` of every journal block.
const MAGIC: u32 = 0xC03B_3998;
/// `h_blocktype`: superblock of version 2.
const SUPERBLOCK_V2: u32 = 4;
/// Where `s_uuid` and `s_nr_users` are.
const UUID_AT: usize = 48;
const USERS_AT: usize = 64;

/// The first block of a journal of `blocks` blocks; the others are zero.
pub(super) fn superblock(blocks: u32, uuid: Uuid) -> Vec<u8> {
    let mut out = vec![0; BLOCK_LEN];
    // h_magic, h_blocktype, h_sequence, s_blocksize, s_maxlen, s_first, s_sequence; s_start 0 says
    // that there is nothing to replay.
    let words = [
        MAGIC,
        SUPERBLOCK_V2,
        0,
        u32::try_from(BLOCK).unwrap_or(0),
        blocks,
        1,
        1,
    ];
    for (place, word) in out.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out[UUID_AT..USERS_AT].copy_from_slice(&uuid.0);
    out[USERS_AT..USERS_AT + 4].copy_from_slice(&1u32.to_be_bytes());
    out
}
