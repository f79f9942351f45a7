//! Checks of ext2, ext3 and ext4: every structure is compared with the others, by code that shares
//! only the names of the fields with the writer and the reader.
//!
//! ```text
//! superblock -> groups -> inodes -> maps, attributes -> claims of blocks -> bitmaps and counts
//!                            \-> directories -> references -> link counts, reachability
//! ```
//!
//! Sources: `Documentation/filesystems/ext4/` of the Linux kernel; the problem list of e2fsck for
//! what can be wrong. Each fault is reported once: a check is skipped if the structures that it
//! relies on are damaged. Time and memory are bounded by the size of the filesystem: once more
//! blocks are claimed than there are, no further maps are followed.

mod bitmaps;
mod checker;
mod claims;
mod descriptor;
mod dirs;
mod entries;
mod extents;
mod groups;
mod hash;
mod htree;
mod inodes;
mod journal;
mod mountable;
mod names;
mod quota;
mod special;
mod superblock;
mod xattr;

use super::finding::Log;
use crate::stream::ReadAt;
use checker::Checker;
use superblock::Fs;

/// Checks the filesystem that begins at the start of `source`; `partition` is its number in
/// findings. A superblock that is too damaged, or features that are not supported, are the only
/// finding then.
pub fn check(source: &dyn ReadAt, partition: Option<u32>, log: &mut Log) {
    let Some(fs) = Fs::open(source, partition, log) else {
        return;
    };
    let first = log.findings_mut().len();
    let mut checker = Checker::new(fs, log);
    checker.run();
    let names = std::mem::take(&mut checker.names);
    for finding in log.findings_mut().iter_mut().skip(first) {
        if let Some(ino) = finding.place.inode {
            finding.place.path = names::path(&names, ino);
        }
    }
}

impl Checker<'_> {
    /// All checks, in the order in which they build on each other.
    fn run(&mut self) {
        if !self.read_groups() {
            return;
        }
        self.scan_inodes();
        self.check_special();
        self.check_mmp();
        self.read_directories();
        self.check_links();
        self.check_attribute_references();
        self.check_claims();
        self.check_bitmaps();
        self.check_quotas();
    }
}
