//! Extended attributes: as many as fit after the inode's fields, the others in one block (kernel's
//! page `attributes`).
//!
//! ```text
//! inode:  160 bytes of fields | magic | entries, ascending ... 4 zero bytes ... values, from the end downwards
//! block:  header of 32 bytes          | entries, ascending ... 4 zero bytes ... values, from the end downwards
//! ```

use super::super::format::{XATTR_MAGIC, XATTR_PREFIXES, XattrEntry, XattrHeader};
use super::checksum::ChecksumSeed;
use super::geometry::{BLOCK_LEN, INODE_LEN};
use crate::tree::show;
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

/// Where the fields of an inode end: 128 bytes and an `i_extra_isize` of 32.
pub(super) const INODE_FIELDS: usize = 160;
/// The magic in front of the entries in the inode.
const MAGIC_LEN: usize = 4;
/// The zeros after the last entry.
const END_LEN: usize = 4;
/// Header of a block.
const HEADER_LEN: usize = size_of::<XattrHeader>();
/// Room for entries, their end and values after the inode.
const IN_INODE: usize = INODE_LEN - INODE_FIELDS - MAGIC_LEN;
/// Inodes that may share one block (`EXT4_XATTR_REFCOUNT_MAX`).
pub(super) const MAX_REFS: u32 = 1024;

/// Why attributes cannot be stored, before a path is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Name(String),
    Acl(String, usize),
    Space { needed: usize, available: usize },
}

/// The attributes of one inode as they are on disk.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// What follows the fields of the inode; empty when nothing does.
    pub(super) in_inode: Vec<u8>,
    /// The block without reference count and checksum.
    pub(super) block: Option<Vec<u8>>,
}

/// An attribute with its name split and its value in the form on disk; ordered as the kernel
/// searches.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute<'t> {
    index: u8,
    name_len: usize,
    name: &'t [u8],
    value: Vec<u8>,
}

impl Attribute<'_> {
    fn entry_len(&self) -> usize {
        (size_of::<XattrEntry>() + self.name.len()).next_multiple_of(4)
    }

    fn len(&self) -> usize {
        self.entry_len() + self.value.len().next_multiple_of(4)
    }
}

/// Encodes attributes: those that fit into the inode go there, in the order of the search.
pub(super) fn encode(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Encoded, Refusal> {
    let mut attributes = xattrs
        .iter()
        .map(|(name, value)| attribute(name, value))
        .collect::<Result<Vec<_>, _>>()?;
    attributes.sort();
    let mut room = IN_INODE - END_LEN;
    let (inside, outside): (Vec<_>, Vec<_>) = attributes.into_iter().partition(|attribute| {
        let fits = attribute.len() <= room;
        room -= if fits { attribute.len() } else { 0 };
        fits
    });
    let needed = HEADER_LEN + END_LEN + outside.iter().map(Attribute::len).sum::<usize>();
    if needed > BLOCK_LEN {
        return Err(Refusal::Space {
            needed,
            available: BLOCK_LEN,
        });
    }
    let in_inode = if inside.is_empty() {
        Vec::new()
    } else {
        in_inode(&inside)
    };
    Ok(Encoded {
        in_inode,
        block: (!outside.is_empty()).then(|| block(&outside)),
    })
}

/// Splits the name and brings the value into the form on disk.
fn attribute<'t>(full: &'t [u8], value: &[u8]) -> Result<Attribute<'t>, Refusal> {
    let split = XATTR_PREFIXES.iter().find_map(|(index, prefix)| {
        let name = full.strip_prefix(*prefix)?;
        let whole = !prefix.ends_with(b".");
        (name.is_empty() == whole && name.len() <= 255 && !name.contains(&0))
            .then_some((*index, name))
    });
    let (index, name) = split.ok_or_else(|| Refusal::Name(show(full)))?;
    let value = if matches!(index, 2 | 3) {
        super::acl::to_disk(value).ok_or_else(|| Refusal::Acl(show(full), value.len()))?
    } else {
        value.to_vec()
    };
    Ok(Attribute {
        index,
        name_len: name.len(),
        name,
        value,
    })
}

fn in_inode(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut out = vec![0; MAGIC_LEN + IN_INODE];
    out[..MAGIC_LEN].copy_from_slice(&XATTR_MAGIC.to_le_bytes());
    fill(&mut out[MAGIC_LEN..], 0, attributes, |_| 0);
    out
}

