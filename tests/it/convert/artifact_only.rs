//! `output.image = "none"`: the Artifact, the record and all else that does not need the image,
//! with the same bytes as next to an image.

use crate::support::images::{convert, small};
use crate::support::{goldsmith, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The results by their extension.
fn results(small: &Path, out: &Path, image: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut command = convert(small, out);
    let image = format!("output.image={image}");
    command.args(["--no-cache", "-s", &image, "-s", "output.name=r"]);
    let output = command.args(more).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let entries = fs::read_dir(out).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (name(&entry), fs::read(entry.path()).unwrap()))
        .collect()
}

fn record(results: &BTreeMap<String, Vec<u8>>) -> Value {
    serde_json::from_slice(&results["r.json"]).unwrap()
}

fn kinds(record: &Value) -> Vec<&str> {
    let outputs = record["outputs"].as_array().unwrap().iter();
    outputs
        .map(|output| output["kind"].as_str().unwrap())
        .collect()
}

#[test]
fn everything_but_the_image_is_the_same() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let more = [
        "-s",
        "output.rootfs=true",
        "-s",
        "output.file-layout=true",
        "-s",
        "output.sbom=[\"cyclonedx\", \"provenance\"]",
    ];
    let raw = results(small, &scratch.path().join("raw"), "raw", &more);
    let none = results(small, &scratch.path().join("none"), "none", &more);
    let names: Vec<&str> = none.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "r.cdx.json",
            "r.ext4",
            "r.json",
            "r.mender",
            "r.places",
            "r.provenance.json"
        ]
    );
    for name in ["r.cdx.json", "r.ext4", "r.mender", "r.places"] {
        assert!(raw[name] == none[name], "{name}");
    }
    let (mut with, mut without) = (record(&raw), record(&none));
    assert_eq!(
        kinds(&without),
        ["artifact", "rootfs", "places", "cyclonedx", "provenance"]
    );
    for record in [&mut with, &mut without] {
        record.as_object_mut().unwrap().remove("outputs");
    }
    assert_eq!(with, without);
    let statement: Value = serde_json::from_slice(&none["r.provenance.json"]).unwrap();
    let subjects = statement["subject"].as_array().unwrap().iter();
    let subjects: Vec<&str> = subjects.map(|one| one["name"].as_str().unwrap()).collect();
    assert!(subjects.contains(&"r.mender") && !subjects.contains(&"r.img"));
}

#[test]
fn devices_of_an_image_take_the_artifact_of_a_run_without_one() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let first = scratch.path().join("first");
    let mut earlier = record(&results(small, &first, "zst", &[]));
    earlier["artifact_name"] = "r0".into();
    let path = scratch.path().join("earlier.json");
    fs::write(&path, earlier.to_string()).unwrap();
    let earlier = ["--upgrade-from", path.to_str().unwrap()];
    // Without verification, too: there is nothing to open.
    for (name, verify) in [("verified", None), ("read-back", Some("--no-verify"))] {
        let more: Vec<&str> = earlier.into_iter().chain(verify).collect();
        let next = results(small, &scratch.path().join(name), "none", &more);
        let record = record(&next);
        assert_eq!((kinds(&record), next.len()), (vec!["artifact"], 2));
        assert!(record["outputs"][0]["sha256"].is_string());
    }
}

#[test]
fn a_hook_after_the_image_gets_none() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let hook = scratch.path().join("hook");
    fs::write(&hook, "#!/bin/sh\nset -e\ncat >output/r.given\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&hook, mode).unwrap();
    let hooks = format!("hooks.after-image={:?}", hook.to_str().unwrap());
    let next = results(small, &scratch.path().join("out"), "none", &["-s", &hooks]);
    let given: Value = serde_json::from_slice(&next["r.given"]).unwrap();
    let files: Vec<&String> = given["files"].as_object().unwrap().keys().collect();
    assert_eq!(files, ["artifact"]);
}

#[test]
fn the_plan_names_no_image_and_refuses_a_map_of_it() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let plan = |more: &[&str]| {
        let mut command = Command::new(goldsmith());
        command.args(["plan", "-q", "-c", "qemux86-64", "-n", "r1", "--output-dir"]);
        command.arg(scratch.path()).arg(small);
        command.args(["-s", "output.image=none", "-s", "output.name=r"]);
        command.args(["-s", "client.required=false"]);
        command.args(more).output().unwrap()
    };
    let planned = plan(&[]);
    let shown = String::from_utf8_lossy(&planned.stdout);
    assert!(
        shown.contains("\nWould write r.mender, r.json\n"),
        "{shown}{}",
        String::from_utf8_lossy(&planned.stderr)
    );
    // By default there is a map of what can be mapped; saying so contradicts.
    let refused = plan(&["-s", "output.bmap=true"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success()
            && said.contains("--set output.bmap: output.bmap asks for the block map of an image")
            && said.contains("output.image = \"none\""),
        "{said}"
    );
    assert!(plan(&["-s", "output.bmap=false"]).status.success());
}
