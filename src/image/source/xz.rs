//! xz files of several blocks, decompressed by several threads (The .xz File Format 1.2). A file is
//! a sequence of streams, each of which ends with an index of its blocks:
//!
//! ```text
//! stream   header | blocks | index | footer | zeros, a multiple of 4
//! header   magic, flags, CRC32
//! index    0 | number of records | records | zeros | CRC32
//! record   size of the block without padding, size of its plain bytes
//! footer   CRC32, size of the index, flags, magic
//! ```
//!
//! Each thread decompresses one block between a header and an index that are made for this block,
//! so the decoder checks sizes and checksums as in any stream.

use super::reader::Reader;
use super::spool::{Spool, fault};
use super::{InputFormat, OpenOptions, SourceError};
use crate::bytes::{is_zero, le32};
use crate::stream::{Slice, Source};
use crate::units::{MIB, align_up, len_u64};
use crc32fast::hash as crc32;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const END: [u8; 2] = *b"YZ";
/// Length of a stream's header, and of its footer (bytes).
const HEAD: u64 = 12;
/// Maximum length of an index (bytes): that of a million blocks.
const INDEX_MOST: u64 = 32 * MIB;
/// The identifier of the filter LZMA2.
const LZMA2: u64 = 0x21;
/// Memory limit for all threads together, and for each alone (bytes).
const MOST: u64 = 512 * MIB;
/// Length of one read of decoded bytes.
const BUFFER: usize = 1 << 20;
/// Memory of a decoder in addition to its dictionary (bytes).
const DECODER_MEMORY: u64 = MIB;

/// A block of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    /// Offset in the file (bytes).
    at: u64,
    /// Length without padding (bytes).
    unpadded: u64,
    /// Length of its plain bytes, and their offset in the image (bytes).
    plain: u64,
    plain_at: u64,
    /// The flags of its stream: the type of its check.
    flags: [u8; 2],
}

/// Decompresses a file of several blocks; `None` if it has only one or is malformed, so that the
/// stream decoder reports the error.
pub(super) fn decode(
    stored: &Source,
    options: &OpenOptions<'_>,
) -> Result<Option<Source>, SourceError> {
    let Some(blocks) = blocks(stored).filter(|blocks| blocks.len() > 1) else {
        return Ok(None);
    };
    let len = blocks
        .last()
        .map_or(0, |last| last.plain_at.saturating_add(last.plain));
    if len > options.max_size {
        return Err(SourceError::TooLarge(options.max_size));
    }
    let Some(dictionary) = blocks
        .iter()
        .map(|block| dictionary(stored, block))
        .try_fold(0, |most, one| Some(one?.max(most)))
    else {
        return Ok(None);
    };
    let threads = u64::from(options.threads)
        .min(len_u64(blocks.len()))
        .min(
            MOST.checked_div(dictionary.saturating_add(DECODER_MEMORY))
                .unwrap_or(1),
        )
        .max(1);
    let spool = Spool::new(options)?;
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || -> Result<(), SourceError> {
        while let Some(block) = blocks
            .get(next.fetch_add(1, Ordering::Relaxed))
            .filter(|_| !failed.load(Ordering::Relaxed))
        {
            block
                .unpack(stored, &spool, options)
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        // Waits for all threads and returns the first error.
        joined
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), SourceError>>()
    })?;
    spool.finish_at(len).map(Some)
}

impl Block {
    /// Decompresses the block into the spool.
    fn unpack(
        &self,
        stored: &Source,
        spool: &Spool<'_>,
        options: &OpenOptions<'_>,
    ) -> Result<(), SourceError> {
        let bytes = Reader::new(Arc::new(Slice::new(
            Arc::clone(stored),
            self.at,
            align_up(self.unpadded, 4),
        )));
        let (head, tail) = self.frame();
        let stream = Stream::new_stream_decoder(MOST, 0).map_err(io::Error::other)?;
        let mut decoder = XzDecoder::new_stream(
            io::Cursor::new(head)
                .chain(bytes)
                .chain(io::Cursor::new(tail)),
            stream,
        );
        let mut at = self.plain_at;
        let mut buf = vec![0; BUFFER];
        loop {
            let got = decoder
                .read(&mut buf)
                .map_err(|e| fault(&InputFormat::Xz, e))?;
            if got == 0 {
                break;
            }
            spool.put(at, buf.get(..got).unwrap_or_default())?;
            at = at.saturating_add(len_u64(got));
        }
        options.report.advance(self.unpadded);
        let found = at.saturating_sub(self.plain_at);
        let what = || {
            format!(
                "the block at offset {} has {found} decompressed bytes, but its index has {}",
                self.at, self.plain
            )
        };
        if found == self.plain {
            Ok(())
        } else {
            Err(SourceError::Corrupt {
                form: InputFormat::Xz,
                what: what(),
            })
        }
    }

