//! Golden images that would act by themselves on the first start of each slot: what the plan says,
//! and what is left of it in the converted image.

use crate::support::images;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Files of a root filesystem; a target after `->` makes a link.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Makes `golden.img` in `dir`, with these files besides those of a small Debian with systemd.
fn golden(dir: &Path, fstab: &str, files: Files<'_>) {
    let root = dir.join("root");
    let _ = fs::remove_dir_all(&root);
    images::debian(&root, 3 << 20);
    let machine = [
        ("usr/lib/systemd/systemd", "x"),
        ("etc/machine-id", ""),
        ("etc/fstab", fstab),
    ];
    for (path, text) in machine.iter().chain(files) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        match text.strip_prefix("->") {
            Some(target) => symlink(target, &path).unwrap(),
            None => {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    let (filesystem, esp) = (dir.join("root.ext4"), dir.join("esp.fat"));
    let _ = fs::remove_file(&filesystem);
    images::ext4(&root, &filesystem, 16);
    fs::File::create(&esp).unwrap().set_len(8 << 20).unwrap();
    must(tool("mkfs.vfat").unwrap(), &[&esp]);
    let partitions = [
        (images::ESP, esp.as_path()),
        (images::LINUX, filesystem.as_path()),
    ];
    images::disk(&dir.join("golden.img"), &partitions);
}

/// Runs `goldsmith` on the golden image of `dir`, with more of a configuration; whether it did, and
/// its messages.
fn goldsmith_on(dir: &Path, command: &str, config: &str) -> (bool, String) {
    fs::write(dir.join("more.toml"), config).unwrap();
    let mut run = Command::new(goldsmith());
    run.args([command, "-n", "r1", "--config", "qemux86-64", "--config"])
        .arg(dir.join("more.toml"));
    for setting in [
        "client.required=false",
        "storage.size=256 MiB",
        "boot.size=36 MiB",
        "data.size=32 MiB",
        "output.name=out",
    ] {
        run.args(["--set", setting]);
    }
    if command == "convert" {
        run.arg("--output-dir").arg(dir);
    }
    let output = run.arg(dir.join("golden.img")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text)
}

/// The text of a file in slot A of the converted image.
fn in_slot(dir: &Path, path: &str) -> Option<String> {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("out.json")).unwrap()).unwrap();
    let start = record["disk"]["partitions"][1]["start"].as_u64().unwrap();
    let image = format!("{}?offset={start}", dir.join("out.img").display());
    let text = must(tool("debugfs")?, &[&"-R", &format!("cat {path}"), &image]);
    Some(text)
}

const FSTAB: &str =
    "UUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n";
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";

