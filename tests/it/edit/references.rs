//! References to disks: the plan lists what each stands for on both disks; what is gone or another
//! thing goes with a note, or is an error.

use crate::support::images;
use crate::support::{goldsmith, scratch};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// Files of a small golden image whose disk has two partitions, boot and root: whatever names a
/// third or fourth one names a partition that only the converted disk has.
const FILES: [(&str, &str); 21] = [
    (
        "etc/fstab",
        "UUID=1-2 / ext4 defaults 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n\
         /dev/sda3\t/srv/media\text4\tdefaults,nofail\t0 2\n/srv/media/x /var/www none bind 0 0\n\
         /dev/sdb1 /usb auto noauto 0 0\nUUID=1234-ABCD /usb2 auto nofail 0 0\n\
         tmpfs /tmp tmpfs x-systemd.requires=/dev/sda3 0 0\n/dev/mapper/vault /vault ext4 nofail 0 0\n",
    ),
    (
        "etc/crypttab",
        "# swap /dev/sda3 /dev/urandom swap\nswap\t/dev/sda3\t/dev/urandom swap,nofail\r\n\
         vault /var/vault.img none luks,noauto\n",
    ),
    (
        "etc/systemd/system/data.mount",
        "[Mount]\nWhat=/dev/disk/by-uuid/1-2\nWhere=/data\n",
    ),
    (
        "etc/systemd/system/opt-x.mount",
        "[Mount]\nWhat=/dev/mmcblk0p4\nWhere=/opt/x\n",
    ),
    (
        "etc/systemd/system/opt-x.automount",
        "[Automount]\nWhere=/opt/x\n",
    ),
    (
        "etc/systemd/system/boot-efi.mount.d/a.conf",
        "[Mount]\nOptions=ro\n",
    ),
    (
        "etc/systemd/system/app.service",
        "[Unit]\nRequires=opt-x.mount network.target\nBindsTo=dev-sda3.device\n\
         [Service]\nExecStart=/usr/bin/app --disk /dev/sda4\n",
    ),
    ("etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda3\n"),
    (
        "etc/dracut.conf.d/a.conf",
        "add_device+=\" /dev/sda4 \"\nhostonly=no\n",
    ),
    (
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"quiet systemd.mount-extra=/dev/sda3:/x resume=/dev/sda3\"\n",
    ),
    (
        "boot/grub/grub.cfg",
        "menuentry x {\nlinux /boot/vmlinuz-6.1.0-1 root=UUID=1-2 quiet rd.luks.uuid=11-22 \
         cryptdevice=/dev/sda3:x\n}\n",
    ),
    (
        "etc/mdadm/mdadm.conf",
        "DEVICE /dev/sda4\nARRAY /dev/md0 UUID=a:b\n",
    ),
    (
        "etc/lvm/devices/system.devices",
        "VERSION=1.1.1\nIDTYPE=devname IDNAME=/dev/sda4 DEVNAME=/dev/sda4 PVID=x PART=4\n",
    ),
    ("etc/zfs/zpool.cache", "\u{1}path\u{1}/dev/sda4\u{1}"),
    (
        "etc/udev/rules.d/9-disk.rules",
        "KERNEL==\"sda3\", \\\n  SYMLINK+=\"media\"\nKERNEL==\"sd*\", GROUP=\"disk\"\n",
    ),
    ("etc/auto.media", "usb -fstype=auto :/dev/sda3\n"),
    ("etc/cron.d/check", "0 1 * * * root fsck -n /dev/sda3\n"),
    ("etc/default/backup", "DISK=/dev/sda4\n"),
    ("usr/bin/systemd-repart", ""),
    ("usr/lib/repart.d/50-root.conf", "[Partition]\nType=root\n"),
    (
        "etc/cloud/cloud.cfg.d/9.cfg",
        "growpart:\n  devices: ['/']\n",
    ),
];

/// What the table of the plan has, beginning with the action.
const ROWS: [&str; 29] = [
    "rewritten fstab /etc/fstab:1: UUID=1-2 on /",
    "rewritten fstab /etc/fstab:2: /dev/sda1 on /boot/efi  (partition 1 (8 MiB, FAT) -> the boot partition (partition 1))",
    "removed   fstab /etc/fstab:3: /dev/sda3 on /srv/media  (not on the golden disk -> root B (partition 3))",
    "removed   fstab /etc/fstab:4: /srv/media/x on /var/www",
    "kept      fstab /etc/fstab:5: /dev/sdb1 on /usb",
    "kept      fstab /etc/fstab:6: UUID=1234-ABCD on /usb2",
    "kept      fstab /etc/fstab:8: /dev/mapper/vault on /vault",
    "removed   crypttab /etc/crypttab:2: /dev/sda3",
    "kept      crypttab /etc/crypttab:3: /var/vault.img",
    "removed   mount unit /etc/systemd/system/data.mount: ",
    "removed   mount unit /etc/systemd/system/opt-x.mount:2: /dev/mmcblk0p4",
    "removed   drop-in /etc/systemd/system/boot-efi.mount.d/a.conf:2: Options=ro",
    "removed   unit /etc/systemd/system/app.service:2: opt-x.mount",
    "removed   unit /etc/systemd/system/app.service:3: dev-sda3.device",
    "noted     unit /etc/systemd/system/app.service:5: /dev/sda4",
    "removed   initramfs /etc/initramfs-tools/conf.d/resume:1: /dev/sda3",
    "removed   dracut /etc/dracut.conf.d/a.conf:1: /dev/sda4",
    "removed   kernel argument /etc/default/grub:1: systemd.mount-extra=/dev/sda3:/x",
    "removed   boot menu /boot/grub/grub.cfg:2: rd.luks.uuid=11-22",
    "removed   boot menu /boot/grub/grub.cfg:2: cryptdevice=/dev/sda3:x",
    "removed   RAID /etc/mdadm/mdadm.conf:1: /dev/sda4",
    "removed   LVM devices file /etc/lvm/devices/system.devices:2: /dev/sda4",
    "removed   ZFS /etc/zfs/zpool.cache: /dev/sda4",
    "removed   udev rule /etc/udev/rules.d/9-disk.rules:1: KERNEL==\"sda3\"",
    "removed   autofs map /etc/auto.media:1: /dev/sda3",
    "noted     script /etc/cron.d/check:1: /dev/sda3",
    "noted     service setting /etc/default/backup:1: /dev/sda4",
    "removed   systemd-repart /usr/lib/repart.d/50-root.conf: a partition",
    "removed   symlink /srv/disk: /dev/sda3",
];

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The image with these files in its root filesystem.
fn image(at: &Path, files: &[(&str, &str)]) {
    write(&at.join("root"), files);
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    let parts = [
        (images::ESP, at.join("esp.fat")),
        (images::LINUX, at.join("root.ext4")),
    ];
    let parts: Vec<(&str, &Path)> = parts.iter().map(|(kind, path)| (*kind, &**path)).collect();
    images::disk(&at.join("golden.img"), &parts);
}

