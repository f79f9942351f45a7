//! All that does not depend on the size of the filesystem: every inode with its bytes or its map of
//! blocks, and what they demand.

use super::super::file_layout::FileLocation;
use super::super::format::{inode_flags, mode};
use super::Options;
use super::checksum::ChecksumSeed;
use super::collect::{LOST_FOUND_AT, Node, NodeKind, Nodes, RESERVED_INODES};
use super::dir::{self, Style};
use super::error::Error;
use super::extents::{contiguous, node_count};
use super::geometry::{BLOCK, BLOCK_LEN, Geometry};
use super::inode::{can_hold, device};
use super::space::Span;
use super::xattr::{self, MAX_REFS, Refusal};
use crate::bytes::is_zero;
use crate::stream::Content;
use crate::stream::ReadAt as _;
use crate::tree::{Leaf, LeafKind, Stat, flags};
use std::collections::HashMap;

/// Longest file: block numbers within a file have 32 bits and the last one is not used
/// (`ext4_max_size`).
pub(super) const MAX_FILE_LEN: u64 = (u32::MAX as u64) * BLOCK;
/// Longest symlink target that `i_block` holds, and longest at all: a block with its NUL.
const MAX_FAST_TARGET: usize = 59;
const MAX_TARGET: usize = BLOCK_LEN - 1;
/// Blocks of `lost+found` at least: `e2fsck` must not need to allocate when it puts things there.
const LOST_FOUND_BLOCKS: usize = 4;
/// The kept flags that have a meaning where only a regular file (no [`flags::DIRSYNC`], no
/// [`flags::TOPDIR`]) or neither file nor directory is, as the kernel masks them
/// (`ext4_mask_flags`).
const FILE_FLAGS: u32 = flags::KEPT & !(flags::DIRSYNC | flags::TOPDIR);
const OTHER_FLAGS: u32 = flags::NODUMP | flags::NOATIME;

/// What an inode holds.
#[derive(Debug)]
pub(super) enum Body<'t> {
    /// `i_block` itself: a short target, device numbers, nothing.
    Inline([u8; 60]),
    /// Whole blocks: directories and long targets.
    Blocks(Content),
    /// The blocks of the file that hold data, and where they come from.
    Data {
        map: Vec<Span>,
        content: &'t Content,
    },
}

/// An inode without a place.
#[derive(Debug)]
pub(super) struct Inode<'t> {
    pub(super) number: u32,
    pub(super) stat: &'t Stat,
    /// `i_mode`: type and permission bits.
    pub(super) mode: u16,
    pub(super) links: u16,
    pub(super) flags: u32,
    /// `i_size`: bytes of the content.
    pub(super) size: u64,
    pub(super) body: Body<'t>,
    /// Extended attributes after the fields, and the index of the block that has the others.
    pub(super) attributes: Vec<u8>,
    pub(super) attribute_block: Option<usize>,
    /// Where an older filesystem has it.
    pub(super) earlier: Option<&'t FileLocation>,
}

/// A block of extended attributes and how many inodes share it.
#[derive(Debug)]
pub(super) struct AttributeBlock {
    pub(super) bytes: Vec<u8>,
    pub(super) refs: u32,
}

/// The inodes in ascending order of their numbers and what they demand.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    pub(super) inodes: Vec<Inode<'t>>,
    pub(super) attribute_blocks: Vec<AttributeBlock>,
    pub(super) demand: Demand,
}

/// What a filesystem must have room for.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Inodes, with the reserved ones and the spare ones.
    pub(super) inodes: u64,
    /// Blocks of data, directories, targets, attributes and the resize inode.
    pub(super) blocks: u64,
    /// Extents without any gap, and blocks, of each file that may come to need blocks of extent
    /// tree.
    large: Vec<(usize, u32)>,
}

/// A file with fewer extents and fewer blocks than these needs no extent tree even where one gap
/// splits it.
const FEW_EXTENTS: usize = 4;
const FEW_BLOCKS: u32 = 512;

