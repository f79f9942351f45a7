//! The tree as a list of inodes: numbers, link counts, directory entries.

use super::super::file_layout::FileLocation;
use super::super::format::{FIRST_INO, LINK_MAX, ROOT_INO, file_type};
use super::dir::Child;
use super::error::Error;
use crate::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Stat, Tree, show};
use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

/// The directory in which `e2fsck` puts what it finds.
pub(super) const LOST_FOUND: &[u8] = b"lost+found";
/// Inodes before [`FIRST_INO`], used or not.
pub(super) const RESERVED_INODES: u64 = FIRST_INO as u64 - 1;

/// The kind of a node, with the content of a directory.
#[derive(Debug)]
pub(super) enum NodeKind<'t> {
    Dir {
        children: Vec<Child<'t>>,
        parent: u32,
    },
    Leaf(&'t Leaf),
}

/// One inode of the tree.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) number: u32,
    pub(super) stat: &'t Stat,
    pub(super) links: u32,
    pub(super) kind: NodeKind<'t>,
    pub(super) name: &'t [u8],
    /// Index of the directory that names it first.
    pub(super) parent: usize,
    /// Where an older filesystem has it.
    pub(super) earlier: Option<&'t FileLocation>,
}

/// All inodes of the tree in ascending order of their numbers: the root, `lost+found`, then the
/// others, depth first by path unless an older filesystem numbers them.
#[derive(Debug)]
pub(super) struct Nodes<'t>(pub(super) Vec<Node<'t>>);

/// Index of the root and of `lost+found`.
const ROOT: usize = 0;
pub(super) const LOST_FOUND_AT: usize = 1;

/// The inode number of the node at `index`.
fn number(index: usize) -> u32 {
    match index {
        ROOT => ROOT_INO,
        _ => u32::try_from(index - LOST_FOUND_AT)
            .unwrap_or(u32::MAX)
            .saturating_add(FIRST_INO),
    }
}

/// The index of the node that was given this number.
pub(super) fn index_of(number: u32) -> usize {
    if number == ROOT_INO {
        ROOT
    } else {
        number.saturating_sub(FIRST_INO) as usize + LOST_FOUND_AT
    }
}

/// Lists the inodes of `tree`; `lost_found` is used when the tree has no such directory.
pub(super) fn collect<'t>(tree: &'t Tree, lost_found: &'t Stat) -> Result<Nodes<'t>, Error> {
    let own = match tree.root.entries.get(LOST_FOUND) {
        Some(DirEntry::Dir(dir)) => Some(&dir.stat),
        Some(DirEntry::Leaf(_)) => return Err(Error::LostFound),
        None => None,
    };
    // Directories are fewer. Without room from the start the list would be moved as it grows, and
    // leave as much memory behind as it takes.
    let room = tree.leaf_count() + tree.leaf_count() / 4;
    let mut walk = Walk {
        tree,
        nodes: Nodes(Vec::with_capacity(room)),
        seen: BTreeMap::new(),
        open: Vec::new(),
    };
    walk.add(
        b"",
        &tree.root.stat,
        ROOT,
        NodeKind::Dir {
            children: Vec::new(),
            parent: ROOT_INO,
        },
    )?;
    walk.add(
        LOST_FOUND,
        own.unwrap_or(lost_found),
        ROOT,
        NodeKind::Dir {
            children: Vec::new(),
            parent: ROOT_INO,
        },
    )?;
    walk.open.push((ROOT, tree.root.entries.iter()));
    while let Some((at, entries)) = walk.open.last_mut() {
        let at = *at;
        match entries.next() {
            Some((name, entry)) => walk.entry(at, name, entry)?,
            None => drop(walk.open.pop()),
        }
    }
    if own.is_none() {
        walk.name_lost_found();
    }
    Ok(walk.nodes)
}

/// The way through the tree, with a stack of its own.
struct Walk<'t> {
    tree: &'t Tree,
    nodes: Nodes<'t>,
    seen: BTreeMap<LeafId, usize>,
    open: Vec<(usize, Iter<'t, Vec<u8>, DirEntry>)>,
}

impl<'t> Walk<'t> {
    /// Adds a node with one link (two for a directory).
    fn add(
        &mut self,
        name: &'t [u8],
        stat: &'t Stat,
        parent: usize,
        kind: NodeKind<'t>,
    ) -> Result<usize, Error> {
        let index = self.nodes.0.len();
        if number(index) == u32::MAX {
            return Err(Error::TooManyInodes {
                needed: index as u64 + RESERVED_INODES,
                max: u64::from(u32::MAX),
            });
        }
        let links = if matches!(kind, NodeKind::Dir { .. }) {
            2
        } else {
            1
        };
        self.nodes.0.push(Node {
            number: number(index),
            stat,
            links,
            kind,
            name,
            parent,
            earlier: None,
        });
        Ok(index)
    }

