//! Content-defined chunking: a chunk ends after a block whose checksum selects it as a boundary.
//! Bytes that move to another offset therefore mostly stay in the same chunks, and a cache of their
//! frames still finds them. Boundaries depend on the bytes alone, not on the number of threads and
//! not on whether zeros are stored as holes.

use crate::bytes::is_zero;
use crate::compress::pool::{Buffer, Pool};
use crate::stream::{ChunkLengths, ReadAt};
use std::io;
use std::sync::Arc;

/// Chunk lengths are multiples of this (bytes), because files begin at filesystem blocks.
const BLOCK: usize = 4096;
/// Bytes read at a time while searching for the end of a chunk; bytes read beyond it are read
/// again.
const STEP: usize = 1 << 16;

/// The plain bytes of a chunk; clones share them.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    /// This many zeros.
    Zero(usize),
    /// Bytes that are not all zero.
    Data(Arc<Buffer>),
}

impl Chunk {
    /// The length of the chunk (bytes).
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Zero(len) => *len,
            Self::Data(bytes) => bytes.len(),
        }
    }
}

/// Divides a content into chunks, from front to back.
pub(crate) struct Chunker<'a> {
    content: &'a dyn ReadAt,
    lengths: ChunkLengths,
    /// Offset of the next chunk in the content.
    at: u64,
    /// Number of chunks so far.
    count: usize,
    /// Buffers for the bytes of chunks.
    pool: Arc<Pool>,
}

impl<'a> Chunker<'a> {
    /// Begins at `at` (bytes), which is in the content or its end.
    pub(crate) fn new(content: &'a dyn ReadAt, at: u64, lengths: ChunkLengths) -> Self {
        Self {
            content,
            lengths,
            at,
            count: 0,
            pool: Pool::new(lengths.max),
        }
    }

