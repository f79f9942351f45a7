//! Rules of udev that match one partition.

use super::device::Device;
use super::{Reference, Removal};
use crate::golden::udev_rules::{self, Key, Operator, Rule, Started};
use crate::tree::Tree;
use std::collections::BTreeSet;

/// Names that the disk of devices has, up to the number of a partition.
const DISKS: [&str; 5] = ["sda", "vda", "mmcblk0p", "mmcblk1p", "nvme0n1p"];
/// The number of partitions from which on a pattern is meant for all of a disk.
const MANY: usize = 4;
/// The keys of a rule that match the number of a partition.
const NUMBERS: [&str; 3] = ["ENV{ID_PART_ENTRY_NUMBER}", "ENV{PARTN}", "ATTR{partition}"];

/// Adds the partitions that rules match.
pub(super) fn rules(root: &Tree, out: &mut Vec<Reference>) {
    for rule in udev_rules::rules(root) {
        let mut seen = BTreeSet::new();
        for (key, device) in matches(&rule) {
            let text = key.text();
            if !seen.insert((text.clone(), device.to_string())) {
                continue;
            }
            out.push(Reference {
                file: rule.file.clone(),
                on_boot: false,
                line: rule.first,
                last: rule.last,
                kind: "udev rule",
                removal: removal(&rule, &key),
                text,
                device,
                needed: false,
            });
        }
    }
}

/// How a rule that matches a partition by `key` is taken out.
fn removal(rule: &Rule, key: &Key) -> Removal {
    // A pattern can be meant for other disks.
    let is_pattern = key.value.contains(['*', '?', '[']);
    // Without it, other rules would be reached.
    let is_mark = ["GOTO", "LABEL"]
        .iter()
        .any(|name| rule.value(name).is_some());
    if acts(rule) {
        Removal::Refuse
    } else if NUMBERS.contains(&key.name.as_str()) || is_pattern || is_mark {
        Removal::Tell
    } else {
        Removal::Comment
    }
}

/// Whether a rule does something with the partition besides giving it a name.
fn acts(rule: &Rule) -> bool {
    let is_end =
        |key: &Key| key.name == "ACTION" && key.operator == Operator::Is && key.value == "remove";
    let mut ways = rule.ways.iter();
    let is_reached = ways.any(|way| !way.iter().chain(&rule.keys).any(is_end));
    let runs = |(kind, value): (Started, &str)| {
        // What reads the device.
        let reads = ["blkid", "path_id", "ata_id", "scsi_id", "usb_id"];
        let name = value.split_whitespace().next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        kind != Started::Asked || !reads.contains(&name)
    };
    is_reached && rule.started().any(runs)
}

/// Whether conditions are for disks that are plugged in.
fn is_for_plugged(conditions: &[&Key]) -> bool {
    conditions.iter().any(|key| {
        let is = key.operator == Operator::Is;
        let text = key.text().to_lowercase();
        is && (text.contains("usb") || text.ends_with("removable}==\"1\""))
    })
}

/// The partition of this number that a rule matches; none if it is for disks that are plugged in,
/// or that have names of other disks.
fn by_number(conditions: &[&Key], number: u32) -> Option<Device> {
    if is_for_plugged(conditions) {
        return None;
    }
    let kernel = conditions
        .iter()
        .find(|key| key.name == "KERNEL" && key.operator == Operator::Is);
    let Some(kernel) = kernel else {
        return Some(Device::Link("the disk".to_owned(), number));
    };
    let mut patterns = kernel.value.split('|');
    let disk = patterns.find_map(|pattern| {
        let fits = |disk: &&&str| crate::shell::matches(pattern, &format!("{disk}{number}"));
        DISKS.iter().find(fits)
    });
    let disk = disk.map(|disk| disk.strip_suffix('p').unwrap_or(disk));
    disk.map(|disk| Device::Number(disk.to_owned(), number))
}

/// The partitions that a rule matches by their names, or by their numbers. A rule that acts also
/// matches those that the way to it asks for.
fn matches(rule: &Rule) -> Vec<(Key, Device)> {
    let mut out = Vec::new();
    let own: Vec<&Key> = rule.keys.iter().filter(|key| key.is_condition()).collect();
    for way in &rule.ways {
        let conditions: Vec<&Key> = way.iter().chain(own.iter().copied()).collect();
        let keys = match acts(rule) {
            true => &conditions,
            false => &own,
        };
        for key in keys.iter().filter(|key| key.operator == Operator::Is) {
            let devices = devices(key, &conditions).into_iter();
            out.extend(devices.map(|device| ((*key).clone(), device)));
        }
    }
    out
}

