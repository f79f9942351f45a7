//! The disk image before it is written: its parts as contents, and its block map.

use crate::image::output::{BlockMap, MappedRange, range_digests};
use crate::plan::layout::Layout;
use crate::stream::Content;
use std::io;
use std::ops::Range;

/// The parts of the disk image that are known before the root filesystem is read.
pub(crate) struct DiskParts<'a> {
    /// Offsets of all partitions.
    pub(crate) layout: Layout,
    /// Offsets and bytes of the partition tables and of all else outside the partitions, in
    /// ascending order.
    pub(crate) unpartitioned: &'a [(u64, Vec<u8>)],
    /// The boot filesystem, or those of all partitions in front of the slots.
    pub(crate) boot: &'a Content,
    /// The root filesystem, not padded to the length of its slot.
    pub(crate) root: &'a Content,
    /// Whether slot B gets a copy of the root filesystem.
    pub(crate) copy_to_b: bool,
}

impl DiskParts<'_> {
    /// The whole disk; slot B consists of the same runs as slot A.
    pub(crate) fn content(&self, data: &Content) -> Content {
        let layout = &self.layout;
        let slots = if self.copy_to_b { 2 } else { 1 };
        let parts = [self.boot, data].map(|part| part.runs().len());
        let runs = parts.iter().sum::<usize>() + slots * self.root.runs().len();
        let mut disk = Content::hole(0);
        disk.reserve(runs + self.unpartitioned.len());
        self.push_unpartitioned(&mut disk, 0..layout.boot.start);
        disk.push_content(layout.boot.start, self.boot);
        disk.push_content(layout.root_a.start, self.root);
        if self.copy_to_b {
            disk.push_content(layout.root_b.start, self.root);
        }
        disk.push_content(layout.data.start, data);
        self.push_unpartitioned(&mut disk, layout.data.end()..layout.total);
        disk.set_len(layout.total);
        disk
    }

    /// Appends to `disk`, which ends at or before `range`, the bytes outside the partitions that
    /// begin within `range`.
    pub(super) fn push_unpartitioned(&self, disk: &mut Content, range: Range<u64>) {
        for (offset, bytes) in self
            .unpartitioned
            .iter()
            .filter(|(offset, _)| range.contains(offset))
        {
            disk.push_bytes(*offset, bytes.clone());
        }
    }

    /// The block map; `root` holds the digests of the root filesystem from its one pass.
    pub(super) fn block_map(&self, root: &[MappedRange], data: &Content) -> io::Result<BlockMap> {
        let layout = &self.layout;
        let mut tables = Content::hole(layout.total);
        self.push_unpartitioned(&mut tables, 0..layout.total);
        let slot_b = if self.copy_to_b { root } else { &[] };
        let (boot, data) = (range_digests(self.boot)?, range_digests(data)?);
        let parts = [
            (layout.boot.start, &boot[..]),
            (layout.root_a.start, root),
            (layout.root_b.start, slot_b),
            (layout.data.start, &data),
        ];
        let mut ranges = range_digests(&tables)?;
        for (start, part) in parts {
            ranges.extend(part.iter().map(|mapped| MappedRange {
                bytes: start + mapped.bytes.start..start + mapped.bytes.end,
                sha256: mapped.sha256,
            }));
        }
        ranges.sort_unstable_by_key(|mapped| mapped.bytes.start);
        Ok(BlockMap {
            size: layout.total,
            ranges,
        })
    }
}
