//! The filesystem as a [`Content`]: bytes of ours for metadata, runs into the sources of the files
//! for data, holes elsewhere.

use super::super::format::{JOURNAL_INO, RESIZE_INO, inode_flags, mode};
use super::checksum::ChecksumSeed;
use super::extents::{self, Extent};
use super::geometry::{BLOCK, BLOCK_LEN, INODE_LEN};
use super::inode::{self, Record};
use super::layout::{Layout, identity};
use super::plan::{Body, Inode, Plan};
use super::superblock::{first_block, superblock};
use super::usage::Usage;
use super::{Options, bitmaps, descriptors, journal, resize, xattr};
use crate::stream::{CompressedBytes, Content, MemSource, ReadAt as _, Run, Source};
use std::ops::Range;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Composes the image of `size` bytes.
pub(super) fn compose(plan: Plan<'_>, layout: Layout, size: u64, options: &Options) -> Content {
    let runs = build(&plan, &layout, options);
    let used = layout.geometry.used();
    // Together they are as large as the runs, which are now needed twice.
    drop((plan, layout));
    content(runs, &used, size)
}

/// All runs of the image, in any order.
fn build(plan: &Plan<'_>, layout: &Layout, options: &Options) -> Vec<Run> {
    let mut builder = Builder {
        plan,
        layout,
        options,
        checksum_seed: ChecksumSeed::of_filesystem(options.uuid, options.metadata_csum),
        pieces: Vec::new(),
        tables: layout
            .geometry
            .groups
            .iter()
            .map(|_| Table::default())
            .collect(),
        open: FIRST_GROUP,
        runs: Vec::new(),
    };
    for index in 0..plan.inodes.len() {
        builder.inode(index);
    }
    let journal = builder.journal();
    builder.resize();
    builder.attribute_blocks();
    builder.tables();
    builder.usage(&Usage::new(plan, layout, options), journal.as_ref());
    builder.finish()
}

/// The used part of an inode table.
#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    /// The same, once nothing is added to it.
    done: Option<CompressedBytes>,
}

/// Where the inodes of the format itself are, which come last.
const FIRST_GROUP: usize = 0;

struct Builder<'b> {
    plan: &'b Plan<'b>,
    layout: &'b Layout,
    options: &'b Options,
    checksum_seed: ChecksumSeed,
    /// Metadata: whole blocks and where they begin.
    pieces: Vec<(u32, Vec<u8>)>,
    /// Each group's inode table.
    tables: Vec<Table>,
    /// The group whose inodes are being written.
    open: usize,
    /// Data of files, inode tables and metadata, in no order.
    runs: Vec<Run>,
}

impl Table {
    fn pack(&mut self) {
        if !self.bytes.is_empty() {
            self.done = Some(CompressedBytes::new(&std::mem::take(&mut self.bytes)));
        }
    }
}

