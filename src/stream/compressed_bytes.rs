//! Bytes that stay in memory for long and are seldom read, kept compressed.

use super::read_at::check;
use super::{Codec, Compression, ReadAt, decoder};
use std::fmt;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

/// Length of the plain bytes of a frame (bytes).
const FRAME: usize = 64 << 10;
/// The fastest level, which here compresses nearly as well as the others.
const LEVEL: u32 = 1;

/// Bytes in compressed frames; the last frame that was read is kept decompressed.
pub struct CompressedBytes {
    len: u64,
    frames: Vec<Frame>,
    last: Mutex<Option<(usize, Vec<u8>)>>,
}

enum Frame {
    Packed(Vec<u8>),
    /// Bytes that compression does not make smaller.
    Plain(Vec<u8>),
}

impl CompressedBytes {
    /// Compresses `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            len: bytes.len() as u64,
            frames: bytes.chunks(FRAME).map(Frame::new).collect(),
            last: Mutex::default(),
        }
    }

    /// Calls `then` with the plain bytes of a frame.
    fn plain<T>(&self, index: usize, then: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let packed = match self.frames.get(index) {
            Some(Frame::Packed(packed)) => packed,
            Some(Frame::Plain(plain)) => return Ok(then(plain)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plain)) = last.as_ref().filter(|(known, _)| *known == index) {
            return Ok(then(plain));
        }
        let mut plain = Vec::with_capacity(FRAME);
        decoder(Compression::Zstd, &packed[..])?.read_to_end(&mut plain)?;
        let out = then(&plain);
        *last = Some((index, plain));
        Ok(out)
    }
}

impl Frame {
    fn new(plain: &[u8]) -> Self {
        let mut packed = Vec::new();
        let is_packed = Codec::new(Compression::Zstd, Some(LEVEL))
            .is_ok_and(|codec| codec.compress_verified(plain, &mut packed).is_ok());
        if is_packed && packed.len() < plain.len() {
            // Without spare capacity, because there are thousands.
            Self::Packed(packed.into_boxed_slice().into_vec())
        } else {
            Self::Plain(plain.to_vec())
        }
    }
}

impl fmt::Debug for CompressedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompressedBytes({} bytes)", self.len)
    }
}

impl ReadAt for CompressedBytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.len)?;
        let mut at = usize::try_from(offset).map_err(io::Error::other)?;
        let mut rest = buf;
        while !rest.is_empty() {
            let (index, skip) = (at / FRAME, at % FRAME);
            let len = rest.len().min(FRAME - skip);
            let (part, after) = rest.split_at_mut(len);
            self.plain(index, |plain| {
                part.copy_from_slice(&plain[skip..skip + len])
            })?;
            at += len;
            rest = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_what_it_was() {
        let mut plain: Vec<u8> = (0..3 * FRAME + 1000)
            .map(|at| u8::try_from(at / 100 % 256).unwrap())
            .collect();
        // A frame that nothing makes smaller.
        let mut state = 1_u64;
        for byte in &mut plain[FRAME..2 * FRAME] {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = u8::try_from(state >> 56).unwrap();
        }
        let packed = CompressedBytes::new(&plain);
        assert!(matches!(
            packed.frames[..],
            [
                Frame::Packed(_),
                Frame::Plain(_),
                Frame::Packed(_),
                Frame::Packed(_)
            ]
        ));
        for (start, end) in [
            (0, plain.len()),
            (5, 10),
            (FRAME - 3, FRAME + 3),
            (3 * FRAME - 1, plain.len()),
            (7, 7),
        ] {
            let mut found = vec![0; end - start];
            packed.read_exact_at(start as u64, &mut found).unwrap();
            assert!(found == plain[start..end], "{start} {end}");
        }
        assert!(packed.read_exact_at(packed.len(), &mut [0]).is_err());
        assert!(packed.read_exact_at(u64::MAX, &mut [0; 2]).is_err());
    }
}
