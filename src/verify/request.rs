//! The input of a verification besides the image.

use crate::artifact::{ArtifactReport, Verifier};
use crate::keyfile::PrivateKey;
use crate::stream::{Known, Source};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;

/// What an image is compared with besides itself.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The Artifact of the same release.
    pub artifact: Option<Source>,
    /// The key that must have signed the Artifact.
    pub key: Option<&'a Verifier>,
    /// The record (JSON) of an earlier release, whose devices must be able to install the Artifact.
    pub earlier_record: Option<&'a Value>,
    /// The record (JSON) of the conversion that made the image.
    pub record: Option<&'a Value>,
    /// The report on an Artifact that was validated already; `artifact` and `key` are ignored then.
    pub artifact_report: Option<&'a ArtifactReport>,
    /// The offsets (bytes) of two partitions that are known to have the same content: they are not
    /// compared then.
    pub identical_slots: Option<[u64; 2]>,
    /// SHA-256 of the filesystem in slot A if it is known: the filesystem is not hashed then.
    pub root_sha256: Option<[u8; 32]>,
    /// The offset (bytes) of the data partition of an image that was judged before, but for the
    /// bootstrap Artifact in that partition: of everything else nothing is judged again.
    pub judged_except_bootstrap: Option<u64>,
    /// The SHA-256 of the files with private keys that the golden image has, if it is known: others
    /// are errors then.
    pub golden_keys: Option<BTreeSet<[u8; 32]>>,
    /// Files that were searched for private keys while other images were verified.
    pub searched: Option<&'a SearchedFiles>,
}

/// The private keys that files hold, by where their bytes come from.
pub type SearchedFiles = Known<Option<PrivateKey>>;

/// Waits for the report on the Artifact; `None` without an Artifact.
pub(super) type PendingReport<'a> = Box<dyn FnOnce() -> Option<io::Result<ArtifactReport>> + 'a>;