#[test]
fn known_tools_are_undone_and_said() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let resize = "[Service]\nType=oneshot\nExecStart=/usr/bin/resize-it\n";
    let link = format!("{WANTS}/armbian-resize-filesystem.service");
    golden(
        dir.path(),
        "UUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sda1 /boot/efi vfat ro,noauto,umask=0077 0 1\n",
        &[
            (
                "etc/rc.local",
                "#!/bin/bash\ndo_expand() {\nfdisk /dev/sda\ncp -fp /etc/rc.local.bak /etc/rc.local\nreboot\n}\ndo_expand\n",
            ),
            ("etc/rc.local.bak", "#!/bin/sh\n# the owner's\nexit 0\n"),
            (
                "usr/lib/systemd/system/armbian-resize-filesystem.service",
                resize,
            ),
            (
                &link,
                "->/usr/lib/systemd/system/armbian-resize-filesystem.service",
            ),
            ("etc/machine-id", "uninitialized\n"),
            (
                "etc/overlayroot.local.conf",
                "overlayroot=\"tmpfs:swap=1\"\n",
            ),
            (
                "etc/default/grub",
                "GRUB_CMDLINE_LINUX=\"quiet overlayroot=tmpfs\"\n",
            ),
            ("etc/cloud/cloud.cfg", "disable_root: true\n"),
            (
                "usr/share/initramfs-tools/scripts/local-bottom/growroot",
                "#!/bin/sh\n",
            ),
        ],
    );
    let (good, said) = goldsmith_on(dir.path(), "convert", "");
    assert!(good, "{said}");
    for line in [
        "note: /etc/rc.local is restored from /etc/rc.local.bak; ",
        "note: armbian-resize-filesystem.service is disabled: ",
        "note: /etc/machine-id has no id: ",
        "note: /etc/overlayroot.local.conf:1: recurse=0 is added ",
        "note: /etc/default/grub:1: recurse=0 is added ",
        "note: an overlay in memory covers the root filesystem: ",
        "note: growroot of the initial RAM disk is turned off ",
        "note: cloud-init: growing the root partition is turned off ",
        "note: /etc/fstab:2: option ro is dropped: ",
        "note: /etc/fstab:2: option noauto is dropped: ",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let Some(rc_local) = in_slot(dir.path(), "/etc/rc.local") else {
        return;
    };
    assert!(rc_local.contains("the owner's"), "{rc_local}");
    let text = |path: &str| in_slot(dir.path(), path).unwrap();
    assert_eq!(
        text("/etc/overlayroot.local.conf"),
        "overlayroot=\"tmpfs:swap=1,recurse=0\"\n"
    );
    assert!(text("/boot/mender-slot.env").contains("overlayroot=tmpfs:recurse=0 "));
    assert_eq!(text("/etc/machine-id"), "");
    let fstab = text("/etc/fstab");
    let boot = fstab
        .lines()
        .find(|line| line.contains("/boot/efi"))
        .unwrap();
    assert!(boot.contains(" umask=0077,sync "), "{boot}");
    must(goldsmith(), &[&"verify", &dir.path().join("out.img")]);
}

