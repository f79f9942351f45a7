//! Keeps the inode numbers and blocks of an earlier filesystem: a file that has not grown stays
//! where it was.

use super::super::file_layout::{FileLayout, FileLocation};
use super::super::format::{FIRST_INO, ROOT_INO};
use super::collect::{NodeKind, Nodes, index_of};
use super::space::{Free, Span};
use std::collections::BTreeSet;

/// A filesystem has at most one inode for this many bytes; larger inode numbers in a layout are
/// ignored.
const LEAST_RATIO: u64 = 1024;

/// Finds each node in the `earlier` layout and gives it the inode number it had there; new nodes
/// get the lowest free numbers. Sorts the nodes by number again.
pub(super) fn renumber<'t>(nodes: &mut Nodes<'t>, earlier: &'t FileLayout) {
    let mut paths: Vec<Vec<u8>> = Vec::with_capacity(nodes.0.len());
    for (index, node) in nodes.0.iter_mut().enumerate() {
        let path = if index == 0 {
            Vec::new()
        } else {
            [&paths[node.parent], &b"/"[..], node.name].concat()
        };
        node.earlier = earlier.get(if index == 0 { b"/" } else { &path });
        paths.push(path);
    }
    let numbers = numbers(nodes, earlier.size / LEAST_RATIO);
    let renamed = |old: u32| numbers.get(index_of(old)).copied().unwrap_or(old);
    for (index, node) in nodes.0.iter_mut().enumerate() {
        node.number = numbers[index];
        if let NodeKind::Dir { children, parent } = &mut node.kind {
            *parent = renamed(*parent);
            children
                .iter_mut()
                .for_each(|child| child.number = renamed(child.number));
        }
    }
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by_key(|index| numbers[*index]);
    let mut moved = vec![0; order.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(now, before)| moved[*before] = now);
    nodes
        .0
        .iter_mut()
        .for_each(|node| node.parent = moved[node.parent]);
    nodes.0.sort_by_key(|node| node.number);
}

/// The number of each node.
fn numbers(nodes: &Nodes<'_>, most: u64) -> Vec<u32> {
    let mut used = BTreeSet::from([ROOT_INO, FIRST_INO]);
    let kept: Vec<Option<u32>> = nodes
        .0
        .iter()
        .map(|node| match node.number {
            own @ (ROOT_INO | FIRST_INO) => Some(own),
            _ => node
                .earlier
                .map(|location| location.inode)
                .filter(|n| *n > FIRST_INO && u64::from(*n) <= most && used.insert(*n)),
        })
        .collect();
    let mut free = (FIRST_INO + 1..).filter(|number| !used.contains(number));
    kept.into_iter()
        .map(|number| number.or_else(|| free.next()).unwrap_or(u32::MAX))
        .collect()
}

/// Takes the first `blocks` blocks of `location`, fewer when it has fewer; nothing unless they are
/// all free.
pub(super) fn take(location: &FileLocation, blocks: u32, free: &mut Free) -> Vec<Span> {
    let mut left = blocks;
    let mut spans = Vec::new();
    for range in &location.blocks {
        let len = range.end.saturating_sub(range.start).min(left);
        if len > 0 {
            spans.push(Span {
                start: range.start,
                len,
            });
        }
        left -= len;
    }
    if free.take_exact(&spans) {
        spans
    } else {
        Vec::new()
    }
}
