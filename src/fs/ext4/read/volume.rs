//! The blocks of the filesystem as they are after recovery, and the group descriptors.

use super::claims::Claims;
use super::error::{Error, Fault, Place};
use super::superblock::Layout;
use crate::fs::ext4::format::{
    GroupDesc, SUPERBLOCK_OFFSET, bg_flags, compat, crc16, crc32c, incompat, ro_compat,
};
use crate::stream::{Content, ReadAt, Source, Zeros};
use crate::units::len_u64;
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

/// Where `bg_checksum` is in a descriptor.
const BG_CHECKSUM: usize = 0x1E;

/// Where the parts of a block group are.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// First block of the inode table.
    pub(super) inode_table: u64,
    block_bitmap: u64,
    inode_bitmap: u64,
    /// None of its inodes was ever used.
    unused: bool,
}

/// The filesystem below its files: layout, descriptors and blocks.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    /// The numbers of the checked superblock.
    pub(super) layout: Layout,
    /// The checked descriptors, by group number.
    pub(super) groups: Vec<Group>,
    /// All blocks, as they are after recovery.
    pub(super) view: Content,
    /// The bytes of blocks that are allocated but not written; one source for all files.
    pub(super) zeros: Source,
}

impl Volume {
    /// Reads superblock and descriptors from `view`.
    ///
    /// # Errors
    /// [`Error`] at the superblock or a group.
    pub(super) fn open(view: Content) -> Result<Self, Error> {
        let mut bytes = [0; 1024];
        view.read_exact_at(SUPERBLOCK_OFFSET, &mut bytes)
            .map_err(Place::Superblock.io())?;
        let layout = Layout::parse(&bytes, view.len())?;
        let mut volume = Self {
            layout,
            groups: Vec::new(),
            view,
            zeros: Arc::new(Zeros(u64::MAX)),
        };
        volume.groups = volume.read_groups()?;
        Ok(volume)
    }

    /// The bytes of `count` blocks from `block`, which must lie inside.
    pub(super) fn blocks(&self, place: Place, block: u64, count: u64) -> Result<Vec<u8>, Error> {
        self.check_range(place, block, count)?;
        let len = count.saturating_mul(self.layout.block_size());
        let mut bytes = vec![
            0;
            usize::try_from(len)
                .map_err(|_| place.corrupt(Fault::Fact("it is too large")))?
        ];
        self.view
            .read_exact_at(block.saturating_mul(self.layout.block_size()), &mut bytes)
            .map_err(place.io())?;
        Ok(bytes)
    }

    /// Fails unless `count` blocks from `block` lie after the superblock's block and inside the
    /// filesystem.
    pub(super) fn check_range(&self, place: Place, block: u64, count: u64) -> Result<(), Error> {
        let first = self.first_data_block().saturating_add(1);
        let last = self.layout.blocks.saturating_sub(1);
        place.within("block number", block, first, last)?;
        place.within(
            "last block number",
            block.saturating_add(count.saturating_sub(1)),
            block,
            last,
        )
    }

    fn first_data_block(&self) -> u64 {
        self.layout.raw.s_first_data_block.get().into()
    }

    /// The blocks of superblock, descriptors, bitmaps and inode tables, which no file can own.
    pub(super) fn claim_metadata(&self) -> Result<Claims, Error> {
        let mut claims = Claims::default();
        claims.take(
            Place::Superblock,
            0,
            self.first_data_block().saturating_add(1),
        )?;
        for block in 0..self.desc_blocks() {
            claims.take(Place::Superblock, self.desc_block(block), 1)?;
        }
        for (number, group) in (0_u32..).zip(&self.groups) {
            let place = Place::Group(number);
            claims.take(place, group.block_bitmap, 1)?;
            claims.take(place, group.inode_bitmap, 1)?;
            claims.take(place, group.inode_table, self.table_blocks())?;
        }
        Ok(claims)
    }

