//! Inodes: found in their tables, checked, decoded.

use super::error::{Error, Fault, Place};
use super::superblock::OLD_INODE_SIZE;
use super::volume::Volume;
use crate::bytes::le32;
use crate::fs::ext4::format::{self, incompat, inode_flags, mode, ro_compat};
use crate::stream::ReadAt;
use crate::tree::Time;
use crate::units::len_u64;
use std::collections::BTreeMap;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of inode table read at once: 512 inodes of 256 bytes.
const WINDOW: u64 = 128 << 10;
/// Windows kept; beyond it all are dropped, so that memory does not grow with the filesystem.
const MAX_WINDOWS: usize = 64;
/// `i_extra_isize` that all of [`format::Inode`] needs; the kernel assumes it where the field is 0.
const FULL_EXTRA: usize = 32;
/// Where `i_checksum_lo` and `i_checksum_hi` are.
const CHECKSUM_LO: usize = 0x7C;
const CHECKSUM_HI: usize = 0x82;

/// An inode in use.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    /// Inode number, from 1.
    pub(super) ino: u32,
    /// Fields up to 160 bytes; those that it does not have are 0.
    pub(super) raw: format::Inode,
    /// `i_size`: bytes of its content.
    pub(super) size: u64,
    /// What checksums of its blocks begin with.
    pub(super) seed: u32,
    /// The bytes after the fields, where attributes are.
    pub(super) attributes: Vec<u8>,
    /// Bytes of fields after the first 128.
    extra: usize,
}

impl Inode {
    /// Where errors of it are.
    pub(super) fn place(&self) -> Place {
        Place::Inode(self.ino)
    }

    /// Whether a flag of `i_flags` is set.
    pub(super) fn flag(&self, bit: u32) -> bool {
        self.raw.i_flags.get() & bit != 0
    }

    /// The type bits of its mode.
    pub(super) fn kind(&self) -> u16 {
        self.raw.i_mode.get() & mode::TYPE
    }

    /// User ID: `i_uid` with its high half.
    pub(super) fn uid(&self) -> u32 {
        u32::from(self.raw.i_uid_high.get()) << 16 | u32::from(self.raw.i_uid.get())
    }

    /// Group ID: `i_gid` with its high half.
    pub(super) fn gid(&self) -> u32 {
        u32::from(self.raw.i_gid_high.get()) << 16 | u32::from(self.raw.i_gid.get())
    }

    /// Project ID, where the filesystem has them (`project`).
    pub(super) fn project(&self, volume: &Volume) -> u32 {
        if volume.layout.ro_compat(ro_compat::PROJECT) {
            self.raw.i_projid.get()
        } else {
            0
        }
    }

    /// Time of creation, where the inode is large enough to have it.
    pub(super) fn crtime(&self) -> Option<Time> {
        (self.extra >= 0x94 - OLD_INODE_SIZE)
            .then(|| time(self.raw.i_crtime.get(), self.raw.i_crtime_extra.get()))
    }

    /// Last change of the content.
    pub(super) fn mtime(&self) -> Time {
        time(self.raw.i_mtime.get(), self.raw.i_mtime_extra.get())
    }

    /// Last change of the inode.
    pub(super) fn ctime(&self) -> Time {
        time(self.raw.i_ctime.get(), self.raw.i_ctime_extra.get())
    }

    /// Time of the last access (`i_atime`).
    pub(super) fn atime(&self) -> Time {
        time(self.raw.i_atime.get(), self.raw.i_atime_extra.get())
    }

    /// `i_blocks`, as it is (sectors of 512 bytes, or blocks with the `huge_file` flag).
    pub(super) fn sectors(&self) -> u64 {
        u64::from(self.raw.i_blocks_high.get()) << 32 | u64::from(self.raw.i_blocks_lo.get())
    }

    /// The device of a device inode: the old form of 8 and 8 bits in the first word or the new of
    /// 12 and 20 in the second.
    pub(super) fn device(&self) -> (u32, u32) {
        let word = |offset| le32(&self.raw.i_block, offset).unwrap_or(0);
        match (word(0), word(4)) {
            (0, new) => ((new >> 8) & 0xFFF, (new & 0xFF) | (new >> 12 & 0xF_FF00)),
            (old, _) => (old >> 8 & 0xFF, old & 0xFF),
        }
    }

