//! A second opinion on ext2, ext3 and ext4: every structure is held against the others, by code
//! that shares nothing with the writer and the reader but the names of the fields.
//!
//! ```text
//! superblock -> groups -> inodes -> maps, attributes -> claims of blocks -> bitmaps and counts
//!                            \-> directories -> references -> link counts, reachability
//! ```
//!
//! Sources: `Documentation/filesystems/ext4/` of the Linux kernel; the problem list of e2fsck for
//! what may go wrong. What is damaged is reported once: checks whose premises are damaged are left
//! out, so that one fault gives one finding. Time and memory are bounded by the filesystem: once
//! more blocks are claimed than there are, no more are followed.

mod bitmaps;
mod claims;
mod dirs;
mod extents;
mod groups;
mod hash;
mod htree;
mod inodes;
mod names;
mod special;
mod superblock;
mod xattr;

use super::finding::{Location, Log};
use crate::stream::ReadAt;
use claims::Claims;
use groups::BlockGroup;
use std::collections::BTreeMap;
use superblock::Fs;

/// Blocks of a file that lie together.
#[derive(Clone, Copy, Debug)]
struct Run {
    logical: u64,
    physical: u64,
    len: u64,
    written: bool,
}

/// An inode in use.
#[derive(Clone, Copy, Debug)]
struct UsedInode {
    mode: u16,
    links: u16,
    /// Directory entries that name it, without `.` and `..`.
    refs: u32,
}

/// A directory, to be read once all inodes are known.
#[derive(Debug)]
struct Directory {
    ino: u32,
    seed: u32,
    flags: u32,
    runs: Vec<Run>,
    blocks: u64,
}

/// An attribute block.
#[derive(Clone, Copy, Debug)]
struct XattrBlock {
    stored: u32,
    found: u32,
}

/// The state of a check of one filesystem.
struct Checker<'a> {
    fs: Fs<'a>,
    log: &'a mut Log,
    groups: Vec<BlockGroup>,
    claims: Claims,
    /// All blocks in use, once every claim is known.
    ranges: Vec<std::ops::Range<u64>>,
    used: BTreeMap<u32, UsedInode>,
    dirs: Vec<Directory>,
    xattr_blocks: BTreeMap<u64, XattrBlock>,
    /// The first name of each inode and the directory that it stands in.
    names: BTreeMap<u32, (u32, Vec<u8>)>,
    /// `..` of each directory, and its subdirectories.
    parents: BTreeMap<u32, u32>,
    subdirs: BTreeMap<u32, Vec<u32>>,
    journal: Vec<Run>,
    orphan_file: Vec<Run>,
    /// Not every block in use is known, because a map could not be followed.
    maps_broken: bool,
    /// Not every name is known, because a directory could not be read.
    names_broken: bool,
}

/// What a filesystem is, as far as others must know it.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Bytes of the filesystem.
    pub size: u64,
}

/// Checks the filesystem that begins at the start of `source`, which is partition `partition` if it
/// is one. `None` when its superblock is too damaged, or its features are too foreign, for any
/// further check.
pub fn check(source: &dyn ReadAt, partition: Option<u32>, log: &mut Log) -> Option<Summary> {
    let fs = Fs::open(source, partition, log)?;
    let size = fs.blocks * fs.block_size;
    let claims = Claims::new(fs.blocks);
    let first = log.findings_mut().len();
    let mut checker = Checker {
        fs,
        log,
        groups: Vec::new(),
        claims,
        ranges: Vec::new(),
        used: BTreeMap::new(),
        dirs: Vec::new(),
        xattr_blocks: BTreeMap::new(),
        names: BTreeMap::new(),
        parents: BTreeMap::new(),
        subdirs: BTreeMap::new(),
        journal: Vec::new(),
        orphan_file: Vec::new(),
        maps_broken: false,
        names_broken: false,
    };
    checker.run();
    let names = std::mem::take(&mut checker.names);
    for finding in log.findings_mut().iter_mut().skip(first) {
        if let Some(ino) = finding.place.inode {
            finding.place.path = names::path(&names, ino);
        }
    }
    Some(Summary { size })
}

impl Checker<'_> {
    fn run(&mut self) {
        if !self.read_groups() {
            return;
        }
        self.scan_inodes();
        self.check_special();
        self.read_directories();
        self.check_links();
        self.check_attribute_references();
        self.check_claims();
        self.check_bitmaps();
    }

    fn place(&self) -> Location {
        Location::of(self.fs.partition)
    }

    fn at(&self, ino: u32) -> Location {
        self.place().inode(ino)
    }

    /// A block of inode `ino`.
    fn at_block(&self, ino: u32, block: u64) -> Location {
        self.at(ino)
            .offset(block.saturating_mul(self.fs.block_size))
    }

    /// Reads a block that lies inside; reports what the disk said when it could not be read.
    fn read_block(&mut self, block: u64) -> Option<Vec<u8>> {
        self.fs.read(block, 1, self.log)
    }
}