/// Each case: files, and the place that the problem names.
const REFUSED: &[(Files<'static>, &str)] = &[
    (
        &[("etc/rc.local", "#!/bin/sh\n[ -e /done ] || reboot\n")],
        "/etc/rc.local:2: `reboot` ",
    ),
    (
        &[
            (
                "etc/systemd/system/setup.service",
                "[Service]\nExecStart=/opt/setup\n",
            ),
            (
                "etc/systemd/system/multi-user.target.wants/setup.service",
                "->../setup.service",
            ),
            ("opt/setup", "#!/bin/bash\nsleep 2\nsystemctl reboot\n"),
        ],
        "/opt/setup:3: `systemctl reboot` ",
    ),
    (
        &[("etc/cron.d/setup", "@reboot root growpart /dev/sda 2\n")],
        "/etc/cron.d/setup:1: `growpart ",
    ),
    (
        &[("etc/overlayroot.conf", "overlayroot=/dev/sdb1\n")],
        "/etc/overlayroot.conf:1: ",
    ),
    (
        &[("etc/default/grub", "GRUB_CMDLINE_LINUX=\"boot=live\"\n")],
        "/etc/default/grub:1: kernel argument boot=live",
    ),
    (
        &[
            (
                "etc/default/grub",
                "GRUB_CMDLINE_LINUX=\"init=/opt/flasher\"\n",
            ),
            ("opt/flasher", "#!/bin/sh\ndd if=/x of=/dev/mmcblk1\n"),
        ],
        "/etc/default/grub:1: kernel argument init=/opt/flasher: /opt/flasher:2: `dd ",
    ),
    (
        &[
            (
                "etc/udev/rules.d/9-own.rules",
                "# x\nSUBSYSTEM==\"block\", ENV{ID_FS_TYPE}==\"\", RUN+=\"/opt/format %k\"\n",
            ),
            ("opt/format", "#!/bin/sh\nmkfs.ext4 -F \"/dev/$1\"\n"),
        ],
        "/opt/format:2: `mkfs.ext4 -F /dev/$1` ",
    ),
    (
        &[
            (
                "etc/udev/rules.d/9-own.rules",
                "# x\nENV{ID_PART_ENTRY_NUMBER}==\"3\", RUN+=\"/opt/attach %k\"\n",
            ),
            ("opt/attach", "#!/bin/sh\nmount \"/dev/$1\" /srv\n"),
        ],
        "/etc/udev/rules.d/9-own.rules:2: ENV{ID_PART_ENTRY_NUMBER}==\"3\" ",
    ),
    (
        &[
            (
                "etc/udev/rules.d/9-own.rules",
                "# x\nKERNEL==\"sd[a-z]3\", RUN+=\"/opt/attach %k\"\n",
            ),
            ("opt/attach", "#!/bin/sh\nmount \"/dev/$1\" /srv\n"),
        ],
        "/etc/udev/rules.d/9-own.rules:2: KERNEL==\"sd[a-z]3\" is root B",
    ),
    (
        &[(
            "etc/udev/rules.d/9-own.rules",
            "KERNEL==\"sda2\", RUN+=\"/opt/attach\"\n",
        )],
        "/etc/udev/rules.d/9-own.rules:1: KERNEL==\"sda2\" is root A",
    ),
    (
        &[("etc/default/grub", "GRUB_CMDLINE_LINUX=\"fstab=no\"\n")],
        "/etc/default/grub:1: kernel argument fstab=no: nothing of /etc/fstab is mounted",
    ),
    (
        &[(
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX=\"systemd.unit=rescue.target\"\n",
        )],
        "/etc/default/grub:1: kernel argument systemd.unit=rescue.target: it starts a rescue shell",
    ),
    (
        &[("etc/tmpfiles.d/clean.conf", "R! /data/mender\n")],
        "/etc/tmpfiles.d/clean.conf:1: each start removes",
    ),
    (
        &[
            (
                "etc/cloud/cloud.cfg",
                "#cloud-config\nruncmd: [[/opt/setup, now]]\n",
            ),
            ("opt/setup", "#!/bin/sh\nreboot\n"),
        ],
        "/opt/setup:2: `reboot` ",
    ),
    (
        &[(
            "etc/cloud/cloud.cfg",
            "#cloud-config\npower_state: {mode: reboot}\n",
        )],
        "/etc/cloud/cloud.cfg:2: `power_state: {mode: reboot}` ",
    ),
    (
        &[("etc/rc.local", "#!/bin/sh\necho /sbin/reboot | at now\n")],
        "/etc/rc.local:2: `/sbin/reboot` ",
    ),
    (
        &[(
            "etc/rc.local",
            "#!/bin/sh\nsystemd-run --on-boot=30 /sbin/reboot\n",
        )],
        "/etc/rc.local:2: `/sbin/reboot` ",
    ),
    (
        &[
            (
                "etc/systemd/system/getty.target.wants/getty@tty1.service",
                "->/usr/lib/systemd/system/getty@.service",
            ),
            (
                "usr/lib/systemd/system/getty@.service",
                "[Service]\nExecStart=-/sbin/agetty --autologin root %I\n",
            ),
            (
                "etc/profile.d/first.sh",
                "if [ ! -e /data/done ]; then\n  touch /data/done\n  reboot\nfi\n",
            ),
        ],
        "/etc/profile.d/first.sh:3: `reboot` ",
    ),
    (
        &[
            (
                "etc/systemd/system/multi-user.target.wants/app.service",
                "->/usr/lib/systemd/system/app.service",
            ),
            (
                "usr/lib/systemd/system/app.service",
                "[Service]\nExecStart=/bin/true\n",
            ),
            (
                "etc/systemd/system/service.d/all.conf",
                "[Service]\nExecStartPost=/sbin/reboot\n",
            ),
        ],
        "/etc/systemd/system/service.d/all.conf:2: `/sbin/reboot` ",
    ),
    (
        &[(
            "etc/cloud/cloud.cfg",
            "#cloud-config\npower_state:\n  mode: reboot\n",
        )],
        "/etc/cloud/cloud.cfg:3: `mode: reboot` ",
    ),
];

#[test]
fn what_nobody_knows_is_refused_until_it_is_accepted() {
    if !images::can_make() {
        return;
    }
    for (files, place) in REFUSED {
        let dir = scratch();
        golden(dir.path(), FSTAB, files);
        let (good, said) = goldsmith_on(dir.path(), "plan", "");
        assert!(
            !good && said.contains(&format!("error: {place}")),
            "{place}: {said}"
        );
        // The way out that the hint shows works.
        let (_, hint) = said.split_once("accept it:\n").unwrap();
        let accept: String = hint
            .lines()
            .take(3)
            .map(|line| format!("{line}\n"))
            .collect();
        let (good, said) = goldsmith_on(dir.path(), "convert", &accept);
        assert!(good, "{accept}: {said}");
        must(goldsmith(), &[&"verify", &dir.path().join("out.img")]);
    }
}

#[test]
fn an_entry_that_accepts_nothing_is_said() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    golden(
        dir.path(),
        FSTAB,
        &[("etc/rc.local", "#!/bin/sh\nexit 0\n")],
    );
    let accept = |file: &str| format!("[[accept]]\nfile = {file:?}\nreason = \"known\"\n");
    for (file, why) in [
        ("/etc/rc.local", "nothing in it has to be accepted"),
        ("/etc/rc.locale", "the image has no such file"),
    ] {
        let (good, said) = goldsmith_on(dir.path(), "plan", &accept(file));
        let warning = format!("warning: [[accept]] file = {file:?} has no effect: {why}");
        assert!(good && said.contains(&warning), "{said}");
        assert!(!said.contains("accepted: known"), "{said}");
    }
    golden(
        dir.path(),
        FSTAB,
        &[("etc/rc.local", "#!/bin/sh\nreboot\n")],
    );
    let (good, said) = goldsmith_on(dir.path(), "plan", &accept("/etc/rc.local"));
    assert!(
        good && said.contains("note: /etc/rc.local: accepted: known"),
        "{said}"
    );
    assert!(!said.contains("has no effect"), "{said}");
}

