//! Devices whose firmware chooses the slot by itself: the line of `config.txt` that names it, the
//! directories of both slots, the tools that change them.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::boot_partition::BootPartition;
use super::raspberry_config::{models, named_models, settings};
use super::{fstab, raspberry_firmware};
use crate::stream::ReadAt as _;
use crate::tree::{DirEntry, LeafKind, Tree};

/// The settings of the tools.
pub(super) const CONFIG: &str = "/etc/mender_tryboot.config";
/// The names that a setting with a slot begins with.
const PREFIX: &str = "os_prefix=slot-";
/// The longest boot file that is read (bytes).
const LIMIT: u64 = 1 << 30;

/// Whether this check applies.
pub(super) fn is_ours(boot: &BootPartition<'_>, root: &Tree) -> bool {
    root.file(CONFIG).is_some() || boot.has("/slot-a0")
}

/// Checks the boot process from the firmware to a kernel.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    root: &Tree,
    log: &mut Log,
) {
    let named = named_models(root);
    raspberry_firmware::check(boot, &models(root), named.is_empty(), log);
    let first = named_slot(boot, "/config.txt", log);
    let trial = named_slot(boot, "/tryboot.txt", log);
    log.check(first == trial, "tryboot-config", || {
        let text = "it names other boot files than config.txt: a flag that is set by accident would \
                    start them";
        (boot.place("/tryboot.txt"), text.to_owned())
    });
    let dirs = [first.unwrap_or_else(|| "slot-a0".into()), other(boot)];
    log.check(dirs[0].starts_with("slot-a"), "tryboot-config", || {
        let text = format!("it names {}, which is not of the first slot", dirs[0]);
        (boot.place("/config.txt"), text)
    });
    for (dir, number) in dirs.iter().zip([roles.a, roles.b]) {
        arguments(disk, boot, dir, number, log);
        whole(boot, dir, log);
        starts(boot, root, dir, log);
    }
    tools(disk, roles, root, log);
    room(disk, boot, &dirs, log);
}

/// The directory that a file with settings names, by its first sector alone.
pub(super) fn named_slot(boot: &BootPartition<'_>, path: &str, log: &mut Log) -> Option<String> {
    let bytes = boot.read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("os_prefix="))
        .collect();
    let at = text.find(PREFIX).and_then(|at| at.checked_add(18));
    let in_first = at.is_some_and(|end| end <= 512);
    let [line] = lines[..] else {
        log.error(
            "tryboot-config",
            boot.place(path),
            format!("it has {} lines os_prefix=, not one", lines.len()),
        );
        return None;
    };
    let name = line.strip_prefix("os_prefix=").unwrap_or_default();
    let dir = name.trim_end().strip_suffix('/').unwrap_or_default();
    let known = ["slot-a0", "slot-a1", "slot-b0", "slot-b1"].contains(&dir);
    let fine = log.check(known && in_first, "tryboot-config", || {
        let text = format!("`{line}` does not name the directory of a slot in its first 512 bytes");
        (boot.place(path), text)
    });
    fine.then(|| dir.to_owned())
}

/// The directory of the second slot that has files.
fn other(boot: &BootPartition<'_>) -> String {
    let mut dirs = ["slot-b0", "slot-b1"].into_iter();
    let used = dirs.find(|dir| boot.has(&format!("/{dir}/cmdline.txt")));
    used.unwrap_or("slot-b0").to_owned()
}

/// The kernel's command line of a slot: its root, its number.
pub(super) fn arguments(
    disk: &Disk,
    boot: &BootPartition<'_>,
    dir: &str,
    number: u32,
    log: &mut Log,
) {
    let path = format!("/{dir}/cmdline.txt");
    let bytes = boot.read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let roots: Vec<&str> = line
        .split_whitespace()
        .filter(|word| word.starts_with("root="))
        .collect();
    let id = disk.table.partuuid(number).unwrap_or_default();
    let due = format!("root=PARTUUID={id}");
    log.check(roots == [due.as_str()], "tryboot-arguments", || {
        let text = format!("it passes {}, not {due}", roots.join(" "));
        (boot.place(&path), text)
    });
    let slot = format!("mender.slot={number}");
    let has_slot = line.split_whitespace().any(|word| word == slot);
    log.check(has_slot, "tryboot-arguments", || {
        (boot.place(&path), format!("it does not pass {slot}"))
    });
    log.check(line.len() <= 2047, "tryboot-arguments", || {
        let text = format!("it passes {} bytes, the kernel takes 2047", line.len());
        (boot.place(&path), text)
    });
}

/// Each file of the list is there, with its bytes.
pub(super) fn whole(boot: &BootPartition<'_>, dir: &str, log: &mut Log) {
    let list = format!("/{dir}/set.txt");
    let bytes = boot.read(&list).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    log.check(!text.is_empty(), "tryboot-files", || {
        let text = "the list of the slot's files is missing: the tools take the slot for damaged";
        (boot.place(&list), text.to_owned())
    });
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (sum, size, name) = (words.next(), words.next(), words.next());
        let path = format!("/{dir}/{}", name.unwrap_or_default());
        let found = contents(boot, &path);
        let own = found.map(|bytes| (checksum(&bytes).to_string(), bytes.len().to_string()));
        let fits = own
            .as_ref()
            .is_some_and(|(one, two)| Some(one.as_str()) == sum && Some(two.as_str()) == size);
        log.check(fits, "tryboot-files", || {
            let text = format!("it is not what {list} says of it (`{line}`)");
            (boot.place(&path), text)
        });
    }
}

