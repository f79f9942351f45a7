//! The record of an earlier release: what its devices could not install, or would not have.

use super::expect;
use super::image::{Build, put};
use crate::support::images::{convert, small};
use crate::support::{goldsmith, run, scratch};
use goldsmith::stamp::Uuid;
use goldsmith::units::MIB;
use goldsmith::verify::{Request, compatibility, image};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `verify --json` says of `image` and an earlier `record`: its exit code and the codes of all
/// errors.
fn verified(image: &Path, record: &Path) -> (Option<i32>, Vec<String>) {
    let output = run(
        goldsmith(),
        &[&"verify", &"--json", &"--upgrade-from", &record, &image],
    );
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors = said["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "error");
    (
        output.status.code(),
        errors
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect(),
    )
}

#[test]
fn a_release_fits_the_devices_of_the_one_before() {
    let Some(small) = small() else { return };
    let dir = scratch();
    let out = dir.path().join("out");
    // Devices of releases that had another UUID in their slots take the update as others do.
    let earlier = "root.uuid=3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e10";
    for (name, uuid) in [("r1", Some(earlier)), ("r2", None)] {
        let mut command = convert(small, &out);
        command.args(uuid.iter().flat_map(|uuid| ["--set", uuid]));
        assert!(
            command
                .args(["--set", &format!("output.name={name}")])
                .output()
                .unwrap()
                .status
                .success(),
            "{name}"
        );
    }
    let at = |name: &str| out.join(name);
    assert_eq!(verified(&at("r2.img"), &at("r1.json")), (Some(0), vec![]));
    let old: Value = serde_json::from_slice(&fs::read(at("r1.json")).unwrap()).unwrap();
    let artifact = run(
        goldsmith(),
        &[&"artifact", &"show", &"--json", &at("r2.mender")],
    );
    let shown: Value = serde_json::from_slice(&artifact.stdout).unwrap();
    let rootfs = shown
        .pointer("/files/0/size")
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{shown}"));
    for (code, place, value) in [
        ("field-record", "/format", json!(2)),
        ("field-device-type", "/family/device_type", json!("other")),
        (
            "field-disk-id",
            "/family/disk_id",
            json!("6f1a8c1e-5a0b-4d3e-9c55-0123456789ab"),
        ),
        // What the root filesystem has, and a byte less.
        ("field-slot-size", "/family/slot_size", json!(rootfs - 1)),
        ("field-slots", "/family/slots/0", json!("/dev/sda9")),
        ("field-partitions", "/disk/partitions/2/number", json!(7)),
        (
            "field-boot-mount",
            "/family/boot_mount",
            json!("/boot/other"),
        ),
    ] {
        let mut other = old.clone();
        *other
            .pointer_mut(place)
            .unwrap_or_else(|| panic!("no {place} in {old}")) = value;
        fs::write(at("other.json"), other.to_string()).unwrap();
        assert_eq!(
            verified(&at("r2.img"), &at("other.json")),
            (Some(1), vec![code.into()])
        );
    }
}

#[test]
fn a_record_that_is_none_is_refused_in_bounded_memory() {
    let dir = scratch();
    let deep = dir.path().join("deep.json");
    fs::write(&deep, "[".repeat(1 << 20)).unwrap();
    let large = dir.path().join("large.json");
    let file = fs::File::create(&large).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    for (record, why) in [
        ("/dev/zero".as_ref(), "it is a device, not a regular file"),
        (
            large.as_path(),
            "it is larger than 16 MiB, the limit for a record",
        ),
        (deep.as_path(), "recursion limit"),
    ] {
        let script = "ulimit -v 500000 && exec timeout 20 \"$@\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", script, "bash"])
            .arg(goldsmith())
            // The older name of --upgrade-from.
            .args(["verify", "--field"])
            .arg(record)
            .arg("/dev/null");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains(why),
            "{}: {said}",
            output.status
        );
    }
}

