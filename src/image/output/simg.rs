//! Android sparse images (`libsparse/sparse_format.h`; the layout is described at the reader,
//! `crate::image::source`).

use super::units;
use crate::stream::{Content, ReadAt, Run, Source};
use crate::units::{GIB, KIB};
use std::io;

/// Block size (bytes); every `fastboot` supports it.
const BLOCK: u64 = 4 * KIB;
/// Maximum number of blocks in a chunk, whose length in bytes has 32 bits.
const CHUNK: u64 = GIB / BLOCK;
const HEADER: u64 = 28;
const CHUNK_HEADER: u64 = 12;

/// `image` as an Android sparse image. Holes become fills with zero, not "don't care", so that the
/// device contains exactly the image.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if the image is not a multiple of 4 KiB or too large, else I/O
/// errors of the image.
pub fn android_sparse(image: &Source) -> io::Result<Content> {
    let blocks = u32::try_from(image.len() / BLOCK)
        .ok()
        .filter(|_| image.len().is_multiple_of(BLOCK));
    let refuse = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "an Android sparse image has at most 2^32 blocks of 4096 bytes, but the image has {} bytes",
                image.len()
            ),
        )
    };
    let blocks = blocks.ok_or_else(refuse)?;
    let mut file = Chunks {
        image,
        out: Content::hole(HEADER),
        count: 0,
    };
    let mut done = 0;
    for range in units(&**image, BLOCK)? {
        file.fill(done, range.start);
        file.raw(range.start, range.end);
        done = range.end;
    }
    file.fill(done, u64::from(blocks));
    let (body, count) = (file.out, file.count);
    let mut out = Content::hole(0);
    out.push_bytes(0, header(blocks, count));
    body.runs().iter().for_each(|run| out.push(run.clone()));
    Ok(out)
}

fn header(blocks: u32, chunks: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(28);
    out.extend(0xed26_ff3a_u32.to_le_bytes());
    for half in [1u16, 0, 28, 12] {
        out.extend(half.to_le_bytes());
    }
    for word in [4096, blocks, chunks, 0] {
        out.extend(word.to_le_bytes());
    }
    out
}

/// Builder of the chunks after the header.
struct Chunks<'a> {
    image: &'a Source,
    out: Content,
    count: u32,
}

impl Chunks<'_> {
    fn head(&mut self, kind: u16, blocks: u64, body: u64, pattern: &[u8]) {
        let word = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = [kind.to_le_bytes(), [0; 2]].concat();
        bytes.extend(word(blocks));
        bytes.extend(word(CHUNK_HEADER + body));
        bytes.extend(pattern);
        self.out.push_bytes(self.out.len(), bytes);
        self.count += 1;
    }

    fn fill(&mut self, from: u64, to: u64) {
        if from < to {
            self.head(0xcac2, to - from, 4, &[0; 4]);
        }
    }

    fn raw(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let blocks = CHUNK.min(to - at);
            let len = blocks * BLOCK;
            self.head(0xcac1, blocks, len, &[]);
            self.out.push(Run {
                offset: self.out.len(),
                len,
                source: self.image.clone(),
                source_offset: at * BLOCK,
            });
            at += blocks;
        }
    }
}
