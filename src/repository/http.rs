//! HTTP by `ureq`, with TLS by rustls.
//!
//! Servers are checked with the host's certificates, where there is a file of them at one of the
//! usual places, else with those of the crate `webpki-roots`. The authenticity of packages does not
//! depend on TLS: they are signed.

use super::host_names::HostNames;
use super::options::ClientOptions;
use super::proxy::{ProxyResolver, ThroughProxy, choose};
use super::transport::{Response, Transport, TransportError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;
use ureq::http::{Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{Connector as _, DefaultConnector, TcpConnector};
use ureq::{Agent, Body, Proxy};

const USER_AGENT: &str = concat!("goldsmith/", env!("CARGO_PKG_VERSION"));
/// Files of certificates: Debian, Fedora, openSUSE, Alpine and macOS.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads `http:` and `https:` URLs.
pub(super) struct Http {
    options: ClientOptions,
    roots: OnceLock<Result<RootCerts, String>>,
    /// For all but plain HTTP through a proxy.
    direct: OnceLock<Agent>,
    /// For plain HTTP through the proxy of the options.
    through_proxy: OnceLock<Result<Agent, String>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// What one request came to.
enum Outcome {
    Response(Response),
    /// To be followed: the value of `Location`.
    Redirect(String),
    /// May succeed when repeated, after this wait if the server asks for one.
    Passing(TransportError, Option<Duration>),
    Failed(TransportError),
}

impl Transport for Http {
    fn get(&self, url: &str, from: u64, limit: u64) -> Result<Response, TransportError> {
        let mut attempt = 1_u32;
        let mut pause = self.options.pause;
        let mut redirects = 0_u32;
        let mut at = url.to_owned();
        loop {
            match self.request(url, &at, from, limit, attempt) {
                Outcome::Response(response) => return Ok(response),
                Outcome::Failed(error) => return Err(error),
                Outcome::Passing(error, asked) => {
                    let asked = asked.unwrap_or_default();
                    if attempt >= self.options.attempts || asked > self.options.max_pause {
                        return Err(error);
                    }
                    sleep(pause.max(asked));
                    pause = pause.saturating_mul(2);
                    attempt = attempt.saturating_add(1);
                    // From the start: redirections may lead to another mirror.
                    (at, redirects) = (url.to_owned(), 0);
                }
                Outcome::Redirect(location) => {
                    let refused = |reason| TransportError::Redirect {
                        url: url.to_owned(),
                        reason,
                    };
                    redirects = redirects.saturating_add(1);
                    if redirects > self.options.redirects {
                        return Err(refused(format!(
                            "more than {} redirections, the last one to {location}",
                            self.options.redirects
                        )));
                    }
                    at = redirected(&at, &location).map_err(refused)?;
                }
            }
        }
    }
}

/// The URL that `location`, absolute or relative, leads to from `at`. Never from `https:` to
/// `http:`, and never to other kinds of URLs.
fn redirected(at: &str, location: &str) -> Result<String, String> {
    let refused = |why: &str| {
        Err(format!(
            "the redirection to {location} is not followed: {why}"
        ))
    };
    let Some((scheme, rest)) = at.split_once("://") else {
        return refused("it comes from a URL without a host");
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let location = location.split('#').next().unwrap_or_default();
    let lower = location.to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Ok(location.to_owned());
    }
    if lower.starts_with("http://") {
        return match scheme {
            "http" => Ok(location.to_owned()),
            _ => refused("it leads from https to http"),
        };
    }
    if let Some(rest) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return Ok(format!("{scheme}://{host}{}", without_dots(location)));
    }
    let path = rest.split('?').next().unwrap_or_default();
    if location.starts_with('?') {
        return Ok(format!("{scheme}://{path}{location}"));
    }
    if location.is_empty() || location.split('/').next().unwrap_or_default().contains(':') {
        return refused("it is not one to http or https");
    }
    let path = path.strip_prefix(host).unwrap_or_default();
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = without_dots(&format!("{directory}/{location}"));
    Ok(format!("{scheme}://{host}{path}"))
}

/// An absolute path without its segments `.` and `..` (RFC 3986, section 5.2.4); a query stays.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                if segments.peek().is_none() {
                    out.push("");
                }
            }
            other => out.push(other),
        }
    }
    format!("/{}{query}", out.join("/"))
}

