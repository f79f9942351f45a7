//! HTTP: what is tried again, what is followed, and proxies.

use super::options;
use crate::support::http_server::{self, HttpServer, Request};
use goldsmith::repository::{Client, ClientOptions, Transport as _};
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn server(handler: impl Fn(&Request, &mut TcpStream, usize) + Send + Sync + 'static) -> HttpServer {
    let count = AtomicUsize::new(0);
    HttpServer::start(move |request, stream| {
        handler(request, stream, count.fetch_add(1, Ordering::SeqCst));
    })
}

/// The body at a URL, or the message.
fn get(options: ClientOptions, url: &str) -> Result<String, String> {
    let reply = Client::new(options)
        .get(url, 0, 1000)
        .map_err(|e| e.to_string())?;
    let mut text = String::new();
    { reply.body }
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    Ok(text)
}

fn ok(request: &Request, stream: &mut TcpStream) {
    http_server::file(request, stream, b"good");
}

#[test]
fn passing_failures_are_tried_again() {
    let busy = server(|request, stream, at| match at {
        0 => http_server::status(stream, "500 Internal Server Error", &[]),
        1 => http_server::status(stream, "503 Service Unavailable", &[("Retry-After", "1")]),
        _ => ok(request, stream),
    });
    let start = Instant::now();
    assert_eq!(get(options(), &busy.url()).unwrap(), "good");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        busy.requests()[0].header("user-agent"),
        Some(concat!("goldsmith/", env!("CARGO_PKG_VERSION")))
    );
    let broken = server(|_, stream, _| http_server::status(stream, "502 Bad Gateway", &[]));
    let message = get(options(), &broken.url()).unwrap_err();
    assert!(
        message.ends_with("the server replied with HTTP status 502 (3 attempts)"),
        "{message}"
    );
    assert_eq!(broken.requests().len(), 3);
    // Nobody waits for an hour.
    let patient = server(|_, stream, _| {
        http_server::status(
            stream,
            "503 Service Unavailable",
            &[("Retry-After", "3600")],
        );
    });
    assert!(get(options(), &patient.url()).is_err());
    assert_eq!(patient.requests().len(), 1);
}

#[test]
fn lasting_failures_are_not() {
    for (code, expected) in [
        ("404 Not Found", "/a: not found (HTTP status 404)"),
        ("410 Gone", "/a: not found (HTTP status 410)"),
        (
            "403 Forbidden",
            "/a: the server replied with HTTP status 403",
        ),
        (
            "300 Multiple Choices",
            "/a: the server replied with HTTP status 300",
        ),
        ("302 Found", "/a: the server replied with HTTP status 302"),
    ] {
        let server = server(move |_, stream, _| http_server::status(stream, code, &[]));
        let message = get(options(), &format!("{}/a", server.url())).unwrap_err();
        assert!(message.ends_with(expected), "{message}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn no_server_and_no_reply() {
    let gone = HttpServer::start(|_, _| ()).url();
    let message = get(options(), &gone).unwrap_err();
    assert!(message.contains("(3 attempts)"), "{message}");
    let options = ClientOptions {
        response: Duration::from_millis(100),
        attempts: 2,
        ..options()
    };
    let silent = server(|_, _, _| std::thread::sleep(Duration::from_secs(2)));
    let message = get(options, &silent.url()).unwrap_err();
    assert!(
        message.contains("no reply in time") && message.ends_with("(2 attempts)"),
        "{message}"
    );
}

#[test]
fn redirections() {
    let server = server(|request, stream, _| match request.target.as_str() {
        "/loop" => http_server::status(stream, "302 Found", &[("Location", "/loop")]),
        "/a/relative" => {
            http_server::status(stream, "301 Moved Permanently", &[("Location", "good")])
        }
        "/file" => http_server::status(stream, "302 Found", &[("Location", "file:///etc/passwd")]),
        "/a/good" => ok(request, stream),
        _ => http_server::status(stream, "404 Not Found", &[]),
    });
    let get = |path: &str| get(options(), &format!("{}{path}", server.url()));
    assert_eq!(get("/a/relative").unwrap(), "good");
    let message = get("/loop").unwrap_err();
    assert!(
        message.ends_with("more than 5 redirections, the last one to /loop"),
        "{message}"
    );
    assert_eq!(server.requests().len(), 2 + 6);
    let message = get("/file").unwrap_err();
    assert!(
        message.ends_with(
            "the redirection to file:///etc/passwd is not followed: it is not one to http or https"
        ),
        "{message}"
    );
}

#[test]
fn plain_http_through_a_proxy() {
    let proxy = server(|request, stream, _| ok(request, stream));
    let options = ClientOptions {
        http_proxy: Some(proxy.url().replace("http://", "http://user:p%40ss@")),
        no_proxy: Some("127.0.0.1".to_owned()),
        ..options()
    };
    // No name of this kind is ever known: only the proxy looks it up.
    let url = "http://mirror.invalid:8080/debian/a?b";
    assert_eq!(get(options.clone(), url).unwrap(), "good");
    assert_eq!(
        get(options.clone(), "http://other.invalid/").unwrap(),
        "good"
    );
    let requests = proxy.requests();
    assert_eq!(requests[0].target, url);
    assert_eq!(requests[0].header("host"), Some("mirror.invalid:8080"));
    assert_eq!(
        requests[0].header("proxy-authorization"),
        Some("Basic dXNlcjpwQHNz")
    );
    assert_eq!(requests[1].target, "http://other.invalid/");
    let direct = server(|request, stream, _| ok(request, stream));
    assert_eq!(
        get(options, &format!("{}/b", direct.url())).unwrap(),
        "good"
    );
    assert_eq!(direct.requests()[0].target, "/b");
    let other = ClientOptions {
        http_proxy: Some("socks5://a".to_owned()),
        ..self::options()
    };
    let message = get(other, url).unwrap_err();
    assert!(
        message.contains("the proxy of the environment"),
        "{message}"
    );
}

#[test]
fn https_through_a_proxy_is_tunnelled() {
    let proxy = server(|_, stream, _| http_server::status(stream, "403 Forbidden", &[]));
    let options = ClientOptions {
        https_proxy: Some(proxy.url()),
        attempts: 1,
        ..options()
    };
    let message = get(options, "https://mirror.invalid/a").unwrap_err();
    assert!(
        message.contains("the proxy refuses to connect"),
        "{message}"
    );
    assert_eq!(proxy.requests()[0].target, "mirror.invalid:443");
}
