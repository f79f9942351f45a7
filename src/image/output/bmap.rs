//! Block maps of `bmaptool`, format 2.0 (`bmaptools/BmapCreate.py` and `BmapCopy.py` of
//! bmap-tools): the blocks of an image that must be written to a device, with their checksums.
//! All other blocks of the device may keep their content.

use crate::digest::{hex, unhex};
use crate::stream::{Content, Known, KnownEntry, ReadAt};
use crate::units::{KIB, MIB};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Block size of the maps that goldsmith writes (bytes).
const BLOCK: u64 = 4 * KIB;
/// Length of one read (bytes).
const BUFFER: u64 = MIB;
/// Maximum length of a range in the maps that goldsmith writes (bytes), so that a reader can check
/// it in memory before it writes.
const LONGEST: u64 = 16 * MIB;
/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// A range that must be written to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// Position in the image (bytes).
    pub bytes: Range<u64>,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
}

/// The block map of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    /// Length of the image (bytes).
    pub size: u64,
    /// Ranges that must be written, in ascending order, without overlaps.
    pub ranges: Vec<MappedRange>,
}

/// The reason why a block map cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockMapError {
    /// The file is damaged, or not a block map.
    #[error("damaged block map: {0}")]
    Corrupt(String),
    /// An unsupported version or checksum type.
    #[error("block map with {0} is not supported (supported: version 1.4 or 2.0 with sha256)")]
    Unsupported(String),
}

impl BlockMapError {
    /// Advice for the user.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(
            "recreate it with `bmaptool create`, or remove it: without a block map, every block is written",
        )
    }
}

/// Digests of ranges of contents, by where their bytes come from.
pub type KnownDigests = Known<[u8; 32]>;

/// Computes the digests of the ranges that a content covers, from its bytes in order.
#[derive(Debug)]
pub struct RangeHasher<'a> {
    content: &'a Content,
    /// Digests that were computed for other contents.
    known: Option<&'a KnownDigests>,
    wanted: std::vec::IntoIter<Range<u64>>,
    current: Option<PendingRange>,
    hash: Sha256,
    at: u64,
    done: Vec<PendingRange>,
}

/// A range and its digest, as soon as it is known.
#[derive(Debug)]
struct PendingRange {
    bytes: Range<u64>,
    sha256: Arc<OnceLock<[u8; 32]>>,
    /// Whether it is computed here, and not by the hasher of another content.
    own: bool,
}

impl<'a> RangeHasher<'a> {
    /// A hasher for the blocks that the runs of `content` cover. Digests that are `known`, or that
    /// another hasher is computing, are not computed.
    #[must_use]
    pub fn new(content: &'a Content, known: Option<&'a KnownDigests>) -> Self {
        let mut hasher = Self {
            content,
            known,
            wanted: pieces(content).into_iter(),
            current: None,
            hash: Sha256::new(),
            at: 0,
            done: Vec::new(),
        };
        hasher.begin_next();
        hasher
    }

    fn begin_next(&mut self) {
        self.current = self.wanted.next().map(|bytes| {
            let entry = self
                .known
                .and_then(|known| known.entry(self.content, bytes.clone()));
            let KnownEntry { value, is_new } = entry.unwrap_or_else(|| KnownEntry {
                value: Arc::default(),
                is_new: true,
            });
            PendingRange {
                bytes,
                sha256: value,
                own: is_new,
            }
        });
    }

    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some(current) = &self.current {
            let (range, own) = (current.bytes.clone(), current.own);
            let skip = usize::try_from(range.start.saturating_sub(self.at))
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let rest = &bytes[skip..];
            self.at += skip as u64;
            let part = usize::try_from(range.end - self.at)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            if own {
                self.hash.update(&rest[..part]);
            }
            self.at += part as u64;
            bytes = &rest[part..];
            if self.at < range.end {
                return;
            }
            if let Some(done) = self.current.take() {
                if own {
                    // It is there already if another hasher could not wait for it.
                    let _ = done.sha256.set(self.hash.finalize_reset().into());
                }
                self.done.push(done);
            }
            self.begin_next();
        }
    }

    /// Passes over what is before `offset`, of which `known` has the digests of ranges. A range
    /// that ends later is read by [`Self::finish`].
    pub fn skip_to(&mut self, offset: u64, known: &[MappedRange]) {
        while let Some(current) = self.current.take_if(|range| range.bytes.start < offset) {
            let found = known.iter().find(|range| range.bytes == current.bytes);
            if let Some(found) = found.filter(|range| range.bytes.end <= offset) {
                // It may be there already.
                let _ = current.sha256.set(found.sha256);
            }
            self.done.push(current);
            self.begin_next();
        }
        self.at = self.at.max(offset);
    }

    /// Adds `len` zeros.
    pub fn update_zeros(&mut self, mut len: usize) {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while len > 0 {
            let part = len.min(ZEROS.len());
            self.update(&ZEROS[..part]);
            len -= part;
        }
    }

    /// The ranges that are complete; all of them once the whole content was added. A digest that
    /// another hasher did not come to is computed now.
    ///
    /// # Errors
    /// I/O errors of the content.
    pub fn finish(self) -> io::Result<Vec<MappedRange>> {
        let content = self.content;
        let mapped = |range: PendingRange| match range.sha256.get() {
            Some(&sha256) => Ok(MappedRange {
                bytes: range.bytes,
                sha256,
            }),
            None => {
                let mapped = range_digest(content, range.bytes)?;
                let _ = range.sha256.set(mapped.sha256);
                Ok(mapped)
            }
        };
        self.done.into_iter().map(mapped).collect()
    }
}

