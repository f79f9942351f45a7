//! The superblock: numbers that fit together, its checksum, its copies.

use crate::fs::ext4::format::{
    MAGIC, SUPERBLOCK_OFFSET, Superblock, compat, crc32c, incompat, ro_compat,
};
use crate::stream::ReadAt;
use crate::verify::finding::{Location, Log, Severity};
use zerocopy::{FromBytes, IntoBytes};

/// `s_state`: cleanly unmounted; errors were found.
const CLEAN: u16 = 1;
const ERRORS: u16 = 2;
/// Where `s_checksum` stands, behind all that it covers.
const CHECKSUM_AT: usize = 1020;
/// What this check can follow of `s_feature_incompat`. `inline_data`, `ea_inode`, `casefold`,
/// `encrypt` keep names or data elsewhere.
const KNOWN_INCOMPAT: u32 = incompat::FILETYPE
    | incompat::RECOVER
    | incompat::META_BG
    | incompat::EXTENTS
    | incompat::BIT64
    | incompat::MMP
    | incompat::FLEX_BG
    | incompat::CSUM_SEED
    | incompat::LARGEDIR;
/// What makes blocks mean something else in `s_feature_ro_compat`: clusters, snapshots (0x80),
/// shared blocks (0x4000).
const FOREIGN_RO_COMPAT: u32 = ro_compat::BIGALLOC | 0x80 | 0x4000;
/// Feature bits that the kernel sets in the first superblock only.
const LAZY_COMPAT: u32 = compat::EXT_ATTR;
const LAZY_INCOMPAT: u32 = incompat::EXTENTS | incompat::RECOVER;
const LAZY_RO_COMPAT: u32 =
    ro_compat::LARGE_FILE | ro_compat::DIR_NLINK | ro_compat::ORPHAN_PRESENT;

/// The filesystem by its superblock, whose numbers fit together.
pub(super) struct Fs<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) partition: Option<u32>,
    pub(super) sb: Superblock,
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    /// The block that group 0 begins with.
    pub(super) first: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: usize,
    pub(super) desc_size: usize,
    pub(super) groups: u32,
    pub(super) seed: u32,
}

impl<'a> Fs<'a> {
    /// Reads and checks the superblock.
    pub(super) fn open(
        source: &'a dyn ReadAt,
        partition: Option<u32>,
        log: &mut Log,
    ) -> Option<Self> {
        let place = || Location::of(partition).offset(SUPERBLOCK_OFFSET);
        let mut bytes = [0; 1024];
        if let Err(e) = source.read_exact_at(SUPERBLOCK_OFFSET, &mut bytes) {
            log.error(
                "ext4-unreadable",
                place(),
                format!("reading the superblock: {e}"),
            );
            return None;
        }
        let sb = Superblock::read_from_bytes(&bytes).ok()?;
        let fs = match Self::numbers(source, partition, sb) {
            Ok(fs) => fs,
            Err(text) => {
                log.error("ext4-superblock", place(), text);
                return None;
            }
        };
        log.passed(16);
        let foreign = (
            fs.sb.s_feature_incompat.get() & !KNOWN_INCOMPAT,
            fs.sb.s_feature_ro_compat.get() & FOREIGN_RO_COMPAT,
        );
        if foreign != (0, 0) {
            let text = format!(
                "features {:#x} and {:#x} cannot be followed, so the filesystem was not checked",
                foreign.0, foreign.1
            );
            log.add(Severity::Warning, "ext4-unchecked", place(), text);
            return None;
        }
        fs.check_checksum(&bytes, "superblock", SUPERBLOCK_OFFSET, log);
        fs.check_state(log);
        Some(fs)
    }

