//! The superblock and its copies (kernel's page `super`).

use super::super::format::{
    FIRST_INO, JOURNAL_INO, MAGIC, SUPERBLOCK_OFFSET, Superblock, compat, crc32c, incompat,
    ro_compat,
};
use super::Options;
use super::dir::HASH_VERSION;
use super::geometry::{
    BLOCK, BLOCK_LEN, BLOCKS_PER_GROUP, INODE_LEN, LOG_GROUPS_PER_FLEX, descriptor_len,
};
use super::inode::{EXTRA_LEN, halves, words};
use super::plan::hash_seed;
use super::usage::Usage;
use zerocopy::{FromZeros, IntoBytes};

/// Offset of `s_checksum`, the last field.
const CHECKSUM_AT: usize = 1020;
/// `s_checksum_type`: CRC-32C, the only one there is.
const CHECKSUM_TYPE: u8 = 1;
/// `s_flags`: names in directory hashes are unsigned bytes.
const UNSIGNED_HASH: u32 = 2;
/// `s_jnl_backup_type`: `s_jnl_blocks` holds `i_block` and the length of the journal.
const BACKUP_BLOCKS: u8 = 1;
/// `s_state`: cleanly unmounted.
const CLEAN: u16 = 1;

/// The superblock, or its copy in `group`; `journal` is `i_block` of the journal's inode.
pub(super) fn superblock(usage: &Usage<'_>, group: u32, journal: Option<&[u8; 60]>) -> Superblock {
    let mut sb = counted_superblock(usage);
    describe(usage, &mut sb);
    sb.s_block_group_nr = words(group).0;
    if let Some(block) = journal {
        sb.s_journal_inum = JOURNAL_INO.into();
        sb.s_jnl_backup_type = BACKUP_BLOCKS;
        sb.s_feature_compat |= compat::HAS_JOURNAL;
        let len = u64::from(usage.journal_blocks()) * BLOCK;
        for (word, bytes) in sb.s_jnl_blocks.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into();
        }
        (sb.s_jnl_blocks[16], sb.s_jnl_blocks[15]) = halves(len);
    }
    if usage.checksum_seed.enabled() {
        // The UUID is among the bytes, so this checksum is not seeded with it.
        sb.s_checksum = crc32c(!0, &sb.as_bytes()[..CHECKSUM_AT]).into();
    }
    sb
}

/// A superblock with all counts.
fn counted_superblock(usage: &Usage<'_>) -> Superblock {
    let geometry = &usage.layout.geometry;
    let mut sb = Superblock::new_zeroed();
    sb.s_inodes_count = geometry.inodes().into();
    sb.s_blocks_count_lo = geometry.blocks.into();
    sb.s_r_blocks_count_lo = usage.reserved_blocks().into();
    sb.s_free_blocks_count_lo = usage.free_blocks().into();
    sb.s_free_inodes_count = (geometry.inodes() - usage.used_inodes()).into();
    sb.s_log_block_size = 2.into();
    sb.s_log_cluster_size = 2.into();
    sb.s_blocks_per_group = BLOCKS_PER_GROUP.into();
    sb.s_clusters_per_group = BLOCKS_PER_GROUP.into();
    sb.s_inodes_per_group = geometry.inodes_per_group.into();
    sb.s_reserved_gdt_blocks = words(geometry.reserved_descriptor_blocks).0;
    sb.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
    sb.s_overhead_clusters = (geometry.static_blocks + usage.journal_blocks()).into();
    sb
}

/// Fills in the fields that do not depend on the size.
fn describe(usage: &Usage<'_>, sb: &mut Superblock) {
    let options = usage.options;
    let (seconds, seconds_hi) = halves::<u32>(options.time.seconds.cast_unsigned());
    sb.s_magic = MAGIC.into();
    sb.s_max_mnt_count = u16::MAX.into();
    sb.s_state = CLEAN.into();
    sb.s_rev_level = 1.into();
    sb.s_first_ino = FIRST_INO.into();
    sb.s_inode_size = words(INODE_LEN as u32).0;
    sb.s_desc_size = if options.wide {
        words(descriptor_len(options) as u32).0
    } else {
        0.into()
    };
    (sb.s_min_extra_isize, sb.s_want_extra_isize) = (EXTRA_LEN.into(), EXTRA_LEN.into());
    (sb.s_wtime, sb.s_mkfs_time, sb.s_lastcheck) = (seconds.into(), seconds.into(), seconds.into());
    // s_wtime_hi, s_mtime_hi, s_mkfs_time_hi, s_lastcheck_hi: the eight bits above.
    let hi = seconds_hi.to_le_bytes()[0];
    sb.s_times_hi = [hi, 0, hi, hi, 0, 0, 0, 0];
    sb.s_feature_compat = (compat::EXT_ATTR | compat::RESIZE_INODE | compat::DIR_INDEX).into();
    let wide = if options.wide { incompat::BIT64 } else { 0 };
    sb.s_feature_incompat =
        (incompat::FILETYPE | incompat::EXTENTS | wide | incompat::FLEX_BG).into();
    let read_only = ro_compat::SPARSE_SUPER
        | ro_compat::LARGE_FILE
        | ro_compat::HUGE_FILE
        | ro_compat::DIR_NLINK
        | ro_compat::EXTRA_ISIZE
        | if options.project {
            ro_compat::PROJECT
        } else {
            0
        }
        | if usage.checksum_seed.enabled() {
            ro_compat::METADATA_CSUM
        } else {
            0
        };
    sb.s_feature_ro_compat = read_only.into();
    sb.s_checksum_type = if usage.checksum_seed.enabled() {
        CHECKSUM_TYPE
    } else {
        0
    };
    sb.s_uuid = options.uuid.0;
    sb.s_volume_name[..options.label.len()].copy_from_slice(&options.label);
    sb.s_last_mounted[..options.last_mounted.len()].copy_from_slice(&options.last_mounted);
    sb.s_hash_seed = hash_seed(options).map(Into::into);
    sb.s_def_hash_version = HASH_VERSION;
    mount_settings(options, sb);
    sb.s_flags = UNSIGNED_HASH.into();
}

/// Fills in what a driver takes from the superblock when it mounts the filesystem.
fn mount_settings(options: &Options, sb: &mut Superblock) {
    let settings = &options.mount;
    sb.s_errors = settings.errors.into();
    sb.s_default_mount_opts = settings.default_options.into();
    sb.s_mount_opts[..settings.options.len()].copy_from_slice(&settings.options);
    let (user, group) = settings.reserved_for;
    (sb.s_def_resuid, sb.s_def_resgid) = (user.into(), group.into());
}

/// The first block of the filesystem: 1024 zeros for a boot sector, then the superblock.
pub(super) fn first_block(superblock: &Superblock) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(SUPERBLOCK_OFFSET).unwrap_or(0)];
    out.extend_from_slice(superblock.as_bytes());
    out.resize(BLOCK_LEN, 0);
    out
}
