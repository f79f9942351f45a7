//! Where everything goes: the plan and the geometry give every block a place, in ascending order -
//! directories, targets and attributes first, then the files in the order of their sources, extent
//! trees last. Where an older filesystem is to be followed, what it has keeps its blocks, and the
//! rest fills what is left.

use super::extents::{Extent, assign, contiguous, node_count};
use super::geometry::Geometry;
use super::plan::{Body, Inode, Plan};
use super::preserve_layout;
use super::space::{Free, Span};
use crate::stream::Source;
use std::collections::HashMap;
use std::sync::Arc;

/// Blocks of all that has no fixed place.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) geometry: Geometry,
    /// Extents of each inode of the plan.
    pub(super) extents: Vec<Vec<Extent>>,
    /// Blocks of each inode's extent tree.
    pub(super) nodes: Vec<Vec<u32>>,
    /// Blocks of extended attributes.
    pub(super) attribute_blocks: Vec<u32>,
    /// The double indirect block of the resize inode.
    pub(super) resize_block: u32,
    /// The journal and its extent tree.
    pub(super) journal: Vec<Extent>,
    pub(super) journal_nodes: Vec<u32>,
}

/// Gives everything its place; `None` when there is too little room.
pub(super) fn lay_out(plan: &Plan<'_>, geometry: Geometry) -> Option<Layout> {
    let preserves = plan.inodes.iter().any(|inode| inode.earlier.is_some());
    // The kept blocks may leave only gaps that are too small for extent trees; without them
    // everything fits.
    let kept = if preserves {
        arrange(plan, geometry.clone(), true)
    } else {
        None
    };
    kept.or_else(|| arrange(plan, geometry, false))
}

fn arrange(plan: &Plan<'_>, mut geometry: Geometry, keep: bool) -> Option<Layout> {
    let journal = contiguous(&geometry.journal);
    let free = &mut geometry.free;
    let mut extents = vec![Vec::new(); plan.inodes.len()];
    let resize_block = free.take(1)?.first()?.start;
    let kept = if keep {
        kept(plan, free)
    } else {
        vec![Vec::new(); plan.inodes.len()]
    };
    for (index, (inode, place)) in plan.inodes.iter().zip(&mut extents).enumerate() {
        if matches!(inode.body, Body::Blocks(_)) {
            let map = inode.body.map();
            *place = if keep {
                whole(&map, &kept[index], free)?
            } else {
                assign(&map, &free.take(length(&map))?)
            };
        }
    }
    let attribute_blocks = flat(&free.take(u32::try_from(plan.attribute_blocks.len()).ok()?)?);
    for index in placement_order(plan) {
        if let Body::Data { map, .. } = &plan.inodes[index].body {
            extents[index] = if keep {
                whole(map, &kept[index], free)?
            } else {
                assign(map, &free.take(length(map))?)
            };
        }
    }
    let mut nodes_for = |extents: &[Extent]| {
        Some(flat(
            &free.take(u32::try_from(node_count(extents.len())).ok()?)?,
        ))
    };
    let nodes = extents
        .iter()
        .map(|extents| nodes_for(extents))
        .collect::<Option<_>>()?;
    let journal_nodes = nodes_for(&journal)?;
    Some(Layout {
        geometry,
        extents,
        nodes,
        attribute_blocks,
        resize_block,
        journal,
        journal_nodes,
    })
}

/// What each inode keeps of the blocks that it had.
fn kept(plan: &Plan<'_>, free: &mut Free) -> Vec<Vec<Span>> {
    let one = |inode: &Inode<'_>| {
        inode.earlier.map_or_else(Vec::new, |location| {
            preserve_layout::take(location, length(&inode.body.map()), free)
        })
    };
    plan.inodes.iter().map(one).collect()
}

/// The blocks `kept` and as many more as the file needs, in one piece where there is one.
fn whole(map: &[Span], kept: &[Span], free: &mut Free) -> Option<Vec<Extent>> {
    let more = length(map) - length(kept);
    let one = if more > 0 {
        free.take_whole(more, 0)
    } else {
        None
    };
    let rest = one
        .map(|start| vec![Span { start, len: more }])
        .or_else(|| free.take(more))?;
    Some(assign(map, &[kept, &rest].concat()))
}

fn length(map: &[Span]) -> u32 {
    map.iter().map(|span| span.len).sum()
}

/// Every block of the spans.
fn flat(spans: &[Span]) -> Vec<u32> {
    spans
        .iter()
        .flat_map(|span| span.start..span.end())
        .collect()
}

/// The files with data: by source, the one that most files come from first, and by their place in
/// it; so a golden image is read from front to back, and files that have a source of their own
/// follow in the order of their paths.
fn placement_order(plan: &Plan<'_>) -> Vec<usize> {
    let mut sources: HashMap<*const (), (usize, usize)> = HashMap::new();
    let mut files = Vec::new();
    for (index, inode) in plan.inodes.iter().enumerate() {
        let Body::Data { content, .. } = &inode.body else {
            continue;
        };
        let Some(run) = content.runs().first() else {
            continue;
        };
        let source = identity(&run.source);
        sources.entry(source).or_insert((0, index)).0 += 1;
        files.push((source, run.source_offset, index));
    }
    files.sort_by_cached_key(|(source, offset, index)| {
        let (files, first) = sources[source];
        (std::cmp::Reverse(files), first, *offset, *index)
    });
    files.into_iter().map(|(_, _, index)| index).collect()
}

/// What tells sources apart; its value is of no meaning, so nothing is ordered by it.
pub(super) fn identity(source: &Source) -> *const () {
    Arc::as_ptr(source).cast()
}
