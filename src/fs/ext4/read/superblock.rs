//! The superblock, checked and turned into numbers that the rest of the reader can trust.

use super::error::{Error, Fault, Place};
use crate::fs::ext4::format::{MAGIC, Superblock, compat, crc32c, incompat, ro_compat};
use crate::units::len_u64;
use zerocopy::FromBytes;

/// Smallest inode, all that ext2 knew.
pub(super) const OLD_INODE_SIZE: usize = 128;
/// `s_log_block_size` of 64 KiB blocks, the largest there are.
const MAX_LOG_BLOCK_SIZE: u32 = 6;
/// `s_checksum_type` of CRC-32C, the only one defined.
const CHECKSUM_CRC32C: u8 = 1;
/// Where `s_checksum` is, which covers all in front of it.
const CHECKSUM_OFFSET: usize = 1020;
/// Blocks one file can have: logical block numbers have 32 bits.
pub(super) const MAX_FILE_BLOCKS: u64 = 1 << 32;

const fn name(bit: u32, name: &'static str) -> (u32, &'static str) {
    (bit, name)
}

/// Bits of `s_feature_compat` and their names in e2fsprogs.
pub(super) const COMPAT_NAMES: [(u32, &str); 13] = [
    name(compat::DIR_PREALLOC, "dir_prealloc"),
    name(0x2, "imagic_inodes"),
    name(compat::HAS_JOURNAL, "has_journal"),
    name(compat::EXT_ATTR, "ext_attr"),
    name(compat::RESIZE_INODE, "resize_inode"),
    name(compat::DIR_INDEX, "dir_index"),
    name(0x40, "lazy_bg"),
    name(0x80, "exclude_inode"),
    name(0x100, "snapshot_bitmap"),
    name(compat::SPARSE_SUPER2, "sparse_super2"),
    name(compat::FAST_COMMIT, "fast_commit"),
    name(compat::STABLE_INODES, "stable_inodes"),
    name(compat::ORPHAN_FILE, "orphan_file"),
];

/// Bits of `s_feature_incompat` and their names in e2fsprogs.
pub(super) const INCOMPAT_NAMES: [(u32, &str); 16] = [
    name(incompat::COMPRESSION, "compression"),
    name(incompat::FILETYPE, "filetype"),
    name(incompat::RECOVER, "needs_recovery"),
    name(incompat::JOURNAL_DEV, "journal_dev"),
    name(incompat::META_BG, "meta_bg"),
    name(incompat::EXTENTS, "extent"),
    name(incompat::BIT64, "64bit"),
    name(incompat::MMP, "mmp"),
    name(incompat::FLEX_BG, "flex_bg"),
    name(incompat::EA_INODE, "ea_inode"),
    name(incompat::DIRDATA, "dirdata"),
    name(incompat::CSUM_SEED, "metadata_csum_seed"),
    name(incompat::LARGEDIR, "large_dir"),
    name(incompat::INLINE_DATA, "inline_data"),
    name(incompat::ENCRYPT, "encrypt"),
    name(incompat::CASEFOLD, "casefold"),
];

/// Files may share data blocks (`shared_blocks`; read-only filesystems of Android).
pub(super) const SHARED_BLOCKS: u32 = 0x4000;

/// Bits of `s_feature_ro_compat` and their names in e2fsprogs.
pub(super) const RO_COMPAT_NAMES: [(u32, &str); 16] = [
    name(ro_compat::SPARSE_SUPER, "sparse_super"),
    name(ro_compat::LARGE_FILE, "large_file"),
    name(ro_compat::HUGE_FILE, "huge_file"),
    name(ro_compat::GDT_CSUM, "uninit_bg"),
    name(ro_compat::DIR_NLINK, "dir_nlink"),
    name(ro_compat::EXTRA_ISIZE, "extra_isize"),
    name(0x80, "snapshot"),
    name(ro_compat::QUOTA, "quota"),
    name(ro_compat::BIGALLOC, "bigalloc"),
    name(ro_compat::METADATA_CSUM, "metadata_csum"),
    name(0x800, "replica"),
    name(ro_compat::READONLY, "read-only"),
    name(ro_compat::PROJECT, "project"),
    name(SHARED_BLOCKS, "shared_blocks"),
    name(ro_compat::VERITY, "verity"),
    name(ro_compat::ORPHAN_PRESENT, "orphan_present"),
];