    /// The numbers, or the first that is out of range.
    fn numbers(
        source: &'a dyn ReadAt,
        partition: Option<u32>,
        sb: Superblock,
    ) -> Result<Self, String> {
        within(
            "magic number",
            sb.s_magic.get().into(),
            MAGIC.into(),
            MAGIC.into(),
        )?;
        within("revision", sb.s_rev_level.get().into(), 0, 1)?;
        let log = sb.s_log_block_size.get();
        within("block size (log2 - 10)", log.into(), 0, 6)?;
        let block_size = 1024_u64 << log;
        let wide = sb.s_feature_incompat.get() & incompat::BIT64 != 0;
        let join =
            |low: u32, high: u32| u64::from(low) | if wide { u64::from(high) << 32 } else { 0 };
        let blocks = join(sb.s_blocks_count_lo.get(), sb.s_blocks_count_hi.get());
        let first = u64::from(log == 0);
        within(
            "first data block",
            sb.s_first_data_block.get().into(),
            first,
            first,
        )?;
        within(
            "number of blocks",
            blocks,
            first + 8,
            source.len() / block_size,
        )?;
        let bits = block_size * 8;
        let blocks_per_group = u64::from(sb.s_blocks_per_group.get());
        within("blocks per group", blocks_per_group, 256, bits)?;
        let inodes_per_group = sb.s_inodes_per_group.get();
        within("inodes per group", inodes_per_group.into(), 1, bits)?;
        let groups = (blocks - first).div_ceil(blocks_per_group);
        let inodes = groups * u64::from(inodes_per_group);
        within(
            "number of inodes",
            sb.s_inodes_count.get().into(),
            inodes,
            inodes,
        )?;
        let old = sb.s_rev_level.get() == 0;
        let inode_size = if old {
            128
        } else {
            u64::from(sb.s_inode_size.get())
        };
        within("inode size", inode_size, 128, block_size)?;
        within(
            "bits in the inode size",
            inode_size.count_ones().into(),
            1,
            1,
        )?;
        within(
            "first inode",
            sb.s_first_ino.get().into(),
            if old { 0 } else { 11 },
            inodes,
        )?;
        let desc_size = if wide {
            u64::from(sb.s_desc_size.get())
        } else {
            32
        };
        within(
            "group descriptor size",
            desc_size,
            if wide { 64 } else { 32 },
            1024,
        )?;
        within(
            "bits in the group descriptor size",
            desc_size.count_ones().into(),
            1,
            1,
        )?;
        within(
            "reserved blocks",
            join(sb.s_r_blocks_count_lo.get(), sb.s_r_blocks_count_hi.get()),
            0,
            blocks,
        )?;
        let seed = if sb.s_feature_incompat.get() & incompat::CSUM_SEED == 0 {
            crc32c(!0, &sb.s_uuid)
        } else {
            sb.s_checksum_seed.get()
        };
        Ok(Self {
            source,
            partition,
            block_size,
            blocks,
            first,
            blocks_per_group,
            inodes_per_group,
            inode_size: usize::try_from(inode_size).unwrap_or(128),
            desc_size: usize::try_from(desc_size).unwrap_or(32),
            groups: u32::try_from(groups)
                .map_err(|_| format!("{groups} groups exceed {}", u32::MAX))?,
            seed,
            sb,
        })
    }

    pub(super) fn compat(&self, bit: u32) -> bool {
        self.sb.s_feature_compat.get() & bit != 0
    }

    pub(super) fn incompat(&self, bit: u32) -> bool {
        self.sb.s_feature_incompat.get() & bit != 0
    }

    pub(super) fn ro_compat(&self, bit: u32) -> bool {
        self.sb.s_feature_ro_compat.get() & bit != 0
    }

