//! Android sparse images, read in place (`system/core/libsparse/sparse_format.h` of the Android
//! Open Source Project).
//!
//! ```text
//! header  0 magic 3aff26ed | 4 major, minor (u16) | 8 size of this header, of a chunk header (u16) | 12 block size
//!         16 blocks | 20 chunks | 24 checksum
//! chunk   0 type (u16): cac1 raw, cac2 fill, cac3 don't care, cac4 crc32 | 4 blocks | 8 bytes with header
//! ```

use super::{InputFormat, SourceError};
use crate::bytes::{le16, le32};
use crate::stream::{Content, ReadAt, Run, Source};
use crate::units::len_u64;
use std::io;
use std::sync::Arc;

const RAW: u16 = 0xcac1;
const FILL: u16 = 0xcac2;
const SKIP: u16 = 0xcac3;
const CRC: u16 = 0xcac4;

/// A pattern of four bytes, repeated.
#[derive(Debug)]
struct Fill {
    pattern: [u8; 4],
    len: u64,
}

impl ReadAt for Fill {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let skip = usize::try_from(offset % 4).unwrap_or_default();
        for (byte, fill) in buf.iter_mut().zip(self.pattern.iter().cycle().skip(skip)) {
            *byte = *fill;
        }
        Ok(())
    }
}

fn corrupt<T>(what: String) -> Result<T, SourceError> {
    Err(SourceError::Corrupt {
        form: InputFormat::AndroidSparse,
        what,
    })
}

fn read_array<const N: usize>(source: &Source, at: u64) -> Result<[u8; N], SourceError> {
    let mut out = [0; N];
    let end = at
        .checked_add(len_u64(N))
        .filter(|end| *end <= source.len());
    if end.is_none() {
        return corrupt(format!(
            "it has {} bytes, but {N} bytes at offset {at} are needed",
            source.len()
        ));
    }
    source.read_exact_at(at, &mut out)?;
    Ok(out)
}

/// A checked header.
struct Header {
    /// Length of this header, and of the header of each chunk (bytes).
    len: u16,
    chunk_header: u16,
    /// Bytes of a block: a multiple of 4, not 0.
    block: u64,
    /// Blocks of the image.
    blocks: u64,
    /// Chunks in the file.
    chunks: u32,
}

impl Header {
    fn read(source: &Source) -> Result<Self, SourceError> {
        let raw: [u8; 28] = read_array(source, 0)?;
        let half = |at| le16(&raw, at).unwrap_or_default();
        let word = |at| le32(&raw, at).unwrap_or_default();
        let (major, len, chunk_header) = (half(4), half(8), half(10));
        let (block, blocks) = (u64::from(word(12)), u64::from(word(16)));
        if major != 1 {
            let hint = "try to convert it to a raw image with `simg2img`";
            return Err(SourceError::Refused {
                form: InputFormat::AndroidSparse,
                what: format!("version {major} (supported: 1)"),
                hint,
            });
        }
        if len < 28 || chunk_header < 12 || block == 0 || !block.is_multiple_of(4) {
            return corrupt(format!(
                "headers of {len} and {chunk_header} bytes, blocks of {block} bytes"
            ));
        }
        Ok(Self {
            len,
            chunk_header,
            block,
            blocks,
            chunks: word(20),
        })
    }

    /// The length of this many blocks (bytes): both numbers have 32 bits, so it does not saturate.
    fn bytes(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.block)
    }
}

/// A chunk that lies within the file and within the image.
struct Chunk {
    kind: u16,
    /// Blocks of the image that it describes.
    blocks: u64,
    /// Position of what follows its header in the file (bytes).
    body: u64,
    body_len: u64,
}

/// Reads the header of chunk `index` at offset `at`; `left` blocks of the image are not described
/// yet.
fn read_chunk(
    source: &Source,
    header: &Header,
    index: u32,
    at: u64,
    left: u64,
) -> Result<Chunk, SourceError> {
    let raw: [u8; 12] = read_array(source, at)?;
    let word = |at| u64::from(le32(&raw, at).unwrap_or_default());
    let (blocks, total) = (word(4), word(8));
    let body = at.saturating_add(u64::from(header.chunk_header));
    let body_len = total
        .checked_sub(u64::from(header.chunk_header))
        .filter(|len| body.saturating_add(*len) <= source.len());
    let Some(body_len) = body_len else {
        return corrupt(format!(
            "chunk {index} at offset {at} has {total} bytes, which exceeds the file of {} bytes",
            source.len()
        ));
    };
    if blocks > left {
        return corrupt(format!(
            "chunk {index} has {blocks} blocks, but only {left} of {} are left",
            header.blocks
        ));
    }
    Ok(Chunk {
        kind: le16(&raw, 0).unwrap_or_default(),
        blocks,
        body,
        body_len,
    })
}

/// The image in an Android sparse file, as runs of the file.
pub(super) fn read(source: &Source) -> Result<Content, SourceError> {
    let header = Header::read(source)?;
    let mut image = Content::hole(0);
    let (mut at, mut done) = (u64::from(header.len), 0_u64);
    for index in 0..header.chunks {
        let left = header.blocks.saturating_sub(done);
        let chunk = read_chunk(source, &header, index, at, left)?;
        let (offset, len) = (header.bytes(done), header.bytes(chunk.blocks));
        let blocks = match (chunk.kind, chunk.body_len) {
            (RAW, body_len) if body_len == len => {
                image.push(Run {
                    offset,
                    len,
                    source: source.clone(),
                    source_offset: chunk.body,
                });
                chunk.blocks
            }
            (FILL, 4) => {
                push_fill(&mut image, offset, len, read_array(source, chunk.body)?);
                chunk.blocks
            }
            (SKIP, _) => chunk.blocks,
            (CRC, _) => 0,
            (kind, body_len) => {
                return corrupt(format!(
                    "chunk {index} has type {kind:#06x}, {} blocks and {body_len} bytes",
                    chunk.blocks
                ));
            }
        };
        done = done.saturating_add(blocks);
        at = chunk.body.saturating_add(chunk.body_len);
    }
    if done != header.blocks {
        return corrupt(format!(
            "its chunks have {done} blocks, but its header has {}",
            header.blocks
        ));
    }
    image.set_len(header.bytes(header.blocks));
    Ok(image)
}

fn push_fill(image: &mut Content, offset: u64, len: u64, pattern: [u8; 4]) {
    if pattern != [0; 4] {
        image.push(Run {
            offset,
            len,
            source: Arc::new(Fill { pattern, len }),
            source_offset: 0,
        });
    }
}
