//! Mender Artifacts, format version 3: the file that a device updates itself from. Specification:
//! `mender-artifact`, `Documentation/artifact-format-v3.md`.
//!
//! ```text
//! version                       {"format":"mender","version":3}
//! manifest                      a SHA-256 for each file of the Artifact
//! manifest.sig                  the manifest's signature, if it is signed
//! header.tar<suffix>            header-info           what it is called, which devices it is for
//!                               scripts/<name>        state scripts
//!                               headers/0000/type-info
//!                               headers/0000/meta-data
//! data/0000.tar<suffix>         the filesystem image under its name
//! ```
//!
//! # Writing in one pass
//! The manifest stands in front of the image and holds its checksum. So that the image need not be
//! read twice, everything in front of it has a length that is known beforehand:
//! [`Draft::data_offset`] says where the compressed image begins, and [`Draft::finish`] makes the
//! bytes in front of and behind it once checksum and length are known. The header is stored, not
//! compressed, in the container of its codec ([`crate::stream::Codec::stored`]), because the length
//! of compressed text would hang on the digits of the checksum.
//!
//! # Reading
//! [`show`] and [`validate`] read the Artifacts of any writer, forwards, in bounded memory, and
//! report what clients or tools would refuse.

mod header;
mod manifest;
mod names;
mod read;
mod sign;
mod tar;
mod write;

pub use names::{InvalidName, visible};
pub use read::{
    Artifact, ArtifactFinding, ArtifactReport, HashedPayload, PayloadFile, Severity, Signature,
    show, validate, validate_hashed,
};
pub use sign::{KeyError, KeyFile, Signer, Verifier};
pub use write::{Draft, Envelope, WriteError, bootstrap, write};

use crate::stream::Codec;
use std::collections::BTreeMap;

/// The type of a payload that replaces the root filesystem.
pub const ROOTFS: &str = "rootfs-image";

/// What an Artifact says about itself. Everything but [`Meta::name`] and [`Meta::device_types`] may
/// stay at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The name of the release; a device knows by it what it runs.
    pub name: String,
    /// The group that the Artifact puts a device into.
    pub group: Option<String>,
    /// The device types that it may be installed on; at least one.
    pub device_types: Vec<String>,
    /// Names of Artifacts one of which must be installed; empty: any.
    pub depends_names: Vec<String>,
    /// Groups one of which the device must be in; empty: any.
    pub depends_groups: Vec<String>,
    /// What the device provides after the update, beside the defaults; wins over them.
    pub provides: BTreeMap<String, String>,
    /// What the device must provide before the update.
    pub depends: BTreeMap<String, String>,
    /// Patterns of provides (`*` matches anything) that the update removes, beside the defaults.
    /// When there are none at all the key is left out, as the reference does, and clients then
    /// clear everything.
    pub clears: Vec<String>,
    /// Under which keys the version of the software is provided.
    pub software: SoftwareVersion,
    /// Under which key the checksum of the image is provided.
    pub checksum: ChecksumKey,
    /// Leaves out the patterns that are cleared by default.
    pub no_default_clears: bool,
    /// State scripts; their order does not matter.
    pub scripts: Vec<StateScript>,
    /// The name of the image within the Artifact, such as `rootfs.ext4`.
    pub payload_name: String,
    /// How image and header are packed.
    pub codec: Codec,
    /// The time of all members, in seconds since 1970.
    pub time: u64,
}

/// How the key `<filesystem>[.<name>].version` is made, which tells the version of the software,
/// and the pattern that clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftwareVersion {
    /// `rootfs-image` when not set.
    pub filesystem: Option<String>,
    /// No part of the key when not set.
    pub name: Option<String>,
    /// The name of the Artifact when not set.
    pub version: Option<String>,
    /// Writes no version unless it is set, and clears nothing by default.
    pub no_default_version: bool,
}

/// The key under which the checksum of the image is provided; delta updates need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumKey {
    /// `rootfs-image.checksum`.
    #[default]
    Modern,
    /// `rootfs_image_checksum`, as clients before 2.5 knew it.
    Legacy,
    /// No key.
    Omitted,
}

/// A program that the client runs at a state of the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateScript {
    /// `<State>_<Action>_<NN>[_<text>]`, such as `ArtifactInstall_Enter_05_stop-services`.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}
