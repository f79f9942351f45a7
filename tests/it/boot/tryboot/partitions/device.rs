//! A device with a boot partition for each slot: the real tools, with partitions that are
//! directories, programs that write down what they do to which of them, and a mailbox that is a
//! file.

use super::super::device::{Root, Run, build_root, content, files_below, id, tool};
use crate::boot::env_tools::{Shell, Tools};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use goldsmith::boot::state::Slot;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// The directory of a root filesystem that has its boot files.
const FILES: &str = "usr/lib/goldsmith/boot-partition";

/// Takes the place of each program that can change a partition, and notes what it did to which.
const RECORDER: &str = r#"#!/bin/sh
here=${0%/*}
me=${0##*/}
log() { printf '%s\t%s\t%s\n' "${disk:--}" "$1" "$2" >>"$here/log"; }
# inside PATH: whether it is on a partition; sets $disk and $inside. One that is mounted to be read is not written to.
inside() {
    disk=
    case $1 in */*) ;; *) return 1 ;; esac
    real=$(readlink -f "${1%/*}")/${1##*/}
    case $real in "$here"/parts/*/*) ;; *) return 1 ;; esac
    case $1 in "$here"/run/state.*/*)
        top=${1#"$here"/run/}
        if [ -e "$here/run/${top%%/*}.ro" ]; then echo "$1: read-only" >&2; exit 1; fi ;;
    esac
    inside=${real#"$here"/parts/}
    disk=${inside%%/*}
    inside=${inside#*/}
}
keep() { n=$(($(cat "$here/count") + 1)); echo $n >"$here/count"; /bin/cp "$1" "$here/bytes/$n"; }
case $me in
    sync)
        case $1 in
            -f) if inside "$2"; then log all -; fi ;;
            *) if inside "$1"; then log flush "$inside"; fi ;;
        esac ;;
    cp)
        for last; do :; done
        if inside "$last"; then
            /bin/cp "$@" || exit
            keep "$last"
            log put "$n:$inside"
        else
            /bin/cp "$@"
        fi ;;
    mv)
        for last; do :; done
        for first; do case $first in -*) ;; *) break ;; esac; done
        if inside "$last"; then log rename "${first##*/}:$inside"; fi
        /bin/mv "$@" ;;
    rm)
        for path; do if inside "$path" && [ -e "$path" ]; then log delete "$inside"; fi; done
        /bin/rm "$@" ;;
    mkdir)
        for path; do if inside "$path"; then log mkdir "$inside"; fi; done
        /bin/mkdir "$@" ;;
    dd)
        for word; do
            case $word in of=*) if inside "${word#of=}"; then to=${word#of=}; fi ;; esac
        done
        /bin/dd "$@" || exit
        if [ -n "${to-}" ]; then inside "$to"; keep "$to"; log overwrite "$n:$inside"; fi ;;
    mkfs.vfat)
        for last; do :; done
        disk=$(cat "$here/ids/${last##*/}")
        if [ "$(readlink "$here/boot")" = "parts/$disk" ]; then echo "$last is mounted" >&2; exit 1; fi
        log format -
        find "$here/parts/$disk" -mindepth 1 -delete ;;
    mount)
        for top; do :; done
        device=${3##*/}
        rmdir "$top" || exit
        if [ -e "$here/ids/$device" ]; then
            ln -s "$here/parts/$(cat "$here/ids/$device")" "$top"
            if [ "$2" = ro ]; then echo >"$top.ro"; fi
        else
            ln -s "$here/roots/$device" "$top"
        fi ;;
    umount)
        if [ ! -L "$1" ]; then exit 1; fi
        disk=$(basename "$(readlink "$1")")
        if [ -d "$here/parts/$disk" ] && [ ! -e "$1.ro" ]; then log all -; fi
        /bin/rm -f "$1" "$1.ro" && /bin/mkdir "$1" ;;
    vcmailbox)
        [ ! -e "$here/deaf" ] || exit 1
        log flag "$4"
        echo "0x0000001c 0x80000000 0x00038064 0x00000004 0x80000004 0x0000000$4 0x00000000" ;;
esac
"#;

/// The partitions by the names of their directories: with `autoboot.txt`, those of the slots.
pub(super) const DISKS: [&str; 3] = ["auto", "a", "b"];

/// What a tool did to a partition.
pub(super) type Step = (usize, Op);

/// All that a device has at one time.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// In the order of [`DISKS`].
    pub(super) disks: [Disk; 3],
    pub(super) flag: bool,
    /// The mailbox does not answer.
    pub(super) deaf: bool,
    /// What the tools keep until the next start.
    pub(super) state: Option<Vec<u8>>,
    /// What they keep for others.
    pub(super) others: Option<Vec<u8>>,
    pub(super) running: Slot,
    pub(super) roots: [Root; 2],
}

