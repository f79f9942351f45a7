//! Extended attributes, after the fields of an inode and in blocks that inodes share (kernel's page
//! `attributes`).

use super::checker::{Checker, XattrBlock};
use super::claims::METADATA;
use crate::bytes::le32;
use crate::fs::ext4::format::{
    Inode, XATTR_MAGIC, XATTR_PREFIXES, XattrEntry, XattrHeader, compat, crc32c, incompat,
};
use crate::tree::show;
use crate::verify::finding::Location;
use crate::verify::numbers::index;
use std::ops::Range;
use zerocopy::FromBytes;

/// Offset of `h_checksum` in the header (bytes).
const CHECKSUM_AT: usize = 16;
/// Bytes of the header of a block, and of the magic number in an inode.
const BLOCK_HEADER: usize = size_of::<XattrHeader>();
const INODE_HEADER: usize = 4;
/// Bytes of an entry before its name.
const ENTRY: usize = size_of::<XattrEntry>();

/// An entry with its name and value.
struct Attribute<'b> {
    raw: XattrEntry,
    name: &'b [u8],
    value: &'b [u8],
}

impl Checker<'_> {
    /// Checks the attributes of an inode; true when it has a block of them.
    pub(super) fn check_attributes(&mut self, ino: u32, raw: &Inode, inside: &[u8]) -> bool {
        if le32(inside, 0) == Some(XATTR_MAGIC) {
            let body = inside.get(INODE_HEADER..).unwrap_or_default();
            let place = self.at(ino);
            match attributes(body, 0) {
                Ok(list) => self.check_hashes(&list, &place, true),
                Err(text) => self.log.error(
                    "ext4-xattr",
                    place,
                    format!("the attributes in the inode: {text}"),
                ),
            }
        }
        let high = if self.fs.incompat(incompat::BIT64) {
            u64::from(raw.i_file_acl_high.get()) << 32
        } else {
            0
        };
        let block = high | u64::from(raw.i_file_acl_lo.get());
        if block != 0 {
            let place = self.at(ino);
            let known = self.fs.compat(compat::EXT_ATTR);
            self.log.check(known, "ext4-xattr", || {
                (
                    place,
                    format!("the inode has the attribute block {block}, but the filesystem does not have the feature ext_attr"),
                )
            });
            self.attribute_block(ino, block);
        }
        block != 0
    }

    fn attribute_block(&mut self, ino: u32, block: u64) {
        if let Some(shared) = self.xattr_blocks.get_mut(&block) {
            shared.found = shared.found.saturating_add(1);
            return;
        }
        let (first, blocks) = (self.fs.first, self.fs.blocks);
        let place = self.at(ino);
        let inside = self.fs.inside(block, 1);
        self.maps_broken |= !inside;
        if !self.log.check(inside, "ext4-xattr", || {
            (
                place,
                format!("attribute block {block} is outside the blocks {first} to {blocks}"),
            )
        }) {
            return;
        }
        self.claims.claim(block, 1, ino);
        let Some(bytes) = self.read_block(block) else {
            return;
        };
        let Ok((header, _)) = XattrHeader::read_from_prefix(&bytes) else {
            return;
        };
        self.xattr_blocks.insert(
            block,
            XattrBlock {
                stored: header.h_refcount.get(),
                found: 1,
            },
        );
        let place = self.at_block(ino, block);
        let (magic, count) = (header.h_magic.get(), header.h_blocks.get());
        let good = self.log.check(magic == XATTR_MAGIC && count == 1, "ext4-xattr", || {
            (
                place.clone(),
                format!("the attribute block has the magic number {magic:#010x} and {count} blocks, not {XATTR_MAGIC:#010x} and 1"),
            )
        });
        if good {
            self.check_block(&bytes, block, &header, ino);
        } else {
            self.xattr_blocks.insert(
                block,
                XattrBlock {
                    stored: 0,
                    found: 0,
                },
            );
        }
    }

    fn check_block(&mut self, bytes: &[u8], block: u64, header: &XattrHeader, ino: u32) {
        let place = self.at_block(ino, block);
        if self.fs.has_checksums() {
            let (front, back) = bytes.split_at(CHECKSUM_AT);
            let crc = crc32c(crc32c(self.fs.seed, &block.to_le_bytes()), front);
            let computed = crc32c(crc32c(crc, &[0; 4]), back.get(4..).unwrap_or_default());
            let stored = header.h_checksum.get();
            self.log.check(stored == computed, "ext4-xattr-checksum", || {
                (
                    place.clone(),
                    format!("the attribute block has the checksum {stored:#010x}, computed {computed:#010x}"),
                )
            });
        }
        let list = match attributes(bytes, BLOCK_HEADER) {
            Ok(list) => list,
            Err(text) => {
                return self
                    .log
                    .error("ext4-xattr", place, format!("the attribute block: {text}"));
            }
        };
        let key = |attribute: &Attribute<'_>| {
            (
                attribute.raw.e_name_index,
                attribute.name.len(),
                attribute.name.to_vec(),
            )
        };
        let sorted = list.is_sorted_by(|before, after| key(before) < key(after));
        self.log.check(sorted, "ext4-xattr-order", || {
            (
                place.clone(),
                "the attributes are not in the order that the kernel expects".into(),
            )
        });
        self.check_hashes(&list, &place, false);
        let hashes = list.iter().map(|attribute| attribute.raw.e_hash.get());
        let due = if hashes.clone().any(|hash| hash == 0) {
            0
        } else {
            hashes.fold(0u32, |sum, hash| sum.rotate_left(16) ^ hash)
        };
        let stored = header.h_hash.get();
        self.log
            .check(stored == 0 || stored == due, "ext4-xattr-hash", || {
                (
                    place,
                    format!(
                        "the attribute block has the hash {stored:#010x}, computed {due:#010x}"
                    ),
                )
            });
    }

    /// Hashes and names. In an inode, old kernels left the hash 0.
    fn check_hashes(&mut self, list: &[Attribute<'_>], place: &Location, inside: bool) {
        for attribute in list {
            let stored = attribute.raw.e_hash.get();
            // Kernels on processors whose `char` is signed hash signed bytes.
            let due = [false, true].map(|signed| entry_hash(attribute, signed));
            self.log.check(
                (inside && stored == 0) || due.contains(&stored),
                "ext4-xattr-hash",
                || {
                    let text = format!(
                        "the attribute `{}` has the hash {stored:#010x}, computed {:#010x}",
                        show(attribute.name),
                        due[0]
                    );
                    (place.clone(), text)
                },
            );
            let known = XATTR_PREFIXES
                .iter()
                .find(|(index, _)| *index == attribute.raw.e_name_index);
            let fits = known
                .is_some_and(|(_, prefix)| prefix.ends_with(b".") != attribute.name.is_empty());
            self.log
                .check(!attribute.name.contains(&0), "ext4-xattr", || {
                    (
                        place.clone(),
                        format!(
                            "the attribute `{}` has a NUL in its name",
                            show(attribute.name)
                        ),
                    )
                });
            self.log.check(fits, "ext4-xattr", || {
                (
                    place.clone(),
                    format!(
                        "the attribute `{}` has the name index {}, which does not fit",
                        show(attribute.name),
                        attribute.raw.e_name_index
                    ),
                )
            });
        }
    }

    /// The reference count of every attribute block is right.
    pub(super) fn check_attribute_references(&mut self) {
        for (block, shared) in std::mem::take(&mut self.xattr_blocks) {
            if shared.found == 0 {
                continue;
            }
            let place = self.place().offset(self.fs.offset(block));
            self.log.check(
                shared.stored == shared.found,
                "ext4-xattr-references",
                || {
                    (
                        place,
                        format!(
                            "attribute block {block} counts {} references, {} inodes refer to it",
                            shared.stored, shared.found
                        ),
                    )
                },
            );
        }
    }

    /// The owner of a block, as findings name it.
    pub(super) fn owner(&self, ino: u32) -> String {
        if ino == METADATA {
            "the filesystem's own structures".into()
        } else {
            format!("inode {ino}")
        }
    }
}