    /// Header, and index with footer, of a stream that has only this block.
    fn frame(&self) -> (Vec<u8>, Vec<u8>) {
        let sealed = |bytes: &[u8]| crc32(bytes).to_le_bytes();
        let head = [&MAGIC[..], &self.flags, &sealed(&self.flags)].concat();
        let mut tail = vec![0, 1];
        put_number(&mut tail, self.unpadded);
        put_number(&mut tail, self.plain);
        tail.resize(tail.len().next_multiple_of(4), 0);
        tail.extend(sealed(&tail));
        let words = u32::try_from((tail.len() / 4).saturating_sub(1)).unwrap_or(u32::MAX);
        let foot = [&words.to_le_bytes()[..], &self.flags].concat();
        tail.extend(sealed(&foot));
        tail.extend(foot);
        tail.extend(END);
        (head, tail)
    }
}

/// All blocks of all streams, found from the end of the file to its start; `None` if the file is
/// malformed.
fn blocks(stored: &Source) -> Option<Vec<Block>> {
    let mut streams = Vec::new();
    let mut end = stored.len();
    while end > 0 {
        if let Some(before) = end.checked_sub(4).filter(|_| end.is_multiple_of(4))
            && read::<4>(stored, before)? == [0; 4]
        {
            end = before;
            continue;
        }
        let (start, blocks) = stream(stored, end)?;
        streams.push(blocks);
        end = start;
    }
    let mut blocks: Vec<Block> = streams.into_iter().rev().flatten().collect();
    let mut plain_at = 0_u64;
    for block in &mut blocks {
        block.plain_at = plain_at;
        plain_at = plain_at.checked_add(block.plain)?;
    }
    Some(blocks)
}

/// The start of the stream that ends at `end`, and its blocks.
fn stream(stored: &Source, end: u64) -> Option<(u64, Vec<Block>)> {
    let footer_at = end.checked_sub(HEAD)?;
    let footer: [u8; 12] = read(stored, footer_at)?;
    let [_, _, _, _, sized @ .., e0, e1] = &footer;
    let [_, _, _, _, flags @ ..] = *sized;
    // The field has 32 bits, so neither operation saturates.
    let len = u64::from(le32(&footer, 4)?)
        .saturating_add(1)
        .saturating_mul(4);
    let start = footer_at.checked_sub(len)?;
    if [*e0, *e1] != END || le32(&footer, 0)? != crc32(sized) || len > INDEX_MOST {
        return None;
    }
    let mut index = vec![0; usize::try_from(len).ok()?];
    stored.read_exact_at(start, &mut index).ok()?;
    let records = records(&index)?;
    let total = records.iter().try_fold(0_u64, |total, (unpadded, _)| {
        total.checked_add(align_up(*unpadded, 4))
    })?;
    let mut at = start.checked_sub(total)?;
    let begin = at.checked_sub(HEAD)?;
    let header: [u8; 12] = read(stored, begin)?;
    let due = [&MAGIC[..], &flags, &crc32(&flags).to_le_bytes()].concat();
    if header[..] != due[..] {
        return None;
    }
    let mut blocks = Vec::with_capacity(records.len());
    for (unpadded, plain) in records {
        blocks.push(Block {
            at,
            unpadded,
            plain,
            plain_at: 0,
            flags,
        });
        at = at.checked_add(align_up(unpadded, 4))?;
    }
    Some((begin, blocks))
}

/// The records of an index: sizes of each block without padding and decompressed (bytes). `None` if
/// its checksum is wrong.
fn records(index: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (body, checksum) = index.split_at(index.len().checked_sub(4)?);
    if crc32(body).to_le_bytes() != checksum || body.first() != Some(&0) {
        return None;
    }
    let mut rest = body.get(1..)?;
    let count = number(&mut rest)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let record = (number(&mut rest)?, number(&mut rest)?);
        // A block has at least a header of 8 bytes. The upper limit, above any file, prevents
        // overflow.
        if !(8..1 << 60).contains(&record.0) {
            return None;
        }
        records.push(record);
    }
    (rest.len() < 4 && is_zero(rest)).then_some(records)
}

