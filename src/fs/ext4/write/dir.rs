//! Directories: one block of entries where that is enough, else leaves sorted by hash under an
//! index of one or two levels (kernel's page `directory`).
//!
//! ```text
//! block 0, index:   . (12) | .. | dx_root_info | limit, count, first block | hash, block | ... | tail
//! index below:      an unused entry that spans the block | limit, count, first block | hash, block | ... | tail
//! leaf:             entries | tail of 12 bytes that looks like an unused entry
//! ```

use super::super::format::{DirEntry, file_type};
use super::checksum::ChecksumSeed;
use super::geometry::BLOCK_LEN;
use super::hash::half_md4;
use zerocopy::IntoBytes;

/// Bytes in front of a name.
const HEAD_LEN: usize = size_of::<DirEntry>();
/// Bytes of the entry `.` or `..`.
const DOT_LEN: usize = 12;
/// Bytes of the checksum tail of a leaf (`struct ext4_dir_entry_tail`).
const TAIL_LEN: usize = 12;
/// Bytes of `struct dx_root_info`.
const INFO_LEN: usize = 8;
/// Where limit and count are in the root of an index, and below it.
const ROOT_COUNT: usize = 2 * DOT_LEN + INFO_LEN;
const NODE_COUNT: usize = HEAD_LEN;
/// Bytes of `struct dx_entry` and of `struct dx_tail`.
const INDEX_LEN: usize = 8;
/// `DX_HASH_HALF_MD4` of `fs/ext4/ext4.h`.
pub(super) const HASH_VERSION: u8 = 1;
/// How full leaves are made, in percent: room for a quarter more names before the first split.
const FILL: usize = 75;

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'t> {
    pub(super) name: &'t [u8],
    pub(super) number: u32,
    pub(super) file_type: u8,
}

impl Child<'_> {
    fn len(&self) -> usize {
        (HEAD_LEN + self.name.len()).next_multiple_of(4)
    }
}

/// What all directories of a filesystem share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) hash_seed: [u32; 4],
    pub(super) checksum_seed: ChecksumSeed,
}

/// A directory as it is on disk.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) blocks: Vec<u8>,
    /// Whether it has an index.
    pub(super) indexed: bool,
}

/// More leaves than an index of two levels can hold: how many, and how many can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) needed: usize,
    pub(super) max: usize,
}

