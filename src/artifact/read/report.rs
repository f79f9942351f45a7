//! The report on an Artifact: its content and its faults.

use super::super::sign::Verifier;
use crate::stream::Compression;
use std::collections::BTreeMap;
use std::fmt;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Devices install it, but some tool refuses it, or something could not be checked.
    Warning,
    /// At least one of the update clients (3.4 and later) refuses it.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One fault of an Artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFinding {
    /// Whether devices refuse the Artifact.
    pub severity: Severity,
    /// A name for this kind of finding that stays the same, such as `checksum-payload`.
    pub code: &'static str,
    /// The fault: a lower-case fact, without a final period.
    pub text: String,
}

/// A file of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its name, without a directory.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 according to the manifest.
    pub sha256: Option<[u8; 32]>,
}

/// A signature of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its length in bytes, decoded.
    pub len: usize,
    /// The kind of key that it was verified with; `None` if it was not verified or is wrong.
    pub verified: Option<String>,
    /// The signature, decoded.
    pub(super) bytes: Vec<u8>,
    /// What it signs.
    pub(super) manifest: Vec<u8>,
}

impl Signature {
    /// Whether it was made with the private half of `key`.
    #[must_use]
    pub fn is_of(&self, key: &Verifier) -> bool {
        key.accepts(&self.manifest, &self.bytes)
    }
}

/// The content of an Artifact; fields that were not reached are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artifact {
    /// The version of the format.
    pub version: Option<u64>,
    /// The name of the release.
    pub name: String,
    /// The group that it puts a device into.
    pub group: Option<String>,
    /// The device types that it is for.
    pub device_types: Vec<String>,
    /// Names of Artifacts one of which must be installed.
    pub depends_names: Vec<String>,
    /// Groups one of which the device must be in.
    pub depends_groups: Vec<String>,
    /// The type of the payload; `None` for none.
    pub payload_type: Option<String>,
    /// The key-value pairs that a device provides after the update.
    pub provides: BTreeMap<String, String>,
    /// The key-value pairs that it must provide before.
    pub depends: BTreeMap<String, String>,
    /// Patterns of provides that are removed; `None`: all, when the Artifact provides anything.
    pub clears: Option<Vec<String>>,
    /// Names of state scripts.
    pub scripts: Vec<String>,
    /// The files of the payload.
    pub files: Vec<PayloadFile>,
    /// The compression of the header.
    pub compression: Compression,
    /// The compression of the data.
    pub data_compression: Compression,
    /// The signature, if there is one.
    pub signature: Option<Signature>,
}

/// An Artifact and its faults.
#[derive(Clone, Debug, Default)]
pub struct ArtifactReport {
    /// What could be read of the Artifact.
    pub artifact: Artifact,
    /// The faults in the order of reading; at most a hundred.
    pub findings: Vec<ArtifactFinding>,
    /// False if reading had to stop early.
    pub complete: bool,
}

impl ArtifactReport {
    /// True when there is no error among the findings.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }
}
