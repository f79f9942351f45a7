//! A tree written as ext4: block size 4096, what `mke2fs -t ext4` makes since 2015, and nothing
//! that GRUB 2.06, U-Boot 2020 or Linux 4.19 cannot read. No sink is needed: the filesystem is a
//! [`Content`], so it can be read at any offset before anything was written.
//!
//! Two phases. `plan` makes all that does not depend on the size: inodes, directories, attributes,
//! maps of blocks, a [`PlannedFilesystem`]. `geometry` and `layout` give it places in a filesystem
//! of some size; `minimum` asks the same routines which size is enough. Then every metadata byte is
//! known and `image` composes it, checksums last.
//!
//! Features, always: `ext_attr resize_inode dir_index filetype extent flex_bg sparse_super
//! large_file huge_file dir_nlink extra_isize`; by option: `has_journal`, `metadata_csum`, `64bit`,
//! `project`.

mod acl;
mod bitmaps;
mod checksum;
mod collect;
mod descriptors;
mod dir;
mod error;
mod extents;
mod geometry;
mod hash;
mod image;
mod inode;
mod journal;
mod layout;
mod minimum;
mod plan;
mod preserve_layout;
mod resize;
mod space;
mod superblock;
mod usage;
mod xattr;

pub use error::Error;

use super::{FileLayout, MountSettings};
use crate::stamp::{Time, Uuid};
use crate::stream::Content;
use crate::tree::{Stat, Tree};
use geometry::{BLOCK, Geometry};
use plan::Plan;
use std::sync::Arc;

/// Whether there is a journal, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// As large as `mke2fs` makes it for the size of the filesystem; none below 8 MiB.
    Auto,
    /// No journal at any size.
    Off,
    /// This many blocks of 4096 bytes, at least 1024.
    Blocks(u32),
}

/// The settings of a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `s_uuid`, which also starts all checksums.
    pub uuid: Uuid,
    /// Volume name, at most 16 bytes.
    pub label: Vec<u8>,
    /// Seed of the directory hash.
    pub hash_seed: Uuid,
    /// When the filesystem was made; also the time of its journal.
    pub time: Time,
    /// Owner, permissions and times of `lost+found`, if the tree has none.
    pub lost_found: Stat,
    /// Bytes of filesystem for each inode, 1024 to 64 MiB.
    pub inode_ratio: u64,
    /// Inodes to leave free at least, where `inode_ratio` would not.
    pub spare_inodes: u32,
    /// Checksums over metadata (`metadata_csum`). Without them no group is marked uninitialised
    /// either.
    pub metadata_csum: bool,
    /// Block numbers of 64 bits (`64bit`), which old boot loaders do not read.
    pub wide: bool,
    /// Blocks that only root may use, 0 to 50 percent.
    pub reserved_percent: u32,
    /// Whether there is a journal, and its size.
    pub journal: Journal,
    /// `s_last_mounted`, at most 63 bytes; empty for never.
    pub last_mounted: Vec<u8>,
    /// What a driver takes from the superblock when it mounts the filesystem.
    pub mount: MountSettings,
    /// Whether inodes have project IDs (`project`).
    pub project: bool,
    /// The layout of an earlier filesystem to keep: inode numbers, and the blocks of files that
    /// have not grown.
    pub preserve_layout: Option<Arc<FileLayout>>,
}

impl Options {
    /// The defaults of `mke2fs` with these identities and this time.
    #[must_use]
    pub fn new(uuid: Uuid, hash_seed: Uuid, time: Time) -> Self {
        Self {
            uuid,
            label: Vec::new(),
            hash_seed,
            time,
            lost_found: Stat::root(0o700, time),
            inode_ratio: 16384,
            spare_inodes: 256,
            metadata_csum: true,
            wide: true,
            reserved_percent: 5,
            journal: Journal::Auto,
            last_mounted: Vec::new(),
            mount: MountSettings::default(),
            project: false,
            preserve_layout: None,
        }
    }

    /// Refuses what no filesystem can have.
    fn check(&self) -> Result<(), Error> {
        let journal = if let Journal::Blocks(blocks) = self.journal {
            u64::from(blocks)
        } else {
            1024
        };
        let settings = [
            (
                "label length",
                self.label.len() as u64,
                0..=16,
                "0 to 16 bytes",
            ),
            (
                "last mount point length",
                self.last_mounted.len() as u64,
                0..=63,
                "0 to 63 bytes",
            ),
            (
                "mount options length",
                self.mount.options.len() as u64,
                0..=63,
                "0 to 63 bytes",
            ),
            (
                "inode ratio",
                self.inode_ratio,
                1024..=64 << 20,
                "1024 to 67108864 bytes",
            ),
            (
                "reserved share",
                u64::from(self.reserved_percent),
                0..=50,
                "0 to 50 percent",
            ),
            (
                "journal size",
                journal,
                1024..=10_240_000,
                "1024 to 10240000 blocks",
            ),
            (
                "time",
                self.time.seconds.cast_unsigned(),
                0..=15_032_385_535,
                "1970 to 2446",
            ),
            (
                "nanoseconds",
                u64::from(self.time.nanos),
                0..=999_999_999,
                "below 1000000000",
            ),
        ];
        let bad = settings
            .into_iter()
            .find(|(_, value, range, _)| !range.contains(value));
        match bad {
            Some((what, value, _, range)) => Err(Error::Setting { what, value, range }),
            None => Ok(()),
        }
    }
}

/// The largest filesystem (bytes).
const MAX_SIZE: u64 = u32::MAX as u64 * BLOCK;

/// A filesystem whose inodes, directories and maps of blocks are known, but not its size.
#[derive(Debug)]
pub struct PlannedFilesystem<'t> {
    plan: Plan<'t>,
    options: &'t Options,
}