/// What this reader understands of `s_feature_incompat`. `encrypt` and `casefold` are refused where
/// an inode uses them.
const SUPPORTED_INCOMPAT: u32 = incompat::FILETYPE
    | incompat::RECOVER
    | incompat::META_BG
    | incompat::EXTENTS
    | incompat::BIT64
    | incompat::MMP
    | incompat::FLEX_BG
    | incompat::EA_INODE
    | incompat::CSUM_SEED
    | incompat::LARGEDIR
    | incompat::INLINE_DATA
    | incompat::ENCRYPT
    | incompat::CASEFOLD;

/// The names of the bits set in `word`; a bit without a name is shown as a number.
pub(super) fn names(word: u32, table: &[(u32, &str)]) -> Vec<String> {
    let bits = (0..32).map(|at| 1 << at).filter(|bit| word & bit != 0);
    bits.map(|bit| {
        table
            .iter()
            .find(|(b, _)| *b == bit)
            .map_or_else(|| format!("{bit:#x}"), |(_, n)| (*n).to_owned())
    })
    .collect()
}

/// The superblock and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// As it is on disk.
    pub(super) raw: Superblock,
    /// Bytes in a block.
    pub(super) block_size: usize,
    /// Blocks of the filesystem.
    pub(super) blocks: u64,
    /// Blocks in a group.
    pub(super) blocks_per_group: u64,
    /// Inodes in a group.
    pub(super) inodes_per_group: u32,
    /// Bytes of an inode.
    pub(super) inode_size: usize,
    /// Bytes of a group descriptor.
    pub(super) desc_size: usize,
    /// Number of block groups.
    pub(super) groups: u32,
    /// What checksums begin with.
    pub(super) seed: u32,
}

impl Layout {
    /// Reads the 1024 bytes of a superblock of a filesystem that lies in `available` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] and [`Error::Unsupported`] at [`Place::Superblock`].
    pub(super) fn parse(bytes: &[u8], available: u64) -> Result<Self, Error> {
        let place = Place::Superblock;
        let raw = Superblock::read_from_bytes(bytes)
            .map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?;
        place.equal("magic number", raw.s_magic.get().into(), MAGIC.into())?;
        check_features(&raw)?;
        if raw.s_feature_ro_compat.get() & ro_compat::METADATA_CSUM != 0 {
            place.equal(
                "checksum type",
                raw.s_checksum_type.into(),
                CHECKSUM_CRC32C.into(),
            )?;
            place.checksum(
                raw.s_checksum.get(),
                crc32c(!0, bytes.get(..CHECKSUM_OFFSET).unwrap_or_default()),
            )?;
        }
        let layout = Self::numbers(raw, available)?;
        layout.check_groups()?;
        Ok(layout)
    }

