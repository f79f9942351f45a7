//! Directories (page `directory`): every block is scanned for entries. The blocks of a hash index
//! look like empty ones to such a scan, by design, so the index need not be followed.

use super::error::{Error, Fault, Place};
use super::inode::Inode;
use super::map::Span;
use super::volume::Volume;
use crate::fs::ext4::format::{DirEntry, crc32c, file_type, inode_flags};
use crate::tree::Name;
use crate::units::len_u64;
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32};

/// Blocks read at once.
const BATCH: u64 = 64;
/// Bytes in front of a name.
const HEAD: usize = size_of::<DirEntry>();
/// Bytes of the entry that holds a block's checksum.
const TAIL: usize = 12;
/// `rec_len` of an entry as long as a block of 64 KiB, which 16 bits cannot hold.
const WHOLE_64K: [u16; 2] = [0, 0xFFFC | 3];
/// Where the count and limit of an index node are: in the first block of the directory and in the
/// others.
const ROOT_COUNT: usize = 32;
const NODE_COUNT: usize = 8;

/// A name and its inode.
pub(super) type Named = (Name, u32);

/// The entries of directory `inode`, whose content `spans` are, without `.` and `..`.
///
/// # Errors
/// [`Error`] at the inode or a block, also when `..` is not `parent`.
pub(super) fn entries(
    volume: &Volume,
    inode: &Inode,
    spans: &[Span],
    parent: u32,
) -> Result<Vec<Named>, Error> {
    let mut out = Vec::new();
    let mut first = true;
    check_size(volume, inode, spans)?;
    for span in spans {
        for start in (0..span.len).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let count = BATCH.min(span.len.saturating_sub(start));
            let number = span.physical.saturating_add(start);
            let bytes = volume.blocks(inode.place(), number, count)?;
            for (number, block) in (number..).zip(bytes.chunks_exact(volume.layout.block_size)) {
                let place = Place::Block {
                    ino: inode.ino,
                    block: number,
                };
                check_block(volume, inode, place, block, first)?;
                let rest = if first {
                    dots(place, block, inode.ino, parent)?
                } else {
                    block
                };
                scan(place, rest, block.len(), &mut out)?;
                first = false;
            }
        }
    }
    Ok(out)
}

/// The entries of a directory that lies in its inode: 4 bytes of parent and entries in `i_block`,
/// more in `rest`.
///
/// # Errors
/// [`Error`] at the inode, also when the parent is not `parent`.
pub(super) fn inline_entries(inode: &Inode, rest: &[u8], parent: u32) -> Result<Vec<Named>, Error> {
    let place = inode.place();
    let (dotdot, body) = inode.raw.i_block.split_at(4);
    let stored =
        U32::read_from_bytes(dotdot).map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?;
    place.equal("parent directory", stored.get().into(), parent.into())?;
    let mut out = Vec::new();
    scan(place, body, body.len(), &mut out)?;
    scan(place, rest, rest.len(), &mut out)?;
    Ok(out)
}

/// A directory has no holes and no end within a block.
fn check_size(volume: &Volume, inode: &Inode, spans: &[Span]) -> Result<(), Error> {
    let block = volume.layout.block_size();
    inode.place().within(
        "size of the directory",
        inode.size,
        block,
        volume.layout.len(),
    )?;
    let held = spans
        .iter()
        .fold(0_u64, |held, span| held.saturating_add(span.len));
    inode.place().equal(
        "size of the directory",
        inode.size,
        held.saturating_mul(block),
    )
}

/// Checks `.` and `..`, which begin the first block, and returns what is after them. (The root of
/// a hash index hides in the length of `..`, which then reaches to the end of the block.)
fn dots(place: Place, block: &[u8], own: u32, parent: u32) -> Result<&[u8], Error> {
    let (dot, name, after) = entry(place, block, block.len())?;
    check_dot(place, name, b".", dot.inode.get(), own)?;
    let (dotdot, name, rest) = entry(place, after, block.len())?;
    check_dot(place, name, b"..", dotdot.inode.get(), parent)?;
    Ok(rest)
}

