//! The hash index of large directories (kernel's page `directory`, "Hash Tree Directories").
//!
//! ```text
//! block 0:  `.` | `..` | info (8 bytes) | limit, count, block | hash, block | ...
//! node:     an empty entry (8 bytes)    | limit, count, block | hash, block | ...
//! ```

use super::dirs::entries;
use super::{Checker, Directory, hash};
use crate::fs::ext4::format::{crc32c, incompat};
use crate::tree::show;
use std::collections::BTreeMap;

/// Where the info stands in block 0, and where entries begin there and in other nodes.
const INFO: usize = 24;
const ROOT_ENTRIES: usize = 32;
const NODE_ENTRIES: usize = 8;
/// `s_flags`: names are hashed as unsigned bytes.
const UNSIGNED: u32 = 2;

/// The hashes that names of a leaf may have.
#[derive(Clone, Debug)]
pub(super) struct HashRange {
    version: u8,
    least: u32,
    /// The first hash of the next leaf; with its lowest bit set names of that hash may stand in
    /// both.
    next: Option<u32>,
}

/// The blocks of a directory that its index names: leaves with the bounds of their hashes, nodes
/// without.
pub(super) type DirIndex = BTreeMap<u64, Option<HashRange>>;

struct IndexWalk<'d> {
    dir: &'d Directory,
    version: u8,
    found: DirIndex,
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

