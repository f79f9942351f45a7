//! The superblock: its numbers, its checksum, its copies.

use super::mountable::{self, within};
use crate::bytes::le32;
use crate::fs::ext4::format::{
    MAGIC, SUPERBLOCK_OFFSET, Superblock, compat, crc32c, incompat, ro_compat,
};
use crate::stream::ReadAt;
use crate::units::counted;
use crate::verify::finding::{Location, Log, Severity};
use zerocopy::{FromBytes, IntoBytes};

/// `s_state`: cleanly unmounted; errors were found.
const CLEAN: u16 = 1;
const ERRORS: u16 = 2;
/// The offset of `s_checksum`, after all that it covers.
const CHECKSUM_AT: usize = 1020;
/// The bits of `s_feature_incompat` that are supported here. `inline_data`, `ea_inode`, `casefold`,
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
/// The bits of `s_feature_ro_compat` that change the meaning of blocks: clusters, snapshots (0x80),
/// shared blocks (0x4000).
const FOREIGN_RO_COMPAT: u32 = ro_compat::BIGALLOC | 0x80 | 0x4000;
/// The fields of a superblock without which a filesystem cannot be read from its copy.
const PLACES: [&str; 9] = [
    "magic number",
    "inodes",
    "blocks",
    "blocks (high)",
    "block size",
    "blocks per group",
    "inodes per group",
    "inode size",
    "group number",
];
/// Feature bits that the kernel sets in the first superblock only.
const LAZY_COMPAT: u32 = compat::EXT_ATTR;
const LAZY_INCOMPAT: u32 = incompat::EXTENTS | incompat::RECOVER;
const LAZY_RO_COMPAT: u32 =
    ro_compat::LARGE_FILE | ro_compat::DIR_NLINK | ro_compat::ORPHAN_PRESENT;

