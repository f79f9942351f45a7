//! `goldsmith fleet plan`: actions that mean the same anywhere.

use super::{assert_same, command, files, fleet, said};
use crate::support::scratch;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn plan(dir: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["plan", "--json"], arguments].concat();
    serde_json::from_str(&said(command(dir, &arguments))).unwrap()
}

/// Makes the directory `to` of an action from `from` by its list of files alone, as a store of
/// blobs would that keeps no permission bits. Files that are not the fleet's own are read from
/// where the test knows them to be.
fn stage(action: &Value, from: &Path, to: &Path) {
    for input in action["inputs"].as_array().unwrap() {
        let path = input["path"].as_str().unwrap();
        let at = to.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match input["kind"].as_str().unwrap() {
            "directory" => fs::create_dir_all(&at).unwrap(),
            "link" => std::os::unix::fs::symlink(input["target"].as_str().unwrap(), &at).unwrap(),
            _ => {
                let bytes = match (input["text"].as_str(), path) {
                    (Some(text), _) => text.as_bytes().to_vec(),
                    (None, ".goldsmith/goldsmith") => {
                        fs::read(crate::support::goldsmith()).unwrap()
                    }
                    (None, path) => fs::read(from.join(path)).unwrap(),
                };
                let digest = goldsmith::digest::hex(&Sha256::digest(&bytes));
                assert_eq!(input["sha256"], digest, "{path}");
                assert_eq!(input["size"], bytes.len(), "{path}");
                fs::write(&at, bytes).unwrap();
                let mode = match input["executable"].as_bool().unwrap() {
                    true => 0o755,
                    false => 0o644,
                };
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
    let listed = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let mut dirs = vec![to.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        dirs.extend(listed(&dir).filter(|path| path.is_dir() && !path.is_symlink()));
    }
}

#[test]
fn an_action_has_all_it_needs_and_gives_the_same_bytes() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(dir, "").is_none() {
        return;
    }
    let list = plan(dir, &["fleet.toml", "--platform", "ISA=x86-64"]);
    assert!(!dir.join("deploy").exists(), "a plan writes nothing");
    assert_eq!(list, plan(dir, &["fleet.toml", "--platform", "ISA=x86-64"]));
    // From another directory, by another path.
    let file = dir.join("fleet.toml");
    let named = file.to_str().unwrap();
    assert_eq!(
        list,
        plan(Path::new("/"), &[named, "--platform", "ISA=x86-64"])
    );
    said(command(dir, &["convert", "fleet.toml", "-q"]));
    assert_eq!(list["actions"].as_array().unwrap().len(), 4);
    for action in list["actions"].as_array().unwrap() {
        let target = action["target"].as_str().unwrap();
        let elsewhere = dir.join("elsewhere").join(target);
        stage(action, dir, &elsewhere);
        let mut words = action["arguments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap());
        let program = elsewhere.join(words.next().unwrap());
        let mut command = Command::new(program);
        command.args(words).current_dir(&elsewhere).env_clear();
        said(command.output().unwrap());
        let there = elsewhere.join("deploy").join(target);
        assert_same(
            &files(&there),
            &files(&dir.join("deploy").join(target)),
            target,
        );
        let written: Vec<String> = files(&there).into_keys().collect();
        let outputs = action["outputs"].as_array().unwrap();
        let outputs: Vec<&str> = outputs.iter().map(|path| path.as_str().unwrap()).collect();
        let wanted: Vec<String> = written
            .iter()
            .map(|name| format!("deploy/{target}/{name}"))
            .collect();
        assert_eq!(outputs, wanted, "the results are known beforehand");
        assert_eq!(action["platform"]["ISA"], "x86-64");
    }
    let text = said(command(dir, &["plan", "fleet.toml"]));
    let line = "atlas-plain\n  .goldsmith/goldsmith convert \\\n      --no-cache \\\n      --config common.toml \\\n      \
                --config boards/atlas.toml \\\n      --set 'artifact.name=\"r1\"' \\\n      --output-dir deploy/atlas-plain golden.img\n  \
                reads   4 files (";
    assert!(text.starts_with(line), "{text}");
}

#[test]
fn files_beside_the_fleet_are_found_from_a_directory_with_all_of_them() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(&dir.join("product"), "").is_none() {
        return;
    }
    fs::create_dir(dir.join("fleets")).unwrap();
    let text = fs::read_to_string(dir.join("product/fleet.toml")).unwrap();
    let moved = text
        .replace("\"golden.img\"", "\"../product/golden.img\"")
        .replace("\"common.toml\"", "\"../product/common.toml\"")
        .replace("\"boards/", "\"../product/boards/")
        .replace("\"overlay/lab\"", "\"../product/overlay/lab\"");
    fs::write(dir.join("fleets/all.toml"), moved).unwrap();
    let list = plan(dir, &["fleets/all.toml", "--target", "atlas-lab"]);
    let action = &list["actions"][0];
    let arguments = action["arguments"].to_string();
    assert!(
        arguments.contains("\"--overlay\",\"product/overlay/lab\""),
        "{arguments}"
    );
    let modes = action["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|input| input["text"].as_str());
    let modes = modes.unwrap();
    assert!(
        modes.contains("0750 product/overlay/lab/etc/lab\n"),
        "{modes}"
    );
    assert!(
        modes.contains("0600 product/overlay/lab/etc/lab/secret\n"),
        "{modes}"
    );
    let wrong = fs::read_to_string(dir.join("fleets/all.toml")).unwrap()
        + "[[target]]\nname = \"own\"\nset = { board.device-type = \"own\", rootfs.overlays = \"x\" }\n";
    fs::write(dir.join("fleets/all.toml"), wrong).unwrap();
    fs::create_dir(dir.join("fleets/x")).unwrap();
    let output = command(dir, &["plan", "fleets/all.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("target own: fleets/all.toml:"), "{errors}");
    assert!(
        errors.contains("rootfs.overlays: a path in `set`, but the files"),
        "{errors}"
    );
}

#[test]
fn what_an_action_cannot_have_is_told_at_once() {
    let scratch = scratch();
    let dir = scratch.path();
    let more = "
[[target]]
name = \"absolute\"
set = { board.device-type = \"x\", artifact.key = \"/key.pem\" }
[[target]]
name = \"missing\"
overlay = \"not-there\"
set = { board.device-type = \"x\" }
[[exclude]]
board = \"atlas\"
[[exclude]]
board = \"boreas\"
";
    if fleet(dir, more).is_none() {
        return;
    }
    let output = command(dir, &["plan", "fleet.toml", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(object["actions"].is_null() && object["errors"].is_array());
    for part in [
        "target absolute: fleet.toml:",
        "artifact.key: `/key.pem` is an absolute path, which an action does not have",
        "target missing: reading not-there: No such file",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let nameless = "[[target]]\nname = \"nameless\"\ngolden-image = \"golden.img\"\n";
    fs::write(dir.join("nameless.toml"), nameless).unwrap();
    let output = command(dir, &["plan", "nameless.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let message = "error: target nameless: the configuration has no device type, so the names of its results are not known\nhint: set board.device-type";
    assert!(errors.starts_with(message), "{errors}");
}

#[test]
fn targets_are_jobs_of_others() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(dir, "").is_none() {
        return;
    }
    let github = said(command(dir, &["plan", "fleet.toml", "--format", "github"]));
    assert_eq!(github.lines().count(), 1);
    let github: Value = serde_json::from_str(&github).unwrap();
    let first = serde_json::json!({"board": "atlas", "variant": "plain", "target": "atlas-plain"});
    assert_eq!(github["include"][0], first);
    let gitlab = said(command(dir, &["plan", "fleet.toml", "--format", "gitlab"]));
    let gitlab: Value = serde_json::from_str(&gitlab).unwrap();
    let jobs = &gitlab["convert"]["parallel"]["matrix"][0]["TARGET"];
    assert_eq!(jobs.as_array().unwrap().len(), 4);
}
