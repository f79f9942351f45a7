//! The walk over all directories, which makes the tree.

use super::Losses;
use super::claims::Claims;
use super::dir::{self, Named};
use super::error::{Error, Fault, Place};
use super::inode::{Inode, Inodes};
use super::map;
use super::volume::Volume;
use super::xattr::{Attributes, InodeAttributes};
use crate::fs::ext4::format::{JOURNAL_INO, ROOT_INO, compat, inode_flags, mode};
use crate::fs::ext4::{FileLayout, FileLocation};
use crate::stream::Content;
use crate::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Name, Stat, Tree, flags};
use crate::units::len_u64;
use std::collections::{BTreeMap, BTreeSet};

/// How deep directories may lie. A tree is a nested value, so depth costs stack; no path a process
/// can name in one go (`PATH_MAX`) has more than twice as many components.
const MAX_DEPTH: usize = 1024;
/// The longest target of a symlink (`PATH_MAX` without its NUL).
const MAX_TARGET: u64 = 4095;

/// A directory whose entries are being read.
struct Frame {
    name: Name,
    ino: u32,
    dir: Dir,
    pending: std::vec::IntoIter<Named>,
}

/// What an entry leads to.
enum Node {
    Dir(Frame),
    Leaf(LeafId),
}

/// State of the walk from the root to every file.
pub(super) struct Files<'v> {
    volume: &'v Volume,
    inodes: Inodes<'v>,
    attributes: Attributes<'v>,
    claims: Claims,
    dirs: BTreeSet<u32>,
    leaves: BTreeMap<u32, LeafId>,
    /// The blocks of the inode that was met last, when it was met for the first time.
    mapped: Option<(u32, Vec<map::Span>)>,
    /// The only paths to read, with the directories on the way; `None`: all.
    wanted: Option<&'v [&'v str]>,
    losses: Losses,
    /// The inode that was met last, for the first time, is protected by fs-verity.
    verity: bool,
}

impl<'v> Files<'v> {
    /// Starts on this filesystem.
    ///
    /// # Errors
    /// [`Error`] when metadata lies over metadata or the journal's inode is damaged.
    pub(super) fn new(volume: &'v Volume) -> Result<Self, Error> {
        let mut claims = volume.claim_metadata()?;
        let mut inodes = Inodes::new(volume);
        if volume.layout.compat(compat::HAS_JOURNAL)
            && volume.layout.raw.s_journal_inum.get() == JOURNAL_INO
        {
            map::spans(volume, &inodes.get(JOURNAL_INO)?, &mut claims)?;
        }
        let attributes = Attributes::new(volume);
        Ok(Self {
            volume,
            inodes,
            attributes,
            claims,
            dirs: BTreeSet::new(),
            leaves: BTreeMap::new(),
            mapped: None,
            wanted: None,
            losses: Losses::default(),
            verity: false,
        })
    }

