//! Golden images of other kinds than Debian's usual one: older filesystems, no boot partition,
//! named devices.

use crate::support::images;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Converts `golden.img` in `dir` for a disk with the name `device`; the results are `out.*`.
fn convert(dir: &Path, device: &str) {
    let mut command = Command::new(goldsmith());
    command.args([
        "convert",
        "-q",
        "-n",
        "r1",
        "--config",
        "qemux86-64",
        "--set",
        "output.rootfs=true",
        "--set",
        "output.name=out",
    ]);
    for setting in [
        "client.required=false",
        "storage.size=256 MiB",
        "boot.size=36 MiB",
        "data.size=32 MiB",
        &format!("storage.device={device}"),
    ] {
        command.args(["--set", setting]);
    }
    let output = command
        .arg("--output-dir")
        .arg(dir)
        .arg(dir.join("golden.img"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Converts a golden image with a root filesystem of `kind`, with or without a boot partition, for
/// `device`; strangers and `verify` judge. Returns the device's fstab, the client's settings on the
/// data partition, and the feature line of slot A.
fn converted(kind: &str, esp: bool, device: &str) -> Option<[String; 3]> {
    let [
        Some(_),
        Some(_),
        Some(_),
        Some(fsck),
        Some(e2fsck),
        Some(debugfs),
        Some(sfdisk),
    ] = [
        "mke2fs",
        "mkfs.vfat",
        "sfdisk",
        "fsck.vfat",
        "e2fsck",
        "debugfs",
        "sfdisk",
    ]
    .map(tool)
    else {
        return None;
    };
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    images::debian(&at("root"), 3 << 20);
    images::filesystem(kind, &at("root"), &at("root.fs"), 16);
    let (root, boot) = (at("root.fs"), at("esp.fat"));
    let mut partitions = vec![(images::LINUX, root.as_path())];
    if esp {
        fs::File::create(&boot).unwrap().set_len(8 << 20).unwrap();
        must(tool("mkfs.vfat")?, &[&boot]);
        partitions.insert(0, (images::ESP, &boot));
    }
    images::disk(&at("golden.img"), &partitions);
    convert(dir.path(), device);
    let image = at("out.img");
    must(
        goldsmith(),
        &[&"verify", &image, &"--artifact", &at("out.mender")],
    );
    must(sfdisk, &[&"--verify", &image]);
    must(e2fsck, &[&"-fn", &at("out.ext4")]);
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(at("out.json")).unwrap()).unwrap();
    let part =
        |role: usize, key: &str| record["disk"]["partitions"][role][key].as_u64().unwrap() >> 20;
    for (role, name) in [(0, "boot"), (3, "data")] {
        let (skip, count) = (
            format!("skip={}", part(role, "start")),
            format!("count={}", part(role, "size")),
        );
        let [from, to] = [
            format!("if={}", image.display()),
            format!("of={}", at(name).display()),
        ];
        must("dd", &[&from, &to, &"bs=1M", &skip, &count, &"status=none"]);
    }
    must(fsck, &[&"-n", &at("boot")]);
    let read = |image: &str, request: &str| must(&debugfs, &[&"-R", &request, &at(image)]);
    Some([
        read("out.ext4", "cat /etc/fstab"),
        read("data", "cat /mender/mender.conf"),
        read("out.ext4", "show_super_stats -h")
            .lines()
            .find(|line| line.starts_with("Filesystem features"))
            .unwrap()
            .to_owned(),
    ])
}

#[test]
fn an_ext2_root_becomes_ext4() {
    let Some([fstab, settings, features]) = converted("ext2", true, "partuuid") else {
        return;
    };
    assert!(
        features.contains("extent") && features.contains("metadata_csum"),
        "{features}"
    );
    assert!(
        fstab
            .lines()
            .any(|line| line.starts_with("PARTUUID=") && line.contains(" /data ")),
        "{fstab}"
    );
    assert!(settings.contains("/dev/disk/by-partuuid/"), "{settings}");
}

#[test]
fn an_ext3_root_for_a_disk_of_nvme() {
    let Some([fstab, settings, features]) = converted("ext3", true, "/dev/nvme0n1") else {
        return;
    };
    assert!(features.contains("extent"), "{features}");
    for (part, dir) in [("/dev/nvme0n1p1", "/boot/efi"), ("/dev/nvme0n1p4", "/data")] {
        assert!(
            fstab
                .lines()
                .any(|line| line.split_whitespace().take(2).eq([part, dir])),
            "{fstab}"
        );
    }
    assert!(
        settings.contains("\"/dev/nvme0n1p2\"") && settings.contains("\"/dev/nvme0n1p3\""),
        "{settings}"
    );
}

#[test]
fn a_golden_image_without_a_boot_partition_gets_one() {
    let Some([fstab, settings, _]) = converted("ext4", false, "/dev/mmcblk0") else {
        return;
    };
    assert!(
        fstab.lines().any(|line| line
            .split_whitespace()
            .take(2)
            .eq(["/dev/mmcblk0p1", "/boot/efi"])),
        "{fstab}"
    );
    assert!(settings.contains("\"/dev/mmcblk0p2\""), "{settings}");
}