    /// Whether metadata carries CRC-32C.
    pub(super) fn has_checksums(&self) -> bool {
        self.ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Whether groups may be marked as not initialised.
    pub(super) fn lazy(&self) -> bool {
        self.has_checksums() || self.ro_compat(ro_compat::GDT_CSUM)
    }

    pub(super) fn first_ino(&self) -> u32 {
        if self.sb.s_rev_level.get() == 0 {
            11
        } else {
            self.sb.s_first_ino.get()
        }
    }

    pub(super) fn block_len(&self) -> usize {
        usize::try_from(self.block_size).unwrap_or(usize::MAX)
    }

    /// What the checksums of an inode and of its blocks begin with.
    pub(super) fn inode_seed(&self, ino: u32, generation: u32) -> u32 {
        crc32c(
            crc32c(self.seed, &ino.to_le_bytes()),
            &generation.to_le_bytes(),
        )
    }

    /// Whether `count` blocks from `block` lie in the part that groups cover.
    pub(super) fn inside(&self, block: u64, count: u64) -> bool {
        block >= self.first
            && block
                .checked_add(count)
                .is_some_and(|end| end <= self.blocks)
    }

    /// The bytes of `count` blocks from `block`.
    pub(super) fn read(&self, block: u64, count: u64, log: &mut Log) -> Option<Vec<u8>> {
        let offset = block.checked_mul(self.block_size)?;
        let mut bytes = vec![0; usize::try_from(count.checked_mul(self.block_size)?).ok()?];
        match self.source.read_exact_at(offset, &mut bytes) {
            Ok(()) => Some(bytes),
            Err(e) => {
                let place = Location::of(self.partition).offset(offset);
                log.error(
                    "ext4-unreadable",
                    place,
                    format!("reading {count} blocks: {e}"),
                );
                None
            }
        }
    }

    fn check_checksum(&self, bytes: &[u8], what: &str, offset: u64, log: &mut Log) {
        if !self.has_checksums() {
            return;
        }
        let stored = bytes
            .get(CHECKSUM_AT..CHECKSUM_AT + 4)
            .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let computed = crc32c(!0, bytes.get(..CHECKSUM_AT).unwrap_or_default());
        log.check(stored == computed, "ext4-superblock-checksum", || {
            let text = format!(
                "the {what} has the checksum {stored:#010x} where its bytes give {computed:#010x}"
            );
            (Location::of(self.partition).offset(offset), text)
        });
    }

    /// Cleanly unmounted, without errors, nothing to recover, no half-deleted files.
    fn check_state(&self, log: &mut Log) {
        let place = || Location::of(self.partition).offset(SUPERBLOCK_OFFSET);
        let state = self.sb.s_state.get();
        log.check(state & CLEAN != 0 && state & ERRORS == 0, "ext4-state", || {
            (place(), format!("the state is {state:#x} where {CLEAN:#x} says that it was cleanly unmounted without errors"))
        });
        let errors = self.sb.s_error_count.get();
        log.check(errors == 0, "ext4-state", || {
            (
                place(),
                format!("the kernel recorded {errors} errors where 0 are expected"),
            )
        });
        log.check(!self.incompat(incompat::RECOVER), "ext4-journal", || {
            (place(), "the feature needs_recovery is set: the journal holds changes that were not written back".into())
        });
        let orphan = self.sb.s_last_orphan.get();
        log.check(orphan == 0 && !self.ro_compat(ro_compat::ORPHAN_PRESENT), "ext4-orphans", || {
            (place(), format!("the list of half-deleted files begins with inode {orphan} where it should be empty"))
        });
    }

    /// A copy of the superblock in `group`, whose first block is `bytes`.
    pub(super) fn check_copy(&self, group: u32, bytes: &[u8], offset: u64, log: &mut Log) {
        let Some(bytes) = bytes.get(..1024) else {
            return;
        };
        let Ok(copy) = Superblock::read_from_bytes(bytes) else {
            return;
        };
        let place = || Location::of(self.partition).offset(offset);
        let same = [
            (
                "magic number",
                self.sb.s_magic.get().into(),
                copy.s_magic.get().into(),
            ),
            (
                "inodes",
                self.sb.s_inodes_count.get(),
                copy.s_inodes_count.get(),
            ),
            (
                "blocks",
                self.sb.s_blocks_count_lo.get(),
                copy.s_blocks_count_lo.get(),
            ),
            (
                "blocks (high)",
                self.sb.s_blocks_count_hi.get(),
                copy.s_blocks_count_hi.get(),
            ),
            (
                "block size",
                self.sb.s_log_block_size.get(),
                copy.s_log_block_size.get(),
            ),
            (
                "blocks per group",
                self.sb.s_blocks_per_group.get(),
                copy.s_blocks_per_group.get(),
            ),
            (
                "inodes per group",
                self.sb.s_inodes_per_group.get(),
                copy.s_inodes_per_group.get(),
            ),
            (
                "inode size",
                self.sb.s_inode_size.get().into(),
                copy.s_inode_size.get().into(),
            ),
            (
                "group number",
                group.min(u16::MAX.into()),
                copy.s_block_group_nr.get().into(),
            ),
            (
                "compat features",
                self.sb.s_feature_compat.get() | LAZY_COMPAT,
                copy.s_feature_compat.get() | LAZY_COMPAT,
            ),
            (
                "incompat features",
                self.sb.s_feature_incompat.get() | LAZY_INCOMPAT,
                copy.s_feature_incompat.get() | LAZY_INCOMPAT,
            ),
            (
                "ro_compat features",
                self.sb.s_feature_ro_compat.get() | LAZY_RO_COMPAT,
                copy.s_feature_ro_compat.get() | LAZY_RO_COMPAT,
            ),
        ];
        let differs = same.iter().find(|(_, own, other)| own != other);
        log.check(differs.is_none() && self.sb.s_uuid == copy.s_uuid, "ext4-backup", || {
            let text = differs.map_or_else(
                || format!("the copy of the superblock in group {group} has another UUID"),
                |(what, own, other)| format!("the copy of the superblock in group {group} has the {what} {other}, the first {own}"),
            );
            (place(), text)
        });
        if differs.is_none() {
            self.check_checksum(
                copy.as_bytes(),
                &format!("copy of the superblock in group {group}"),
                offset,
                log,
            );
        }
    }
}

/// Fails unless `low <= value <= high`.
fn within(what: &str, value: u64, low: u64, high: u64) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(if low == high {
        format!("the {what} is {value}, not {low}")
    } else {
        format!("the {what} is {value}, not among {low} to {high}")
    })
}
