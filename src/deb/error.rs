//! Why a package cannot be read.

use super::paragraph::ParagraphError;
use std::io;

/// Why a package could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The archive violates its format.
    #[error("{0}")]
    Corrupt(String),
    /// The archive uses a feature that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// More than any real package holds; see [`DebLimits`](super::DebLimits).
    #[error("{what} exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// The archive or member, as messages call it.
        what: String,
        /// The largest accepted number of `unit`.
        limit: u64,
        /// `bytes` or `entries`, the unit of `limit`.
        unit: &'static str,
    },
    /// The file `control` is not a control paragraph.
    #[error("control: {0}")]
    Control(#[from] ParagraphError),
    /// I/O errors of the source and of decompressors, and what was read.
    #[error("reading {0}: {1}")]
    Io(&'static str, io::Error),
}
