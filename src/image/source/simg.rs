//! Android sparse images, read in place (`system/core/libsparse/sparse_format.h` of the Android
//! Open Source Project).
//!
//! ```text
//! header  0 magic 3aff26ed | 4 major, minor (u16) | 8 size of this header, of a chunk header (u16) | 12 block size
//!         16 blocks | 20 chunks | 24 checksum
//! chunk   0 type (u16): cac1 raw, cac2 fill, cac3 don't care, cac4 crc32 | 4 blocks | 8 bytes with header
//! ```

use super::{Error, Form};
use crate::stream::{Content, ReadAt, Run, Source};
use std::io;
use std::sync::Arc;

const RAW: u16 = 0xcac1;
const FILL: u16 = 0xcac2;
const SKIP: u16 = 0xcac3;
const CRC: u16 = 0xcac4;

/// Four bytes over and over.
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
        for (at, byte) in (offset % 4..).zip(buf) {
            *byte = self.pattern[usize::try_from(at % 4).unwrap_or(0)];
        }
        Ok(())
    }
}

fn corrupt<T>(what: String) -> Result<T, Error> {
    Err(Error::Corrupt {
        form: Form::AndroidSparse,
        what,
    })
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn read_array<const N: usize>(source: &Source, at: u64) -> Result<[u8; N], Error> {
    let mut out = [0; N];
    let end = at.checked_add(N as u64).filter(|end| *end <= source.len());
    if end.is_none() {
        return corrupt(format!(
            "it ends at {} where {N} bytes at offset {at} are due",
            source.len()
        ));
    }
    source.read_exact_at(at, &mut out)?;
    Ok(out)
}

/// The image in an Android sparse file, as runs of it.
pub(super) fn read(source: &Source) -> Result<Content, Error> {
    let header: [u8; 28] = read_array(source, 0)?;
    let (major, header_len, chunk_header) = (le16(&header, 4), le16(&header, 8), le16(&header, 10));
    let (block, blocks, chunks) = (
        u64::from(le32(&header, 12)),
        u64::from(le32(&header, 16)),
        le32(&header, 20),
    );
    if major != 1 {
        let hint = "only version 1 is read; `simg2img` may know this one";
        return Err(Error::Refused {
            form: Form::AndroidSparse,
            what: format!("it has version {major}"),
            hint,
        });
    }
    if header_len < 28 || chunk_header < 12 || block == 0 || block % 4 != 0 {
        return corrupt(format!(
            "headers of {header_len} and {chunk_header} bytes, blocks of {block}"
        ));
    }
    let mut image = Content::hole(0);
    let (mut at, mut done) = (u64::from(header_len), 0);
    for index in 0..chunks {
        let chunk: [u8; 12] = read_array(source, at)?;
        let (kind, count, total) = (
            le16(&chunk, 0),
            u64::from(le32(&chunk, 4)),
            u64::from(le32(&chunk, 8)),
        );
        let body = at + u64::from(chunk_header);
        let Some(body_len) = total
            .checked_sub(u64::from(chunk_header))
            .filter(|len| body + len <= source.len())
        else {
            return corrupt(format!(
                "chunk {index} at offset {at} has {total} bytes, the file {}",
                source.len()
            ));
        };
        if count > blocks - done {
            return corrupt(format!(
                "chunk {index} has {count} blocks, only {} of {blocks} are left",
                blocks - done
            ));
        }
        done += match (kind, body_len) {
            (RAW, len) if len == count * block => {
                image.push(Run {
                    offset: done * block,
                    len,
                    source: source.clone(),
                    source_offset: body,
                });
                count
            }
            (FILL, 4) => {
                push_fill(
                    &mut image,
                    done * block,
                    count * block,
                    read_array(source, body)?,
                );
                count
            }
            (SKIP, _) => count,
            (CRC, _) => 0,
            _ => {
                return corrupt(format!(
                    "chunk {index} has type {kind:#06x}, {count} blocks and {body_len} bytes"
                ));
            }
        };
        at = body + body_len;
    }
    if done != blocks {
        return corrupt(format!(
            "its chunks have {done} blocks, its header says {blocks}"
        ));
    }
    image.set_len(blocks * block);
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
