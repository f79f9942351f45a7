//! The only source of time, UUIDs and seeds: neither clock nor random numbers affect an output.

use sha2::{Digest, Sha256};

/// A point in time, as filesystems store it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since 1970-01-01 00:00 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds, 0..=999,999,999.
    pub nanos: u32,
}

/// A 16-byte UUID in the order in which it is written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Uuid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a UUID (32 hexadecimal digits in groups 8-4-4-4-12)");
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
        if digits.len() != 32
            || !digits.iter().all(u8::is_ascii_hexdigit)
            || dashes != [8, 13, 18, 23]
        {
            return Err(bad());
        }
        let mut out = [0; 16];
        for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

/// Time and identities of one conversion, derived from its inputs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time of everything that goldsmith creates. Copied files keep theirs.
    pub time: Time,
    /// The name of the device family. Identities must not change between releases, so they depend
    /// on nothing else; those of the root filesystem not even on it ([`Stamp::common_uuid`]).
    pub family: String,
}

impl Stamp {
    /// Sixteen bytes for `purpose`, the same for every release of the family: the first 16 bytes of
    /// the SHA-256 of `goldsmith`, family and purpose, each followed by a zero byte.
    #[must_use]
    pub fn bytes(&self, purpose: &str) -> [u8; 16] {
        derive(&self.family, purpose)
    }

    /// A UUID for `purpose`, marked as version 8 (custom), variant RFC 9562.
    #[must_use]
    pub fn uuid(&self, purpose: &str) -> Uuid {
        version8(self.bytes(purpose))
    }

    /// A UUID for `purpose` that is the same for all families and releases: that of a family whose
    /// name is empty, which no device type is. It is for the root filesystem, whose metadata would
    /// otherwise differ in every block between the boards of one golden image.
    #[must_use]
    pub fn common_uuid(purpose: &str) -> Uuid {
        version8(derive("", purpose))
    }

    /// A number for `purpose`, never zero: MBR disk IDs and FAT volume IDs.
    #[must_use]
    pub fn id32(&self, purpose: &str) -> u32 {
        let b = self.bytes(purpose);
        u32::from_le_bytes([b[0], b[1], b[2], b[3]]).max(1)
    }
}

/// The first 16 bytes of the SHA-256 of `goldsmith`, family and purpose, each followed by a zero
/// byte.
fn derive(family: &str, purpose: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in ["goldsmith", family, purpose] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// A UUID of these bytes, marked as version 8 (custom), variant RFC 9562.
fn version8(mut bytes: [u8; 16]) -> Uuid {
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

/// Seconds since 1970 as `YYYY-MM-DDThh:mm:ssZ` (RFC 3339, section 5.6). Years before 0 and after
/// 9999 have no such form and become the first or last second that has one.
#[must_use]
pub fn rfc3339(seconds: i64) -> String {
    /// The first second of the year 0 and the last of the year 9999.
    const RANGE: (i64, i64) = (-62_167_219_200, 253_402_300_799);
    const DAY: i64 = 86_400;
    let seconds = seconds.clamp(RANGE.0, RANGE.1);
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (
        rest.div_euclid(3600),
        rest.rem_euclid(3600).div_euclid(60),
        rest.rem_euclid(60),
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, of the day that is `days` after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let leap = |year: i64| {
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
    };
    // 400 years have 146,097 days.
    let (mut year, mut rest) = (
        days.div_euclid(146_097)
            .saturating_mul(400)
            .saturating_add(1970),
        days.rem_euclid(146_097),
    );
    loop {
        let len = if leap(year) { 366 } else { 365 };
        if rest < len {
            break;
        }
        rest = rest.saturating_sub(len);
        year = year.saturating_add(1);
    }
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, len) in (1..).zip(months) {
        if rest < len {
            return (year, month, rest.saturating_add(1));
        }
        rest = rest.saturating_sub(len);
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_depend_on_family_and_purpose_only() {
        let a = Stamp {
            time: Time::default(),
            family: "board".into(),
        };
        let b = Stamp {
            time: Time {
                seconds: 7,
                nanos: 1,
            },
            family: "board".into(),
        };
        assert_eq!(a.uuid("root-a"), b.uuid("root-a"));
        assert_ne!(a.uuid("root-a"), a.uuid("root-b"));
        assert_ne!(a.uuid("root-a"), Stamp::common_uuid("root-a"));
        assert_ne!(Stamp::common_uuid("root-a"), Stamp::common_uuid("root-b"));
        assert_eq!(
            Stamp::common_uuid("root filesystem").to_string(),
            "2f1f03bd-fb87-883b-be94-4af53b83eb9f",
            "it must never change: releases of a board keep it"
        );
        let text = a.uuid("root-a").to_string();
        assert_eq!(text.parse(), Ok(a.uuid("root-a")));
        assert_eq!(text.as_bytes()[14], b'8');
        assert!("no".parse::<Uuid>().is_err());
        assert!(
            "+c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b01"
                .parse::<Uuid>()
                .is_err()
        );
    }

    #[test]
    fn seconds_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
