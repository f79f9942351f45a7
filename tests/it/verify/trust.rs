//! What devices trust, and what their client cannot read: each with its finding.

use super::expect;
use super::image::{Build, put};
use crate::support::{must, scratch, tool};
use goldsmith::artifact::{self, Demands, Offer, Signed, Signer};
use goldsmith::stream::{Codec, Compression, Content};
use goldsmith::units::GIB;
use goldsmith::verify::{Request, Severity, compatibility, image};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::path::Path;
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
        // What a package brought is known to everybody, unless it is a file that owners edit.
        put(&mut build.root, "/usr/share/doc/a/key.pem", text.as_str());
        let list = "/etc/ssh/host\n/usr/share/doc/a/key.pem\n";
        put(&mut build.root, "/var/lib/dpkg/info/a.list", list);
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

/// The offer of an Artifact `r2` that any device may install.
fn offer(demands: Demands, signed: Signed) -> Offer {
    Offer {
        name: "r2".into(),
        demands,
        depends_names: Vec::new(),
        depends: BTreeMap::new(),
        signed,
        payload_sha256: Some([7; 32]),
    }
}

/// A pair of keys made by OpenSSL: the private one, and the public one in PEM form.
fn pair(dir: &Path, name: &str) -> (Signer, String) {
    let (private, public) = (dir.join(name), dir.join(format!("{name}.pub")));
    let script = "openssl ecparam -name prime256v1 -genkey -noout -out \"$0\" && \
                  openssl pkey -in \"$0\" -pubout -out \"$1\"";
    must("sh", &[&"-c", &script, &private, &public]);
    let signer = Signer::open(&private).unwrap().signer;
    (signer, fs::read_to_string(public).unwrap())
}

#[test]
fn a_signature_that_devices_of_an_earlier_release_refuse_is_found() {
    let Some(_) = tool("openssl") else { return };
    let dir = scratch();
    let (own, public) = pair(dir.path(), "own");
    let (_, other) = pair(dir.path(), "other");
    assert_eq!(own.verifier().pem().unwrap(), public);
    let meta = Build::new().meta;
    let mut file = Cursor::new(Vec::new());
    artifact::write(&mut file, &meta, &Content::bytes(*b"payload"), Some(&own)).unwrap();
    let report = artifact::validate(&mut file.get_ref().as_slice(), None).unwrap();
    let written = || Offer::of(&report.artifact);
    let planned = |signed| offer(written().demands, signed);
    for (keys, signed, unsigned) in [
        (json!([]), vec![], vec![]),
        (json!([public]), vec![], vec!["field-signature"]),
        (json!([other, public]), vec![], vec!["field-signature"]),
        (
            json!([other]),
            vec!["field-signature"],
            vec!["field-signature"],
        ),
    ] {
        let old = json!({"format": 1, "family": {"verify_keys": keys}});
        let codes = |artifact| -> Vec<&str> {
            let new = compatibility::Contract {
                artifact: Some(artifact),
                ..Default::default()
            };
            let found = compatibility::check(&old, &new).into_iter();
            found
                .map(|finding| finding.code)
                .filter(|code| *code == "field-signature")
                .collect()
        };
        assert_eq!(codes(written()), signed, "{keys}");
        assert_eq!(codes(planned(Signed::By(own.verifier()))), signed, "{keys}");
        assert_eq!(codes(planned(Signed::No)), unsigned, "{keys}");
    }
}

#[test]
fn an_artifact_that_devices_of_an_earlier_release_do_not_ask_for_is_found() {
    let old = json!({
        "format": 1,
        "artifact_name": "r1",
        "root": {"sha256": "07".repeat(32)},
        "family": {},
    });
    let demands = Demands {
        compression: Compression::Gzip,
        size: 1,
    };
    let codes = |change: &dyn Fn(&mut Offer)| -> Vec<(Severity, &str)> {
        let mut artifact = offer(demands, Signed::No);
        change(&mut artifact);
        let new = compatibility::Contract {
            artifact: Some(artifact),
            ..Default::default()
        };
        let found = compatibility::check(&old, &new).into_iter();
        found
            .map(|finding| (finding.severity, finding.code))
            .filter(|(_, code)| ["field-name", "field-depends"].contains(code))
            .collect()
    };
    let depends = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    assert_eq!(codes(&|_| {}), []);
    // The same release once more, and another of its name.
    assert_eq!(codes(&|offer| offer.name = "r1".into()), []);
    let renamed = |offer: &mut Offer| {
        offer.name = "r1".into();
        offer.payload_sha256 = Some([8; 32]);
    };
    assert_eq!(codes(&renamed), [(Severity::Error, "field-name")]);
    let after = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        codes(&|offer| offer.depends_names = after(&["r0", "r1"])),
        []
    );
    assert_eq!(
        codes(&|offer| offer.depends_names = after(&["r0"])),
        [(Severity::Error, "field-depends")]
    );
    let checksum = "rootfs-image.checksum";
    assert_eq!(
        codes(&|offer| offer.depends = depends(checksum, &"07".repeat(32))),
        []
    );
    assert_eq!(
        codes(&|offer| offer.depends = depends(checksum, "12")),
        [(Severity::Error, "field-depends")]
    );
    assert_eq!(
        codes(&|offer| offer.depends = depends("rootfs-image.version", "7")),
        [(Severity::Warning, "field-depends")]
    );
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
            artifact: Some(offer(Demands { compression, size }, Signed::No)),
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