/// The record of an earlier release, as `convert` writes it, in the parts that matter.
fn record() -> serde_json::Value {
    let part = |number: u8, role: &str| json!({"number": number, "role": role, "partuuid": Uuid([number; 16]).to_string()});
    let path = |number: u8| format!("/dev/disk/by-partuuid/{}", Uuid([number; 16]));
    json!({
        "format": 1,
        "disk": {"partitions": [part(1, "boot"), part(2, "root-a"), part(3, "root-b"), part(4, "data")]},
        "family": {
            "device_type": "board", "disk_id": Uuid([9; 16]).to_string(), "slots": [path(2), path(3)],
            "slot_size": 10 * MIB, "boot_mount": "/boot/efi", "boot_loader": "GRUB",
        },
    })
}

#[test]
fn the_field_must_be_able_to_take_the_update() {
    let made = Build::new().make();
    let with = |old: &serde_json::Value| {
        image(
            &made.source(),
            &Request {
                earlier_record: Some(old),
                ..Default::default()
            },
        )
    };
    expect(&with(&record()), &[], "the same family");
    let cases = [
        ("field-record", "/format", json!(2)),
        ("field-device-type", "/family/device_type", json!("other")),
        ("field-disk-id", "/family/disk_id", json!("0123abcd")),
        (
            "field-partitions",
            "/disk/partitions/1/partuuid",
            json!("0"),
        ),
        ("field-partitions", "/disk/partitions/2/number", json!(5)),
        ("field-partitions", "/disk/partitions/3/role", json!("home")),
        ("field-slots", "/family/slots/1", json!("/dev/sda3")),
        ("field-slot-size", "/family/slot_size", json!(10 * MIB - 1)),
        ("field-boot-mount", "/family/boot_mount", json!("/uboot")),
    ];
    for (code, pointer, value) in cases {
        let mut old = record();
        *old.pointer_mut(pointer).unwrap() = value;
        expect(&with(&old), &[code], pointer);
    }
    let mut old = record();
    old["family"]["environment"] = json!(["/env1", "/env2"]);
    let environment = vec!["/env2".into()];
    let new = compatibility::Contract {
        artifact: None,
        boot_loader: Some("U-Boot".into()),
        environment,
        ..Default::default()
    };
    let found: Vec<&str> = compatibility::check(&old, &new)
        .iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(
        found,
        [
            "field-device-type",
            "field-disk-id",
            "field-slots",
            "field-boot-loader",
            "field-environment"
        ]
    );
}

#[test]
fn the_field_must_have_what_the_system_mounts() {
    let mut build = Build::new();
    let mut fstab = build.root.read("/etc/fstab", 4096).unwrap().unwrap();
    fstab.extend(b"/data/srv /srv none bind 0 0\n/data/opt /opt none bind,nofail 0 0\n");
    put(&mut build.root, "/etc/fstab", fstab);
    for tree in [&mut build.root, &mut build.data] {
        put(tree, "/srv/file", "");
        put(tree, "/opt/file", "");
    }
    let source = build.make().source();
    let found = |old: &serde_json::Value, expected: &[&str]| {
        let request = Request {
            earlier_record: Some(old),
            ..Default::default()
        };
        expect(&image(&source, &request), expected, &old.to_string());
    };
    let mut old = record();
    found(&old, &["field-data"]);
    old["family"]["data_dirs"] = json!(["/data/srv"]);
    found(&old, &[]);
    // As an older record says it.
    let mut old = record();
    old["input"] = json!({"partitions": [{"fate": "data", "path": "/srv"}]});
    found(&old, &[]);
    let mut old = record();
    old["edits"] =
        json!([{"filesystem": "data", "path": "/a"}, {"filesystem": "root", "path": "/b"}]);
    let new = compatibility::Contract {
        data_files: vec!["/a".into(), "/b".into(), "/c".into()],
        ..Default::default()
    };
    let found = compatibility::check(&old, &new);
    let found = found
        .iter()
        .find(|finding| finding.code == "field-data-files");
    let text = &found.unwrap().text;
    let mut old = record();
    old["family"]["data_dirs"] = json!(["/data/srv"]);
    let unused = compatibility::check(&old, &Default::default());
    assert!(
        unused.iter().any(
            |finding| finding.code == "field-data-unused" && finding.text.contains("/data/srv")
        )
    );
    assert!(
        text.starts_with("/data/b and another file are not on devices"),
        "{text}"
    );
}
