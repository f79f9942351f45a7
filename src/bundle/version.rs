//! Versions of the update client.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

/// Major and minor version of an update client: 3.x is written in Go, later ones in C++.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientVersion {
    major: u32,
    minor: u32,
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ClientVersion {
    type Err = String;

    /// Parses `3.4`, `4.0.2`, or the version of a Debian package such as `1:3.4.0+ds1-4`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a version of the update client, such as `3.4` or `5.0.1`");
        let upstream = text
            .trim()
            .split_once(':')
            .map_or(text.trim(), |(_, rest)| rest);
        let mut numbers = upstream.split('.');
        let mut number = || -> Option<u32> {
            let part = numbers.next()?;
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        };
        let major = number().ok_or_else(wrong)?;
        // `3` is any 3.x, of which the oldest reads least.
        let minor = if upstream.contains('.') {
            number().ok_or_else(wrong)?
        } else {
            0
        };
        Ok(Self { major, minor })
    }
}

impl<'de> Deserialize<'de> for ClientVersion {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ClientVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_of_packages_and_people() {
        for (text, shown) in [
            ("3.4", "3.4"),
            ("3.4.0+ds1-4+b5", "3.4"),
            ("1:3.5.3-1+debian+bookworm", "3.5"),
            ("5.1.0~git20260101.abc-1", "5.1"),
            ("4", "4.0"),
        ] {
            assert_eq!(version(text).to_string(), shown);
        }
        for text in ["", "x", "v4", "4.x"] {
            assert!(text.parse::<ClientVersion>().is_err(), "{text}");
        }
        assert!(version("3.10") > version("3.9"));
    }
}