/// The filesystem according to its superblock, whose numbers are consistent.
pub(super) struct Fs<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) partition: Option<u32>,
    pub(super) sb: Superblock,
    /// A power of two from 1 KiB to 64 KiB; `blocks * block_size` is at most the source's length.
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    /// The first block of group 0: 1 with blocks of 1 KiB, else 0.
    pub(super) first: u64,
    /// Blocks of a group but the last; at least 256.
    pub(super) blocks_per_group: u64,
    pub(super) inodes_per_group: u32,
    /// Bytes, a power of two from 128 to the block size.
    pub(super) inode_size: usize,
    /// Bytes, a power of two from 32 to 1024.
    pub(super) desc_size: usize,
    pub(super) descs_per_block: u64,
    pub(super) groups: u32,
    /// The seed of all checksums.
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
        if let Some((severity, code, text)) = unreadable(&sb) {
            log.add(severity, code, place(), text);
            return None;
        }
        let fs = match Self::numbers(source, partition, sb) {
            Ok(fs) => fs,
            Err(text) => {
                log.error("ext4-superblock", place(), text);
                return None;
            }
        };
        log.passed(16);
        let numbers = mountable::numbers(&fs.sb);
        log.check(numbers.is_ok(), "ext4-superblock", || {
            (place(), numbers.err().unwrap_or_default())
        });
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
        let (len, there) = (blocks.saturating_mul(block_size), source.len());
        if len > there {
            return Err(format!(
                "the filesystem has {len} bytes, of which the last {} are missing",
                len.saturating_sub(there)
            ));
        }
        within(
            "number of blocks",
            blocks,
            first.saturating_add(8),
            u64::MAX,
        )?;
        let bits = block_size.saturating_mul(8);
        let blocks_per_group = u64::from(sb.s_blocks_per_group.get());
        within("blocks per group", blocks_per_group, 256, bits)?;
        let inodes_per_group = sb.s_inodes_per_group.get();
        within("inodes per group", inodes_per_group.into(), 1, bits)?;
        let groups = blocks.saturating_sub(first).div_ceil(blocks_per_group);
        let inodes = groups.saturating_mul(inodes_per_group.into());
        within(
            "number of inodes",
            sb.s_inodes_count.get().into(),
            inodes,
            inodes,
        )?;
        let inode_size = inode_size(&sb, inodes, block_size)?;
        let desc_size = desc_size(&sb, wide)?;
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
            descs_per_block: block_size.checked_div(desc_size).unwrap_or(0),
            groups: u32::try_from(groups)
                .map_err(|_| format!("{groups} groups exceed {}", u32::MAX))?,
            seed,
            sb,
        })
    }

    /// Whether a bit of `s_feature_compat` is set.
    pub(super) fn compat(&self, bit: u32) -> bool {
        self.sb.s_feature_compat.get() & bit != 0
    }

    /// Whether a bit of `s_feature_incompat` is set.
    pub(super) fn incompat(&self, bit: u32) -> bool {
        self.sb.s_feature_incompat.get() & bit != 0
    }

    /// Whether a bit of `s_feature_ro_compat` is set.
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

    /// The byte offset of a block; saturates outside of the filesystem.
    pub(super) fn offset(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_size)
    }

    /// The number of whole blocks in `size` bytes.
    pub(super) fn whole_blocks(&self, size: u64) -> u64 {
        size.checked_div(self.block_size).unwrap_or(0)
    }

    /// The block size as the length of a buffer.
    pub(super) fn block_len(&self) -> usize {
        usize::try_from(self.block_size).unwrap_or(usize::MAX)
    }

    /// The seed of the checksums of an inode and of its blocks.
    pub(super) fn inode_seed(&self, ino: u32, generation: u32) -> u32 {
        crc32c(
            crc32c(self.seed, &ino.to_le_bytes()),
            &generation.to_le_bytes(),
        )
    }

    /// Whether `count` blocks from `block` are inside the block groups.
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
        let stored = le32(bytes, CHECKSUM_AT).unwrap_or(0);
        let computed = crc32c(!0, bytes.get(..CHECKSUM_AT).unwrap_or_default());
        log.check(stored == computed, "ext4-superblock-checksum", || {
            let text =
                format!("the {what} has the checksum {stored:#010x}, computed {computed:#010x}");
            (Location::of(self.partition).offset(offset), text)
        });
    }

    /// Cleanly unmounted, without errors, nothing to recover, no pending deletions.
    fn check_state(&self, log: &mut Log) {
        let place = || Location::of(self.partition).offset(SUPERBLOCK_OFFSET);
        let state = self.sb.s_state.get();
        log.check(
            state & CLEAN != 0 && state & ERRORS == 0,
            "ext4-state",
            || {
                (
                    place(),
                    format!(
                        "the state is {state:#x}, not {CLEAN:#x} (cleanly unmounted without errors)"
                    ),
                )
            },
        );
        let errors = self.sb.s_error_count.get();
        log.check(errors == 0, "ext4-state", || {
            let errors = counted(errors, "error", "errors");
            (place(), format!("the kernel recorded {errors}"))
        });
        log.check(!self.incompat(incompat::RECOVER), "ext4-journal", || {
            (place(), "the feature needs_recovery is set: the journal contains changes that were not written back".into())
        });
        let orphan = self.sb.s_last_orphan.get();
        log.check(
            orphan == 0 && !self.ro_compat(ro_compat::ORPHAN_PRESENT),
            "ext4-orphans",
            || {
                (
                    place(),
                    format!(
                        "the list of orphan inodes begins with inode {orphan}, it should be empty"
                    ),
                )
            },
        );
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
        let own = shared_fields(&self.sb, group.min(u16::MAX.into()));
        let other = shared_fields(&copy, copy.s_block_group_nr.get().into());
        let mut same = own.into_iter().zip(other);
        let differs = same.find(|(own, other)| own != other);
        let name = format!("the copy of the superblock in group {group}");
        let wrong = differs.map(|((what, own), (_, other))| {
            format!("{name} has the {what} {other}, the first {own}")
        });
        let another = || format!("{name} has another UUID");
        let wrong = wrong.or_else(|| (self.sb.s_uuid != copy.s_uuid).then(another));
        // Without these numbers nothing is found; features and the UUID only differ.
        let places = differs.is_some_and(|((what, _), _)| PLACES.contains(&what));
        let severity = if places {
            Severity::Error
        } else {
            Severity::Warning
        };
        match wrong {
            Some(text) => log.add(severity, "ext4-backup", place(), text),
            None => log.passed(1),
        }
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

/// Why a filesystem cannot be checked, from what all of them have: the magic number and features.
fn unreadable(sb: &Superblock) -> Option<(Severity, &'static str, String)> {
    let magic = (sb.s_magic.get().into(), MAGIC.into());
    let marked = within("magic number", magic.0, magic.1, magic.1)
        .and_then(|()| within("revision", sb.s_rev_level.get().into(), 0, 1));
    if let Err(text) = marked {
        return Some((Severity::Error, "ext4-superblock", text));
    }
    let (incompat, ro) = (sb.s_feature_incompat.get(), sb.s_feature_ro_compat.get());
    if incompat & incompat::JOURNAL_DEV != 0 {
        let text = "it is the journal of a filesystem elsewhere, which was not checked";
        return Some((Severity::Warning, "ext4-unchecked", text.to_owned()));
    }
    if let Err(text) = mountable::features(sb) {
        return Some((Severity::Error, "ext4-features", text));
    }
    let foreign = (incompat & !KNOWN_INCOMPAT, ro & FOREIGN_RO_COMPAT);
    (foreign != (0, 0)).then(|| {
        let text = format!(
            "features {:#x} and {:#x} are not supported, so the filesystem was not checked",
            foreign.0, foreign.1
        );
        (Severity::Warning, "ext4-unchecked", text)
    })
}

/// The size of an inode (bytes), checked together with the first inode that is not reserved.
fn inode_size(sb: &Superblock, inodes: u64, block_size: u64) -> Result<u64, String> {
    let old = sb.s_rev_level.get() == 0;
    let size = if old {
        128
    } else {
        u64::from(sb.s_inode_size.get())
    };
    within("inode size", size, 128, block_size)?;
    within("bits in the inode size", size.count_ones().into(), 1, 1)?;
    if !old {
        within("first inode", sb.s_first_ino.get().into(), 11, inodes)?;
    }
    Ok(size)
}

/// The size of a group descriptor (bytes); `wide` ones have block numbers of 64 bits.
fn desc_size(sb: &Superblock, wide: bool) -> Result<u64, String> {
    let (size, least) = if wide {
        (u64::from(sb.s_desc_size.get()), 64)
    } else {
        (32, 32)
    };
    within("group descriptor size", size, least, 1024)?;
    let bits = size.count_ones().into();
    within("bits in the group descriptor size", bits, 1, 1)?;
    Ok(size)
}

/// The fields that a copy of the superblock shares with the first one, besides the UUID; `group` is
/// the number of its group.
fn shared_fields(sb: &Superblock, group: u32) -> [(&'static str, u32); 12] {
    let wide = sb.s_feature_incompat.get() & incompat::BIT64 != 0;
    let high = if wide { sb.s_blocks_count_hi.get() } else { 0 };
    [
        ("magic number", sb.s_magic.get().into()),
        ("inodes", sb.s_inodes_count.get()),
        ("blocks", sb.s_blocks_count_lo.get()),
        ("blocks (high)", high),
        ("block size", sb.s_log_block_size.get()),
        ("blocks per group", sb.s_blocks_per_group.get()),
        ("inodes per group", sb.s_inodes_per_group.get()),
        ("inode size", sb.s_inode_size.get().into()),
        ("group number", group),
        ("compat features", sb.s_feature_compat.get() | LAZY_COMPAT),
        (
            "incompat features",
            sb.s_feature_incompat.get() | LAZY_INCOMPAT,
        ),
        (
            "ro_compat features",
            sb.s_feature_ro_compat.get() | LAZY_RO_COMPAT,
        ),
    ]
}
