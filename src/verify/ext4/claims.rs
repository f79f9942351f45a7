//! The owners of blocks: collected in any order, then sorted, so that memory grows with the blocks
//! in use and not with the disk.

use std::ops::Range;

/// The owner of superblocks, descriptors, bitmaps and inode tables; no inode has the number 0.
pub(super) const METADATA: u32 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    start: u64,
    len: u64,
    owner: u32,
}

/// Claims of blocks by inodes and by the filesystem's own structures.
#[derive(Debug)]
pub(super) struct Claims {
    list: Vec<Claim>,
    /// Claimed blocks, counted as often as they are claimed.
    total: u64,
    /// The number of blocks of the filesystem.
    limit: u64,
    metadata: Vec<Range<u64>>,
}

/// Blocks that two owners claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) owners: [u32; 2],
}

impl Claims {
    /// For a filesystem of `blocks` blocks.
    pub(super) fn new(blocks: u64) -> Self {
        Self {
            list: Vec::new(),
            total: 0,
            limit: blocks,
            metadata: Vec::new(),
        }
    }

    /// Adds `len` blocks from `start` for `owner`. False once more blocks are claimed than there
    /// are: some are then claimed twice, and following more maps would only cost time.
    pub(super) fn claim(&mut self, start: u64, len: u64, owner: u32) -> bool {
        let full = self.total > self.limit;
        if !full {
            self.list.push(Claim { start, len, owner });
            self.total = self.total.saturating_add(len);
        }
        !full
    }

    /// Sorts the claims; returns the blocks that have several owners (at most `most` ranges) and
    /// all claimed ranges, merged.
    pub(super) fn resolve(&mut self, most: usize) -> (Vec<Overlap>, Vec<Range<u64>>) {
        self.list.sort_unstable();
        for claim in self.list.iter().filter(|claim| claim.owner == METADATA) {
            merge(
                &mut self.metadata,
                claim.start..claim.start.saturating_add(claim.len),
            );
        }
        let mut overlaps = Vec::new();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut reach = (0, METADATA);
        for claim in &self.list {
            let end = claim.start.saturating_add(claim.len);
            if claim.start < reach.0 && overlaps.len() < most {
                let len = end.min(reach.0).saturating_sub(claim.start);
                overlaps.push(Overlap {
                    start: claim.start,
                    len,
                    owners: [reach.1, claim.owner],
                });
            }
            merge(&mut ranges, claim.start..end);
            if end > reach.0 {
                reach = (end, claim.owner);
            }
        }
        (overlaps, ranges)
    }

    /// The blocks of [`METADATA`], merged; known after [`Claims::resolve`].
    pub(super) fn metadata(&self) -> &[Range<u64>] {
        &self.metadata
    }
}

/// Adds a range to sorted ones; it begins no earlier than the last.
fn merge(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_named_and_ranges_merged() {
        let mut claims = Claims::new(100);
        for (start, len, owner) in [(10, 5, 12), (0, 10, METADATA), (14, 1, 13), (20, 2, 14)] {
            assert!(claims.claim(start, len, owner));
        }
        let (overlaps, ranges) = claims.resolve(9);
        assert_eq!(
            overlaps,
            [Overlap {
                start: 14,
                len: 1,
                owners: [12, 13]
            }]
        );
        assert_eq!(ranges, [0..15, 20..22]);
        assert!(claims.claim(0, 90, 15));
        assert!(!claims.claim(0, 1, 15));
    }
}
