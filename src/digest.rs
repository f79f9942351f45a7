//! SHA-256 digests and their hexadecimal form.

use crate::stream::ReadAt;
use sha2::{Digest as _, Sha256};
use std::io;

/// A SHA-256 digest, in the byte order of FIPS 180-4.
pub type Digest = [u8; 32];

/// `bytes` as lower-case hexadecimal, two digits per byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// The digest with these 64 lower-case hexadecimal digits; `None` for any other text.
#[must_use]
pub fn unhex(digits: &str) -> Option<Digest> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let values: Vec<u8> = digits.bytes().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> = values
        .chunks(2)
        .filter_map(|pair| Some(pair[0] << 4 | pair.get(1)?))
        .collect();
    bytes.try_into().ok().filter(|_| values.len() == 64)
}

/// The SHA-256 of the whole `source`.
///
/// # Errors
/// I/O errors of the source.
pub fn sha256(source: &dyn ReadAt) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 18];
    let mut at = 0;
    while at < source.len() {
        let len = usize::try_from(source.len() - at)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let (part, _) = buf.split_at_mut(len);
        source.read_exact_at(at, part)?;
        hash.update(&*part);
        at += len as u64;
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::MemSource;

    #[test]
    fn digits_there_and_back() {
        let digest = sha256(&MemSource(b"abc".as_slice().into())).unwrap();
        // FIPS 180-2, appendix B.1.
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&digest), digits);
        assert_eq!(unhex(digits), Some(digest));
        for bad in [
            &digits[..62],
            &digits[..63],
            &digits.to_uppercase(),
            &format!("{digits}0"),
            &format!("{digits}00"),
            "é",
        ] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
