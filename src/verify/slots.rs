//! Long comparisons: two ranges byte for byte, the digest of a range. Holes are not read.

use crate::stream::ReadAt;
use sha2::{Digest, Sha256};
use std::io;

/// Bytes looked at together.
const PART: u64 = 1 << 20;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The first byte in which the first `len` bytes of `a` and `b` differ.
pub(super) fn difference(a: &dyn ReadAt, b: &dyn ReadAt, len: u64) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; PART as usize], vec![0; PART as usize]);
    let mut at = 0;
    while at < len {
        let next = [a.next_data(at)?, b.next_data(at)?]
            .into_iter()
            .flatten()
            .map(|range| range.start)
            .min()
            .unwrap_or(len);
        at = next.min(len);
        let part = usize::try_from(PART.min(len - at)).unwrap_or(0);
        let (left, right) = (&mut left[..part], &mut right[..part]);
        a.read_exact_at(at, left)?;
        b.read_exact_at(at, right)?;
        if left != right {
            let inner = left
                .iter()
                .zip(right.iter())
                .position(|(x, y)| x != y)
                .unwrap_or(0);
            return Ok(Some(at + inner as u64));
        }
        at += part as u64;
    }
    Ok(None)
}

/// SHA-256 of the first `len` bytes.
pub(super) fn digest(source: &dyn ReadAt, len: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; PART as usize];
    let mut at = 0;
    while at < len {
        let next = source
            .next_data(at)?
            .map_or(len, |range| range.start.min(len));
        while at < next {
            let part = (next - at).min(ZEROS.len() as u64);
            hash.update(&ZEROS[..usize::try_from(part).unwrap_or(0)]);
            at += part;
        }
        let part = usize::try_from(PART.min(len - at)).unwrap_or(0);
        source.read_exact_at(at, &mut buf[..part])?;
        hash.update(&buf[..part]);
        at += part as u64;
    }
    Ok(hash.finalize().into())
}

/// Whether the first `len` bytes are all zero.
pub(super) fn is_empty(source: &dyn ReadAt, len: u64) -> io::Result<bool> {
    let mut buf = vec![0; PART as usize];
    let mut at = 0;
    while let Some(range) = source.next_data(at)?.filter(|range| range.start < len) {
        at = range.start;
        let part = usize::try_from(PART.min(len - at)).unwrap_or(0);
        source.read_exact_at(at, &mut buf[..part])?;
        if buf[..part].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += part as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    #[test]
    fn holes_count_as_zeros() {
        let mut holed = Content::hole(5 << 20);
        holed.push_bytes(3 << 20, *b"x");
        holed.set_len(5 << 20);
        let plain = Content::bytes(holed.read_all(1 << 30).unwrap());
        assert_eq!(difference(&holed, &plain, 5 << 20).unwrap(), None);
        assert_eq!(
            digest(&holed, 5 << 20).unwrap(),
            <[u8; 32]>::from(Sha256::digest(plain.read_all(1 << 30).unwrap()))
        );
        let other = Content::hole(5 << 20);
        assert_eq!(difference(&holed, &other, 5 << 20).unwrap(), Some(3 << 20));
        assert_eq!(difference(&holed, &other, 3 << 20).unwrap(), None);
        assert!(is_empty(&other, 5 << 20).unwrap());
        assert!(!is_empty(&holed, 5 << 20).unwrap());
    }
}