impl Demand {
    /// Notes a file or directory of these blocks.
    fn add(&mut self, map: &[Span]) {
        let blocks: u32 = map.iter().map(|span| span.len).sum();
        let extents = map
            .iter()
            .map(|span| span.len.div_ceil(super::super::format::MAX_EXTENT_LEN) as usize)
            .sum();
        self.blocks += u64::from(blocks);
        if extents >= FEW_EXTENTS || blocks >= FEW_BLOCKS {
            self.large.push((extents, blocks));
        }
    }

    /// Blocks needed in `geometry`, extent trees counted at their largest.
    ///
    /// A file that touches `n` free spans fills all of them but its first and last one, so it is
    /// split no more often than the shortest inner span fits into it, and once more. A small file
    /// can be split twice only where an inner span is very short.
    pub(super) fn blocks_in(&self, geometry: &Geometry) -> u64 {
        let spans = geometry.free.spans();
        let inner = if spans.len() > 2 {
            &spans[1..spans.len() - 1]
        } else {
            &[]
        };
        let shortest = inner.iter().map(|span| span.len).min().unwrap_or(u32::MAX);
        let gaps = spans.len().saturating_sub(1);
        let nodes = |(extents, blocks): &(usize, u32)| {
            node_count(extents + gaps.min((blocks / shortest) as usize + 1))
        };
        let large: usize = self.large.iter().map(nodes).sum();
        let small = if shortest < FEW_BLOCKS { gaps } else { 0 };
        self.blocks + (large + small + node_count(contiguous(&geometry.journal).len())) as u64
    }
}

/// Makes the plan; every limit of the format is checked here.
pub(super) fn plan<'t>(nodes: &Nodes<'t>, options: &Options) -> Result<Plan<'t>, Error> {
    let checksum_seed = ChecksumSeed::of_filesystem(options.uuid, options.metadata_csum);
    let mut planner = Planner {
        nodes,
        style: Style {
            hash_seed: hash_seed(options),
            checksum_seed,
        },
        plan: Plan {
            inodes: Vec::with_capacity(nodes.0.len()),
            attribute_blocks: Vec::new(),
            demand: Demand::default(),
        },
        shared: HashMap::new(),
        kept_flags: if options.project {
            flags::KEPT
        } else {
            flags::KEPT & !flags::PROJINHERIT
        },
    };
    for (index, node) in nodes.0.iter().enumerate() {
        planner.inode(index, node)?;
    }
    let mut plan = planner.plan;
    // The root is one of the reserved inodes; the resize inode has one block of its own.
    let last = nodes.0.last().map_or(0, |node| u64::from(node.number));
    plan.demand.inodes =
        (RESERVED_INODES + nodes.0.len() as u64 - 1 + u64::from(options.spare_inodes)).max(last);
    plan.demand.blocks += plan.attribute_blocks.len() as u64 + 1;
    Ok(plan)
}

/// The seed of the directory hash as four words.
pub(super) fn hash_seed(options: &Options) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(options.hash_seed.0.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    words
}

/// Makes the plan inode by inode.
struct Planner<'n, 't> {
    nodes: &'n Nodes<'t>,
    style: Style,
    plan: Plan<'t>,
    /// Attribute blocks by their bytes, each the last one made of them.
    shared: HashMap<Vec<u8>, usize>,
    /// The inode flags that this filesystem can have.
    kept_flags: u32,
}

