//! A golden image without findings, and the findings of images that have more files.

use crate::support::{goldsmith, images, must, scratch, tool};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Files of a root filesystem: the text, a target after `->`, or `-` for a file that is removed.
pub(super) type Files<'a> = &'a [(&'a str, &'a str)];

/// What makes a small Debian one without findings.
const HEALTHY: Files<'static> = &[
    ("usr/lib/systemd/systemd", "x"),
    ("usr/sbin/init", "->/usr/lib/systemd/systemd"),
    ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
    (
        "usr/lib/systemd/system/chrony.service",
        "[Service]\nExecStart=/usr/sbin/chronyd\n",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/chrony.service",
        "->/usr/lib/systemd/system/chrony.service",
    ),
    ("etc/machine-id", ""),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/shadow", "root:*:1::::::\n"),
    ("boot/config-6.1.0-1", "CONFIG_FHANDLE=y\n"),
    ("usr/bin/mender", "#!/bin/sh\n"),
];

/// Puts files below `root`.
pub(super) fn put(root: &Path, files: Files<'_>) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        match (*text, text.strip_prefix("->")) {
            ("-", _) => {}
            (_, Some(target)) => symlink(target, &path).unwrap(),
            _ => {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

/// Makes `golden.img` in `dir`: a small Debian without findings, with more files in the root
/// filesystem and on the boot partition.
pub(super) fn golden(dir: &Path, files: Files<'_>, boot: Files<'_>) {
    let root = dir.join("root");
    let _ = fs::remove_dir_all(&root);
    images::debian(&root, 3 << 20);
    put(&root, HEALTHY);
    put(&root, files);
    let (filesystem, esp) = (dir.join("root.ext4"), dir.join("esp.fat"));
    let _ = fs::remove_file(&filesystem);
    images::ext4(&root, &filesystem, 24);
    fs::File::create(&esp).unwrap().set_len(8 << 20).unwrap();
    must(tool("mkfs.vfat").unwrap(), &[&esp]);
    put(&dir.join("boot"), boot);
    for (path, _) in boot {
        let target = format!("::/{path}");
        let mcopy = tool("mcopy").unwrap();
        must(mcopy, &[&"-i", &esp, &dir.join("boot").join(path), &target]);
    }
    let partitions = [
        (images::ESP, esp.as_path()),
        (images::LINUX, filesystem.as_path()),
    ];
    images::disk(&dir.join("golden.img"), &partitions);
}

/// The settings with which the image can be converted.
pub(super) const SETTINGS: [&str; 5] = [
    "client.required=false",
    "storage.size=256 MiB",
    "boot.size=36 MiB",
    "data.size=32 MiB",
    "output.name=out",
];

/// What `goldsmith doctor --json` says about `golden.img` in `dir` for a board.
pub(super) fn doctor(dir: &Path, board: &str) -> Value {
    let mut run = Command::new(goldsmith());
    run.args(["doctor", "--json", "-c", board]);
    let sets = SETTINGS.iter().flat_map(|set| ["--set", set]);
    run.args(sets);
    let output = run.arg(dir.join("golden.img")).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let good = value["good"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if good { 0 } else { 1 }));
    value
}

/// The findings: severity, code and path of the first evidence.
pub(super) fn findings(value: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = value["findings"].as_array().unwrap().iter();
    findings
        .map(|one| {
            let path = text(&one["evidence"][0]["path"]);
            assert!(!text(&one["remedy"]).is_empty() && !text(&one["text"]).is_empty());
            (text(&one["severity"]), text(&one["code"]), path)
        })
        .collect()
}

/// The findings of an image with these files more.
pub(super) fn found(
    files: Files<'_>,
    boot: Files<'_>,
    board: &str,
) -> Vec<(String, String, String)> {
    let dir = scratch();
    golden(dir.path(), files, boot);
    findings(&doctor(dir.path(), board))
}
