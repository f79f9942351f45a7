//! `goldsmith doctor -c`: what a configuration changes in the findings, and what is wrong with it.

use crate::support::{goldsmith, images, scratch};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `goldsmith doctor`. Returns its exit code and what it prints.
fn doctor(at: &Path, line: &str) -> (Option<i32>, String, String) {
    let output = Command::new(goldsmith())
        .arg("doctor")
        .args(line.split_whitespace())
        .current_dir(at)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A golden image, and configurations for it.
fn configured() -> Option<tempfile::TempDir> {
    if !images::can_make() {
        return None;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);
    let device = "extends = \"qemux86-64\"\n";
    for (name, more) in [
        ("without.toml", "[client]\nrequired = false\n"),
        ("with.toml", "[client]\nrequired = true\n"),
        ("fixed.toml", "[board]\narchitecture = \"arm64\"\n"),
        ("wrong.toml", "[client]\nrequird = false\n"),
        ("seven.toml", "[root]\npartition = 7\n"),
    ] {
        fs::write(at.join(name), format!("{device}{more}")).unwrap();
    }
    Some(dir)
}

#[test]
fn a_configuration_decides_what_is_found() {
    let Some(dir) = configured() else { return };
    let at = dir.path();
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();

    let (code, text, said) = doctor(at, "-c without.toml golden.img");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(last(&text), "golden.img: 0 errors, 1 warning, 1 note");
    assert!(text.starts_with("warning[init-missing]: "), "{text}");

    // Refusals of the plan are findings, by files and by --set; those of the image stay.
    for line in [
        "-c with.toml golden.img",
        "-c without.toml -s client.required=true golden.img",
        "-c without.toml -c with.toml golden.img",
    ] {
        let (code, text, said) = doctor(at, line);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{line}");
        assert_eq!(last(&text), "golden.img: 1 error, 1 warning, 1 note");
        assert!(
            text.starts_with("error[refused]: the image has no update client: ")
                && text.contains("\nwarning[init-missing]: "),
            "{text}"
        );
    }
    let (code, text, _) = doctor(at, "-c fixed.toml golden.img");
    assert!(
        code == Some(1)
            && text.starts_with(
                "error[refused]: fixed.toml:3:16: board.architecture: the board is for arm64, the image for amd64\n"
            ),
        "{text}"
    );
}

/// What is no configuration, or names what is not there, is said, and nothing else.
#[test]
fn a_configuration_that_cannot_be_followed_is_refused() {
    let Some(dir) = configured() else { return };
    let at = dir.path();
    for (line, code, message) in [
        (
            "-c wrong.toml golden.img",
            1,
            "error: wrong.toml:3:1: unknown key `client.requird`\nhint: did you mean `client.required`?\n",
        ),
        (
            "-c seven.toml golden.img",
            1,
            "error: root.partition is 7 but there is no partition 7; the disk has partition 1 (8 MiB, FAT), partition 2 \
             (16 MiB, ext2/3/4)\nhint: set root.partition to the number of one with ext2/3/4, or leave it out: then the \
             partition is found by what it contains\n",
        ),
        (
            "-c without.toml",
            2,
            "error: the golden image is missing\nhint: name it as the last argument, after the configuration\n",
        ),
        (
            "golden.img -c",
            2,
            "error: a value is required for '--config <FILE>' but none was supplied\n\nFor more information, try \
             '--help'.\n",
        ),
    ] {
        let found = doctor(at, line);
        assert_eq!(
            found,
            (Some(code), String::new(), message.to_owned()),
            "{line}"
        );
    }
}

/// A finding is a warning of conversions; here it is said once. What the configuration brings is
/// none of the golden image, and stays a warning.
#[test]
fn a_finding_is_said_once() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);
    fs::write(
        at.join("root/etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\n",
    )
    .unwrap();
    fs::write(at.join("root/etc/shadow"), "root::1::::::\n").unwrap();
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    images::disk(
        &at.join("golden.img"),
        &[
            (images::ESP, &at.join("esp.fat")),
            (images::LINUX, &at.join("root.ext4")),
        ],
    );
    let (code, text, said) = doctor(at, "-c qemux86-64 golden.img");
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(text.starts_with("error[password-empty]: "), "{text}");

    fs::create_dir_all(at.join("brings/etc/ssh")).unwrap();
    fs::write(at.join("brings/etc/ssh/ssh_host_rsa_key"), "a key\n").unwrap();
    let config = "extends = \"qemux86-64\"\n[[overlay]]\ndir = \"brings\"\n";
    fs::write(at.join("device.toml"), config).unwrap();
    let (code, text, said) = doctor(at, "-c device.toml golden.img");
    assert_eq!(code, Some(1));
    assert!(text.starts_with("error[password-empty]: "), "{text}");
    assert!(
        said.starts_with("warning: ")
            && said.contains("ssh-host-keys")
            && said.lines().count() == 1,
        "{said}"
    );
}
