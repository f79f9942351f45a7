//! What devices trust, and what their client cannot read: each with its finding.

use super::expect;
use super::image::{Build, put};
use goldsmith::artifact::{self, Demands};
use goldsmith::stream::{Codec, Compression, Content};
use goldsmith::units::GIB;
use goldsmith::verify::{Request, compatibility, image};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

/// A key on P-256 whose private half nobody has kept.
const PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJ/ps3on4uwjYIVlY21HBE3qBKsCD
MQ4cbTqZsS8S/evTnrsfxr3JsgiJ5G5Fy9rs82GcjFcaHNrUPb2klVXyeQ==
-----END PUBLIC KEY-----
";

/// A certificate of that key.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBbDCCAROgAwIBAgIUBadD8H4yFr5bck0lXFXrtyaJFQUwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMjgyMjUxNTBaFw0zNjExMjUyMjUxNTBaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQn+mzeifi7CNgh
WVjbUcETeoEqwIMxDhxtOpmxLxL969Oeux/GvcmyCInkbkXL2uzzYZyMVxoc2tQ9
vaSVVfJ5o1MwUTAdBgNVHQ4EFgQUwxRukMERZFCwVTn0pNB3OggnyCUwHwYDVR0j
BBgwFoAUwxRukMERZFCwVTn0pNB3OggnyCUwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNHADBEAiAELLWKER1Edf//yUmO1R6OuFCIY0kwP118UYMTlWL22QIg
AT6A7Tv/NCV/cqjUjLZ9O/f/EkzKCljETq3PjuM2XWc=
-----END CERTIFICATE-----
";

/// What looks like a private key; there is none in it.
fn private() -> String {
    let line = "MHcCAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAoGCCqGSM49";
    format!("-----BEGIN EC PRIVATE KEY-----\n{line}\n{line}\n-----END EC PRIVATE KEY-----\n")
}

#[test]
fn files_that_the_client_trusts_are_what_they_should_be() {
    let found = |conf: serde_json::Value, files: &[(&str, &str)], expected: &[&str]| {
        let mut build = Build::new();
        put(&mut build.root, "/etc/mender/mender.conf", conf.to_string());
        for (path, text) in files {
            match path.strip_prefix("/data/") {
                Some(path) => put(&mut build.data, &format!("/{path}"), *text),
                None => put(&mut build.root, path, *text),
            }
        }
        let outcome = image(&build.make().source(), &Request::default());
        expect(&outcome, expected, &conf.to_string());
    };
    let key = "/etc/mender/k.pem";
    let one = || json!({ "ArtifactVerifyKey": key });
    let private = private();
    found(one(), &[(key, PUBLIC)], &[]);
    found(
        json!({ "ArtifactVerifyKeys": ["/data/k"] }),
        &[("/data/k", PUBLIC)],
        &[],
    );
    found(one(), &[], &["client-verify-key"]);
    found(one(), &[(key, "hello")], &["client-verify-key"]);
    found(one(), &[(key, CERTIFICATE)], &["client-verify-key"]);
    found(one(), &[(key, &PUBLIC.repeat(2))], &["client-verify-key"]);
    found(
        one(),
        &[(key, &private)],
        &["client-verify-key", "private-key"],
    );
    found(
        one(),
        &[(key, &(PUBLIC.to_owned() + &private))],
        &["client-verify-key", "private-key"],
    );
    let certificate = || json!({ "ServerCertificate": key });
    found(certificate(), &[(key, &CERTIFICATE.repeat(2))], &[]);
    found(certificate(), &[(key, PUBLIC)], &["client-certificate"]);
    found(certificate(), &[], &["client-certificate"]);
}

