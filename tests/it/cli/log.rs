//! `--log` and `--verbose`: stages, messages of all levels, what was read; never a secret.

use super::messages::workplace;
use super::{run, stderr, stdout};
use crate::support::goldsmith;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Options that convert the golden image of the tests.
const SMALL: &str =
    "-c qemux86-64 -s client.required=false -n r1 -s storage.size=256MiB -s data.size=16MiB";

fn convert(at: &Path, more: &str) -> Output {
    run(at, &format!("convert --no-cache {SMALL} {more} golden.img"))
}

#[test]
fn a_log_tells_the_whole_conversion() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let output = convert(at, "-q --log run.log");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(!said.contains("note:"), "{said}");
    let log = fs::read_to_string(at.join("run.log")).unwrap();
    for part in [
        "  begin: 20",
        "  version: goldsmith ",
        "  command: ",
        "convert --no-cache -c qemux86-64",
        "  detail: storage.size = \"256MiB\"  # --set storage.size\n",
        "  stage: reading the golden image\n",
        "  detail: golden partition 2: 16 MiB, ext4",
        "  note: the image contains no update client",
        "  detail: added in root: ",
        "  detail: checked ext4 on partition 2: ",
        "  exit code: 0\n",
    ] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    // Seconds since the begin, in order.
    let lines = log.lines().filter(|line| !line.starts_with("            "));
    let times = lines.map(|line| {
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    });
    assert!(times.collect::<Vec<_>>().is_sorted(), "{log}");

    let again = convert(at, "-q --log run.log");
    assert_eq!(
        (stderr(&again).as_str(), again.status.code()),
        (
            "error: run.log exists; nothing is replaced\nhint: name another file with --log\n",
            Some(1)
        )
    );
}

#[test]
fn a_failure_is_in_the_log_with_its_hint() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let output = run(
        at,
        "plan -c qemux86-64 -s client.required=true -n r1 --log plan.log golden.img",
    );
    assert_eq!(output.status.code(), Some(1));
    let log = fs::read_to_string(at.join("plan.log")).unwrap();
    assert!(
        log.contains("  error: the image has no update client: nothing could be updated on its devices\n            hint: set client.bundle"),
        "{log}"
    );
    assert!(log.ends_with("  exit code: 1\n"), "{log}");
    let output = run(at, "verify --log verify.log golden.img");
    assert_eq!(output.status.code(), Some(1));
    let log = fs::read_to_string(at.join("verify.log")).unwrap();
    assert!(log.contains("  error: ["), "{log}");
}

#[test]
fn verbose_prints_what_the_log_has() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let plain = stderr(&convert(at, ""));
    let output = convert(at, "-v");
    assert!(output.status.success());
    let said = stderr(&output);
    for part in [
        "\n  golden partition 2: 16 MiB, ext4",
        "\n  storage.size = \"256MiB\"",
    ] {
        assert!(
            said.contains(part) && !plain.contains(part),
            "{part}\n{said}"
        );
    }
    let both = convert(at, "-v -q");
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
    let cached = format!("convert -v --cache kept {SMALL} golden.img");
    for _ in 0..2 {
        let output = run(at, &cached);
        let said = stderr(&output);
        assert!(
            said.contains(" frames of the root filesystem found\n"),
            "{said}"
        );
    }
}

/// Whatever way a secret takes, it is in no log.
#[test]
fn a_log_has_no_secret() {
    const SECRET: &str = "hush-hush-4711";
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("token"), format!("{SECRET}\n")).unwrap();
    fs::write(
        at.join("edit.toml"),
        format!(
            "[[rootfs.edit]]\npath = \"/etc/os-release\"\nappend = \"A={{secret}}\"\nsecret = {SECRET:?}\n"
        ),
    )
    .unwrap();
    let ways = [
        format!("-s server.tenant-token={SECRET}"),
        format!("--set=server.tenant-token={SECRET}"),
        format!("-vs server.tenant-token={SECRET}"),
        "-s server.tenant-token=env:GOLDSMITH_TEST_SECRET".to_owned(),
        "-s server.tenant-token-file=token".to_owned(),
        "-c edit.toml".to_owned(),
    ];
    for (number, way) in ways.iter().enumerate() {
        let log = format!("{number}.log");
        let line = format!("plan {SMALL} {way} --log {log} golden.img");
        let output = Command::new(goldsmith())
            .args(line.split_whitespace())
            .current_dir(at)
            .env("GOLDSMITH_TEST_SECRET", SECRET)
            .output()
            .unwrap();
        assert!(output.status.success(), "{way}: {}", stderr(&output));
        let log = fs::read_to_string(at.join(log)).unwrap();
        assert!(log.contains("  exit code: 0\n"), "{way}: {log}");
        for text in [&log, &stderr(&output), &stdout(&output)] {
            assert!(!text.contains(SECRET), "{way}: {text}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_is_a_failure() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let output = convert(at, "-q --log none/run.log");
    assert_eq!(
        stderr(&output),
        "error: writing the log none/run.log: No such file or directory\n"
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(!at.join("deploy").exists());
}
