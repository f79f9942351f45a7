//! `goldsmith boot --check` with the real emulator and firmware.

use crate::convert::conversions::{Before, architecture, convert_after, converted, partitions};
use crate::support::golden::golden;
use crate::support::{goldsmith, must, scratch, tool};
use goldsmith::platform::Architecture;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

fn check(image: &Path, more: &[&str]) -> Output {
    let accelerator =
        std::env::var("GOLDSMITH_QEMU_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".into());
    Command::new(goldsmith())
        .args(["boot", "--check", "--accelerator", &accelerator])
        .args(more)
        .arg(image)
        .current_dir(image.parent().unwrap())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// `goldsmith boot --check` of a converted image: by UEFI, compressed and under Secure Boot it
/// starts; without GRUB's configuration, the dead end is named.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_by_the_command_and_its_dead_end() {
    if tool("mdel").is_none() || tool("qemu-system-x86_64").is_none() {
        return;
    }
    let Some(made) = converted("mini", "release-1") else {
        return;
    };
    let dir = scratch();
    let image = dir.path().join("device.img");
    must("cp", &[&"--sparse=always", &made.image, &image]);
    let output = check(&image, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("started after "),
        "{}",
        said(&output)
    );

    must("zstd", &[&"-q", &image]);
    let output = check(&dir.path().join("device.img.zst"), &["--secure-boot"]);
    assert!(output.status.success(), "{}", said(&output));

    let boot = partitions(&image)[&1].start;
    let drive = format!("{}@@{boot}", image.display());
    must("mdel", &[&"-i", &drive, &"::/EFI/BOOT/grub.cfg"]);
    let output = check(&image, &["--timeout", "300"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("not started: GRUB "),
        "{}",
        said(&output)
    );
}

/// What the device of a test must have, on a disk of twice the size.
const RULES: &str = r#"
[[file]]
path = "/etc/mender/artifact_info"
contains = "artifact_name=release-"

[[package]]
name = "mender-client"

[[command]]
run = "getcap /usr/bin/ping"
output-matches = "/usr/bin/ping cap_net_raw=ep"

[[command]]
run = "grep -o vendor.flag=golden /proc/cmdline && grep -c root=PARTUUID= /proc/cmdline"

[[command]]
run = "systemctl --failed --no-legend | wc -l"
output-matches = "0"

[[command]]
run = "findmnt -nro SOURCE /data"
output-matches = "/dev/vda4"

[[command]]
run = "test $(findmnt -bnro SIZE /data) -gt 1900000000"

[[command]]
run = "echo mine >>/data/keep; grep mine /data/keep"
"#;

/// Under Secure Boot, the firmware says so.
const SECURE: &str = r#"
[[command]]
run = "test $(od -An -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c) = 1"
"#;

/// The life of a device that was converted from `variant`, with updates of `next`.
fn life(variant: &str, next: &str, rules: &str, more: &[&str]) {
    let emulator = match architecture(variant) {
        Architecture::Arm64 => "qemu-system-aarch64",
        _ => "qemu-system-x86_64",
    };
    let [Some(made), Some(next)] = [(variant, "release-1"), (next, "release-2")]
        .map(|(name, release)| converted(name, release))
    else {
        return;
    };
    if tool(emulator).is_none() {
        return;
    }
    let dir = scratch();
    let file = dir.path().join("rules.toml");
    std::fs::write(&file, rules).unwrap();
    let artifact = next.artifact.display().to_string();
    let file = file.display().to_string();
    let demands = [
        "--update",
        &artifact,
        "--rules",
        &file,
        "--disk-size",
        "4 GiB",
    ];
    let output = check(
        &made.image,
        &[&demands, more, &["--timeout", "900"]].concat(),
    );
    let said = said(&output);
    println!("{said}");
    assert!(output.status.success(), "{said}");
}

/// `goldsmith boot --check --update` of a UEFI device of Debian 12, as `boot_life_*` have it: first
/// start, update and commit, an update that is not committed, power cuts; Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_device_of_debian_12() {
    life(
        "mini",
        "mini2",
        &[RULES, SECURE].concat(),
        &["--secure-boot"],
    );
}