#[test]
fn private_keys_are_found_on_each_partition() {
    let text = private();
    let build = || {
        let mut build = Build::new();
        put(&mut build.root, "/etc/ssh/host", text.as_str());
        put(&mut build.data, "/app/key", text.as_str());
        put(&mut build.boot, "/key.pem", text.as_str());
        build
    };
    let made = build().make();
    let with = |golden_keys| {
        let request = Request {
            golden_keys,
            ..Default::default()
        };
        let outcome = image(&made.source(), &request);
        expect(&outcome, &["private-key"], "private keys");
        let found = outcome.findings.iter().map(|finding| {
            let path = finding.place.path.clone().unwrap();
            (
                finding.severity.to_string(),
                finding.place.partition.unwrap(),
                path,
            )
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(_, number, _)| *number);
        found
    };
    let all = |severity: &str| {
        [(1, "/key.pem"), (2, "/etc/ssh/host"), (4, "/app/key")]
            .map(|(number, path)| (severity.to_owned(), number, path.to_owned()))
            .to_vec()
    };
    assert_eq!(with(None), all("warning"));
    assert_eq!(with(Some(BTreeSet::new())), all("error"));
    let digest = goldsmith::digest::sha256(&Content::bytes(text.as_bytes())).unwrap();
    assert_eq!(with(Some(BTreeSet::from([digest]))), all("note"));
    let mut build = build();
    let accepted = "/etc/ssh/host\tx\n/data/app/key\tx\n/boot/efi/key.pem\tx\n";
    put(&mut build.root, "/usr/lib/goldsmith/accepted", accepted);
    expect(
        &image(&build.make().source(), &Request::default()),
        &[],
        "accepted keys",
    );
}

/// The database of an image with this package.
fn status(package: &str, version: &str) -> String {
    format!(
        "Package: {package}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n\n"
    )
}

#[test]
fn an_artifact_that_the_client_cannot_read_is_found() {
    for (package, version, expected) in [
        ("mender-client", "3.4.0+ds1-4+b5", &["artifact-client"][..]),
        ("mender-client", "1:3.5.3-1", &[]),
        ("mender-update", "5.1.0-1+debian+bookworm", &[]),
    ] {
        let mut build = Build::new();
        put(
            &mut build.root,
            "/var/lib/dpkg/status",
            status(package, version),
        );
        build.meta.codec = Codec::new(Compression::Zstd, None).unwrap();
        let made = build.make();
        let request = Request {
            artifact: Some(Arc::clone(&made.artifact)),
            ..Default::default()
        };
        expect(&image(&made.source(), &request), expected, version);
    }
}

#[test]
fn an_artifact_that_older_devices_cannot_read_is_found() {
    let codes = |client: &str, architecture: &str, compression, size| {
        let old = json!({
            "format": 1,
            "input": {"architecture": architecture},
            "family": {"client": client},
        });
        let new = compatibility::Contract {
            artifact: Some(Demands { compression, size }),
            ..Default::default()
        };
        let found = compatibility::check(&old, &new);
        found.iter().any(|finding| finding.code == "field-client")
    };
    assert!(codes("3.4.0+ds1-4", "arm64", Compression::Zstd, 1));
    assert!(!codes("3.5.0-1", "arm64", Compression::Zstd, 1));
    assert!(codes("4.0.4-1", "armhf", Compression::Gzip, 4 * GIB));
    assert!(!codes("4.0.4-1", "arm64", Compression::Gzip, 4 * GIB));
    assert!(!codes("", "armhf", Compression::Zstd, 8 * GIB));
}

#[test]
fn an_artifact_is_held_against_one_version_of_the_client() {
    let build = Build::new();
    let mut meta = build.meta.clone();
    meta.codec = Codec::new(Compression::Zstd, None).unwrap();
    let mut file = Cursor::new(Vec::new());
    artifact::write(&mut file, &meta, &Content::bytes(*b"payload"), None).unwrap();
    let report = artifact::validate(&mut file.get_ref().as_slice(), None).unwrap();
    let found = artifact::unreadable("3.4".parse().unwrap(), None, report.artifact.demands());
    assert_eq!(found.len(), 1);
}