fn contents(boot: &BootPartition<'_>, path: &str) -> Option<Vec<u8>> {
    let real = boot.tree.path_ignore_case(path);
    boot.tree.file(real)?.read_all(LIMIT).ok()
}

/// The checksum of `cksum` (POSIX), bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = 0_u32;
    let mut push = |byte: u8| {
        sum ^= u32::from(byte) << 24;
        for _ in 0..8 {
            let carry = sum & 0x8000_0000 != 0;
            sum <<= 1;
            if carry {
                sum ^= 0x04c1_1db7;
            }
        }
    };
    for byte in bytes {
        push(*byte);
    }
    let mut length = bytes.len();
    while length > 0 {
        let [low, ..] = length.to_le_bytes();
        push(low);
        length >>= 8;
    }
    !sum
}

/// Each model finds its kernel, its initial RAM disk and a device tree in the directory.
pub(super) fn starts(boot: &BootPartition<'_>, root: &Tree, dir: &str, log: &mut Log) {
    let has = |name: &str| boot.has_content(&format!("/{dir}/{name}"));
    let all = if named_models(root).is_empty() {
        Vec::new()
    } else {
        models(root)
    };
    for model in all {
        let settings = settings(boot, model, true);
        let kernel = settings.get("kernel").and_then(|values| values.last());
        let kernel = kernel.map_or("", String::as_str);
        let mut missing = Vec::new();
        if kernel.is_empty() || !has(kernel) {
            missing.push(format!("kernel ({kernel})"));
        }
        let rams = settings.keys();
        for line in rams.filter_map(|line| line.strip_prefix("initramfs ")) {
            let names = line.split_whitespace().next().unwrap_or_default();
            let gone = names.split(',').filter(|name| !has(name));
            missing.extend(gone.map(|name| format!("initial RAM disk ({name})")));
        }
        if !has("overlays/README") {
            missing.push("overlays/README, without which overlays are not the slot's".into());
        }
        let fine = log.check(missing.is_empty(), "tryboot-files", || {
            let text = format!(
                "on {model}, the firmware finds no {}",
                missing.join(", no ")
            );
            (boot.place(&format!("/{dir}")), text)
        });
        if !fine {
            return;
        }
    }
}

/// The tools that the client calls, with their settings, and the check at each start.
pub(super) fn tools(disk: &Disk, roles: &Roles, root: &Tree, log: &mut Log) {
    let place = |path: &str| Location::partition(roles.a).path(path);
    for name in ["fw_printenv", "fw_setenv"] {
        let path = format!("/usr/bin/{name}");
        let text = read(root, &path).unwrap_or_default();
        let own = String::from_utf8_lossy(&text).contains("mender_tryboot.config");
        log.check(own, "tryboot-tools", || {
            let text = "it is not the tool that keeps the slots of this boot loader".to_owned();
            (place(&path), text)
        });
    }
    let text = String::from_utf8_lossy(&read(root, CONFIG).unwrap_or_default()).into_owned();
    let ids = [roles.a, roles.b].map(|number| disk.table.partuuid(number).unwrap_or_default());
    let mount = fstab::boot_mount(disk, roles).unwrap_or_default();
    for line in [
        format!("BOOT = {mount}"),
        format!("ROOT_PARTITIONS = {} {}", roles.a, roles.b),
        format!("PARTUUIDS = {} {}", ids[0], ids[1]),
    ] {
        log.check(text.lines().any(|own| own == line), "tryboot-tools", || {
            (place(CONFIG), format!("it does not say `{line}`"))
        });
    }
    let fstab = String::from_utf8_lossy(&read(root, "/etc/fstab").unwrap_or_default()).into_owned();
    let checked = fstab.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&mount.as_str()) && words.get(5) == Some(&"2")
    });
    log.check(checked, "tryboot-tools", || {
        let text = format!(
            "{mount} is not checked at each start (the sixth field is not 2): what a power cut \
             leaves there could damage the files of a slot"
        );
        (place("/etc/fstab"), text)
    });
}

/// There is room for the files of an update next to those of both slots.
pub(super) fn room(disk: &Disk, boot: &BootPartition<'_>, dirs: &[String; 2], log: &mut Log) {
    let Some(size) = disk.files(boot.number).map(|files| files.size) else {
        return;
    };
    let mut used = 0_u64;
    let mut sets = [0_u64; 2];
    boot.tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &boot.tree.leaf(*id).kind
        {
            let bytes = content.len().next_multiple_of(4096);
            used = used.saturating_add(bytes);
            let path = String::from_utf8_lossy(path).into_owned();
            for (set, dir) in sets.iter_mut().zip(dirs) {
                if path.starts_with(&format!("/{dir}/")) {
                    *set = set.saturating_add(bytes);
                }
            }
        }
    });
    let largest = sets.into_iter().max().unwrap_or_default();
    // The tables of the filesystem take less than a part in 64.
    let tables = size / 64;
    let free = size.saturating_sub(used).saturating_sub(tables);
    log.check(free >= largest, "tryboot-room", || {
        let text = format!(
            "{free} bytes are free, the boot files of a slot take {largest}: no update could be \
             written"
        );
        (boot.place("/"), text)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_cksum() {
        assert_eq!(checksum(b""), 4_294_967_295);
        assert_eq!(checksum(b"123456789"), 930_766_865);
    }
}