    /// Restricts the walk to these paths (absolute, without a slash at the end) and the directories
    /// on the way.
    pub(super) fn only(self, wanted: &'v [&'v str]) -> Self {
        Self {
            wanted: Some(wanted),
            ..self
        }
    }

    /// Reads everything below the root; their locations go into `layout`.
    ///
    /// # Errors
    /// [`Error`] at the first thing that is wrong.
    pub(super) fn tree(
        mut self,
        mut layout: Option<&mut FileLayout>,
    ) -> Result<(Tree, Losses), Error> {
        let root = self.inodes.get(ROOT_INO)?;
        if root.kind() != mode::DIR {
            return Err(root
                .place()
                .corrupt(Fault::Fact("the root is not a directory")));
        }
        let root = self.directory(root, Name::new(), ROOT_INO)?;
        self.record_location(layout.as_deref_mut(), &[], b"");
        let mut tree = Tree::new(root.dir.stat.clone());
        let mut stack = vec![root];
        while let Some(top) = stack.last_mut() {
            let Some((name, ino)) = top.pending.next() else {
                let done = stack.pop().map(|frame| (frame.name, frame.dir));
                match (done, stack.last_mut()) {
                    (Some((name, dir)), Some(parent)) => {
                        _ = parent.dir.entries.insert(name, dir.into())
                    }
                    (Some((_, dir)), None) => tree.root = dir,
                    (None, _) => {}
                }
                continue;
            };
            if top.dir.entries.contains_key(&name) {
                return Err(Place::Inode(top.ino).corrupt(Fault::Entry {
                    name,
                    fact: "is there twice",
                }));
            }
            let parent = top.ino;
            if !self.is_wanted(&stack, &name) {
                continue;
            }
            let node = self.node(&mut tree, ino, &name, parent)?;
            if std::mem::take(&mut self.verity) {
                self.losses.verity.push(path(&stack, &name));
            }
            self.record_location(layout.as_deref_mut(), &stack, &name);
            let Some(top) = stack.last_mut() else { break };
            match node {
                Node::Leaf(id) => _ = top.dir.entries.insert(name, DirEntry::Leaf(id)),
                Node::Dir(_) if stack.len() >= MAX_DEPTH => {
                    return Err(Place::Inode(ino)
                        .unsupported(format!("a directory below {MAX_DEPTH} others")));
                }
                Node::Dir(frame) => stack.push(frame),
            }
        }
        tree.compact();
        if self.wanted.is_none() {
            self.losses.nameless = self.nameless()?;
        }
        Ok((tree, self.losses))
    }

    /// Inodes in use that were not met. Those without links are about to be deleted.
    fn nameless(&mut self) -> Result<Vec<u32>, Error> {
        let raw = &self.volume.layout.raw;
        let hidden = [
            raw.s_journal_inum.get(),
            raw.s_orphan_file_inum.get(),
            raw.s_usr_quota_inum.get(),
            raw.s_grp_quota_inum.get(),
            raw.s_prj_quota_inum.get(),
        ];
        let mut found = self.volume.used_inodes()?;
        found.retain(|ino| {
            let known = *ino < self.volume.layout.first_ino()
                || self.dirs.contains(ino)
                || self.leaves.contains_key(ino)
                || hidden.contains(ino);
            let in_use = |inode: Inode| {
                inode.raw.i_links_count.get() != 0 && !inode.flag(inode_flags::EA_INODE)
            };
            !known && self.inodes.get(*ino).is_ok_and(in_use)
        });
        Ok(found)
    }

    /// Records the location of the file mapped last: `name` in the innermost directory of `stack`.
    fn record_location(&mut self, layout: Option<&mut FileLayout>, stack: &[Frame], name: &[u8]) {
        let (Some(layout), Some((inode, spans))) = (layout, self.mapped.take()) else {
            return;
        };
        let block = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let blocks = spans
            .iter()
            .map(|span| block(span.physical)..block(span.physical.saturating_add(span.len)))
            .collect();
        layout.insert(path(stack, name), FileLocation { inode, blocks });
    }

    /// Whether `name` in the innermost directory of `stack` is to be read.
    fn is_wanted(&self, stack: &[Frame], name: &[u8]) -> bool {
        let Some(wanted) = self.wanted else {
            return true;
        };
        let path = path(stack, name);
        let leads = |wanted: &&str| {
            wanted
                .as_bytes()
                .strip_prefix(path.as_slice())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        wanted.iter().any(leads)
    }

    /// What inode `ino` is, named by an entry of directory `parent`.
    fn node(&mut self, tree: &mut Tree, ino: u32, name: &[u8], parent: u32) -> Result<Node, Error> {
        self.mapped = None;
        if let Some(id) = self.leaves.get(&ino) {
            return Ok(Node::Leaf(*id));
        }
        if ino < self.volume.layout.first_ino() {
            return Err(Place::Inode(parent).corrupt(Fault::Entry {
                name: name.to_vec(),
                fact: "names a reserved inode",
            }));
        }
        let inode = self.inodes.get(ino)?;
        if inode.flag(inode_flags::EA_INODE) {
            return Err(Place::Inode(parent).corrupt(Fault::Entry {
                name: name.to_vec(),
                fact: "names an attribute's inode",
            }));
        }
        if inode.kind() == mode::DIR {
            return Ok(Node::Dir(self.directory(inode, name.to_vec(), parent)?));
        }
        self.verity = inode.flag(inode_flags::VERITY);
        self.mapped = Some((ino, Vec::new()));
        let found = self
            .attributes
            .of(&inode, &mut self.inodes, &mut self.claims)?;
        let kind = self.kind(&inode, &found)?;
        let id = tree.add_leaf(Leaf {
            stat: stat(self.volume, &inode, found),
            kind,
        });
        self.leaves.insert(ino, id);
        Ok(Node::Leaf(id))
    }

    /// Opens a directory, which must not have been met before: a second name would make a cycle or
    /// a second parent.
    fn directory(&mut self, inode: Inode, name: Name, parent: u32) -> Result<Frame, Error> {
        if !self.dirs.insert(inode.ino) {
            return Err(inode
                .place()
                .corrupt(Fault::Fact("the directory has two names")));
        }
        let found = self
            .attributes
            .of(&inode, &mut self.inodes, &mut self.claims)?;
        let pending = if inode.flag(inode_flags::INLINE_DATA) {
            dir::inline_entries(&inode, inline_rest(&inode, &found)?, parent)?
        } else {
            let spans = map::spans(self.volume, &inode, &mut self.claims)?;
            let entries = dir::entries(self.volume, &inode, &spans, parent)?;
            self.mapped = Some((inode.ino, spans));
            entries
        };
        Ok(Frame {
            name,
            ino: inode.ino,
            dir: Dir::new(stat(self.volume, &inode, found)),
            pending: pending.into_iter(),
        })
    }

    fn kind(&mut self, inode: &Inode, found: &InodeAttributes) -> Result<LeafKind, Error> {
        let (major, minor) = inode.device();
        Ok(match inode.kind() {
            mode::FILE => LeafKind::File(self.content(inode, found)?),
            mode::SYMLINK => LeafKind::Symlink(self.target(inode, found)?),
            mode::CHAR => LeafKind::CharDevice { major, minor },
            mode::BLOCK => LeafKind::BlockDevice { major, minor },
            mode::FIFO => LeafKind::Fifo,
            mode::SOCKET => LeafKind::Socket,
            _ => {
                return Err(inode
                    .place()
                    .corrupt(Fault::Fact("its mode says no type of file")));
            }
        })
    }

    fn content(&mut self, inode: &Inode, found: &InodeAttributes) -> Result<Content, Error> {
        if inode.flag(inode_flags::INLINE_DATA) {
            return Ok(Content::bytes(inline(inode, found)?));
        }
        let spans = map::all_spans(self.volume, inode, &mut self.claims)?;
        let content = map::content(self.volume, inode, &spans);
        self.mapped = Some((inode.ino, spans));
        Ok(content)
    }

    /// The target of a symlink: in the inode when it is shorter than `i_block`, else in one block.
    fn target(&mut self, inode: &Inode, found: &InodeAttributes) -> Result<Vec<u8>, Error> {
        let place = inode.place();
        place.within("length of the target", inode.size, 1, MAX_TARGET)?;
        let target = if inode.flag(inode_flags::INLINE_DATA) {
            inline(inode, found)?
        } else if self.is_fast(inode) {
            let len = usize::try_from(inode.size).unwrap_or(usize::MAX);
            inode.raw.i_block.get(..len).unwrap_or_default().to_vec()
        } else {
            self.content(inode, found)?
                .read_all(MAX_TARGET)
                .map_err(place.io())?
        };
        if target.contains(&0) {
            return Err(place.corrupt(Fault::Fact("the target of the symlink has a NUL in it")));
        }
        Ok(target)
    }

    /// Whether a symlink is in its inode. Without blocks but those of its attributes it is, as for
    /// the kernel.
    fn is_fast(&self, inode: &Inode) -> bool {
        let attributes = inode.raw.i_file_acl_lo.get() != 0 || inode.raw.i_file_acl_high.get() != 0;
        let attributes = if attributes {
            self.volume.layout.cluster_sectors()
        } else {
            0
        };
        let fits = inode.size < len_u64(inode.raw.i_block.len());
        fits && (!inode.flag(inode_flags::EXTENTS) || inode.sectors() == attributes)
    }
}