fn check_dot(
    place: Place,
    name: &[u8],
    expected: &'static [u8],
    found: u32,
    ino: u32,
) -> Result<(), Error> {
    if name != expected {
        return Err(place.corrupt(Fault::Entry {
            name: name.to_vec(),
            fact: "is in the place of `.` or `..`",
        }));
    }
    let what = if expected == b"." {
        "inode of `.`"
    } else {
        "inode of `..`"
    };
    place.equal(what, found.into(), ino.into())
}

/// Adds the entries in use in `bytes`, part of a block of `size` bytes.
fn scan(place: Place, mut bytes: &[u8], size: usize, out: &mut Vec<Named>) -> Result<(), Error> {
    while !bytes.is_empty() {
        let (head, name, rest) = entry(place, bytes, size)?;
        if head.inode.get() != 0 {
            let fact = match name {
                b"" => Some("is empty"),
                b"." | b".." => Some("is in the wrong place"),
                _ if name.contains(&b'/') || name.contains(&0) => {
                    Some("has a byte that no name can have")
                }
                _ => None,
            };
            if let Some(fact) = fact {
                return Err(place.corrupt(Fault::Entry {
                    name: name.to_vec(),
                    fact,
                }));
            }
            out.push((name.to_vec(), head.inode.get()));
        }
        bytes = rest;
    }
    Ok(())
}

/// The first entry of `bytes`, its name, and the bytes after it.
fn entry(place: Place, bytes: &[u8], size: usize) -> Result<(&DirEntry, &[u8], &[u8]), Error> {
    let (head, _) = DirEntry::ref_from_prefix(bytes)
        .map_err(|_| place.corrupt(Fault::Fact("an entry is cut off")))?;
    let len = rec_len(&head.rec_len, size);
    let name_end = HEAD.saturating_add(head.name_len.into());
    // The name of an unused entry is stale and may be cut.
    let least = if head.inode.get() == 0 {
        HEAD
    } else {
        name_end.next_multiple_of(4).max(TAIL)
    };
    place.within(
        "length of an entry",
        len_u64(len),
        len_u64(least),
        len_u64(bytes.len()),
    )?;
    if !len.is_multiple_of(4) {
        return Err(place.corrupt(Fault::Fact("the length of an entry is not a multiple of 4")));
    }
    let name = bytes.get(HEAD..name_end.min(len)).unwrap_or_default();
    Ok((head, name, bytes.get(len..).unwrap_or_default()))
}

/// `rec_len` in bytes; in a block of 64 KiB two stored values mean the whole block.
fn rec_len(stored: &U16, size: usize) -> usize {
    match stored.get() {
        len if size > usize::from(u16::MAX) && WHOLE_64K.contains(&len) => size,
        len => len.into(),
    }
}

/// The checksum of a block with `metadata_csum`: in the tail of a leaf or after the room for
/// entries of an index node.
fn check_block(
    volume: &Volume,
    inode: &Inode,
    place: Place,
    block: &[u8],
    first: bool,
) -> Result<(), Error> {
    if !volume.layout.has_checksums() {
        return Ok(());
    }
    let head = DirEntry::ref_from_prefix(block)
        .map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?
        .0;
    let empty = head.inode.get() == 0 && rec_len(&head.rec_len, block.len()) == block.len();
    if inode.flag(inode_flags::INDEX) && (first || empty) {
        return check_index(
            inode,
            place,
            block,
            if first { ROOT_COUNT } else { NODE_COUNT },
        );
    }
    let missing = || place.corrupt(Fault::Fact("it has no checksum"));
    let (front, tail) = block
        .split_at_checked(block.len().saturating_sub(TAIL))
        .ok_or_else(missing)?;
    let (mark, stored) = DirEntry::ref_from_prefix(tail).map_err(|_| missing())?;
    let stored = U32::read_from_bytes(stored).map_err(|_| missing())?;
    if mark.inode.get() != 0
        || mark.rec_len.get() != 12
        || mark.name_len != 0
        || mark.file_type != file_type::CSUM
    {
        return Err(missing());
    }
    place.checksum(stored.get(), crc32c(inode.seed, front))
}

