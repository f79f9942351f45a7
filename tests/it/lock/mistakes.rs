//! What goes wrong between a configuration, a lock file, a cache and a repository.

use super::device::{Device, Member};
use super::{members, repository};
use crate::support::openpgp::Owner;
use crate::support::signed_repository::{Layout, PoolFile, write_repository};
use crate::support::{must, tool};
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

/// Members that are asked for by name come in the bundle's version; one that is not there in it is
/// not replaced by another version, nor by a package that provides its name.
#[test]
fn members_of_a_bundle_have_its_version() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let mut all = repository();
    all.push(Member::new("mender-connect", "3.0.1-1"));
    all.push(Member::new("mender-connect", "4.0.0-1"));
    let Some(device) = Device::new("", &all) else {
        return;
    };
    let lock = |install: &str| {
        let client = format!("bundle = \"6.0\"\ninstall = [\"{install}\"]\nrecommends = false");
        device.configure(&client);
        device.must(&["lock", "-q"], true)
    };
    let bundled = lock("mender-connect");
    assert!(bundled.contains("mender-connect 3.0.1-1 ("), "{bundled}");
    let named = lock("mender-connect=4.*");
    assert!(named.contains("mender-connect 4.0.0-1 ("), "{named}");

    all.retain(|member| !member.is("mender-auth", "5.1"));
    let mut with_epoch = repository();
    with_epoch.retain(|member| !member.is("mender-auth", "5.1"));
    with_epoch.push(Member::new("mender-auth", "1:5.1.2-1"));
    with_epoch.push(Member::new("mender-auth", "1:5.2.0-1"));
    let device = Device::new("bundle = \"6.0\"", &with_epoch).expect("it could be made before");
    let chosen = device.must(&["lock", "-q"], true);
    assert!(chosen.contains("mender-auth 1:5.1.2-1 ("), "{chosen}");

    all.push(Member::new("other-auth", "1").fields("Provides: mender-auth\n"));
    let device = Device::new("bundle = \"6.0\"", &all).expect("it could be made before");
    let said = device.fails(&["lock", "-q"], true);
    assert!(
        said.starts_with(
            "error: client.bundle 6.0 wants mender-auth 5.1: there is 5.2.0-1, 5.0.4-1\nhint: "
        ),
        "{said}"
    );
}

/// Repositories of the host, and those that say that they are for what is asked for alone.
#[test]
fn backports_are_taken_where_they_are_asked_for() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let mut all = repository();
    all.push(Member::new("tool", "1.0"));
    let Some(device) = Device::new("install = [\"tool\"]", &all) else {
        return;
    };
    let (owner, mirror) = (Owner::new(), device.path().join("a mirror"));
    let layout = Layout {
        fields: "NotAutomatic: yes\nButAutomaticUpgrades: yes\n".to_owned(),
        ..Layout::default()
    };
    let work = tempfile::tempdir().unwrap();
    let members = [Member::new("tool", "2.0"), Member::new("gadget", "2.0")];
    let pool: Vec<PoolFile> = members.iter().map(|one| one.build(work.path())).collect();
    write_repository(&mirror, &owner, &layout, &pool);
    must("chmod", &[&"-R", &"a+rX", &mirror]);
    device.give("mirror.asc", &owner.armoured());
    let lock = |install: &str| {
        device.configure(&format!("install = [{install}]"));
        let text = fs::read_to_string(device.path().join("device.toml")).unwrap();
        let (url, suite, fingerprint) = (mirror.display(), &layout.suite, owner.fingerprint());
        device.give(
            "device.toml",
            &format!(
                "{text}[[repository]]\nurl = \"file://{url}\"\nsuite = \"{suite}\"\nkey = \"mirror.asc\"\n\
                 fingerprint = \"{fingerprint}\"\n"
            ),
        );
        device.must(&["lock", "-q"], true)
    };
    let plain = lock("\"tool\", \"gadget\"");
    assert!(plain.contains("tool 1.0 ("), "{plain}");
    assert!(
        plain.contains("gadget 2.0 ("),
        "it is nowhere else: {plain}"
    );
    let named = lock("\"tool=2.*\"");
    assert!(named.contains("tool 2.0 ("), "{named}");
    device.must(&["fetch", "-q", "--package-cache", "cache"], false);
}

/// A lock file that is a link stays one, and a link in the package cache leads nothing astray.
#[test]
fn links_are_not_replaced_and_not_followed() {
    let Some(device) = locked() else { return };
    let at = device.path();
    fs::rename(device.lock_file(), at.join("real.lock")).unwrap();
    std::os::unix::fs::symlink("real.lock", device.lock_file()).unwrap();
    fs::write(at.join("real.lock"), "").unwrap();
    must("chmod", &[&"a+w", &at.join("real.lock")]);
    device.must(&["lock", "-q"], true);
    assert!(device.lock_file().is_symlink());
    let text = fs::read_to_string(at.join("real.lock")).unwrap();
    let digest = text
        .lines()
        .find_map(|line| line.strip_prefix("sha256 = \""))
        .unwrap();
    let digest = digest.trim_end_matches('"');

    fs::write(at.join("victim"), "mine").unwrap();
    let partial = at.join("fresh/partial");
    fs::create_dir_all(&partial).unwrap();
    std::os::unix::fs::symlink(at.join("victim"), partial.join(digest)).unwrap();
    must(
        "chmod",
        &[&"-R", &"a+rwX", &at.join("fresh"), &at.join("victim")],
    );
    device.must(&["fetch", "-q", "--package-cache", "fresh"], false);
    assert_eq!(fs::read_to_string(at.join("victim")).unwrap(), "mine");
    let entry = at.join("fresh/sha256").join(&digest[..2]).join(digest);
    assert!(entry.symlink_metadata().unwrap().is_file());
}