    /// Number of chunks returned so far, which is the index of the next one.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The offset of the next chunk and its bytes; `None` after the last one and after an error.
    ///
    /// # Errors
    /// I/O errors of the content, with offset and length.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Chunk)>> {
        let left = self.content.len() - self.at;
        if left == 0 {
            return Ok(None);
        }
        let most =
            usize::try_from(left).map_or(self.lengths.max, |left| left.min(self.lengths.max));
        let offset = self.at;
        let chunk = self.read_chunk(most);
        self.at = match &chunk {
            Ok(chunk) => offset + chunk.len() as u64,
            Err(_) => self.content.len(),
        };
        self.count += 1;
        chunk.map(|chunk| Some((offset, chunk)))
    }

    /// The next chunk, of at most `most` bytes.
    fn read_chunk(&mut self, most: usize) -> io::Result<Chunk> {
        let hole = self
            .content
            .next_data(self.at)?
            .is_none_or(|data| data.start - self.at >= most as u64);
        if hole {
            return Ok(Chunk::Zero(most));
        }
        let mut buffer = self.pool.take();
        let len = self.read_to_boundary(&mut buffer.whole()[..most])?;
        let buffer = buffer.truncated(len);
        Ok(if is_zero(&buffer) {
            Chunk::Zero(len)
        } else {
            Chunk::Data(Arc::new(buffer))
        })
    }

    /// Reads the next chunk into `bytes`, which has room for the longest, and returns its length.
    fn read_to_boundary(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = bytes.len();
        let mut read = 0;
        let mut end = None;
        while end.is_none() && read < most {
            let until = most.min((read + STEP).max(self.lengths.min));
            self.fill(read, &mut bytes[read..until])?;
            let from = read.max(self.lengths.min - BLOCK);
            end = (from..until)
                .step_by(BLOCK)
                .map(|at| at + BLOCK)
                .find(|end| *end <= until && self.is_boundary(&bytes[end - BLOCK..*end]));
            read = until;
        }
        Ok(end.unwrap_or(most))
    }

    /// Fills `part` from `skip` bytes after the start of the chunk.
    fn fill(&self, skip: usize, part: &mut [u8]) -> io::Result<()> {
        let (offset, len) = (self.at + skip as u64, part.len());
        let with_place = |e: io::Error| {
            io::Error::new(
                e.kind(),
                format!("reading {len} bytes at offset {offset}: {e}"),
            )
        };
        self.content.read_exact_at(offset, part).map_err(with_place)
    }

    /// Whether a chunk may end after `block`: on average one block in `one_in`, and never a block
    /// of zeros, so that long runs of zeros become chunks of equal length.
    fn is_boundary(&self, block: &[u8]) -> bool {
        crc32fast::hash(block).is_multiple_of(self.lengths.one_in) && !is_zero(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;
    use std::collections::HashSet;

    const LENGTHS: ChunkLengths = ChunkLengths {
        min: 4 * BLOCK,
        one_in: 8,
        max: 40 * BLOCK,
    };

    /// Blocks that differ, with zeros among them.
    fn bytes(blocks: usize) -> Vec<u8> {
        let mut out = vec![0; blocks * BLOCK];
        for (at, block) in out
            .chunks_mut(BLOCK)
            .enumerate()
            .filter(|(at, _)| at % 100 < 80)
        {
            block[7..15].copy_from_slice(&(at as u64 + 1).to_le_bytes());
        }
        out
    }

    impl PartialEq for Chunk {
        fn eq(&self, other: &Self) -> bool {
            match (self, other) {
                (Self::Zero(a), Self::Zero(b)) => a == b,
                (Self::Data(a), Self::Data(b)) => a[..] == b[..],
                _ => false,
            }
        }
    }

    fn cut(content: &Content) -> Vec<(u64, Chunk)> {
        let mut chunker = Chunker::new(content, 0, LENGTHS);
        std::iter::from_fn(|| chunker.next().unwrap()).collect()
    }

    #[test]
    fn all_bytes_come_once_and_lengths_keep_their_bounds() {
        let plain = bytes(1500);
        let pieces = cut(&Content::bytes([&plain[..], b"end"].concat()));
        let mut at = 0;
        let mut whole = Vec::new();
        for (index, (offset, chunk)) in pieces.iter().enumerate() {
            assert_eq!(*offset, at);
            match chunk {
                Chunk::Zero(len) => whole.resize(whole.len() + len, 0),
                Chunk::Data(bytes) => whole.extend_from_slice(bytes),
            }
            let len = whole.len() as u64 - at;
            assert!(
                index + 1 == pieces.len() || (4 * BLOCK as u64..=40 * BLOCK as u64).contains(&len),
                "{len}"
            );
            at += len;
        }
        assert!(whole == [&plain[..], b"end"].concat());
        assert!(pieces.len() > 100);
    }

    #[test]
    fn holes_or_zeros_are_cut_alike() {
        let mut plain = bytes(300);
        plain.resize(900 * BLOCK, 0);
        plain.extend(bytes(50));
        let mut sparse = Content::hole(0);
        for (at, block) in plain
            .chunks(BLOCK)
            .enumerate()
            .filter(|(_, block)| !is_zero(block))
        {
            sparse.push_bytes((at * BLOCK) as u64, block);
        }
        let pieces = cut(&Content::bytes(plain));
        assert_eq!(pieces, cut(&sparse));
        assert!(
            pieces
                .iter()
                .any(|(_, chunk)| *chunk == Chunk::Zero(40 * BLOCK))
        );
    }

    #[test]
    fn what_is_put_in_front_changes_few_chunks() {
        let plain = bytes(3000);
        let moved = [vec![9; 5 * BLOCK], plain.clone()].concat();
        let known: HashSet<Vec<u8>> = cut(&Content::bytes(plain))
            .into_iter()
            .filter_map(|(_, chunk)| data(chunk))
            .collect();
        let unknown = cut(&Content::bytes(moved))
            .into_iter()
            .filter_map(|(_, chunk)| data(chunk))
            .filter(|p| !known.contains(p));
        assert!(unknown.count() < 10 && known.len() > 100);
    }

    fn data(chunk: Chunk) -> Option<Vec<u8>> {
        if let Chunk::Data(bytes) = chunk {
            Some(bytes[..].to_vec())
        } else {
            None
        }
    }
}
