//! Extended attributes: after the fields of an inode, in a block that inodes may share, or in
//! inodes of their own (page `attributes`).

use super::claims::Claims;
use super::error::{Error, Fault, Place};
use super::inode::{Inode, Inodes};
use super::map;
use super::volume::Volume;
use crate::fs::ext4::format::{
    XATTR_MAGIC, XATTR_PREFIXES, XattrEntry, XattrHeader, crc32c, incompat, inode_flags,
};
use crate::units::len_u64;
use std::collections::BTreeMap;
use std::rc::Rc;
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32};

/// `e_name_index` of the two ACLs.
const ACL_INDEXES: [u8; 2] = [2, 3];
/// `e_name_index` and name of what an inline file keeps beyond its first 60 bytes.
const INLINE: (u8, &[u8]) = (7, b"data");
/// The longest value (`EXT4_XATTR_SIZE_MAX`).
const MAX_VALUE: u64 = 1 << 24;
/// Bytes of the attribute header in a block and of the magic number in an inode.
const BLOCK_HEADER: usize = size_of::<XattrHeader>();
const BODY_HEADER: usize = 4;
/// Offset of `h_checksum` in the header (bytes).
const H_CHECKSUM: usize = 16;

/// Full names and values.
type List = Vec<(Vec<u8>, Vec<u8>)>;

/// What an inode's attributes say.
#[derive(Debug, Default)]
pub(super) struct InodeAttributes {
    /// By full name, in the form of `getxattr`.
    pub(super) named: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The part of an inline file that lies among the attributes.
    pub(super) inline: Vec<u8>,
}

/// An entry, its value not yet fetched.
struct Entry<'b> {
    raw: &'b XattrEntry,
    name: &'b [u8],
    value: &'b [u8],
}

/// Reads attributes; blocks and values that several inodes share are read once.
#[derive(Debug)]
pub(super) struct Attributes<'v> {
    volume: &'v Volume,
    blocks: BTreeMap<u64, Rc<List>>,
    values: BTreeMap<u32, Rc<[u8]>>,
    bytes: u64,
}

