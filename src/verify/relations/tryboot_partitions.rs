//! Devices whose firmware chooses between two boot partitions: `autoboot.txt` on a partition of its
//! own, the firmware, the settings and the boot files on each of them, the name of the running
//! slot's.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::boot_partition::BootPartition;
use super::raspberry_config::{models, named_models};
use super::tryboot::{CONFIG, arguments, named_slot, room, starts, tools, whole};
use super::{fstab, raspberry_firmware};
use crate::image::table::DiskId;
use crate::tree::{DirEntry, LeafKind, Tree, show};
use std::collections::BTreeMap;

/// The file that the firmware reads before all others.
const AUTOBOOT: &str = "/autoboot.txt";
/// The bytes of it that the firmware reads at most.
const AUTOBOOT_MAX: usize = 512;
/// The boot files of a root filesystem.
const FILES: &str = "/usr/lib/goldsmith/boot-partition";
/// The longest program of the firmware (bytes).
const LIMIT: u64 = 64 << 20;

/// The value of a line `NAME = VALUE` of the tools' settings.
fn value(root: &Tree, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&read(root, CONFIG)?).into_owned();
    let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
    lines
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Whether each slot has a boot partition.
pub(super) fn is_ours(root: &Tree) -> bool {
    value(root, "BOOT_PARTITIONS").is_some()
}

/// Checks the boot process from the firmware to a kernel.
pub(super) fn check(disk: &Disk, roles: &Roles, root: &Tree, log: &mut Log) {
    let is_gpt = matches!(disk.table.disk_id, DiskId::Gpt(_));
    log.check(is_gpt, "tryboot-partitions", || {
        let text = "a disk with a boot partition for each slot has a GPT".to_owned();
        (Location::whole(), text)
    });
    let Some(numbers) = boot_numbers(disk, roles, root, log) else {
        return;
    };
    autoboot(disk, root, numbers, log);
    let named = named_models(root);
    for ((number, slot), letter) in numbers.iter().zip([roles.a, roles.b]).zip(["a", "b"]) {
        let Some(files) = disk.files(*number).filter(|files| files.is_fat) else {
            log.error(
                "tryboot-partitions",
                Location::partition(*number),
                "it is the boot partition of a slot, but has no FAT that can be read",
            );
            continue;
        };
        let boot = BootPartition {
            tree: &files.tree,
            number: *number,
        };
        raspberry_firmware::check(&boot, &models(root), named.is_empty(), log);
        programs(&boot, root, log);
        log.check(!boot.has("/tryboot.txt"), "tryboot-config", || {
            let text = "the firmware reads config.txt of each boot partition, and no tryboot.txt";
            (boot.place("/tryboot.txt"), text.to_owned())
        });
        let named = named_slot(&boot, "/config.txt", log);
        let dir = named.unwrap_or_else(|| format!("slot-{letter}0"));
        let own = dir.starts_with(&format!("slot-{letter}"));
        log.check(own, "tryboot-config", || {
            let text = format!("it names {dir}, which is not of the slot on partition {slot}");
            (boot.place("/config.txt"), text)
        });
        arguments(disk, &boot, &dir, slot, log);
        whole(&boot, &dir, log);
        starts(&boot, root, &dir, log);
        room(disk, &boot, &[dir.clone(), dir.clone()], log);
    }
    tools(disk, roles, root, log);
    rule(disk, roles, root, numbers, log);
}

/// The numbers of the boot partitions: those that the tools' settings name, by number and PARTUUID.
fn boot_numbers(disk: &Disk, roles: &Roles, root: &Tree, log: &mut Log) -> Option<[u32; 2]> {
    let place = || Location::partition(roles.a).path(CONFIG);
    let words = |name: &str| -> Vec<String> {
        let value = value(root, name).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    };
    let numbers: Vec<u32> = words("BOOT_PARTITIONS")
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let named = words("BOOT_PARTUUIDS");
    let ids: Vec<String> = numbers
        .iter()
        .filter_map(|number| disk.table.partuuid(*number))
        .collect();
    let found: Option<[u32; 2]> = numbers.clone().try_into().ok();
    let found = found.filter(|[a, b]| a != b);
    let fine = found.is_some() && ids == named;
    log.check(fine, "tryboot-partitions", || {
        let text = format!(
            "BOOT_PARTITIONS = {numbers:?} and BOOT_PARTUUIDS = {} are not two partitions of this \
             disk: {}",
            named.join(" "),
            ids.join(" ")
        );
        (place(), text)
    });
    let first = found.map(|[first, _]| first);
    log.check(first == roles.boot, "tryboot-partitions", || {
        let text = format!("partition {:?} is not the first boot partition", roles.boot);
        (place(), text)
    });
    found
}

/// The settings of `autoboot.txt` by section; lines in front of all sections count in all.
fn sections(text: &str) -> BTreeMap<(String, String), String> {
    let mut out = BTreeMap::new();
    let mut section = "all".to_owned();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_ascii_lowercase();
        } else if let Some((name, value)) = line.split_once('=') {
            let key = (section.clone(), name.trim().to_ascii_lowercase());
            out.insert(key, value.trim().to_owned());
        }
    }
    out
}

