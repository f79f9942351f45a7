//! `goldsmith lock` and `goldsmith fetch` against a repository of packages that have the shape of
//! the vendor's, signed by a key of the test and served on the loopback interface; then `plan` and
//! `convert` without it.

pub(crate) mod device;
mod mistakes;
mod pinned;

use crate::support::tool;
use device::{Device, Member};
use std::fs;

/// The members of the client that every device needs, in the version `client`, and the script that
/// conflicts with every later patch of them: newest first is no solution.
fn members(client: &str) -> Vec<Member> {
    vec![
        Member::new("mender-auth", client)
            .files(&["usr/bin/mender-auth"])
            .service("mender-authd"),
        Member::new("mender-update", client)
            .fields("Depends: mender-auth\nRecommends: mender-client-version-inventory-script\n")
            .files(&[
                "usr/bin/mender-update",
                "usr/share/mender/modules/v3/rootfs-image",
                "usr/share/mender/identity/mender-device-identity",
                "usr/share/mender/inventory/mender-inventory-hostinfo",
            ])
            .service("mender-updated"),
    ]
}

/// The vendor's script that holds the versions of a bundle together.
fn script(version: &str, next: &str) -> Member {
    let ranges = ["mender-auth", "mender-update"]
        .map(|name| format!("{name} (<< {version}), {name} (>= {next})"));
    Member::new("mender-client-version-inventory-script", version)
        .architecture("all")
        .fields(&format!(
            "Depends: mender-update\nConflicts: {}\n",
            ranges.join(", ")
        ))
        .files(&["usr/share/mender/inventory/mender-inventory-client-version"])
}

/// A repository with two patches of the client, an older release and a newer one.
fn repository() -> Vec<Member> {
    let mut all = Vec::new();
    for version in ["5.0.4-1", "5.1.0-1", "5.1.1-1", "5.2.0-1"] {
        all.extend(members(version));
    }
    all.push(script("5.1.0-1", "5.1.1"));
    all.push(Member::new("chrony", "4.3-2").fields("Depends: mender-auth (>= 5)\n"));
    all
}

/// The lines of `goldsmith lock` that name packages.
fn chosen(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|line| line.contains("): ")).collect()
}

#[test]
fn a_bundle_is_locked_fetched_and_converted_without_the_network() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let script = "mender-client-version-inventory-script";
    let client = format!("bundle = \"6.0\"\ninstall = [\"chrony\", \"{script}\"]");
    let Some(device) = Device::new(&client, &repository()) else {
        return;
    };
    let locked = device.must(&["lock", "-q"], true);
    assert_eq!(
        chosen(&locked),
        [
            "chrony 4.3-2 (amd64): client.install chrony",
            "mender-auth 5.1.0-1 (amd64): client.bundle 6.0",
            "mender-client-version-inventory-script 5.1.0-1 (all): client.install \
             mender-client-version-inventory-script",
            "mender-update 5.1.0-1 (amd64): client.bundle 6.0",
        ],
        "the newest that fit: {locked}"
    );
    let text = fs::read_to_string(device.lock_file()).unwrap();
    assert!(text.contains("system = \"debian bookworm\""), "{text}");
    device.must(&["lock", "-q"], true);
    assert_eq!(
        text,
        fs::read_to_string(device.lock_file()).unwrap(),
        "the same again"
    );

    let before = device.fails(&device.conversion("plan"), true);
    assert!(
        before.contains("lacks chrony_4.3-2_amd64.deb and 3 other packages"),
        "{before}"
    );
    assert!(
        before.contains("hint: download them with `goldsmith fetch`"),
        "{before}"
    );
    let fetched = device.must(&["fetch", "-q", "--package-cache", "cache"], false);
    assert!(fetched.starts_with("4 packages: 4 downloaded"), "{fetched}");
    let again = device.must(&["fetch", "-q", "--package-cache", "cache"], false);
    assert!(
        again.starts_with("4 packages: 0 downloaded (0 B), 4 in the cache"),
        "{again}"
    );

    let requests = device.requests();
    let plan = device.must(&device.conversion("plan"), true);
    for line in [
        "Update client   5.1.0-1 (bundle 6.0)",
        "Package         mender-update 5.1.0-1 (amd64)",
        "Package         chrony 4.3-2 (amd64)",
    ] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    device.must(&device.conversion("convert"), true);
    let image = device.path().join("deploy/golden-qemux86-64-r1.img");
    device.must(&["verify", image.to_str().unwrap()], false);
    assert_eq!(
        device.requests(),
        requests,
        "plan and convert use no network"
    );
}

#[test]
fn recommended_packages_are_left_out_on_demand_and_versions_are_as_written() {
    if tool("dpkg-deb").is_none() {
        return;
    }
    let Some(device) = Device::new("bundle = \"6.0\"", &repository()) else {
        return;
    };
    let newest = [
        "mender-auth 5.1.1-1 (amd64): client.bundle 6.0",
        "mender-update 5.1.1-1 (amd64): client.bundle 6.0",
    ];
    let output = device.run(&["lock"], true);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(
        notes.contains("mender-client-version-inventory-script"),
        "left out: {notes}"
    );
    assert_eq!(chosen(&String::from_utf8(output.stdout).unwrap()), newest);
    device.configure("bundle = \"6.0\"\nrecommends = false");
    assert_eq!(chosen(&device.must(&["lock", "-q"], true)), newest);
    device.configure("bundle = \"6.0\"\nrecommends = false\ninstall = [\"mender-auth=5.1.0-*\"]");
    let changed = device.must(&["lock", "-q"], true);
    assert!(changed.contains("mender-auth 5.1.0-1 (amd64) [was 5.1.1-1]: client.install"));
    device.configure("install = [\"mender-update >= 5.2\"]\nrecommends = false");
    let newest = device.must(&["lock", "-q"], true);
    assert!(newest.contains("mender-auth 5.2.0-1 (amd64) [was 5.1.0-1]: mender-update depends"));
}
