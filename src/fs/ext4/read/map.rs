//! Which blocks a file has: extent trees (page `ifork`) and the indirect block maps of ext2 and
//! ext3.

use super::claims::Claims;
use super::error::{Error, Fault, Place};
use super::inode::Inode;
use super::superblock::{MAX_FILE_BLOCKS, SHARED_BLOCKS};
use super::volume::Volume;
use crate::fs::ext4::format::{
    EXTENT_MAGIC, Extent, ExtentHeader, ExtentIdx, MAX_EXTENT_LEN, crc32c, inode_flags,
};
use crate::stream::{Content, Run};
use crate::units::len_u64;
use std::sync::Arc;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Levels of an extent tree below the inode: five hold 2^32 blocks even with the smallest blocks.
const MAX_DEPTH: u16 = 5;
/// Bytes of an extent header and of each entry after it.
const ENTRY: usize = 12;
/// Blocks that the inode of an indirect map names itself.
const DIRECT: usize = 12;

/// Blocks of a file that lie together on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First block in the file.
    pub(super) logical: u64,
    /// First block in the filesystem.
    pub(super) physical: u64,
    /// Number of blocks in the span.
    pub(super) len: u64,
    /// Whether the blocks were written; those that are only allocated read as zeros.
    pub(super) written: bool,
}

/// The blocks that hold the content of `inode` up to its size, in order; unwritten extents count as
/// holes. All blocks it owns, also those of its map, are taken from `claims`.
///
/// # Errors
/// [`Error`] at the inode or a block of its map.
pub(super) fn spans(
    volume: &Volume,
    inode: &Inode,
    claims: &mut Claims,
) -> Result<Vec<Span>, Error> {
    let mut spans = all_spans(volume, inode, claims)?;
    spans.retain(|span| span.written);
    Ok(spans)
}

/// As [`spans`], with the unwritten extents.
///
/// # Errors
/// As [`spans`].
pub(super) fn all_spans(
    volume: &Volume,
    inode: &Inode,
    claims: &mut Claims,
) -> Result<Vec<Span>, Error> {
    let end = inode.size.div_ceil(volume.layout.block_size());
    let mut mapper = Mapper {
        volume,
        inode,
        claims,
        spans: Vec::new(),
        next: 0,
        end,
    };
    if inode.flag(inode_flags::EXTENTS) {
        inode
            .place()
            .within("size in blocks", end, 0, MAX_FILE_BLOCKS)?;
        mapper.extents(&inode.raw.i_block, inode.place(), None)?;
    } else {
        mapper.indirect()?;
    }
    Ok(mapper.spans)
}

/// The content of `inode` that `spans` describe: runs of the filesystem's own source, and runs of
/// zeros where blocks are allocated but not written, so that a copy has blocks there too.
pub(super) fn content(volume: &Volume, inode: &Inode, spans: &[Span]) -> Content {
    let block = volume.layout.block_size();
    let mut content = Content::hole(0);
    for span in spans {
        let start = span.logical.saturating_mul(block);
        let len = span
            .len
            .saturating_mul(block)
            .min(inode.size.saturating_sub(start));
        if span.written {
            content.push_range(
                start,
                &volume.view,
                span.physical.saturating_mul(block),
                len,
            );
        } else {
            content.push(Run {
                offset: start,
                len,
                source: Arc::clone(&volume.zeros),
                source_offset: start,
            });
        }
    }
    content.set_len(inode.size);
    content.compact();
    content
}

struct Mapper<'a> {
    volume: &'a Volume,
    inode: &'a Inode,
    claims: &'a mut Claims,
    spans: Vec<Span>,
    /// The first block of the file that may come next.
    next: u64,
    /// The first block after the end of the file.
    end: u64,
}

