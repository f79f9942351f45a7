//! Addresses of hosts, by the DNS client of `hickory`.
//!
//! Not by the C library's `getaddrinfo(3)`: in a static program that loads libraries of the host
//! as `nsswitch.conf(5)` has them, which were built for the host's own C library, and may end the
//! process. So what counts is `hosts(5)` and the name servers of `resolv.conf(5)`, as everywhere
//! in a container; names of multicast DNS and of other services are not known.

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Hosts, Resolver as DnsClient};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Number of addresses of one host that are tried.
const MAX_ADDRESSES: usize = 16;

/// Resolves names of hosts by two files of the host.
#[derive(Clone, Debug)]
pub(super) struct HostNames {
    /// `hosts(5)`; asked first.
    hosts: PathBuf,
    /// `resolv.conf(5)`.
    servers: PathBuf,
    /// Port of the name servers.
    port: u16,
}

impl Default for HostNames {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            servers: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

impl Resolver for HostNames {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.look_up(host, &timeout)?,
        };
        let mut found = self.empty();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(found)
    }
}

impl HostNames {
    /// The addresses of `host`, those of IPv4 first: hosts without a route for IPv6 are more
    /// common than those without one for IPv4, and addresses are tried in order.
    fn look_up(&self, host: &str, timeout: &NextTimeout) -> Result<Vec<IpAddr>, ureq::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let asked = runtime.block_on(async {
            let client = self.client()?;
            Ok(tokio::time::timeout(*timeout.after, client.lookup_ip(host)).await)
        });
        // Sockets of questions that are still open are not waited for.
        runtime.shutdown_background();
        let reply = asked
            .map_err(|error: NetError| self.failed(host, &error))?
            .map_err(|_| ureq::Error::Timeout(timeout.reason))?;
        match reply {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                addresses.sort_by_key(IpAddr::is_ipv6);
                Ok(addresses)
            }
            Err(error) if error.is_no_records_found() => Err(ureq::Error::HostNotFound),
            Err(error) => Err(self.failed(host, &error)),
        }
    }

    fn client(&self) -> Result<DnsClient<TokioRuntimeProvider>, NetError> {
        let read = |path: &PathBuf| match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        };
        let text = read(&self.servers)?;
        let lists_servers = text
            .split(|byte| *byte == b'\n')
            .any(|line| line.trim_ascii_start().starts_with(b"nameserver"));
        let (mut config, mut options) = if lists_servers {
            listed(&text)?
        } else {
            // resolv.conf(5): a name server of this host.
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_name_servers(vec![local]);
            (config, ResolverOpts::default())
        };
        for server in &mut config.name_servers {
            for connection in &mut server.connections {
                connection.port = self.port;
            }
        }
        // The file is read here.
        options.use_hosts_file = ResolveHosts::Never;
        let builder = DnsClient::builder_with_config(config, TokioRuntimeProvider::default());
        let mut client = builder.with_options(options).build()?;
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(read(&self.hosts)?.as_slice())?;
        client.set_hosts(Arc::new(hosts));
        Ok(client)
    }

    fn failed(&self, host: &str, error: &NetError) -> ureq::Error {
        let servers = self.servers.display();
        let text = format!("looking up {host} by the name servers of {servers}: {error}");
        ureq::Error::Io(io::Error::other(text))
    }
}

/// The name servers that a `resolv.conf(5)` lists.
#[cfg(not(target_vendor = "apple"))]
fn listed(text: &[u8]) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    hickory_resolver::system_conf::parse_resolv_conf(text)
}

/// The name servers of the system, whose `resolv.conf(5)` is a copy for old programs.
#[cfg(target_vendor = "apple")]
fn listed(_: &[u8]) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    Ok(hickory_resolver::system_conf::read_system_conf()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use std::net::UdpSocket;
    use std::thread;
    use std::time::Duration;
    use tempfile::TempDir;
    use ureq::Timeout;

    /// A name server that knows `mirror.example`, and one that never replies.
    fn name_server() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let question = Message::from_vec(bytes.get(..length).unwrap()).unwrap();
                let query = question.queries.first().unwrap().clone();
                let mut reply = question.into_response();
                match query.name().to_ascii().as_str() {
                    "silent.example." => continue,
                    "broken.example." => reply.metadata.response_code = ResponseCode::ServFail,
                    "mirror.example." => {
                        let address: Option<IpAddr> = match query.query_type() {
                            RecordType::A => Some("192.0.2.7".parse().unwrap()),
                            RecordType::AAAA => Some("2001:db8::7".parse().unwrap()),
                            _ => None,
                        };
                        if let Some(address) = address {
                            let data = RData::from(address);
                            reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                        }
                    }
                    _ => reply.metadata.response_code = ResponseCode::NXDomain,
                }
                socket.send_to(&reply.to_vec().unwrap(), from).unwrap();
            }
        });
        port
    }

    #[test]
    fn addresses_of_hosts() {
        let dir = TempDir::new().unwrap();
        let names = HostNames {
            hosts: dir.path().join("hosts"),
            servers: dir.path().join("resolv.conf"),
            port: name_server(),
        };
        let resolve = |url: &str| {
            let timeout = NextTimeout {
                after: Duration::from_millis(1500).into(),
                reason: Timeout::Resolve,
                ..NextTimeout::default()
            };
            let found = names.resolve(&url.parse().unwrap(), &Config::default(), timeout);
            match found {
                Ok(found) => found
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => error.to_string(),
            }
        };

        // Without the files, the name server of this host is asked.
        assert_eq!(
            resolve("http://mirror.example/x"),
            "192.0.2.7:80 [2001:db8::7]:80"
        );

        fs::write(&names.hosts, "198.51.100.1 near.example near # ours\n").unwrap();
        fs::write(
            &names.servers,
            "# one\nnameserver 127.0.0.1\noptions timeout:1\n",
        )
        .unwrap();
        for (url, expected) in [
            ("http://192.0.2.1", "192.0.2.1:80"),
            ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
            ("http://near:8080", "198.51.100.1:8080"),
            ("https://near.example", "198.51.100.1:443"),
            ("https://mirror.example", "192.0.2.7:443 [2001:db8::7]:443"),
            (
                "http://absent.example",
                &ureq::Error::HostNotFound.to_string(),
            ),
            (
                "http://silent.example",
                &ureq::Error::Timeout(Timeout::Resolve).to_string(),
            ),
        ] {
            assert_eq!(resolve(url), expected, "{url}");
        }
        let broken = resolve("http://broken.example");
        assert!(
            broken.contains("looking up broken.example by the name servers of"),
            "{broken}"
        );
    }
}