impl<'t> Planner<'_, 't> {
    fn inode(&mut self, index: usize, node: &Node<'t>) -> Result<(), Error> {
        self.check_times(index, node.stat)?;
        let (attributes, attribute_block) = self.attributes(index, node.stat)?;
        let mut inode = Inode {
            number: node.number,
            stat: node.stat,
            mode: node.stat.mode & !mode::TYPE,
            links: self.nodes.stored_links(index)?,
            flags: node.stat.flags & self.kept_flags,
            size: 0,
            body: Body::Inline([0; 60]),
            attributes,
            attribute_block,
            earlier: node.earlier,
        };
        match &node.kind {
            NodeKind::Dir { children, parent } => {
                let least = if index == LOST_FOUND_AT {
                    LOST_FOUND_BLOCKS
                } else {
                    1
                };
                let encoded = dir::encode(node.number, *parent, children, least, self.style)
                    .map_err(|many| Error::Directory {
                        path: self.nodes.path(index),
                        entries: children.len(),
                        needed: many.needed,
                        max: many.max,
                    })?;
                inode.mode |= mode::DIR;
                inode.flags |= if encoded.indexed {
                    inode_flags::INDEX
                } else {
                    0
                };
                inode.size = encoded.blocks.len() as u64;
                inode.body = Body::Blocks(without_zeros(&encoded.blocks));
            }
            NodeKind::Leaf(leaf) => self.leaf(index, leaf, &mut inode)?,
        }
        if !matches!(inode.body, Body::Inline(_)) {
            inode.flags |= inode_flags::EXTENTS;
            self.plan.demand.add(&inode.body.map());
        }
        self.plan.inodes.push(inode);
        Ok(())
    }

    /// Fills in what a leaf is.
    fn leaf(&self, index: usize, leaf: &'t Leaf, inode: &mut Inode<'t>) -> Result<(), Error> {
        inode.flags &= if matches!(leaf.kind, LeafKind::File(_)) {
            FILE_FLAGS
        } else {
            OTHER_FLAGS
        };
        inode.mode |= match &leaf.kind {
            LeafKind::File(content) => {
                inode.size = content.len();
                inode.body = self.file(index, content)?;
                mode::FILE
            }
            LeafKind::Symlink(target) => {
                inode.size = target.len() as u64;
                inode.body = self.symlink(index, target)?;
                mode::SYMLINK
            }
            LeafKind::CharDevice { major, minor } => {
                inode.body = self.device(index, *major, *minor)?;
                mode::CHAR
            }
            LeafKind::BlockDevice { major, minor } => {
                inode.body = self.device(index, *major, *minor)?;
                mode::BLOCK
            }
            LeafKind::Fifo => mode::FIFO,
            LeafKind::Socket => mode::SOCKET,
        };
        Ok(())
    }

    fn file(&self, index: usize, content: &'t Content) -> Result<Body<'t>, Error> {
        if content.len() > MAX_FILE_LEN {
            return Err(Error::FileLength {
                path: self.nodes.path(index),
                len: content.len(),
                max: MAX_FILE_LEN,
            });
        }
        Ok(Body::Data {
            map: data_blocks(content),
            content,
        })
    }

    fn symlink(&self, index: usize, target: &[u8]) -> Result<Body<'t>, Error> {
        if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
            return Err(Error::Target {
                path: self.nodes.path(index),
                len: target.len(),
                max: MAX_TARGET,
            });
        }
        if target.len() <= MAX_FAST_TARGET {
            let mut inline = [0; 60];
            inline[..target.len()].copy_from_slice(target);
            return Ok(Body::Inline(inline));
        }
        let mut block = target.to_vec();
        block.resize(BLOCK_LEN, 0);
        Ok(Body::Blocks(without_zeros(&block)))
    }

    fn device(&self, index: usize, major: u32, minor: u32) -> Result<Body<'t>, Error> {
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(Error::Device {
                path: self.nodes.path(index),
                major,
                minor,
            });
        }
        Ok(Body::Inline(device(major, minor)))
    }

    fn check_times(&self, index: usize, stat: &Stat) -> Result<(), Error> {
        let times = [
            ("access", Some(stat.atime)),
            ("change", Some(stat.ctime)),
            ("modification", Some(stat.mtime)),
            ("creation", stat.crtime),
        ];
        for (which, time) in times
            .into_iter()
            .filter_map(|(which, time)| Some((which, time?)))
        {
            if !can_hold(time) {
                return Err(Error::Time {
                    path: self.nodes.path(index),
                    which,
                    seconds: time.seconds,
                    nanos: time.nanos,
                });
            }
        }
        Ok(())
    }

    /// The extended attributes: those in the inode, and the index of the block of the others.
    fn attributes(&mut self, index: usize, stat: &Stat) -> Result<(Vec<u8>, Option<usize>), Error> {
        if stat.xattrs.is_empty() {
            return Ok((Vec::new(), None));
        }
        let path = || self.nodes.path(index);
        let encoded = xattr::encode(&stat.xattrs).map_err(|refusal| match refusal {
            Refusal::Name(name) => Error::AttributeName { path: path(), name },
            Refusal::Acl(name, len) => Error::Acl {
                path: path(),
                name,
                len,
            },
            Refusal::Space { needed, available } => Error::AttributeSpace {
                path: path(),
                needed,
                available,
            },
        })?;
        let block = encoded.block.map(|block| self.share(block));
        Ok((encoded.in_inode, block))
    }

    /// The index of a block of these bytes that one more inode may use.
    fn share(&mut self, bytes: Vec<u8>) -> usize {
        let blocks = &mut self.plan.attribute_blocks;
        if let Some(&index) = self
            .shared
            .get(&bytes)
            .filter(|index| blocks[**index].refs < MAX_REFS)
        {
            blocks[index].refs += 1;
            return index;
        }
        blocks.push(AttributeBlock {
            bytes: bytes.clone(),
            refs: 1,
        });
        self.shared.insert(bytes, blocks.len() - 1);
        blocks.len() - 1
    }
}