impl Mapper<'_> {
    /// Takes a range of data blocks; only what lies within the size becomes part of the content.
    fn push(&mut self, place: Place, span: Span) -> Result<(), Error> {
        place.within(
            "first block of an extent",
            span.logical,
            self.next,
            MAX_FILE_BLOCKS.max(self.end),
        )?;
        self.next = span.logical.saturating_add(span.len);
        self.volume.check_range(place, span.physical, span.len)?;
        if !self.volume.layout.ro_compat(SHARED_BLOCKS) {
            self.claims
                .take(self.inode.place(), span.physical, span.len)?;
        }
        let len = span.len.min(self.end.saturating_sub(span.logical));
        if len == 0 {
            return Ok(());
        }
        match self.spans.last_mut() {
            Some(last)
                if last.written == span.written
                    && last.logical.saturating_add(last.len) == span.logical
                    && last.physical.saturating_add(last.len) == span.physical =>
            {
                last.len = last.len.saturating_add(len)
            }
            _ => self.spans.push(Span { len, ..span }),
        }
        Ok(())
    }

    /// Reads a block of the map.
    fn node(&mut self, block: u64) -> Result<Vec<u8>, Error> {
        let place = Place::Block {
            ino: self.inode.ino,
            block,
        };
        self.volume.check_range(place, block, 1)?;
        self.claims.take(place, block, 1)?;
        self.volume.blocks(place, block, 1)
    }

    /// A node of the extent tree; `depth` is what the parent says it must be. Recursion ends at
    /// [`MAX_DEPTH`] levels.
    fn extents(&mut self, bytes: &[u8], place: Place, depth: Option<u16>) -> Result<(), Error> {
        let header = ExtentHeader::read_from_prefix(bytes)
            .map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?
            .0;
        place.equal(
            "magic number of the extent node",
            header.eh_magic.get().into(),
            EXTENT_MAGIC.into(),
        )?;
        match depth {
            Some(depth) => place.equal(
                "depth of the extent node",
                header.eh_depth.get().into(),
                depth.into(),
            )?,
            None => place.within(
                "depth of the extent tree",
                header.eh_depth.get().into(),
                0,
                MAX_DEPTH.into(),
            )?,
        }
        let room = bytes.len().saturating_sub(ENTRY) / ENTRY;
        place.within(
            "room of the extent node",
            header.eh_max.get().into(),
            1,
            len_u64(room),
        )?;
        let least = u64::from(header.eh_depth.get() > 0);
        place.within(
            "entries of the extent node",
            header.eh_entries.get().into(),
            least,
            header.eh_max.get().into(),
        )?;
        if depth.is_some() {
            self.check_node(place, bytes, header.eh_max.get().into())?;
        }
        let entries = bytes.get(ENTRY..).unwrap_or_default();
        match header.eh_depth.get() {
            0 => self.leaf(entries, place, header.eh_entries.get().into()),
            level => self.index(
                entries,
                place,
                header.eh_entries.get().into(),
                level.saturating_sub(1),
            ),
        }
    }

    /// The checksum of a node, in the 4 bytes after the room for entries (`struct
    /// ext4_extent_tail`).
    fn check_node(&self, place: Place, bytes: &[u8], room: usize) -> Result<(), Error> {
        if !self.volume.layout.has_checksums() {
            return Ok(());
        }
        let (front, tail) = bytes
            .split_at_checked(ENTRY.saturating_mul(room.saturating_add(1)))
            .unwrap_or_default();
        let stored = U32::read_from_prefix(tail)
            .map_err(|_| place.corrupt(Fault::Fact("it has no room for its checksum")))?
            .0;
        place.checksum(stored.get(), crc32c(self.inode.seed, front))
    }

    fn leaf(&mut self, entries: &[u8], place: Place, count: usize) -> Result<(), Error> {
        for extent in list::<Extent>(entries, place, count)? {
            let stored = u64::from(extent.ee_len.get());
            let limit = u64::from(MAX_EXTENT_LEN);
            place.within("length of an extent", stored, 1, u64::from(u16::MAX))?;
            let (len, written) = if stored > limit {
                (stored.saturating_sub(limit), false)
            } else {
                (stored, true)
            };
            let physical =
                u64::from(extent.ee_start_hi.get()) << 32 | u64::from(extent.ee_start_lo.get());
            self.push(
                place,
                Span {
                    logical: extent.ee_block.get().into(),
                    physical,
                    len,
                    written,
                },
            )?;
        }
        Ok(())
    }

    fn index(
        &mut self,
        entries: &[u8],
        place: Place,
        count: usize,
        depth: u16,
    ) -> Result<(), Error> {
        for entry in list::<ExtentIdx>(entries, place, count)? {
            let logical = u64::from(entry.ei_block.get());
            place.within(
                "first block of an index entry",
                logical,
                self.next,
                MAX_FILE_BLOCKS,
            )?;
            self.next = logical;
            let block = u64::from(entry.ei_leaf_hi.get()) << 32 | u64::from(entry.ei_leaf_lo.get());
            let node = self.node(block)?;
            self.extents(
                &node,
                Place::Block {
                    ino: self.inode.ino,
                    block,
                },
                Some(depth),
            )?;
        }
        Ok(())
    }

    /// The map of ext2 and ext3: 12 direct blocks, then a tree each of one, two and three levels. A
    /// 0 stands for a hole.
    fn indirect(&mut self) -> Result<(), Error> {
        let place = self.inode.place();
        let per_block = self.volume.layout.block_size() / 4;
        let direct = len_u64(DIRECT);
        let limit = (1..=3).fold(direct, |limit, level| {
            limit.saturating_add(per_block.saturating_pow(level))
        });
        place.within("size in blocks", self.end, 0, limit)?;
        let pointers = list::<U32>(&self.inode.raw.i_block, place, DIRECT + 3)?;
        let (blocks, trees) = pointers.split_at_checked(DIRECT).unwrap_or_default();
        self.pointers(blocks, place, 0, 0)?;
        let mut logical = direct;
        for (level, root) in (1..).zip(trees) {
            self.pointers(std::slice::from_ref(root), place, logical, level)?;
            logical = logical.saturating_add(per_block.saturating_pow(level));
        }
        Ok(())
    }

    /// Pointers that begin at block `logical` of the file and lead through `level` more blocks of
    /// pointers (at most 3).
    fn pointers(
        &mut self,
        pointers: &[U32],
        place: Place,
        mut logical: u64,
        level: u32,
    ) -> Result<(), Error> {
        let step = (self.volume.layout.block_size() / 4).saturating_pow(level);
        for pointer in pointers {
            if logical >= self.end {
                break;
            }
            let physical = u64::from(pointer.get());
            match (physical, level) {
                (0, _) => {}
                (_, 0) => self.push(
                    place,
                    Span {
                        logical,
                        physical,
                        len: 1,
                        written: true,
                    },
                )?,
                _ => {
                    let node = self.node(physical)?;
                    let below = list::<U32>(&node, place, node.len() / 4)?;
                    self.pointers(
                        below,
                        Place::Block {
                            ino: self.inode.ino,
                            block: physical,
                        },
                        logical,
                        level.saturating_sub(1),
                    )?;
                }
            }
            logical = logical.saturating_add(step);
        }
        Ok(())
    }
}