    /// The numbers, each checked by itself.
    fn numbers(raw: Superblock, available: u64) -> Result<Self, Error> {
        let place = Place::Superblock;
        let log = raw.s_log_block_size.get();
        place.within(
            "block size (log2 - 10)",
            log.into(),
            0,
            MAX_LOG_BLOCK_SIZE.into(),
        )?;
        let block_size = 1024_usize.checked_shl(log).unwrap_or(usize::MAX);
        let wide = raw.s_feature_incompat.get() & incompat::BIT64 != 0;
        let high = if wide {
            u64::from(raw.s_blocks_count_hi.get()) << 32
        } else {
            0
        };
        let blocks = high | u64::from(raw.s_blocks_count_lo.get());
        let first = u64::from(raw.s_first_data_block.get());
        place.within("first data block", first, 0, 1)?;
        let len = blocks.saturating_mul(len_u64(block_size));
        if len > available {
            return Err(place.corrupt(Fault::Cut { len, available }));
        }
        place.within(
            "number of blocks",
            blocks,
            first.saturating_add(2),
            u64::MAX,
        )?;
        let blocks_per_group = u64::from(raw.s_blocks_per_group.get());
        place.within("blocks per group", blocks_per_group, 8, u64::from(u32::MAX))?;
        let groups = blocks.saturating_sub(first).div_ceil(blocks_per_group);
        place.within("number of groups", groups, 1, u64::from(u32::MAX))?;
        let seed = match raw.s_feature_incompat.get() & incompat::CSUM_SEED {
            0 => crc32c(!0, &raw.s_uuid),
            _ => raw.s_checksum_seed.get(),
        };
        Ok(Self {
            block_size,
            blocks,
            blocks_per_group,
            inodes_per_group: raw.s_inodes_per_group.get(),
            inode_size: inode_size(&raw, block_size)?,
            desc_size: desc_size(&raw)?,
            groups: u32::try_from(groups).unwrap_or(u32::MAX),
            seed,
            raw,
        })
    }

    /// How the numbers of a group fit together: each bitmap is one block.
    fn check_groups(&self) -> Result<(), Error> {
        let place = Place::Superblock;
        let bits = self.block_size().saturating_mul(8);
        place.within("inodes per group", self.inodes_per_group.into(), 1, bits)?;
        let inodes = u64::from(self.inodes_per_group).saturating_mul(self.groups.into());
        place.equal(
            "number of inodes",
            self.raw.s_inodes_count.get().into(),
            inodes,
        )?;
        if self.ro_compat(ro_compat::BIGALLOC) {
            let (log, block) = (
                self.raw.s_log_cluster_size.get(),
                self.raw.s_log_block_size.get(),
            );
            place.within("cluster size (log2 - 10)", log.into(), block.into(), 20)?;
            let clusters = u64::from(self.raw.s_clusters_per_group.get());
            place.within("clusters per group", clusters, 1, bits)?;
            return place.equal(
                "blocks per group",
                self.blocks_per_group,
                clusters
                    .checked_shl(log.saturating_sub(block))
                    .unwrap_or(u64::MAX),
            );
        }
        place.within("blocks per group", self.blocks_per_group, 8, bits)
    }

    /// Bytes in a block.
    pub(super) fn block_size(&self) -> u64 {
        len_u64(self.block_size)
    }

    /// Bytes of the whole filesystem.
    pub(super) fn len(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size())
    }

    /// Whether a bit of `s_feature_compat` is set.
    pub(super) fn compat(&self, bit: u32) -> bool {
        self.raw.s_feature_compat.get() & bit != 0
    }

    /// Whether a bit of `s_feature_incompat` is set.
    pub(super) fn incompat(&self, bit: u32) -> bool {
        self.raw.s_feature_incompat.get() & bit != 0
    }

    /// Whether a bit of `s_feature_ro_compat` is set.
    pub(super) fn ro_compat(&self, bit: u32) -> bool {
        self.raw.s_feature_ro_compat.get() & bit != 0
    }

    /// Whether metadata carries CRC-32C checksums.
    pub(super) fn has_checksums(&self) -> bool {
        self.ro_compat(ro_compat::METADATA_CSUM)
    }

    /// First inode that is not reserved.
    pub(super) fn first_ino(&self) -> u32 {
        if self.raw.s_rev_level.get() == 0 {
            11
        } else {
            self.raw.s_first_ino.get()
        }
    }

    /// Sectors of 512 bytes in a cluster (a block, without `bigalloc`).
    pub(super) fn cluster_sectors(&self) -> u64 {
        let log = if self.ro_compat(ro_compat::BIGALLOC) {
            &self.raw.s_log_cluster_size
        } else {
            &self.raw.s_log_block_size
        };
        2_u64 << log.get().min(20)
    }
}

