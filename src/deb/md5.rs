//! MD5 (RFC 1321). dpkg names files by it; nothing here relies on it against an adversary.

use crate::digest::hex;

/// The table T of RFC 1321, section 3.4: the integer part of 4294967296 times abs(sin(i)).
const TABLE: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];
/// Rotations by round and step.
const SHIFTS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// An MD5 digest (RFC 1321) of bytes that come in parts.
#[derive(Clone, Debug)]
pub(crate) struct Md5 {
    state: [u32; 4],
    /// Bytes that do not fill a block yet: fewer than 64.
    pending: Vec<u8>,
    /// Bytes so far, modulo 2^64.
    len: u64,
}

impl Default for Md5 {
    fn default() -> Self {
        Self {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
            pending: Vec::new(),
            len: 0,
        }
    }
}

impl Md5 {
    /// The digest of `bytes` in hexadecimal.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> String {
        let mut md5 = Self::default();
        md5.update(bytes);
        md5.finish()
    }

    /// Appends `bytes` to what is digested.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.len = self.len.wrapping_add(len);
        let missing = 64_usize.saturating_sub(self.pending.len());
        let Some((first, rest)) = bytes.split_at_checked(missing) else {
            self.pending.extend_from_slice(bytes);
            return;
        };
        self.pending.extend_from_slice(first);
        let (blocks, last) = rest.as_chunks::<64>();
        let pending = std::mem::take(&mut self.pending);
        for block in pending.as_chunks::<64>().0.iter().chain(blocks) {
            self.compress(block);
        }
        self.pending.extend_from_slice(last);
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub(crate) fn finish(self) -> String {
        hex(&self.digest())
    }

    /// The 16 bytes of the digest.
    #[must_use]
    pub(crate) fn digest(mut self) -> Vec<u8> {
        let bits = self.len.wrapping_mul(8).to_le_bytes();
        self.update(&[0x80]);
        while self.pending.len() != 56 {
            self.update(&[0]);
        }
        self.update(&bits);
        self.state.map(u32::to_le_bytes).concat()
    }

    fn compress(&mut self, block: &[u8; 64]) {
        let mut words = [0u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let word = |index: usize| words.get(index & 15).copied().unwrap_or_default();
        let [mut a, mut b, mut c, mut d] = self.state;
        let rounds = TABLE.as_chunks::<16>().0.iter().zip(SHIFTS);
        for (round, (constants, shifts)) in rounds.enumerate() {
            let steps = constants.iter().zip(shifts.iter().cycle());
            for (i, (constant, shift)) in steps.enumerate() {
                // Indices are taken modulo 16, so the round's own multiple of 16 falls away.
                let (mix, index) = match round {
                    0 => (b & c | !b & d, i),
                    1 => (d & b | !d & c, i.wrapping_mul(5).wrapping_add(1)),
                    2 => (b ^ c ^ d, i.wrapping_mul(3).wrapping_add(5)),
                    _ => (c ^ (b | !d), i.wrapping_mul(7)),
                };
                let sum = a
                    .wrapping_add(mix)
                    .wrapping_add(*constant)
                    .wrapping_add(word(index));
                (a, d, c) = (d, c, b);
                b = b.wrapping_add(sum.rotate_left(*shift));
            }
        }
        for (state, add) in self.state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(add);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_of_the_rfc() {
        let digits = "1234567890".repeat(8);
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (digits.as_str(), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(Md5::of(text.as_bytes()), digest);
        }
    }

    /// `printf 'a%.0s' {1..200} | md5sum`
    #[test]
    fn pieces_of_any_length_make_the_same_digest() {
        for piece in 1..=200 {
            let mut md5 = Md5::default();
            for bytes in [b'a'; 200].chunks(piece) {
                md5.update(bytes);
            }
            assert_eq!(md5.finish(), "887f30b43b2867f4a9accceee7d16e6c", "{piece}");
        }
    }
}
