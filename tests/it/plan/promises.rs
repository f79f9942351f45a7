//! What the golden root filesystem promised: mount options that need a feature, swap files,
//! fs-verity, project IDs, settings of the superblock. The plan says what is lost; the slots keep
//! the rest, as strangers see it.

use crate::support::images;
use crate::support::{goldsmith, must, root, run, scratch, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs a command of debugfs that writes.
fn debug(image: &Path, command: &str) {
    must(tool("debugfs").unwrap(), &[&"-w", &"-R", &command, &image]);
}

/// What debugfs prints.
fn shown(image: &Path, command: &str) -> String {
    must(tool("debugfs").unwrap(), &[&"-R", &command, &image])
}

/// A golden image whose root filesystem has the files of a small Debian, `fstab` and `grub`
/// (`/etc/default/grub`), changed by `change`; `None` without the tools.
fn golden(fstab: &str, grub: &str, change: impl Fn(&Path, &Path)) -> Option<tempfile::TempDir> {
    for name in [
        "mke2fs",
        "mkfs.vfat",
        "sfdisk",
        "debugfs",
        "tune2fs",
        "mkswap",
        "e2fsck",
    ] {
        tool(name)?;
    }
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    images::debian(&at("root"), 3 << 20);
    fs::write(at("root/etc/fstab"), fstab).unwrap();
    fs::write(at("root/etc/default/grub"), grub).unwrap();
    fs::create_dir(at("root/srv")).unwrap();
    images::ext4(&at("root"), &at("root.ext4"), 48);
    fs::File::create(at("esp.fat"))
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    must(tool("mkfs.vfat")?, &[&at("esp.fat")]);
    change(&at("root.ext4"), dir.path());
    images::disk(
        &at("golden.img"),
        &[
            (images::ESP, &at("esp.fat")),
            (images::LINUX, &at("root.ext4")),
        ],
    );
    Some(dir)
}

/// What a command prints for the golden image in `dir`, and whether it succeeded.
fn command(dir: &Path, name: &str, settings: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(goldsmith());
    command.args([name, "-n", "r1", "--config", "qemux86-64"]);
    let usual = [
        "client.required=false",
        "storage.size=384 MiB",
        "boot.size=36 MiB",
        "data.size=32 MiB",
        "output.name=out",
        "output.rootfs=true",
        "artifact.compression=gzip",
    ];
    for setting in usual.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    if name == "convert" {
        command.arg("--output-dir").arg(dir);
    }
    let output = command.arg(dir.join("golden.img")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

/// Plans and converts; returns what the plan says and the root filesystem, which strangers have
/// judged.
fn converted(dir: &Path) -> (String, PathBuf) {
    let (good, plan) = command(dir, "plan", &[]);
    assert!(good, "{plan}");
    let (good, text) = command(dir, "convert", &[]);
    assert!(good, "{text}");
    must(goldsmith(), &[&"verify", &dir.join("out.img")]);
    let slot = dir.join("out.ext4");
    must(tool("e2fsck").unwrap(), &[&"-fn", &slot]);
    (plan, slot)
}

#[test]
fn options_go_with_the_features_that_they_need_and_project_ids_stay() {
    let fstab = "LABEL=x / ext4 noatime,prjquota,usrquota 0 1\n";
    let grub = "GRUB_CMDLINE_LINUX=\"quiet rootflags=prjquota rootfstype=ext3\"\n";
    let Some(dir) = golden(fstab, grub, |image, _| {
        must(
            tool("tune2fs").unwrap(),
            &[
                &"-O",
                &"quota,project",
                &"-Q",
                &"usrquota,grpquota,prjquota",
                &image,
            ],
        );
        must(
            tool("tune2fs").unwrap(),
            &[&"-e", &"panic", &"-c", &"30", &"-m", &"1", &image],
        );
        debug(image, "set_inode_field /srv projid 1001");
        debug(image, "set_inode_field /srv flags 0x20080000");
    }) else {
        return;
    };
    let (plan, slot) = converted(dir.path());
    for line in [
        "/etc/fstab, line 1: option prjquota of / is dropped: the quotas",
        "/etc/fstab, line 1: option usrquota of / is dropped: the quotas",
        "/etc/default/grub, line 1: option prjquota of rootflags is dropped: the quotas",
        "/etc/default/grub, line 1: rootfstype=ext3 becomes rootfstype=ext4",
        "root filesystem: its check after 30 mounts is not carried over",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let fstab = shown(&slot, "cat /etc/fstab");
    assert!(
        fstab.contains(" / ") && fstab.contains(" noatime 0 1"),
        "{fstab}"
    );
    let arguments = shown(&slot, "cat /boot/mender-slot.env");
    assert!(arguments.contains("quiet rootfstype=ext4"), "{arguments}");
    assert!(!arguments.contains("rootflags"), "{arguments}");
    let srv = shown(&slot, "stat /srv");
    assert!(srv.contains("Project:  1001"), "{srv}");
    assert!(srv.contains("Flags: 0x20080000"), "{srv}");
    let head = shown(&slot, "show_super_stats -h");
    for (field, value) in [
        ("Errors behavior:", "Panic"),
        ("Filesystem features:", "project"),
    ] {
        let line = head.lines().find(|line| line.starts_with(field)).unwrap();
        assert!(line.contains(value), "{line}");
    }
    let (good, text) = command(dir.path(), "plan", &["root.options=prjquota"]);
    assert!(
        !good && text.contains("root.options: option prjquota"),
        "{text}"
    );
}

#[test]
fn the_mode_of_the_journal_is_a_default_of_the_slots() {
    let mode = |fstab: &str, default: &str| {
        let fstab = format!("LABEL=x / ext4 {fstab} 0 1\n");
        let dir = golden(&fstab, "", |image, _| {
            must(tool("tune2fs").unwrap(), &[&"-o", &default, &image]);
        })?;
        let (plan, slot) = converted(dir.path());
        let head = shown(&slot, "show_super_stats -h");
        let line = head.lines().find(|line| line.starts_with("Default mount"));
        Some([
            plan,
            line.unwrap_or_default().to_owned(),
            shown(&slot, "cat /etc/fstab"),
        ])
    };
    let Some([_, default, fstab]) = mode("data=journal", "journal_data") else {
        return;
    };
    assert!(default.contains("journal_data"), "{default}");
    assert!(fstab.contains(" data=journal 0 1"), "{fstab}");
    let [plan, default, fstab] = mode("data=writeback", "user_xattr").unwrap();
    assert!(
        plan.contains("data=writeback of its mount options becomes a default"),
        "{plan}"
    );
    assert!(default.contains("journal_data_writeback"), "{default}");
    assert!(fstab.contains(" data=writeback 0 1"), "{fstab}");
    let [plan, default, fstab] = mode("data=writeback", "journal_data").unwrap();
    assert!(
        plan.contains("line 1: option data=writeback of / is dropped"),
        "{plan}"
    );
    assert!(
        default.contains("journal_data") && !fstab.contains("data="),
        "{default} {fstab}"
    );
}

#[test]
fn swap_files_stay_usable_and_are_left_out() {
    let fstab = "/swapfile none swap sw 0 0\n/later none swap sw 0 0\n/none none swap sw 0 0\n";
    let Some(dir) = golden(fstab, "", |image, dir| {
        let swap = dir.join("swap");
        fs::write(&swap, crate::support::noise(8 << 20, 7)).unwrap();
        must("chmod", &[&"600", &swap]);
        must(tool("mkswap").unwrap(), &[&swap]);
        debug(image, &format!("write {} /swapfile", swap.display()));
        debug(image, "set_inode_field /swapfile mode 0100600");
        fs::File::create(dir.join("empty")).unwrap();
        debug(
            image,
            &format!("write {} /allocated", dir.join("empty").display()),
        );
        debug(image, "fallocate /allocated 0 2047");
        debug(image, "set_inode_field /allocated size 2097152");
        fs::File::create(dir.join("hole"))
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        debug(
            image,
            &format!("write {} /later", dir.join("hole").display()),
        );
    }) else {
        return;
    };
    let (plan, slot) = converted(dir.path());
    for line in [
        "swap file /swapfile (8 MiB): what was swapped out is left out",
        "/etc/fstab, line 2: swap file /later has no swap signature yet, and holes",
        "/etc/fstab, line 3: swap file /none is not in the root filesystem",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let small = fs::metadata(dir.path().join("out.mender")).unwrap().len();
    assert!(small < 6 << 20, "the Artifact has {small} bytes");
    for (path, blocks) in [("/swapfile", 8 << 11), ("/allocated", 2 << 11)] {
        let stat = shown(&slot, &format!("stat {path}"));
        assert!(stat.contains(&format!("Blockcount: {blocks}\n")), "{stat}");
    }
    if root() {
        let script = "m=$(mktemp -d) && mount -o loop \"$1\" $m || exit 77; \
                      swapon $m/swapfile; rc=$?; swapoff $m/swapfile; umount $m; rmdir $m; exit $rc";
        let output = run("sh", &[&"-c", &script, &"sh", &slot]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // A kernel without loop devices or swap says nothing of the file.
        let cannot = output.status.code() == Some(77) || text.contains("Operation not permitted");
        assert!(cannot || output.status.success(), "{text}");
    }
}

#[test]
fn lost_protection_by_verity_is_said() {
    let Some(dir) = golden("LABEL=x / ext4 defaults 0 1\n", "", |image, _| {
        must(tool("tune2fs").unwrap(), &[&"-O", &"verity", &image]);
        debug(image, "set_inode_field /etc/os-release flags 0x180000");
    }) else {
        return;
    };
    let (plan, slot) = converted(dir.path());
    let line = "fs-verity of /etc/os-release is not carried over";
    assert!(plan.contains(line), "{plan}");
    assert!(shown(&slot, "stat /etc/os-release").contains("Flags: 0x80000\n"));
}
