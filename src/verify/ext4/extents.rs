//! Block maps of files: extent trees, and the indirect blocks of ext2 and ext3. Every block is
//! claimed when a map names it.

use super::checker::{BlockMap, Checker, Run};
use crate::bytes::le32;
use crate::fs::ext4::format::{
    EXTENT_MAGIC, Extent, ExtentHeader, ExtentIdx, Inode, MAX_EXTENT_LEN, crc32c, inode_flags,
};
use std::ops::Range;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// Levels below the inode: five hold 2^32 blocks even with the smallest blocks.
const MAX_DEPTH: u16 = 5;
/// Bytes of the header of a node and of each entry.
const ENTRY: usize = 12;
/// Blocks that an extent tree can address: their numbers in the file have 32 bits.
const MAX_FILE_BLOCKS: u64 = 1 << 32;
/// Blocks that an inode without extents names itself.
const DIRECT: u64 = 12;

/// The state of following one map.
struct MapWalk {
    ino: u32,
    seed: u32,
    /// The first block of the file that may come next.
    next: u64,
    mapped: BlockMap,
}

impl Checker<'_> {
    /// Follows the map of an inode.
    pub(super) fn map(&mut self, ino: u32, raw: &Inode, seed: u32) -> BlockMap {
        let mut walk = MapWalk {
            ino,
            seed,
            next: 0,
            mapped: BlockMap::default(),
        };
        if raw.i_flags.get() & inode_flags::EXTENTS != 0 {
            walk.mapped.most = MAX_FILE_BLOCKS;
            self.extent_node(&mut walk, &raw.i_block, None, None, 0..MAX_FILE_BLOCKS);
        } else {
            self.indirect(&mut walk, &raw.i_block);
        }
        walk.mapped
    }

    /// One fault of a map: reported, and the map counts as broken.
    fn broken(&mut self, walk: &mut MapWalk, code: &'static str, block: Option<u64>, text: String) {
        let place = block.map_or_else(|| self.at(walk.ino), |block| self.at_block(walk.ino, block));
        self.log.error(code, place, text);
        walk.mapped.broken = true;
    }

    /// A node of an extent tree, in the inode (`block` `None`) or in a block; its entries must lie
    /// within `bounds`.
    fn extent_node(
        &mut self,
        walk: &mut MapWalk,
        bytes: &[u8],
        block: Option<u64>,
        depth: Option<u16>,
        bounds: Range<u64>,
    ) {
        let Ok((header, entries)) = ExtentHeader::read_from_prefix(bytes) else {
            return;
        };
        let (magic, found, count, most) = (
            header.eh_magic.get(),
            header.eh_depth.get(),
            header.eh_entries.get(),
            header.eh_max.get(),
        );
        let room = bytes.len().saturating_sub(ENTRY) / ENTRY;
        let due = depth.unwrap_or_else(|| found.min(MAX_DEPTH));
        let faults = [
            (
                magic == EXTENT_MAGIC,
                format!(
                    "the extent node has the magic number {magic:#06x}, not {EXTENT_MAGIC:#06x}"
                ),
            ),
            (
                found == due,
                format!("the extent node has the depth {found}, not {due}"),
            ),
            // Two entries may be missing for a checksum, which needs one.
            (
                (room.saturating_sub(2).max(1)..=room).contains(&usize::from(most)),
                format!("the extent node claims room for {most} entries, there is room for {room}"),
            ),
            (
                count <= most,
                format!("the extent node has {count} entries and room for {most}"),
            ),
            (
                count > 0 || (found == 0 && depth.is_none()),
                "the extent node is empty".to_owned(),
            ),
        ];
        if let Some((_, text)) = faults.into_iter().find(|(holds, _)| !holds) {
            return self.broken(walk, "ext4-extent-tree", block, text);
        }
        let begins = u64::from(le32(entries, 0).unwrap_or(0));
        if block.is_some() && begins != bounds.start {
            let text = format!(
                "the extent node begins with block {begins} of the file, its entry in the index with {}",
                bounds.start
            );
            return self.broken(walk, "ext4-extent-order", block, text);
        }
        self.log.passed(6);
        if let Some(block) = block {
            self.check_node_checksum(walk, bytes, block, most);
        }
        if found == 0 {
            self.leaf(walk, entries, count, block, bounds);
        } else {
            self.index(walk, entries, count, found, block, bounds);
        }
    }

    /// The checksum of a node follows the room for its entries.
    fn check_node_checksum(&mut self, walk: &MapWalk, bytes: &[u8], block: u64, room: u16) {
        let entries = ENTRY.saturating_mul(usize::from(room));
        let Some((front, tail)) = bytes.split_at_checked(ENTRY.saturating_add(entries)) else {
            return;
        };
        if !self.fs.has_checksums() {
            return;
        }
        let stored = U32::read_from_prefix(tail).map_or(0, |(sum, _)| sum.get());
        let computed = crc32c(walk.seed, front);
        let place = self.at_block(walk.ino, block);
        self.log
            .check(stored == computed, "ext4-extent-checksum", || {
                (
                    place,
                    format!(
                        "the extent node has the checksum {stored:#010x}, computed {computed:#010x}"
                    ),
                )
            });
    }

    fn leaf(
        &mut self,
        walk: &mut MapWalk,
        entries: &[u8],
        count: u16,
        block: Option<u64>,
        bounds: Range<u64>,
    ) {
        for bytes in entries.chunks_exact(ENTRY).take(count.into()) {
            let Ok(extent) = Extent::read_from_bytes(bytes) else {
                return;
            };
            let stored = u64::from(extent.ee_len.get());
            let limit = u64::from(MAX_EXTENT_LEN);
            let (len, written) = match stored.checked_sub(limit) {
                Some(len) if len > 0 => (len, false),
                _ => (stored, true),
            };
            let logical = u64::from(extent.ee_block.get());
            let physical =
                u64::from(extent.ee_start_hi.get()) << 32 | u64::from(extent.ee_start_lo.get());
            let (least, end) = (walk.next.max(bounds.start), bounds.end);
            let after = logical.saturating_add(len);
            if len == 0 || logical < least || after > end {
                let text = format!(
                    "an extent of {len} blocks begins at block {logical} of the file, not among {least} to {end}"
                );
                return self.broken(walk, "ext4-extent-order", block, text);
            }
            walk.next = after;
            if !self.claim_blocks(walk, physical, len, "ext4-extent-range", block) {
                return;
            }
            walk.mapped.runs.push(Run {
                logical,
                physical,
                len,
                written,
            });
        }
    }

    fn index(
        &mut self,
        walk: &mut MapWalk,
        entries: &[u8],
        count: u16,
        depth: u16,
        block: Option<u64>,
        bounds: Range<u64>,
    ) {
        let list: Vec<ExtentIdx> = entries
            .chunks_exact(ENTRY)
            .take(count.into())
            .filter_map(|bytes| ExtentIdx::read_from_bytes(bytes).ok())
            .collect();
        for (at, entry) in list.iter().enumerate() {
            let start = u64::from(entry.ei_block.get());
            let end = list
                .get(at.saturating_add(1))
                .map_or(bounds.end, |next| next.ei_block.get().into());
            let least = walk.next.max(bounds.start);
            if start < least || end <= start || end > bounds.end {
                let text = format!(
                    "an index entry covers blocks {start} to {end} of the file, not within {least} to {}",
                    bounds.end
                );
                return self.broken(walk, "ext4-extent-order", block, text);
            }
            let child = u64::from(entry.ei_leaf_hi.get()) << 32 | u64::from(entry.ei_leaf_lo.get());
            let Some(bytes) = self.node(walk, child, "ext4-extent-range", block) else {
                return;
            };
            self.extent_node(
                walk,
                &bytes,
                Some(child),
                Some(depth.saturating_sub(1)),
                start..end,
            );
            if walk.mapped.broken {
                return;
            }
        }
    }

    /// Claims and reads a block of a map.
    fn node(
        &mut self,
        walk: &mut MapWalk,
        child: u64,
        code: &'static str,
        block: Option<u64>,
    ) -> Option<Vec<u8>> {
        if !self.claim_blocks(walk, child, 1, code, block) {
            return None;
        }
        walk.mapped.nodes = walk.mapped.nodes.saturating_add(1);
        let bytes = self.read_block(child);
        walk.mapped.broken |= bytes.is_none();
        bytes
    }

    /// Claims blocks of a file. False when they lie outside or too many are claimed already.
    fn claim_blocks(
        &mut self,
        walk: &mut MapWalk,
        start: u64,
        len: u64,
        code: &'static str,
        block: Option<u64>,
    ) -> bool {
        if !self.fs.inside(start, len) {
            let text = format!(
                "{len} blocks from {start} are outside the blocks {} to {} of the filesystem",
                self.fs.first, self.fs.blocks
            );
            self.broken(walk, code, block, text);
            return false;
        }
        self.log.passed(1);
        let taken = self.claims.claim(start, len, walk.ino);
        walk.mapped.broken |= !taken;
        taken
    }

    /// 12 blocks, then trees of one, two and three levels.
    fn indirect(&mut self, walk: &mut MapWalk, map: &[u8; 60]) {
        let per_block = self.fs.block_size / 4;
        walk.mapped.most = (1..=3).fold(DIRECT, |most, level| {
            most.saturating_add(per_block.saturating_pow(level))
        });
        let (direct, trees) = map.split_at(48);
        self.pointers(walk, direct, None, 0);
        let mut logical = DIRECT;
        for (level, root) in (1..).zip(trees.chunks_exact(4)) {
            walk.next = logical;
            self.pointers(walk, root, None, level);
            logical = logical.saturating_add(per_block.saturating_pow(level));
        }
    }

    /// Pointers that lead through `level` more blocks of pointers (at most 3); the first is for
    /// block `walk.next` of the file.
    fn pointers(&mut self, walk: &mut MapWalk, bytes: &[u8], block: Option<u64>, level: u32) {
        let step = (self.fs.block_size / 4).saturating_pow(level);
        for pointer in bytes.chunks_exact(4) {
            let at = walk.next;
            let physical = u64::from(le32(pointer, 0).unwrap_or(0));
            if physical != 0 && level == 0 {
                if !self.claim_blocks(walk, physical, 1, "ext4-block-map", block) {
                    return;
                }
                push(&mut walk.mapped.runs, at, physical);
            } else if physical != 0 {
                let Some(bytes) = self.node(walk, physical, "ext4-block-map", block) else {
                    return;
                };
                self.pointers(walk, &bytes, Some(physical), level.saturating_sub(1));
                if walk.mapped.broken {
                    return;
                }
            }
            walk.next = at.saturating_add(step);
        }
    }
}

/// Adds one block, to the last run where it continues that.
fn push(runs: &mut Vec<Run>, logical: u64, physical: u64) {
    match runs.last_mut() {
        Some(last) if last.logical_end() == logical && last.physical_end() == physical => {
            last.len = last.len.saturating_add(1);
        }
        _ => runs.push(Run {
            logical,
            physical,
            len: 1,
            written: true,
        }),
    }
}