    /// Decodes and checks the bytes of inode `ino`.
    fn parse(volume: &Volume, ino: u32, bytes: &[u8]) -> Result<Self, Error> {
        let place = Place::Inode(ino);
        let mut raw = format::Inode::new_zeroed();
        raw.as_mut_bytes()
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        let stored_extra = if bytes.len() > OLD_INODE_SIZE {
            usize::from(raw.i_extra_isize.get())
        } else {
            0
        };
        place.within(
            "extra size",
            len_u64(stored_extra),
            0,
            len_u64(bytes.len().saturating_sub(OLD_INODE_SIZE)),
        )?;
        let extra = match stored_extra {
            0 if bytes.len() > OLD_INODE_SIZE => FULL_EXTRA,
            stored => stored,
        };
        let seed = seed(volume.layout.seed, ino, raw.i_generation.get());
        if volume.layout.has_checksums() {
            check_checksum(place, seed, bytes, &raw, stored_extra)?;
        }
        raw.as_mut_bytes()
            .iter_mut()
            .skip(OLD_INODE_SIZE.saturating_add(extra))
            .for_each(|byte| *byte = 0);
        if raw.i_mode.get() == 0 || raw.i_links_count.get() == 0 {
            return Err(place.corrupt(Fault::Fact("it has a name but is free")));
        }
        let wide = raw.i_mode.get() & mode::TYPE == mode::FILE
            || volume.layout.incompat(incompat::LARGEDIR);
        let high = if wide {
            u64::from(raw.i_size_high.get()) << 32
        } else {
            0
        };
        let size = high | u64::from(raw.i_size_lo.get());
        let attributes = match stored_extra {
            0 => Vec::new(),
            stored => bytes
                .get(OLD_INODE_SIZE.saturating_add(stored)..)
                .unwrap_or_default()
                .to_vec(),
        };
        Ok(Self {
            ino,
            size,
            seed,
            attributes,
            extra,
            raw,
        })
    }

    /// Refuses what a copy would silently lose.
    fn check_flags(&self) -> Result<(), Error> {
        for (flag, what) in [
            (inode_flags::ENCRYPT, "an encrypted file"),
            (inode_flags::CASEFOLD, "a case-insensitive directory"),
        ] {
            if self.flag(flag) {
                return Err(self.place().unsupported(what));
            }
        }
        Ok(())
    }
}

/// What the checksums of an inode and its blocks begin with.
fn seed(filesystem: u32, ino: u32, generation: u32) -> u32 {
    format::crc32c(
        format::crc32c(filesystem, &ino.to_le_bytes()),
        &generation.to_le_bytes(),
    )
}

/// The checksum over the whole inode with its own two fields taken as 0; the high one exists where
/// the inode is large enough.
fn check_checksum(
    place: Place,
    seed: u32,
    bytes: &[u8],
    raw: &format::Inode,
    extra: usize,
) -> Result<(), Error> {
    let wide = OLD_INODE_SIZE.saturating_add(extra) >= CHECKSUM_HI + 2;
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let mut crc = format::crc32c(seed, part(0, CHECKSUM_LO));
    crc = format::crc32c(crc, &[0, 0]);
    if wide {
        crc = format::crc32c(crc, part(CHECKSUM_LO + 2, CHECKSUM_HI));
        crc = format::crc32c(crc, &[0, 0]);
        crc = format::crc32c(crc, part(CHECKSUM_HI + 2, bytes.len()));
        let stored = u32::from(raw.i_checksum_hi.get()) << 16 | u32::from(raw.i_checksum_lo.get());
        return place.checksum(stored, crc);
    }
    crc = format::crc32c(crc, part(CHECKSUM_LO + 2, bytes.len()));
    place.checksum(raw.i_checksum_lo.get().into(), crc & 0xFFFF)
}

/// Seconds are signed 32 bits plus 2 bits of epoch (1901 to 2446), nanoseconds the 30 bits above
/// them (page `inodes`). The 30 bits can hold a little more than a second; the kernel never writes
/// that, and it is cut.
fn time(seconds: u32, extra: u32) -> Time {
    Time {
        seconds: i64::from(seconds.cast_signed()).saturating_add(i64::from(extra & 3) << 32),
        nanos: (extra >> 2).min(999_999_999),
    }
}

