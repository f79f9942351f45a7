//! Structures of the journal on disk, big-endian (page `journal` of the kernel's documentation,
//! names of `linux/jbd2.h`).

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `h_magic` of `struct journal_header_s`.
pub(super) const MAGIC: u32 = 0xC03B_3998;

/// Values of `h_blocktype` in `struct journal_header_s`.
pub(super) mod block_type {
    pub(in super::super) const DESCRIPTOR: u32 = 1;
    pub(in super::super) const COMMIT: u32 = 2;
    pub(in super::super) const SUPERBLOCK_V1: u32 = 3;
    pub(in super::super) const SUPERBLOCK_V2: u32 = 4;
    pub(in super::super) const REVOKE: u32 = 5;
}

/// `s_feature_compat`: commit blocks hold a CRC-32 of their transaction.
pub(super) const COMPAT_CHECKSUM: u32 = 1;

/// Bits of `s_feature_incompat` in the journal's superblock.
pub(super) mod incompat {
    pub(in super::super) const REVOKE: u32 = 0x1;
    pub(in super::super) const BIT64: u32 = 0x2;
    pub(in super::super) const ASYNC_COMMIT: u32 = 0x4;
    pub(in super::super) const CSUM_V2: u32 = 0x8;
    pub(in super::super) const CSUM_V3: u32 = 0x10;
    pub(in super::super) const FAST_COMMIT: u32 = 0x20;
}

/// `t_flags` of a tag.
pub(super) mod tag_flags {
    /// The block began with [`super::MAGIC`], which was replaced by 0.
    pub(in super::super) const ESCAPE: u32 = 1;
    /// No UUID follows the tag.
    pub(in super::super) const SAME_UUID: u32 = 2;
    /// The last tag of the descriptor.
    pub(in super::super) const LAST: u32 = 8;
}

/// `struct journal_header_s`, in front of every block of the journal that is not a copy of a block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) h_magic: U32,
    pub(super) h_blocktype: U32,
    pub(super) h_sequence: U32,
}

/// `struct journal_superblock_s`, 1024 bytes; of version 1 only the fields up to `s_errno` count.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    pub(super) s_header: Header,
    pub(super) s_blocksize: U32,
    pub(super) s_maxlen: U32,
    pub(super) s_first: U32,
    pub(super) s_sequence: U32,
    pub(super) s_start: U32,
    pub(super) s_errno: U32,
    pub(super) s_feature_compat: U32,
    pub(super) s_feature_incompat: U32,
    pub(super) s_feature_ro_compat: U32,
    pub(super) s_uuid: [u8; 16],
    pub(super) s_nr_users: U32,
    pub(super) s_dynsuper: U32,
    pub(super) s_max_transaction: U32,
    pub(super) s_max_trans_data: U32,
    pub(super) s_checksum_type: u8,
    pub(super) s_padding2: [u8; 3],
    pub(super) s_num_fc_blks: U32,
    pub(super) s_head: U32,
    pub(super) s_padding: [U32; 40],
    pub(super) s_checksum: U32,
    pub(super) s_users: [u8; 768],
}

/// `struct commit_header`: the block that completes a transaction.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Commit {
    pub(super) header: Header,
    pub(super) h_chksum_type: u8,
    pub(super) h_chksum_size: u8,
    pub(super) h_padding: [u8; 2],
    pub(super) h_chksum: [U32; 8],
    pub(super) h_commit_sec: U64,
    pub(super) h_commit_nsec: U32,
}

/// `struct journal_block_tag3_s`: a tag with `csum_v3`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Tag3 {
    pub(super) t_blocknr: U32,
    pub(super) t_flags: U32,
    pub(super) t_blocknr_high: U32,
    pub(super) t_checksum: U32,
}

/// `struct journal_block_tag_s` without `t_blocknr_high`, which follows with 64-bit block numbers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Tag {
    pub(super) t_blocknr: U32,
    pub(super) t_checksum: U16,
    pub(super) t_flags: U16,
}

/// CRC-32 with the most significant bit first, polynomial 0x04C11DB7, no inversion (`crc32_be` of
/// the kernel).
pub(super) fn crc32_be(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 {
                crc << 1 ^ 0x04C1_1DB7
            } else {
                crc << 1
            };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    #[test]
    fn structures_have_their_sizes() {
        assert_eq!(size_of::<Superblock>(), 1024);
        assert_eq!(std::mem::offset_of!(Superblock, s_checksum), 0xFC);
        assert_eq!(size_of::<Commit>(), 60);
        assert_eq!((size_of::<Tag>(), size_of::<Tag3>()), (8, 16));
    }

    #[test]
    fn checksum_of_the_check_string() {
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_E6E7);
    }
}
