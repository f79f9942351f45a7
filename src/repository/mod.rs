//! Debian package repositories: their metadata, verified, and a cache of packages.
//!
//! ```text
//! URL/dists/SUITE/InRelease            clear-signed: dates, and size and digest of each index
//! URL/dists/SUITE/Release[.gpg]        the same as two files
//! URL/dists/SUITE/COMPONENT/binary-ARCHITECTURE/Packages[.xz|.zst|.gz]
//!                                      a paragraph per package: relations, file, size, digest
//! URL/pool/...                         the packages
//! ```
//!
//! The chain of trust is: key, signature of `InRelease`, digest of `Packages`, digest of the
//! package. Nothing is used before its link has been checked. The format is that of
//! <https://wiki.debian.org/DebianRepository/Format> and `apt-secure(8)`.
//!
//! This room reads no clock: the time of now is a parameter. It reaches the network through
//! [`Transport`] alone, and has an implementation for it only with the cargo feature `network`.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod cache;
mod client;
mod date;
mod fingerprint;
#[cfg(feature = "network")]
mod host_names;
#[cfg(feature = "network")]
mod http;
mod index;
mod local;
mod metadata;
mod openpgp;
mod options;
#[cfg(feature = "network")]
mod proxy;
mod release;
mod signature;
mod sources;
mod transport;

pub use cache::{
    Download, FetchError, FetchProblem, FetchSummary, PackageCache, default_cache_dir,
};
pub use client::Client;
pub use date::utc;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use index::{IndexError, IndexPackage, RelationField, read_packages};
pub use local::LocalFiles;
pub use metadata::{Index, MetadataError, ReleaseFacts, Repository, fetch_index};
pub use openpgp::{KeyError, Keyring, Verified};
pub use options::ClientOptions;
pub use release::{Checksum, DateError, ListedFile, Release, ReleaseError};
pub use signature::{Rejection, SignatureError};
pub use sources::{AptSource, Complaint, SignedBy, apt_sources};
pub use transport::{Response, Transport, TransportError};
