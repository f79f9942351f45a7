//! Where a content is cut into chunks. Its bytes choose: a chunk ends behind a block whose checksum
//! says so. Bytes that move to another place so mostly stay in the same chunks, and a cache of
//! their frames still knows them. Nothing else has a say: neither the number of threads nor whether
//! zeros are holes.

use crate::bytes::is_zero;
use crate::compress::pool::{Buffer, Pool};
use crate::stream::{Lengths, ReadAt};
use std::io;
use std::sync::Arc;

/// Chunks end at multiples of this (bytes): files begin at blocks of filesystems.
const BLOCK: usize = 4096;
/// Bytes read at a time while the end of a chunk is looked for; what is read beyond it is read
/// again.
const STEP: usize = 1 << 16;

/// The bytes of a chunk.
#[derive(Debug)]
pub(crate) enum Piece {
    /// So many zeros.
    Zero(usize),
    /// These, not all zero.
    Data(Buffer),
}

/// Cuts a content from front to back.
pub(crate) struct Cutter<'a> {
    content: &'a dyn ReadAt,
    lengths: Lengths,
    /// Where the next chunk begins.
    at: u64,
    /// How many chunks there were.
    count: usize,
    /// What chunks are read into.
    pool: Arc<Pool>,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(content: &'a dyn ReadAt, lengths: Lengths) -> Self {
        Self {
            content,
            lengths,
            at: 0,
            count: 0,
            pool: Pool::new(lengths.most),
        }
    }

    /// How many chunks were cut: the index of the next one.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The offset of the next chunk and its bytes; `None` behind the last one, and behind an error.
    ///
    /// # Errors
    /// What reading said, with the place.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Piece)>> {
        let left = self.content.len() - self.at;
        if left == 0 {
            return Ok(None);
        }
        let most =
            usize::try_from(left).map_or(self.lengths.most, |left| left.min(self.lengths.most));
        let offset = self.at;
        let piece = self.piece(most);
        self.at = match &piece {
            Ok(Piece::Zero(len)) => offset + *len as u64,
            Ok(Piece::Data(bytes)) => offset + bytes.len() as u64,
            Err(_) => self.content.len(),
        };
        self.count += 1;
        piece.map(|piece| Some((offset, piece)))
    }

    /// The chunk of at most `most` bytes that begins where the last one ended.
    fn piece(&mut self, most: usize) -> io::Result<Piece> {
        let hole = self
            .content
            .next_data(self.at)?
            .is_none_or(|data| data.start - self.at >= most as u64);
        if hole {
            return Ok(Piece::Zero(most));
        }
        let mut buffer = self.pool.take();
        let len = self.read(&mut buffer.whole()[..most])?;
        let buffer = buffer.cut(len);
        Ok(if is_zero(&buffer) {
            Piece::Zero(len)
        } else {
            Piece::Data(buffer)
        })
    }

    /// Reads the chunk that begins where the last one ended into `bytes`, which has room for the
    /// longest; returns its length.
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = bytes.len();
        let mut read = 0;
        let mut end = None;
        while end.is_none() && read < most {
            let until = most.min((read + STEP).max(self.lengths.least));
            self.fill(read, &mut bytes[read..until])?;
            let from = read.max(self.lengths.least - BLOCK);
            end = (from..until)
                .step_by(BLOCK)
                .map(|at| at + BLOCK)
                .find(|end| *end <= until && self.ends(&bytes[end - BLOCK..*end]));
            read = until;
        }
        Ok(end.unwrap_or(most))
    }

    /// Reads what begins `skip` bytes into the chunk.
    fn fill(&self, skip: usize, part: &mut [u8]) -> io::Result<()> {
        let (offset, len) = (self.at + skip as u64, part.len());
        let place = |e: io::Error| {
            io::Error::new(
                e.kind(),
                format!("reading its {len} bytes at offset {offset}: {e}"),
            )
        };
        self.content.read_exact_at(offset, part).map_err(place)
    }

    /// Whether a chunk may end behind `block`: one block in `one_in` says so, none of zeros does,
    /// so that those are cut at equal lengths.
    fn ends(&self, block: &[u8]) -> bool {
        crc32fast::hash(block).is_multiple_of(self.lengths.one_in) && !is_zero(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;
    use std::collections::HashSet;

    const LENGTHS: Lengths = Lengths {
        least: 4 * BLOCK,
        one_in: 8,
        most: 40 * BLOCK,
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

    impl PartialEq for Piece {
        fn eq(&self, other: &Self) -> bool {
            match (self, other) {
                (Self::Zero(a), Self::Zero(b)) => a == b,
                (Self::Data(a), Self::Data(b)) => **a == **b,
                _ => false,
            }
        }
    }

    fn cut(content: &Content) -> Vec<(u64, Piece)> {
        let mut cutter = Cutter::new(content, LENGTHS);
        std::iter::from_fn(|| cutter.next().unwrap()).collect()
    }

    #[test]
    fn all_bytes_come_once_and_lengths_keep_their_bounds() {
        let plain = bytes(1500);
        let pieces = cut(&Content::bytes([&plain[..], b"end"].concat()));
        let mut at = 0;
        let mut whole = Vec::new();
        for (index, (offset, piece)) in pieces.iter().enumerate() {
            assert_eq!(*offset, at);
            match piece {
                Piece::Zero(len) => whole.resize(whole.len() + len, 0),
                Piece::Data(bytes) => whole.extend_from_slice(bytes),
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
                .any(|(_, piece)| *piece == Piece::Zero(40 * BLOCK))
        );
    }

    #[test]
    fn what_is_put_in_front_changes_few_chunks() {
        let plain = bytes(3000);
        let moved = [vec![9; 5 * BLOCK], plain.clone()].concat();
        let known: HashSet<Vec<u8>> = cut(&Content::bytes(plain))
            .into_iter()
            .filter_map(|(_, piece)| data(piece))
            .collect();
        let unknown = cut(&Content::bytes(moved))
            .into_iter()
            .filter_map(|(_, piece)| data(piece))
            .filter(|p| !known.contains(p));
        assert!(unknown.count() < 10 && known.len() > 100);
    }

    fn data(piece: Piece) -> Option<Vec<u8>> {
        if let Piece::Data(bytes) = piece {
            Some(bytes.to_vec())
        } else {
            None
        }
    }
}