/// The entries from byte `start` on; their values must follow them and must not overlap.
fn attributes(bytes: &[u8], start: usize) -> Result<Vec<Attribute<'_>>, String> {
    let mut list: Vec<Attribute<'_>> = Vec::new();
    let mut at = start;
    loop {
        let head = bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk::<4>)
            .ok_or_else(|| format!("the entries do not end before byte {at}"))?;
        if *head == [0; 4] {
            break;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let (raw, rest) = XattrEntry::read_from_prefix(rest)
            .map_err(|_| format!("the entry at byte {at} is cut off"))?;
        let name = rest
            .get(..raw.e_name_len.into())
            .ok_or_else(|| format!("the name at byte {at} is cut off"))?;
        // At most 272 bytes, within the slice or at its end.
        at = at.saturating_add(ENTRY.saturating_add(name.len()).next_multiple_of(4));
        list.push(Attribute {
            raw,
            name,
            value: &[],
        });
    }
    let mut taken: Vec<Range<usize>> = Vec::new();
    for attribute in &mut list {
        let size = index(attribute.raw.e_value_size.get());
        let offset = usize::from(attribute.raw.e_value_offs.get());
        if attribute.raw.e_value_inum.get() != 0 {
            return Err(
                "a value is in another inode, which the filesystem's features do not allow".into(),
            );
        }
        if size == 0 {
            continue;
        }
        let range = offset..offset.saturating_add(size);
        let fits =
            offset >= at.saturating_add(4) && range.end <= bytes.len() && offset.is_multiple_of(4);
        if !fits
            || taken
                .iter()
                .any(|other| other.start < range.end && range.start < other.end)
        {
            return Err(format!(
                "the value of {size} bytes at byte {offset} overlaps another or the entries, which end at {at}"
            ));
        }
        attribute.value = bytes.get(range.clone()).unwrap_or_default();
        taken.push(range);
    }
    Ok(list)
}

/// `e_hash`: the name by 5 bits a byte, then the value by 16 bits a word.
fn entry_hash(attribute: &Attribute<'_>, signed: bool) -> u32 {
    let wide = |byte: u8| {
        if signed {
            i32::from(byte.cast_signed()).cast_unsigned()
        } else {
            byte.into()
        }
    };
    let name = attribute
        .name
        .iter()
        .fold(0u32, |hash, byte| hash.rotate_left(5) ^ wide(*byte));
    attribute.value.chunks(4).fold(name, |hash, chunk| {
        let mut word = [0; 4];
        word.iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to = *from);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}