impl<'v> Attributes<'v> {
    pub(super) fn new(volume: &'v Volume) -> Self {
        Self {
            volume,
            blocks: BTreeMap::new(),
            values: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// All attributes of `inode`; those inside the inode win over those of its block, as in the
    /// kernel.
    ///
    /// # Errors
    /// [`Error`] at the inode or its attribute block.
    pub(super) fn of(
        &mut self,
        inode: &Inode,
        inodes: &mut Inodes<'_>,
        claims: &mut Claims,
    ) -> Result<InodeAttributes, Error> {
        let mut found = InodeAttributes::default();
        let place = inode.place();
        let magic = U32::read_from_prefix(&inode.attributes).map_or(0, |(magic, _)| magic.get());
        if magic == XATTR_MAGIC {
            let body = inode.attributes.get(BODY_HEADER..).unwrap_or_default();
            for entry in entries(place, body, 0)? {
                if inode.flag(inode_flags::INLINE_DATA)
                    && (entry.raw.e_name_index, entry.name) == INLINE
                {
                    found.inline = entry.value.to_vec();
                    continue;
                }
                let (name, value) = self.resolve(place, &entry, inodes, claims)?;
                self.add(place, &mut found, name, value)?;
            }
        }
        let block = self.block_number(inode);
        if block != 0 {
            for (name, value) in self.block(block, inodes, claims)?.iter() {
                self.add(place, &mut found, name.clone(), value.clone())?;
            }
        }
        Ok(found)
    }

    /// Shared blocks let a small filesystem hold many values; what they come to is held to the
    /// filesystem's own size.
    fn add(
        &mut self,
        place: Place,
        found: &mut InodeAttributes,
        name: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        let added = len_u64(name.len()).saturating_add(len_u64(value.len()));
        self.bytes = self.bytes.saturating_add(added);
        place.within(
            "bytes of attributes so far",
            self.bytes,
            0,
            self.volume.layout.len(),
        )?;
        found.named.entry(name).or_insert(value);
        Ok(())
    }

    fn block_number(&self, inode: &Inode) -> u64 {
        let high = if self.volume.layout.incompat(incompat::BIT64) {
            inode.raw.i_file_acl_high.get()
        } else {
            0
        };
        u64::from(high) << 32 | u64::from(inode.raw.i_file_acl_lo.get())
    }

    fn block(
        &mut self,
        block: u64,
        inodes: &mut Inodes<'_>,
        claims: &mut Claims,
    ) -> Result<Rc<List>, Error> {
        if let Some(list) = self.blocks.get(&block) {
            return Ok(Rc::clone(list));
        }
        let place = Place::Attributes(block);
        self.volume.check_range(place, block, 1)?;
        claims.take(place, block, 1)?;
        let bytes = self.volume.blocks(place, block, 1)?;
        let header = XattrHeader::read_from_prefix(&bytes)
            .map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?
            .0;
        place.equal(
            "magic number",
            header.h_magic.get().into(),
            XATTR_MAGIC.into(),
        )?;
        place.equal("number of blocks", header.h_blocks.get().into(), 1)?;
        if self.volume.layout.has_checksums() {
            place.checksum(
                header.h_checksum.get(),
                block_checksum(self.volume.layout.seed, block, &bytes),
            )?;
        }
        let mut list = List::new();
        for entry in entries(place, &bytes, BLOCK_HEADER)? {
            list.push(self.resolve(place, &entry, inodes, claims)?);
        }
        let list = Rc::new(list);
        self.blocks.insert(block, Rc::clone(&list));
        Ok(list)
    }

    /// The full name and the value of an entry.
    fn resolve(
        &mut self,
        place: Place,
        entry: &Entry<'_>,
        inodes: &mut Inodes<'_>,
        claims: &mut Claims,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let index = entry.raw.e_name_index;
        let prefix = XATTR_PREFIXES.iter().find(|(known, _)| *known == index);
        let prefix = prefix
            .ok_or_else(|| place.unsupported(format!("an attribute of kind {index}")))?
            .1;
        let whole = !prefix.ends_with(b".");
        if whole != entry.name.is_empty() || entry.name.contains(&0) {
            return Err(place.corrupt(Fault::Entry {
                name: entry.name.to_vec(),
                fact: "is not the name of an attribute",
            }));
        }
        let value = match entry.raw.e_value_inum.get() {
            0 => entry.value.to_vec(),
            ino => self
                .value(place, ino, entry.raw.e_value_size.get(), inodes, claims)?
                .to_vec(),
        };
        let value = if ACL_INDEXES.contains(&index) {
            acl(place, &value)?
        } else {
            value
        };
        Ok(([prefix, entry.name].concat(), value))
    }

    /// A value in an inode of its own; its access time holds the value's checksum.
    fn value(
        &mut self,
        place: Place,
        ino: u32,
        size: u32,
        inodes: &mut Inodes<'_>,
        claims: &mut Claims,
    ) -> Result<Rc<[u8]>, Error> {
        if let Some(value) = self.values.get(&ino) {
            place.equal("size of an attribute", size.into(), len_u64(value.len()))?;
            return Ok(Rc::clone(value));
        }
        if !self.volume.layout.incompat(incompat::EA_INODE) {
            return Err(place.corrupt(Fault::Fact(
                "an attribute has an inode without the feature ea_inode",
            )));
        }
        let inode = inodes.get(ino)?;
        if !inode.flag(inode_flags::EA_INODE) {
            return Err(inode.place().corrupt(Fault::Fact(
                "an attribute names it but it does not hold a value",
            )));
        }
        inode
            .place()
            .within("size of an attribute", inode.size, 0, MAX_VALUE)?;
        place.equal("size of an attribute", size.into(), inode.size)?;
        let spans = map::spans(self.volume, &inode, claims)?;
        let bytes = map::content(self.volume, &inode, &spans)
            .read_all(MAX_VALUE)
            .map_err(inode.place().io())?;
        inode.place().checksum(
            inode.raw.i_atime.get(),
            crc32c(self.volume.layout.seed, &bytes),
        )?;
        let value: Rc<[u8]> = bytes.into();
        self.values.insert(ino, Rc::clone(&value));
        Ok(value)
    }
}

/// The checksum of an attribute block: its number, then its bytes with the checksum taken as 0.
fn block_checksum(seed: u32, block: u64, bytes: &[u8]) -> u32 {
    let (front, back) = bytes.split_at(H_CHECKSUM.min(bytes.len()));
    let crc = crc32c(crc32c(seed, &block.to_le_bytes()), front);
    crc32c(crc32c(crc, &[0; 4]), back.get(4..).unwrap_or_default())
}

/// The entries from byte `start` on, up to the four zeros that end them; values lie after those,
/// by their offset in `bytes`.
fn entries(place: Place, bytes: &[u8], start: usize) -> Result<Vec<Entry<'_>>, Error> {
    let cut = || place.corrupt(Fault::Fact("its attributes are cut off"));
    let mut list = Vec::new();
    let mut at = start;
    while bytes.get(at..at.saturating_add(4)).ok_or_else(cut)? != [0; 4] {
        let (raw, rest) =
            XattrEntry::ref_from_prefix(bytes.get(at..).unwrap_or_default()).map_err(|_| cut())?;
        let name = rest.get(..raw.e_name_len.into()).ok_or_else(cut)?;
        list.push(Entry {
            raw,
            name,
            value: &[],
        });
        let len = size_of::<XattrEntry>().saturating_add(name.len());
        at = at.saturating_add(len.next_multiple_of(4));
    }
    for entry in &mut list {
        let size = u64::from(entry.raw.e_value_size.get());
        if entry.raw.e_value_inum.get() != 0 || size == 0 {
            continue;
        }
        let from = u64::from(entry.raw.e_value_offs.get());
        place.within(
            "offset of an attribute's value",
            from,
            len_u64(at).saturating_add(4),
            len_u64(bytes.len()),
        )?;
        place.within(
            "size of an attribute's value",
            size,
            0,
            len_u64(bytes.len()).saturating_sub(from),
        )?;
        let range = usize::try_from(from)
            .ok()
            .zip(usize::try_from(size).ok())
            .map(|(from, size)| from..from.saturating_add(size));
        entry.value = range.and_then(|range| bytes.get(range)).ok_or_else(cut)?;
    }
    Ok(list)
}

/// An ACL as ext4 stores it (version 1, ids only where they mean something) in the form of
/// `linux/posix_acl_xattr.h` (version 2).
fn acl(place: Place, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    const NAMED: [u16; 2] = [0x02, 0x08];
    const PLAIN: [u16; 4] = [0x01, 0x04, 0x10, 0x20];
    let cut = || place.corrupt(Fault::Fact("its access control list is cut off"));
    let (version, mut rest) = U32::read_from_prefix(bytes).map_err(|_| cut())?;
    place.equal(
        "version of the access control list",
        version.get().into(),
        1,
    )?;
    let mut out = 2_u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (head, after) = <[U16; 2]>::read_from_prefix(rest).map_err(|_| cut())?;
        let tag = head[0].get();
        let (id, after) = if NAMED.contains(&tag) {
            let (id, after) = U32::read_from_prefix(after).map_err(|_| cut())?;
            (id.get(), after)
        } else if PLAIN.contains(&tag) {
            (u32::MAX, after)
        } else {
            return Err(place.corrupt(Fault::Fact(
                "its access control list has an entry of an unknown kind",
            )));
        };
        out.extend_from_slice(rest.get(..4).unwrap_or_default());
        out.extend_from_slice(&id.to_le_bytes());
        rest = after;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    #[test]
    fn acls_gain_ids() {
        let place = Place::Inode(12);
        let stored = [
            1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 5, 0, 9, 0, 0, 0, 0x20, 0, 4, 0,
        ];
        let form = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 5, 0, 9, 0, 0, 0, 0x20, 0, 4, 0, 255,
            255, 255, 255,
        ];
        assert_eq!(acl(place, &stored).unwrap(), form);
        assert!(acl(place, &stored[..14]).is_err());
        assert!(acl(place, &stored[..19]).is_err());
        assert!(acl(place, &[2, 0, 0, 0]).is_err());
        assert!(acl(place, &[1, 0, 0, 0, 3, 0, 0, 0]).is_err());
    }

    #[test]
    fn entries_end_and_values_stay_behind_them() {
        let place = Place::Inode(12);
        let mut bytes = [0; 64];
        bytes[..17].copy_from_slice(&[1, 1, 60, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, b'x']);
        bytes[60..].copy_from_slice(b"abcd");
        let list = entries(place, &bytes, 0).unwrap();
        assert_eq!(
            (list.len(), list[0].name, list[0].value),
            (1, &b"x"[..], &b"abcd"[..])
        );
        for (at, byte) in [(2, 61), (2, 20), (8, 5), (0, 200)] {
            let mut bad = bytes;
            bad[at] = byte;
            assert!(entries(place, &bad, 0).is_err(), "{at} {byte}");
        }
        assert!(entries(place, &[1; 20], 0).is_err());
        assert!(entries(place, &[], 0).is_err());
    }
}