    /// The inodes in use according to the bitmaps.
    ///
    /// # Errors
    /// I/O errors of the source.
    pub(super) fn used_inodes(&self) -> Result<Vec<u32>, Error> {
        let mut used = Vec::new();
        for (number, group) in (0_u32..)
            .zip(&self.groups)
            .filter(|(_, group)| !group.unused)
        {
            let bitmap = self.blocks(Place::Group(number), group.inode_bitmap, 1)?;
            let first = number
                .saturating_mul(self.layout.inodes_per_group)
                .saturating_add(1);
            let end = first.saturating_add(self.layout.inodes_per_group);
            let bits = bitmap
                .iter()
                .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 != 0));
            used.extend(
                (first..end)
                    .zip(bits)
                    .filter(|(_, set)| *set)
                    .map(|(ino, _)| ino),
            );
        }
        Ok(used)
    }

    /// Blocks of one group's inode table.
    fn table_blocks(&self) -> u64 {
        let bytes =
            u64::from(self.layout.inodes_per_group).saturating_mul(len_u64(self.layout.inode_size));
        bytes.div_ceil(self.layout.block_size())
    }

    /// Descriptors in one block.
    fn descs_per_block(&self) -> u64 {
        len_u64(
            self.layout
                .block_size
                .checked_div(self.layout.desc_size)
                .unwrap_or(1),
        )
    }

    /// Blocks that all descriptors fill.
    fn desc_blocks(&self) -> u64 {
        u64::from(self.layout.groups).div_ceil(self.descs_per_block())
    }

    /// Where the `index`th block of descriptors is: after the superblock or, with `meta_bg`, in
    /// the first group that it describes (`ext4_descriptor_loc` of the kernel, whose special case
    /// of 1 KiB blocks that begin at block 0 is `bigalloc`'s).
    fn desc_block(&self, index: u64) -> u64 {
        let layout = &self.layout;
        let superblock = u64::from(layout.block_size == 1024);
        if !layout.incompat(incompat::META_BG)
            || index < u64::from(layout.raw.s_first_meta_bg.get())
        {
            return superblock.saturating_add(1).saturating_add(index);
        }
        let group = index.saturating_mul(self.descs_per_block());
        let first = self.first_data_block();
        let pad = u64::from(index == 0 && layout.block_size == 1024 && first == 0);
        group
            .saturating_mul(layout.blocks_per_group)
            .saturating_add(first)
            .saturating_add(u64::from(self.has_superblock(group)))
            .saturating_add(pad)
    }

    /// Whether `group` begins with a superblock or a copy of it.
    fn has_superblock(&self, group: u64) -> bool {
        let layout = &self.layout;
        if group == 0 {
            return true;
        }
        if layout.compat(compat::SPARSE_SUPER2) {
            return layout
                .raw
                .s_backup_bgs
                .iter()
                .any(|backup| u64::from(backup.get()) == group);
        }
        group == 1
            || !layout.ro_compat(ro_compat::SPARSE_SUPER)
            || [3, 5, 7].iter().any(|base| is_power(group, *base))
    }

    fn read_groups(&self) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        let mut number = 0_u32;
        for index in 0..self.desc_blocks() {
            let block = self.blocks(Place::Group(number), self.desc_block(index), 1)?;
            for bytes in block.chunks_exact(self.layout.desc_size) {
                if number == self.layout.groups {
                    break;
                }
                groups.push(self.group(number, bytes)?);
                number = number.saturating_add(1);
            }
        }
        Ok(groups)
    }

    /// Checks the descriptor of group `number`.
    fn group(&self, number: u32, bytes: &[u8]) -> Result<Group, Error> {
        let place = Place::Group(number);
        let mut raw = GroupDesc::new_zeroed();
        for (to, from) in raw.as_mut_bytes().iter_mut().zip(bytes) {
            *to = *from;
        }
        self.check_group(place, number, bytes, &raw)?;
        let whole = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let group = Group {
            inode_table: whole(raw.bg_inode_table_lo.get(), raw.bg_inode_table_hi.get()),
            block_bitmap: whole(raw.bg_block_bitmap_lo.get(), raw.bg_block_bitmap_hi.get()),
            inode_bitmap: whole(raw.bg_inode_bitmap_lo.get(), raw.bg_inode_bitmap_hi.get()),
            unused: (self.layout.has_checksums() || self.layout.ro_compat(ro_compat::GDT_CSUM))
                && raw.bg_flags.get() & bg_flags::INODE_UNINIT != 0,
        };
        self.check_range(place, group.inode_table, self.table_blocks())?;
        self.check_range(place, group.block_bitmap, 1)?;
        self.check_range(place, group.inode_bitmap, 1)?;
        Ok(group)
    }

    /// The checksum of a descriptor: 16 bits of CRC-32C (`metadata_csum`) or CRC-16 (`uninit_bg`),
    /// page `checksums`.
    fn check_group(
        &self,
        place: Place,
        number: u32,
        bytes: &[u8],
        raw: &GroupDesc,
    ) -> Result<(), Error> {
        let (front, back) = bytes.split_at(BG_CHECKSUM.min(bytes.len()));
        let back = back.get(2..).unwrap_or_default();
        let computed = if self.layout.has_checksums() {
            let crc = crc32c(crc32c(self.layout.seed, &number.to_le_bytes()), front);
            crc32c(crc32c(crc, &[0, 0]), back) & 0xFFFF
        } else if self.layout.ro_compat(ro_compat::GDT_CSUM) {
            let crc = crc16(crc16(!0, &self.layout.raw.s_uuid), &number.to_le_bytes());
            u32::from(crc16(crc16(crc, front), back))
        } else {
            return Ok(());
        };
        place.checksum(raw.bg_checksum.get().into(), computed)
    }
}

