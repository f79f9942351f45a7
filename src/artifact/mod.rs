//! Mender Artifacts, format version 3: the file that a device updates itself from. Specification:
//! `mender-artifact`, `Documentation/artifact-format-v3.md`.
//!
//! ```text
//! version                       {"format":"mender","version":3}
//! manifest                      a SHA-256 for each file of the Artifact
//! manifest.sig                  the manifest's signature, if it is signed
//! header.tar<suffix>            header-info           its name, its device types
//!                               scripts/<name>        state scripts
//!                               headers/0000/type-info
//!                               headers/0000/meta-data
//! data/0000.tar<suffix>         the filesystem image under its name
//! ```
//!
//! # Writing in one pass
//! The manifest precedes the image and contains its checksum. To read the image only once, the
//! length of everything before it is known in advance: [`Draft::data_offset`] is the offset of the
//! compressed image, and [`Draft::finish`] makes the bytes before and after it once checksum and
//! length are known. The header is stored, not compressed, in the container of its codec
//! ([`crate::stream::Codec::stored_frame`]), because the length of compressed text would depend on
//! the digits of the checksum.
//!
//! # Reading
//! [`show`] and [`validate`] read the Artifacts of any writer, forwards, in bounded memory, and
//! report what clients or tools would refuse.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
// Tests may panic.
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing
    )
)]

mod clients;
mod header;
mod manifest;
mod meta;
mod names;
mod offer;
mod read;
mod sign;
mod tar;
mod write;

pub use self::tar::archive as tar_of;
pub use crate::bundle::ClientVersion;
pub use clients::{Demands, TOO_LARGE, unreadable};
pub use meta::{ChecksumKey, Meta, ROOTFS, SoftwareVersion, StateScript};
pub use names::{InvalidName, visible};
pub use offer::{Offer, Signed};
pub use read::{
    Artifact, ArtifactFinding, ArtifactReport, HashedPayload, PayloadFile, Severity, Signature,
    show, unpack, validate, validate_hashed,
};
pub use sign::{KeyError, KeyFile, Signer, Verifier};
pub use write::{Draft, Envelope, WriteError, bootstrap, write};
