//! Disks as short inputs: a fuzzer that must carry megabytes of zeros finds nothing.
//!
//! ```text
//! u16  length of the disk in KiB
//! then, for each block of 1 KiB that is not zero, in any order:
//! u16  its number
//! u16  how many bytes follow; the rest of the block is zero
//! ```

use goldsmith::stream::{ReadAt, Source};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

const BLOCK: u64 = 1024;

/// A disk of a few blocks and many holes.
#[derive(Debug)]
pub(crate) struct Sparse {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// The disk that `input` describes; of a block that is there twice the last one counts.
    pub(crate) fn decode(input: &[u8]) -> Option<Self> {
        let (len, mut rest) = number(input)?;
        let mut blocks = BTreeMap::new();
        while let Some((block, more)) = number(rest) {
            let Some((len, more)) = number(more) else {
                break;
            };
            let taken = usize::try_from(len.min(BLOCK)).ok()?.min(more.len());
            let mut bytes = more[..taken].to_vec();
            bytes.resize(BLOCK as usize, 0);
            blocks.insert(block, bytes);
            rest = &more[taken..];
        }
        Some(Self {
            len: len * BLOCK,
            blocks,
        })
    }

    /// An empty disk of so many bytes.
    pub(crate) fn blank(len: u64) -> Self {
        Self {
            len,
            blocks: BTreeMap::new(),
        }
    }

    /// The bytes of a range that lies inside, to change them.
    pub(crate) fn get(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; len];
        self.read_exact_at(at, &mut out).ok()?;
        Some(out)
    }

    /// Puts bytes somewhere inside.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let block = self
                .blocks
                .entry(at / BLOCK)
                .or_insert_with(|| vec![0; BLOCK as usize]);
            block[(at % BLOCK) as usize] = *byte;
        }
    }

    pub(crate) fn source(self) -> Source {
        Arc::new(self)
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u64::from(u16::from_le_bytes(*head)), rest))
}

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.len);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buf.fill(0);
        for (number, bytes) in self.blocks.range(offset / BLOCK..end.div_ceil(BLOCK)) {
            let start = number * BLOCK;
            let (from, to) = (offset.max(start), end.min(start + BLOCK));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let next = self.blocks.range(offset / BLOCK..).next();
        Ok(next
            .map(|(number, _)| number * BLOCK)
            .filter(|start| *start < self.len)
            .map(|start| {
                let start = start.max(offset);
                start..(start / BLOCK + 1).saturating_mul(BLOCK).min(self.len)
            }))
    }
}