impl Builder<'_> {
    /// Writes an inode of the plan, its extent tree and what it holds.
    fn inode(&mut self, index: usize) {
        let (plan, layout) = (self.plan, self.layout);
        let inode = &plan.inodes[index];
        let (extents, nodes) = (&layout.extents[index], &layout.nodes[index]);
        let mut in_blocks = |content: &Content| {
            self.data(content, extents);
            self.tree(inode.number, extents, nodes)
        };
        let block = match &inode.body {
            Body::Inline(block) => *block,
            Body::Blocks(content) => in_blocks(content),
            Body::Data { content, .. } => in_blocks(content),
        };
        let attribute_block = inode
            .attribute_block
            .map_or(0, |at| layout.attribute_blocks[at]);
        let blocks =
            blocks(extents) + nodes.len() as u64 + u64::from(inode.attribute_block.is_some());
        self.record(&Record {
            number: inode.number,
            mode: inode.mode,
            owner: (inode.stat.uid, inode.stat.gid),
            project: if self.options.project {
                inode.stat.project
            } else {
                0
            },
            links: inode.links,
            size: inode.size,
            blocks,
            flags: inode.flags,
            block,
            attribute_block,
            attributes: &inode.attributes,
            times: [
                inode.stat.atime,
                inode.stat.ctime,
                inode.stat.mtime,
                inode.stat.crtime.unwrap_or(self.options.time),
            ],
        });
    }

    /// Writes an extent tree and returns its root.
    fn tree(&mut self, number: u32, extents: &[Extent], nodes: &[u32]) -> [u8; 60] {
        let (root, nodes) = extents::encode(extents, nodes, self.checksum_seed.for_inode(number));
        self.pieces.extend(nodes);
        root
    }

    /// The runs of a file where its extents lie.
    fn data(&mut self, content: &Content, extents: &[Extent]) {
        let mut runs = content.runs().iter().peekable();
        for extent in extents {
            let start = u64::from(extent.logical) * BLOCK;
            let end = start + u64::from(extent.len) * BLOCK;
            let place = u64::from(extent.physical) * BLOCK;
            while let Some(run) = runs.peek() {
                let (from, to) = (run.offset.max(start), run.end().min(end));
                if from < to {
                    let source_offset = run.source_offset + (from - run.offset);
                    self.runs.push(Run {
                        offset: place + (from - start),
                        len: to - from,
                        source: Arc::clone(&run.source),
                        source_offset,
                    });
                }
                if run.end() > end {
                    break;
                }
                runs.next();
            }
        }
    }

    /// Writes an inode of the format's own: no time but that of the filesystem, root's.
    fn own_inode(&mut self, number: u32, size: u64, blocks: u64, flags: u32, block: [u8; 60]) {
        self.record(&Record {
            number,
            mode: mode::FILE | 0o600,
            owner: (0, 0),
            project: 0,
            links: 1,
            size,
            blocks,
            flags,
            block,
            attribute_block: 0,
            attributes: &[],
            times: [self.options.time; 4],
        });
    }

    /// Writes the journal and its inode, if there is one, and returns the inode's `i_block`.
    fn journal(&mut self) -> Option<[u8; 60]> {
        let (extents, nodes) = (&self.layout.journal, &self.layout.journal_nodes);
        let first = extents.first()?.physical;
        let data = blocks(extents);
        let block = self.tree(JOURNAL_INO, extents, nodes);
        self.pieces.push((
            first,
            journal::superblock(u32::try_from(data).unwrap_or(u32::MAX), self.options.uuid),
        ));
        self.own_inode(
            JOURNAL_INO,
            data * BLOCK,
            data + nodes.len() as u64,
            inode_flags::EXTENTS,
            block,
        );
        Some(block)
    }

    /// Writes the resize inode and its blocks.
    fn resize(&mut self) {
        let (geometry, block) = (&self.layout.geometry, self.layout.resize_block);
        self.pieces.extend(resize::encode(geometry, block));
        self.own_inode(
            RESIZE_INO,
            resize::RESIZE_LEN,
            resize::blocks(geometry),
            0,
            resize::map(block),
        );
    }

    fn attribute_blocks(&mut self) {
        for (block, place) in self
            .plan
            .attribute_blocks
            .iter()
            .zip(&self.layout.attribute_blocks)
        {
            let mut bytes = block.bytes.clone();
            xattr::finish_block(&mut bytes, block.refs, *place, self.checksum_seed);
            self.pieces.push((*place, bytes));
        }
    }

    /// Writes an inode into its table.
    fn record(&mut self, record: &Record<'_>) {
        let index = (record.number - 1) as usize;
        let each = self.layout.geometry.inodes_per_group as usize;
        let (group, at) = (index / each, index % each * INODE_LEN);
        // The inodes of files come in order, so a table that was left is whole. Together they would
        // take most of the memory.
        if group != self.open && group != FIRST_GROUP {
            if self.open != FIRST_GROUP {
                self.tables[self.open].pack();
            }
            self.open = group;
        }
        assert!(
            self.tables[group].done.is_none(),
            "inode {} comes after its table",
            record.number
        );
        let table = &mut self.tables[group].bytes;
        if table.is_empty() {
            table.reserve_exact(each * INODE_LEN);
        }
        if table.len() < at + INODE_LEN {
            table.resize((at + INODE_LEN).next_multiple_of(BLOCK_LEN), 0);
        }
        table[at..at + INODE_LEN].copy_from_slice(&inode::encode(record, self.checksum_seed));
    }

    /// The runs of the inode tables.
    fn tables(&mut self) {
        for (group, mut table) in self
            .layout
            .geometry
            .groups
            .iter()
            .zip(std::mem::take(&mut self.tables))
        {
            table.pack();
            let Some(packed) = table.done else { continue };
            let (offset, len) = (u64::from(group.inode_table) * BLOCK, packed.len());
            self.runs.push(Run {
                offset,
                len,
                source: Arc::new(packed),
                source_offset: 0,
            });
        }
    }

    /// Writes superblocks, descriptors and bitmaps.
    fn usage(&mut self, usage: &Usage<'_>, journal: Option<&[u8; 60]>) {
        let descriptors = descriptors::descriptors(usage);
        self.pieces
            .push((0, first_block(&superblock(usage, 0, journal))));
        self.pieces.push((1, descriptors.clone()));
        for (number, group) in (0..)
            .zip(&self.layout.geometry.groups)
            .skip(1)
            .filter(|(_, group)| group.has_super)
        {
            let mut bytes = superblock(usage, number, journal).as_bytes().to_vec();
            bytes.resize(BLOCK_LEN, 0);
            bytes.extend_from_slice(&descriptors);
            self.pieces.push((group.first, bytes));
        }
        self.pieces.extend(bitmaps::bitmaps(usage));
    }

    /// The runs, with those of the metadata.
    fn finish(mut self) -> Vec<Run> {
        for (place, bytes) in self.pieces {
            let (offset, len) = (u64::from(place) * BLOCK, bytes.len() as u64);
            let source: Source = Arc::new(MemSource(bytes.into()));
            self.runs.push(Run {
                offset,
                len,
                source,
                source_offset: 0,
            });
        }
        self.runs
    }
}

/// All runs in order. Blocks of `used` that nothing was written to (journal, inode tables,
/// descriptors to come, zeros within files) are zeros that a device must have.
fn content(mut runs: Vec<Run>, used: &[Range<u64>], size: u64) -> Content {
    runs.sort_unstable_by_key(|run| run.offset);
    // Neighbours that are neighbours in one source too are one run.
    runs.dedup_by(|run, last| {
        let joins = last.end() == run.offset && continues(last, run);
        last.len += if joins { run.len } else { 0 };
        joins
    });
    let mut content = Content::hole(0);
    runs.into_iter().for_each(|run| content.push(run));
    content.set_len(size);
    content.cover(used, BLOCK);
    content.compact();
    content
}

fn blocks(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| u64::from(extent.len)).sum()
}

/// Whether the second run begins in the source where the first one ends.
fn continues(first: &Run, second: &Run) -> bool {
    identity(&first.source) == identity(&second.source)
        && first.source_offset + first.len == second.source_offset
}

impl Inode<'_> {
    /// Whether it is a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.mode & mode::TYPE == mode::DIR
    }
}