/// The blocks that runs cover, within the content, in ranges of at most [`LONGEST`] bytes.
fn pieces(content: &Content) -> Vec<Range<u64>> {
    let cut = |range: Range<u64>| {
        let end = range.end.min(content.len());
        (range.start..end)
            .step_by(LONGEST as usize)
            .map(move |start| start..end.min(start + LONGEST))
    };
    content.covered(BLOCK).into_iter().flat_map(cut).collect()
}

/// The ranges that `content` covers, with their digests; each is read once.
///
/// # Errors
/// I/O errors of the source.
pub fn range_digests(content: &Content) -> io::Result<Vec<MappedRange>> {
    let pieces = pieces(content).into_iter();
    pieces.map(|bytes| range_digest(content, bytes)).collect()
}

fn range_digest(content: &Content, bytes: Range<u64>) -> io::Result<MappedRange> {
    let len = bytes.end.saturating_sub(bytes.start).min(BUFFER);
    let mut buf = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut hash = Sha256::new();
    for at in bytes.clone().step_by(BUFFER as usize) {
        let part = usize::try_from((bytes.end - at).min(BUFFER)).map_err(io::Error::other)?;
        content.read_exact_at(at, &mut buf[..part])?;
        hash.update(&buf[..part]);
    }
    Ok(MappedRange {
        bytes,
        sha256: hash.finalize().into(),
    })
}

impl BlockMap {
    /// The map of everything that the runs of `image` cover.
    ///
    /// # Errors
    /// I/O errors of the source.
    pub fn of(image: &Content) -> io::Result<Self> {
        Ok(Self {
            size: image.len(),
            ranges: range_digests(image)?,
        })
    }

    /// The map as XML.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut map = String::new();
        let mut mapped = 0;
        for range in &self.ranges {
            let (first, end) = (range.bytes.start / BLOCK, range.bytes.end.div_ceil(BLOCK));
            let last = end.saturating_sub(1);
            let blocks = if first == last {
                last.to_string()
            } else {
                format!("{first}-{last}")
            };
            let _ = writeln!(
                map,
                "        <Range chksum=\"{}\"> {blocks} </Range>",
                hex(&range.sha256)
            );
            mapped += end - first;
        }
        let file = |own: &str| {
            format!(
                "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    <BlockSize> {BLOCK} </BlockSize>\n    \
                 <BlocksCount> {} </BlocksCount>\n    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
                 <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> {own} </BmapFileChecksum>\n    \
                 <BlockMap>\n{map}    </BlockMap>\n</bmap>\n",
                self.size,
                self.size.div_ceil(BLOCK),
            )
        };
        // The checksum of the file is computed with zeros in its own place.
        let own = hex(&Sha256::digest(file(&"0".repeat(DIGITS))));
        file(&own)
    }

    /// Reads a map of version 1.4 or 2.0 with SHA-256 checksums, and verifies the checksum of the
    /// map itself.
    ///
    /// # Errors
    /// A damaged or unsupported map.
    pub fn parse(text: &str) -> Result<Self, BlockMapError> {
        let bare = without_comments(text)?;
        let version =
            attribute(&bare, "<bmap ", "version").ok_or_else(|| corrupt("it has no version"))?;
        let kind = element(&bare, "ChecksumType").unwrap_or("no checksums");
        if !matches!(version, "1.4" | "2.0") || kind != "sha256" {
            return Err(BlockMapError::Unsupported(format!(
                "version {version} and {kind}"
            )));
        }
        check_own_checksum(text, &bare)?;
        let block = number(element(&bare, "BlockSize"), "BlockSize")?;
        let size = number(element(&bare, "ImageSize"), "ImageSize")?;
        let mut map = Self {
            size,
            ranges: Vec::new(),
        };
        for piece in bare.split("<Range").skip(1) {
            let range = range(piece, block, size)?;
            if range.bytes.start < map.ranges.last().map_or(0, |last| last.bytes.end) {
                return Err(corrupt(format!(
                    "its ranges overlap at byte {}",
                    range.bytes.start
                )));
            }
            map.ranges.push(range);
        }
        Ok(map)
    }

    /// Total length of all ranges (bytes).
    #[must_use]
    pub fn mapped_len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.bytes.end - range.bytes.start)
            .sum()
    }
}

