//! Block maps of `bmaptool`, format 2.0 (`bmaptools/BmapCreate.py` of bmap-tools): which blocks of an image hold data, with their sums.

use super::units;
use crate::stream::ReadAt;
use crate::units::{KIB, MIB};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::ops::Range;

/// Bytes of a block in the map.
const BLOCK: u64 = 4 * KIB;
/// How much is hashed at once (bytes).
const BUFFER: u64 = MIB;

/// The map of `image` as XML. Every range of data is read once, for its SHA-256.
///
/// # Errors
/// What reading said.
pub fn bmap(image: &dyn ReadAt) -> io::Result<String> {
    let ranges = units(image, BLOCK)?;
    let mapped: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut map = String::new();
    for range in ranges {
        let sum = sum(image, range.start * BLOCK..(range.end * BLOCK).min(image.len()))?;
        let last = range.end - 1;
        let blocks = if range.start == last { last.to_string() } else { format!("{}-{last}", range.start) };
        let _ = writeln!(map, "        <Range chksum=\"{sum}\"> {blocks} </Range>");
    }
    let file = |own: &str| {
        format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    <BlockSize> {BLOCK} </BlockSize>\n    \
             <BlocksCount> {} </BlocksCount>\n    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
             <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> {own} </BmapFileChecksum>\n    \
             <BlockMap>\n{map}    </BlockMap>\n</bmap>\n",
            image.len(),
            image.len().div_ceil(BLOCK),
        )
    };
    // The file's own sum is that of the file with zeros in the sum's place.
    let own = hex(&Sha256::digest(file(&"0".repeat(64))));
    Ok(file(&own))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn sum(image: &dyn ReadAt, range: Range<u64>) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; usize::try_from(BUFFER.min(range.end - range.start)).map_err(io::Error::other)?];
    let mut at = range.start;
    while at < range.end {
        let part = usize::try_from((range.end - at).min(BUFFER)).map_err(io::Error::other)?;
        image.read_exact_at(at, &mut buf[..part])?;
        hash.update(&buf[..part]);
        at += part as u64;
    }
    Ok(hex(&hash.finalize()))
}
