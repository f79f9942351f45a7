//! How files of a repository are reached: a trait, so that tests can misbehave and builds can do
//! without a network.

use std::fmt;
use std::io::{self, Read};

/// One reply.
pub struct Response {
    /// Bytes that `body` should deliver, if the sender says so.
    pub length: Option<u64>,
    /// Offset of the first byte of `body` in the file (bytes): as asked for, or 0 if the sender
    /// cannot start later.
    pub offset: u64,
    /// The bytes. Ends at the limit of [`Transport::get`]. A connection that breaks is an error,
    /// not an end.
    pub body: Box<dyn Read + Send>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("length", &self.length)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Reads files by their URL.
pub trait Transport: Send + Sync {
    /// The file at `url` from offset `from` (bytes) on. The body ends before offset `limit` of the
    /// file, however much is sent.
    ///
    /// # Errors
    /// [`TransportError`]; attempts that may succeed when repeated have been repeated.
    fn get(&self, url: &str, from: u64, limit: u64) -> Result<Response, TransportError>;
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The sender has no such file.
    #[error("{url}: not found{}", http_status(*.code))]
    NotFound {
        /// The URL as it was asked for.
        url: String,
        /// HTTP status: 404 or 410; `None` for a file of this host.
        code: Option<u16>,
    },
    /// The file has no byte at the offset that was asked for (HTTP status 416).
    #[error("{url}: the server has no bytes from offset {from} on")]
    NoSuchRange {
        /// The URL as it was asked for.
        url: String,
        /// The offset (bytes).
        from: u64,
    },
    /// Another HTTP status than success.
    #[error("{url}: the server replied with HTTP status {code}{}", tried(*.attempts))]
    Status {
        /// The URL as it was asked for.
        url: String,
        /// HTTP status.
        code: u16,
        /// Number of attempts.
        attempts: u32,
    },
    /// No connection, or one that broke before there was a reply.
    #[error("{url}: {reason}{}", tried(*.attempts))]
    Unreachable {
        /// The URL as it was asked for.
        url: String,
        /// A lower-case fact without a final period.
        reason: String,
        /// Number of attempts.
        attempts: u32,
    },
    /// A redirection that is not followed.
    #[error("{url}: {reason}")]
    Redirect {
        /// The URL as it was asked for.
        url: String,
        /// A lower-case fact without a final period, with the other URL.
        reason: String,
    },
    /// A URL of a kind that cannot be read.
    #[error("{url}: {reason}")]
    Unsupported {
        /// The URL as it was asked for.
        url: String,
        /// A lower-case fact without a final period.
        reason: String,
    },
    /// I/O errors of files of this host.
    #[error("{url}: {error}")]
    Io {
        /// The URL as it was asked for.
        url: String,
        /// The error.
        error: io::Error,
    },
}

impl TransportError {
    /// Advice, as an imperative without a final period.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "check the network and the URL; a proxy is taken from http_proxy, https_proxy and \
                 no_proxy",
            ),
            Self::Status { code, .. } if *code >= 500 => {
                Some("try again later, or use another mirror")
            }
            Self::Status {
                code: 401 | 403 | 407,
                ..
            } => Some("check that this URL may be read from here, and the proxy"),
            Self::Redirect { .. } => Some("use the URL that the files really have"),
            _ => None,
        }
    }
}

fn http_status(code: Option<u16>) -> String {
    code.map(|code| format!(" (HTTP status {code})"))
        .unwrap_or_default()
}

fn tried(count: u32) -> String {
    if count > 1 {
        format!(" ({count} attempts)")
    } else {
        String::new()
    }
}

/// `base` and `path` as one URL. Bytes of `path` that have another meaning in a URL are written as
/// `%` and two digits (RFC 3986, section 2.1).
pub(super) fn join(base: &str, path: &str) -> String {
    let mut out = base.trim_end_matches('/').to_owned();
    out.push('/');
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+:=@!$&'()*,;".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_urls() {
        assert_eq!(
            join("http://a/debian/", "pool/main/g/g++_1%3a2~3.deb"),
            "http://a/debian/pool/main/g/g++_1%253a2~3.deb"
        );
        assert_eq!(join("file:///m", "a b?c#d"), "file:///m/a%20b%3Fc%23d");
    }
}
