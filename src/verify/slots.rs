//! Comparisons of whole filesystems: two ranges byte for byte, the digest of a range. Holes are not
//! read.

use super::numbers::widen;
use crate::bytes::is_zero;
use crate::stream::ReadAt;
use sha2::{Digest, Sha256};
use std::io;

/// Bytes read at once.
const PART: usize = 1 << 20;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The beginning of `buf` for the bytes from `at` to `end`, as many as it can hold.
fn part(buf: &mut [u8], at: u64, end: u64) -> &mut [u8] {
    let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    let len = left.min(buf.len());
    buf.get_mut(..len).unwrap_or_default()
}

/// The first byte in which the first `len` bytes of `a` and `b` differ.
pub(super) fn difference(a: &dyn ReadAt, b: &dyn ReadAt, len: u64) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; PART], vec![0; PART]);
    let mut at = 0;
    while at < len {
        let next = [a.next_data(at)?, b.next_data(at)?]
            .into_iter()
            .flatten()
            .map(|range| range.start)
            .min()
            .unwrap_or(len);
        at = next.min(len);
        let (left, right) = (part(&mut left, at, len), part(&mut right, at, len));
        a.read_exact_at(at, left)?;
        b.read_exact_at(at, right)?;
        if left != right {
            let mut pairs = left.iter().zip(right.iter());
            let inner = pairs.position(|(x, y)| x != y).unwrap_or(0);
            return Ok(Some(at.saturating_add(widen(inner))));
        }
        at = at.saturating_add(widen(left.len()));
    }
    Ok(None)
}

/// SHA-256 of the first `len` bytes.
pub(super) fn digest(source: &dyn ReadAt, len: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; PART];
    let mut at = 0;
    while at < len {
        let next = source
            .next_data(at)?
            .map_or(len, |range| range.start.min(len));
        while at < next {
            let left = usize::try_from(next.saturating_sub(at)).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
            hash.update(zeros);
            at = at.saturating_add(widen(zeros.len()));
        }
        let part = part(&mut buf, at, len);
        source.read_exact_at(at, part)?;
        hash.update(&*part);
        at = at.saturating_add(widen(part.len()));
    }
    Ok(hash.finalize().into())
}

/// Whether the first `len` bytes are all zero.
pub(super) fn is_empty(source: &dyn ReadAt, len: u64) -> io::Result<bool> {
    let mut buf = vec![0; PART];
    let mut at = 0;
    while let Some(range) = source.next_data(at)?.filter(|range| range.start < len) {
        at = range.start;
        let part = part(&mut buf, at, len);
        source.read_exact_at(at, part)?;
        if !is_zero(part) {
            return Ok(false);
        }
        at = at.saturating_add(widen(part.len()));
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
