//! What is mounted where: the boot partition among several, and files that a mount would hide.

use super::boards::{SMALL, again, fine, golden, image, refused, run, text, write};
use crate::support::images;
use crate::support::{must, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A disk with two EFI system partitions and a root filesystem.
fn disk(at: &Path) {
    let parts = ["esp.fat", "other.fat", "root.ext4"].map(|name| at.join(name));
    let [esp, other, root] = &parts;
    let all = [
        (images::ESP, &**esp),
        (images::ESP, other),
        (images::LINUX, root),
    ];
    images::disk(&at.join("two.img"), &all);
}

/// Puts settings of GRUB on EFI system partitions.
fn settings(at: &Path, names: &[&str], text: &str) {
    write(at, "grub.cfg", text);
    for name in names {
        let image = at.join(name);
        let mut command = Command::new(tool("mmd").unwrap());
        command.args(["-D", "s", "-i"]).arg(&image);
        let _ = command.args(["::EFI", "::EFI/debian"]).output();
        must(
            tool("mcopy").unwrap(),
            &[
                &"-o",
                &"-i",
                &image,
                &at.join("grub.cfg"),
                &"::EFI/debian/grub.cfg",
            ],
        );
    }
}

/// What a plan says, all on one string.
fn said(at: &Path, line: &str) -> String {
    let output = run(at, line);
    let said = format!("{}{}", text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn of_two_boot_partitions_the_one_that_is_mounted_is_taken() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    fs::copy(at.join("esp.fat"), at.join("other.fat")).unwrap();
    settings(at, &["esp.fat", "other.fat"], "search.fs_uuid 0-0 root\n");
    let fstab = "/dev/sda3 / ext4 defaults 0 1\n/dev/sda2 /boot/efi vfat umask=0077 0 1\n";
    write(at, "root/etc/fstab", fstab);
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    disk(at);
    let said = said(at, &format!("plan {SMALL} two.img").replace(" -q ", " "));
    for part in [
        "note: partition 2 (8 MiB, FAT) is the boot partition: /etc/fstab line 2 mounts it on /boot/efi; partition 1 (8 MiB, FAT) could be one too, but is not used\n",
        "is left out: nothing mounts it\n",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn of_two_boot_partitions_the_one_that_names_the_root_filesystem_is_taken() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    fs::copy(at.join("esp.fat"), at.join("other.fat")).unwrap();
    settings(at, &["esp.fat", "other.fat"], "search.fs_uuid 0-0 root\n");
    write(at, "root/etc/fstab", "/dev/sda3 / ext4 defaults 0 1\n");
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    disk(at);
    let line = format!("plan {SMALL} two.img").replace(" -q ", " ");
    let why = refused(at, &line, 1);
    let part = "more than one partition could be the boot partition: partition 1";
    assert!(why.contains(part), "{why}");
    fine(at, &format!("{line} --set boot.partition=1"));
    let bytes = fs::read(at.join("root.ext4")).unwrap();
    let uuid: Vec<String> = bytes[1024 + 0x68..1024 + 0x78]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let uuid = uuid.concat();
    let parts = [
        &uuid[..8],
        &uuid[8..12],
        &uuid[12..16],
        &uuid[16..20],
        &uuid[20..],
    ];
    let text = format!("search.fs_uuid {} root\n", parts.join("-"));
    settings(at, &["other.fat"], &text);
    disk(at);
    let said = said(at, &line).to_lowercase();
    let part = "partition 2 (8 mib, fat) is the boot partition: its /efi/debian/grub.cfg names the root filesystem; partition 1";
    assert!(said.contains(part), "{said}");
}

/// What a power cut leaves on the boot partition is looked for at each start, if the image can.
#[test]
fn the_boot_partition_is_checked_where_the_program_is() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    let pass = |said: &str| {
        fine(at, &format!("convert {SMALL} golden.img"));
        let image = format!("{}?offset={}", image(at).display(), 9 << 20);
        let fstab = must(
            tool("debugfs").unwrap(),
            &[&"-R", &"cat /etc/fstab", &image],
        );
        let line = fstab.lines().find(|line| line.contains("/boot/efi"));
        let line = line.unwrap_or_else(|| panic!("{fstab}\n{said}"));
        line.split_whitespace().nth(5).unwrap().to_owned()
    };
    let line = format!("plan {SMALL} golden.img").replace(" -q ", " ");
    let note = "the image has no fsck.vfat (package dosfstools): the boot partition is not checked";
    let without = said(at, &line);
    assert!(without.contains(note), "{without}");
    assert_eq!(pass(&without), "0");
    write(at, "root/usr/sbin/fsck.vfat", "program");
    again(at, "golden.img");
    let with = said(at, &line);
    assert!(!with.contains("fsck.vfat (package"), "{with}");
    assert_eq!(pass(&with), "2");
}

/// Files that are added below a mount point are where the device shows them, or are warned of.
#[test]
fn files_that_a_mount_would_hide_are_moved_or_warned_of() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    for path in ["data/site/a", "srv/b", "boot/efi/c", "var/log/d"] {
        write(at, &format!("files/{path}"), "new");
    }
    let old = fs::read_to_string(at.join("root/etc/fstab")).unwrap();
    let lines = "/data/srv /srv none bind 0 0\ntmpfs /var/log tmpfs defaults 0 0\n";
    write(at, "root/etc/fstab", old + lines);
    fs::create_dir_all(at.join("root/srv")).unwrap();
    again(at, "golden.img");
    write(
        at,
        "more.toml",
        "[[overlay]]\ndir = \"files\"\ntarget = \"rootfs\"\n",
    );
    let line = format!("plan --edits {SMALL} -c more.toml golden.img").replace(" -q ", " ");
    let said = said(at, &line);
    for part in [
        "note: overlay files: /srv/b: moved to /data/srv, which /etc/fstab:",
        "warning: overlay files: /boot/efi/c: hidden on the device, where /etc/fstab:2 mounts the boot partition on /boot/efi; [[overlay]] target = \"boot\"",
        "warning: overlay files: /var/log/d: hidden on the device, where /etc/fstab:",
        "data  added    /srv/b",
        "data  added    /site/a",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let strict = format!("plan --strict {SMALL} -c more.toml golden.img");
    let said = refused(at, &strict, 1);
    assert!(said.contains("hidden on the device"), "{said}");
}
