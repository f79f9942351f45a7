//! `goldsmith boot`, with programs in the place of QEMU that say what a machine would.

use super::messages::workplace;
use super::{run, stderr, stdout};
use crate::support::goldsmith;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A directory of programs: an emulator without KVM that notes its arguments and runs `script`, and
/// a `qemu-img` that makes a file.
fn programs(at: &Path, script: &str) {
    let dir = at.join("bin");
    fs::create_dir_all(&dir).unwrap();
    let arguments = at.join("arguments").display().to_string();
    for (name, script) in [
        (
            "qemu-system-x86_64",
            format!(
                "case \" $* \" in *\" -S \"*) exit 1 ;; esac\necho \"$*\" >{arguments}\n{script}"
            ),
        ),
        (
            "qemu-img",
            format!("echo \"$*\" >{arguments}.img\nfor last; do :; done; : >\"$last\""),
        ),
    ] {
        let path = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn boot(at: &Path, line: &str) -> Output {
    Command::new(goldsmith())
        .arg("boot")
        .args(line.split_whitespace())
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", at.join("bin").display()),
        )
        .current_dir(at)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_start_is_told_from_a_dead_end() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let image = fs::read(at.join("golden.img")).unwrap();
    programs(at, "printf 'Debian\\r\\nhost login: '; exec sleep 60");
    let output = boot(at, "--check --memory 512 --log log golden.img");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.starts_with("started after ")
            && said.ends_with(" s: a login prompt on the serial line\n"),
        "{said}"
    );
    assert_eq!(
        stderr(&output),
        "note: amd64 machine, BIOS, without KVM: a start takes 1 to 3 minutes\n"
    );
    assert_eq!(fs::read(at.join("log")).unwrap(), b"Debian\r\nhost login: ");
    let arguments = fs::read_to_string(at.join("arguments")).unwrap();
    assert!(
        arguments.contains("-accel tcg -m 512 -smp 2"),
        "{arguments}"
    );
    assert!(
        !arguments.contains("golden.img") && arguments.contains("-:22"),
        "{arguments}"
    );
    let overlay = fs::read_to_string(at.join("arguments.img")).unwrap();
    assert!(
        overlay.starts_with("create -q -f qcow2 -F raw -b /") && overlay.contains("golden.img"),
        "{overlay}"
    );
    assert!(
        fs::read(at.join("golden.img")).unwrap() == image,
        "the image was changed"
    );

    programs(
        at,
        "printf 'one\\r\\nKernel panic - not syncing: VFS\\r\\n'; exec sleep 60",
    );
    let output = boot(at, "--check golden.img");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "not started: the kernel stopped (panic)\n  | one\n  | Kernel panic - not syncing: VFS\n"
    );
    let output = boot(at, "--check --json golden.img");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["good"], json["console"].as_array().unwrap().len()),
        (&false.into(), 2)
    );

    programs(at, "echo 'no such machine' >&2; exit 1");
    let output = boot(at, "--check golden.img");
    assert_eq!(
        stdout(&output),
        "not started: QEMU ended: no such machine\n"
    );

    programs(at, "echo quiet; exec sleep 60");
    let output = boot(at, "--check --timeout 1 golden.img");
    assert_eq!(
        stdout(&output),
        "not started: no login prompt after 1 s\n  | quiet\n"
    );
}

#[test]
fn a_compressed_image_is_unpacked_and_the_terminal_is_the_serial_line() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    crate::support::must("gzip", &[&"-k", &at.join("golden.img")]);
    programs(at, "echo here");
    let output = boot(at, "--forward 2222:22 golden.img.gz");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "here\n");
    let arguments = fs::read_to_string(at.join("arguments")).unwrap();
    assert!(
        arguments.contains("hostfwd=tcp:127.0.0.1:2222-:22") && arguments.contains("mon:stdio"),
        "{arguments}"
    );
    let left = fs::read_dir(at).unwrap().filter(|one| {
        let name = one.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".tmp")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn what_cannot_be_started() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let output = Command::new(goldsmith())
        .args(["boot", "golden.img"])
        .env("PATH", at.join("nothing"))
        .current_dir(at)
        .output()
        .unwrap();
    assert_eq!(
        (stderr(&output).as_str(), output.status.code()),
        (
            "error: qemu-system-x86_64 is not installed\nhint: on Debian: apt-get install qemu-system-x86 qemu-utils\n",
            Some(1)
        )
    );
    for (line, expected, code) in [
        (
            "boot --secure-boot golden.img",
            "error: the boot partition has nothing that the firmware of an emulated amd64 machine starts: a signed loader at /EFI/BOOT/BOOTX64.EFI\n",
            1,
        ),
        (
            "boot --disk-size 1MiB golden.img",
            "error: --disk-size is smaller than the image (",
            1,
        ),
        (
            "boot --forward 22 golden.img",
            "error: invalid value '22' for '--forward <HOST:GUEST>': two ports are expected, as in 2222:22\n",
            2,
        ),
        (
            "boot esp.fat",
            "error: a filesystem without a partition table is not a disk: it cannot be started\n",
            1,
        ),
    ] {
        let output = run(at, line);
        let said = stderr(&output);
        assert!(
            said.starts_with(expected) && output.status.code() == Some(code),
            "{line}: {said}"
        );
    }
}

#[test]
fn nothing_of_the_user_is_overwritten_and_a_noisy_emulator_is_no_obstacle() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let image = fs::read(at.join("golden.img")).unwrap();
    programs(
        at,
        "yes noise | head -c 300000 >&2; printf 'host login: '; sleep 60 & exec sleep 60",
    );
    let output = boot(at, "--check --log golden.img golden.img");
    assert_eq!(
        (stderr(&output).as_str(), output.status.code()),
        (
            "error: golden.img exists; nothing is replaced\nhint: name another file with --log\n",
            Some(1)
        )
    );
    assert!(fs::read(at.join("golden.img")).unwrap() == image);
    let begin = std::time::Instant::now();
    let output = boot(at, "--check --timeout 50 golden.img");
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(begin.elapsed().as_secs() < 40);
}
