//! Checksums of ext4, computed anew after a field was changed, so that the field alone is wrong
//! (page `checksums` of the kernel's documentation).

use super::super::{le32, le64};

/// Bytes of a block.
pub(super) const BLOCK: usize = 1024;

/// A structure with a checksum of its own, and where it is (bytes).
#[derive(Clone, Copy, Debug)]
pub(super) enum Structure {
    Superblock,
    /// The descriptor of a group.
    Group(u32, usize),
    /// An inode by number.
    Inode(u32, usize),
    /// A node of the extent tree of an inode that begins at the second offset.
    Extents(u32, usize, usize),
    /// A block of directory entries of such an inode.
    Entries(u32, usize, usize),
    /// The root or a node of the index of such a directory.
    Index(u32, usize, usize),
    /// A block of extended attributes.
    Attributes(usize),
    /// The block of multiple mount protection.
    Mmp(usize),
    /// Anything without a checksum.
    Plain(usize),
}

impl Structure {
    /// Its first byte.
    pub(super) fn start(self) -> usize {
        match self {
            Self::Superblock => 1024,
            Self::Group(_, at)
            | Self::Inode(_, at)
            | Self::Extents(_, _, at)
            | Self::Entries(_, _, at)
            | Self::Index(_, _, at)
            | Self::Attributes(at)
            | Self::Mmp(at)
            | Self::Plain(at) => at,
        }
    }
}

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(field) = bytes.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

fn inode_seed(bytes: &[u8], seed: u32, ino: u32, at: usize) -> u32 {
    crc(crc(seed, &ino.to_le_bytes()), &bytes[at + 0x64..at + 0x68])
}

/// Makes the checksum of `structure` right again in an image with `metadata_csum`, whose UUID gives
/// the seed.
pub(super) fn seal(bytes: &mut [u8], structure: Structure) {
    let seed = if le32(bytes, 1024 + 0x60) & 0x2000 == 0 {
        crc(!0, &bytes[1024 + 0x68..1024 + 0x78])
    } else {
        le32(bytes, 1024 + 0x270)
    };
    match structure {
        Structure::Superblock => {
            let sum = crc(!0, &bytes[1024..2044]);
            put32(bytes, 2044, sum);
        }
        Structure::Group(number, at) => {
            bytes[at + 0x1E..at + 0x20].fill(0);
            let sum = crc(crc(seed, &number.to_le_bytes()), &bytes[at..at + 64]);
            bytes[at + 0x1E..at + 0x20].copy_from_slice(&sum.to_le_bytes()[..2]);
        }
        Structure::Inode(ino, at) => {
            let seed = inode_seed(bytes, seed, ino, at);
            let extra = u16::from_le_bytes([bytes[at + 0x80], bytes[at + 0x81]]);
            let wide = extra >= 4;
            bytes[at + 0x7C..at + 0x7E].fill(0);
            if wide {
                bytes[at + 0x82..at + 0x84].fill(0);
            }
            let sum = crc(seed, &bytes[at..at + 256]).to_le_bytes();
            bytes[at + 0x7C..at + 0x7E].copy_from_slice(&sum[..2]);
            if wide {
                bytes[at + 0x82..at + 0x84].copy_from_slice(&sum[2..]);
            }
        }
        Structure::Extents(ino, inode, at) => {
            let seed = inode_seed(bytes, seed, ino, inode);
            let most = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
            let tail = 12 + 12 * most;
            if tail + 4 <= BLOCK {
                let sum = crc(seed, &bytes[at..at + tail]);
                put32(bytes, at + tail, sum);
            }
        }
        Structure::Entries(ino, inode, at) => {
            let seed = inode_seed(bytes, seed, ino, inode);
            let sum = crc(seed, &bytes[at..at + BLOCK - 12]);
            put32(bytes, at + BLOCK - 4, sum);
        }
        Structure::Index(ino, inode, at) => {
            let seed = inode_seed(bytes, seed, ino, inode);
            let counts = if bytes[at + 4] == 12 { at + 32 } else { at + 8 };
            let [limit, count] = [0, 2]
                .map(|n| usize::from(bytes[counts + n]) | usize::from(bytes[counts + n + 1]) << 8);
            let (used, tail) = (counts + count * 8, counts + limit * 8);
            if used <= at + BLOCK && tail + 8 <= at + BLOCK {
                let sum = crc(crc(seed, &bytes[at..used]), &bytes[tail..tail + 4]);
                let sum = crc(sum, &[0; 4]);
                put32(bytes, tail + 4, sum);
            }
        }
        Structure::Attributes(at) => {
            put32(bytes, at + 16, 0);
            let number = (at / BLOCK) as u64;
            let sum = crc(crc(seed, &number.to_le_bytes()), &bytes[at..at + BLOCK]);
            put32(bytes, at + 16, sum);
        }
        Structure::Mmp(at) => {
            let sum = crc(seed, &bytes[at..at + 1020]);
            put32(bytes, at + 1020, sum);
        }
        Structure::Plain(_) => {}
    }
}

/// The values that `width` bytes at `at` are set to, one after the other: nothing, one, one more
/// than it is, the highest bit turned, all bits.
pub(super) fn odd_values(bytes: &[u8], at: usize, width: usize) -> Vec<u64> {
    let mask = if width == 8 {
        u64::MAX
    } else {
        (1 << (8 * width)) - 1
    };
    let mut wide = bytes[at..at + width].to_vec();
    wide.resize(8, 0);
    let now = le64(&wide, 0);
    let top = 1 << (8 * width - 1);
    let mut values = vec![0, 1, now.wrapping_add(1) & mask, now ^ top, mask];
    let mut seen = vec![now];
    values.retain(|value| {
        let fresh = !seen.contains(value);
        seen.push(*value);
        fresh
    });
    values
}
