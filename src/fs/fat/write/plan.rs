//! What goes into the filesystem: checked and named for FAT, and given its clusters.

use super::super::Error;
use super::super::format::{ENTRY, FatKind, MAX_ENTRIES};
use super::super::name::{self, Short};
use super::layout::Layout;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Dir, DirEntry, LeafKind, Stat, Tree, show};
use std::collections::BTreeMap;

/// The largest file: its size has 32 bits.
const MAX_FILE: u64 = u32::MAX as u64;
/// A directory or file and the clusters it gets.
pub(super) struct Node<'t> {
    pub(super) name: &'t str,
    pub(super) short: Short,
    pub(super) stat: &'t Stat,
    pub(super) kind: NodeKind<'t>,
    /// Its first cluster; 0: none.
    pub(super) first: u32,
}

pub(super) enum NodeKind<'t> {
    /// The index of the directory in [`Plan::dirs`].
    Dir(usize),
    File(&'t Content),
}

/// A directory: its entries in the order of their names.
pub(super) struct DirPlan<'t> {
    pub(super) nodes: Vec<Node<'t>>,
    pub(super) stat: &'t Stat,
    pub(super) parent: usize,
    /// Bytes of its entries.
    pub(super) len: usize,
    pub(super) first: u32,
}

/// Everything to write, in the order in which clusters are given: all directories, parents first,
/// then all files.
pub(super) struct Plan<'t> {
    pub(super) dirs: Vec<DirPlan<'t>>,
}

fn unwritable(path: &[u8], what: impl Into<String>) -> Error {
    Error::Unwritable {
        path: show(path),
        what: what.into(),
    }
}

impl<'t> Plan<'t> {
    pub(super) fn new(tree: &'t Tree) -> Result<Self, Error> {
        let mut plan = Self { dirs: Vec::new() };
        let mut todo = vec![(Vec::new(), &tree.root, 0, None)];
        while let Some((path, dir, parent, slot)) = todo.pop() {
            let index = plan.dirs.len();
            let made = dir_plan(tree, dir, &path, parent)?;
            plan.dirs.push(made);
            if let Some(slot) = slot {
                let node: &mut Node<'_> = &mut plan.dirs[parent].nodes[slot];
                node.kind = NodeKind::Dir(index);
            }
            for (slot, (name, entry)) in dir
                .entries
                .iter()
                .enumerate()
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                if let DirEntry::Dir(child) = entry {
                    todo.push((join(&path, name), child, index, Some(slot)));
                }
            }
        }
        Ok(plan)
    }

    /// How many clusters of this size all of it takes. The root directory counts: FAT32 has it in
    /// clusters (and the others spare it).
    fn clusters(&self, cluster: u64) -> u64 {
        let files = self
            .dirs
            .iter()
            .flat_map(|dir| &dir.nodes)
            .map(|node| match node.kind {
                NodeKind::File(content) => content.len().div_ceil(cluster),
                NodeKind::Dir(_) => 0,
            });
        self.dirs
            .iter()
            .map(|dir| (dir.len as u64).div_ceil(cluster).max(1))
            .sum::<u64>()
            + files.sum::<u64>()
    }

    /// Bytes of the root directory's entries.
    pub(super) fn root_len(&self) -> usize {
        self.dirs.first().map_or(0, |root| root.len)
    }

    /// How many clusters `layout` lacks.
    pub(super) fn missing(&self, layout: &Layout) -> u64 {
        self.clusters(layout.cluster)
            .saturating_sub(layout.clusters)
    }

    /// Gives everything its clusters and returns the first free one.
    pub(super) fn assign_clusters(&mut self, layout: &Layout) -> u32 {
        let mut next = 2;
        let mut take = |len: u64| {
            let first = if len == 0 { 0 } else { next };
            next += u32::try_from(len.div_ceil(layout.cluster)).unwrap_or(u32::MAX);
            first
        };
        let in_clusters = layout.kind == FatKind::Fat32;
        for (index, dir) in self.dirs.iter_mut().enumerate() {
            dir.first = if index > 0 || in_clusters {
                take(dir.len.max(1) as u64)
            } else {
                0
            };
        }
        let firsts: Vec<u32> = self.dirs.iter().map(|dir| dir.first).collect();
        for node in self.dirs.iter_mut().flat_map(|dir| &mut dir.nodes) {
            node.first = match node.kind {
                NodeKind::Dir(index) => firsts[index],
                NodeKind::File(content) => take(content.len()),
            };
        }
        next
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    [path, b"/", name].concat()
}

