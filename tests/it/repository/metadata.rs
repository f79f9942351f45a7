//! Metadata of good and of hostile repositories.

use super::{NOW, client, keyring};
use crate::support::http_server::{self, HttpServer};
use crate::support::openpgp::{Owner, Statement};
use crate::support::scratch;
use crate::support::signed_repository::{Layout, PoolFile, dists, write_release, write_repository};
use goldsmith::report::Silent;
use goldsmith::repository::{Index, MetadataError, Repository, fetch_index};
use goldsmith::stream::Compression;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// A repository in a directory of its own.
struct Example {
    dir: tempfile::TempDir,
    owner: Owner,
    layout: Layout,
}

impl Example {
    fn new(layout: Layout) -> Self {
        let files = [
            PoolFile::example("client", "1.0-1", "amd64"),
            PoolFile::example("client", "1.1-1", "amd64"),
            PoolFile::example("module", "1:2.0", "all"),
        ];
        Self::of(layout, &files)
    }

    fn of(layout: Layout, files: &[PoolFile]) -> Self {
        let example = Self {
            dir: scratch(),
            owner: Owner::new(),
            layout,
        };
        write_repository(example.dir.path(), &example.owner, &example.layout, files);
        example
    }

    fn repository(&self, url: &str) -> Repository {
        Repository {
            url: url.to_owned(),
            suite: self.layout.suite.clone(),
            components: vec!["main".to_owned()],
            keyring: keyring(&self.owner.certificate(&[Statement::default()])),
        }
    }

    /// Reads it from the directory.
    fn read(&self) -> Result<Index, MetadataError> {
        let repository = self.repository(self.dir.path().to_str().unwrap());
        fetch_index(&repository, "amd64", &client(), NOW, None, &Silent)
    }

    fn dists(&self) -> std::path::PathBuf {
        dists(self.dir.path(), &self.layout)
    }

    /// The message and hint about the repository after a change of its files.
    fn refused(&self) -> (String, String) {
        let error = self.read().unwrap_err();
        let shown = error
            .to_string()
            .replace(self.dir.path().to_str().unwrap(), "DIR");
        (shown, error.hint().unwrap_or_default())
    }
}

fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Answers a request by its number, from 0.
type Handler = Box<dyn Fn(&http_server::Request, &mut std::net::TcpStream, usize) + Send + Sync>;

const IN_RELEASE: &str = "DIR/dists/debian/trixie/stable/InRelease";

#[test]
fn every_form_of_a_repository_has_the_same_packages() {
    for form in Compression::ALL {
        for (by_hash, inline) in [(false, true), (true, false)] {
            let example = Example::new(Layout {
                forms: vec![form],
                by_hash,
                inline,
                ..Layout::default()
            });
            let index = example.read().unwrap();
            let found: Vec<String> = index
                .packages
                .iter()
                .map(|p| format!("{} {} {}", p.package, p.version, p.architecture))
                .collect();
            assert_eq!(
                found,
                [
                    "client 1.0-1 amd64",
                    "client 1.1-1 amd64",
                    "module 1:2.0 all"
                ]
            );
            assert_eq!(index.release.signer, example.owner.fingerprint());
            assert_eq!(index.release.date, 1_700_000_000);
            assert_eq!(index.release.codename.as_deref(), Some("trixie"));
        }
    }
}

#[test]
fn the_network_and_a_directory_are_read_alike() {
    let example = Example::new(Layout {
        by_hash: true,
        ..Layout::default()
    });
    let server = HttpServer::of_directory(example.dir.path().to_owned());
    let repository = example.repository(&format!("{}/", server.url()));
    let index = fetch_index(&repository, "amd64", &client(), NOW, None, &Silent).unwrap();
    assert_eq!(index.release, example.read().unwrap().release);
    assert_eq!(
        repository.package_url(&index.packages[2].filename),
        format!("{}/pool/main/module_1:2.0_all.deb", server.url())
    );
    let targets: Vec<String> = server.requests().into_iter().map(|r| r.target).collect();
    assert!(
        targets[1].contains("/main/binary-amd64/by-hash/SHA256/"),
        "{targets:?}"
    );
    assert_eq!(targets.len(), 2);
}

#[test]
fn packages_of_all_are_read_from_an_index_of_their_own_where_the_release_says_so() {
    let architectures = vec!["all".to_owned(), "amd64".to_owned()];
    let example = Example::new(Layout {
        architectures,
        ..Layout::default()
    });
    assert_eq!(example.read().unwrap().packages.len(), 3);
    change(&example.dists().join("InRelease"), "x", "x");
    let files = [PoolFile::example("module", "1", "all")];
    let example = Example::of(
        Layout {
            architectures: vec!["all".to_owned(), "amd64".to_owned()],
            fields: "No-Support-for-Architecture-all: Packages\n".to_owned(),
            ..Layout::default()
        },
        &files,
    );
    assert_eq!(example.read().unwrap().packages.len(), 0);
}

