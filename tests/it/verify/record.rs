//! An image and the record of its own conversion: what one has and the other has not.

use crate::support::images::{convert, small};
use crate::support::{goldsmith, run, scratch};
use serde_json::{Value, json};
use std::fs;

/// Changes of a record, whose edit number `added` added a file: the code of the finding, where the
/// change is, what is there then, and a part of the text.
fn changes(added: usize) -> [(&'static str, String, Value, &'static str); 6] {
    [
        (
            "record-edit",
            format!("/edits/{added}/path"),
            json!("/no/such"),
            "but it is missing",
        ),
        (
            "record-edit",
            format!("/edits/{added}/action"),
            json!("removed"),
            "but it is there",
        ),
        (
            "record-partition",
            "/disk/partitions/1/size".to_owned(),
            json!(4096),
            "the record has 4096 bytes",
        ),
        (
            "record-partition",
            "/disk/partitions/3/partuuid".to_owned(),
            json!("0"),
            "PARTUUID 0; the disk has",
        ),
        (
            "record-partition",
            "/disk/partitions/3/number".to_owned(),
            json!(9),
            "no such partition",
        ),
        (
            "record-unreadable",
            "/format".to_owned(),
            json!(2),
            "has the format 2",
        ),
    ]
}

#[test]
fn an_image_has_what_its_record_says() {
    let Some(small) = small() else { return };
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    let made = convert(small, dir.path())
        .args(["--set", "output.name=r1"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let (image, changed) = (at("r1.img"), at("changed.json"));
    let record: Value = serde_json::from_slice(&fs::read(at("r1.json")).unwrap()).unwrap();
    let verified = |record: &Value| {
        fs::write(&changed, record.to_string()).unwrap();
        let output = run(
            goldsmith(),
            &[&"verify", &"--json", &"--record", &changed, &image],
        );
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = said["findings"].as_array().unwrap().iter();
        let mut errors: Vec<(String, String)> = findings
            .filter(|finding| finding["severity"] == "error")
            .map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap().to_owned();
                (text("code"), text("text"))
            })
            .collect();
        errors.dedup();
        (output.status.code(), errors)
    };
    assert_eq!(verified(&record), (Some(0), vec![]));
    let of_root = |action: &str| {
        let edits = record["edits"].as_array().unwrap();
        let found = edits
            .iter()
            .position(|edit| edit["filesystem"] == "root" && edit["action"] == action);
        found.expect("an edit of this kind")
    };
    let added = of_root("added");
    for (code, pointer, value, why) in changes(added) {
        let mut other = record.clone();
        *other.pointer_mut(&pointer).unwrap() = value;
        let (status, errors) = verified(&other);
        assert_eq!(status, Some(1), "{pointer}");
        // Both slots have the edits of the root filesystem.
        let all = errors
            .iter()
            .all(|(found, text)| found == code && text.contains(why));
        assert!(all && !errors.is_empty(), "{pointer}: {errors:?}");
    }
}
