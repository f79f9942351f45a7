//! `goldsmith fleet convert`.

use super::{assert_same, command, files, fleet, said};
use crate::support::{goldsmith, scratch};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A single conversion in `dir` with these arguments.
fn single(dir: &Path, out: &Path, arguments: &[&str]) {
    let mut command = Command::new(goldsmith());
    command
        .args(["convert", "-c", "common.toml", "--no-cache", "--output-dir"])
        .arg(out);
    let output = command
        .args(arguments)
        .arg("golden.img")
        .current_dir(dir)
        .output()
        .unwrap();
    said(output);
}

#[test]
fn targets_have_the_bytes_of_single_conversions() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(dir, "").is_none() {
        return;
    }
    let summary = said(command(
        dir,
        &[
            "convert",
            "fleet.toml",
            "--jobs",
            "3",
            "--json",
            "--no-cache",
        ],
    ));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(
        (&summary["converted"], &summary["failed"]),
        (&4.into(), &0.into())
    );
    assert!(summary.get("caches").is_none(), "{summary}");
    assert_eq!(summary["targets"][3]["target"], "boreas-lab");
    assert_eq!(summary["targets"][3]["directory"], "deploy/boreas-lab");
    let boreas = [
        "--set",
        "board.device-type=boreas",
        "--set",
        "output.image=zst",
    ];
    let lab = [
        "--overlay",
        "overlay/lab",
        "--set",
        "output.rootfs=true",
        "--set",
        "output.sbom=[\"cyclonedx\", \"provenance\"]",
        "--set",
        "output.file-layout=true",
    ];
    let name = ["--artifact-name", "r1"];
    for (target, board) in [
        ("atlas", &["-c", "boards/atlas.toml"][..]),
        ("boreas", &boreas),
    ] {
        for (variant, more) in [("plain", &[][..]), ("lab", &lab)] {
            let target = format!("{target}-{variant}");
            let out = dir.join("single").join(&target);
            single(dir, &out, &[board, more, &name].concat());
            assert_same(
                &files(&dir.join("deploy").join(&target)),
                &files(&out),
                &target,
            );
        }
    }
    let mut left: Vec<_> = fs::read_dir(dir.join("deploy"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["atlas-lab", "atlas-plain", "boreas-lab", "boreas-plain"]
    );
    again_with_a_cache(dir);
}

/// What is there already is made again as it was, with a cache that stays.
fn again_with_a_cache(dir: &Path) {
    let again = [
        "convert",
        "fleet.toml",
        "--cache",
        "cache",
        "--target",
        "atlas-lab",
    ];
    let before = files(&dir.join("deploy/atlas-lab"));
    let text = said(command(dir, &again));
    assert!(
        text.starts_with("converted  atlas-lab\n  deploy/atlas-lab/golden-atlas-r1."),
        "{text}"
    );
    assert!(text.ends_with("1 of 1 targets were converted\n"), "{text}");
    assert_same(&files(&dir.join("deploy/atlas-lab")), &before, "again");
    assert!(fs::read_dir(dir.join("cache")).unwrap().count() > 4);
}

#[test]
fn frames_are_made_once_and_kept_for_the_next_run() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(dir, "[[exclude]]\nvariant = \"lab\"\n").is_none() {
        return;
    }
    let convert = |more: &[&str]| {
        let mut command = Command::new(goldsmith());
        command.args(["fleet", "convert", "fleet.toml", "-j", "4", "--json"]);
        command.args(more).current_dir(dir);
        // The directory of a user who has no cache yet.
        command.env("XDG_CACHE_HOME", dir.join("user"));
        let summary: Value = serde_json::from_str(&said(command.output().unwrap())).unwrap();
        summary["caches"].clone()
    };
    let own = dir.join("user/goldsmith/frames");
    let usage = |caches: &Value, dir: &Path| {
        let one = &caches[dir.to_str().unwrap()];
        let count = |key: &str| one[key].as_u64().unwrap();
        (count("reused_frames"), count("compressed_frames"))
    };
    assert!(convert(&["--no-cache"]).is_null() && !own.exists());
    let (reused, compressed) = usage(&convert(&[]), &own);
    // The lock file is there too.
    let kept = fs::read_dir(&own).unwrap().count() as u64 - 1;
    assert_eq!(compressed, kept, "a frame was made twice");
    assert!(reused > 0);
    // How often a frame of zeros is asked for depends on the threads.
    let (again, made) = usage(&convert(&[]), &own);
    assert!(made == 0 && again >= kept, "{made} made, {again} found");
    let named = dir.join("named");
    let (_, compressed) = usage(&convert(&["--cache", "named"]), Path::new("named"));
    assert_eq!(compressed, fs::read_dir(&named).unwrap().count() as u64 - 1);
}

