//! The package cache: what it keeps, and servers that make it hard.

use super::client;
use crate::support::scratch;
use goldsmith::digest::{Digest, hex};
use goldsmith::report::Silent;
use goldsmith::repository::{Download, FetchError, FetchSummary, PackageCache, default_cache_dir};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

fn bytes(seed: u8) -> Vec<u8> {
    (0..300_000_u32)
        .map(|n| (n.wrapping_mul(31) >> 3) as u8 ^ seed)
        .collect()
}

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

fn download(url: &str, bytes: &[u8]) -> Download {
    Download {
        url: url.to_owned(),
        size: bytes.len() as u64,
        sha256: digest(bytes),
    }
}

/// An empty cache; its directory is made when it is needed.
fn empty() -> (tempfile::TempDir, PackageCache) {
    let dir = scratch();
    let cache = PackageCache::open(&dir.path().join("packages"));
    (dir, cache)
}

fn partial(cache: &PackageCache, bytes: &[u8]) -> PathBuf {
    cache.dir().join("partial").join(hex(&digest(bytes)))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn fetch(cache: &PackageCache, downloads: &[Download]) -> Result<FetchSummary, Vec<FetchError>> {
    cache.fetch(downloads, &client(), 2, &Silent)
}

#[test]
fn packages_are_fetched_once() {
    let (dir, cache) = empty();
    let all: Vec<Vec<u8>> = (0..5).map(bytes).collect();
    let downloads: Vec<Download> = all
        .iter()
        .enumerate()
        .map(|(at, bytes)| {
            let path = dir.path().join(format!("{at} %.deb"));
            write(&path, bytes);
            download(
                &format!("file://{}/{at}%20%25.deb", dir.path().display()),
                bytes,
            )
        })
        .collect();
    let twice = [&downloads[..], &downloads[..1]].concat();
    let total = 5 * 300_000;
    let expected = FetchSummary {
        present: 0,
        fetched: 5,
        bytes: total,
    };
    assert_eq!(fetch(&cache, &twice).unwrap(), expected);
    for (download, bytes) in downloads.iter().zip(&all) {
        assert!(cache.has(&download.sha256, download.size));
        assert_eq!(fs::read(cache.path(&download.sha256)).unwrap(), *bytes);
    }
    let expected = FetchSummary {
        present: 5,
        fetched: 0,
        bytes: 0,
    };
    assert_eq!(fetch(&cache, &downloads).unwrap(), expected);
    // Damage of the same length is noticed.
    fs::write(cache.path(&downloads[3].sha256), bytes(9)).unwrap();
    let expected = FetchSummary {
        present: 4,
        fetched: 1,
        bytes: 300_000,
    };
    assert_eq!(fetch(&cache, &downloads).unwrap(), expected);
    assert_eq!(fs::read(cache.path(&downloads[3].sha256)).unwrap(), all[3]);
    assert_eq!(
        fs::read_dir(cache.dir().join("partial")).unwrap().count(),
        0
    );
}

#[test]
fn all_failures_are_told() {
    let (dir, cache) = empty();
    let good = bytes(1);
    write(&dir.path().join("good"), &good);
    write(&dir.path().join("altered"), &bytes(2));
    write(&dir.path().join("short"), &good[1..]);
    let url = |name: &str| format!("{}/{name}", dir.path().display());
    let downloads = [
        Download {
            sha256: [1; 32],
            ..download(&url("gone"), &good)
        },
        download(&url("good"), &good),
        Download {
            sha256: [2; 32],
            ..download(&url("altered"), &good)
        },
        Download {
            sha256: [3; 32],
            ..download(&url("short"), &good)
        },
    ];
    let errors = fetch(&cache, &downloads).unwrap_err();
    let shown: Vec<String> = errors
        .iter()
        .map(|e| {
            e.problem()
                .to_string()
                .replace(dir.path().to_str().unwrap(), "DIR")
        })
        .collect();
    let hint = "hint: something on the way changes files, or the repository has replaced the package: try again, then use another mirror; `goldsmith lock` makes the lock file anew from the signed metadata";
    assert_eq!(
        shown,
        [
            "DIR/gone: the repository does not have this version any more\nhint: run `goldsmith lock` to make the lock file anew, with the versions that the repository has now".to_owned(),
            format!("DIR/altered: its SHA-256 is {}, and {} is expected\n{hint}", hex(&digest(&bytes(2))), "02".repeat(32)),
            format!("DIR/short: it has 299999 bytes, and 300000 are expected\n{hint}"),
        ]
    );
    assert!(cache.has(&downloads[1].sha256, 300_000));
    for failed in [0, 2, 3] {
        assert!(!cache.path(&downloads[failed].sha256).exists());
    }
    assert!(!cache.dir().join("partial").join("02".repeat(32)).exists());
}

#[test]
fn the_default_directory_follows_xdg() {
    let dir = |cache: Option<&str>, home: Option<&str>| {
        default_cache_dir(|name| match name {
            "XDG_CACHE_HOME" => cache.map(Into::into),
            "HOME" => home.map(Into::into),
            _ => None,
        })
    };
    let expected = |path: &str| Some(PathBuf::from(path));
    assert_eq!(
        dir(Some("/c"), Some("/h")),
        expected("/c/goldsmith/packages")
    );
    assert_eq!(
        dir(Some("c"), Some("/h")),
        expected("/h/.cache/goldsmith/packages")
    );
    assert_eq!(dir(None, None), None);
}

mod served {
    use super::*;
    use crate::support::http_server::{self, HttpServer, Request};
    use std::io::Write as _;
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// A server whose handler knows the number of the request, from 0.
    fn server(
        handler: impl Fn(&Request, &mut TcpStream, usize) + Send + Sync + 'static,
    ) -> HttpServer {
        let count = AtomicUsize::new(0);
        HttpServer::start(move |request, stream| {
            handler(request, stream, count.fetch_add(1, Ordering::SeqCst));
        })
    }

    /// Fetches `good` from a server, with `before` in the partial file.
    fn fetch_from(
        server: &HttpServer,
        before: Option<&[u8]>,
    ) -> (
        Result<FetchSummary, String>,
        tempfile::TempDir,
        PackageCache,
    ) {
        let (dir, cache) = empty();
        let good = bytes(1);
        if let Some(before) = before {
            write(&partial(&cache, &good), before);
        }
        let download = download(&format!("{}/a.deb", server.url()), &good);
        let result = fetch(&cache, &[download]);
        if result.is_ok() {
            assert_eq!(fs::read(cache.path(&digest(&good))).unwrap(), good);
        }
        let message = |e: Vec<FetchError>| e[0].to_string().replace(&server.url(), "URL");
        (result.map_err(message), dir, cache)
    }

    #[test]
    fn a_transfer_goes_on_where_it_broke_off() {
        let server = server(|request, stream, at| {
            let good = bytes(1);
            match at {
                // Each attempt is cut after some new bytes.
                0..4 => {
                    let from = request.from();
                    let range = format!("Content-Range: bytes {from}-299999/300000\r\n");
                    let code = if from > 0 {
                        "206 Partial Content"
                    } else {
                        "200 OK"
                    };
                    http_server::head(stream, code, good.len() - from, &range);
                    let _ = stream.write_all(&good[from..from + 50_000]);
                }
                _ => http_server::file(request, stream, &good),
            }
        });
        let (result, ..) = fetch_from(&server, None);
        assert_eq!(result.unwrap().bytes, 300_000);
        let offsets: Vec<usize> = server.requests().iter().map(Request::from).collect();
        assert_eq!(offsets, [0, 50_000, 100_000, 150_000, 200_000]);
    }

    #[test]
    fn what_another_run_left_is_used_or_thrown_away() {
        let good = || {
            HttpServer::start(|request, stream| {
                http_server::file(request, stream, &bytes(1));
            })
        };
        let offsets = |server: &HttpServer| -> Vec<usize> {
            server.requests().iter().map(Request::from).collect()
        };
        let whole = bytes(1);
        for (before, received, expected) in [
            (&whole[..200_000], 100_000, vec![200_000]),
            (&whole[..], 0, vec![]),
            // Bytes of another file: noticed by the digest, once.
            (&bytes(2)[..200_000], 400_000, vec![200_000, 0]),
            (&bytes(2)[..], 300_000, vec![0]),
            // More than the file has.
            (&[&whole[..], b"x"].concat(), 300_000, vec![0]),
        ] {
            let server = good();
            let (result, ..) = fetch_from(&server, Some(before));
            assert_eq!(result.unwrap().bytes, received);
            assert_eq!(offsets(&server), expected);
        }
    }

    #[test]
    fn a_server_that_ignores_ranges_sends_the_whole_file() {
        let server = server(|_, stream, _| {
            http_server::head(stream, "200 OK", 300_000, "");
            let _ = stream.write_all(&bytes(1));
        });
        let (result, ..) = fetch_from(&server, Some(&bytes(1)[..1000]));
        assert_eq!(result.unwrap().bytes, 300_000);
        assert_eq!(server.requests()[0].from(), 1000);
        // One that sends another part than it was asked for.
        let server = self::server(|_, stream, _| {
            let range = "Content-Range: bytes 5-299999/300000\r\n";
            http_server::head(stream, "206 Partial Content", 299_995, range);
        });
        let (result, ..) = fetch_from(&server, Some(&bytes(1)[..1000]));
        assert_eq!(
            result.unwrap_err(),
            "URL/a.deb: the server was asked for bytes from offset 1000 on and sends others"
        );
    }

    #[test]
    fn lies_about_the_size() {
        for (stated, sent, expected) in [
            (
                299_999,
                299_999,
                "URL/a.deb: it has 299999 bytes, and 300000 are expected",
            ),
            (
                300_001,
                300_001,
                "URL/a.deb: it has 300001 bytes, and 300000 are expected",
            ),
        ] {
            let server = server(move |_, stream, _| {
                http_server::head(stream, "200 OK", stated, "");
                let _ = stream.write_all(&vec![0; sent]);
            });
            let (result, _dir, cache) = fetch_from(&server, None);
            assert_eq!(result.unwrap_err(), expected);
            assert!(!partial(&cache, &bytes(1)).exists());
        }
        let endless = server(|_, stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream
                .write_all(&[b"1000\r\n", &[0; 4096][..], b"\r\n"].concat())
                .is_ok()
            {}
        });
        let (result, ..) = fetch_from(&endless, None);
        assert_eq!(
            result.unwrap_err(),
            "URL/a.deb: it has more than 300000 bytes, and 300000 are expected"
        );
    }

    #[test]
    fn a_server_that_stalls_or_always_breaks_off() {
        let stalls = server(|_, stream, _| {
            http_server::head(stream, "200 OK", 300_000, "");
            let _ = stream.write_all(&bytes(1)[..1000]);
            std::thread::sleep(Duration::from_secs(60));
        });
        let start = std::time::Instant::now();
        let (result, _dir, cache) = fetch_from(&stalls, None);
        assert!(start.elapsed() < Duration::from_secs(40));
        let message = result.unwrap_err();
        assert!(
            message.starts_with("URL/a.deb: the transfer broke off after "),
            "{message}"
        );
        // What came is kept for the next run.
        assert!(partial(&cache, &bytes(1)).exists());
        let server = server(|_, stream, _| {
            http_server::head(stream, "200 OK", 300_000, "");
            let _ = stream.write_all(&bytes(1)[..1000]);
        });
        let (result, ..) = fetch_from(&server, None);
        let message = result.unwrap_err();
        assert!(
            message.starts_with("URL/a.deb: the transfer broke off after 1000 of 300000 bytes"),
            "{message}"
        );
    }

    #[test]
    fn altered_packages_are_not_kept() {
        let server = server(|request, stream, _| http_server::file(request, stream, &bytes(2)));
        let (result, _dir, cache) = fetch_from(&server, None);
        let expected = format!(
            "URL/a.deb: its SHA-256 is {}, and {} is expected",
            hex(&digest(&bytes(2))),
            hex(&digest(&bytes(1)))
        );
        assert_eq!(result.unwrap_err(), expected);
        assert!(!cache.path(&digest(&bytes(1))).exists());
        assert!(!partial(&cache, &bytes(1)).exists());
        // A partial file does not make it ask for ever.
        let (result, ..) = fetch_from(&server, Some(&bytes(1)[..1000]));
        assert_eq!(result.unwrap_err(), expected);
    }

    #[test]
    fn two_processes_share_a_cache() {
        let good = bytes(1);
        let server = server(|_, stream, _| {
            http_server::head(stream, "200 OK", 300_000, "");
            for part in bytes(1).chunks(30_000) {
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (_dir, cache) = empty();
        let download = [download(&format!("{}/a.deb", server.url()), &good)];
        // Each call opens the file itself, as two processes do.
        let results: Vec<FetchSummary> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| fetch(&cache, &download)))
                .collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap().unwrap())
                .collect()
        });
        assert_eq!(results.iter().map(|r| r.fetched).sum::<usize>(), 1);
        assert_eq!(results.iter().map(|r| r.present).sum::<usize>(), 3);
        assert_eq!(server.requests().len(), 1);
        assert_eq!(fs::read(cache.path(&digest(&good))).unwrap(), good);
    }
}
