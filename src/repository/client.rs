//! The transport for all URLs that goldsmith reads.

#[cfg(feature = "network")]
use super::http::Http;
use super::local::{LocalFiles, is_local};
use super::options::ClientOptions;
use super::transport::{Response, Transport, TransportError};

/// Reads `http:`, `https:` and `file:` URLs and absolute paths. In a build without the cargo
/// feature `network`, only the latter two.
#[derive(Debug)]
pub struct Client {
    local: LocalFiles,
    #[cfg(feature = "network")]
    http: Http,
}

impl Client {
    /// A client with these limits. Nothing is connected yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        #[cfg(not(feature = "network"))]
        drop(options);
        Self {
            local: LocalFiles,
            #[cfg(feature = "network")]
            http: Http::new(options),
        }
    }
}

impl Transport for Client {
    fn get(&self, url: &str, from: u64, limit: u64) -> Result<Response, TransportError> {
        if is_local(url) {
            return self.local.get(url, from, limit);
        }
        #[cfg(feature = "network")]
        if ["http:", "https:"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return self.http.get(url, from, limit);
        }
        Err(TransportError::Unsupported {
            url: url.to_owned(),
            reason: if cfg!(feature = "network") {
                "URLs of this kind are not supported; `http:`, `https:` and `file:` are".to_owned()
            } else {
                "this build of goldsmith has no network; `file:` URLs are supported".to_owned()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_urls() {
        let client = Client::new(ClientOptions::default());
        let message = client.get("ftp://a/b", 0, 1).unwrap_err().to_string();
        assert!(message.starts_with("ftp://a/b: "), "{message}");
    }
}
