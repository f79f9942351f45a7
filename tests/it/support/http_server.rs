//! An HTTP server on the loopback interface that behaves as badly as a test wants.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A request without its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The target as it was sent: a path, or a whole URL to a proxy.
    pub(crate) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The offset that a `Range` asks for; 0 without one.
    pub(crate) fn from(&self) -> usize {
        let range = self.header("range").unwrap_or("bytes=0-");
        let digits = range.trim_start_matches("bytes=").trim_end_matches('-');
        digits.parse().unwrap()
    }
}

/// A running server; it ends with the value.
pub(crate) struct HttpServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl HttpServer {
    /// Answers each request by `handler`, which writes the whole reply. The connection ends with
    /// it.
    pub(crate) fn start(
        handler: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            stop: Arc::default(),
            requests: Arc::default(),
        };
        let (stop, requests) = (server.stop.clone(), server.requests.clone());
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, requests) = (handler.clone(), requests.clone());
                std::thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(request) = read(&stream) {
                        requests.lock().unwrap().push(request.clone());
                        handler(&request, &mut stream);
                        let _ = stream.shutdown(std::net::Shutdown::Both);
                    }
                });
            }
        });
        server
    }

    /// Serves the files below `dir`.
    pub(crate) fn of_directory(dir: PathBuf) -> Self {
        Self::start(move |request, stream| {
            match std::fs::read(dir.join(request.target.trim_start_matches('/'))) {
                Ok(bytes) => file(request, stream, &bytes),
                Err(_) => status(stream, "404 Not Found", &[]),
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests until now.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let target = first.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Request { target, headers })
}

/// Sends a file, or the part of it that `Range` asks for.
pub(crate) fn file(request: &Request, stream: &mut TcpStream, bytes: &[u8]) {
    let from = request.from();
    if from > 0 && from >= bytes.len() {
        return status(stream, "416 Range Not Satisfiable", &[]);
    }
    let (code, range) = match from {
        0 => ("200 OK", String::new()),
        _ => (
            "206 Partial Content",
            format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            ),
        ),
    };
    head(stream, code, bytes.len() - from, &range);
    let _ = stream.write_all(&bytes[from..]);
}

/// Sends the head of a reply with this `Content-Length`.
pub(crate) fn head(stream: &mut TcpStream, code: &str, length: usize, more: &str) {
    let head =
        format!("HTTP/1.1 {code}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n");
    let _ = stream.write_all(head.as_bytes());
}

/// Sends a reply without a body.
pub(crate) fn status(stream: &mut TcpStream, code: &str, headers: &[(&str, &str)]) {
    let more: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    head(stream, code, 0, &more);
}
