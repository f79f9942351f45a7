//! A device without its hardware: the real tools, run with a boot partition that is a directory,
//! programs that write down what they do to it, and a mailbox that is a file.

use crate::boot::env_tools::{Answer, Shell, Tools};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use goldsmith::boot::state::Slot;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The directory of a root filesystem that has its boot files.
const FILES: &str = "usr/lib/goldsmith/boot";

/// Takes the place of each program that can change the boot partition, and notes what it did.
const RECORDER: &str = r#"#!/bin/sh
here=${0%/*}
me=${0##*/}
boot=$here/boot
log() { printf '%s\t%s\n' "$1" "$2" >>"$here/log"; }
inside() { case $1 in "$boot"/*) inside=${1#"$boot"/} ;; *) return 1 ;; esac; }
keep() { n=$(($(cat "$here/count") + 1)); echo $n >"$here/count"; /bin/cp "$1" "$here/bytes/$n"; }
case $me in
    sync)
        case $1 in
            -f) if inside "$2"; then log all -; fi ;;
            *) if inside "$1"; then log flush "$inside"; fi ;;
        esac ;;
    cp)
        /bin/cp "$@" || exit
        for last; do :; done
        if inside "$last"; then keep "$last"; log put "$n:$inside"; fi ;;
    mv)
        for last; do :; done
        for first; do case $first in -*) ;; *) break ;; esac; done
        if inside "$last"; then log rename "$first:$inside"; fi
        /bin/mv "$@" ;;
    rm)
        /bin/rm "$@" || exit
        for path; do if inside "$path"; then log delete "$inside"; fi; done ;;
    mkdir)
        /bin/mkdir "$@" || exit
        for path; do if inside "$path"; then log mkdir "$inside"; fi; done ;;
    dd)
        /bin/dd "$@" || exit
        for word; do
            case $word in of=*) if inside "${word#of=}"; then keep "${word#of=}"; log overwrite "$n:$inside"; fi ;; esac
        done ;;
    mount)
        for top; do :; done
        rmdir "$top" && ln -s "$here/roots/${3##*/}" "$top" ;;
    umount) /bin/rm "$1" && /bin/mkdir "$1" ;;
    vcmailbox)
        [ ! -e "$here/deaf" ] || exit 1
        log flag "$4"
        echo "0x0000001c 0x80000000 0x00038064 0x00000004 0x80000004 0x0000000$4 0x00000000" ;;
esac
"#;

/// The versions of a root filesystem: its release, and that of its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Root {
    pub(super) release: u8,
    pub(super) kernel: u8,
    /// Whether its set of boot files names that kernel yet.
    pub(super) linked: bool,
}

impl Root {
    pub(super) fn new(release: u8) -> Self {
        Self {
            release,
            kernel: 0,
            linked: true,
        }
    }

    /// The kernel that its set names.
    pub(super) fn named(self) -> u8 {
        self.kernel - u8::from(!self.linked)
    }
}

/// The content of a file of a release.
pub(super) fn content(what: &str, release: u8, kernel: u8) -> Vec<u8> {
    let line = format!("{what} of release {release}, kernel {kernel}\n");
    let length = match what {
        "kernel" => 1300,
        "ram disk" => 700,
        _ => 300,
    };
    line.bytes().cycle().take(length).collect()
}

/// The identity of a slot's partition.
pub(super) fn id(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "4e639091-02",
        Slot::B => "4e639091-03",
    }
}

pub(super) fn letter(slot: Slot) -> char {
    match slot {
        Slot::A => 'a',
        Slot::B => 'b',
    }
}

/// All that a device has at one time.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) flag: bool,
    /// The mailbox does not answer.
    pub(super) deaf: bool,
    /// Whether the tools keep in mind that it did not.
    pub(super) noted: bool,
    /// What the tools keep until the next start.
    pub(super) state: Option<Vec<u8>>,
    /// What they keep for others.
    pub(super) others: Option<Vec<u8>>,
    pub(super) running: Slot,
    pub(super) roots: [Root; 2],
}

/// The device.
pub(super) struct Device {
    tools: Tools,
}

impl std::ops::Deref for Device {
    type Target = Tools;

    fn deref(&self) -> &Tools {
        &self.tools
    }
}

