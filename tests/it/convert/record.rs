//! `<name>.json`: the sums of what went in and came out, and no edit that made no difference.

use crate::support::images;
use crate::support::{must, scratch, tool};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn record(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(format!("{name}-qemux86-64-r1.json"))).unwrap())
        .unwrap()
}

fn sum(path: &Path) -> String {
    must("sha256sum", &[&path])[..64].to_owned()
}

#[test]
fn what_went_in_and_came_out_has_its_sum() {
    let (Some(small), Some(gzip)) = (images::small(), tool("gzip")) else {
        return;
    };
    let dir = scratch();
    let packed = dir.path().join("packed.img.gz");
    must(
        "sh",
        &[&"-c", &"\"$0\" -1 <\"$1\" >\"$2\"", &gzip, &small, &packed],
    );
    let raw = dir.path().join("raw.img");
    must("cp", &[&"--sparse=always", &small, &raw]);
    let cases = [
        (
            &packed,
            "packed",
            vec!["output.image=gz", "output.rootfs=true"],
            true,
        ),
        (&packed, "packed", vec!["output.input-digest=false"], false),
        (&raw, "raw", vec!["output.image=qcow2"], false),
        (&raw, "raw", vec!["output.input-digest=true"], true),
    ];
    for (disk, name, settings, named) in cases {
        let mut command = images::convert(disk, dir.path());
        command.arg("-q");
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        assert!(command.status().unwrap().success(), "{settings:?}");
        let record = record(dir.path(), name);
        let input = record["input"]["sha256"].as_str();
        assert_eq!(input, named.then(|| sum(disk)).as_deref(), "{settings:?}");
        for output in record["outputs"].as_array().unwrap() {
            let file = output["file"].as_str().unwrap();
            let found = output["sha256"].as_str();
            if file.ends_with(".img") {
                assert_eq!(found, None, "{file}");
            } else {
                assert_eq!(found, Some(sum(&dir.path().join(file)).as_str()), "{file}");
            }
        }
    }
}

#[test]
fn a_second_conversion_has_nothing_to_edit() {
    let Some(small) = images::small() else { return };
    let dir = scratch();
    assert!(
        images::convert(small, dir.path())
            .status()
            .unwrap()
            .success()
    );
    let once = dir.path().join("small-qemux86-64-r1.img");
    let mut command = images::convert(&once, dir.path());
    command.args([
        "-q",
        "--set",
        "root.partition=2",
        "--set",
        "output.name=twice-qemux86-64-r1",
    ]);
    assert!(command.status().unwrap().success());
    let edits = record(dir.path(), "twice")["edits"].clone();
    let kept = edits
        .as_array()
        .unwrap()
        .iter()
        .filter(|edit| edit["filesystem"] != "data");
    let kept: Vec<String> = kept
        .map(|edit| format!("{} {}", edit["action"], edit["path"]))
        .collect();
    assert_eq!(kept, [""; 0]);
}
