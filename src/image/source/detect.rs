//! Input formats by their first bytes.

use super::{Error, Form};
use crate::image::probe::{self, Format};

/// Number of bytes at the start of the input that decide its format.
pub(super) const HEAD: usize = probe::FORMAT_HEAD;

/// The format of an input that begins with `head`; raw if nothing else is recognised.
pub(super) fn form(head: &[u8]) -> Result<Form, Error> {
    Ok(match probe::format(head) {
        None => Form::Raw,
        Some(Format::Gzip) => Form::Gzip,
        Some(Format::Xz) => Form::Xz,
        Some(Format::Zstd) => Form::Zstd,
        Some(Format::Bzip2) => Form::Bzip2,
        Some(Format::Zip) => Form::Zip {
            member: String::new(),
        },
        Some(Format::Qcow2) => Form::Qcow2,
        Some(Format::AndroidSparse) => Form::AndroidSparse,
        Some(Format::Other(name)) => return Err(Error::Unsupported(name.to_owned())),
    })
}