/// The partition of a slot's root filesystem.
pub(super) fn number(slot: Slot) -> u32 {
    match slot {
        Slot::A => 4,
        Slot::B => 5,
    }
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

impl Device {
    /// A device with this text of the tool; `None`, said aloud, when its shell is not installed.
    pub(super) fn new(shell: Shell, text: &str) -> Option<Self> {
        let tools = Tools::new(shell, RECORDER)?;
        let device = Self { tools };
        let dir = device.dir.path();
        let programs = ["cp", "mv", "rm", "mkdir", "dd", "mount", "umount"];
        for name in programs.into_iter().chain(["vcmailbox", "mkfs.vfat"]) {
            fs::write(dir.join(name), RECORDER).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = tool(dir, text);
        for name in ["fw_printenv", "fw_setenv", "zz-mender"] {
            fs::write(dir.join(name), &text).unwrap();
        }
        for name in ["roots", "loader", "data", "ids"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        for name in DISKS {
            fs::write(dir.join("ids").join(format!("id-{name}")), name).unwrap();
        }
        let config = format!(
            "BOOT = {}/boot\nROOT_PARTITIONS = 4 5\nPARTUUIDS = {} {}\nBOOT_PARTITIONS = 2 3\n\
             BOOT_PARTUUIDS = id-a id-b\nAUTOBOOT_PARTUUID = id-auto\n",
            dir.display(),
            id(Slot::A),
            id(Slot::B)
        );
        fs::write(dir.join("config"), config).unwrap();
        Some(device)
    }

    /// Makes the directories say what the world has.
    pub(super) fn place(&self, world: &World) {
        for name in ["parts", "run", "bytes"] {
            let _ = fs::remove_dir_all(self.path(name));
            fs::create_dir(self.path(name)).unwrap();
        }
        for name in ["root", "boot", "deaf", "data/variables", "data/mailbox"] {
            let _ = fs::remove_file(self.path(name));
        }
        for (name, disk) in DISKS.iter().zip(&world.disks) {
            let top = self.path("parts").join(name);
            fs::create_dir(&top).unwrap();
            for (path, entry) in disk.walk() {
                let place = top.join(&path);
                if path.contains('\0') || place.exists() {
                    continue;
                }
                if entry.is_dir {
                    fs::create_dir_all(place).unwrap();
                } else {
                    fs::write(place, disk.content(&entry).unwrap_or_default()).unwrap();
                }
            }
        }
        if let Some(state) = &world.state {
            fs::write(self.path("run/state"), state).unwrap();
        }
        if world.deaf {
            fs::write(self.path("deaf"), "").unwrap();
        }
        if let Some(others) = &world.others {
            fs::write(self.path("data/variables"), others).unwrap();
        }
        let config = self.path("config");
        for slot in [Slot::A, Slot::B] {
            let top = self.path("roots").join(id(slot));
            let root = world.roots[slot as usize];
            build_root(&top, root, FILES);
            let firmware = top.join(FILES).join("firmware");
            fs::create_dir(&firmware).unwrap();
            fs::write(
                firmware.join("start4.elf"),
                content("firmware", root.release, 0),
            )
            .unwrap();
            let own = top.join(config.strip_prefix("/").unwrap());
            fs::create_dir_all(own.parent().unwrap()).unwrap();
            fs::copy(&config, own).unwrap();
        }
        let running = world.running as usize;
        symlink(format!("parts/{}", DISKS[running + 1]), self.path("boot")).unwrap();
        symlink(
            self.path("roots").join(id(world.running)),
            self.path("root"),
        )
        .unwrap();
        let line = format!("console=tty1 mender.slot={} ro\n", number(world.running));
        fs::write(self.path("cmdline"), line).unwrap();
        fs::write(self.path("log"), "").unwrap();
    }

    /// Runs a tool in a world, and returns what it said, and what it did to which partition. What
    /// it keeps until the next start and for others is in the world afterwards.
    pub(super) fn run(
        &self,
        world: &mut World,
        name: &str,
        args: &[&str],
        input: &str,
    ) -> (Run, Vec<Step>) {
        self.place(world);
        let answer = self.call(name, args, input, None);
        world.state = fs::read(self.path("run/state")).ok();
        world.others = fs::read(self.path("data/variables")).ok();
        let steps = self.steps();
        self.check_record(world, &steps);
        let ops = Vec::new();
        (Run { answer, ops }, steps)
    }

    fn steps(&self) -> Vec<Step> {
        let log = fs::read_to_string(self.path("log")).unwrap();
        let bytes = |text: &str| {
            let (number, path) = text.split_once(':').unwrap();
            let bytes = fs::read(self.path("bytes").join(number)).unwrap();
            (path.to_owned(), bytes)
        };
        log.lines()
            .map(|line| {
                let words: Vec<&str> = line.splitn(3, '\t').collect();
                let at = DISKS.iter().position(|name| *name == words[0]);
                let rest = words[2];
                let op = match words[1] {
                    "all" => Op::SyncAll,
                    "flush" => Op::Flush,
                    "format" => Op::Format,
                    "delete" => Op::Delete(rest.to_owned()),
                    "mkdir" => Op::Mkdir(rest.to_owned()),
                    "flag" => Op::Flag(rest == "1"),
                    "rename" => {
                        let (from, to) = rest.split_once(':').unwrap();
                        Op::Rename(from.to_owned(), to.to_owned())
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
                };
                (at.unwrap_or(0), op)
            })
            .collect()
    }

    /// Whether the recorded steps make what is in the directories now: nothing was changed that was
    /// not recorded.
    fn check_record(&self, world: &World, steps: &[Step]) {
        for (at, name) in DISKS.iter().enumerate() {
            let mut driver = Driver::new(world.disks[at].clone(), false);
            for (_, op) in steps.iter().filter(|(of, _)| *of == at) {
                apply(&mut driver, op);
            }
            if driver.read_only {
                continue;
            }
            let top = self.path("parts").join(name);
            for (path, entry) in driver.now.walk() {
                let Some(bytes) = driver.now.content(&entry).filter(|_| !entry.is_dir) else {
                    continue;
                };
                let there = fs::read(top.join(&path)).unwrap_or_default();
                assert!(there == bytes, "{name}: {path} differs from the record");
            }
            for path in files_below(&top) {
                // What a power cut left of a partition that no start has checked since may have a
                // name alone.
                let found = driver.now.find(&path);
                assert!(found.is_some(), "{name}: {path} is not in the record");
            }
        }
    }
}