/// Checks one directory's names and leaves, and shortens the names.
fn dir_plan<'t>(
    tree: &'t Tree,
    dir: &'t Dir,
    path: &[u8],
    parent: usize,
) -> Result<DirPlan<'t>, Error> {
    let names = texts(dir, path)?;
    let mut nodes = Vec::with_capacity(names.len());
    for ((entry, name), short) in dir.entries.values().zip(&names).zip(name::shorten(&names)) {
        let path = join(path, name.as_bytes());
        let short = short
            .ok_or_else(|| unwritable(&path, "too many names here have the same short form"))?;
        let (stat, kind) = match entry {
            DirEntry::Dir(dir) => (&dir.stat, NodeKind::Dir(0)),
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                (&leaf.stat, NodeKind::File(file(&leaf.kind, &path)?))
            }
        };
        nodes.push(Node {
            name,
            short,
            stat,
            kind,
            first: 0,
        });
    }
    // The root has a label in place of `.` and `..`; room for it is kept even when there is none.
    let entries = 2 + nodes
        .iter()
        .map(|node| 1 + long_len(node) / ENTRY)
        .sum::<usize>();
    if entries > MAX_ENTRIES {
        return Err(unwritable(
            path,
            format!("its {entries} directory entries exceed {MAX_ENTRIES}"),
        ));
    }
    Ok(DirPlan {
        nodes,
        stat: &dir.stat,
        parent,
        len: entries * ENTRY,
        first: 0,
    })
}

pub(super) fn long_len(node: &Node<'_>) -> usize {
    if name::needs_long(node.name, &node.short) {
        node.name.encode_utf16().count().div_ceil(13) * ENTRY
    } else {
        0
    }
}

/// The names of a directory as text, such as FAT can hold and different in more than case.
fn texts<'t>(dir: &'t Dir, path: &[u8]) -> Result<Vec<&'t str>, Error> {
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    let mut out = Vec::with_capacity(dir.entries.len());
    for raw in dir.entries.keys() {
        let here = || join(path, raw);
        let name =
            std::str::from_utf8(raw).map_err(|_| unwritable(&here(), "its name is not UTF-8"))?;
        if let Some(fault) = name::fault(name) {
            return Err(unwritable(&here(), fault));
        }
        if let Some(twin) = folded.insert(name.to_lowercase(), name) {
            return Err(unwritable(
                &here(),
                format!("differs from {twin:?} in case only, which FAT does not tell apart"),
            ));
        }
        out.push(name);
    }
    Ok(out)
}

fn file<'t>(kind: &'t LeafKind, path: &[u8]) -> Result<&'t Content, Error> {
    let what = match kind {
        LeafKind::File(content) if content.len() <= MAX_FILE => return Ok(content),
        LeafKind::File(content) => {
            return Err(unwritable(
                path,
                format!("its {} bytes exceed {MAX_FILE}", content.len()),
            ));
        }
        LeafKind::Symlink(_) => "symbolic link",
        LeafKind::CharDevice { .. } | LeafKind::BlockDevice { .. } => "device",
        LeafKind::Fifo => "fifo",
        LeafKind::Socket => "socket",
    };
    Err(unwritable(
        path,
        format!("is a {what}, which FAT cannot hold"),
    ))
}
