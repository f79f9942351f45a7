//! Hooks: the user's programs that take part in a conversion.

use super::boards::{SMALL, fine, golden, refused, write};
use crate::support::{must, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A hook of a few lines of shell.
fn hook(dir: &Path, name: &str, script: &str) {
    write(dir, name, format!("#!/bin/sh\nset -eu\n{script}\n"));
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn hooks_take_part_and_the_plan_runs_none() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    hook(
        at,
        "hooks/before",
        "cat >data/plan.json; mkdir -p rootfs/etc; echo \"${HOME-none}\" >rootfs/etc/home; chmod 600 rootfs/etc/home; ln -s ../../../outside rootfs/etc/link; pwd >data/where; echo said",
    );
    hook(
        at,
        "hooks/after",
        "grep -q '/boot/mender-slot.env' && mkdir boot/efi && echo late >boot/efi/late.txt",
    );
    hook(
        at,
        "hooks/image",
        "image=$(sed -n 's/^ *\"image\": \"\\(.*\\)\",*$/\\1/p'); head -c 512 \"$image\" >output/boot-sector; test \"$GOLDSMITH_STAGE\" = after-image",
    );
    write(
        at,
        "top.toml",
        "extends = [\"qemux86-64\"]\n[hooks]\nbefore-edits = \"hooks/before\"\nafter-edits = [\"hooks/after\"]\nafter-image = \"hooks/image\"\n",
    );
    let plan = fine(at, &format!("plan {SMALL} -c top.toml golden.img"));
    for line in [
        "Hook            before-edits before (would run;",
        "Hook            after-image image (would run;",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(!plan.contains("/etc/home"), "{plan}");

    let files = fine(at, &format!("convert {SMALL} -c top.toml golden.img"));
    assert!(files.contains("out/boot-sector\n"), "{files}");
    assert_eq!(
        fs::read(at.join("out/boot-sector")).unwrap()[510..],
        [0x55, 0xaa]
    );
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(at.join("out/golden-qemux86-64-r1.json")).unwrap())
            .unwrap();
    assert_eq!(
        record["hooks"][1],
        serde_json::json!({ "stage": "after-edits", "program": "after" })
    );
    let edit = |path: &str| {
        record["edits"]
            .as_array()
            .unwrap()
            .iter()
            .find(|edit| edit["path"] == path)
            .cloned()
            .unwrap_or_default()
    };
    for (path, reason) in [
        ("/etc/home", "hook before"),
        ("/EFI/late.txt", "hook after"),
        ("/plan.json", "hook before"),
    ] {
        assert_eq!(edit(path)["reason"], reason, "{path}");
    }
    staged_files_are_in_the_image(at, &record);
}

/// What the hooks staged is in slot A and on the data partition of the image below `at`.
fn staged_files_are_in_the_image(at: &Path, record: &serde_json::Value) {
    let Some(debugfs) = tool("debugfs") else {
        return;
    };
    let part = |number: usize, name: &str| {
        let place = &record["disk"]["partitions"][number];
        let (start, size) = (
            place["start"].as_u64().unwrap() as usize,
            place["size"].as_u64().unwrap() as usize,
        );
        fs::write(
            at.join(name),
            &fs::read(at.join("out/golden-qemux86-64-r1.img")).unwrap()[start..start + size],
        )
        .unwrap();
    };
    part(1, "slot");
    part(3, "kept");
    assert_eq!(
        must(&debugfs, &[&"-R", &"cat /etc/home", &at.join("slot")]),
        "none\n"
    );
    let stat = must(&debugfs, &[&"-R", &"stat /etc/home", &at.join("slot")]);
    assert!(
        stat.contains("Mode:  0600") && stat.contains("User:     0   Group:     0"),
        "{stat}"
    );
    let told: serde_json::Value = serde_json::from_str(&must(
        &debugfs,
        &[&"-R", &"cat /plan.json", &at.join("kept")],
    ))
    .unwrap();
    assert_eq!(
        (
            &told["artifact_name"],
            &told["architecture"],
            &told["stage"]
        ),
        (&"r1".into(), &"amd64".into(), &"before-edits".into())
    );
    let place = must(&debugfs, &[&"-R", &"cat /where", &at.join("kept")]);
    assert!(!Path::new(place.trim()).exists(), "{place} was left behind");
}

#[test]
fn hooks_that_do_wrong_stop_the_conversion() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    hook(at, "fails", "echo no network >&2; exit 7");
    hook(at, "fstab", "mkdir rootfs/etc; echo mine >rootfs/etc/fstab");
    hook(at, "twice", "echo x >output/golden-qemux86-64-r1.mender");
    hook(
        at,
        "changes",
        "image=$(sed -n 's/^ *\"image\": \"\\(.*\\)\",*$/\\1/p'); echo x >>\"$image\"",
    );
    for (stage, program, says) in [
        (
            "before-edits",
            "fails",
            "error: the before-edits hook fails: failed (exit status: 7) with the message:\nno network\n",
        ),
        (
            "after-edits",
            "fails",
            "error: the after-edits hook fails: failed (exit status: 7) with the message:\nno network\n",
        ),
        (
            "after-image",
            "fails",
            "error: the after-image hook fails: failed (exit status: 7) with the message:\nno network\n",
        ),
        (
            "before-edits",
            "none",
            "error: the before-edits hook none: it cannot be started: No such file or directory",
        ),
        (
            "after-edits",
            "fstab",
            "error: hook fstab: /etc/fstab was written by the integration and cannot be replaced\n",
        ),
        (
            "after-image",
            "twice",
            "error: the after-image hook twice staged golden-qemux86-64-r1.mender, which cannot be put next to the results\n",
        ),
        (
            "after-image",
            "changes",
            "error: the after-image hook changes changed what was written and checked\n",
        ),
    ] {
        let said = refused(
            at,
            &format!("convert {SMALL} -c qemux86-64 -s hooks.{stage}={program} golden.img"),
            1,
        );
        assert!(said.starts_with(says), "{stage} {program}: {said}");
        let left: Vec<_> = fs::read_dir(at.join("out"))
            .map(|dir| dir.map(|entry| entry.unwrap().file_name()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{stage} {program}: {left:?}");
    }
    // Before the edits it may: the integration works on what it finds.
    fine(
        at,
        &format!("convert {SMALL} -c qemux86-64 -s hooks.before-edits=fstab golden.img"),
    );
}