#[test]
fn without_a_good_signature_nothing_is_read() {
    let example = Example::new(Layout {
        inline: false,
        ..Layout::default()
    });
    fs::remove_file(example.dists().join("Release.gpg")).unwrap();
    assert_eq!(
        example.refused().0,
        "DIR/dists/debian/trixie/stable/Release: it is not signed: there is neither `InRelease` nor `Release.gpg`"
    );
    fs::remove_file(example.dists().join("Release")).unwrap();
    let (message, hint) = example.refused();
    assert_eq!(
        message,
        "DIR/dists/debian/trixie/stable: there is neither `InRelease` nor `Release`"
    );
    assert!(hint.contains("`url` and `suite`"));
    let mut example = Example::new(Layout::default());
    let signed = std::mem::replace(&mut example.owner, Owner::new());
    assert_eq!(
        example.refused().0,
        format!(
            "{IN_RELEASE}: it is signed by the key {}, which is not known",
            signed.fingerprint()
        )
    );
}

#[test]
fn altered_releases() {
    for (from, to) in [
        ("Origin: Example", "Origin: example"),
        ("trixie\n", "sid\n"),
        (" main/", " mail/"),
    ] {
        let example = Example::new(Layout::default());
        change(&example.dists().join("InRelease"), from, to);
        let (message, _) = example.refused();
        assert!(
            message.contains("the text was changed after it was signed"),
            "{message}"
        );
    }
    let example = Example::new(Layout {
        inline: false,
        ..Layout::default()
    });
    change(&example.dists().join("Release"), "Example", "Exemple");
    assert!(
        example
            .refused()
            .0
            .contains("the text was changed after it was signed")
    );
}

#[test]
fn altered_indices() {
    let plain = Layout {
        forms: vec![Compression::None],
        ..Layout::default()
    };
    let example = Example::new(plain.clone());
    let path = example.dists().join("main/binary-amd64/Packages");
    let text = fs::read(&path).unwrap();
    change(&path, "libc6 (>= 2.36)", "libc6 (>= 2.37)");
    let (message, hint) = example.refused();
    assert!(
        message.contains("Packages: its digest is ")
            && message.contains("and the signed release says"),
        "{message}"
    );
    assert!(hint.contains("in the middle of an update"));
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    let expected = format!(
        "Packages: it has a length of {}, and the signed release says {}",
        text.len() - 1,
        text.len()
    );
    assert!(example.refused().0.ends_with(&expected));
    fs::write(&path, [&text[..], b"\n"].concat()).unwrap();
    assert!(
        example
            .refused()
            .0
            .ends_with(&format!("Packages: it is longer than {} bytes", text.len()))
    );
    fs::remove_file(&path).unwrap();
    assert!(
        example
            .refused()
            .0
            .ends_with("main/binary-amd64/Packages, and the server has it in no form")
    );
}

#[test]
fn dates_of_releases() {
    let expired = "Valid-Until: Tue, 21 Nov 2023 22:13:20 UTC\n".to_owned();
    let example = Example::new(Layout {
        fields: expired,
        ..Layout::default()
    });
    let (message, hint) = example.refused();
    assert_eq!(
        message,
        format!(
            "{IN_RELEASE}: it was valid until 2023-11-21 22:13:20 UTC, and now is 2027-01-15 08:00:00 UTC"
        )
    );
    assert!(hint.contains("use another mirror"));
    let date = "Sun, 17 Jan 2027 08:00:00 UTC".to_owned();
    let example = Example::new(Layout {
        date,
        ..Layout::default()
    });
    assert!(
        example
            .refused()
            .0
            .contains("it was made at 2027-01-17 08:00:00 UTC, and now is")
    );
    let example = Example::new(Layout::default());
    let repository = example.repository(example.dir.path().to_str().unwrap());
    let read = |not_before| {
        fetch_index(
            &repository,
            "amd64",
            &client(),
            NOW,
            Some(not_before),
            &Silent,
        )
    };
    assert!(read(1_700_000_000).is_ok());
    let error = read(1_700_000_001).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("before the one that was used last"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("goldsmith.lock"));
}

