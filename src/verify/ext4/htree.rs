//! The hash index of large directories (kernel's page `directory`, "Hash Tree Directories").
//!
//! ```text
//! block 0:  `.` | `..` | info (8 bytes) | limit, count, block | hash, block | ...
//! node:     an empty entry (8 bytes)    | limit, count, block | hash, block | ...
//! ```

use super::checker::{Checker, Directory};
use super::entries::entries;
use super::hash;
use crate::bytes::{le16, le32};
use crate::fs::ext4::format::{crc32c, incompat};
use crate::tree::show;
use crate::verify::numbers::widen;
use std::collections::BTreeMap;

/// The offset of the info in block 0, and of the entries there and in other nodes.
const INFO: usize = 24;
const ROOT_ENTRIES: usize = 32;
const NODE_ENTRIES: usize = 8;
/// Bytes of an entry: hash and block.
const ENTRY: usize = 8;
/// `unused_flags`: the index is of a kind that is not known (`EXT2_HASH_FLAG_INCOMPAT`).
const INCOMPATIBLE: u8 = 1;
/// `s_flags`: names are hashed as unsigned bytes.
const UNSIGNED: u32 = 2;

/// The hashes that names of a leaf may have.
#[derive(Clone, Debug)]
pub(super) struct HashRange {
    version: u8,
    least: u32,
    /// The first hash of the next leaf; with its lowest bit set, names of that hash may be in
    /// both.
    next: Option<u32>,
}

/// The blocks of a directory that its index names: leaves with the bounds of their hashes, nodes
/// without.
pub(super) type DirIndex = BTreeMap<u64, Option<HashRange>>;

/// The state of following one index.
struct IndexWalk<'d> {
    dir: &'d Directory,
    version: u8,
    found: DirIndex,
}

/// The offset of the `at`th entry of a node whose entries begin at `start`.
fn entry_offset(start: usize, at: usize) -> usize {
    start.saturating_add(at.saturating_mul(ENTRY))
}

impl Checker<'_> {
    /// Checks the index of a directory; `None` when it is damaged, so that its leaves are unknown.
    pub(super) fn check_index(&mut self, dir: &Directory) -> Option<DirIndex> {
        let (root, physical) = self.dir_bytes(dir, 0)?;
        let (reserved, stored, len, levels, flags) = (
            le32(&root, INFO)?,
            *root.get(const { INFO + 4 })?,
            *root.get(const { INFO + 5 })?,
            *root.get(const { INFO + 6 })?,
            *root.get(const { INFO + 7 })?,
        );
        let most = if self.fs.incompat(incompat::LARGEDIR) {
            2
        } else {
            1
        };
        let unsigned = self.fs.sb.s_flags.get() & UNSIGNED != 0;
        let version = if stored <= 2 && unsigned {
            stored.saturating_add(3)
        } else {
            stored
        };
        let place = self.at_block(dir.ino, physical);
        let good =
            reserved == 0 && stored <= 5 && len == 8 && levels <= most && flags & INCOMPATIBLE == 0;
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
        let (named, due) = (widen(walk.found.len()), dir.blocks.saturating_sub(1));
        let place = self.at(dir.ino);
        let whole = whole
            && self.log.check(named == due, "ext4-dir-index", || {
                (
                    place,
                    format!(
                        "the index names {named} blocks, the directory has {due} after the first"
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
            usize::from(le16(&bytes, start).unwrap_or(0)),
            usize::from(le16(&bytes, start.saturating_add(2)).unwrap_or(0)),
        );
        let tail = if self.fs.has_checksums() { 8 } else { 0 };
        let room = bytes.len().saturating_sub(start.saturating_add(tail)) / ENTRY;
        let empty =
            || entries(&bytes).is_ok_and(|list| matches!(list.as_slice(), [one] if one.ino == 0));
        let good = limit == room && (1..=limit).contains(&count) && (number == 0 || empty());
        let good = self.log.check(good, "ext4-dir-index", || {
            (place.clone(), format!("an index node has {count} entries and claims room for {limit}, there is room for {room}"))
        });
        if !good {
            return false;
        }
        self.check_index_checksum(walk.dir, &bytes, physical, start, limit, count);
        let hash = |at: usize| {
            if at == 0 {
                bounds.0
            } else {
                le32(&bytes, entry_offset(start, at)).unwrap_or(0)
            }
        };
        let mut whole = true;
        for at in 0..count {
            let block = le32(&bytes, entry_offset(start, at).saturating_add(4)).unwrap_or(0);
            let (least, block) = (hash(at), u64::from(block & 0x0FFF_FFFF));
            let after = at.saturating_add(1);
            let next = if after < count {
                Some(hash(after))
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
            return self.index_node(walk, block, levels.saturating_sub(1), bounds);
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

    /// `struct dx_tail`, after the room for entries: its checksum covers the entries in use.
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
        let (used, tail) = (entry_offset(start, count), entry_offset(start, limit));
        let checksum_at = tail.saturating_add(4);
        let stored = le32(bytes, checksum_at).unwrap_or(0);
        let used = crc32c(dir.seed, bytes.get(..used).unwrap_or_default());
        let computed = crc32c(
            crc32c(used, bytes.get(tail..checksum_at).unwrap_or_default()),
            &[0; 4],
        );
        let place = self.at_block(dir.ino, physical);
        self.log.check(stored == computed, "ext4-dir-checksum", || {
            (
                place,
                format!(
                    "the index node has the checksum {stored:#010x}, computed {computed:#010x}"
                ),
            )
        });
    }

    /// A name is in the leaf that the index gives for its hash.
    pub(super) fn check_hash(
        &mut self,
        dir: &Directory,
        physical: u64,
        name: &[u8],
        bounds: &HashRange,
    ) {
        let seed = self.fs.sb.s_hash_seed.map(|word| word.get());
        let Some(hash) = hash::hash(bounds.version, name, &seed) else {
            return;
        };
        // With the lowest bit of the next leaf's hash set, names of that hash begin in this leaf.
        let end = bounds.next.map_or(u64::MAX, |next| {
            u64::from(next & !1).saturating_add((next & 1).into())
        });
        let inside = hash >= bounds.least & !1 && u64::from(hash) < end;
        let place = self.at_block(dir.ino, physical);
        self.log.check(inside, "ext4-dir-hash", || {
            let next = bounds
                .next
                .map_or_else(|| "the end".to_owned(), |next| format!("{next:#x}"));
            (
                place,
                format!(
                    "`{}` has the hash {hash:#x}, its block is for {:#x} to {next}",
                    show(name),
                    bounds.least
                ),
            )
        });
    }
}
