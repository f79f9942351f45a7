//! A converted Raspberry Pi on which apt installs a kernel: a whole Debian of this machine's
//! architecture with the names of Raspberry Pi OS, converted, extracted from the image and entered.

use crate::boot::env_tools::Answer;
use crate::convert::conversions::partitions;
use crate::plan::boards::{fine, image, write};
use crate::support::golden::golden;
use crate::support::{images, must, root, run, scratch, tool};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

const OLD: &str = "6.6.51+rpt-rpi-v8";
const NEW: &str = "6.12.34+rpt-rpi-v8";
const ARGUMENTS: &str = "-q -n r1 -c raspberrypi4-64 -s boot.bootloader=rpi-tryboot \
    -s storage.alignment=1MiB -s storage.size=3GiB -s data.size=64MiB -s boot.size=64MiB \
    -s artifact.compression=none -s client.required=false --output-dir out";

/// In front of `dd`, by which a directory is named: notes whether the directories that are in use
/// are whole then.
const WATCH: &str = r#"#!/bin/sh
for slot in slot-a0 slot-b0; do
    (cd /boot/firmware/$slot && while read -r sum size name; do
        [ "$(cksum <"$name")" = "$sum $size" ] || exit 1
    done <set.txt) && echo "$slot whole" >>/watched
done
exec /usr/bin/dd.real "$@"
"#;

/// A mailbox that takes the flag for a trial, unless there is a file `/deaf`.
const MAILBOX: &str = "#!/bin/sh\n[ ! -e /deaf ] || exit 1\n\
    echo 0x0000001c 0x80000000 0x00038064 0x00000004 0x80000004 0x0000000$4 0x00000000\n";

/// A hook that must not run any more.
const DIVERTED: &str = "#!/bin/sh\n: >/not-diverted\n";