/// `autoboot.txt` is where the firmware looks for it, and starts the first slot.
fn autoboot(disk: &Disk, root: &Tree, numbers: [u32; 2], log: &mut Log) {
    let id = value(root, "AUTOBOOT_PARTUUID").unwrap_or_default();
    let number = disk.resolve(&format!("/dev/disk/by-partuuid/{id}"));
    let fats = disk.parts.iter().filter(|part| {
        let mut files = part.files.iter();
        files.any(|files| files.is_fat)
    });
    let first = fats.map(|part| part.number).min();
    log.check(number.is_some() && number == first, "tryboot-autoboot", || {
        let text = format!(
            "AUTOBOOT_PARTUUID = {id} is not the first FAT partition, from which the firmware takes \
             autoboot.txt"
        );
        (Location::whole(), text)
    });
    let Some((number, files)) = number.and_then(|number| Some((number, disk.files(number)?)))
    else {
        return;
    };
    let boot = BootPartition {
        tree: &files.tree,
        number,
    };
    let bytes = boot.read(AUTOBOOT).unwrap_or_default();
    log.check(
        !bytes.is_empty() && bytes.len() <= AUTOBOOT_MAX,
        "tryboot-autoboot",
        || {
            let text = format!(
                "it has {} bytes; the firmware reads 1 to {AUTOBOOT_MAX}",
                bytes.len()
            );
            (boot.place(AUTOBOOT), text)
        },
    );
    let found = sections(&String::from_utf8_lossy(&bytes));
    let start = numbers[0].to_string();
    for (section, name, due) in [
        ("all", "tryboot_a_b", "1"),
        ("all", "boot_partition", start.as_str()),
        // Nothing waits for a trial: a flag that is set by accident starts the same slot.
        ("tryboot", "boot_partition", start.as_str()),
    ] {
        let value = found.get(&(section.to_owned(), name.to_owned()));
        let value = value.map_or("nothing", String::as_str);
        log.check(value == due, "tryboot-autoboot", || {
            let text = format!("[{section}] {name} is {value}, not {due}");
            (boot.place(AUTOBOOT), text)
        });
    }
    let others = found.keys().filter(|(section, name)| {
        !["tryboot_a_b", "boot_partition"].contains(&name.as_str())
            || !["all", "tryboot"].contains(&section.as_str())
    });
    let others: Vec<String> = others
        .map(|(section, name)| format!("[{section}] {name}"))
        .collect();
    log.check(others.is_empty(), "tryboot-autoboot", || {
        let text = format!(
            "the tools of the device do not take {}: no update could be installed",
            others.join(", ")
        );
        (boot.place(AUTOBOOT), text)
    });
}

/// The firmware's files on a boot partition are those of the root filesystem, which come with it.
fn programs(boot: &BootPartition<'_>, root: &Tree, log: &mut Log) {
    let is_program = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "bootcode.bin"
            || (name.starts_with("start") && name.ends_with(".elf"))
            || (name.starts_with("fixup") && name.ends_with(".dat"))
    };
    for (name, entry) in &boot.tree.root.entries {
        let name = show(name);
        let DirEntry::Leaf(id) = entry else { continue };
        let LeafKind::File(content) = &boot.tree.leaf(*id).kind else {
            continue;
        };
        if !is_program(&name) {
            continue;
        }
        let path = format!("{FILES}/firmware/{}", name.to_ascii_lowercase());
        let own = root.file(&path).and_then(|own| own.read_all(LIMIT).ok());
        let there = content.read_all(LIMIT).ok();
        log.check(own.is_some() && own == there, "tryboot-firmware", || {
            let text = format!(
                "it is not {path} of the root filesystem, which an update of this release brings"
            );
            (boot.place(&format!("/{name}")), text)
        });
    }
}

/// The rule by which the boot partition of the running slot is mounted, in either slot.
fn rule(disk: &Disk, roles: &Roles, root: &Tree, numbers: [u32; 2], log: &mut Log) {
    let links = disk.boot_links();
    let due: Vec<(String, String)> = [roles.a, roles.b]
        .iter()
        .zip(numbers)
        .map(|(slot, number)| {
            let id = disk.table.partuuid(number).unwrap_or_default();
            (slot.to_string(), id)
        })
        .collect();
    let place = || Location::partition(roles.a).path("/etc/fstab");
    log.check(links == due, "tryboot-link", || {
        let text = format!(
            "no rule of udev links the boot partition of each slot to the name that is mounted: \
             {links:?}, not {due:?}"
        );
        (place(), text)
    });
    let linked = fstab::lines(root);
    let mut linked = linked.iter().filter(|line| line.spec == "/dev/mender-boot");
    log.check(linked.next().is_some(), "tryboot-link", || {
        let text = "it does not mount /dev/mender-boot, the boot partition of the running slot";
        (place(), text.to_owned())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_sections_are_told_apart() {
        let found =
            sections("tryboot_a_b=1\n[all]\nboot_partition=2\n[Tryboot]\n boot_partition = 3\n");
        let of = |section: &str, name: &str| {
            let key = (section.to_owned(), name.to_owned());
            found.get(&key).map(String::as_str)
        };
        assert_eq!(of("all", "tryboot_a_b"), Some("1"));
        assert_eq!(of("all", "boot_partition"), Some("2"));
        assert_eq!(of("tryboot", "boot_partition"), Some("3"));
    }
}
