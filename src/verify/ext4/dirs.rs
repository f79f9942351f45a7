//! Directories: entries block by block, references, link counts, reachability.

use super::checker::{Checker, Directory, UsedInode};
use super::entries::{DirectoryEntry, TAIL, entries};
use super::htree::HashRange;
use crate::fs::ext4::format::{
    DirEntry, LINK_MAX, ROOT_INO, crc32c, file_type, incompat, inode_flags, mode, ro_compat,
};
use crate::tree::show;
use crate::verify::numbers::widen;
use std::collections::BTreeSet;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// A block of a directory.
struct DirectoryBlock<'b> {
    bytes: &'b [u8],
    physical: u64,
    first: bool,
    /// The directory has an index.
    indexed: bool,
    /// The hashes that its names may have according to the index.
    bounds: Option<HashRange>,
}

impl Checker<'_> {
    /// Checks every directory in use, and that the root is one.
    pub(super) fn read_directories(&mut self) {
        let dirs = std::mem::take(&mut self.dirs);
        for dir in &dirs {
            self.directory(dir);
        }
        let root = self
            .used
            .get(&ROOT_INO)
            .is_some_and(|root| root.mode & mode::TYPE == mode::DIR);
        let place = self.at(ROOT_INO);
        self.names_broken |= !self.log.check(root, "ext4-root", || {
            (place, "the root directory is not a directory".into())
        });
        self.dirs = dirs;
    }

    /// A block of a directory and its number in the filesystem.
    pub(super) fn dir_bytes(&mut self, dir: &Directory, number: u64) -> Option<(Vec<u8>, u64)> {
        let at = dir.runs.partition_point(|run| run.logical_end() <= number);
        let run = dir.runs.get(at).filter(|run| run.logical <= number)?;
        let physical = run
            .physical
            .saturating_add(number.saturating_sub(run.logical));
        Some((self.read_block(physical)?, physical))
    }

    fn directory(&mut self, dir: &Directory) {
        let indexed = dir.flags & inode_flags::INDEX != 0;
        let index = if indexed { self.check_index(dir) } else { None };
        let mut names = BTreeSet::new();
        for number in 0..dir.blocks {
            let leaf = index
                .as_ref()
                .filter(|_| number > 0)
                .map(|index| index.get(&number).cloned().flatten());
            let bounds = match leaf {
                // A node of the index: no entries.
                Some(None) => continue,
                Some(Some(bounds)) => Some(bounds),
                None => None,
            };
            let Some((bytes, physical)) = self.dir_bytes(dir, number) else {
                self.names_broken = true;
                return;
            };
            let block = DirectoryBlock {
                bytes: &bytes,
                physical,
                first: number == 0,
                indexed,
                bounds,
            };
            if !self.dir_block(dir, &block, index.is_some(), &mut names) {
                self.names_broken = true;
                return;
            }
        }
    }

    /// One block; false when its entries cannot be split.
    fn dir_block(
        &mut self,
        dir: &Directory,
        block: &DirectoryBlock<'_>,
        index_known: bool,
        names: &mut BTreeSet<Vec<u8>>,
    ) -> bool {
        let place = self.at_block(dir.ino, block.physical);
        if self.fs.has_checksums() && (!block.indexed || (index_known && !block.first)) {
            self.check_tail(dir, block.bytes, block.physical);
        }
        let list = match entries(block.bytes) {
            Ok(list) => list,
            Err(text) => {
                self.log.error("ext4-dir-entry", place, text);
                return false;
            }
        };
        self.log.passed_all(list.len());
        let mut rest = list.as_slice();
        if block.first {
            self.check_dots(dir, block.physical, rest.get(..2).unwrap_or_default());
            rest = rest.get(2..).unwrap_or_default();
        }
        for entry in rest.iter().filter(|entry| entry.ino != 0) {
            self.entry(dir, block.physical, entry);
            if !names.insert(entry.name.to_vec()) {
                let text = format!("the name `{}` occurs twice", show(entry.name));
                self.log.error("ext4-dir-duplicate", place.clone(), text);
            }
            if let Some(bounds) = &block.bounds {
                self.check_hash(dir, block.physical, entry.name, bounds);
            }
        }
        true
    }

    /// With `metadata_csum` a block ends in an entry that holds its checksum.
    fn check_tail(&mut self, dir: &Directory, bytes: &[u8], physical: u64) {
        let place = self.at_block(dir.ino, physical);
        let Some((front, tail)) = bytes
            .len()
            .checked_sub(TAIL)
            .and_then(|at| bytes.split_at_checked(at))
        else {
            return;
        };
        let Ok((mark, stored)) = DirEntry::read_from_prefix(tail) else {
            return;
        };
        let marked = mark.inode.get() == 0
            && mark.rec_len.get() == 12
            && mark.name_len == 0
            && mark.file_type == file_type::CSUM;
        let stored = U32::read_from_bytes(stored).map_or(0, |sum| sum.get());
        let computed = crc32c(dir.seed, front);
        self.log.check(marked && stored == computed, "ext4-dir-checksum", || {
            let text = if marked {
                format!("the directory block has the checksum {stored:#010x}, computed {computed:#010x}")
            } else {
                "the directory block does not end in an entry with its checksum".to_owned()
            };
            (place, text)
        });
    }

    fn check_dots(&mut self, dir: &Directory, physical: u64, dots: &[DirectoryEntry<'_>]) {
        let place = self.at_block(dir.ino, physical);
        let good = matches!(dots, [dot, dotdot] if dot.name == b"." && dotdot.name == b".." && dot.ino == dir.ino);
        self.log.check(good, "ext4-dir-dots", || {
            let found: Vec<String> = dots
                .iter()
                .map(|entry| format!("`{}` (inode {})", show(entry.name), entry.ino))
                .collect();
            (
                place,
                format!(
                    "the directory begins with {}, not with `.` (inode {}) and `..`",
                    found.join(" and "),
                    dir.ino
                ),
            )
        });
        if let (true, Some(dotdot)) = (good, dots.get(1)) {
            self.parents.insert(dir.ino, dotdot.ino);
            self.check_dot_types(dir, physical, dots);
        }
    }

    /// `.` and `..` are directories, or of no type.
    fn check_dot_types(&mut self, dir: &Directory, physical: u64, dots: &[DirectoryEntry<'_>]) {
        let due = if self.fs.incompat(incompat::FILETYPE) {
            file_type::DIR
        } else {
            0
        };
        let wrong = dots.iter().find(|dot| ![0, due].contains(&dot.kind));
        let place = self.at_block(dir.ino, physical);
        self.log.check(wrong.is_none(), "ext4-dir-type", || {
            let (name, kind) = wrong.map_or((String::new(), 0), |dot| (show(dot.name), dot.kind));
            (
                place,
                format!("`{name}` has the file type {kind}, it is a directory (type {due})"),
            )
        });
    }

    /// One entry in use: its name, its inode, its type.
    fn entry(&mut self, dir: &Directory, physical: u64, entry: &DirectoryEntry<'_>) {
        let place = self
            .at(dir.ino)
            .offset(self.fs.offset(physical).saturating_add(widen(entry.at)));
        let shown = || show(entry.name);
        let bad = entry.name.is_empty()
            || entry.name == b"."
            || entry.name == b".."
            || entry.name.iter().any(|b| matches!(b, b'/' | 0));
        self.log.check(!bad, "ext4-dir-name", || {
            (
                place.clone(),
                format!("`{}` is not a valid file name", shown()),
            )
        });
        let special = entry.ino < self.fs.first_ino();
        let Some(used) = self.used.get_mut(&entry.ino).filter(|_| !special) else {
            self.log.error(
                "ext4-dir-inode",
                place,
                format!(
                    "`{}` refers to inode {}, which is not in use",
                    shown(),
                    entry.ino
                ),
            );
            return;
        };
        let first = used.refs == 0;
        used.refs = used.refs.saturating_add(1);
        let kind = used.mode & mode::TYPE;
        let due = if self.fs.incompat(incompat::FILETYPE) {
            type_of(kind)
        } else {
            0
        };
        self.log.check(
            entry.kind == due || type_of(kind) == 0,
            "ext4-dir-type",
            || {
                (
                    place,
                    format!(
                        "`{}` has the file type {}, its inode {} the type {due}",
                        shown(),
                        entry.kind,
                        entry.ino
                    ),
                )
            },
        );
        if kind == mode::DIR && first {
            self.subdirs.entry(dir.ino).or_default().push(entry.ino);
        }
        self.names
            .entry(entry.ino)
            .or_insert_with(|| (dir.ino, entry.name.to_vec()));
    }

    /// Link counts, one parent for each directory, everything reached from the root.
    pub(super) fn check_links(&mut self) {
        if self.names_broken {
            return;
        }
        self.check_parents();
        let reached = self.reached();
        // A directory that had too many subdirectories once keeps the count of 1.
        let indexed: BTreeSet<u32> = self
            .dirs
            .iter()
            .filter(|dir| dir.flags & inode_flags::INDEX != 0)
            .map(|dir| dir.ino)
            .collect();
        let used: Vec<(u32, UsedInode)> =
            self.used.iter().map(|(ino, used)| (*ino, *used)).collect();
        for (ino, used) in used {
            if self.is_nameless(ino) {
                continue;
            }
            let is_dir = used.mode & mode::TYPE == mode::DIR;
            let place = self.at(ino);
            let there = if is_dir {
                reached.contains(&ino)
            } else {
                used.refs > 0
            };
            if !self.log.check(there, "ext4-unreachable", || {
                (
                    place.clone(),
                    "the inode is in use but no path from the root leads to it".into(),
                )
            }) {
                continue;
            }
            let due = if is_dir {
                self.dir_links(ino)
            } else {
                used.refs
            };
            let links = u32::from(used.links);
            let many = is_dir
                && links == 1
                && self.fs.ro_compat(ro_compat::DIR_NLINK)
                && indexed.contains(&ino);
            self.log.check(links == due || many, "ext4-links", || {
                (
                    place,
                    format!("the inode has {links} links, {due} names were counted"),
                )
            });
        }
    }

    /// Links of a directory: its name, its `.`, the `..` of each subdirectory; 1 if that exceeds
    /// the limit of the field.
    fn dir_links(&self, ino: u32) -> u32 {
        let below = self.subdirs.get(&ino).map_or(0, Vec::len);
        let links = u32::try_from(below).unwrap_or(u32::MAX).saturating_add(2);
        if links > LINK_MAX && self.fs.ro_compat(ro_compat::DIR_NLINK) {
            1
        } else {
            links
        }
    }

    fn check_parents(&mut self) {
        for (dir, below) in std::mem::take(&mut self.subdirs) {
            for child in &below {
                let place = self.at(*child);
                let refs = self.used.get(child).map_or(0, |used| used.refs);
                self.log.check(refs == 1, "ext4-dir-parents", || {
                    (
                        place.clone(),
                        format!("the directory has {refs} names, not 1"),
                    )
                });
                let found = self.parents.get(child).copied().unwrap_or(dir);
                self.log
                    .check(refs != 1 || found == dir, "ext4-dir-dots", || {
                        (
                            place,
                            format!(
                                "`..` is inode {found}, but inode {dir} contains the directory"
                            ),
                        )
                    });
            }
            self.subdirs.insert(dir, below);
        }
        let place = self.at(ROOT_INO);
        let found = self.parents.get(&ROOT_INO).copied().unwrap_or(ROOT_INO);
        self.log.check(found == ROOT_INO, "ext4-dir-dots", || {
            (
                place,
                format!("`..` of the root is inode {found}, not {ROOT_INO}"),
            )
        });
    }

    /// The directories that are reachable from the root.
    fn reached(&self) -> BTreeSet<u32> {
        let mut reached = BTreeSet::from([ROOT_INO]);
        let mut todo = vec![ROOT_INO];
        while let Some(dir) = todo.pop() {
            for child in self.subdirs.get(&dir).into_iter().flatten() {
                if reached.insert(*child) {
                    todo.push(*child);
                }
            }
        }
        reached
    }
}

/// `file_type` for the type bits of a mode.
fn type_of(kind: u16) -> u8 {
    match kind {
        mode::FILE => file_type::FILE,
        mode::DIR => file_type::DIR,
        mode::CHAR => file_type::CHAR,
        mode::BLOCK => file_type::BLOCK,
        mode::FIFO => file_type::FIFO,
        mode::SOCKET => file_type::SOCKET,
        mode::SYMLINK => file_type::SYMLINK,
        _ => 0,
    }
}