fn block(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut out = vec![0; BLOCK_LEN];
    fill(&mut out, HEADER_LEN, attributes, entry_hash);
    let hashes = attributes.iter().map(entry_hash);
    let all = if hashes.clone().any(|hash| hash == 0) {
        0
    } else {
        hashes.fold(0u32, |sum, hash| sum.rotate_left(16) ^ hash)
    };
    let header = XattrHeader {
        h_magic: XATTR_MAGIC.into(),
        h_refcount: 0.into(),
        h_blocks: 1.into(),
        h_hash: all.into(),
        h_checksum: 0.into(),
        h_reserved: [0.into(); 3],
    };
    out[..HEADER_LEN].copy_from_slice(header.as_bytes());
    out
}

/// Writes entries from `at` on and values from the end of `out` downwards; offsets of values count
/// from the start of `out`.
fn fill(
    out: &mut [u8],
    mut at: usize,
    attributes: &[Attribute<'_>],
    hash: impl Fn(&Attribute<'_>) -> u32,
) {
    let mut end = out.len();
    let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    for attribute in attributes {
        end -= attribute.value.len().next_multiple_of(4);
        out[end..end + attribute.value.len()].copy_from_slice(&attribute.value);
        let entry = XattrEntry {
            e_name_len: u8::try_from(attribute.name.len()).unwrap_or(u8::MAX),
            e_name_index: attribute.index,
            e_value_offs: if attribute.value.is_empty() {
                0
            } else {
                short(end)
            }
            .into(),
            e_value_inum: 0.into(),
            e_value_size: u32::from(short(attribute.value.len())).into(),
            e_hash: hash(attribute).into(),
        };
        let name = at + size_of::<XattrEntry>();
        out[at..name].copy_from_slice(entry.as_bytes());
        out[name..name + attribute.name.len()].copy_from_slice(attribute.name);
        at += attribute.entry_len();
    }
}

/// `e_hash`: the name by 5 bits a byte, then the value by 16 bits a word.
fn entry_hash(attribute: &Attribute<'_>) -> u32 {
    let name = attribute
        .name
        .iter()
        .fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    attribute.value.chunks(4).fold(name, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// Fills in the fields that depend on the whole filesystem: the number of inodes that share the
/// block, and the checksum, which covers the block's own number.
pub(super) fn finish_block(block: &mut [u8], refs: u32, number: u32, checksum_seed: ChecksumSeed) {
    block[4..8].copy_from_slice(&refs.to_le_bytes());
    if let Some(checksum) = checksum_seed.checksum(&[&u64::from(number).to_le_bytes(), block]) {
        block[16..20].copy_from_slice(&checksum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, usize)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        pairs
            .iter()
            .map(|(name, len)| (name.as_bytes().to_vec(), vec![b'x'; *len]))
            .collect()
    }

    #[test]
    fn the_inode_comes_first() {
        let encoded = encode(&map(&[
            ("user.a", 10),
            ("user.large", 200),
            ("security.b", 20),
        ]))
        .unwrap();
        assert_eq!(encoded.in_inode.len(), 96);
        assert_eq!(&encoded.in_inode[4..8], [1, 1, 80, 0]);
        let block = encoded.block.unwrap();
        assert_eq!(&block[32..36], [5, 1, 0x38, 0x0f]);
        assert!(encode(&map(&[])).unwrap().in_inode.is_empty());
        assert!(
            encode(&map(&[("user.only", 70)]))
                .unwrap()
                .in_inode
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_stored() {
        assert_eq!(
            encode(&map(&[("user.a", 4096)])).unwrap_err(),
            Refusal::Space {
                needed: 36 + 20 + 4096,
                available: 4096
            }
        );
        assert!(encode(&map(&[("user.a", 4096 - 36 - 20)])).is_ok());
        assert_eq!(
            encode(&map(&[("user.", 1)])).unwrap_err(),
            Refusal::Name("user.".into())
        );
        assert_eq!(
            encode(&map(&[("other.x", 1)])).unwrap_err(),
            Refusal::Name("other.x".into())
        );
        let acl = "system.posix_acl_access";
        assert_eq!(
            encode(&map(&[(acl, 3)])).unwrap_err(),
            Refusal::Acl(acl.into(), 3)
        );
    }
}