fn corrupt(what: impl Into<String>) -> BlockMapError {
    BlockMapError::Corrupt(what.into())
}

/// Removes comments: those of bmaptool contain the names of elements.
fn without_comments(text: &str) -> Result<String, BlockMapError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after
            .split_once("-->")
            .ok_or_else(|| corrupt("it has an unterminated comment"))?
            .1;
    }
    out.push_str(rest);
    Ok(out)
}

/// The text of the only element called `name`.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let after = text.split_once(&format!("<{name}>"))?.1;
    Some(after.split_once("</")?.0.trim())
}

/// The attribute `name` of the element that begins with `start`.
fn attribute<'t>(text: &'t str, start: &str, name: &str) -> Option<&'t str> {
    let inside = text.split_once(start)?.1.split_once('>')?.0;
    inside
        .split_once(&format!("{name}=\""))?
        .1
        .split_once('"')
        .map(|(value, _)| value)
}

fn number(text: Option<&str>, name: &str) -> Result<u64, BlockMapError> {
    let found = text.and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    found.ok_or_else(|| {
        corrupt(format!(
            "{name} is {}, not a number above 0",
            text.unwrap_or("missing")
        ))
    })
}

fn check_own_checksum(text: &str, bare: &str) -> Result<(), BlockMapError> {
    let stored = element(bare, "BmapFileChecksum").filter(|digits| digits.len() == DIGITS);
    let stored = stored.ok_or_else(|| corrupt("it has no checksum of its own"))?;
    let computed = hex(&Sha256::digest(text.replacen(
        stored,
        &"0".repeat(DIGITS),
        1,
    )));
    if stored == computed {
        Ok(())
    } else {
        Err(corrupt(format!(
            "its checksum is {computed}, but the file has {stored}"
        )))
    }
}