fn program(at: &Path, name: &str, text: &str) {
    write(at, name, text);
    fs::set_permissions(at.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Writes which machine the shell is for (`e_machine` of its ELF header, byte 18).
fn set_machine(root: &Path, machine: u8) {
    let shell = fs::canonicalize(root.join("usr/bin/dash")).unwrap();
    let file = fs::File::options().write(true).open(shell).unwrap();
    file.write_all_at(&[machine], 18).unwrap();
}

/// The files of a kernel of Raspberry Pi OS.
fn kernel(at: &Path, version: &str) {
    let trees = format!("usr/lib/linux-image-{version}");
    for (name, what) in [
        (format!("boot/vmlinuz-{version}"), "kernel"),
        (format!("{trees}/broadcom/bcm2711-rpi-4-b.dtb"), "tree"),
        (format!("{trees}/overlays/vc4-kms-v3d.dtbo"), "overlay"),
        (format!("{trees}/overlays/README"), "readme"),
        (
            format!("usr/lib/modules/{version}/modules.order"),
            "modules",
        ),
        (
            format!("usr/lib/modules/{version}/modules.builtin"),
            "modules",
        ),
    ] {
        write(at, &name, format!("{what} of {version}\n"));
    }
    let packed = "CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n";
    write(at, &format!("boot/config-{version}"), packed);
}

/// The replica, as a card.
fn card(at: &Path, debian: &Path) {
    let root = at.join("root");
    let place = format!(
        "{}?offset={}",
        debian.display(),
        partitions(debian)[&2].start
    );
    fs::create_dir(&root).unwrap();
    let command = format!("rdump / {}", root.display());
    must("debugfs", &[&"-R", &command, &place]);
    for path in ["usr/lib/grub", "etc/kernel", "etc/grub.d"] {
        fs::remove_dir_all(root.join(path)).unwrap();
    }
    for entry in fs::read_dir(root.join("boot")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let tools = "#!/bin/sh\nset -e\nupdate-initramfs -c -k \"$1\"\n";
    program(&root, "etc/kernel/postinst.d/initramfs-tools", tools);
    for name in [
        "etc/kernel/postinst.d/z50-raspi-firmware",
        "etc/kernel/postrm.d/z50-raspi-firmware",
        "etc/initramfs/post-update.d/z50-raspi-firmware",
    ] {
        program(&root, name, DIVERTED);
    }
    program(&root, "usr/sbin/fsck.vfat", "#!/bin/sh\n");
    program(&root, "usr/bin/vcmailbox", MAILBOX);
    kernel(&root, OLD);
    write(&root, &format!("boot/initrd.img-{OLD}"), "initrd");
    let fstab = "PARTUUID=4e639091-02 / ext4 defaults 0 1\n\
                 PARTUUID=4e639091-01 /boot/firmware vfat defaults 0 2\n";
    write(&root, "etc/fstab", fstab);
    set_machine(&root, 183);
    images::ext4(&root, &at.join("root.ext4"), 1024);
    let boot = at.join("boot");
    for (name, text) in [
        (
            "config.txt",
            "auto_initramfs=1\narm_64bit=1\ndtoverlay=vc4-kms-v3d\n",
        ),
        (
            "cmdline.txt",
            "console=tty1 root=PARTUUID=4e639091-02 rootwait\n",
        ),
        ("start4.elf", "firmware"),
        ("fixup4.dat", "firmware"),
        ("initramfs8", "initrd"),
        ("overlays/vc4-kms-v3d.dtbo", "overlay"),
        ("overlays/README", "readme"),
    ] {
        write(&boot, name, text);
    }
    fs::copy(
        root.join(format!("boot/vmlinuz-{OLD}")),
        boot.join("kernel8.img"),
    )
    .unwrap();
    fs::write(boot.join("bcm2711-rpi-4-b.dtb"), "tree").unwrap();
    let fat = at.join("boot.fat");
    fs::File::create(&fat).unwrap().set_len(64 << 20).unwrap();
    must("mkfs.vfat", &[&"-F", &"32", &fat]);
    for entry in fs::read_dir(&boot).unwrap() {
        must(
            "mcopy",
            &[&"-s", &"-i", &fat, &entry.unwrap().path(), &"::/"],
        );
    }
    let parts = [(images::ESP, &*fat), (images::LINUX, &at.join("root.ext4"))];
    images::disk(&at.join("pi.img"), &parts);
}

/// The package of a kernel, with the scripts that those of Debian and Raspberry Pi OS have.
fn package(at: &Path) {
    let dir = at.join("package");
    kernel(&dir, NEW);
    let control = format!(
        "Package: linux-image-{NEW}\nVersion: 1:6.12.34-1+rpt1\nArchitecture: all\n\
         Maintainer: nobody <nobody@example.org>\nDescription: a kernel\n"
    );
    write(&dir, "DEBIAN/control", control);
    for (name, when) in [("postinst", "configure"), ("postrm", "remove")] {
        let text = format!(
            "#!/bin/sh\nset -e\nif [ \"$1\" = {when} ]; then\n\
             DEB_MAINT_PARAMS=\"$*\" run-parts --report --exit-on-error --arg={NEW} \
             --arg=/boot/vmlinuz-{NEW} /etc/kernel/{name}.d\nfi\n"
        );
        program(&dir, &format!("DEBIAN/{name}"), &text);
    }
    let to = at.join("slot/kernel.deb");
    must("dpkg-deb", &[&"--root-owner-group", &"-b", &dir, &to]);
}

/// The root filesystem of slot A, and the boot partition where it is mounted.
fn extract(at: &Path) {
    let slot = at.join("slot");
    fs::create_dir(&slot).unwrap();
    let image = image(at);
    let starts = partitions(&image);
    let root = format!("{}?offset={}", image.display(), starts[&2].start);
    let command = format!("rdump / {}", slot.display());
    must("debugfs", &[&"-R", &command, &root]);
    let boot = format!("{}@@{}", image.display(), starts[&1].start);
    must(
        "mcopy",
        &[&"-s", &"-i", &boot, &"::/", &slot.join("boot/firmware")],
    );
    set_machine(&slot, 62);
    for dir in ["proc", "run/lock", "tmp", "var/tmp", "dev"] {
        fs::create_dir_all(slot.join(dir)).unwrap();
    }
    if fs::symlink_metadata(slot.join("var/lock")).is_err() {
        symlink("/run/lock", slot.join("var/lock")).unwrap();
    }
    if !slot.join("dev/null").exists() {
        must(
            "mknod",
            &[&"-m", &"666", &slot.join("dev/null"), &"c", &"1", &"3"],
        );
    }
    write(
        &slot,
        "proc/cmdline",
        "console=tty1 mender.slot=2 rootwait\n",
    );
    // The tools have a PATH of their own.
    fs::rename(slot.join("usr/bin/dd"), slot.join("usr/bin/dd.real")).unwrap();
    program(&slot, "usr/bin/dd", WATCH);
}

/// Runs a command in the root filesystem.
fn inside(at: &Path, words: &[&str]) -> Answer {
    let slot = at.join("slot");
    let mut all: Vec<&dyn AsRef<OsStr>> = vec![
        &slot,
        &"/usr/bin/env",
        &"-i",
        &"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        &"DEBIAN_FRONTEND=noninteractive",
    ];
    all.extend(words.iter().map(|word| word as &dyn AsRef<OsStr>));
    let output = run("chroot", &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let answer = Answer {
        status: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    println!("{words:?} {answer:?}");
    assert_eq!(answer.status, Some(0), "{words:?}");
    answer
}

/// All files of a directory of the boot partition, which must be those that its list has.
fn set(at: &Path, name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = at.join("slot/boot/firmware").join(name);
    let list = fs::read_to_string(dir.join("set.txt")).unwrap();
    let mut out = Vec::new();
    for line in list.lines() {
        let name = line.split(' ').nth(2).unwrap();
        let sum = must("sh", &[&"-c", &"cksum <\"$1\"", &"sh", &dir.join(name)]);
        assert_eq!(format!("{} {name}", sum.trim()), line);
        out.push((name.to_owned(), fs::read(dir.join(name)).unwrap()));
    }
    out
}

/// A converted system that can be entered.
struct System {
    dir: tempfile::TempDir,
}

impl System {
    /// `None`, said aloud, when something for it is not installed.
    fn new() -> Option<Self> {
        for name in ["debugfs", "mcopy", "mkfs.vfat", "dpkg-deb", "chroot"] {
            tool(name)?;
        }
        if !root() {
            return None;
        }
        let debian = golden("mini")?;
        let dir = scratch();
        card(dir.path(), &debian);
        fine(dir.path(), &format!("convert {ARGUMENTS} pi.img"));
        extract(dir.path());
        package(dir.path());
        Some(Self { dir })
    }

    fn run(&self, words: &[&str]) -> Answer {
        inside(self.dir.path(), words)
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir.path().join("slot").join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.dir.path().join("slot").join(path).exists()
    }

    /// The files of a directory of the boot partition.
    fn set(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        set(self.dir.path(), name)
    }

    /// The directory that a file of settings names in its first line, and what follows.
    fn named(&self, file: &str) -> (String, String) {
        let text = String::from_utf8(self.read(&format!("boot/firmware/{file}"))).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let name = first.strip_prefix("os_prefix=").unwrap();
        (name.trim_end_matches('/').to_owned(), rest.to_owned())
    }

    /// Whether the directory that is named has the files of the new kernel, and no other.
    fn check_new_kernel(&self, name: &str) {
        let files = self.set(name);
        let trees = format!("usr/lib/linux-image-{NEW}");
        for (name, path) in [
            ("kernel8.img", format!("boot/vmlinuz-{NEW}")),
            ("initramfs8", format!("boot/initrd.img-{NEW}")),
            (
                "bcm2711-rpi-4-b.dtb",
                format!("{trees}/broadcom/bcm2711-rpi-4-b.dtb"),
            ),
            (
                "overlays/vc4-kms-v3d.dtbo",
                format!("{trees}/overlays/vc4-kms-v3d.dtbo"),
            ),
            ("overlays/README", format!("{trees}/overlays/README")),
        ] {
            let found = files.iter().find(|(known, _)| known == name);
            let (_, bytes) = found.unwrap_or_else(|| panic!("{name}"));
            assert!(*bytes == self.read(&path), "{name}");
        }
    }
}

/// Apt installs a kernel on a converted Raspberry Pi: it goes to the directory of the running slot
/// that is not in use, which is then named; the other slot stays as it is.
#[test]
#[ignore = "it converts a whole system; `make test-boot` runs it"]
fn boot_files_of_a_kernel_from_apt_are_those_of_the_running_slot() {
    let Some(system) = System::new() else { return };
    let (first, settings) = system.named("config.txt");
    assert_eq!(first, "slot-a0");
    let (old, other) = (system.set("slot-a0"), system.set("slot-b0"));
    // The mailbox does not answer: no reason for apt to fail.
    let deaf = system.dir.path().join("slot/deaf");
    fs::write(&deaf, "").unwrap();
    let said = system.run(&[
        "apt-get",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Dir::Etc::SourceList=/dev/null",
        "-o",
        "Dir::Etc::SourceParts=/dev/null",
        "install",
        "-y",
        "/kernel.deb",
    ]);
    let said = format!("{}{}", said.out, said.err);
    assert!(
        said.contains("zz-mender: the firmware does not take"),
        "{said}"
    );
    fs::remove_file(&deaf).unwrap();
    // What was in use was whole when the new directory was named.
    let watched = String::from_utf8(system.read("watched")).unwrap();
    let whole = "slot-a0 whole\nslot-b0 whole\n";
    assert!(watched.starts_with(whole), "{watched}");
    assert!(!system.has("not-diverted"), "hooks are diverted");
    // Hooks run for the kernel and for its initial RAM disk: the last directory is named.
    let (named, rest) = system.named("config.txt");
    assert_eq!(rest, settings, "settings of the device stay");
    system.check_new_kernel(&named);
    let spare = ["slot-a0", "slot-a1"]
        .into_iter()
        .find(|name| *name != named);
    let left = format!("boot/firmware/{}/set.txt", spare.unwrap());
    assert!(!system.has(&left), "the other directory is free again");
    assert_eq!(system.named("tryboot.txt").0, named);
    assert!(
        system.set("slot-b0") == other,
        "the other slot is as it was"
    );
    // The next start has nothing to do.
    system.run(&["fw_setenv", "--finish-boot"]);
    assert_eq!(system.named("config.txt").0, named);
    // Without the package, the kernel before it is the newest.
    system.run(&["dpkg", "--purge", &format!("linux-image-{NEW}")]);
    let back = system.set(&system.named("config.txt").0);
    for name in ["kernel8.img", "initramfs8", "cmdline.txt"] {
        let of = |set: &[(String, Vec<u8>)]| set.iter().find(|(known, _)| known == name).cloned();
        assert!(of(&back).is_some() && of(&back) == of(&old), "{name}");
    }
    assert!(
        system.set("slot-b0") == other,
        "the other slot is as it was"
    );
}