    /// Takes an entry of the directory `at` in.
    fn entry(&mut self, at: usize, name: &'t [u8], entry: &'t DirEntry) -> Result<(), Error> {
        let fine = (1..=255).contains(&name.len())
            && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
            && name != b"."
            && name != b"..";
        if !fine {
            return Err(Error::Name {
                path: self.nodes.path_in(at, name),
                len: name.len(),
            });
        }
        let index = match entry {
            DirEntry::Dir(dir) => self.dir(at, name, dir)?,
            DirEntry::Leaf(id) => self.leaf(at, name, *id)?,
        };
        let file_type = self.nodes.0[index].kind.file_type();
        self.nodes.push_child(
            at,
            Child {
                name,
                number: number(index),
                file_type,
            },
        );
        Ok(())
    }

    fn dir(&mut self, at: usize, name: &'t [u8], dir: &'t Dir) -> Result<usize, Error> {
        let index = if at == ROOT && name == LOST_FOUND {
            LOST_FOUND_AT
        } else {
            self.add(
                name,
                &dir.stat,
                at,
                NodeKind::Dir {
                    children: Vec::new(),
                    parent: number(at),
                },
            )?
        };
        self.nodes.0[at].links += 1;
        self.open.push((index, dir.entries.iter()));
        Ok(index)
    }

    fn leaf(&mut self, at: usize, name: &'t [u8], id: LeafId) -> Result<usize, Error> {
        let Some(&index) = self.seen.get(&id) else {
            let leaf = self.tree.leaf(id);
            let index = self.add(name, &leaf.stat, at, NodeKind::Leaf(leaf))?;
            self.seen.insert(id, index);
            return Ok(index);
        };
        self.nodes.0[index].links += 1;
        Ok(index)
    }

    /// Gives the `lost+found` that the tree lacks its entry in the root, in its place.
    fn name_lost_found(&mut self) {
        self.nodes.0[ROOT].links += 1;
        if let NodeKind::Dir { children, .. } = &mut self.nodes.0[ROOT].kind {
            let place = children.partition_point(|child| child.name < LOST_FOUND);
            children.insert(
                place,
                Child {
                    name: LOST_FOUND,
                    number: FIRST_INO,
                    file_type: file_type::DIR,
                },
            );
        }
    }
}

impl<'t> Nodes<'t> {
    fn push_child(&mut self, at: usize, child: Child<'t>) {
        if let NodeKind::Dir { children, .. } = &mut self.0[at].kind {
            children.push(child);
        }
    }

    /// The path of a node for people.
    pub(super) fn path(&self, index: usize) -> String {
        if index == ROOT {
            "/".into()
        } else {
            self.path_in(self.0[index].parent, self.0[index].name)
        }
    }

    /// The path of `name` in the directory `parent` for people.
    fn path_in(&self, parent: usize, name: &[u8]) -> String {
        let (mut names, mut at) = (vec![name], parent);
        while at != ROOT {
            names.push(self.0[at].name);
            at = self.0[at].parent;
        }
        names
            .into_iter()
            .rev()
            .fold(String::new(), |path, name| path + "/" + &show(name))
    }

    /// The link count as the inode stores it: a directory with more than it can hold has 1
    /// (`dir_nlink`).
    pub(super) fn stored_links(&self, index: usize) -> Result<u16, Error> {
        let node = &self.0[index];
        if node.links <= LINK_MAX {
            return Ok(u16::try_from(node.links).unwrap_or(1));
        }
        match node.kind {
            NodeKind::Dir { .. } => Ok(1),
            NodeKind::Leaf(_) => Err(Error::Links {
                path: self.path(index),
                links: node.links,
                max: LINK_MAX,
            }),
        }
    }
}

impl NodeKind<'_> {
    /// The type that a directory entry shows.
    fn file_type(&self) -> u8 {
        let NodeKind::Leaf(leaf) = self else {
            return file_type::DIR;
        };
        match leaf.kind {
            LeafKind::File(_) => file_type::FILE,
            LeafKind::Symlink(_) => file_type::SYMLINK,
            LeafKind::CharDevice { .. } => file_type::CHAR,
            LeafKind::BlockDevice { .. } => file_type::BLOCK,
            LeafKind::Fifo => file_type::FIFO,
            LeafKind::Socket => file_type::SOCKET,
        }
    }
}