/// Parses the text after `<Range`: ` chksum="..."> 5-7 </Range>`.
fn range(piece: &str, block: u64, size: u64) -> Result<MappedRange, BlockMapError> {
    let bad = || {
        corrupt(format!(
            "invalid range: {}",
            piece.split('<').next().unwrap_or_default().trim()
        ))
    };
    let blocks = piece
        .split_once('>')
        .and_then(|(_, text)| text.split_once('<'))
        .map(|(text, _)| text.trim());
    let blocks = blocks.ok_or_else(bad)?;
    let (first, last) = blocks.split_once('-').unwrap_or((blocks, blocks));
    let (first, last): (u64, u64) = (
        first.parse().map_err(|_| bad())?,
        last.parse().map_err(|_| bad())?,
    );
    let start = first
        .checked_mul(block)
        .filter(|start| *start < size && first <= last)
        .ok_or_else(bad)?;
    let end = last
        .checked_add(1)
        .and_then(|end| end.checked_mul(block))
        .ok_or_else(bad)?;
    if end - end.min(size) >= block {
        return Err(bad());
    }
    let sha256 = piece
        .split_once("chksum=\"")
        .and_then(|(_, text)| text.get(..DIGITS))
        .and_then(unhex)
        .ok_or_else(bad)?;
    Ok(MappedRange {
        bytes: start..end.min(size),
        sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Run, unchanging};

    fn image() -> Content {
        let mut image = Content::hole(0);
        image.push_bytes(100, vec![1; 5]);
        image.push_bytes(8192, vec![2; 40 << 20]);
        image.set_len(60 << 20);
        image.cover(&[(49 << 20)..(50 << 20), (50 << 20)..(51 << 20)], BLOCK);
        image
    }

    #[test]
    fn a_map_comes_back_and_a_stream_gives_the_same_digests() {
        let image = image();
        let map = BlockMap::of(&image).unwrap();
        assert_eq!(BlockMap::parse(&map.to_xml()).unwrap(), map);
        assert!(
            map.ranges
                .iter()
                .all(|range| range.bytes.end - range.bytes.start <= LONGEST)
        );
        assert_eq!(map.mapped_len(), 4096 + (42 << 20));
        let mut hasher = RangeHasher::new(&image, None);
        let bytes = image.read_all(1 << 30).unwrap();
        bytes[..45 << 20]
            .chunks(77_777)
            .for_each(|chunk| hasher.update(chunk));
        hasher.update_zeros(15 << 20);
        assert_eq!(hasher.finish().unwrap(), map.ranges);
    }

    #[test]
    fn digests_of_the_same_bytes_are_computed_once() {
        let mebibytes: Vec<_> = (0..64_u8).map(|n| vec![n; 1 << 20]).collect();
        let fixed = unchanging(mebibytes.concat());
        let run = |offset, len| Run {
            offset,
            len,
            source: Arc::clone(&fixed),
            source_offset: offset,
        };
        let mut image = Content::hole(0);
        // The first range differs between the images, the others are the same.
        image.push(run(0, LONGEST));
        image.push(run(LONGEST, LONGEST));
        image.push(run(2 * LONGEST, 5 << 20));
        let mut other = Content::hole(0);
        other.push_bytes(0, vec![7; LONGEST as usize]);
        other.push(run(LONGEST, LONGEST + (5 << 20)));
        let read = |hasher: &mut RangeHasher<'_>, image: &Content, len: u64| {
            for at in (0..len).step_by(1 << 20) {
                let mut bytes = vec![0; 1 << 20];
                image.read_exact_at(at, &mut bytes).unwrap();
                hasher.update(&bytes);
            }
        };
        let known = KnownDigests::default();
        let mut first = RangeHasher::new(&image, Some(&known));
        read(&mut first, &image, 20 << 20);
        let mut second = RangeHasher::new(&other, Some(&known));
        read(&mut second, &other, 37 << 20);
        let own: Vec<bool> = second.done.iter().map(|range| range.own).collect();
        assert_eq!(own, [true, false, true]);
        // The first one has not come to the second range, and never will.
        drop(first);
        assert_eq!(second.finish().unwrap(), range_digests(&other).unwrap());
        let mut third = RangeHasher::new(&image, Some(&known));
        read(&mut third, &image, 37 << 20);
        assert!(third.done.iter().all(|range| !range.own));
        assert_eq!(third.finish().unwrap(), range_digests(&image).unwrap());
    }

    #[test]
    fn what_is_known_from_the_start_is_not_hashed_again() {
        let image = image();
        let bytes = image.read_all(1 << 30).unwrap();
        let ranges = range_digests(&image).unwrap();
        let ends: Vec<_> = ranges.iter().map(|range| range.bytes.end).collect();
        for at in [
            0,
            4096,
            1 << 20,
            ends[1],
            ends[1] + 4096,
            45 << 20,
            60 << 20,
        ] {
            let mut hasher = RangeHasher::new(&image, None);
            hasher.skip_to(at, &ranges);
            let known = hasher.done.iter().filter(|one| one.sha256.get().is_some());
            let before = ends.iter().filter(|end| **end <= at).count();
            assert_eq!(known.count(), before, "{at}");
            hasher.update(&bytes[at as usize..]);
            assert_eq!(hasher.finish().unwrap(), ranges, "{at}");
        }
        // Digests of other ranges do not help.
        let mut hasher = RangeHasher::new(&image, None);
        hasher.skip_to(ends[1], &ranges[..1]);
        hasher.update(&bytes[ends[1] as usize..]);
        assert_eq!(hasher.finish().unwrap(), ranges);
    }

    #[test]
    fn damaged_maps_are_refused() {
        let text = BlockMap::of(&image()).unwrap().to_xml();
        for (from, to) in [
            ("60", "61"),
            ("> 0 <", "> 0-9999999 <"),
            ("</BlockMap>", ""),
            ("version=\"2.0\"", ""),
            ("sha256", "md5"),
        ] {
            assert!(text.contains(from));
            assert!(
                BlockMap::parse(&text.replacen(from, to, 1)).is_err(),
                "{from}"
            );
        }
        let good = range(" chksum=\"", 4096, 1 << 20);
        assert!(good.is_err());
        let piece = |blocks: &str| format!(" chksum=\"{}\"> {blocks} </Range>", "ab".repeat(32));
        assert_eq!(
            range(&piece("2-3"), 4096, 16_000).unwrap().bytes,
            8192..16_000
        );
        for blocks in [
            "",
            "x",
            "3-2",
            "4",
            "0-4",
            "-1",
            "18446744073709551615",
            "1-18446744073709551615",
        ] {
            assert!(range(&piece(blocks), 4096, 16_000).is_err(), "{blocks}");
        }
    }
}
