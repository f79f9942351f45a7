//! Extent trees: four entries in the inode, 340 in each block below (kernel's page `ifork`, "Extent
//! Tree").
//!
//! ```text
//! i_block:  header | 4 entries          block:  header | 340 entries | checksum
//! ```

use super::super::format::{
    EXTENT_MAGIC, Extent as RawExtent, ExtentHeader, ExtentIdx, MAX_EXTENT_LEN,
};
use super::checksum::ChecksumSeed;
use super::geometry::BLOCK_LEN;
use super::space::Span;
use zerocopy::IntoBytes;

/// Entries in the inode.
const IN_INODE: usize = 4;
/// Entries in a block, with room for the checksum after them (which stays unused without
/// checksums).
const IN_BLOCK: usize = 340;
/// Bytes of a header and of either kind of entry.
const ENTRY_LEN: usize = 12;
/// Where the checksum of a block is.
const TAIL_AT: usize = ENTRY_LEN * (IN_BLOCK + 1);

/// `len` blocks of a file that are contiguous in file and filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// First block in the file.
    pub(super) logical: u32,
    /// First block in the filesystem.
    pub(super) physical: u32,
    /// Blocks, at most [`MAX_EXTENT_LEN`].
    pub(super) len: u32,
}

/// Gives the blocks of a file (`logical`) those of the filesystem (`physical`), of which there are
/// as many.
pub(super) fn assign(logical: &[Span], physical: &[Span]) -> Vec<Extent> {
    let mut out = Vec::with_capacity(logical.len());
    let mut places = physical.iter().copied();
    let mut place = Span { start: 0, len: 0 };
    for span in logical {
        let mut left = *span;
        while left.len > 0 {
            if place.len == 0 {
                let Some(next) = places.next() else {
                    return out;
                };
                place = next;
            }
            let len = left.len.min(place.len).min(MAX_EXTENT_LEN);
            out.push(Extent {
                logical: left.start,
                physical: place.start,
                len,
            });
            (left.start, left.len) = (left.start + len, left.len - len);
            (place.start, place.len) = (place.start + len, place.len - len);
        }
    }
    out
}

/// How many blocks a tree of this many extents has besides the inode.
pub(super) fn node_count(extents: usize) -> usize {
    let (mut level, mut total) = (extents, 0);
    while level > IN_INODE {
        level = level.div_ceil(IN_BLOCK);
        total += level;
    }
    total
}

/// One entry of any level as it is on disk.
type Entry = [u8; ENTRY_LEN];

/// A file without holes in these blocks, as extents.
pub(super) fn contiguous(blocks: &[Span]) -> Vec<Extent> {
    let len = blocks.iter().map(|span| span.len).sum();
    assign(&[Span { start: 0, len }], blocks)
}

/// The tree: what goes into `i_block`, and the blocks at `places` ([`node_count`] of them).
pub(super) fn encode(
    extents: &[Extent],
    places: &[u32],
    checksum_seed: ChecksumSeed,
) -> ([u8; 60], Vec<(u32, Vec<u8>)>) {
    let mut level: Vec<(u32, Entry)> = extents
        .iter()
        .map(|extent| (extent.logical, leaf_entry(extent)))
        .collect();
    let (mut depth, mut places, mut nodes) = (0, places.iter(), Vec::new());
    while level.len() > IN_INODE {
        let mut above = Vec::new();
        for (chunk, place) in level.chunks(IN_BLOCK).zip(&mut places) {
            let mut block = vec![0; BLOCK_LEN];
            fill(&mut block, chunk, IN_BLOCK, depth);
            checksum_seed.write_checksum(&mut block, TAIL_AT, TAIL_AT);
            nodes.push((*place, block));
            above.push((chunk[0].0, index_entry(chunk[0].0, *place)));
        }
        level = above;
        depth += 1;
    }
    let mut root = [0; 60];
    fill(&mut root, &level, IN_INODE, depth);
    (root, nodes)
}

/// Writes a header and entries to the start of `out`.
fn fill(out: &mut [u8], entries: &[(u32, Entry)], max: usize, depth: u16) {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).into();
    let header = ExtentHeader {
        eh_magic: EXTENT_MAGIC.into(),
        eh_entries: count(entries.len()),
        eh_max: count(max),
        eh_depth: depth.into(),
        eh_generation: 0.into(),
    };
    out[..ENTRY_LEN].copy_from_slice(header.as_bytes());
    for (place, (_, entry)) in out[ENTRY_LEN..].chunks_exact_mut(ENTRY_LEN).zip(entries) {
        place.copy_from_slice(entry);
    }
}

fn leaf_entry(extent: &Extent) -> Entry {
    let raw = RawExtent {
        ee_block: extent.logical.into(),
        ee_len: u16::try_from(extent.len).unwrap_or(u16::MAX).into(),
        ee_start_hi: 0.into(),
        ee_start_lo: extent.physical.into(),
    };
    zerocopy::transmute!(raw)
}

fn index_entry(logical: u32, place: u32) -> Entry {
    let raw = ExtentIdx {
        ei_block: logical.into(),
        ei_leaf_lo: place.into(),
        ei_leaf_hi: 0.into(),
        ei_unused: 0.into(),
    };
    zerocopy::transmute!(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Uuid;

    #[test]
    fn blocks_are_assigned_in_order_and_split_at_the_longest_extent() {
        let span = |start, len| Span { start, len };
        let extents = assign(
            &[span(0, 3), span(10, 40_000)],
            &[span(100, 5), span(1000, 39_998)],
        );
        let found: Vec<_> = extents
            .iter()
            .map(|e| (e.logical, e.physical, e.len))
            .collect();
        assert_eq!(
            found,
            [
                (0, 100, 3),
                (10, 103, 2),
                (12, 1000, 32768),
                (32780, 33768, 7230)
            ]
        );
    }

    #[test]
    fn depth_grows_where_it_must() {
        for (extents, nodes) in [
            (0, 0),
            (4, 0),
            (5, 1),
            (340, 1),
            (341, 2),
            (1360, 4),
            (1361, 6),
            (2000, 7),
        ] {
            assert_eq!(node_count(extents), nodes, "{extents}");
        }
        let extents: Vec<_> = (0..1361)
            .map(|n| Extent {
                logical: n * 2,
                physical: 5000 + n * 2,
                len: 1,
            })
            .collect();
        let places: Vec<u32> = (100..106).collect();
        let (root, nodes) = encode(
            &extents,
            &places,
            ChecksumSeed::of_filesystem(Uuid([7; 16]), true).for_inode(12),
        );
        assert_eq!((root[2], root[6], nodes.len()), (1, 2, 6));
        assert_eq!(nodes[5].0, 105);
        assert_eq!(&nodes[5].1[12..20], [0, 0, 0, 0, 100, 0, 0, 0]);
        assert_ne!(&nodes[0].1[4092..], [0; 4]);
    }
}
