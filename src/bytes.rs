//! Integers at an offset of a byte slice, and whether a slice is all zeros.
//!
//! The readers return `None` where the slice ends too early, so that a format that reads foreign
//! bytes decides itself what a truncated field means.

/// The `N` bytes of `bytes` that start at `offset`.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// The little-endian 16-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// The little-endian 32-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// The little-endian 64-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// The big-endian 16-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_be_bytes)
}

/// The big-endian 32-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_be_bytes)
}

/// The big-endian 64-bit integer at `offset`; `None` if `bytes` ends before its last byte.
#[must_use]
pub fn be64(bytes: &[u8], offset: usize) -> Option<u64> {
    array(bytes, offset).map(u64::from_be_bytes)
}

/// Whether every byte is zero; true of an empty slice. It compares sixteen bytes at a time, because
/// every byte of an image passes through it.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn integers_are_read_at_any_offset_in_both_byte_orders() {
        assert_eq!(le16(&BYTES, 1), Some(0x0302));
        assert_eq!(le32(&BYTES, 1), Some(0x0504_0302));
        assert_eq!(le64(&BYTES, 1), Some(0x0908_0706_0504_0302));
        assert_eq!(be16(&BYTES, 1), Some(0x0203));
        assert_eq!(be32(&BYTES, 1), Some(0x0203_0405));
        assert_eq!(be64(&BYTES, 1), Some(0x0203_0405_0607_0809));
    }

    #[test]
    fn an_integer_that_does_not_end_within_the_slice_is_none() {
        assert_eq!((le16(&BYTES, 8), be16(&BYTES, 8)), (None, None));
        assert_eq!((le32(&BYTES, 6), be32(&BYTES, 6)), (None, None));
        assert_eq!((le64(&BYTES, 2), be64(&BYTES, 2)), (None, None));
        for offset in [9, 10, usize::MAX] {
            assert_eq!(le16(&BYTES, offset), None);
            assert_eq!(be64(&BYTES, offset), None);
        }
    }

    #[test]
    fn one_byte_anywhere_makes_a_slice_non_zero() {
        for len in [0, 1, 15, 16, 17, 48, 63] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len} zeros");
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "byte {at} of {len}");
                bytes[at] = 0;
            }
        }
    }
}