impl Checker<'_> {
    /// Checks the index of a directory; `None` when it is damaged, so that nothing is known of its
    /// leaves.
    pub(super) fn check_index(&mut self, dir: &Directory) -> Option<DirIndex> {
        let (root, physical) = self.dir_bytes(dir, 0)?;
        let (reserved, stored, len, levels, flags) = (
            le32(&root, INFO),
            *root.get(INFO + 4)?,
            *root.get(INFO + 5)?,
            *root.get(INFO + 6)?,
            *root.get(INFO + 7)?,
        );
        let most = if self.fs.incompat(incompat::LARGEDIR) {
            2
        } else {
            1
        };
        let unsigned = self.fs.sb.s_flags.get() & UNSIGNED != 0;
        let version = if stored <= 2 && unsigned {
            stored + 3
        } else {
            stored
        };
        let place = self.at_block(dir.ino, physical);
        let good = reserved == 0 && stored <= 5 && len == 8 && levels <= most && flags == 0;
        let good = self.log.check(good, "ext4-dir-index", || {
            (place, format!("the index has reserved bytes {reserved:#x}, hash version {stored}, {len} bytes of info, {levels} levels, flags {flags:#x}"))
        });
        if !good {
            return None;
        }
        let mut walk = IndexWalk {
            dir,
            version,
            found: DirIndex::new(),
        };
        let whole = self.index_node(&mut walk, 0, levels, (0, None));
        let (named, due) = (walk.found.len() as u64, dir.blocks - 1);
        let place = self.at(dir.ino);
        let whole = whole && self.log.check(named == due, "ext4-dir-index", || {
            (
                place,
                format!(
                    "the index names {named} blocks where the directory has {due} besides the first"
                ),
            )
        });
        whole.then_some(walk.found)
    }

    /// A node whose hashes lie within `bounds`. False when it is damaged.
    fn index_node(
        &mut self,
        walk: &mut IndexWalk<'_>,
        number: u64,
        levels: u8,
        bounds: (u32, Option<u32>),
    ) -> bool {
        let Some((bytes, physical)) = self.dir_bytes(walk.dir, number) else {
            return false;
        };
        let start = if number == 0 {
            ROOT_ENTRIES
        } else {
            NODE_ENTRIES
        };
        let place = self.at_block(walk.dir.ino, physical);
        let (limit, count) = (
            usize::from(le16(&bytes, start)),
            usize::from(le16(&bytes, start + 2)),
        );
        let room = (bytes.len() - start - if self.fs.has_checksums() { 8 } else { 0 }) / 8;
        let empty =
            || entries(&bytes).is_ok_and(|list| matches!(list.as_slice(), [one] if one.ino == 0));
        let good = limit == room && (1..=limit).contains(&count) && (number == 0 || empty());
        let good = self.log.check(good, "ext4-dir-index", || {
            (place.clone(), format!("an index node has {count} entries and room for {limit} where there is room for {room}"))
        });
        if !good {
            return false;
        }
        self.check_index_checksum(walk.dir, &bytes, physical, start, limit, count);
        let hash = |at: usize| {
            if at == 0 {
                bounds.0
            } else {
                le32(&bytes, start + 8 * at)
            }
        };
        let mut whole = true;
        for at in 0..count {
            let (least, block) = (
                hash(at),
                u64::from(le32(&bytes, start + 8 * at + 4) & 0x0FFF_FFFF),
            );
            let next = if at + 1 < count {
                Some(hash(at + 1))
            } else {
                bounds.1
            };
            let ordered = next.is_none_or(|next| least & !1 <= next);
            let fresh = block > 0 && block < walk.dir.blocks && !walk.found.contains_key(&block);
            let good = self.log.check(ordered && fresh, "ext4-dir-index", || {
                let what = if fresh { "out of order" } else { "outside the directory or in the index twice" };
                (place.clone(), format!("an index entry with the hash {least:#x} for block {block} of the directory is {what}"))
            });
            whole &= good && self.index_child(walk, block, levels, (least, next));
        }
        whole
    }

    fn index_child(
        &mut self,
        walk: &mut IndexWalk<'_>,
        block: u64,
        levels: u8,
        bounds: (u32, Option<u32>),
    ) -> bool {
        if levels > 0 {
            walk.found.insert(block, None);
            return self.index_node(walk, block, levels - 1, bounds);
        }
        walk.found.insert(
            block,
            Some(HashRange {
                version: walk.version,
                least: bounds.0,
                next: bounds.1,
            }),
        );
        true
    }

    /// `struct dx_tail`, behind the room for entries: its checksum covers the entries in use.
    fn check_index_checksum(
        &mut self,
        dir: &Directory,
        bytes: &[u8],
        physical: u64,
        start: usize,
        limit: usize,
        count: usize,
    ) {
        if !self.fs.has_checksums() {
            return;
        }
        let tail = start + 8 * limit;
        let stored = le32(bytes, tail + 4);
        let used = crc32c(dir.seed, bytes.get(..start + 8 * count).unwrap_or_default());
        let computed = crc32c(
            crc32c(used, bytes.get(tail..tail + 4).unwrap_or_default()),
            &[0; 4],
        );
        let place = self.at_block(dir.ino, physical);
        self.log.check(stored == computed, "ext4-dir-checksum", || {
            (place, format!("the index node has the checksum {stored:#010x} where its bytes give {computed:#010x}"))
        });
    }

    /// A name stands in the leaf that the index gives for its hash.
    pub(super) fn check_hash(
        &mut self,
        dir: &Directory,
        physical: u64,
        name: &[u8],
        bounds: &HashRange,
    ) {
        let seed = [0, 1, 2, 3].map(|at: usize| self.fs.sb.s_hash_seed[at].get());
        let Some(hash) = hash::hash(bounds.version, name, &seed) else {
            return;
        };
        // The lowest bit of the next leaf's hash says that names of that very hash begin here
        // already.
        let end = bounds
            .next
            .map_or(u64::MAX, |next| u64::from(next & !1) + u64::from(next & 1));
        let inside = hash >= bounds.least & !1 && u64::from(hash) < end;
        let place = self.at_block(dir.ino, physical);
        self.log.check(inside, "ext4-dir-hash", || {
            let next = bounds
                .next
                .map_or_else(|| "the end".to_owned(), |next| format!("{next:#x}"));
            (
                place,
                format!(
                    "`{}` has the hash {hash:#x} in a block for {:#x} to {next}",
                    show(name),
                    bounds.least
                ),
            )
        });
    }
}
