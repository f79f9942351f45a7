//! Directories of FAT: chains, entries, long names.

use super::checker::Checker;
use super::geometry::{EntryWidth, le16, le32};
use crate::tree::show;
use crate::verify::numbers::widen;
use std::collections::BTreeSet;

const ENTRY: usize = 32;
/// Bits of `DIR_Attr` in an entry.
const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG: u8 = 0x0F;
const LONG_MASK: u8 = 0x3F;
/// A directory has at most 65536 entries.
const MAX_DIR: u64 = 2 << 20;
const MAX_DEPTH: usize = 128;
/// The offsets of the 13 UTF-16 units of a long name in each of its entries.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// A directory that is still to be read.
struct PendingDirectory {
    path: String,
    /// Number of its first cluster.
    first: u32,
    /// The first cluster of its parent, 0 for the root; `None` for the root itself.
    parent: Option<u32>,
    depth: usize,
}

/// A long name of which some entries were read.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    /// The number that the next part must have; 0: complete.
    due: u8,
    /// The checksum of the short name that follows.
    checksum: u8,
}

impl Checker<'_> {
    /// Reads every directory from the root on and follows the chain of every file.
    pub(super) fn check_tree(&mut self) {
        let mut todo = vec![PendingDirectory {
            path: String::new(),
            first: self.geometry.root_cluster,
            parent: None,
            depth: 0,
        }];
        while let Some(dir) = todo.pop() {
            let Some(bytes) = self.dir_bytes(&dir) else {
                self.broken = true;
                continue;
            };
            self.entries(&dir, &bytes, &mut todo);
        }
    }

    fn dir_bytes(&mut self, dir: &PendingDirectory) -> Option<Vec<u8>> {
        let shown = if dir.path.is_empty() { "/" } else { &dir.path };
        if dir.parent.is_none() && self.geometry.width != EntryWidth::Fat32 {
            return self.bytes(shown, self.geometry.root, self.geometry.root_len);
        }
        let chain = self.chain(shown, dir.first)?;
        let len = widen(chain.len()).saturating_mul(self.geometry.cluster);
        let place = self.place().path(shown);
        if !self.log.check(len <= MAX_DIR && dir.depth < MAX_DEPTH, "fat-chain", || {
            (place, format!("the directory has {len} bytes at depth {}, more than {MAX_DIR} or {MAX_DEPTH}", dir.depth))
        }) {
            return None;
        }
        let mut out = Vec::new();
        for cluster in chain {
            out.extend(self.bytes(shown, self.geometry.offset(cluster)?, self.geometry.cluster)?);
        }
        Some(out)
    }

    fn bytes(&mut self, path: &str, offset: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        match self.source.read_exact_at(offset, &mut bytes) {
            Ok(()) => Some(bytes),
            Err(e) => {
                self.log.error(
                    "fat-unreadable",
                    self.place_of(path).offset(offset),
                    format!("reading {len} bytes: {e}"),
                );
                None
            }
        }
    }

    /// The clusters from `first` on; `None`, reported, when the chain leaves the table or reaches a
    /// cluster of another file.
    fn chain(&mut self, path: &str, first: u32) -> Option<Vec<u32>> {
        let mut chain = Vec::new();
        let mut at = first;
        loop {
            let place = self.place_of(path);
            let Some(offset) = self.geometry.offset(at) else {
                let text = format!(
                    "its chain names cluster {at}, there are clusters 2 to {}",
                    self.geometry.clusters.saturating_add(1)
                );
                self.log.error("fat-chain", place, text);
                return None;
            };
            if !self.used.take(at) {
                let text =
                    format!("cluster {at} belongs to this file twice, or to another one too");
                self.log.error("fat-shared", place.offset(offset), text);
                return None;
            }
            chain.push(at);
            let next = self.table.entry(at);
            if next >= self.geometry.width.end() {
                return Some(chain);
            }
            at = next;
        }
    }

    fn entries(&mut self, dir: &PendingDirectory, bytes: &[u8], todo: &mut Vec<PendingDirectory>) {
        let mut long: Option<LongName> = None;
        let mut shorts: BTreeSet<[u8; 11]> = BTreeSet::new();
        let mut longs: BTreeSet<String> = BTreeSet::new();
        let dots = self.check_dots(dir, bytes);
        for (number, entry) in bytes.chunks_exact(ENTRY).enumerate().skip(dots) {
            let attributes = byte(entry, 11);
            match byte(entry, 0) {
                0 => break,
                0xE5 => {
                    self.end_long(dir, long.take(), None);
                    continue;
                }
                _ if attributes & LONG_MASK == LONG => {
                    long = self.long_part(dir, number, long, entry);
                    continue;
                }
                _ => {}
            }
            let short: [u8; 11] = entry
                .get(..11)
                .and_then(|name| name.try_into().ok())
                .unwrap_or_default();
            let name = self
                .end_long(dir, long.take(), Some(&short))
                .unwrap_or_else(|| shown(&short));
            if attributes & VOLUME != 0 {
                continue;
            }
            let path = format!("{}/{name}", dir.path);
            let place = self.place_of(&path);
            let valid = short.iter().all(|byte| *byte >= 0x20 || *byte == 0x05) && short[0] != b' ';
            self.log.check(valid, "fat-entry", || {
                (
                    place.clone(),
                    "the short name has invalid characters".into(),
                )
            });
            let fresh = shorts.insert(short) & longs.insert(name.to_lowercase());
            self.log.check(fresh, "fat-duplicate", || {
                (place, "the name occurs twice in its directory".into())
            });
            self.entry(dir, path, entry, todo);
        }
        self.end_long(dir, long, None);
    }

    /// A file's chain is as long as its size; a directory is read later.
    fn entry(
        &mut self,
        dir: &PendingDirectory,
        path: String,
        entry: &[u8],
        todo: &mut Vec<PendingDirectory>,
    ) {
        let high = if self.geometry.width == EntryWidth::Fat32 {
            u32::from(le16(entry, 20)) << 16
        } else {
            0
        };
        let first = high | u32::from(le16(entry, 26));
        let size = u64::from(le32(entry, 28));
        if byte(entry, 11) & DIRECTORY != 0 {
            let parent = if dir.parent.is_none() { 0 } else { dir.first };
            let place = self.place_of(&path);
            self.log.check(size == 0, "fat-entry", || {
                (place, format!("the directory has the size {size}, not 0"))
            });
            todo.push(PendingDirectory {
                path,
                first,
                parent: Some(parent),
                depth: dir.depth.saturating_add(1),
            });
            return;
        }
        let due = size.div_ceil(self.geometry.cluster);
        let chain = if first == 0 {
            Some(Vec::new())
        } else {
            self.chain(&path, first)
        };
        let Some(chain) = chain else {
            self.broken = true;
            return;
        };
        let place = self.place_of(&path);
        self.log.check(widen(chain.len()) == due, "fat-size", || {
            (
                place,
                format!(
                    "{size} bytes need {due} clusters, the chain has {}",
                    chain.len()
                ),
            )
        });
    }

    /// `.` and `..` begin every directory but the root; returns the number of entries to skip.
    fn check_dots(&mut self, dir: &PendingDirectory, bytes: &[u8]) -> usize {
        let Some(parent) = dir.parent else { return 0 };
        let at = |number: usize| bytes.chunks_exact(ENTRY).nth(number).unwrap_or_default();
        let cluster = |entry: &[u8]| {
            u32::from(le16(entry, 26))
                | if self.geometry.width == EntryWidth::Fat32 {
                    u32::from(le16(entry, 20)) << 16
                } else {
                    0
                }
        };
        let named = at(0).starts_with(b".          ") && at(1).starts_with(b"..         ");
        let (own, up) = (cluster(at(0)), cluster(at(1)));
        let root = self.geometry.root_cluster;
        let right = named && own == dir.first && (up == parent || (parent == 0 && up == root));
        let place = self.place_of(&dir.path);
        self.log.check(right, "fat-dots", || {
            (
                place,
                format!(
                    "`.` is cluster {own} and `..` {up}, expected are {} and {parent}",
                    dir.first
                ),
            )
        });
        2
    }

    /// Adds a part of a long name; the last part comes first.
    fn long_part(
        &mut self,
        dir: &PendingDirectory,
        number: usize,
        before: Option<LongName>,
        entry: &[u8],
    ) -> Option<LongName> {
        let (order, checksum) = (byte(entry, 0), byte(entry, 13));
        let units: Vec<u16> = UNITS.iter().map(|at| le16(entry, *at)).collect();
        let starts = order & 0x40 != 0;
        if starts {
            self.end_long(dir, before, None);
            return Some(LongName {
                units,
                due: (order & 0x1F).saturating_sub(1),
                checksum,
            });
        }
        let fits = before
            .as_ref()
            .is_some_and(|long| long.due == order && long.due > 0 && long.checksum == checksum);
        let place = self.place_of(&dir.path);
        self.log.check(fits, "fat-long-name", || {
            (
                place,
                format!(
                    "part {order} of a long name (entry {number}) does not follow the part before it"
                ),
            )
        });
        let mut long = before.filter(|_| fits)?;
        long.units.splice(0..0, units);
        long.due = long.due.saturating_sub(1);
        Some(long)
    }

    /// Ends a long name at the short name that it belongs to, and returns it.
    fn end_long(
        &mut self,
        dir: &PendingDirectory,
        long: Option<LongName>,
        short: Option<&[u8; 11]>,
    ) -> Option<String> {
        let long = long?;
        let computed = short.map(|short| {
            let add = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
            short.iter().fold(0, add)
        });
        let place = self.place_of(&dir.path);
        let units: Vec<u16> = long
            .units
            .iter()
            .copied()
            .take_while(|unit| *unit != 0)
            .collect();
        let name = String::from_utf16_lossy(&units);
        let good = long.due == 0 && computed == Some(long.checksum);
        self.log.check(good, "fat-long-name", || {
            let due = computed.map_or_else(
                || "no short name follows".to_owned(),
                |computed| format!("the short name has {computed:#04x}"),
            );
            (
                place,
                format!(
                    "the long name `{}` has the checksum {:#04x}, {} parts are missing, {due}",
                    show(name.as_bytes()),
                    long.checksum,
                    long.due
                ),
            )
        });
        good.then_some(name)
    }
}

/// The byte at `at` of an entry.
fn byte(entry: &[u8], at: usize) -> u8 {
    entry.get(at).copied().unwrap_or(0)
}

/// A short name for findings.
fn shown(short: &[u8; 11]) -> String {
    let (base, extension) = short.split_at(8);
    let (base, extension) = (
        show(base.trim_ascii_end()),
        show(extension.trim_ascii_end()),
    );
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}
