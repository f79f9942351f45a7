//! Bytes in memory that grow without being moved: an archive is unpacked into them, and the files
//! of a package are ranges of it.

use crate::stream::ReadAt;
use std::fmt;
use std::io::{self, Read};

/// Length of a piece (bytes), but for the last one.
const PIECE: usize = 1 << 18;

/// Bytes in pieces of equal length.
#[derive(Clone, Default)]
pub(super) struct Pieces {
    pieces: Vec<Vec<u8>>,
    /// Length of all of them (bytes).
    len: u64,
}

impl Pieces {
    /// All that `reader` gives.
    ///
    /// # Errors
    /// I/O errors of `reader`.
    pub(super) fn read(reader: &mut dyn Read) -> io::Result<Self> {
        let mut out = Self::default();
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let most = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let len = (&mut *reader).take(most).read_to_end(&mut piece)?;
            out.len = out
                .len
                .saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            let is_last = len < PIECE;
            if is_last {
                piece.shrink_to_fit();
            }
            out.pieces.push(piece);
            if is_last {
                return Ok(out);
            }
        }
    }

    /// Length (bytes).
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills as much of `buf` from `offset` as there is, and returns what is left of it.
    fn fill<'b>(&self, offset: u64, mut buf: &'b mut [u8]) -> &'b mut [u8] {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let (first, mut skip) = (offset / PIECE, offset % PIECE);
        for piece in self.pieces.iter().skip(first) {
            let from = piece.get(skip..).unwrap_or_default();
            skip = 0;
            let len = from.len().min(buf.len());
            let (part, rest) = buf.split_at_mut(len);
            part.copy_from_slice(from.get(..len).unwrap_or_default());
            buf = rest;
            if buf.is_empty() {
                break;
            }
        }
        buf
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} bytes)", self.len)
    }
}

impl ReadAt for Pieces {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let len = buf.len();
        if self.fill(offset, buf).is_empty() {
            return Ok(());
        }
        let text = format!(
            "{len} bytes at offset {offset} exceed the length of {} bytes",
            self.len
        );
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_that_of_the_bytes() {
        let number = |len: usize| u64::try_from(len).unwrap();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let pieces = Pieces::read(&mut &bytes[..]).unwrap();
            assert_eq!(pieces.len(), number(len));
            let ends = [0, 1, len / 2, PIECE, len];
            for (start, end) in ends.into_iter().flat_map(|a| ends.map(|b| (a, b))) {
                let Some(range) = bytes.get(start..end) else {
                    continue;
                };
                let mut found = vec![9; range.len()];
                pieces.read_exact_at(number(start), &mut found).unwrap();
                assert!(found == range, "{len}: {start} to {end}");
            }
            assert!(pieces.read_exact_at(number(len), &mut [0]).is_err());
        }
    }
}
