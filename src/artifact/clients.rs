//! What versions of the update client cannot read.

use super::read::{Artifact, ArtifactFinding, Severity};
use crate::stream::Compression;
use crate::units::{GIB, human};
use std::fmt;
use std::str::FromStr;

/// The version of an update client: 3.x is written in Go, later ones in C++.
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

/// The properties of an Artifact that some clients cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// The compression of its header or data; that of both, if only one is known.
    pub compression: Compression,
    /// The length of its payload (bytes).
    pub size: u64,
}

impl Artifact {
    /// What it demands of a client.
    #[must_use]
    pub fn demands(&self) -> Demands {
        let zstd = [self.compression, self.data_compression].contains(&Compression::Zstd);
        Demands {
            compression: if zstd {
                Compression::Zstd
            } else {
                self.data_compression
            },
            size: self.files.iter().map(|file| file.size).max().unwrap_or(0),
        }
    }
}

/// Why a client cannot read an Artifact; `is_32_bit` is whether its program is, if that is known.
#[must_use]
pub fn unreadable(
    client: ClientVersion,
    is_32_bit: Option<bool>,
    demands: Demands,
) -> Vec<ArtifactFinding> {
    let mut out = Vec::new();
    if demands.compression == Compression::Zstd && client < (ClientVersion { major: 3, minor: 5 }) {
        out.push(ArtifactFinding {
            severity: Severity::Error,
            code: "client-compression",
            text: format!(
                "it is compressed with zstd, which clients read from 3.5 on, not {client}"
            ),
        });
    }
    let cuts = client == ClientVersion { major: 4, minor: 0 };
    if cuts && demands.size >= const { 4 * GIB } && is_32_bit != Some(false) {
        let (severity, which) = match is_32_bit {
            Some(_) => (Severity::Error, ""),
            None => (Severity::Warning, ", if the device is one"),
        };
        out.push(ArtifactFinding {
            severity,
            code: "client-size",
            text: format!(
                "its payload has {} ({} bytes), a number that the client {client} cuts to 32 bits on \
                 32-bit devices{which}",
                human(demands.size),
                demands.size
            ),
        });
    }
    out
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

    #[test]
    fn what_clients_cannot_read() {
        let codes = |client, bits, compression, size| {
            let found = unreadable(version(client), bits, Demands { compression, size });
            let code = |finding: &ArtifactFinding| (finding.code, finding.severity);
            found.iter().map(code).collect::<Vec<_>>()
        };
        let zstd = [("client-compression", Severity::Error)];
        assert_eq!(codes("3.4.0", None, Compression::Zstd, 1), zstd);
        assert_eq!(codes("3.5.0", None, Compression::Zstd, 1), []);
        assert_eq!(codes("3.4.0", None, Compression::Xz, 1), []);
        let large = |bits| codes("4.0.4", bits, Compression::Gzip, 4 * GIB);
        assert_eq!(large(Some(true)), [("client-size", Severity::Error)]);
        assert_eq!(large(None), [("client-size", Severity::Warning)]);
        assert_eq!(large(Some(false)), []);
        assert_eq!(codes("4.1", Some(true), Compression::Gzip, 5 * GIB), []);
        assert_eq!(codes("4.0", Some(true), Compression::Gzip, 4 * GIB - 1), []);
    }
}