impl Body<'_> {
    /// The blocks within the file that need a place.
    pub(super) fn map(&self) -> Vec<Span> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::Blocks(content) => vec![Span {
                start: 0,
                len: u32::try_from(content.len() / BLOCK).unwrap_or(u32::MAX),
            }],
            Self::Data { map, .. } => map.clone(),
        }
    }
}

/// These bytes without their long stretches of zeros: most of a small directory's block is empty,
/// and there are many of them.
fn without_zeros(bytes: &[u8]) -> Content {
    const CELL: usize = 256;
    let mut content = Content::hole(0);
    let mut at = 0;
    for part in bytes
        .chunks(CELL)
        .collect::<Vec<_>>()
        .chunk_by(|a, b| is_zero(a) == is_zero(b))
    {
        let len: usize = part.iter().map(|cell| cell.len()).sum();
        if !is_zero(part[0]) {
            content.push_bytes(at as u64, &bytes[at..at + len]);
        }
        at += len;
    }
    content.set_len(bytes.len() as u64);
    content.compact();
    content
}

/// The blocks that runs of `content` touch.
fn data_blocks(content: &Content) -> Vec<Span> {
    let block = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let mut out: Vec<Span> = Vec::new();
    for run in content.runs() {
        let (start, end) = (block(run.offset / BLOCK), block(run.end().div_ceil(BLOCK)));
        match out.last_mut() {
            Some(last) if last.end() >= start => last.len = end.max(last.end()) - last.start,
            _ => out.push(Span {
                start,
                len: end - start,
            }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Demand {
        /// Of so many inodes and blocks.
        pub(in super::super) fn of(inodes: u64, blocks: u64) -> Self {
            Self {
                inodes,
                blocks,
                large: vec![(1, 5000), (300, 900)],
            }
        }
    }

    #[test]
    fn stretches_of_zeros_take_no_memory() {
        let mut bytes = vec![0; 3 * BLOCK_LEN];
        for at in [0, 300, 4095, 4096, 9000] {
            bytes[at] = 7;
        }
        let content = without_zeros(&bytes);
        assert_eq!(content.read_all(1 << 20).unwrap(), bytes);
        let runs: Vec<_> = content
            .runs()
            .iter()
            .map(|run| (run.offset, run.len))
            .collect();
        assert_eq!(runs, [(0, 512), (3840, 512), (8960, 256)]);
    }

    #[test]
    fn runs_share_blocks() {
        let mut content = Content::hole(0);
        content.push_bytes(100, vec![1; 10]);
        content.push_bytes(4000, vec![1; 200]);
        content.push_bytes(3 * 4096, vec![1; 4096]);
        content.push_bytes(4 * 4096 + 4095, vec![1; 1]);
        content.push_bytes(9 * 4096, vec![1; 1]);
        let found: Vec<_> = data_blocks(&content)
            .iter()
            .map(|span| (span.start, span.len))
            .collect();
        assert_eq!(found, [(0, 2), (3, 2), (9, 1)]);
    }
}
