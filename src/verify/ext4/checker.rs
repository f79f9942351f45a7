//! The state of a check of one filesystem, filled step by step.

use super::claims::Claims;
use super::descriptor::BlockGroup;
use super::superblock::Fs;
use crate::verify::finding::{Location, Log};
use std::collections::BTreeMap;
use std::ops::Range;
use zerocopy::{FromZeros, IntoBytes};

/// A contiguous run of blocks of a file. All numbers are in filesystem blocks; `physical + len` is
/// within the filesystem, `logical + len` is at most 2^32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) len: u64,
    /// False for an unwritten extent, which reads as zeros.
    pub(super) written: bool,
}

impl Run {
    /// The first block of the file after this run.
    pub(super) fn logical_end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }

    /// The first block of the filesystem after this run.
    pub(super) fn physical_end(&self) -> u64 {
        self.physical.saturating_add(self.len)
    }
}

/// The result of following the block map of an inode.
#[derive(Debug, Default)]
pub(super) struct BlockMap {
    pub(super) runs: Vec<Run>,
    /// Blocks of the map itself: nodes of the extent tree, or indirect blocks.
    pub(super) nodes: u64,
    /// Blocks that a map of this kind can address.
    pub(super) most: u64,
    /// Something in it was damaged.
    pub(super) broken: bool,
}

impl BlockMap {
    /// Number of blocks in `runs`.
    pub(super) fn data(&self) -> u64 {
        blocks(&self.runs)
    }
}

/// The number of blocks in `runs`.
pub(super) fn blocks(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.len).sum()
}

/// An inode in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsedInode {
    pub(super) mode: u16,
    /// `i_links_count`, as it is stored.
    pub(super) links: u16,
    /// Directory entries that name it, without `.` and `..`.
    pub(super) refs: u32,
}

/// A directory, to be read once all inodes are known.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) ino: u32,
    /// The seed of the checksums of its blocks.
    pub(super) seed: u32,
    /// `i_flags` of the directory's inode.
    pub(super) flags: u32,
    pub(super) runs: Vec<Run>,
    /// Its size in blocks.
    pub(super) blocks: u64,
}

/// The references to a block of extended attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct XattrBlock {
    /// `h_refcount` of the block's header.
    pub(super) stored: u32,
    /// Inodes that name the block; 0 if the block is damaged and its count not checked.
    pub(super) found: u32,
}

/// Bytes and inodes of an ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

/// What the inodes use, by ID, for users, groups and projects.
#[derive(Debug, Default)]
pub(super) struct QuotaUsage {
    pub(super) found: [BTreeMap<u32, Usage>; 3],
    /// The blocks of the files that keep them.
    pub(super) files: [Vec<Run>; 3],
}

/// The state of a check of one filesystem.
pub(super) struct Checker<'a> {
    pub(super) fs: Fs<'a>,
    pub(super) log: &'a mut Log,
    pub(super) groups: Vec<BlockGroup>,
    pub(super) claims: Claims,
    /// All blocks in use, sorted and merged, once every claim is known.
    pub(super) ranges: Vec<Range<u64>>,
    pub(super) used: BTreeMap<u32, UsedInode>,
    pub(super) dirs: Vec<Directory>,
    pub(super) xattr_blocks: BTreeMap<u64, XattrBlock>,
    /// The first name of each inode and the directory that contains it.
    pub(super) names: BTreeMap<u32, (u32, Vec<u8>)>,
    /// `..` of each directory.
    pub(super) parents: BTreeMap<u32, u32>,
    /// The subdirectories of each directory.
    pub(super) subdirs: BTreeMap<u32, Vec<u32>>,
    pub(super) journal: Vec<Run>,
    /// The seed of the orphan file's checksums, and its blocks.
    pub(super) orphan_file: (u32, Vec<Run>),
    pub(super) quotas: QuotaUsage,
    /// Not every block in use is known, because a map could not be followed.
    pub(super) maps_broken: bool,
    /// Not every name is known, because a directory could not be read.
    pub(super) names_broken: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(fs: Fs<'a>, log: &'a mut Log) -> Self {
        Self {
            claims: Claims::new(fs.blocks),
            fs,
            log,
            groups: Vec::new(),
            ranges: Vec::new(),
            used: BTreeMap::new(),
            dirs: Vec::new(),
            xattr_blocks: BTreeMap::new(),
            names: BTreeMap::new(),
            parents: BTreeMap::new(),
            subdirs: BTreeMap::new(),
            journal: Vec::new(),
            orphan_file: (0, Vec::new()),
            quotas: QuotaUsage::default(),
            maps_broken: false,
            names_broken: false,
        }
    }

    /// The filesystem as a whole.
    pub(super) fn place(&self) -> Location {
        Location::of(self.fs.partition)
    }

    /// The location of inode `ino`.
    pub(super) fn at(&self, ino: u32) -> Location {
        self.place().inode(ino)
    }

    /// A block of inode `ino`.
    pub(super) fn at_block(&self, ino: u32, block: u64) -> Location {
        self.at(ino).offset(self.fs.offset(block))
    }

    /// Reads a block that is inside the filesystem; an I/O error is a finding.
    pub(super) fn read_block(&mut self, block: u64) -> Option<Vec<u8>> {
        self.fs.read(block, 1, self.log)
    }
}

/// A structure of which `bytes` may hold only the first fields; the others are zero.
pub(super) fn zero_extended<T: FromZeros + IntoBytes + zerocopy::FromBytes>(bytes: &[u8]) -> T {
    let mut out = T::new_zeroed();
    out.as_mut_bytes()
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    out
}
