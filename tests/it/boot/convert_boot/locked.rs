//! A device whose update client came from a signed repository, by a lock file.

use super::life;
use crate::convert::conversions::{Before, Converted, convert_after};
use crate::support::golden::{client_packages, golden};
use crate::support::http_server::HttpServer;
use crate::support::openpgp::Owner;
use crate::support::qemu::Firmware;
use crate::support::signed_repository::{Layout, PoolFile, write_repository};
use crate::support::{must, tool};
use goldsmith::platform::Architecture;
use std::fs;
use std::path::{Path, PathBuf};

/// A Debian package as a repository lists it.
fn pool_file(dpkg_deb: &Path, deb: &Path) -> PoolFile {
    let name = deb.file_name().expect("a name").to_string_lossy();
    PoolFile {
        fields: must(dpkg_deb, &[&"--field", &deb]),
        filename: format!("pool/main/{name}"),
        bytes: fs::read(deb).expect("a package"),
    }
}

/// Converts `variant` as `release`, its client chosen by `lock` and downloaded by `fetch` from a
/// repository that is gone when `convert` runs.
fn by_lock(variant: &str, release: &str, debs: &[PathBuf]) -> Option<Converted> {
    let dpkg_deb = tool("dpkg-deb")?;
    let image = golden(variant)?;
    let files: Vec<PoolFile> = debs.iter().map(|deb| pool_file(&dpkg_deb, deb)).collect();
    let lock_and_fetch = |before: &Before<'_>| {
        let served = tempfile::tempdir().expect("a directory");
        let owner = Owner::new();
        write_repository(served.path(), &owner, &Layout::default(), &files);
        let server = HttpServer::of_directory(served.path().to_owned());
        let key = before.user.path().join("key.asc");
        fs::write(key, owner.armoured()).expect("writing the key");
        let text = fs::read_to_string(before.config).expect("the configuration");
        let packages = "packages = [\"client/*.deb\"]";
        assert!(text.contains(packages), "{text}");
        let bundle = "bundle = \"3.4\"\nrecommends = false";
        let repository = format!(
            "\n[[repository]]\nurl = \"{}\"\nsuite = \"{}\"\nkey = \"key.asc\"\nfingerprint = \"{}\"\n",
            server.url(),
            Layout::default().suite,
            owner.fingerprint()
        );
        let text = text.replace(packages, bundle) + &repository;
        fs::write(before.config, text).expect("writing the configuration");
        let cache = ["--package-cache".to_owned(), "cache".to_owned()];
        let run = |arguments: &[&str], more: &[&Path]| {
            let mut command = before.user.command(before.program);
            command.args(arguments).arg(before.config).args(more);
            let output = command.output().expect("goldsmith starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {said}");
        };
        run(&["lock", "--config"], &[before.disk]);
        run(&["fetch", &cache[0], &cache[1], "--config"], &[]);
        cache.into()
    };
    let name = format!("{variant}-locked");
    convert_after(&image, &name, variant, release, "", lock_and_fetch)
}

/// A UEFI device whose client came by `lock` and `fetch`: first start, update and commit, then an
/// update that is not committed.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_device_with_a_client_of_a_lock_file() {
    if tool("mke2fs").is_none() {
        return;
    }
    let Some(debs) = client_packages(Architecture::Amd64, "trixie") else {
        return;
    };
    let Some(made) = by_lock("mini-trixie", "release-1", &debs) else {
        return;
    };
    let next = by_lock("mini2-trixie", "release-2", &debs).expect("as before");
    life(&made, &next, Firmware::SecureBoot, "life-locked", "2");
}
