//! Passwords that MD5-crypt encrypted (`$1$` in `crypt(5)`): old, but still what some tools write.
//!
//! ```text
//! $1$SALT$HASH    SALT: up to 8 characters    HASH: 22 digits to the base 64, of 6 bits each
//! ```
//! A first digest is made of password and salt; a thousand more of the one before, the password and
//! the salt in changing order.

use crate::deb::Md5;

/// The digits of the hash, from 0.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The bytes of the digest of which four digits are made, in their order, the highest first.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
/// How many digests follow the first.
const ROUNDS: u32 = 1000;
/// The longest salt.
const SALT: usize = 8;

/// Whether `encrypted` is this password.
pub(super) fn matches(word: &str, encrypted: &str) -> bool {
    let parts = encrypted
        .strip_prefix("$1$")
        .and_then(|rest| rest.split_once('$'));
    parts.is_some_and(|(salt, hash)| {
        salt.len() <= SALT && hash == hashed(word.as_bytes(), salt.as_bytes())
    })
}

fn md5(parts: &[&[u8]]) -> Vec<u8> {
    let mut md5 = Md5::default();
    parts.iter().for_each(|part| md5.update(part));
    md5.digest()
}

/// The hash in digits.
fn hashed(word: &[u8], salt: &[u8]) -> String {
    let inner = md5(&[word, salt, word]);
    let repeated: Vec<u8> = inner.iter().copied().cycle().take(word.len()).collect();
    // A byte for each bit of the length, the lowest first.
    let bits = usize::BITS - word.len().leading_zeros();
    let of_bits: Vec<u8> = (0..bits)
        .map(|bit| match word.len() >> bit & 1 {
            1 => 0,
            _ => word.first().copied().unwrap_or_default(),
        })
        .collect();
    let mut last = md5(&[word, b"$1$", salt, &repeated, &of_bits]);
    for round in 0..ROUNDS {
        let is_odd = round % 2 == 1;
        let (first, end) = if is_odd {
            (word, &last[..])
        } else {
            (&last[..], word)
        };
        let salt = if round % 3 == 0 { &[][..] } else { salt };
        let again = if round % 7 == 0 { &[][..] } else { word };
        last = md5(&[first, salt, again, end]);
    }
    let byte = |at: usize| u32::from(last.get(at).copied().unwrap_or_default());
    let mut out = String::new();
    let mut put = |mut value: u32, digits: u32| {
        for _ in 0..digits {
            let digit = DIGITS.iter().cycle().nth((value & 63) as usize);
            out.push(char::from(*digit.unwrap_or(&b'.')));
            value >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        put(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    put(byte(11), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `openssl passwd -1`.
    #[test]
    fn hashes_of_openssl() {
        for (word, encrypted) in [
            ("fai", "$1$kBnWcO.E$djxB128U7dMkrltJHPf6d1"),
            (
                "a longer password of more than sixteen",
                "$1$ab$L2zGylkeyeEH1Vwy1LlRq1",
            ),
        ] {
            assert!(matches(word, encrypted), "{word}");
            assert!(!matches("other", encrypted));
        }
        assert!(!matches("fai", "$1$kBnWcO.Elong$djxB128U7dMkrltJHPf6d1"));
        assert!(!matches("fai", "$1$kBnWcO.E"));
    }
}
