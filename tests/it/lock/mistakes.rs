//! What goes wrong between a configuration, a lock file, a cache and a repository.

use super::device::{Device, Member};
use super::{members, repository};
use crate::support::signed_repository::Layout;
use crate::support::tool;
use std::fs;

/// A device with the client of the bundle 6.0, locked.
fn locked() -> Option<Device> {
    tool("dpkg-deb")?;
    let device = Device::new("bundle = \"6.0\"\nrecommends = false", &members("5.1.0-1"))?;
    device.must(&["lock", "-q"], true);
    Some(device)
}

#[test]
fn a_lock_file_for_other_keys_is_stale() {
    let Some(device) = locked() else { return };
    device.configure("bundle = \"6.0\"\nrecommends = false\ninstall = [\"chrony\"]");
    for args in [vec!["fetch"], device.conversion("plan")] {
        let image = args.contains(&"plan");
        let said = device.fails(&args, image);
        assert!(
            said.contains("client.install is `chrony` now, but was unset when"),
            "{said}"
        );
        assert!(
            said.contains("hint: choose the packages anew with `goldsmith lock`"),
            "{said}"
        );
    }
    fs::remove_file(device.lock_file()).unwrap();
    let said = device.fails(&device.conversion("convert"), true);
    assert!(
        said.contains("reading the lock file goldsmith.lock: No such file"),
        "{said}"
    );
    assert!(
        !device.path().join("deploy").exists(),
        "nothing was written"
    );
}

#[test]
fn a_repository_that_goes_back_is_refused_and_the_lock_file_stays() {
    let Some(device) = locked() else { return };
    let before = fs::read(device.lock_file()).unwrap();
    device.publish(&Layout {
        date: "Mon, 13 Nov 2023 22:13:20 UTC".to_owned(),
        ..Layout::default()
    });
    let said = device.fails(&["lock", "-q"], true);
    assert!(
        said.contains("2023-11-13") && said.contains("2023-11-14"),
        "{said}"
    );
    assert_eq!(before, fs::read(device.lock_file()).unwrap());
}

#[test]
fn only_keys_with_the_fingerprint_count() {
    let Some(device) = locked() else { return };
    let client = "bundle = \"6.0\"\nrecommends = false";
    device.configure_with(client, &"0".repeat(40));
    let said = device.fails(&["lock", "-q"], true);
    assert!(
        said.contains("key.asc has no key with the fingerprint 0000"),
        "{said}"
    );
    device.configure_with(client, "123");
    let said = device.fails(&["lock", "-q"], true);
    assert!(said.contains("`123` is not a fingerprint"), "{said}");
}

#[test]
fn a_damaged_cache_is_named_and_mended() {
    let Some(device) = locked() else { return };
    device.must(&["fetch", "-q", "--package-cache", "cache"], false);
    let cached = walkdir::WalkDir::new(device.path().join("cache/sha256"));
    let mut cached = cached.into_iter().filter_map(Result::ok);
    let file = cached.find(|entry| entry.file_type().is_file()).unwrap();
    let mut bytes = fs::read(file.path()).unwrap();
    bytes[100] ^= 1;
    fs::write(file.path(), bytes).unwrap();
    let said = device.fails(&device.conversion("plan"), true);
    assert!(said.contains("the lock file has the digest"), "{said}");
    assert!(said.contains("run `goldsmith fetch`"), "{said}");
    let again = device.must(&["fetch", "-q", "--package-cache", "cache"], false);
    assert!(again.starts_with("2 packages: 1 downloaded"), "{again}");
    device.must(&device.conversion("plan"), true);
}

#[test]
fn what_cannot_be_chosen_is_explained() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let mut all = repository();
    all.push(Member::new("base-files", "13").fields("Essential: yes\n"));
    all.push(Member::new("needs-newer", "1").fields("Depends: base-files (>= 13)\n"));
    all.push(Member::new("odd", "1").listed("Depends: ???\n"));
    let Some(device) = Device::new("install = [\"chronyd\"]", &all) else {
        return;
    };
    let lock = |client: &str| {
        device.configure(client);
        let said = device.fails(&["lock", "-q"], true);
        assert!(!device.lock_file().exists());
        said
    };
    let said = lock("install = [\"chronyd\"]");
    assert!(
        said.contains("chronyd") && said.contains("chrony"),
        "{said}"
    );
    let said = lock("install = [\"chrony=5.*\"]");
    assert!(
        said.contains("4.3-2"),
        "the versions that there are: {said}"
    );
    let said = lock("install = [\"needs-newer\"]");
    assert!(
        said.contains("base-files") && said.contains("12.4"),
        "{said}"
    );
    assert!(said.contains("may-change"), "{said}");
    let said = lock("bundle = \"7.0\"");
    assert!(said.contains("there is no bundle `7.0`"), "{said}");
    assert!(
        said.contains("hint: the bundles are 3.4, 4.0, 5.0, 6.0"),
        "{said}"
    );
    let said = lock("install = [\"chrony>4\"]");
    assert!(
        said.contains("client.install: `chrony>4` does not name a package"),
        "{said}"
    );
    let said = lock("");
    assert!(
        said.contains("neither client.bundle nor client.install is set"),
        "{said}"
    );
    device.configure("install = [\"needs-newer\"]\nmay-change = [\"base-files\"]");
    let output = device.run(&["lock"], true);
    let locked = String::from_utf8(output.stdout).unwrap();
    assert!(locked.contains("base-files 13 (amd64)"), "{locked}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("note: left out: package odd 1: Depends: "),
        "{said}"
    );
}