impl Http {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self {
            options,
            roots: OnceLock::new(),
            direct: OnceLock::new(),
            through_proxy: OnceLock::new(),
        }
    }

    /// One request for `at`, to which redirections from `url` have led.
    fn request(&self, url: &str, at: &str, from: u64, limit: u64, attempts: u32) -> Outcome {
        let owned = || url.to_owned();
        let unusable = |reason: String| {
            Outcome::Failed(TransportError::Unsupported {
                url: owned(),
                reason,
            })
        };
        let uri: Uri = match at.parse() {
            Ok(uri) => uri,
            Err(e) => return unusable(format!("not a URL: {e}")),
        };
        let reply = match self.send(&uri, from) {
            Ok(reply) => reply,
            Err(SendError::Setup(reason)) => return unusable(reason),
            Err(SendError::Http(error)) => return failed(url, error, attempts),
        };
        let head = |name| {
            let value = reply.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let code = reply.status().as_u16();
        let status = TransportError::Status {
            url: owned(),
            code,
            attempts,
        };
        match code {
            200 | 206 => {}
            301 | 302 | 303 | 307 | 308 => {
                return match head(header::LOCATION) {
                    Some(location) => Outcome::Redirect(location),
                    None => Outcome::Failed(status),
                };
            }
            404 | 410 => {
                return Outcome::Failed(TransportError::NotFound {
                    url: owned(),
                    code: Some(code),
                });
            }
            416 => return Outcome::Failed(TransportError::NoSuchRange { url: owned(), from }),
            408 | 429 | 500..=599 => {
                let seconds = head(header::RETRY_AFTER).and_then(|text| text.trim().parse().ok());
                return Outcome::Passing(status, seconds.map(Duration::from_secs));
            }
            _ => return Outcome::Failed(status),
        }
        let offset = match code {
            206 => head(header::CONTENT_RANGE).and_then(|range| first_byte(&range)),
            _ => Some(0),
        };
        match offset {
            Some(offset) if offset == from || offset == 0 => Outcome::Response(Response {
                length: head(header::CONTENT_LENGTH).and_then(|text| text.trim().parse().ok()),
                offset,
                body: Box::new(
                    reply
                        .into_body()
                        .into_reader()
                        .take(limit.saturating_sub(offset)),
                ),
            }),
            _ => unusable(format!(
                "the server was asked for bytes from offset {from} on and sends others"
            )),
        }
    }

    fn send(&self, uri: &Uri, from: u64) -> Result<ureq::http::Response<Body>, SendError> {
        let plain = uri.scheme_str() == Some("http");
        let options = &self.options;
        let listed = if plain {
            &options.http_proxy
        } else {
            &options.https_proxy
        };
        let proxy = choose(listed.as_deref(), options.no_proxy.as_deref(), uri);
        let proxy = proxy
            .map(|text| read_proxy(text).map_err(SendError::Setup))
            .transpose()?;
        let mut request = None;
        if plain && let Some(proxy) = &proxy {
            let agent = self
                .through_proxy
                .get_or_init(|| Ok(self.agent_through(proxy)));
            let agent = agent.as_ref().map_err(|e| SendError::Setup(e.clone()))?;
            let mut plain = agent.get(uri);
            if let Some(credentials) = credentials(proxy) {
                plain = plain.header(header::PROXY_AUTHORIZATION, credentials);
            }
            request = Some(plain);
        }
        let mut request = match request {
            Some(request) => request,
            None => {
                let agent = self.direct.get_or_init(|| self.agent());
                let config = agent.get(uri).config().proxy(proxy);
                let config = if plain {
                    config
                } else {
                    let roots = self
                        .roots
                        .get_or_init(|| roots(options.certificates.as_deref()));
                    let roots = roots.clone().map_err(SendError::Setup)?;
                    config.tls_config(TlsConfig::builder().root_certs(roots).build())
                };
                config.build()
            }
        };
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(SendError::Http)
    }

    fn config(&self) -> ureq::config::Config {
        Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_resolve(Some(self.options.connect))
            .timeout_connect(Some(self.options.connect))
            .timeout_send_request(Some(self.options.response))
            .timeout_recv_response(Some(self.options.response))
            .timeout_per_read(Some(self.options.stall))
            .build()
    }

    fn agent(&self) -> Agent {
        let connector = DefaultConnector::default();
        Agent::with_parts(self.config(), connector, HostNames::default())
    }

    fn agent_through(&self, proxy: &Proxy) -> Agent {
        let connector = ().chain(TcpConnector::default()).chain(ThroughProxy);
        let resolver = ProxyResolver {
            proxy: proxy.uri().clone(),
            inner: HostNames::default(),
        };
        Agent::with_parts(self.config(), connector, resolver)
    }
}

