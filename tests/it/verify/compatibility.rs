//! The record of an earlier release, as the command takes it.

use crate::support::images::{convert, small};
use crate::support::{goldsmith, run, scratch};
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
    for name in ["r1", "r2"] {
        let mut command = convert(small, &out);
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
    for (record, why) in [
        (
            "/dev/zero".as_ref(),
            "is larger than 16 MiB, the limit for a record",
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