/// The path of `name` in the innermost directory of `stack`.
fn path(stack: &[Frame], name: &[u8]) -> Vec<u8> {
    let names = stack.iter().skip(1).map(|frame| &frame.name[..]);
    names
        .chain([name])
        .flat_map(|name| [b"/", name].concat())
        .collect()
}

/// The part of an inline file after `i_block`, as long as its size says.
fn inline_rest<'f>(inode: &Inode, found: &'f InodeAttributes) -> Result<&'f [u8], Error> {
    let room = inode.raw.i_block.len();
    let limit = len_u64(room.saturating_add(found.inline.len()));
    inode
        .place()
        .within("size of inline data", inode.size, 0, limit)?;
    let rest = usize::try_from(inode.size)
        .unwrap_or(usize::MAX)
        .saturating_sub(room);
    Ok(found.inline.get(..rest).unwrap_or_default())
}

/// All bytes of an inline file.
fn inline(inode: &Inode, found: &InodeAttributes) -> Result<Vec<u8>, Error> {
    let rest = inline_rest(inode, found)?;
    let mut bytes = inode.raw.i_block.to_vec();
    bytes.extend_from_slice(rest);
    bytes.truncate(usize::try_from(inode.size).unwrap_or(usize::MAX));
    Ok(bytes)
}

fn stat(volume: &Volume, inode: &Inode, found: InodeAttributes) -> Stat {
    Stat {
        mode: inode.raw.i_mode.get() & !mode::TYPE,
        uid: inode.uid(),
        gid: inode.gid(),
        project: inode.project(volume),
        mtime: inode.mtime(),
        ctime: inode.ctime(),
        atime: inode.atime(),
        crtime: inode.crtime(),
        flags: inode.raw.i_flags.get() & flags::KEPT,
        xattrs: found.named,
    }
}