/// The text of the tool, with the paths of this device.
pub(super) fn tool(dir: &Path, text: &str) -> String {
    let here = dir.display().to_string();
    let mut text = text.to_owned();
    for (name, path, place) in [
        ("config", "/etc/mender_tryboot.config", "config"),
        ("interlock", "/var/lock/fw_printenv.lock", "lock"),
        ("cmdline", "/proc/cmdline", "cmdline"),
        ("loader", "/proc/device-tree/chosen/bootloader", "loader"),
        ("state", "/run/mender-tryboot", "run/state"),
        (
            "others",
            "/var/lib/mender/tryboot-variables",
            "data/variables",
        ),
        ("deaf", "/var/lib/mender/tryboot-mailbox", "data/mailbox"),
        ("root", "", "root"),
    ] {
        let old = format!("\n{name}={path}\n");
        assert_eq!(text.matches(&old).count(), 1, "{name}");
        text = text.replace(&old, &format!("\n{name}={here}/{place}\n"));
    }
    text
}

impl Device {
    /// A device with this text of the tool; `None`, said aloud, when its shell is not installed.
    pub(super) fn new(shell: Shell, text: &str) -> Option<Self> {
        let tools = Tools::new(shell, RECORDER)?;
        let device = Self { tools };
        let dir = device.dir.path();
        let programs = ["cp", "mv", "rm", "mkdir", "dd", "mount", "umount"];
        for name in programs.into_iter().chain(["vcmailbox"]) {
            fs::write(dir.join(name), RECORDER).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = tool(dir, text);
        for name in ["fw_printenv", "fw_setenv", "zz-mender"] {
            fs::write(dir.join(name), &text).unwrap();
        }
        for name in ["roots", "loader", "data"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let config = format!(
            "BOOT = {}/boot\nROOT_PARTITIONS = 2 3\nPARTUUIDS = {} {}\n",
            dir.display(),
            id(Slot::A),
            id(Slot::B)
        );
        fs::write(dir.join("config"), config).unwrap();
        Some(device)
    }

    /// Makes the directories say what the world has.
    pub(super) fn place(&self, world: &World) {
        for name in ["boot", "run", "bytes"] {
            let _ = fs::remove_dir_all(self.path(name));
            fs::create_dir(self.path(name)).unwrap();
        }
        let _ = fs::remove_file(self.path("root"));
        for (path, entry) in world.disk.walk() {
            let place = self.path("boot").join(&path);
            if path.contains('\0') || place.exists() {
                continue;
            }
            if entry.is_dir {
                fs::create_dir_all(place).unwrap();
            } else {
                let bytes = world.disk.content(&entry).unwrap_or_default();
                fs::write(place, bytes).unwrap();
            }
        }
        if let Some(state) = &world.state {
            fs::write(self.path("run/state"), state).unwrap();
        }
        for (name, exists) in [("deaf", world.deaf), ("data/mailbox", world.noted)] {
            let _ = fs::remove_file(self.path(name));
            if exists {
                fs::write(self.path(name), "").unwrap();
            }
        }
        let _ = fs::remove_file(self.path("data/variables"));
        if let Some(others) = &world.others {
            fs::write(self.path("data/variables"), others).unwrap();
        }
        for slot in [Slot::A, Slot::B] {
            let path = self.path("roots").join(id(slot));
            build_root(&path, world.roots[slot as usize], FILES);
        }
        symlink(
            self.path("roots").join(id(world.running)),
            self.path("root"),
        )
        .unwrap();
        let number = world.running as usize + 2;
        let line = format!("console=tty1 mender.slot={number} ro\n");
        fs::write(self.path("cmdline"), line).unwrap();
        fs::write(self.path("log"), "").unwrap();
    }

    /// Runs a tool in a world, and returns what it said and did. What it keeps until the next start
    /// and for others is in the world afterwards.
    pub(super) fn run(&self, world: &mut World, name: &str, args: &[&str], input: &str) -> Run {
        self.place(world);
        let answer = self.call(name, args, input, None);
        world.state = fs::read(self.path("run/state")).ok();
        world.others = fs::read(self.path("data/variables")).ok();
        world.noted = self.path("data/mailbox").exists();
        let ops = self.ops();
        self.check_record(world, &ops);
        Run { answer, ops }
    }

    fn ops(&self) -> Vec<Op> {
        let log = fs::read_to_string(self.path("log")).unwrap();
        let bytes = |text: &str| {
            let (number, path) = text.split_once(':').unwrap();
            let bytes = fs::read(self.path("bytes").join(number)).unwrap();
            (path.to_owned(), bytes)
        };
        let inside = |path: &str| {
            let boot = self.path("boot").display().to_string() + "/";
            path.strip_prefix(&boot).unwrap_or(path).to_owned()
        };
        log.lines()
            .map(|line| {
                let (kind, rest) = line.split_once('\t').unwrap();
                match kind {
                    "all" => Op::SyncAll,
                    "flush" => Op::Flush,
                    "delete" => Op::Delete(rest.to_owned()),
                    "mkdir" => Op::Mkdir(rest.to_owned()),
                    "flag" => Op::Flag(rest == "1"),
                    "rename" => {
                        let (from, to) = rest.split_once(':').unwrap();
                        Op::Rename(inside(from), to.to_owned())
                    }
                    "put" => {
                        let (path, bytes) = bytes(rest);
                        Op::Put(path, bytes)
                    }
                    "overwrite" => {
                        let (path, bytes) = bytes(rest);
                        Op::Overwrite(path, bytes)
                    }
                    other => panic!("{other}"),
                }
            })
            .collect()
    }

    /// Whether the recorded operations make what is in the directory now: nothing was changed that
    /// was not recorded.
    fn check_record(&self, world: &World, ops: &[Op]) {
        let mut driver = Driver::new(world.disk.clone(), false);
        for op in ops {
            apply(&mut driver, op);
        }
        if driver.read_only {
            return;
        }
        for (path, entry) in driver.now.walk() {
            let Some(bytes) = driver.now.content(&entry).filter(|_| !entry.is_dir) else {
                continue;
            };
            let place = self.path("boot").join(&path);
            let there = fs::read(&place).unwrap_or_default();
            assert!(there == bytes, "{path} differs from the record");
        }
        for path in files_below(&self.path("boot")) {
            let found = driver.now.read(&path);
            assert!(found.is_some(), "{path} is not in the record");
        }
    }
}

/// What a tool said and did.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) answer: Answer,
    pub(super) ops: Vec<Op>,
}

pub(super) fn files_below(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(dir.join(&at)).unwrap() {
            let entry = entry.unwrap();
            let path = at.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else {
                out.push(path.display().to_string());
            }
        }
    }
    out
}

