//! Limits and proxies of a client.

use std::time::Duration;

/// Limits of a [`Client`](super::Client), and its proxies.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Time for a connection, with the look-up of the name and TLS.
    pub connect: Duration,
    /// Time from the request to the head of the reply.
    pub response: Duration,
    /// Time without a single byte of a reply.
    pub stall: Duration,
    /// Number of attempts for a request that fails in a way that may pass.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each further one.
    pub pause: Duration,
    /// Longest wait that a server may ask for by `Retry-After`.
    pub max_pause: Duration,
    /// Number of redirections of one request that are followed.
    pub redirects: u32,
    /// `http_proxy`, `https_proxy` and `no_proxy`, as curl(1) describes them.
    pub http_proxy: Option<String>,
    /// Proxy for `https:` URLs.
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// A file of certificates in PEM form that servers are checked with, instead of the host's.
    pub certificates: Option<std::path::PathBuf>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            response: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            attempts: 3,
            pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(60),
            redirects: 5,
            http_proxy: None,
            https_proxy: None,
            no_proxy: None,
            certificates: None,
        }
    }
}

impl ClientOptions {
    /// The default limits with the proxies of an environment: `http_proxy`, `https_proxy`,
    /// `all_proxy` and `no_proxy`, the names in lower case before those in upper case, and
    /// `SSL_CERT_FILE`. `variable` returns the value of a variable.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
            set(name).or_else(|| set(&name.to_ascii_uppercase()))
        };
        let proxy = |name| value(name).or_else(|| value("all_proxy"));
        Self {
            http_proxy: proxy("http_proxy"),
            https_proxy: proxy("https_proxy"),
            no_proxy: value("no_proxy"),
            certificates: variable("SSL_CERT_FILE").map(Into::into),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_an_environment() {
        let environment = [
            ("HTTP_PROXY", "http://upper"),
            ("http_proxy", "http://lower"),
            ("ALL_PROXY", "http://all"),
            ("NO_PROXY", "localhost"),
            ("no_proxy", " "),
        ];
        let options = ClientOptions::from_environment(|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(options.http_proxy.as_deref(), Some("http://lower"));
        assert_eq!(options.https_proxy.as_deref(), Some("http://all"));
        assert_eq!(options.no_proxy.as_deref(), Some("localhost"));
    }
}