/// Inodes by number; the tables are read in large pieces, since neighbours are wanted together.
#[derive(Debug)]
pub(super) struct Inodes<'v> {
    volume: &'v Volume,
    windows: BTreeMap<u64, Vec<u8>>,
}

impl<'v> Inodes<'v> {
    pub(super) fn new(volume: &'v Volume) -> Self {
        Self {
            volume,
            windows: BTreeMap::new(),
        }
    }

    /// Inode `ino`, which must be in use.
    ///
    /// # Errors
    /// [`Error`] at the inode.
    pub(super) fn get(&mut self, ino: u32) -> Result<Inode, Error> {
        let place = Place::Inode(ino);
        let volume = self.volume;
        let layout = &volume.layout;
        place.within(
            "inode number",
            ino.into(),
            1,
            layout.raw.s_inodes_count.get().into(),
        )?;
        let number = ino.saturating_sub(1);
        let divided = number
            .checked_div(layout.inodes_per_group)
            .zip(number.checked_rem(layout.inodes_per_group));
        let (table, index) = divided
            .and_then(|(group, index)| {
                Some((volume.groups.get(usize::try_from(group).ok()?)?, index))
            })
            .map(|(group, index)| (group.inode_table, u64::from(index)))
            .ok_or_else(|| place.corrupt(Fault::Fact("its group does not exist")))?;
        let size = layout.inode_size;
        let offset = table
            .saturating_mul(layout.block_size())
            .saturating_add(index.saturating_mul(len_u64(size)));
        // Windows begin at multiples of their size and inodes at multiples of theirs, so none lies
        // in two.
        let within = offset % WINDOW;
        let window = self.window(place, offset.saturating_sub(within))?;
        let start = usize::try_from(within).unwrap_or(usize::MAX);
        let bytes = window
            .get(start..start.saturating_add(size))
            .ok_or_else(|| place.corrupt(Fault::Fact("it is cut off")))?;
        let inode = Inode::parse(volume, ino, bytes)?;
        inode.check_flags()?;
        Ok(inode)
    }

    fn window(&mut self, place: Place, start: u64) -> Result<&[u8], Error> {
        if self.windows.len() >= MAX_WINDOWS && !self.windows.contains_key(&start) {
            self.windows.clear();
        }
        match self.windows.entry(start) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let len = WINDOW.min(self.volume.layout.len().saturating_sub(start));
                let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
                self.volume
                    .view
                    .read_exact_at(start, &mut bytes)
                    .map_err(place.io())?;
                Ok(entry.insert(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    impl Inode {
        /// A file with this map.
        pub(in super::super) fn small(size: u64, flags: u32, i_block: &[u8]) -> Self {
            let mut raw = format::Inode::new_zeroed();
            raw.i_flags = flags.into();
            raw.i_block[..i_block.len()].copy_from_slice(i_block);
            Self {
                ino: 12,
                raw,
                size,
                seed: 0,
                attributes: Vec::new(),
                extra: 0,
            }
        }
    }

    #[test]
    fn devices_have_two_forms() {
        let device = |words: [u32; 2]| {
            Inode::small(0, 0, words.map(u32::to_le_bytes).as_flattened()).device()
        };
        assert_eq!(device([0x0803, 0]), (8, 3));
        assert_eq!(device([0, 0x4931_03E0]), (259, 300_000));
        assert_eq!(device([0, 0xFFFF_FFFF]), (4095, 0xF_FFFF));
        assert_eq!(device([0, 0]), (0, 0));
    }

    #[test]
    fn times_from_1901_to_2446() {
        let at = |seconds: i32, extra| time(seconds.cast_unsigned(), extra).seconds;
        assert_eq!(at(i32::MIN, 0), -0x8000_0000);
        assert_eq!(at(-1, 0), -1);
        assert_eq!(at(i32::MIN, 1), 0x8000_0000);
        assert_eq!(at(i32::MAX, 3), 0x3_7FFF_FFFF);
        assert_eq!(time(0, 999_999_999 << 2).nanos, 999_999_999);
        assert_eq!(time(0, !0).nanos, 999_999_999);
    }
}