/// The partitions that one of the conditions of a rule means.
fn devices(key: &Key, conditions: &[&Key]) -> Vec<Device> {
    let value = key.value.as_str();
    if value.contains('$') {
        return Vec::new();
    }
    let names = match key.name.as_str() {
        "KERNEL" | "KERNELS" => Some(value),
        "ENV{DEVNAME}" => Some(value.strip_prefix("/dev/").unwrap_or(value)),
        "DEVPATH" => Some(value.rsplit('/').next().unwrap_or(value)),
        _ => None,
    };
    if let Some(names) = names {
        return kernel_names(conditions, names);
    }
    if value.contains(['*', '?', '[', '|']) {
        return Vec::new();
    }
    if let Ok(number) = value.parse()
        && NUMBERS.contains(&key.name.as_str())
    {
        return by_number(conditions, number).into_iter().collect();
    }
    let tag = match key.name.as_str() {
        "ENV{ID_FS_UUID}" | "ENV{ID_FS_UUID_ENC}" => "UUID",
        "ENV{ID_FS_LABEL}" | "ENV{ID_FS_LABEL_ENC}" => "LABEL",
        "ENV{ID_PART_ENTRY_UUID}" => "PARTUUID",
        "ENV{ID_PART_ENTRY_NAME}" => "PARTLABEL",
        _ => return Vec::new(),
    };
    vec![Device::Tag(Device::key(tag, value))]
}