/// Whether `value` is a power of `base`.
fn is_power(value: u64, base: u64) -> bool {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(base));
    powers
        .take_while(|power| *power <= value)
        .any(|power| power == value)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;
    use crate::fs::ext4::format::{MAGIC, Superblock};

    impl Volume {
        /// Blocks of 1 KiB without descriptors, of a superblock with nothing but sizes.
        pub(in super::super) fn small(bytes: Vec<u8>) -> Self {
            let mut raw = Superblock::new_zeroed();
            raw.s_magic = MAGIC.into();
            raw.s_blocks_count_lo = u32::try_from(bytes.len() / 1024).unwrap().into();
            raw.s_blocks_per_group = 8192.into();
            raw.s_inodes_per_group = 16.into();
            raw.s_inodes_count = 16.into();
            let layout = Layout::parse(raw.as_bytes(), bytes.len() as u64).unwrap();
            Self {
                layout,
                groups: Vec::new(),
                view: Content::bytes(bytes),
                zeros: Arc::new(Zeros(u64::MAX)),
            }
        }
    }

    #[test]
    fn superblocks_have_copies_in_few_groups() {
        let mut volume = Volume::small(vec![0; 4096]);
        let copies = |volume: &Volume| {
            (0..130)
                .filter(|group| volume.has_superblock(*group))
                .collect::<Vec<u64>>()
        };
        assert_eq!(copies(&volume).len(), 130);
        volume.layout.raw.s_feature_ro_compat = ro_compat::SPARSE_SUPER.into();
        assert_eq!(copies(&volume), [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
        volume.layout.raw.s_feature_compat = compat::SPARSE_SUPER2.into();
        volume.layout.raw.s_backup_bgs = [1.into(), 77.into()];
        assert_eq!(copies(&volume), [0, 1, 77]);
    }

    #[test]
    fn descriptors_lie_where_meta_bg_puts_them() {
        let mut volume = Volume::small(vec![0; 4096]);
        volume.layout.raw.s_first_data_block = 1.into();
        volume.layout.raw.s_feature_ro_compat = ro_compat::SPARSE_SUPER.into();
        assert_eq!([0, 1, 2].map(|index| volume.desc_block(index)), [2, 3, 4]);
        volume.layout.raw.s_feature_incompat = incompat::META_BG.into();
        // 32 descriptors of 32 bytes in a block: group 32 has no superblock in front of them.
        assert_eq!(
            [0, 1].map(|index| volume.desc_block(index)),
            [2, 1 + 32 * 8192]
        );
        volume.layout.raw.s_first_meta_bg = 2.into();
        assert_eq!(
            [0, 1, 2].map(|index| volume.desc_block(index)),
            [2, 3, 1 + 64 * 8192]
        );
    }
}