/// The dictionary size of a block (bytes), from its header: flags, optional sizes, and its only
/// filter.
fn dictionary(stored: &Source, block: &Block) -> Option<u64> {
    let [size]: [u8; 1] = read(stored, block.at)?;
    let mut header = vec![0; usize::from(size).saturating_mul(4)];
    stored
        .read_exact_at(block.at.checked_add(1)?, &mut header)
        .ok()?;
    let (flags, mut rest) = header.split_first()?;
    if flags & 0b11 != 0 {
        return None;
    }
    for _ in 0..(flags >> 6).count_ones() {
        number(&mut rest)?;
    }
    let (filter, len) = (number(&mut rest)?, number(&mut rest)?);
    let bits = *rest.first()?;
    match (filter, len, bits) {
        (LZMA2, 1, 0..=39) => {
            (2 | u64::from(bits & 1)).checked_shl(u32::from(bits / 2).saturating_add(11))
        }
        _ => None,
    }
}

/// Reads a variable-length integer: seven bits in each byte, lowest first; the highest bit is set
/// in all bytes except the last.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        out |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(out);
        }
    }
    None
}

fn low_byte(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

fn read<const N: usize>(stored: &Source, at: u64) -> Option<[u8; N]> {
    let mut out = [0; N];
    stored.read_exact_at(at, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;
    use crate::report::Silent;
    use crate::stream::{Codec, Compression, MemSource};
    use liblzma::stream::{Check, MtStreamBuilder};
    use std::path::Path;

    fn plain(len: u32, seed: u32) -> Vec<u8> {
        (0..len)
            .flat_map(|n| (n.wrapping_mul(n) >> 5 ^ seed).to_le_bytes())
            .collect()
    }

    /// Several blocks in one stream, streams of one block, one of stored bytes, an empty one, with
    /// zeros between.
    fn file() -> (Vec<u8>, Vec<u8>) {
        let first = plain(200_000, 1);
        let mut builder = MtStreamBuilder::new();
        let encoder = builder
            .threads(2)
            .block_size(100_000)
            .preset(1)
            .check(Check::Crc64)
            .encoder()
            .unwrap();
        let mut packed = Vec::new();
        liblzma::read::XzEncoder::new_stream(&first[..], encoder)
            .read_to_end(&mut packed)
            .unwrap();
        let codec = Codec::new(Compression::Xz, Some(1)).unwrap();
        let (second, third) = (
            [plain(50_000, 2), vec![0; 300_000], plain(9, 3)].concat(),
            plain(1000, 4),
        );
        packed.extend(codec.compress(&second).unwrap());
        packed.extend([0; 8]);
        packed.extend(codec.stored_frame(&third));
        packed.extend(codec.compress(&[]).unwrap());
        packed.extend([0; 4]);
        (packed, [first, second, third].concat())
    }

    fn decoded(bytes: &[u8], threads: u32, max_size: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let options = OpenOptions {
            spool_dir: Path::new("."),
            max_size,
            threads,
            report: &Silent,
        };
        let source: Source = Arc::new(MemSource(bytes.into()));
        let Some(spool) = decode(&source, &options)? else {
            return Ok(None);
        };
        let mut out = vec![0; usize::try_from(spool.len()).unwrap()];
        spool.read_exact_at(0, &mut out)?;
        Ok(Some(out))
    }

    #[test]
    fn blocks_of_all_kinds_are_decoded_whatever_the_number_of_threads() {
        let (packed, plain) = file();
        let found = blocks(&(Arc::new(MemSource(packed.clone().into())) as Source)).unwrap();
        assert!(found.len() > 9, "{found:?}");
        for threads in [0, 1, 3, 40] {
            assert!(
                decoded(&packed, threads, 1 << 30).unwrap().unwrap() == plain,
                "{threads}"
            );
        }
        assert!(matches!(
            decoded(&packed, 2, plain.len() as u64 - 1),
            Err(SourceError::TooLarge(_))
        ));
        let one = Codec::from(Compression::Xz)
            .compress(&plain[..1000])
            .unwrap();
        assert!(decoded(&one, 2, 1 << 30).unwrap().is_none());
    }

    #[test]
    fn damage_is_never_taken_for_an_image() {
        let (packed, plain) = file();
        let mut refused = 0;
        for at in (0..packed.len())
            .step_by(packed.len() / 300)
            .chain(packed.len() - 60..packed.len())
        {
            let mut bad = packed.clone();
            bad[at] ^= 0x10;
            match decoded(&bad, 2, 1 << 30) {
                Err(SourceError::Corrupt {
                    form: InputFormat::Xz,
                    ..
                }) => refused += 1,
                // Left to the stream decoder, which reports the error.
                Ok(None) => {}
                Ok(Some(found)) => assert!(found == plain, "a flip at {at} went unnoticed"),
                Err(other) => panic!("at {at}: {other}"),
            }
            let cut = decoded(&packed[..at], 2, 1 << 30);
            assert!(
                !matches!(cut, Ok(Some(found)) if !plain.starts_with(&found)),
                "{at}"
            );
        }
        assert!(refused > 200, "{refused}");
    }
}