impl<'t> PlannedFilesystem<'t> {
    /// Plans the filesystem of `tree`.
    ///
    /// # Errors
    /// [`Error`] when the tree holds what ext4 cannot.
    pub fn new(tree: &'t Tree, options: &'t Options) -> Result<Self, Error> {
        options.check()?;
        let mut nodes = collect::collect(tree, &options.lost_found)?;
        if let Some(earlier) = options.preserve_layout.as_deref() {
            preserve_layout::renumber(&mut nodes, earlier);
        }
        let plan = plan::plan(&nodes, options)?;
        Ok(Self { plan, options })
    }

    /// The size in bytes (a multiple of 4096) from which on a filesystem of any size holds the
    /// tree. Below 256 GiB the next smaller one does not.
    ///
    /// # Errors
    /// [`Error`] when no size is enough.
    pub fn minimum_size(&self) -> Result<u64, Error> {
        let demand = &self.plan.demand;
        let blocks = minimum::minimum(demand, self.options);
        let size = demand.blocks.saturating_mul(BLOCK);
        blocks
            .map(|blocks| u64::from(blocks) * BLOCK)
            .ok_or(Error::TooLarge {
                size,
                max: MAX_SIZE,
            })
    }

    /// The filesystem in `size` bytes (a rest of less than a block stays unused). The runs of the
    /// result cover all blocks in use; a device may keep its bytes in the holes.
    ///
    /// # Errors
    /// [`Error`] when the tree does not fit.
    pub fn write(self, size: u64) -> Result<Content, Error> {
        let demand = &self.plan.demand;
        let blocks = u32::try_from(size / BLOCK).map_err(|_| Error::TooLarge {
            size,
            max: MAX_SIZE,
        })?;
        let geometry = Geometry::new(blocks, demand.inodes, self.options);
        let Some(geometry) = geometry else {
            return Err(self.no_space(size, None));
        };
        if demand.blocks_in(&geometry) > u64::from(geometry.free.blocks()) {
            return Err(self.no_space(size, Some(&geometry)));
        }
        let layout =
            layout::lay_out(&self.plan, geometry).ok_or_else(|| self.no_space(size, None))?;
        Ok(image::compose(self.plan, layout, size, self.options))
    }

    /// The error of a filesystem that is too small; without a geometry not even its own metadata
    /// fit.
    fn no_space(&self, size: u64, geometry: Option<&Geometry>) -> Error {
        let demand = &self.plan.demand;
        let needed = geometry.map_or(demand.blocks, |geometry| demand.blocks_in(geometry)) * BLOCK;
        let available = geometry.map_or(0, |geometry| u64::from(geometry.free.blocks()) * BLOCK);
        match self.minimum_size() {
            Ok(smallest) => Error::NoSpace {
                size,
                needed,
                available,
                smallest,
            },
            Err(error) => error,
        }
    }
}

/// The smallest size of the filesystem of `tree`, see [`PlannedFilesystem::minimum_size`].
///
/// # Errors
/// [`Error`] when the tree holds what ext4 cannot, or no size is enough.
pub fn minimum_size(tree: &Tree, options: &Options) -> Result<u64, Error> {
    PlannedFilesystem::new(tree, options)?.minimum_size()
}

/// Writes `tree` into a filesystem of `size` bytes, see [`PlannedFilesystem::write`].
///
/// # Errors
/// [`Error`] when the tree holds what ext4 cannot, or does not fit.
pub fn write(tree: &Tree, size: u64, options: &Options) -> Result<Content, Error> {
    PlannedFilesystem::new(tree, options)?.write(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ext4::read::Filesystem;
    use crate::stream::ReadAt as _;
    use crate::tree::Dir;

    /// Options of the tests.
    pub(super) fn options() -> Options {
        let time = Time {
            seconds: 1_700_000_000,
            nanos: 0,
        };
        Options::new(Uuid([0x11; 16]), Uuid([0x22; 16]), time)
    }

    #[test]
    fn a_filesystem_is_planned_once_for_its_size_and_its_bytes() {
        let (mut tree, options) = (Tree::new(Stat::root(0o755, options().time)), options());
        for number in 0..500 {
            let dir = Dir::new(Stat::root(0o755, options.time));
            let name = format!("directory {number}").into_bytes();
            tree.root.entries.insert(name, dir.into());
        }
        let planned = || PlannedFilesystem::new(&tree, &options).unwrap();
        let smallest = planned().minimum_size().unwrap();
        let image = planned().write(smallest).unwrap();
        assert_eq!(image.len(), smallest);
        let error = planned().write(smallest - BLOCK).unwrap_err();
        assert!(matches!(error, Error::NoSpace { smallest: other, .. } if other == smallest));
    }

    #[test]
    fn a_tree_without_lost_found_gets_that_of_the_options() {
        let options = Options {
            lost_found: Stat {
                uid: 7,
                ..Stat::root(0o750, options().time)
            },
            ..options()
        };
        let read = |tree: &Tree| {
            let image = write(tree, 8 << 20, &options).unwrap();
            let filesystem = Filesystem::open(Arc::new(image)).unwrap();
            let found = filesystem.tree().unwrap();
            let entry = found.root.entries.get(&b"lost+found"[..]).unwrap();
            entry.as_dir().unwrap().stat.clone()
        };
        let mut tree = Tree::new(Stat::root(0o755, options.time));
        assert_eq!(read(&tree), options.lost_found);
        let own = Stat::root(0o711, options.time);
        let name = b"lost+found".to_vec();
        tree.root.entries.insert(name, Dir::new(own.clone()).into());
        assert_eq!(read(&tree), own);
    }
}