/// Refuses what would be misread.
fn check_features(raw: &Superblock) -> Result<(), Error> {
    let place = Place::Superblock;
    place.within("revision", raw.s_rev_level.get().into(), 0, 1)?;
    let unknown = raw.s_feature_incompat.get() & !SUPPORTED_INCOMPAT;
    if unknown != 0 {
        let list = names(unknown, &INCOMPAT_NAMES).join(", ");
        return Err(place.unsupported(format!("feature {list} (incompat bits {unknown:#x})")));
    }
    Ok(())
}

/// Bytes of an inode: a power of two.
fn inode_size(raw: &Superblock, block_size: usize) -> Result<usize, Error> {
    if raw.s_rev_level.get() == 0 {
        return Ok(OLD_INODE_SIZE);
    }
    let size = usize::from(raw.s_inode_size.get());
    Place::Superblock.within(
        "inode size",
        len_u64(size),
        len_u64(OLD_INODE_SIZE),
        len_u64(block_size),
    )?;
    if size.is_power_of_two() {
        Ok(size)
    } else {
        Err(Place::Superblock.corrupt(Fault::Fact("inode size is not a power of two")))
    }
}

/// Bytes of a group descriptor: a power of two.
fn desc_size(raw: &Superblock) -> Result<usize, Error> {
    if raw.s_feature_incompat.get() & incompat::BIT64 == 0 {
        return Ok(32);
    }
    let size = usize::from(raw.s_desc_size.get());
    Place::Superblock.within("descriptor size", len_u64(size), 64, 1024)?;
    if size.is_power_of_two() {
        Ok(size)
    } else {
        Err(Place::Superblock.corrupt(Fault::Fact("descriptor size is not a power of two")))
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
    use zerocopy::IntoBytes;

    /// A superblock of 64 blocks of 1 KiB.
    fn small() -> Superblock {
        let mut raw = Superblock::read_from_bytes(&[0; 1024]).unwrap();
        raw.s_magic = MAGIC.into();
        raw.s_blocks_count_lo = 64.into();
        raw.s_first_data_block = 1.into();
        raw.s_blocks_per_group = 8192.into();
        raw.s_inodes_per_group = 16.into();
        raw.s_inodes_count = 16.into();
        raw
    }

    #[test]
    fn numbers_are_checked() {
        let layout = Layout::parse(small().as_bytes(), 64 << 10).unwrap();
        assert_eq!(
            (
                layout.block_size,
                layout.blocks,
                layout.groups,
                layout.inode_size
            ),
            (1024, 64, 1, 128)
        );
        let text = |raw: Superblock, available| {
            Layout::parse(raw.as_bytes(), available)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            text(small(), 63 << 10),
            "superblock: the filesystem has 65536 bytes, of which the last 1024 are missing"
        );
        let mut raw = small();
        raw.s_feature_incompat = 0x8000_1000.into();
        assert_eq!(
            text(raw, 64 << 10),
            "superblock: feature dirdata, 0x80000000 (incompat bits 0x80001000) is not supported"
        );
        let mut raw = small();
        raw.s_feature_ro_compat = ro_compat::METADATA_CSUM.into();
        raw.s_checksum_type = 1;
        assert!(
            text(raw, 64 << 10)
                .starts_with("superblock: checksum 0x0 is stored where the bytes give 0x")
        );
        for field in 0..6 {
            let mut raw = small();
            match field {
                0 => raw.s_log_block_size = 7.into(),
                1 => raw.s_blocks_per_group = 0.into(),
                2 => raw.s_inodes_per_group = 0.into(),
                3 => raw.s_inodes_count = 17.into(),
                4 => raw.s_magic = 0.into(),
                _ => raw.s_rev_level = 2.into(),
            }
            assert!(
                matches!(
                    Layout::parse(raw.as_bytes(), 64 << 10),
                    Err(Error::Corrupt { .. })
                ),
                "{field}"
            );
        }
    }
}
