//! Input formats by their first bytes.

use super::{InputFormat, SourceError};
use crate::image::probe::{self, Format};

/// Number of bytes at the start of the input that decide its format.
pub(super) const HEAD: usize = probe::FORMAT_HEAD;

/// The format of an input that begins with `head`; raw if nothing else is recognised.
pub(super) fn form(head: &[u8]) -> Result<InputFormat, SourceError> {
    Ok(match probe::format(head) {
        None => InputFormat::Raw,
        Some(Format::Gzip) => InputFormat::Gzip,
        Some(Format::Xz) => InputFormat::Xz,
        Some(Format::Zstd) => InputFormat::Zstd,
        Some(Format::Bzip2) => InputFormat::Bzip2,
        Some(Format::Zip) => InputFormat::Zip {
            member: String::new(),
        },
        Some(Format::Qcow2) => InputFormat::Qcow2,
        Some(Format::AndroidSparse) => InputFormat::AndroidSparse,
        Some(Format::Other(other)) => {
            return Err(SourceError::Unsupported {
                name: other.name,
                command: other.command.to_owned(),
            });
        }
    })
}
