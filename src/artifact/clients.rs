//! What versions of the update client cannot read.

use super::read::{Artifact, ArtifactFinding, Severity};
use crate::bundle::{ClientVersion, of_client};
use crate::stream::Compression;
use crate::units::human;

/// The code of a payload that is too large for a client.
pub const TOO_LARGE: &str = "client-size";

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
    let Some(bundle) = of_client(client) else {
        return out;
    };
    let reads = &bundle.artifact;
    let compression = demands.compression.name();
    if !reads.compression.iter().any(|known| known == compression) {
        let below = bundle.client.below;
        out.push(ArtifactFinding {
            severity: Severity::Error,
            code: "client-compression",
            text: format!(
                "it is compressed with {compression}, which clients read from {below} on, not {client}"
            ),
        });
    }
    let limit = reads.size_limit_32_bit;
    if limit.is_some_and(|limit| demands.size >= limit) && is_32_bit != Some(false) {
        let (severity, which) = match is_32_bit {
            Some(_) => (Severity::Error, ""),
            None => (Severity::Warning, ", if the device is one"),
        };
        out.push(ArtifactFinding {
            severity,
            code: TOO_LARGE,
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
    use crate::units::GIB;

    fn version(text: &str) -> ClientVersion {
        text.parse().unwrap()
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