#[test]
fn what_a_repository_does_not_have() {
    let example = Example::new(Layout::default());
    let refused = |change: &dyn Fn(&mut Repository), architecture| {
        let mut repository = example.repository(example.dir.path().to_str().unwrap());
        change(&mut repository);
        let error = fetch_index(&repository, architecture, &client(), NOW, None, &Silent);
        error.unwrap_err().problem().to_string()
    };
    let message = refused(&|_| (), "armhf");
    assert!(
        message.contains("it has no packages of architecture armhf (it has: amd64)"),
        "{message}"
    );
    let message = refused(&|r| r.components = vec!["extra".into()], "amd64");
    assert!(
        message.contains(
            "it has no index of component extra for architecture amd64 (its components: main"
        ),
        "{message}"
    );
    let message = refused(&|r| r.suite = "./".into(), "amd64");
    assert!(
        message.contains("means a flat repository, which is not supported\nhint: "),
        "{message}"
    );
    let message = refused(&|r| r.suite = "../x".into(), "amd64");
    assert!(message.contains("`../x` is not a suite"), "{message}");
    let message = refused(&|r| r.url = "ftp://x".into(), "amd64");
    assert!(message.starts_with("ftp://x/dists/"), "{message}");
}

#[test]
fn signed_nonsense_is_refused_by_name() {
    let example = Example::new(Layout::default());
    write_release(
        example.dir.path(),
        &example.owner,
        &example.layout,
        " x 1 a\n",
    );
    let (message, _) = example.refused();
    assert!(
        message.contains("the field SHA256 is `x 1 a`, which is not a digest"),
        "{message}"
    );
    let mut file = PoolFile::example("client", "1", "amd64");
    file.filename = "pool/a".to_owned();
    file.fields.push_str("Filename: ../../etc/passwd\n");
    let message = Example::of(Layout::default(), &[file]).refused().0;
    assert!(
        message.contains("Packages.xz: package client (line 1): the field Filename occurs twice"),
        "{message}"
    );
    // An index that unpacks to more than the release says.
    let forms = vec![Compression::None, Compression::Gzip];
    let example = Example::new(Layout {
        forms,
        ..Layout::default()
    });
    let text = fs::read_to_string(example.dists().join("InRelease")).unwrap();
    let listed: String = text
        .lines()
        .filter(|line| line.contains("main/binary"))
        .map(|line| match line.strip_suffix("/Packages") {
            Some(_) => {
                let mut words = line.split_whitespace();
                let (digest, _, path) =
                    (words.next().unwrap(), words.next(), words.next().unwrap());
                format!(" {digest} 100 {path}\n")
            }
            None => format!("{line}\n"),
        })
        .collect();
    write_release(example.dir.path(), &example.owner, &example.layout, &listed);
    let message = example.refused().0;
    assert!(
        message.ends_with("Packages.gz: it decompresses to more than 100 bytes"),
        "{message}"
    );
}

#[test]
fn replies_without_an_end_and_transfers_that_break_off() {
    let example = Example::new(Layout::default());
    let release = fs::read(example.dists().join("InRelease")).unwrap();
    let packages = fs::read(example.dists().join("main/binary-amd64/Packages.xz")).unwrap();
    let size = packages.len();
    let read = |handler: Handler| {
        let (release, count) = (release.clone(), std::sync::atomic::AtomicUsize::new(0));
        let server = HttpServer::start(move |request, stream| {
            if request.target.ends_with("InRelease") {
                return http_server::file(request, stream, &release);
            }
            handler(
                request,
                stream,
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst),
            );
        });
        let repository = example.repository(&server.url());
        fetch_index(&repository, "amd64", &client(), NOW, None, &Silent)
    };
    let endless = read(Box::new(|_, stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream
            .write_all(&[b"1000\r\n", &[0; 4096][..], b"\r\n"].concat())
            .is_ok()
        {}
    }));
    let message = endless.unwrap_err().to_string();
    assert!(
        message.ends_with(&format!("it is longer than {size} bytes")),
        "{message}"
    );
    let bytes = packages.clone();
    let once = read(Box::new(move |request, stream, attempt| match attempt {
        0 => {
            http_server::head(stream, "200 OK", bytes.len(), "");
            let _ = stream.write_all(&bytes[..10]);
        }
        _ => http_server::file(request, stream, &bytes),
    }));
    assert_eq!(once.unwrap().packages.len(), 3);
    let bytes = packages.clone();
    let always = read(Box::new(move |_, stream, _| {
        http_server::head(stream, "200 OK", bytes.len(), "");
        let _ = stream.write_all(&bytes[..10]);
    }));
    let message = always.unwrap_err().to_string();
    assert!(
        message.contains("Packages.xz: the transfer broke off: "),
        "{message}"
    );
}
