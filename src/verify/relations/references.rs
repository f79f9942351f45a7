//! References to disks that cannot be meant: files of a slot that name a root slot, or a number
//! that no partition of this disk has; units and drop-ins that hide the mounts of data and boot
//! partition. The files are read coarsely, word by word.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use crate::tree::{Node, Tree, show};
use std::collections::BTreeSet;

/// Files whose lines open or format what they name: each such word must be right.
const STRICT: [&str; 3] = [
    "/etc/crypttab",
    "/etc/initramfs-tools/conf.d/",
    "/etc/uswsusp.conf",
];

/// Files that may name a device without harm, or that the owner accepts.
const OTHERS: [&str; 10] = [
    "/etc/auto.master",
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d/",
    "/etc/default/grub",
    "/etc/dracut.conf.d/",
    "/etc/lvm/devices/",
    "/etc/mdadm/mdadm.conf",
    "/etc/overlayroot.conf",
    "/etc/rc.local",
    "/etc/udev/rules.d/",
];

const UNITS: &str = "/etc/systemd/system";

/// The names that kernels give to the first disk of a kind.
const DISKS: [&str; 6] = ["sda", "vda", "hda", "xvda", "mmcblk0p", "nvme0n1p"];

/// Checks both slots, if they differ, and otherwise the first.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let same = disk
        .part(roles.b)
        .is_some_and(|b| b.same_as == Some(roles.a));
    let slots = if same {
        vec![roles.a]
    } else {
        vec![roles.a, roles.b]
    };
    for slot in slots {
        if let Some(files) = disk.files(slot) {
            check_slot(disk, roles, slot, &files.tree, log);
        }
    }
}

fn check_slot(disk: &Disk, roles: &Roles, slot: u32, root: &Tree, log: &mut Log) {
    let place = |path: &str| Location::partition(slot).path(path);
    fstab(disk, roles, slot, root, log);
    for (list, severity) in [
        (&STRICT[..], Severity::Error),
        (&OTHERS[..], Severity::Warning),
    ] {
        for path in list.iter().flat_map(|path| paths(root, path)) {
            for (number, line) in lines(root, &path) {
                // In rules of udev it is a mark that `GOTO` leads to.
                let is_mark =
                    |word: &String| path.starts_with("/etc/udev/") && word.starts_with("LABEL=");
                for word in words(&line).into_iter().filter(|word| !is_mark(word)) {
                    match fault(disk, roles, &word) {
                        Some((code, text)) => {
                            log.add(severity, code, place(&path).line(number), text)
                        }
                        None => log.passed(1),
                    }
                }
            }
        }
    }
    units(disk, roles, slot, root, log);
    const SLOT: &str = "/boot/mender-slot.env";
    for (_, line) in lines(root, SLOT) {
        if let Some(text) = line.strip_prefix("args=") {
            arguments(disk, roles, &place(SLOT), text, log);
        }
    }
    // The firmware of a Raspberry Pi puts these in front.
    let boot = roles.boot.filter(|_| slot == roles.a);
    if let Some((number, files)) = boot.and_then(|number| Some((number, disk.files(number)?))) {
        let path = show(&files.tree.path_ignore_case("/cmdline.txt"));
        for (at, line) in lines(&files.tree, &path) {
            let place = Location::partition(number).path(path.clone()).line(at);
            arguments(disk, roles, &place, &line, log);
        }
    }
}

