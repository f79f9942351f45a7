//! Rules of udev that run something for a slot, whatever it does: the other slot can be the next
//! root filesystem or one that an update is being written to.

use super::super::super::disk::{Disk, Roles, read};
use super::rule_events::{Answer, Event, Part, fits};
use super::rules::{Rule, RuleFile, files_of_rules};
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
    let own = own.as_deref();
    let mut out = Vec::new();
    for file in files_of_rules(files) {
        if !file.rules.iter().any(runs) {
            continue;
        }
        let slots = [roles.a, roles.b].map(|number| (number, applied(&file, own, number)));
        for (at, rule) in file.rules.iter().enumerate().filter(|(_, rule)| runs(rule)) {
            let found = slots.iter().find_map(|(number, answers)| {
                if is_for_plugged(&rule.parts) || !reaches(answers, at) {
                    return None;
                }
                let is_certain = picks(disk, own, &rule.parts, *number)
                    .or_else(|| is_left(&file, own, at).then_some(own.is_some()))?;
                Some((*number, is_certain))
            });
            if let Some((number, is_certain)) = found {
                out.push(SlotRule {
                    path: file.path.clone(),
                    line: rule.line,
                    number,
                    is_certain,
                });
            }
        }
    }
    out
}

/// How the rules of a file apply to a partition, for each name that its disk can have, and whether
/// it comes or changes.
fn applied(file: &RuleFile, own: Option<&str>, number: u32) -> Vec<Vec<Answer>> {
    let disks = own.map_or_else(|| DISKS.to_vec(), |own| vec![own]);
    let events = disks.iter().flat_map(|disk| {
        ["add", "change"].map(|action| Event::disk(action, &[disk], Some(number)))
    });
    events.map(|event| file.applied(&event, true)).collect()
}

fn reaches(answers: &[Vec<Answer>], rule: usize) -> bool {
    let answers = answers.iter().filter_map(|one| one.get(rule));
    answers.max().is_some_and(|most| *most > Answer::No)
}

/// Whether the rules before it leave few partitions to a rule.
fn is_left(file: &RuleFile, own: Option<&str>, rule: usize) -> bool {
    let disks = own.map_or_else(|| DISKS.to_vec(), |own| vec![own]);
    let of = |number| {
        let events = disks.iter().map(|disk| Event::disk("add", &[disk], number));
        let answers: Vec<_> = events.map(|event| file.applied(&event, true)).collect();
        reaches(&answers, rule)
    };
    let count = (1..=TRIED).filter(|number| of(Some(*number))).count();
    !of(None) && (1..4).contains(&count)
}

fn runs(rule: &Rule) -> bool {
    let reads = ["blkid", "path_id", "ata_id", "scsi_id", "usb_id"];
    rule.runs().any(|(value, asked, _)| {
        let name = value.split_whitespace().next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        !asked || !reads.contains(&name)
    })
}

fn is_for_plugged(parts: &[Part]) -> bool {
    parts.iter().any(|(key, value)| {
        let text = format!("{key}{value}").to_lowercase();
        key.ends_with("==") && (text.contains("usb") || text.ends_with("removable}==1"))
    })
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
