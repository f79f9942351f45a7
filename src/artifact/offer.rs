//! What devices hold against an Artifact before they install it.

use super::clients::Demands;
use super::read::{Artifact, Signature};
use super::sign::Verifier;
use std::collections::BTreeMap;

/// The properties of an Artifact that decide whether a device installs it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The name of the release.
    pub name: String,
    /// What it demands of the client.
    pub demands: Demands,
    /// Names of releases one of which must be installed; empty for any.
    pub depends_names: Vec<String>,
    /// What devices must provide.
    pub depends: BTreeMap<String, String>,
    /// Its signature.
    pub signed: Signed,
    /// SHA-256 of its payload, if it is known.
    pub payload_sha256: Option<[u8; 32]>,
}

/// What is known of the signature of an Artifact.
#[derive(Clone, Debug)]
pub enum Signed {
    /// There is none.
    No,
    /// It will be made with the private half of this key.
    By(Verifier),
    /// It is there.
    With(Signature),
}

impl Signed {
    /// Whether a device that has `key` accepts it.
    #[must_use]
    pub fn is_of(&self, key: &Verifier) -> bool {
        match self {
            Self::No => false,
            Self::By(own) => own == key,
            Self::With(signature) => signature.is_of(key),
        }
    }
}

impl Offer {
    /// That of a written Artifact.
    #[must_use]
    pub fn of(artifact: &Artifact) -> Self {
        let signature = artifact.signature.clone();
        Self {
            name: artifact.name.clone(),
            demands: artifact.demands(),
            depends_names: artifact.depends_names.clone(),
            depends: artifact.depends.clone(),
            signed: signature.map_or(Signed::No, Signed::With),
            payload_sha256: artifact.files.first().and_then(|file| file.sha256),
        }
    }
}
