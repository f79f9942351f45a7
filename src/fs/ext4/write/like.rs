//! Inode numbers and blocks as an older filesystem has them: what did not change gets the place
//! that it had.

use super::super::format::{FIRST_INO, ROOT_INO};
use super::super::places::{Place, Places};
use super::collect::{Nodes, What, index_of};
use super::space::{Free, Span};
use std::collections::BTreeSet;

/// A filesystem has at most one inode for so many bytes: what a list of places says beyond that is
/// not believed.
const LEAST_RATIO: u64 = 1024;

/// Finds each node in `like` and numbers the nodes as they are there; new ones get the lowest
/// numbers that are free. The nodes are again in ascending order of their numbers.
pub(super) fn renumber<'t>(nodes: &mut Nodes<'t>, like: &'t Places) {
    let mut paths: Vec<Vec<u8>> = Vec::with_capacity(nodes.0.len());
    for (index, node) in nodes.0.iter_mut().enumerate() {
        let path = if index == 0 {
            Vec::new()
        } else {
            [&paths[node.parent], &b"/"[..], node.name].concat()
        };
        node.place = like.get(if index == 0 { b"/" } else { &path });
        paths.push(path);
    }
    let numbers = numbers(nodes, like.size / LEAST_RATIO);
    let renamed = |old: u32| numbers.get(index_of(old)).copied().unwrap_or(old);
    for (index, node) in nodes.0.iter_mut().enumerate() {
        node.number = numbers[index];
        if let What::Dir { children, parent } = &mut node.what {
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
                .place
                .map(|place| place.inode)
                .filter(|n| *n > FIRST_INO && u64::from(*n) <= most && used.insert(*n)),
        })
        .collect();
    let mut free = (FIRST_INO + 1..).filter(|number| !used.contains(number));
    kept.into_iter()
        .map(|number| number.or_else(|| free.next()).unwrap_or(u32::MAX))
        .collect()
}

/// Takes the first `blocks` blocks of `place`, fewer when it has fewer; nothing when they are not
/// all free.
pub(super) fn take(place: &Place, blocks: u32, free: &mut Free) -> Vec<Span> {
    let mut left = blocks;
    let mut spans = Vec::new();
    for range in &place.blocks {
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
