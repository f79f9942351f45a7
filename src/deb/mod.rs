//! Debian binary packages: the archive, control paragraphs, versions and relations.
//!
//! ```text
//! .deb = ar archive          deb(5)
//!   debian-binary            "2.0\n"
//!   control.tar[.gz|.xz|.zst]   control, md5sums, conffiles, maintainer scripts, ...
//!   data.tar[.gz|.xz|.zst]      the files, with names relative to the root
//! ```
//!
//! This room knows the formats and no policy: what a package means for an image is decided in
//! [`dpkg`](crate::dpkg).

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod ar;
mod archive;
mod error;
mod facts;
mod md5;
mod paragraph;
mod relation;
mod version;

pub use archive::{ControlFile, DataEntry, DataEntryKind, DebLimits, Package};
pub use error::DebError;
pub use facts::{MultiArch, PackageFacts};
pub(crate) use md5::Md5;
pub use paragraph::{Paragraph, ParagraphError, stanzas};
pub use relation::{Relation, RelationError, Relations, VersionOperator};
pub use version::{Version, VersionError};
