//! ext2, ext3 and ext4 read into a [`Tree`]: metadata into memory, file contents as runs of the
//! source.
//!
//! ```text
//! superblock -> group descriptors -> (journal: an overlay of blocks) -> inode tables -> maps, attributes -> directories -> tree
//! ```
//!
//! Everything is checked as it is read: checksums where the filesystem has them, every number
//! against its range, every block for having one owner. So damaged or hostile bytes end in an
//! [`Error`], in bounded time and memory.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod claims;
mod dir;
mod error;
mod files;
mod inode;
mod journal;
mod map;
mod superblock;
mod volume;
mod xattr;

pub use error::{Error, Fault, Place};

use crate::fs::ext4::format::{MAGIC, SUPERBLOCK_OFFSET, compat, incompat, ro_compat};
use crate::fs::ext4::{FileLayout, MountSettings};
use crate::stamp::{Time, Uuid};
use crate::stream::{Content, ReadAt, Source};
use crate::tree::Tree;
use std::io;
use superblock::{COMPAT_NAMES, INCOMPAT_NAMES, RO_COMPAT_NAMES, names};
use volume::Volume;

/// `s_state`: errors were found.
const STATE_ERRORS: u16 = 2;
/// What a driver of ext3 knows of `s_feature_incompat` and `s_feature_ro_compat`; any other bit
/// makes the filesystem an ext4.
const EXT3_INCOMPAT: u32 = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
const EXT3_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | 0x4;

/// Whether `source` begins with an ext2, ext3 or ext4 filesystem, by its magic number.
///
/// # Errors
/// I/O errors of the source.
pub fn probe(source: &dyn ReadAt) -> io::Result<bool> {
    if source.len() < SUPERBLOCK_OFFSET + 1024 {
        return Ok(false);
    }
    let mut magic = [0; 2];
    source.read_exact_at(SUPERBLOCK_OFFSET + 0x38, &mut magic)?;
    Ok(u16::from_le_bytes(magic) == MAGIC)
}

/// One word of feature bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The bits as stored, unknown ones included.
    pub word: u32,
    /// Their names in e2fsprogs, from the lowest bit up; a bit without a name is shown as a number.
    pub names: Vec<String>,
}

impl Features {
    fn new(word: u32, table: &[(u32, &str)]) -> Self {
        Self {
            word,
            names: names(word, table),
        }
    }
}

/// What of the files is not part of a [`Tree`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The paths of files that are protected by fs-verity.
    pub verity: Vec<Vec<u8>>,
    /// Inodes in use that no directory names, in ascending order.
    pub nameless: Vec<u32>,
}

/// What the superblock says.
#[derive(Clone, Debug)]
pub struct Info {
    /// `ext2`, `ext3` or `ext4`, by features.
    pub kind: &'static str,
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks of the filesystem, metadata included.
    pub blocks: u64,
    /// Blocks that are free, as of the last clean unmount.
    pub free_blocks: u64,
    /// Inodes of all groups, reserved ones included.
    pub inodes: u32,
    /// Inodes that are free, as of the last clean unmount.
    pub free_inodes: u32,
    /// Bytes of an inode.
    pub inode_size: usize,
    /// `s_uuid`, by which `/etc/fstab` names the filesystem.
    pub uuid: Uuid,
    /// Its label, without padding.
    pub label: Vec<u8>,
    /// The path at which it was mounted last, without padding.
    pub last_mounted: Vec<u8>,
    /// When it was made; 0 where that is not recorded.
    pub mkfs_time: Time,
    /// When it was mounted last; `None`: never.
    pub mount_time: Option<Time>,
    /// When the superblock was written last.
    pub write_time: Time,
    /// Features that a driver may ignore.
    pub compat: Features,
    /// Features that a driver must know.
    pub incompat: Features,
    /// Features that a driver must know to write.
    pub ro_compat: Features,
    /// What a driver takes from the superblock when it mounts the filesystem.
    pub mount: MountSettings,
    /// Blocks that only some users may use.
    pub reserved_blocks: u64,
    /// `s_max_mnt_count`: mounts between two checks; 0 and 65535 for any number.
    pub max_mount_count: u16,
    /// `s_checkinterval`: seconds between two checks; 0 for any number.
    pub check_interval: u32,
    /// The kernel or a check found errors that were not repaired.
    pub has_errors: bool,
    /// How many blocks the journal gave a newer content; `None`: the filesystem was unmounted
    /// cleanly.
    pub replayed: Option<usize>,
}

/// A filesystem whose superblock and descriptors were read and found in order.
#[derive(Clone, Debug)]
pub struct Filesystem {
    volume: Volume,
    replayed: Option<usize>,
}