/// Kernel arguments by which a system opens, mounts or resumes from a device; a root filesystem is
/// a partition by itself, and needs none of them.
fn arguments(disk: &Disk, roles: &Roles, place: &Location, text: &str, log: &mut Log) {
    const OPENS: [&str; 10] = [
        "resume",
        "cryptdevice",
        "cryptopts",
        "mount.usr",
        "systemd.mount-extra",
        "rd.systemd.mount-extra",
        "systemd.swap-extra",
        "systemd.verity_root_data",
        "systemd.verity_root_hash",
        "overlayroot",
    ];
    const UUIDS: [&str; 4] = ["rd.luks.uuid", "luks.uuid", "rd.luks.name", "rd.md.uuid"];
    for word in text.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else {
            continue;
        };
        let mut names = Vec::new();
        if UUIDS.contains(&name) {
            let id = value.split('=').next().unwrap_or_default();
            names.push(format!("UUID={}", id.trim_start_matches("luks-")));
        } else if OPENS.contains(&name) {
            names.extend(value.split([',', ':']).filter_map(|part| {
                let marks = ["/dev/", "PARTUUID=", "PARTLABEL=", "UUID=", "LABEL="];
                let from = marks.iter().filter_map(|mark| part.find(mark)).min()?;
                part.get(from..).map(str::to_owned)
            }));
        }
        for name in names {
            match (fault(disk, roles, &name), target(disk, &name)) {
                (Some((code, text)), _) => {
                    log.error(code, place.clone(), format!("{text}, in {word}"));
                }
                (None, Some(_)) => log.passed(1),
                (None, None) => {
                    let text =
                        format!("the start waits for {name}, which this disk has not, in {word}");
                    log.add(Severity::Warning, "kernel-device", place.clone(), text);
                }
            }
        }
    }
}

/// Lines of `/etc/fstab`: none but that of `/` names a slot. Numbers of lines that must not fail
/// are checked with the mounts.
fn fstab(disk: &Disk, roles: &Roles, slot: u32, root: &Tree, log: &mut Log) {
    for (number, line) in lines(root, "/etc/fstab") {
        let mut fields = line.split_whitespace();
        let (Some(spec), Some(dir)) = (fields.next(), fields.next()) else {
            continue;
        };
        let optional = line.contains("nofail") || line.contains("noauto");
        let found = fault(disk, roles, spec)
            .filter(|(code, _)| dir != "/" && (optional || *code == "reference-slot"));
        match found {
            Some((code, text)) => {
                let place = Location::partition(slot).path("/etc/fstab").line(number);
                log.error(code, place, format!("{text}, for {dir}"));
            }
            None => log.passed(1),
        }
    }
}

/// Units in `/etc` that mount or swap, and drop-ins of mounts.
fn units(disk: &Disk, roles: &Roles, slot: u32, root: &Tree, log: &mut Log) {
    let boot = super::fstab::boot_mount(disk, roles);
    let own: BTreeSet<String> = ["/data".to_owned()].into_iter().chain(boot).collect();
    let listed = lines(root, "/etc/fstab");
    let in_fstab = |dir: &str| {
        let mut lines = listed.iter();
        lines.any(|(_, line)| line.split_whitespace().nth(1) == Some(dir))
    };
    for path in paths(root, &format!("{UNITS}/")) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let (unit, drop_in) = match name.strip_suffix(".d") {
            Some(unit) => (unit, true),
            None => (name, false),
        };
        let (Some(stem), mounts) = (
            unit.strip_suffix(".mount").or(unit.strip_suffix(".swap")),
            unit.ends_with(".mount"),
        ) else {
            continue;
        };
        let dir = mount_point(stem);
        let ours = mounts && own.contains(&dir) && in_fstab(&dir);
        log.check(!ours || drop_in, "reference-hidden", || {
            let text = format!("it hides the mount of {dir} by /etc/fstab");
            (Location::partition(slot).path(&*path), text)
        });
        let files = if drop_in {
            paths(root, &format!("{path}/"))
        } else {
            vec![path]
        };
        for file in files {
            for (number, line) in lines(root, &file) {
                let place = || Location::partition(slot).path(&*file).line(number);
                let Some(what) = line.strip_prefix("What").map(str::trim_start) else {
                    continue;
                };
                let what = what.trim_start_matches('=').trim();
                log.check(!(ours && drop_in), "reference-hidden", || {
                    let text = format!("it mounts {what} on {dir} instead of what /etc/fstab does");
                    (place(), text)
                });
                match fault(disk, roles, what) {
                    Some((code, text)) => log.error(code, place(), text),
                    None => log.passed(1),
                }
            }
        }
    }
}