enum SendError {
    Setup(String),
    Http(ureq::Error),
}

/// The value of `Proxy-Authorization` (RFC 7617).
fn credentials(proxy: &Proxy) -> Option<String> {
    let name = proxy.username()?;
    let text = format!("{name}:{}", proxy.password().unwrap_or_default());
    Some(format!("Basic {}", STANDARD.encode(text)))
}

fn read_proxy(text: &str) -> Result<Proxy, String> {
    // A user name may be a secret: the value is not repeated.
    let proxy =
        Proxy::new(text.trim()).map_err(|e| format!("the proxy of the environment: {e}"))?;
    if matches!(
        proxy.protocol(),
        ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https
    ) {
        Ok(proxy)
    } else {
        Err("the proxy of the environment is of a kind that is not supported; http is".to_owned())
    }
}

/// The certificates that servers are checked with.
fn roots(file: Option<&Path>) -> Result<RootCerts, String> {
    let read = |path: &Path| -> io::Result<Vec<_>> {
        let text = std::fs::read(path)?;
        let certificates = parse_pem(&text).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        Ok(certificates.collect())
    };
    if let Some(path) = file {
        return match read(path) {
            Ok(found) if !found.is_empty() => Ok(RootCerts::from(found)),
            Ok(_) => Err(format!(
                "{} (SSL_CERT_FILE) has no certificates",
                path.display()
            )),
            Err(e) => Err(format!("{} (SSL_CERT_FILE): {e}", path.display())),
        };
    }
    let host = CERTIFICATES
        .iter()
        .filter_map(|path| read(Path::new(path)).ok());
    let found = { host }.find(|found| !found.is_empty());
    Ok(found.map_or(RootCerts::WebPki, RootCerts::from))
}

/// `FIRST` of `bytes FIRST-LAST/LENGTH` (RFC 9110, section 14.4).
fn first_byte(range: &str) -> Option<u64> {
    let range = range.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}

fn failed(url: &str, error: ureq::Error, attempts: u32) -> Outcome {
    let url = url.to_owned();
    let reason = explain(&error);
    match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::Pem(_)
        | ureq::Error::LargeResponseHeader(..) => {
            Outcome::Failed(TransportError::Unsupported { url, reason })
        }
        // Another attempt meets the same certificate.
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
            Outcome::Failed(TransportError::Unreachable {
                url,
                reason,
                attempts: 1,
            })
        }
        _ => Outcome::Passing(
            TransportError::Unreachable {
                url,
                reason,
                attempts,
            },
            None,
        ),
    }
}

fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        ureq::Error::Timeout(what) => format!("no reply in time ({what})"),
        ureq::Error::Io(e) => e.to_string(),
        ureq::Error::Rustls(e) => format!("TLS: {e}"),
        ureq::Error::ConnectProxyFailed(e) => format!("the proxy refuses to connect: {e}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections() {
        let leads = |at: &str, to: &str| redirected(at, to).ok();
        for (at, to, expected) in [
            ("http://a/b/c", "http://d/e", Some("http://d/e")),
            ("http://a/b/c", "https://d/e", Some("https://d/e")),
            ("https://a/b/c", "HTTPS://d/e#x", Some("HTTPS://d/e")),
            ("https://a/b/c", "http://a/b/c", None),
            ("https://a/b/c", "HTTP://a/b/c", None),
            ("https://a/b/c", "//d/e", Some("https://d/e")),
            ("https://a:1/b/c?x=/y", "/d", Some("https://a:1/d")),
            ("http://a/b/c?x=/y", "d?z", Some("http://a/b/d?z")),
            ("http://a", "d", Some("http://a/d")),
            ("http://a/b/c/d", "../e", Some("http://a/b/e")),
            (
                "http://a/b/c/d",
                "../../../e?x=../y",
                Some("http://a/e?x=../y"),
            ),
            ("http://a/b/c", "./", Some("http://a/b/")),
            ("http://a/b/c", "/x/./y/../z", Some("http://a/x/z")),
            ("http://a/b/c?x", "?y", Some("http://a/b/c?y")),
            ("http://a/b", "file:///etc/passwd", None),
            ("http://a/b", "ftp://d", None),
            ("http://a/b", "", None),
        ] {
            assert_eq!(leads(at, to).as_deref(), expected, "{at} {to}");
        }
    }

    #[test]
    fn heads() {
        assert_eq!(first_byte("bytes 5-9/10"), Some(5));
        assert_eq!(first_byte("bytes */10"), None);
    }
}
