//! Rules of udev that run something for a slot, whatever it does: the other slot can be the next
//! root filesystem or one that an update is being written to.

use super::super::super::disk::{Disk, Roles, read};
use super::rules::{Part, each_rule, fits, parts};
use super::trace::Files;

/// A rule that runs something for a slot.
pub(super) struct SlotRule {
    pub(super) path: String,
    /// The line, from 1.
    pub(super) line: u32,
    /// The number of the partition.
    pub(super) number: u32,
    /// Whether the disk of the device has the name in the rule for certain.
    pub(super) is_certain: bool,
}

/// The keys that pick a partition by its number.
const BY_NUMBER: [&str; 3] = [
    "ENV{ID_PART_ENTRY_NUMBER}==",
    "ENV{PARTN}==",
    "ATTR{partition}==",
];
/// The keys that pick a device by the kernel's name.
const BY_NAME: [&str; 4] = ["KERNEL==", "KERNELS==", "DEVPATH==", "ENV{DEVNAME}=="];
/// Names of first disks up to the number of a partition.
const DISKS: [&str; 5] = ["sda", "vda", "mmcblk0p", "mmcblk1p", "nvme0n1p"];
/// Partitions that a pattern is tried with.
const TRIED: u32 = 15;

/// The rules that run something for one of the slots.
pub(super) fn all(disk: &Disk, roles: &Roles, files: &Files<'_>) -> Vec<SlotRule> {
    let own = own_disk(disk, roles);
    let mut out = Vec::new();
    each_rule(files, |rule, path, line| {
        let parts = parts(rule);
        if !runs(&parts) || is_for_plugged(rule) {
            return;
        }
        for number in [roles.a, roles.b] {
            if let Some(is_certain) = picks(disk, own.as_deref(), &parts, number) {
                out.push(SlotRule {
                    path: path.to_owned(),
                    line,
                    number,
                    is_certain,
                });
                return;
            }
        }
    });
    out
}

fn runs(parts: &[Part]) -> bool {
    let removed = |(key, value): &Part| key == "ACTION==" && value == "remove";
    let starts = |(key, _): &Part| {
        let keys = ["RUN", "PROGRAM", "ENV{SYSTEMD_WANTS}"];
        keys.iter().any(|start| key.starts_with(start))
    };
    !parts.iter().any(removed) && parts.iter().any(starts)
}

fn is_for_plugged(rule: &str) -> bool {
    rule.to_lowercase().contains("usb") || rule.contains("removable}==\"1\"")
}

/// Whether a rule picks the partition, and whether that is certain.
fn picks(disk: &Disk, own: Option<&str>, parts: &[Part], number: u32) -> Option<bool> {
    let names = || {
        parts
            .iter()
            .filter(|(key, _)| BY_NAME.contains(&key.as_str()))
    };
    let by_number = parts
        .iter()
        .any(|(key, value)| BY_NUMBER.contains(&key.as_str()) && *value == number.to_string());
    if by_number {
        let mut all = names().map(|(_, value)| can_be(own, value, number, false));
        return all.try_fold(true, |certain, one| Some(certain && one?));
    }
    if parts.iter().any(|part| is_tag(disk, part, number)) {
        return Some(true);
    }
    names().find_map(|(_, value)| can_be(own, value, number, true))
}

/// Whether patterns of names fit the partition, and whether that is certain. `alone`: what fits
/// many partitions is not meant.
fn can_be(own: Option<&str>, patterns: &str, number: u32, alone: bool) -> Option<bool> {
    let disks: Vec<&str> = match &own {
        Some(own) => vec![own],
        None => DISKS.to_vec(),
    };
    let fits_one = |pattern: &str| {
        let pattern = pattern.rsplit('/').next().unwrap_or(pattern);
        disks.iter().any(|disk| {
            let fits = |number: &u32| fits(pattern, &format!("{disk}{number}"));
            fits(&number) && (!alone || (1..=TRIED).filter(fits).count() < 4)
        })
    };
    patterns.split('|').any(fits_one).then_some(own.is_some())
}

/// The name of the disk up to the number of a partition, if the client's configuration has one.
fn own_disk(disk: &Disk, roles: &Roles) -> Option<String> {
    let data = &disk.files(roles.data)?.tree;
    let bytes = read(data, "/mender/mender.conf")?;
    let conf: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let path = conf.get("RootfsPartA")?.as_str()?;
    let name = path
        .strip_prefix("/dev/")?
        .strip_suffix(&roles.a.to_string())?;
    (!name.contains('/')).then(|| name.to_owned())
}

/// Whether a key names the partition by an ID or a label.
fn is_tag(disk: &Disk, (key, value): &Part, number: u32) -> bool {
    let files = disk.files(number);
    let lower = value.to_lowercase();
    match key.trim_end_matches("_ENC}==").trim_end_matches("}==") {
        "ENV{ID_FS_UUID" => files.is_some_and(|files| files.uuid == lower),
        "ENV{ID_FS_LABEL" => {
            files.is_some_and(|files| !value.is_empty() && files.label.trim_end() == value)
        }
        "ENV{ID_PART_ENTRY_UUID" => disk.table.partuuid(number).as_ref() == Some(&lower),
        "ENV{ID_PART_ENTRY_NAME" => {
            let partition = disk.table.partition(number);
            partition.is_some_and(|one| !value.is_empty() && one.name == *value)
        }
        _ => false,
    }
}
