//! Fingerprints of OpenPGP keys.

use crate::digest::hex;
use std::fmt;
use std::str::FromStr;

/// The fingerprint of a key: 40 upper-case hexadecimal digits (version 4), or 64 (version 6), see
/// RFC 9580, section 5.5.4.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

/// A text that is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fingerprint, which has 40 or 64 hexadecimal digits")]
pub struct FingerprintError(String);

impl Fingerprint {
    /// The fingerprint with these bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(hex(bytes).to_ascii_uppercase())
    }

    /// The digits without blanks.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// Blanks are ignored, and digits may be of either case.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(digits))
        } else {
            Err(FingerprintError(text.to_owned()))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read: Fingerprint = "e6c8 5734 5575 F921 8396  5662 2407 2B80 A1B2 9B00"
            .parse()
            .unwrap();
        assert_eq!(
            read.to_string(),
            "E6C857345575F921839656622407 2B80A1B29B00".replace(' ', "")
        );
        assert!("A".repeat(64).parse::<Fingerprint>().is_ok());
        for bad in ["", "0x", &"A".repeat(16), &"G".repeat(40), &"A".repeat(41)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