/// Encodes the directory `number` within `parent`; `least` blocks at least when it needs no index.
pub(super) fn encode(
    number: u32,
    parent: u32,
    children: &[Child<'_>],
    least: usize,
    style: Style,
) -> Result<Encoded, TooMany> {
    let dots = [dot(b".", number), dot(b"..", parent)];
    let writer = Writer {
        checksum_seed: style.checksum_seed.for_inode(number),
        dots,
    };
    let len = 2 * DOT_LEN + children.iter().map(Child::len).sum::<usize>();
    if len > writer.leaf_room() {
        return writer
            .index(leaves(children, writer.leaf_room(), &style.hash_seed))
            .map(|blocks| Encoded {
                blocks,
                indexed: true,
            });
    }
    let mut blocks = Vec::new();
    writer.leaf(&mut blocks, dots.iter().chain(children));
    for _ in 1..least {
        writer.leaf(&mut blocks, [].iter());
    }
    Ok(Encoded {
        blocks,
        indexed: false,
    })
}

fn dot(name: &'static [u8], number: u32) -> Child<'static> {
    Child {
        name,
        number,
        file_type: file_type::DIR,
    }
}

/// The entries of a leaf block and its key in the index: the least hash, odd when entries of that
/// hash are in the leaf before too.
struct Leaf<'a, 't> {
    key: u32,
    children: Vec<&'a Child<'t>>,
}

/// Shares the children out to leaves, by hash.
fn leaves<'a, 't>(children: &'a [Child<'t>], room: usize, seed: &[u32; 4]) -> Vec<Leaf<'a, 't>> {
    let mut sorted: Vec<_> = children
        .iter()
        .map(|child| (half_md4(child.name, seed), child.name, child))
        .collect();
    sorted.sort_unstable_by_key(|(hash, name, _)| (*hash, *name));
    let mut out: Vec<Leaf<'_, '_>> = Vec::new();
    let (mut used, mut last) = (0, None);
    for ((hash, _), _, child) in sorted {
        let collides = last == Some(hash);
        let limit = if collides { room } else { room * FILL / 100 };
        match out.last_mut() {
            Some(leaf) if used + child.len() <= limit => leaf.children.push(child),
            _ => {
                let key = if out.is_empty() {
                    0
                } else {
                    hash | u32::from(collides)
                };
                out.push(Leaf {
                    key,
                    children: vec![child],
                });
                used = 0;
            }
        }
        used += child.len();
        last = Some(hash);
    }
    out
}

/// Writes the blocks of one directory.
struct Writer<'d> {
    checksum_seed: ChecksumSeed,
    dots: [Child<'d>; 2],
}

impl Writer<'_> {
    /// Bytes for entries in a leaf.
    fn leaf_room(&self) -> usize {
        BLOCK_LEN
            - if self.checksum_seed.enabled() {
                TAIL_LEN
            } else {
                0
            }
    }

    /// Index entries that fit after `count_at`.
    fn limit(&self, count_at: usize) -> usize {
        (BLOCK_LEN - count_at) / INDEX_LEN - usize::from(self.checksum_seed.enabled())
    }

    /// All blocks of an indexed directory: root, index below if any, leaves.
    fn index(&self, leaves: Vec<Leaf<'_, '_>>) -> Result<Vec<u8>, TooMany> {
        let (in_root, in_node) = (self.limit(ROOT_COUNT), self.limit(NODE_COUNT));
        if leaves.len() > in_root * in_node {
            return Err(TooMany {
                needed: leaves.len(),
                max: in_root * in_node,
            });
        }
        let nodes = if leaves.len() > in_root {
            leaves.len().div_ceil(in_node)
        } else {
            0
        };
        let block = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let keys: Vec<_> = leaves
            .iter()
            .enumerate()
            .map(|(at, leaf)| (leaf.key, block(1 + nodes + at)))
            .collect();
        let mut out = Vec::with_capacity((1 + nodes + leaves.len()) * BLOCK_LEN);
        if nodes == 0 {
            self.root(&mut out, &keys, 0);
        } else {
            let chunks: Vec<_> = keys.chunks(leaves.len().div_ceil(nodes)).collect();
            let above: Vec<_> = chunks
                .iter()
                .enumerate()
                .map(|(at, chunk)| (chunk[0].0, block(1 + at)))
                .collect();
            self.root(&mut out, &above, 1);
            chunks.iter().for_each(|chunk| self.node(&mut out, chunk));
            out.resize((1 + nodes) * BLOCK_LEN, 0);
        }
        for leaf in leaves {
            self.leaf(&mut out, leaf.children.into_iter());
        }
        Ok(out)
    }

    /// Appends a leaf of these entries, the last one reaching to the end.
    fn leaf<'c, 'n: 'c>(&self, out: &mut Vec<u8>, children: impl Iterator<Item = &'c Child<'n>>) {
        let start = out.len();
        let end = start + self.leaf_room();
        let mut children = children.peekable();
        if children.peek().is_none() {
            entry(
                out,
                &Child {
                    name: b"",
                    number: 0,
                    file_type: 0,
                },
                self.leaf_room(),
            );
        }
        while let Some(child) = children.next() {
            let len = if children.peek().is_some() {
                child.len()
            } else {
                end - out.len()
            };
            entry(out, child, len);
        }
        out.resize(start + BLOCK_LEN, 0);
        if self.checksum_seed.enabled() {
            let tail = DirEntry {
                inode: 0.into(),
                rec_len: 12.into(),
                name_len: 0,
                file_type: file_type::CSUM,
            };
            out[end..end + HEAD_LEN].copy_from_slice(tail.as_bytes());
            self.checksum_seed.write_checksum(
                &mut out[start..],
                end - start,
                end - start + HEAD_LEN,
            );
        }
    }

    /// Appends the first block of an index.
    fn root(&self, out: &mut Vec<u8>, keys: &[(u32, u32)], levels: u8) {
        let start = out.len();
        entry(out, &self.dots[0], DOT_LEN);
        entry(out, &self.dots[1], BLOCK_LEN - DOT_LEN);
        let info = start + 2 * DOT_LEN;
        out[info + 4..info + 7].copy_from_slice(&[HASH_VERSION, 8, levels]);
        self.keys(&mut out[start..], ROOT_COUNT, keys);
    }

    /// Appends a block of the second level of an index.
    fn node(&self, out: &mut Vec<u8>, keys: &[(u32, u32)]) {
        let start = out.len();
        entry(
            out,
            &Child {
                name: b"",
                number: 0,
                file_type: 0,
            },
            BLOCK_LEN,
        );
        self.keys(&mut out[start..], NODE_COUNT, keys);
    }

    /// Writes limit, count and keys at `at`; limit and count take the place of the first hash.
    fn keys(&self, block: &mut [u8], at: usize, keys: &[(u32, u32)]) {
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
        for (place, (hash, target)) in block[at..].chunks_exact_mut(INDEX_LEN).zip(keys) {
            place[..4].copy_from_slice(&hash.to_le_bytes());
            place[4..].copy_from_slice(&target.to_le_bytes());
        }
        let limit = self.limit(at);
        block[at..at + 2].copy_from_slice(&short(limit));
        block[at + 2..at + 4].copy_from_slice(&short(keys.len()));
        let (used, tail) = (at + keys.len() * INDEX_LEN, at + limit * INDEX_LEN);
        // The checksum covers the used part and the tail with a zero in its own place.
        if let Some(checksum) = self
            .checksum_seed
            .checksum(&[&block[..used], &[0; INDEX_LEN]])
        {
            block[tail + 4..tail + 8].copy_from_slice(&checksum.to_le_bytes());
        }
    }
}

