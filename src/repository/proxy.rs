//! Which proxy a URL is read through, and plain HTTP through one.

use super::host_names::HostNames;
use std::fmt;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The proxy of `https_proxy` or `http_proxy`, unless `no_proxy` has the host: a list, separated by
/// commas, of hosts (each with all its subdomains), hosts with a port, or `*`.
pub(super) fn choose<'a>(
    proxy: Option<&'a str>,
    no_proxy: Option<&str>,
    uri: &Uri,
) -> Option<&'a str> {
    let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let covers = |entry: &str| {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        let (name, wanted) = match entry.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
                (name.to_owned(), Some(digits.to_owned()))
            }
            _ => (entry, None),
        };
        let name = name
            .trim_matches(['[', ']'])
            .trim_start_matches("*.")
            .trim_start_matches('.');
        let same = host == name
            || host
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'));
        !name.is_empty() && same && wanted.is_none_or(|wanted| wanted == port.to_string())
    };
    proxy.filter(|_| !no_proxy.unwrap_or_default().split(',').any(covers))
}

/// Resolves every name to the address of the proxy: it looks up the others.
#[derive(Debug)]
pub(super) struct ProxyResolver {
    /// URL of the proxy.
    pub(super) proxy: Uri,
    /// Resolves the name of the proxy.
    pub(super) inner: HostNames,
}

impl Resolver for ProxyResolver {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.inner.resolve(&self.proxy, config, timeout)
    }
}

/// Makes the requests of a connection ones to a proxy: `GET http://HOST/PATH` instead of
/// `GET /PATH` (RFC 9112, section 3.2.2). Proxies of offices and caches of packages want this for
/// `http:` URLs; many refuse to `CONNECT` to port 80.
#[derive(Debug, Default)]
pub(super) struct ThroughProxy;

impl<In: Transport> Connector<In> for ThroughProxy {
    type Out = ProxyTransport<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let authority = details.uri.authority();
        let host = authority.map(|authority| match authority.as_str().rsplit_once('@') {
            Some((_, host)) => host.to_owned(),
            None => authority.as_str().to_owned(),
        });
        Ok(chained.map(|inner| ProxyTransport {
            inner,
            prefix: format!("http://{}", host.unwrap_or_default()),
        }))
    }
}

/// A connection to a proxy.
pub(super) struct ProxyTransport<T> {
    inner: T,
    /// What paths of requests get in front.
    prefix: String,
}

impl<T> fmt::Debug for ProxyTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyTransport").field(&self.prefix).finish()
    }
}

impl<T: Transport> Transport for ProxyTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        const METHOD: &[u8] = b"GET ";
        let output = self.inner.buffers().output();
        let longer = amount.saturating_add(self.prefix.len());
        let start = METHOD.len();
        let target = start.saturating_add(self.prefix.len());
        // Requests have no body and are written at once, so each begins a write.
        if output
            .get(..amount)
            .is_none_or(|request| !request.starts_with(b"GET /"))
        {
            return self.inner.transmit_output(amount, timeout);
        }
        if output.len() < longer {
            return Err(ureq::Error::BadUri(
                "the URL is too long for a proxy".to_owned(),
            ));
        }
        output.copy_within(start..amount, target);
        if let Some(place) = output.get_mut(start..target) {
            place.copy_from_slice(self.prefix.as_bytes());
        }
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_proxy() {
        let chosen = |no_proxy: &str, url: &str| {
            choose(Some("p"), Some(no_proxy), &url.parse().unwrap()).is_some()
        };
        for (no_proxy, url, through) in [
            ("", "http://a.example/", true),
            ("*", "http://a.example/", false),
            ("localhost,example", "http://a.example/", false),
            ("localhost, .example", "http://a.example/", false),
            ("*.example", "http://a.example/", false),
            ("ample", "http://a.example/", true),
            ("A.Example", "http://a.eXample/", false),
            ("a.example:8080", "http://a.example/", true),
            ("a.example:80", "http://a.example/", false),
            ("a.example:443", "https://a.example/", false),
            ("127.0.0.1", "http://127.0.0.1:8080/", false),
            ("::1", "http://[::1]:8080/", false),
            ("[::1]:8080", "http://[::1]:8080/", false),
        ] {
            assert_eq!(chosen(no_proxy, url), through, "{no_proxy} {url}");
        }
    }
}