impl Filesystem {
    /// Opens the filesystem at the start of `source`. One that was not unmounted is recovered from
    /// its journal in memory; files that were deleted while open (the orphan list) have no name and
    /// are not seen.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when superblock, descriptors or journal are damaged or `source` is
    /// shorter than the filesystem; [`Error::Unsupported`] for a feature not known here.
    pub fn open(source: Source) -> Result<Self, Error> {
        let volume = Volume::open(Content::whole(source))?;
        if !volume.layout.incompat(incompat::RECOVER) {
            return Ok(Self {
                volume,
                replayed: None,
            });
        }
        let recovered = journal::recover(&volume)?;
        Ok(Self {
            volume: Volume::open(recovered.view)?,
            replayed: Some(recovered.blocks),
        })
    }

    /// What the superblock says.
    #[must_use]
    pub fn info(&self) -> Info {
        let layout = &self.volume.layout;
        let raw = &layout.raw;
        let wide = layout.incompat(incompat::BIT64);
        let high = if wide {
            u64::from(raw.s_free_blocks_count_hi.get()) << 32
        } else {
            0
        };
        let time = |low: u32, high: usize| {
            let high = raw.s_times_hi.get(high).copied().unwrap_or(0);
            Time {
                seconds: i64::from(high) << 32 | i64::from(low),
                nanos: 0,
            }
        };
        // `s_times_hi` holds, in this order, the high bytes of s_wtime, s_mtime and s_mkfs_time.
        Info {
            kind: self.kind(),
            block_size: layout.block_size(),
            blocks: layout.blocks,
            free_blocks: high | u64::from(raw.s_free_blocks_count_lo.get()),
            inodes: raw.s_inodes_count.get(),
            free_inodes: raw.s_free_inodes_count.get(),
            inode_size: layout.inode_size,
            uuid: Uuid(raw.s_uuid),
            label: unpadded(&raw.s_volume_name),
            last_mounted: unpadded(&raw.s_last_mounted),
            mkfs_time: time(raw.s_mkfs_time.get(), 2),
            mount_time: Some(time(raw.s_mtime.get(), 1)).filter(|time| time.seconds != 0),
            write_time: time(raw.s_wtime.get(), 0),
            compat: Features::new(raw.s_feature_compat.get(), &COMPAT_NAMES),
            incompat: Features::new(raw.s_feature_incompat.get(), &INCOMPAT_NAMES),
            ro_compat: Features::new(raw.s_feature_ro_compat.get(), &RO_COMPAT_NAMES),
            mount: MountSettings {
                default_options: raw.s_default_mount_opts.get(),
                options: unpadded(&raw.s_mount_opts),
                errors: raw.s_errors.get(),
                reserved_for: (raw.s_def_resuid.get(), raw.s_def_resgid.get()),
            },
            reserved_blocks: if wide {
                u64::from(raw.s_r_blocks_count_hi.get()) << 32
            } else {
                0
            } | u64::from(raw.s_r_blocks_count_lo.get()),
            max_mount_count: raw.s_max_mnt_count.get(),
            check_interval: raw.s_checkinterval.get(),
            has_errors: raw.s_state.get() & STATE_ERRORS != 0 || raw.s_error_count.get() != 0,
            replayed: self.replayed,
        }
    }

    /// All files.
    ///
    /// # Errors
    /// [`Error`] at the first thing that is damaged or not supported: no part of a filesystem is
    /// silently left out.
    pub fn tree(&self) -> Result<Tree, Error> {
        Ok(self.tree_and_losses()?.0)
    }

    /// As [`Self::tree`], with what of the files a tree cannot hold.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn tree_and_losses(&self) -> Result<(Tree, Losses), Error> {
        files::Files::new(&self.volume)?.tree(None)
    }

    /// The files at these paths (absolute, without a slash at the end) and the directories on the
    /// way, which is much less to read than all files. Symlinks are not followed.
    ///
    /// # Errors
    /// [`Error`] at the first of them that is damaged or not supported.
    pub fn some_files(&self, paths: &[&str]) -> Result<Tree, Error> {
        Ok(files::Files::new(&self.volume)?.only(paths).tree(None)?.0)
    }

    /// Where all files are, for a filesystem with blocks of 4096 bytes.
    ///
    /// # Errors
    /// As [`Self::tree`]; [`Error::Unsupported`] for other blocks.
    pub fn file_layout(&self) -> Result<FileLayout, Error> {
        let layout = &self.volume.layout;
        if layout.block_size() != 4096 {
            return Err(
                Place::Superblock.unsupported(format!("blocks of {} bytes", layout.block_size()))
            );
        }
        let mut file_layout = FileLayout::new(layout.blocks.saturating_mul(4096));
        files::Files::new(&self.volume)?.tree(Some(&mut file_layout))?;
        Ok(file_layout)
    }

    fn kind(&self) -> &'static str {
        let raw = &self.volume.layout.raw;
        let later = raw.s_feature_incompat.get() & !EXT3_INCOMPAT != 0
            || raw.s_feature_ro_compat.get() & !EXT3_RO_COMPAT != 0;
        match (later, self.volume.layout.compat(compat::HAS_JOURNAL)) {
            (true, _) => "ext4",
            (false, true) => "ext3",
            (false, false) => "ext2",
        }
    }
}

/// Bytes up to the first NUL.
fn unpadded(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect()
}