/// The name of a kernel's version.
fn version(kernel: u8) -> String {
    format!("6.6.{}+rpt-rpi-v8", 51 + kernel)
}

/// The files of a root filesystem that the tools look at.
pub(super) fn build_root(top: &Path, root: Root, files: &str) {
    let _ = fs::remove_dir_all(top);
    let set = top.join(files);
    fs::create_dir_all(set.join("overlays")).unwrap();
    fs::create_dir_all(top.join("boot")).unwrap();
    for kernel in 0..=root.kernel {
        let version = version(kernel);
        let write = |path: PathBuf, what: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content(what, root.release, kernel)).unwrap();
        };
        write(top.join(format!("boot/vmlinuz-{version}")), "kernel");
        write(top.join(format!("boot/initrd.img-{version}")), "ram disk");
        let trees = top.join(format!("usr/lib/linux-image-{version}"));
        write(trees.join("broadcom/bcm2711-rpi-4-b.dtb"), "tree");
        write(trees.join("overlays/vc4-kms-v3d.dtbo"), "overlay");
        write(trees.join("overlays/README"), "readme");
    }
    let named = root.named();
    let version = version(named);
    let trees = format!("../../linux-image-{version}");
    for (name, target) in [
        ("kernel8.img", format!("../../../../boot/vmlinuz-{version}")),
        (
            "initramfs8",
            format!("../../../../boot/initrd.img-{version}"),
        ),
        (
            "bcm2711-rpi-4-b.dtb",
            format!("{trees}/broadcom/bcm2711-rpi-4-b.dtb"),
        ),
        ("overlays/README", format!("../{trees}/overlays/README")),
        (
            "overlays/vc4-kms-v3d.dtbo",
            format!("../{trees}/overlays/vc4-kms-v3d.dtbo"),
        ),
    ] {
        symlink(target, set.join(name)).unwrap();
    }
    fs::write(set.join("kernels.txt"), "rpi-v8 kernel8.img initramfs8\n").unwrap();
    fs::write(set.join("args.txt"), format!("release={}\n", root.release)).unwrap();
}