#[test]
fn the_start_of_a_root_filesystem_is_copied_from_another_target() {
    let scratch = scratch();
    let dir = scratch.path();
    if fleet(dir, "").is_none() {
        return;
    }
    let board = |name: &str, more: &str| {
        format!("[[board]]\nname = \"{name}\"\n{more}set = {{ board.device-type = \"{name}\" }}\n")
    };
    // More inodes move what is at the start.
    fs::create_dir_all(dir.join("early/srv")).unwrap();
    for number in 0..3000 {
        fs::write(dir.join(format!("early/srv/{number}")), "").unwrap();
    }
    let boards = [
        board("first", ""),
        board("late", ""),
        board("early", "overlay = \"early\"\n"),
        board("stored", "config = \"stored.toml\"\n"),
        board("again", "overlay = \"early\"\n"),
    ];
    fs::write(dir.join("stored.toml"), "output.rootfs = true\n").unwrap();
    let text = "[all]\ngolden-image = \"golden.img\"\nconfig = \"common.toml\"\n\
                set = { artifact.name = \"r1\" }\n";
    fs::write(dir.join("fleet.toml"), text.to_owned() + &boards.concat()).unwrap();
    for (jobs, more) in [("1", &[][..]), ("3", &["--no-verify"])] {
        let _ = fs::remove_dir_all(dir.join("deploy"));
        let arguments = ["convert", "fleet.toml", "--no-cache", "-v", "-j", jobs];
        let output = command(dir, &[&arguments, more].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        said(output);
        for name in ["first", "late", "early", "stored", "again"] {
            let out = dir.join("single").join(name);
            if jobs == "1" {
                let is_copied = told.lines().any(|line| {
                    line.starts_with(&format!("{name}: "))
                        && line.ends_with("of another target: copied")
                });
                assert_eq!(
                    is_copied,
                    ["late", "again"].contains(&name),
                    "{name}: {told}"
                );
                let board = format!("board.device-type={name}");
                let mut arguments = vec!["--set", &board, "--artifact-name", "r1"];
                match name {
                    "early" | "again" => arguments.extend(["--overlay", "early"]),
                    "stored" => arguments.extend(["-c", "stored.toml"]),
                    _ => (),
                }
                single(dir, &out, &arguments);
            }
            assert_same(&files(&dir.join("deploy").join(name)), &files(&out), name);
        }
    }
}

#[test]
fn a_target_that_fails_does_not_stop_the_others() {
    let scratch = scratch();
    let dir = scratch.path();
    let more = "
[[board]]
name = \"broken\"
config = \"boards/missing.toml\"
[[board]]
name = \"full\"
set = { board.device-type = \"full\", root.size = \"2 MiB\" }
[[target]]
name = \"other\"
golden-image = \"missing.img\"
set = { board.device-type = \"other\" }
[[exclude]]
variant = \"lab\"
";
    if fleet(dir, more).is_none() {
        return;
    }
    let output = command(dir, &["convert", "fleet.toml", "--json", "-q"]);
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["converted"], &summary["failed"]),
        (&2.into(), &3.into())
    );
    let reason = |number: usize| {
        summary["targets"][number]["error"]
            .as_str()
            .unwrap_or_default()
    };
    assert!(
        reason(2).contains("reading boards/missing.toml"),
        "{}",
        reason(2)
    );
    assert!(reason(3).contains("hint: "), "{}", reason(3));
    assert!(reason(4).contains("opening missing.img"), "{}", reason(4));
    assert!(files(&dir.join("deploy/atlas-plain")).len() > 3);
    assert!(!dir.join("deploy/broken-plain").exists());
    let text = String::from_utf8(command(dir, &["convert", "fleet.toml", "-q"]).stdout).unwrap();
    assert!(
        text.contains("\nfailed     broken-plain\n  error: reading boards/missing.toml"),
        "{text}"
    );
    assert!(text.ends_with("2 of 5 targets were converted\n"), "{text}");
}

#[test]
fn mistakes_of_the_fleet_itself_are_refused() {
    let scratch = scratch();
    let dir = scratch.path();
    fs::write(dir.join("fleet.toml"), "[[board]]\nnam = \"x\"\n").unwrap();
    let output = command(dir, &["convert", "fleet.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with("error: fleet.toml:2:1: unknown key `board.nam`\nhint: did you mean"),
        "{errors}"
    );
    fs::write(
        dir.join("fleet.toml"),
        "[all]\ngolden-image = \"g\"\n[[board]]\nname = \"x\"\n",
    )
    .unwrap();
    let output = command(dir, &["plan", "fleet.toml", "--target", "y"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with("error: the fleet has no target y\nhint: "),
        "{errors}"
    );
}