/// Why a word cannot be meant, if it names a device of this disk: a code and a text.
fn fault(disk: &Disk, roles: &Roles, word: &str) -> Option<(&'static str, String)> {
    let word = word.replace(['"', '\''], "");
    let number = match target(disk, &word)? {
        Target::Partition(number) => number,
        Target::Nothing(number) => {
            let text = format!("{word} is partition {number}, which this disk has not");
            return Some(("reference-number", text));
        }
    };
    let slot = [(roles.a, "A"), (roles.b, "B")]
        .iter()
        .find(|(slot, _)| *slot == number)
        .map(|(_, name)| *name)?;
    let text = format!("{word} is slot {slot} (partition {number}), which an update replaces");
    Some(("reference-slot", text))
}

/// What a word names on this disk.
enum Target {
    Partition(u32),
    Nothing(u32),
}

fn target(disk: &Disk, word: &str) -> Option<Target> {
    let partition = |number: u32| match disk.part(number) {
        Some(_) => Target::Partition(number),
        None => Target::Nothing(number),
    };
    if let Some(link) = word.strip_prefix("/dev/disk/by-")
        && let Some((kind, value)) = link.split_once('/')
    {
        if matches!(kind, "id" | "path") {
            let (link, number) = value.rsplit_once("-part")?;
            let number = number.parse().ok().filter(|_| !link.contains("usb"))?;
            return Some(partition(number));
        }
        return tagged(disk, &kind.to_uppercase(), value);
    }
    if let Some((tag, value)) = word.split_once('=') {
        return tagged(disk, tag, value);
    }
    let name = word.strip_prefix("/dev/")?;
    let number = DISKS.iter().find_map(|disk| name.strip_prefix(disk))?;
    Some(partition(number.parse().ok()?))
}

fn tagged(disk: &Disk, tag: &str, value: &str) -> Option<Target> {
    if value.is_empty() {
        return None;
    }
    let lower = value.to_lowercase();
    let found = disk.parts.iter().find(|part| {
        let files = part.files.as_ref();
        match tag {
            "UUID" => files.is_some_and(|files| files.uuid == lower),
            "LABEL" => files.is_some_and(|files| files.label.trim_end() == value),
            "PARTUUID" => disk.table.partuuid(part.number) == Some(lower.clone()),
            "PARTLABEL" => disk
                .table
                .partition(part.number)
                .is_some_and(|one| one.name == value),
            _ => false,
        }
    });
    found.map(|part| Target::Partition(part.number))
}

/// Words of a line that could name a device: `RESUME=UUID=x` is `UUID=x`, and so is `UUID="x"`.
fn words(line: &str) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || "\"',;|[]()".contains(c);
    let line = line.replace("=\"", "=").replace("='", "=");
    let words = line.split(ends).filter(|word| !word.starts_with("root="));
    let words = words.filter_map(|word| {
        let from = ["/dev/", "PARTUUID=", "PARTLABEL=", "UUID=", "LABEL="]
            .iter()
            .filter_map(|start| word.find(start))
            .min()?;
        let word = word.get(from..)?;
        let device = word.split_once(":/").map_or(word, |(device, _)| device);
        Some(device.to_owned())
    });
    words.collect()
}

/// The lines of a file without comments and blank ones, with their numbers, from 1.
fn lines(root: &Tree, path: &str) -> Vec<(u32, String)> {
    let bytes = read(root, path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .map(|(number, line)| (number, line.to_owned()))
        .collect()
}

/// A file, or the entries of a directory whose path ends in a slash.
fn paths(root: &Tree, path: &str) -> Vec<String> {
    let Some(dir) = path.strip_suffix('/') else {
        return vec![path.to_owned()];
    };
    match root.find(dir) {
        Some(Node::Dir(found)) => {
            let names = found.entries.keys();
            names.map(|name| format!("{dir}/{}", show(name))).collect()
        }
        _ => Vec::new(),
    }
}

/// The mount point of a unit by its name.
fn mount_point(stem: &str) -> String {
    if stem == "-" {
        return "/".to_owned();
    }
    format!("/{}", stem.replace('-', "/")).replace("\\x2d", "-")
}
