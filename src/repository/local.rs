//! Files of this host: `file:` URLs and plain absolute paths, for mirrors without a network.

use super::transport::{Response, Transport, TransportError};
use crate::input_file;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// Reads `file:` URLs and absolute paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFiles;

impl Transport for LocalFiles {
    fn get(&self, url: &str, from: u64, limit: u64) -> Result<Response, TransportError> {
        let path = path(url).ok_or_else(|| TransportError::Unsupported {
            url: url.to_owned(),
            reason: "neither a `file:` URL nor an absolute path".to_owned(),
        })?;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => TransportError::NotFound {
                url: url.to_owned(),
                code: None,
            },
            _ => TransportError::Io {
                url: url.to_owned(),
                error,
            },
        };
        let mut file = input_file::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if from > length {
            return Err(TransportError::NoSuchRange {
                url: url.to_owned(),
                from,
            });
        }
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        Ok(Response {
            length: length.checked_sub(from),
            offset: from,
            body: Box::new(file.take(limit.saturating_sub(from))),
        })
    }
}

/// Whether `url` is one of a file of this host.
pub(super) fn is_local(url: &str) -> bool {
    path(url).is_some()
}

/// The path that a `file:` URL (RFC 8089, also with `localhost`) or an absolute path names.
fn path(url: &str) -> Option<PathBuf> {
    if url.starts_with('/') {
        // `join` has encoded what it appended, so an absolute path is decoded as a URL is.
        return Some(decoded(url));
    }
    let rest = url.strip_prefix("file:")?;
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    path.starts_with('/').then(|| decoded(path))
}

fn decoded(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = (*first == b'%')
            .then(|| tail.split_at_checked(2))
            .flatten()
            .and_then(|(digits, tail)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, tail))
            });
        match escaped {
            Some((byte, tail)) => {
                out.push(byte);
                rest = tail;
            }
            None => out.push(*first),
        }
    }
    std::ffi::OsString::from_vec(out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_urls() {
        for (url, expected) in [
            ("file:///a%20b/c%2", Some("/a b/c%2")),
            ("file:/a", Some("/a")),
            ("file://localhost/a", Some("/a")),
            ("/a%25b", Some("/a%b")),
            ("file://host/a", None),
            ("http://a/b", None),
            ("a/b", None),
        ] {
            assert_eq!(path(url), expected.map(PathBuf::from), "{url}");
        }
    }
}
