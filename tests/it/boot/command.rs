//! `goldsmith boot --check` with the real emulator and firmware.

use crate::convert::conversions::{converted, partitions};
use crate::support::{goldsmith, must, scratch, tool};
use std::path::Path;
use std::process::{Command, Output};

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