/// Appends one entry that takes `len` bytes.
fn entry(out: &mut Vec<u8>, child: &Child<'_>, len: usize) {
    let start = out.len();
    let head = DirEntry {
        inode: child.number.into(),
        rec_len: u16::try_from(len).unwrap_or(u16::MAX).into(),
        name_len: u8::try_from(child.name.len()).unwrap_or(u8::MAX),
        file_type: child.file_type,
    };
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(child.name);
    out.resize(start + len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Uuid;

    fn style() -> Style {
        Style {
            hash_seed: [1, 2, 3, 4],
            checksum_seed: ChecksumSeed::of_filesystem(Uuid([1; 16]), true),
        }
    }

    fn names(count: usize, len: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| format!("{n:0len$}").into_bytes())
            .collect()
    }

    fn encoded(names: &[Vec<u8>], least: usize) -> Result<Encoded, TooMany> {
        let children: Vec<_> = names
            .iter()
            .map(|name| Child {
                name,
                number: 20,
                file_type: 1,
            })
            .collect();
        encode(11, 2, &children, least, style())
    }

    #[test]
    fn one_block_while_it_fits() {
        // 24 bytes of dots, 12 of tail: 203 entries of 20 bytes fill a block.
        let full = encoded(&names(203, 12), 4).unwrap();
        assert_eq!((full.blocks.len(), full.indexed), (4 * 4096, false));
        assert_eq!(&full.blocks[4096..4104], [0, 0, 0, 0, 0xf4, 0x0f, 0, 0]);
        let more = encoded(&names(204, 12), 4).unwrap();
        assert_eq!((more.blocks.len(), more.indexed), (3 * 4096, true));
    }

    #[test]
    fn two_levels_and_no_more() {
        let long = names(507 * 11 + 1000, 255);
        let two = encoded(&long, 1).unwrap();
        assert!(two.indexed && two.blocks[30] == 1);
        let one = encoded(&long[..507 * 11], 1).unwrap();
        assert!(one.indexed && one.blocks[30] == 0 && one.blocks.len() == 508 * 4096);
        let leaves = (0..507 * 510 + 1)
            .map(|_| Leaf {
                key: 0,
                children: Vec::new(),
            })
            .collect();
        let writer = Writer {
            checksum_seed: style().checksum_seed,
            dots: [dot(b".", 11), dot(b"..", 2)],
        };
        assert_eq!(
            writer.index(leaves).unwrap_err(),
            TooMany {
                needed: 507 * 510 + 1,
                max: 507 * 510
            }
        );
    }

    /// No two names of any use collide; so one name many times stands for those that do.
    #[test]
    fn collisions_stay_together_or_are_continued() {
        let name = vec![b'n'; 255];
        let same: Vec<_> = (0..20)
            .map(|_| Child {
                name: &name,
                number: 20,
                file_type: 1,
            })
            .collect();
        let hash = half_md4(&name, &[1; 4]).0;
        let keys: Vec<_> = leaves(&same, 4084, &[1; 4])
            .iter()
            .map(|leaf| (leaf.key, leaf.children.len()))
            .collect();
        assert_eq!(keys, [(0, 15), (hash | 1, 5)]);
    }
}
