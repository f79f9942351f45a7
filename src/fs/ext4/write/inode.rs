//! Inodes as they are on disk (kernel's page `inodes`).

use super::super::format::Inode as RawInode;
use super::checksum::ChecksumSeed;
use super::geometry::INODE_LEN;
use super::xattr::INODE_FIELDS;
use crate::stamp::Time;
use zerocopy::{FromZeros, IntoBytes};

/// `i_extra_isize`: what the fields beyond the first 128 bytes take.
pub(super) const EXTRA_LEN: u16 = 32;
/// Sectors in a block, the unit of `i_blocks`.
pub(super) const SECTORS_PER_BLOCK: u64 = 8;

/// What an inode says.
#[derive(Debug)]
pub(super) struct Record<'t> {
    pub(super) number: u32,
    /// `i_mode`: type and permission bits.
    pub(super) mode: u16,
    pub(super) owner: (u32, u32),
    pub(super) project: u32,
    pub(super) links: u16,
    /// `i_size`: bytes of the content.
    pub(super) size: u64,
    /// Blocks of data, extent tree and attributes.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    pub(super) block: [u8; 60],
    pub(super) attribute_block: u32,
    /// What follows the fields.
    pub(super) attributes: &'t [u8],
    /// Access, change, modification, creation.
    pub(super) times: [Time; 4],
}

/// The 256 bytes of an inode.
pub(super) fn encode(record: &Record<'_>, checksum_seed: ChecksumSeed) -> [u8; INODE_LEN] {
    let mut raw = RawInode::new_zeroed();
    let (uid, gid) = record.owner;
    let sectors = record.blocks * SECTORS_PER_BLOCK;
    raw.i_mode = record.mode.into();
    (raw.i_uid, raw.i_uid_high) = (low(uid).into(), high(uid).into());
    (raw.i_gid, raw.i_gid_high) = (low(gid).into(), high(gid).into());
    (raw.i_size_lo, raw.i_size_high) = halves(record.size);
    raw.i_links_count = record.links.into();
    let (sectors_low, sectors_high) = halves::<u32>(sectors);
    (raw.i_blocks_lo, raw.i_blocks_high) = (sectors_low.into(), low(sectors_high).into());
    raw.i_flags = record.flags.into();
    raw.i_block = record.block;
    raw.i_file_acl_lo = record.attribute_block.into();
    raw.i_extra_isize = EXTRA_LEN.into();
    raw.i_projid = record.project.into();
    let [access, change, modification, creation] = record.times.map(encode_time);
    (raw.i_atime, raw.i_atime_extra) = (access.0.into(), access.1.into());
    (raw.i_ctime, raw.i_ctime_extra) = (change.0.into(), change.1.into());
    (raw.i_mtime, raw.i_mtime_extra) = (modification.0.into(), modification.1.into());
    (raw.i_crtime, raw.i_crtime_extra) = (creation.0.into(), creation.1.into());
    let mut out = [0; INODE_LEN];
    out[INODE_FIELDS..][..record.attributes.len()].copy_from_slice(record.attributes);
    out[..INODE_FIELDS].copy_from_slice(raw.as_bytes());
    if let Some(checksum) = checksum_seed.for_inode(record.number).checksum(&[&out]) {
        (raw.i_checksum_lo, raw.i_checksum_hi) = (low(checksum).into(), high(checksum).into());
        out[..INODE_FIELDS].copy_from_slice(raw.as_bytes());
    }
    out
}

fn low(value: u32) -> u16 {
    u16::try_from(value & 0xFFFF).unwrap_or(0)
}

fn high(value: u32) -> u16 {
    low(value >> 16)
}

/// The lower and the upper 16 bits.
pub(super) fn words<T: From<u16>>(value: u32) -> (T, T) {
    let part = |shift: u32| T::from(u16::try_from(value >> shift & 0xFFFF).unwrap_or(0));
    (part(0), part(16))
}

/// The lower and the upper 32 bits.
pub(super) fn halves<T: From<u32>>(value: u64) -> (T, T) {
    let part = |shift: u32| T::from(u32::try_from(value >> shift & 0xFFFF_FFFF).unwrap_or(0));
    (part(0), part(32))
}

/// Least and greatest second that fits: 32 bits with a sign and two more that count further rounds
/// of 2^32 seconds.
const SECONDS: std::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 31) - 1 + (3 << 32);

/// Whether an inode can hold this time.
pub(super) fn can_hold(time: Time) -> bool {
    SECONDS.contains(&time.seconds) && time.nanos < 1_000_000_000
}

/// The seconds, and the extra word of two bits of epoch and the nanoseconds.
fn encode_time(time: Time) -> (u32, u32) {
    let word = halves::<u32>(time.seconds.cast_unsigned()).0;
    let epoch = (time.seconds - i64::from(word.cast_signed())) >> 32;
    (
        word,
        time.nanos << 2 | u32::try_from(epoch & 3).unwrap_or(0),
    )
}

/// `i_block` of a device: numbers below 256 in the old form, others in the new one
/// (`old_encode_dev`, `new_encode_dev`).
pub(super) fn device(major: u32, minor: u32) -> [u8; 60] {
    let mut out = [0; 60];
    if major < 256 && minor < 256 {
        out[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else {
        out[4..8]
            .copy_from_slice(&(minor & 0xFF | major << 8 | (minor & !0xFF) << 12).to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the kernel's page `inodes`, "Inode Timestamps".
    #[test]
    fn times_of_five_centuries() {
        let time = |seconds| Time { seconds, nanos: 5 };
        assert_eq!(encode_time(time(-1)), (0xFFFF_FFFF, 20));
        assert_eq!(encode_time(time(-(1 << 31))), (0x8000_0000, 20));
        assert_eq!(encode_time(time(0x7FFF_FFFF)), (0x7FFF_FFFF, 20));
        assert_eq!(encode_time(time(0x8000_0000)), (0x8000_0000, 21));
        assert_eq!(encode_time(time(0x1_0000_0000)), (0, 21));
        assert_eq!(encode_time(time(0x3_7FFF_FFFF)), (0x7FFF_FFFF, 23));
        assert!(
            can_hold(time(0x3_7FFF_FFFF))
                && !can_hold(time(0x3_8000_0000))
                && !can_hold(time(-(1 << 31) - 1))
        );
        assert!(!can_hold(Time {
            seconds: 0,
            nanos: 1_000_000_000
        }));
    }

    #[test]
    fn devices_in_both_forms() {
        assert_eq!(&device(8, 1)[..8], [1, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            &device(259, 0x12345)[..8],
            [0, 0, 0, 0, 0x45, 0x03, 0x31, 0x12]
        );
    }
}