/// `goldsmith boot --check --update` of a UEFI device of Debian 13: first start, update and commit,
/// an update that is not committed, power cuts.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_by_the_command() {
    life("mini-trixie", "mini2-trixie", RULES, &[]);
}

/// `goldsmith boot --check --update` of a 64-bit Arm device of Debian 12 with U-Boot: first start,
/// update and commit, an update that is not committed, power cuts.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_u_boot_device_by_the_command() {
    life("arm64-u-boot", "arm64-u-boot", RULES, &[]);
}

/// A unit in an update: its name and its text.
type Unit = (&'static str, &'static str);

/// A unit that ends with a failure, after it has said why.
const FAILS: Unit = (
    "app.service",
    "[Service]\nType=oneshot\nExecStart=/bin/sh -c \"echo no licence found; exit 3\"\n",
);
/// A unit that does not end, so that the system is never started.
const HANGS: Unit = (
    "stuck.service",
    "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n",
);

/// The Artifact `name` for the devices of `mini-trixie`, with a unit that it starts, and a setting.
fn bad_update(name: &str, unit: Option<Unit>, setting: Option<&str>) -> Option<Arc<Path>> {
    let golden = golden("mini-trixie")?;
    let before = |before: &Before<'_>| {
        if let Some((unit, text)) = unit {
            let dir = before.user.path().join("patient/etc/systemd/system");
            let wants = dir.join("multi-user.target.wants");
            fs::create_dir_all(&wants).unwrap();
            fs::write(dir.join(unit), text).unwrap();
            std::os::unix::fs::symlink(format!("../{unit}"), wants.join(unit)).unwrap();
        }
        let setting = setting.map(|setting| ["--set".to_owned(), setting.to_owned()]);
        setting.into_iter().flatten().collect()
    };
    let image = format!("bad-{name}");
    let made = convert_after(&golden, &image, "mini-trixie", name, "", before)?;
    Some(made.artifact.into())
}

/// `goldsmith boot --check --update` with updates that break a device of Debian 13: one whose
/// kernel gets no initial RAM disk and stops, one with a unit that fails, one with a unit that
/// never ends. The step is named, with lines that explain it, and the device goes back.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_updates_that_break_a_device_are_named() {
    let Some(made) = converted("mini-trixie", "release-1") else {
        return;
    };
    if tool("qemu-system-x86_64").is_none() {
        return;
    }
    let cases = [
        (
            "panic",
            None,
            Some("root.kernel-args=[\"rdinit=/nothing\"]"),
            "the kernel stopped (panic)",
            "Unable to mount root fs",
        ),
        (
            "unit",
            Some(FAILS),
            None,
            "units failed that had started before: app.service",
            "no licence found",
        ),
        (
            "stuck",
            Some(HANGS),
            None,
            "units still start after 300 s",
            "stuck.service",
        ),
    ];
    for (name, unit, setting, reason, line) in cases {
        let Some(artifact) = bad_update(name, unit, setting) else {
            return;
        };
        let artifact = artifact.display().to_string();
        let output = check(&made.image, &["--update", &artifact, "--timeout", "300"]);
        let said = said(&output);
        println!("{name}: {said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        let failed = said.lines().find(|line| line.starts_with("failed"));
        let failed = failed.unwrap_or_default();
        assert!(
            failed.contains("  update: start into it: ") && failed.contains(reason),
            "{name}: {said}"
        );
        let explained = said
            .lines()
            .any(|one| one.starts_with("  | ") && one.contains(line));
        assert!(explained, "{name}: {said}");
        let back = said
            .lines()
            .find(|line| line.contains("  the device goes back by itself: "));
        assert!(
            back.is_some_and(|line| line.starts_with("ok") && line.contains("partition 2 runs")),
            "{name}: {said}"
        );
    }
}