#[test]
fn what_overlays_bring_in_vain_is_said() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), FSTAB, &[]);
    let files = [
        ("root/run/a", "x"),
        ("root/data/app/b", "x"),
        ("root/etc/mender/artifact_info", "artifact_name=other\n"),
        ("data/mender/device_type", "device_type=other\n"),
        ("boot/EFI/BOOT/grub.cfg", "x"),
    ];
    for (path, text) in files {
        let path = dir.path().join("over").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let overlay = |name: &str, target: &str| {
        let dir = dir.path().join("over").join(name);
        format!("[[overlay]]\ndir = {dir:?}\ntarget = \"{target}\"\n")
    };
    let config = overlay("root", "rootfs") + &overlay("data", "data") + &overlay("boot", "boot");
    let (good, said) = goldsmith_on(dir.path(), "plan", &config);
    assert!(good, "{said}");
    for line in [
        "warning: overlay root: /run/a: hidden on the device, where each start",
        "note: overlay root: /data/app/b: moved to the data partition, which is mounted on /data",
        "warning: overlay root: /etc/mender/artifact_info is replaced: the name of this release",
        "warning: overlay data: /mender/device_type of the data partition is replaced: the device's type",
        "warning: overlay boot: /EFI/BOOT/grub.cfg of the boot partition is replaced: ",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[test]
fn a_kernel_that_cannot_start_a_slot_is_refused() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let config = "CONFIG_X=y\nCONFIG_CMDLINE=\"root=/dev/sda2\"\nCONFIG_CMDLINE_OVERRIDE=y\n";
    golden(dir.path(), FSTAB, &[("boot/config-6.1.0-1", config)]);
    let (good, said) = goldsmith_on(dir.path(), "plan", "");
    let place =
        "error: /boot/config-6.1.0-1:3: this kernel takes its own arguments (`root=/dev/sda2`)";
    assert!(!good && said.contains(place), "{said}");
}

#[test]
fn the_state_of_the_client_is_not_in_memory() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    golden(
        dir.path(),
        &format!("{FSTAB}tmpfs /var/lib tmpfs defaults 0 0\n"),
        &[],
    );
    let (good, said) = goldsmith_on(dir.path(), "plan", "");
    let place = "error: /etc/fstab:3: tmpfs on /var/lib hides what the update client must keep";
    assert!(!good && said.contains(place), "{said}");
}