/// The partitions that patterns of kernel names mean, of the first disk that has any; none if a
/// pattern means all partitions of a disk.
fn kernel_names(conditions: &[&Key], patterns: &str) -> Vec<Device> {
    let mut out = Vec::new();
    for pattern in patterns.split('|') {
        if !pattern.contains(['*', '?', '[']) {
            let device = Device::parse(&format!("/dev/{pattern}"));
            out.extend(Some(device).filter(|device| matches!(device, Device::Number(..))));
            continue;
        }
        if is_for_plugged(conditions) {
            continue;
        }
        let matching = DISKS.into_iter().filter_map(|disk| {
            let is_one = |number: &u32| crate::shell::matches(pattern, &format!("{disk}{number}"));
            let numbers: Vec<u32> = (1..=15).filter(is_one).collect();
            (!numbers.is_empty() && numbers.len() < MANY).then_some((disk, numbers))
        });
        let matching: Vec<(&str, Vec<u32>)> = matching.collect();
        let kinds: BTreeSet<&str> = matching
            .iter()
            .filter_map(|(disk, _)| disk.get(..2))
            .collect();
        let Some((disk, numbers)) = matching.first() else {
            continue;
        };
        let disk = disk.strip_suffix('p').unwrap_or(disk);
        out.extend(numbers.iter().map(|number| match kinds.len() {
            1 => Device::Number(disk.to_owned(), *number),
            _ => Device::Link("the disk".to_owned(), *number),
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};

    /// The references of a file of rules: line, text, device, and how it is taken out.
    fn found(body: &str) -> Vec<(usize, String, String, Removal)> {
        let mut root = empty();
        add(
            &mut root,
            "/etc/udev/rules.d/9-local.rules",
            body.as_bytes(),
        );
        let mut out = Vec::new();
        rules(&root, &mut out);
        out.into_iter()
            .map(|one| (one.line, one.text, one.device.to_string(), one.removal))
            .collect()
    }

    #[test]
    fn rules_that_match_one_partition() {
        let body = "KERNEL==\"sd[a-z]3\", RUN+=\"x\"\nKERNEL==\"sd*[0-9]\", RUN+=\"x\"\nSUBSYSTEM==\"block\", KERNEL==\"sda3\", \\\n\
                    \x20 SYMLINK+=\"media\"\nENV{ID_FS_UUID}==\"AB\", ENV{ID_FS_LABEL}==\"x\"\n\
                    KERNEL==\"ttyS0\", GROUP=\"a\"\nKERNEL==\"sda\", GROUP=\"a\"\n";
        let rules = found(body);
        let rules: Vec<(usize, &str)> = rules.iter().map(|one| (one.0, one.2.as_str())).collect();
        assert_eq!(
            rules,
            [
                (1, "partition 3 of sda"),
                (3, "partition 3 of sda"),
                (5, "UUID=ab"),
                (5, "LABEL=x")
            ]
        );
        let body = "KERNEL==\"sda3\", RUN+=\"x\"\nKERNEL==\"mmcblk[0-9]p[23]\", ENV{SYSTEMD_WANTS}+=\"x.service\"\nKERNEL==\"sdb3|sda4\", RUN+=\"x\"\n\
                    ENV{DEVNAME}==\"/dev/sd?2\", SYMLINK+=\"x\"\nDEVPATH==\"*/nvme0n1p4\", RUN+=\"x\"\nENV{ID_FS_LABEL}==\"x\", RUN+=\"x\"\n\
                    KERNEL==\"sd[a-z]3\", SUBSYSTEMS==\"usb\", RUN+=\"x\"\nKERNEL==\"sd[b-z]3\", RUN+=\"x\"\nKERNEL==\"sda[1-9]\", RUN+=\"x\"\n\
                    KERNEL==\"*3\", RUN+=\"x\"\nACTION==\"remove\", KERNEL==\"vda3\", RUN+=\"x\"\n";
        let rules = found(body);
        let rules: Vec<_> = rules
            .iter()
            .map(|one| (one.0, one.2.as_str(), one.3))
            .collect();
        assert_eq!(
            rules,
            [
                (1, "partition 3 of sda", Removal::Refuse),
                (2, "partition 2 of mmcblk0", Removal::Refuse),
                (2, "partition 3 of mmcblk0", Removal::Refuse),
                (3, "partition 3 of sdb", Removal::Refuse),
                (3, "partition 4 of sda", Removal::Refuse),
                (4, "partition 2 of sda", Removal::Tell),
                (5, "partition 4 of nvme0n1", Removal::Refuse),
                (6, "LABEL=x", Removal::Refuse),
                (10, "partition 3 of the disk", Removal::Refuse),
                (10, "partition 13 of the disk", Removal::Refuse),
                (11, "partition 3 of vda", Removal::Comment),
            ]
        );
        let body = "ENV{ID_PART_ENTRY_NUMBER}==\"3\", RUN+=\"x\"\nKERNEL==\"mmcblk*\", ENV{PARTN}==\"4\", SYMLINK+=\"x\"\n\
                    SUBSYSTEMS==\"usb\", ATTR{partition}==\"3\", RUN+=\"x\"\nKERNEL==\"sdb?\", ATTR{partition}==\"3\", RUN+=\"x\"\n";
        let rules = found(body);
        let rules: Vec<_> = rules
            .iter()
            .map(|one| (one.0, one.2.as_str(), one.3))
            .collect();
        assert_eq!(
            rules,
            [
                (1, "partition 3 of the disk", Removal::Refuse),
                (2, "partition 4 of mmcblk0", Removal::Tell),
            ]
        );
    }
    #[test]
    fn rules_are_judged_by_the_way_to_them() {
        let rules = found(
            "# x \\\nKERNEL==\"sda3\", \\\n# between\n RUN+=\"x\"\n\
             KERNEL!=\"sda4\", GOTO=\"end\"\nRUN+=\"/opt/a, b\"\nSYMLINK+=\"a\"\nGOTO=\"end\"\n\
             KERNEL==\"sda5\", RUN+=\"x\"\nLABEL=\"end\"\nKERNEL==\"sda6\", GOTO=\"last\"\n\
             KERNEL==\"sda7\", IMPORT{program}=\"/opt/x\"\nKERNEL==\"sda8\", IMPORT{program}=\"/sbin/blkid\"\n\
             LABEL=\"last\"\n",
        );
        let rules: Vec<_> = rules
            .iter()
            .map(|one| (one.0, one.1.as_str(), one.3))
            .collect();
        assert_eq!(
            rules,
            [
                (2, "KERNEL==\"sda3\"", Removal::Refuse),
                (6, "KERNEL==\"sda4\"", Removal::Refuse),
                (11, "KERNEL==\"sda6\"", Removal::Tell),
                (12, "KERNEL==\"sda7\"", Removal::Refuse),
                (13, "KERNEL==\"sda8\"", Removal::Comment),
            ]
        );
    }
}