fn run(at: &Path, command: &str, more: &[&str]) -> Output {
    Command::new(goldsmith())
        .current_dir(at)
        .args([command, "-n", "r1", "-c", "qemux86-64"])
        .args(["-s", "storage.size=128MiB", "-s", "data.size=16MiB"])
        .args(["-s", "boot.size=8MiB", "-s", "output.name=out"])
        .args(["-s", "client.required=false"])
        .args(more)
        .arg("golden.img")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_plan_lists_every_reference_and_what_became_of_it() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);
    fs::create_dir_all(at.join("root/srv")).unwrap();
    symlink("/dev/sda3", at.join("root/srv/disk")).unwrap();
    image(at, &FILES);
    let output = run(at, "plan", &[]);
    let (plan, notes) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{notes}");
    for row in ROWS {
        assert!(
            plan.lines().any(|line| line.trim().starts_with(row)),
            "{row}\n{plan}\n{notes}"
        );
    }
    // Whatever is not kept has a note with its place, but for our own mounts.
    let rows = ROWS.iter().filter(|row| {
        !row.starts_with("kept")
            && !row.contains("boot menu")
            && !row.contains("fstab:1:")
            && !row.contains("fstab:2:")
    });
    for row in rows {
        let place = row.find('/').map(|from| &row[from..]).unwrap();
        let place = place.split(": ").next().unwrap();
        assert!(
            notes.contains(&format!("note: {place}")),
            "{place}\n{notes}"
        );
    }
    let dropped = "note: kernel argument dropped: cryptdevice=/dev/sda3:x (";
    assert!(notes.contains(dropped), "{notes}");
    let output = run(at, "plan", &["--json"]);
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = record["references"].as_array().unwrap();
    let row = rows.iter().find(|row| row["file"] == "/etc/crypttab");
    let expected = serde_json::json!({
        "file": "/etc/crypttab", "line": 2, "kind": "crypttab", "what": "/dev/sda3",
        "golden": "", "converted": "root B (partition 3)", "action": "removed"
    });
    assert_eq!(row, Some(&expected));
    // The results contain none of them, and their own check agrees.
    let output = run(at, "convert", &["-s", "output.rootfs=true"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn what_would_destroy_a_slot_is_refused_until_it_is_accepted() {
    if !images::can_make() {
        return;
    }
    let cases = [
        ("etc/rc.local", "#!/bin/sh\nmkswap /dev/sda3\n", 2),
        (
            "etc/systemd/system/swap.service",
            "[Service]\nExecStart=/sbin/mkfs.ext4 /dev/sda3\n",
            2,
        ),
        (
            "etc/cloud/cloud.cfg.d/9.cfg",
            "fs_setup:\n - device: /dev/sda4\n",
            2,
        ),
        (
            "etc/cloud/cloud.cfg.d/8.cfg",
            "disk_setup:\n  /dev/sda:\n    layout: true\n",
            2,
        ),
        (
            "etc/overlayroot.conf",
            "overlayroot=\"device:dev=/dev/sda3\"\n",
            1,
        ),
    ];
    for (path, body, line) in cases {
        let dir = scratch();
        let at = dir.path();
        images::golden(at);
        image(at, &[(path, body)]);
        let output = run(at, "plan", &[]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{path}: {message}");
        let place = format!("error: /{path}:{line}: /dev/sda");
        assert!(message.contains(&place), "{place}: {message}");
        assert!(message.contains("[[accept]]\nfile = "), "{message}");
        let accepted = format!("[[accept]]\nfile = \"/{path}\"\nreason = \"known\"\n");
        fs::write(at.join("accept.toml"), accepted).unwrap();
        let output = run(at, "plan", &["-c", "accept.toml"]);
        let message = text(&output.stderr);
        let mine = message.contains(&format!("error: /{path}:{line}: /dev/sda"));
        assert!(!mine, "{message}");
    }
}
