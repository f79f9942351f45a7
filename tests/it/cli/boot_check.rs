//! `goldsmith boot --check` with an update and with rules, on a device that `boot_check.py` plays
//! in the place of QEMU.

use super::messages::workplace;
use super::{run, stderr, stdout};
use crate::support::{goldsmith, images};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A converted image of a system with systemd, its Artifact, and the programs.
fn device() -> Option<tempfile::TempDir> {
    let dir = workplace()?;
    let at = dir.path();
    systemd(at);
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    images::disk(
        &at.join("golden.img"),
        &[
            (images::ESP, &at.join("esp.fat")),
            (images::LINUX, &at.join("root.ext4")),
        ],
    );
    let mut convert = images::convert(&at.join("golden.img"), &at.join("out"));
    let output = convert.arg("--quiet").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    programs(at, "qemu-system-x86_64");
    Some(dir)
}

/// The same for a board of 64-bit Arm with U-Boot.
fn u_boot_device() -> Option<tempfile::TempDir> {
    let dir = workplace()?;
    let at = dir.path();
    if !Path::new("/usr/lib/u-boot/qemu_arm64/u-boot.bin").is_file() {
        assert!(std::env::var_os("CI").is_none(), "u-boot-qemu is missing");
        eprintln!("SKIPPED: u-boot-qemu is not installed");
        return None;
    }
    let mut elf = vec![0; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[18] = 183;
    let mut kernel = vec![0; 4096];
    kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
    for (path, bytes) in [
        ("usr/bin/dash", &elf),
        ("usr/sbin/sfdisk", &elf),
        ("usr/sbin/chronyd", &elf),
        ("boot/vmlinuz-6.1.0-1", &kernel),
    ] {
        fs::write(at.join("root").join(path), bytes).unwrap();
    }
    systemd(at);
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    images::disk(
        &at.join("golden.img"),
        &[(images::LINUX, &at.join("root.ext4"))],
    );
    let output = run(
        at,
        "convert -q -c qemuarm64-uboot -n r1 -o out -s client.required=false -s storage.size=256MiB -s data.size=16MiB \
         -s output.name=device golden.img",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    programs(at, "qemu-system-aarch64");
    Some(dir)
}

/// The programs of systemd that a shell needs.
fn systemd(at: &Path) {
    for name in [
        "usr/lib/systemd/systemd",
        "usr/lib/systemd/system-generators/systemd-run-generator",
        "usr/bin/systemd-run",
    ] {
        let path = at.join("root").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "program").unwrap();
    }
}

/// Programs in the place of QEMU's.
fn programs(at: &Path, emulator: &str) {
    for (name, text) in [
        (emulator, include_str!("boot_check.py")),
        (
            "qemu-img",
            "#!/bin/sh\nfor last; do :; done; : >\"$last\"\n",
        ),
        (
            "qemu-io",
            "#!/bin/sh\necho \"$4\" >>../written\ncp piece \"$(dirname \"$0\")/../piece\"\n",
        ),
    ] {
        fs::create_dir_all(at.join("bin")).unwrap();
        let path = at.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

const IMAGE: &str = "out/golden-qemux86-64-r1.img";
const UPDATE: &str = "--update out/golden-qemux86-64-r1.mender";

fn check(at: &Path, kind: &str, line: &str) -> Output {
    check_image(at, kind, line, IMAGE)
}

fn check_image(at: &Path, kind: &str, line: &str, image: &str) -> Output {
    let _ = fs::remove_file(at.join("state"));
    fs::write(at.join("kind"), kind).unwrap();
    Command::new(goldsmith())
        .args(["boot", "--check"])
        .args(line.split_whitespace())
        .arg(image)
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", at.join("bin").display()),
        )
        .current_dir(at)
        .output()
        .unwrap()
}

/// The verdict and the text of each step, without times.
fn steps(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let is_step = |line: &&str| !line.starts_with("  |") && !line.contains(" failed, ");
    let lines = text.lines().filter(is_step);
    lines
        .map(|line| {
            let (verdict, rest) = line.split_at_checked(7).unwrap_or((line, ""));
            let rest = rest.get(9..).unwrap_or_default().trim_start();
            format!("{} {rest}", verdict.trim())
        })
        .collect()
}

#[test]
fn a_life_with_its_mishaps() {
    let Some(dir) = device() else { return };
    let at = dir.path();
    let output = check(at, "sound", &format!("--log log --timeout 20 {UPDATE}"));
    let said = steps(&output);
    assert!(output.status.success(), "{said:#?}\n{}", stderr(&output));
    let begin = [
        "ok start: partition 2 runs",
        "ok update: install: r1 is written to partition 3",
        "ok update: start into it: partition 3 runs, on trial",
        "ok update: commit: the client shows r1",
        "ok update: restart: partition 3 still runs",
        "ok rollback: install, without a commit: r1 is written to partition 2",
        "ok rollback: start into it: partition 2 runs, on trial",
        "ok rollback: restart: partition 3 runs again",
    ];
    assert_eq!(said[..begin.len()], begin);
    assert!(said[8].starts_with("ok power cut while an update is written: "));
    assert!(said[9].starts_with("ok power cut while an update starts: "));
    assert!(said[9].ends_with("partition 3 runs"), "{said:#?}");
    assert_eq!(said.len(), 10);
    assert!(stdout(&output).contains("\n10 steps: 0 failed, after "));
    assert!(
        fs::read_to_string(at.join("log"))
            .unwrap()
            .contains("Loading")
    );
    // The overlay got a boot partition whose GRUB asks for the shell.
    let piece = fs::read(at.join("piece")).unwrap();
    let text = String::from_utf8_lossy(&piece);
    assert!(text.contains("$args \"systemd.run=systemd-run ") && text.contains("/dev/ttyS1"));
    // An emulator is slow.
    assert!(text.contains(" systemd.default_device_timeout_sec=300 "));
    let arguments = fs::read_to_string(at.join("arguments")).unwrap();
    assert!(
        arguments.contains("serial=goldsmith-artifact")
            && arguments.ends_with("-serial stdio -chardev socket,id=shell,path=shell,server=on,wait=off -serial chardev:shell"),
        "{arguments}"
    );
}

/// A device with U-Boot leads the same life; its boot script gets the shell, on a port of another
/// kind.
#[test]
fn a_life_with_u_boot() {
    let Some(dir) = u_boot_device() else { return };
    let at = dir.path();
    let update = "--timeout 20 --update out/device.mender";
    let output = check_image(at, "sound", update, "out/device.img");
    let said = steps(&output);
    assert!(output.status.success(), "{said:#?}\n{}", stderr(&output));
    assert!(stderr(&output).starts_with("note: arm64 machine, U-Boot, without KVM: "));
    assert!(stdout(&output).contains("\n10 steps: 0 failed, after "));
    assert_eq!(
        said[2],
        "ok update: start into it: partition 3 runs, on trial"
    );
    assert!(said[9].ends_with("partition 3 runs"), "{said:#?}");
    let piece = fs::read(at.join("piece")).unwrap();
    let text = String::from_utf8_lossy(&piece);
    let shell = text
        .split("setenv goldsmith_shell '")
        .nth(1)
        .expect("the shell");
    let shell = shell.split('\'').next().unwrap_or_default();
    assert!(
        shell.starts_with("\"systemd.run=systemd-run ")
            && shell.contains(" TTYPath=/dev/ttyS0 ")
            && text.contains(" ${args} ${goldsmith_shell}\";\n"),
        "{shell}"
    );
    let arguments = fs::read_to_string(at.join("arguments")).unwrap();
    assert!(
        arguments.contains("-bios /usr/lib/u-boot/qemu_arm64/u-boot.bin ")
            && arguments.ends_with("-chardev socket,id=shell,path=shell,server=on,wait=off -device pci-serial,chardev=shell"),
        "{arguments}"
    );
    let output = check_image(at, "panic", update, "out/device.img");
    let said = steps(&output);
    assert_eq!(
        said[2..4],
        [
            "failed update: start into it: the kernel stopped (panic)",
            "ok the device goes back by itself: partition 2 runs, by itself",
        ]
    );
}

#[test]
fn what_goes_wrong_is_named() {
    let Some(dir) = device() else { return };
    let at = dir.path();
    for (kind, failed, more) in [
        (
            "panic",
            "failed update: start into it: the kernel stopped (panic)",
            "ok the device goes back by itself: partition 2 runs, by itself",
        ),
        (
            "unit",
            "failed update: start into it: units failed that had started before: broken.service",
            "ok the device goes back by itself: partition 2 runs, after a restart",
        ),
        (
            "install",
            "failed update: install: the client's `install` ended with status 1",
            "skipped update: start into it",
        ),
        (
            "no-rollback",
            "failed rollback: restart: partition 2 runs, which was not committed; partition 3 was",
            "skipped power cut while an update is written",
        ),
    ] {
        let output = check(at, kind, &format!("--timeout 20 {UPDATE}"));
        let said = steps(&output);
        assert_eq!(output.status.code(), Some(1), "{kind}: {said:#?}");
        let number = said.iter().position(|step| step == failed);
        let number = number.unwrap_or_else(|| panic!("{kind}: {said:#?}"));
        assert_eq!(said[number + 1], more, "{kind}: {said:#?}");
        let summary = stdout(&output);
        assert!(summary.contains(" steps: 1 failed, "), "{summary}");
        let all = said.iter().filter(|step| step.starts_with("failed"));
        assert_eq!(all.count(), 1, "{kind}: {said:#?}");
    }
    let output = check(at, "install", UPDATE);
    let said = stdout(&output);
    assert!(said.contains("\n  | writing\n  | no space\n"), "{said}");
}

/// What systemd could not do is shown, though much was said after it.
#[test]
fn an_emergency_is_explained() {
    let Some(dir) = device() else { return };
    let output = check(dir.path(), "late", &format!("--timeout 20 {UPDATE}"));
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    let failed = "  update: start into it: systemd is in emergency mode; a device was not there in time, which may be due to \
                  other work on this machine\n  \
                  | [ TIME ] Timed out waiting for device /dev/data.\n  \
                  | [DEPEND] Dependency failed for /data.\n  \
                  | [  OK  ] Started x.\n";
    assert!(said.contains(failed), "{said}");
    let back = "  the device goes back by itself: partition 2 runs, after a power cut\n";
    assert!(said.contains(back), "{said}");
}

#[test]
fn rules_are_judged() {
    let Some(dir) = device() else { return };
    let at = dir.path();
    fs::write(
        at.join("rules.toml"),
        "units = [\"good.service\", \"bad.service\"]
[size]
image = \"1 MiB\"
[[file]]
path = \"/etc/os-release\"
contains = \"Tiny\"
[[package]]
name = \"nothere\"
[[command]]
run = \"\"\"
echo \"it's\"
exit 3\"\"\"
exit = 3
output-matches = \"it'?\"
[[command]]
run = \"echo no; false\"
[[command]]
run = \"echo no\"
output-matches = \"yes\"
",
    )
    .unwrap();
    let output = check(at, "sound", "--json --rules rules.toml");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<(&str, &str, &str)> = json["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let text = |key: &str| step[key].as_str().unwrap_or_default();
            (text("name"), text("verdict"), text("text"))
        })
        .collect();
    assert_eq!(found[0].0, "size image");
    assert_eq!(
        found[1..],
        [
            ("file /etc/os-release", "ok", ""),
            ("package nothere", "failed", "it is not installed"),
            ("start", "ok", "partition 2 runs"),
            ("unit good.service", "ok", ""),
            ("unit bad.service", "failed", "it is inactive"),
            ("command echo \"it's\"", "ok", ""),
            (
                "command echo no; false",
                "failed",
                "it ended with status 1, not 0: no"
            ),
            ("command echo no", "failed", "no line of its output is yes"),
        ]
    );
    assert_eq!(json["good"], false);
}

#[test]
fn what_cannot_be_checked() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("rules.toml"), "\n[[command]]\nruns = \"x\"\n").unwrap();
    for (line, expected, code) in [
        (
            "boot --check --rules rules.toml golden.img",
            "error: rules.toml:3:1: unknown key `command.runs`\nhint: did you mean `command.run`?\n\
             error: rules.toml:2:1: command.run is missing\n",
            1,
        ),
        (
            "boot --check --rules none.toml golden.img",
            "error: reading the rules none.toml: No such file or directory\n",
            1,
        ),
        (
            "boot --check --update golden.img golden.img",
            "error: golden.img is not an Artifact\nhint: give the .mender file to --update\n",
            1,
        ),
        (
            "boot --update x golden.img",
            "error: the following required arguments were not provided:\n  --check\n",
            2,
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