/// The first `count` entries.
fn list<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    bytes: &[u8],
    place: Place,
    count: usize,
) -> Result<&[T], Error> {
    let list = <[T]>::ref_from_prefix_with_elems(bytes, count)
        .map_err(|_| place.corrupt(Fault::Fact("its entries are cut off")))?;
    Ok(list.0)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    /// An extent node of `depth` with entries as three or four numbers: (block, length or 0,
    /// place).
    fn node(depth: u16, entries: &[(u32, u16, u32)], room: u16) -> Vec<u8> {
        let words = |words: [u16; 6]| words.map(u16::to_le_bytes).as_flattened().to_vec();
        let mut out = words([
            EXTENT_MAGIC,
            u16::try_from(entries.len()).unwrap(),
            room,
            depth,
            0,
            0,
        ]);
        for (block, len, place) in entries {
            out.extend(block.to_le_bytes());
            if depth == 0 {
                out.extend([len.to_le_bytes(), [0; 2]].as_flattened());
                out.extend(place.to_le_bytes());
            } else {
                out.extend(place.to_le_bytes());
                out.extend([0; 4]);
            }
        }
        out
    }

    fn map(
        blocks: &[(usize, Vec<u8>)],
        size: u64,
        flags: u32,
        i_block: &[u8],
    ) -> Result<Vec<(u64, u64, u64)>, String> {
        let mut bytes = vec![0; 200 << 10];
        for (number, block) in blocks {
            bytes[number * 1024..][..block.len()].copy_from_slice(block);
        }
        let inode = Inode::small(size, flags, i_block);
        let found = spans(&Volume::small(bytes), &inode, &mut Claims::default())
            .map_err(|e| e.to_string())?;
        Ok(found
            .iter()
            .map(|span| (span.logical, span.physical, span.len))
            .collect())
    }

    fn extents(
        blocks: &[(usize, Vec<u8>)],
        size: u64,
        i_block: &[u8],
    ) -> Result<Vec<(u64, u64, u64)>, String> {
        map(blocks, size, inode_flags::EXTENTS, i_block)
    }

    #[test]
    fn extents_merge_and_end_with_the_file() {
        let leaf = node(0, &[(0, 3, 20), (3, 2, 23), (6, 32769, 30), (9, 10, 40)], 4);
        assert_eq!(
            extents(&[], 12 << 10, &leaf).unwrap(),
            [(0, 20, 5), (9, 40, 3)]
        );
        assert_eq!(extents(&[], 4097, &leaf).unwrap(), [(0, 20, 5)]);
        assert_eq!(extents(&[], 0, &leaf).unwrap(), []);
        let root = node(2, &[(0, 0, 50), (8, 0, 52)], 4);
        let nodes = [
            (50, node(1, &[(0, 0, 51)], 84)),
            (51, leaf),
            (52, node(1, &[(20, 0, 53)], 84)),
            (53, node(0, &[(21, 1, 90)], 84)),
        ];
        let text = "inode 12: first block of an index entry is 8, outside 19 to 4294967296";
        assert_eq!(extents(&nodes, 1 << 20, &root).unwrap_err(), text);
        let root = node(2, &[(0, 0, 50), (19, 0, 52)], 4);
        assert_eq!(
            extents(&nodes, 1 << 20, &root).unwrap(),
            [(0, 20, 5), (9, 40, 10), (21, 90, 1)]
        );
    }

    #[test]
    fn extent_trees_that_cannot_be_are_refused() {
        let bad = |i_block: Vec<u8>| {
            extents(&[(50, node(1, &[(0, 0, 50)], 84))], 1 << 20, &i_block).unwrap_err()
        };
        assert_eq!(
            bad(node(0, &[(0, 1, 200)], 4)),
            "inode 12: block number is 200, outside 1 to 199"
        );
        assert_eq!(
            bad(node(0, &[(0, 2, 199)], 4)),
            "inode 12: last block number is 200, outside 199 to 199"
        );
        assert_eq!(
            bad(node(0, &[(0, 0, 20)], 4)),
            "inode 12: length of an extent is 0, outside 1 to 65535"
        );
        assert_eq!(
            bad(node(0, &[(5, 2, 20), (6, 1, 30)], 4)),
            "inode 12: first block of an extent is 6, outside 7 to 4294967296"
        );
        assert_eq!(
            bad(node(0, &[(5, 2, 20), (8, 1, 21)], 4)),
            "inode 12: 1 blocks from 21 on are in use for something else already"
        );
        assert_eq!(
            bad(node(0, &[], 5)),
            "inode 12: room of the extent node is 5, outside 1 to 4"
        );
        assert_eq!(
            bad(node(6, &[(0, 0, 50)], 4)),
            "inode 12: depth of the extent tree is 6, outside 0 to 5"
        );
        assert_eq!(
            bad(node(2, &[], 4)),
            "inode 12: entries of the extent node is 0, outside 1 to 4"
        );
        assert_eq!(
            bad(node(3, &[(0, 0, 50)], 4)),
            "inode 12: block 50: depth of the extent node is 1 and must be 2"
        );
        let looped =
            "inode 12: block 50: 1 blocks from 50 on are in use for something else already";
        assert_eq!(
            extents(
                &[(50, node(1, &[(0, 0, 50)], 84))],
                1 << 20,
                &node(2, &[(0, 0, 50)], 4)
            )
            .unwrap_err(),
            looped
        );
        assert_eq!(
            bad(vec![0; 60]),
            "inode 12: magic number of the extent node is 0 and must be 62218"
        );
    }

    #[test]
    fn indirect_maps_have_holes_and_three_levels() {
        let words = |words: &[u32]| {
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let root = words(&[20, 21, 0, 23, 0, 0, 0, 0, 0, 0, 0, 24, 50, 51, 52]);
        let mut single = words(&[25, 0, 26]);
        single.resize(1020, 0);
        single.extend(words(&[30]));
        let blocks = [
            (50, single),
            (51, words(&[0, 53])),
            (53, words(&[60])),
            (52, words(&[54])),
            (54, words(&[55])),
            (55, words(&[0, 61])),
        ];
        let found = map(&blocks, 100 << 20, 0, &root).unwrap();
        let double = 12 + 256;
        let triple = double + 256 * 256;
        let expected = [
            (0, 20, 2),
            (3, 23, 1),
            (11, 24, 2),
            (14, 26, 1),
            (267, 30, 1),
            (double + 256, 60, 1),
            (triple + 1, 61, 1),
        ];
        assert_eq!(found, expected);
        assert_eq!(map(&blocks, 13 << 10, 0, &root).unwrap(), expected[..3]);
        assert_eq!(
            map(&[], 2 << 10, 0, &words(&[20, 20])).unwrap_err(),
            "inode 12: 1 blocks from 20 on are in use for something else already"
        );
        assert_eq!(
            map(&[], 2 << 10, 0, &words(&[0, 200])).unwrap_err(),
            "inode 12: block number is 200, outside 1 to 199"
        );
        assert!(
            map(&[], 1 << 50, 0, &root)
                .unwrap_err()
                .starts_with("inode 12: size in blocks is")
        );
    }
}
