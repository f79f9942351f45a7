//! What the kernel looks at before it mounts a filesystem (`ext4_fill_super` and what it calls),
//! besides the sizes that every check needs.

use crate::fs::ext4::format::{Superblock, compat, incompat, ro_compat};

/// Bits of `s_feature_incompat` with which some kernel mounts a filesystem.
const INCOMPAT: u32 = incompat::FILETYPE
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
/// Bits of `s_feature_ro_compat` that no kernel knows, so that it mounts the filesystem read-only
/// at most: `replica`, and all after `orphan_present`.
const RO_COMPAT_UNKNOWN: u32 = !((ro_compat::ORPHAN_PRESENT << 1) - 1) | 0x800;
/// `s_checksum_type` of CRC-32C.
const CRC32C: u8 = 1;
/// `s_creator_os` of GNU Hurd.
const HURD: u32 = 1;
/// The last version of the directory hash; it needs `casefold` (`DX_HASH_SIPHASH`).
const SIPHASH: u8 = 6;
/// Inodes have this many bytes before those that `s_want_extra_isize` counts.
const OLD_INODE: u16 = 128;
/// Inodes of quotas that have a fixed number, and the first that others may have.
const USER_QUOTA: u32 = 3;
const GROUP_QUOTA: u32 = 4;
const FIRST_FREE: u32 = 11;

/// The features with which no kernel mounts a filesystem, or only read-only.
pub(super) fn features(sb: &Superblock) -> Result<(), String> {
    let unknown = sb.s_feature_incompat.get() & !INCOMPAT;
    if unknown != 0 {
        return Err(format!(
            "the incompatible features {unknown:#x} are not known to Linux, which does not mount it"
        ));
    }
    let unknown = sb.s_feature_ro_compat.get() & RO_COMPAT_UNKNOWN;
    if unknown != 0 {
        return Err(format!(
            "the read-only features {unknown:#x} are not known to Linux, which does not mount it for writing"
        ));
    }
    Ok(())
}

/// The numbers that the kernel compares, of a filesystem without clusters.
pub(super) fn numbers(sb: &Superblock) -> Result<(), String> {
    let has = |word: u32, bit: u32| word & bit != 0;
    let (incompat, ro) = (sb.s_feature_incompat.get(), sb.s_feature_ro_compat.get());
    if has(ro, ro_compat::METADATA_CSUM) {
        let kind = u64::from(sb.s_checksum_type);
        within("checksum type", kind, CRC32C.into(), CRC32C.into())?;
    }
    same(
        "cluster size (log2 - 10)",
        sb.s_log_cluster_size.get().into(),
        "block size",
        sb.s_log_block_size.get().into(),
    )?;
    same(
        "clusters per group",
        sb.s_clusters_per_group.get().into(),
        "blocks per group",
        sb.s_blocks_per_group.get().into(),
    )?;
    if has(incompat, incompat::FLEX_BG) {
        let groups = sb.s_log_groups_per_flex.into();
        within("number of groups per flex group (log2)", groups, 0, 31)?;
    }
    let last = if has(incompat, incompat::CASEFOLD) {
        SIPHASH
    } else {
        SIPHASH.saturating_sub(1)
    };
    let hash = sb.s_def_hash_version.into();
    within("version of the directory hash", hash, 0, last.into())?;
    if sb.s_creator_os.get() == HURD && has(incompat, incompat::BIT64) {
        return Err("the creator is GNU Hurd, whose filesystems have no feature 64bit".into());
    }
    extra_fields(sb)?;
    reserved_inodes(sb)
}

/// Fails unless `low <= value <= high`.
pub(super) fn within(what: &str, value: u64, low: u64, high: u64) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(if low == high {
        format!("the {what} is {value}, not {low}")
    } else {
        format!("the {what} is {value}, not among {low} to {high}")
    })
}

fn same(what: &str, value: u64, other: &str, due: u64) -> Result<(), String> {
    if value == due {
        return Ok(());
    }
    Err(format!("the {what} is {value}, the {other} {due}"))
}

/// The sizes of the fields after the first 128 bytes of inodes.
fn extra_fields(sb: &Superblock) -> Result<(), String> {
    let room = sb.s_inode_size.get().saturating_sub(OLD_INODE);
    let has = sb.s_feature_ro_compat.get() & ro_compat::EXTRA_ISIZE != 0;
    if sb.s_rev_level.get() == 0 || room == 0 || !has {
        return Ok(());
    }
    let room = room.into();
    for (what, size) in [
        ("wanted", sb.s_want_extra_isize.get()),
        ("least", sb.s_min_extra_isize.get()),
    ] {
        let what = format!("{what} size of further fields in inodes");
        within(&what, size.into(), 0, room)?;
        if !size.is_multiple_of(4) {
            return Err(format!("the {what} is {size}, not a multiple of 4"));
        }
    }
    Ok(())
}

/// The inodes of journal and quotas, as the superblock names them.
fn reserved_inodes(sb: &Superblock) -> Result<(), String> {
    let journal = sb.s_feature_compat.get() & compat::HAS_JOURNAL != 0;
    if journal && sb.s_journal_inum.get() == 0 && sb.s_journal_dev.get() == 0 {
        return Err("it has the feature has_journal, but names no journal".into());
    }
    let inodes = u64::from(sb.s_inodes_count.get());
    if sb.s_feature_compat.get() & compat::ORPHAN_FILE != 0 {
        let ino = sb.s_orphan_file_inum.get().into();
        within("inode of the orphan file", ino, FIRST_FREE.into(), inodes)?;
    }
    for (what, ino, least, most) in [
        (
            "user",
            sb.s_usr_quota_inum.get(),
            USER_QUOTA,
            USER_QUOTA.into(),
        ),
        (
            "group",
            sb.s_grp_quota_inum.get(),
            GROUP_QUOTA,
            GROUP_QUOTA.into(),
        ),
        ("project", sb.s_prj_quota_inum.get(), FIRST_FREE, inodes),
    ] {
        if ino != 0 {
            within(
                &format!("inode of {what} quotas"),
                ino.into(),
                least.into(),
                most,
            )?;
        }
    }
    Ok(())
}