/// `struct dx_countlimit` at `at`, entries of 8 bytes (the first shares its place), then `struct
/// dx_tail` after the last possible.
fn check_index(inode: &Inode, place: Place, block: &[u8], at: usize) -> Result<(), Error> {
    let cut = || place.corrupt(Fault::Fact("its index node is cut off"));
    let [limit, count] = <[U16; 2]>::read_from_prefix(block.get(at..).unwrap_or_default())
        .map_err(|_| cut())?
        .0;
    place.within(
        "entries of the index node",
        count.get().into(),
        1,
        limit.get().into(),
    )?;
    let after = |entries: U16| {
        usize::from(entries.get())
            .saturating_mul(8)
            .saturating_add(at)
    };
    let used = block.get(..after(count)).ok_or_else(cut)?;
    let tail = block.get(after(limit)..).ok_or_else(cut)?;
    let [reserved, stored] = <[U32; 2]>::read_from_prefix(tail).map_err(|_| cut())?.0;
    let crc = crc32c(crc32c(inode.seed, used), &reserved.get().to_le_bytes());
    place.checksum(stored.get(), crc32c(crc, &[0; 4]))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    /// An entry of `len` bytes.
    fn make(ino: u32, len: u16, name: &[u8]) -> Vec<u8> {
        let mut out = ino.to_le_bytes().to_vec();
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&[u8::try_from(name.len()).unwrap(), 1]);
        out.extend_from_slice(name);
        out.resize(len.into(), 0);
        out
    }

    #[test]
    fn entries_are_scanned_and_checked() {
        let place = Place::Inode(2);
        let found = |bytes: &[u8]| {
            let mut out = Vec::new();
            scan(place, bytes, 1024, &mut out).map(|()| out)
        };
        let good = [
            make(12, 12, b"a"),
            make(0, 12, b"stale"),
            make(13, 40, b"\xFF\n"),
        ]
        .concat();
        assert_eq!(
            found(&good).unwrap(),
            [(b"a".to_vec(), 12), (b"\xFF\n".to_vec(), 13)]
        );
        for bad in [
            make(12, 12, b"a/b"),
            make(12, 12, b".."),
            make(12, 12, b""),
            make(12, 12, b"a\0"),
            make(12, 12, b"toolong"),
        ] {
            assert!(found(&bad).is_err(), "{bad:?}");
        }
        assert!(found(&make(12, 14, b"a")).is_err());
        let mut over = make(12, 12, b"a");
        over[4] = 16;
        assert!(found(&over).is_err());
        over[4] = 0;
        assert!(found(&over).is_err());
    }

    #[test]
    fn the_dots_must_be_right() {
        let place = Place::Inode(12);
        let block = [make(12, 12, b"."), make(2, 12, b".."), make(13, 12, b"a")].concat();
        assert_eq!(dots(place, &block, 12, 2).unwrap().len(), 12);
        assert!(dots(place, &block, 13, 2).is_err());
        assert!(dots(place, &block, 12, 3).is_err());
        assert!(dots(place, &block[12..], 12, 2).is_err());
    }

    #[test]
    fn a_block_of_64_kib_is_one_entry() {
        for stored in WHOLE_64K {
            assert_eq!(rec_len(&stored.into(), 65536), 65536);
        }
        assert_eq!(rec_len(&12.into(), 65536), 12);
        assert_eq!(rec_len(&0.into(), 4096), 0);
    }
}
