//! Rules of udev that match one partition.

use super::device::Device;
use super::{Reference, Removal, files_of, logical_lines, text};
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The directories of rules.
const DIRS: [&str; 3] = [
    "/etc/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
];
/// Names that the disk of a device has, up to the number of a partition.
const DISKS: [&str; 5] = ["sda", "vda", "mmcblk0p", "mmcblk1p", "nvme0n1p"];
/// The number of partitions from which on a pattern is meant for all of a disk.
const MANY: usize = 4;

/// Adds the partitions that rules match.
pub(super) fn rules(root: &Tree, out: &mut Vec<Reference>) {
    let files = DIRS.iter().flat_map(|dir| files_of(root, dir, ".rules"));
    for path in files {
        let body = text(root, &path).unwrap_or_default();
        for (line, last, body) in logical_lines(&body, &['#']) {
            let is_run = acts(&body);
            for (text, device) in matches(&body) {
                // A pattern can be meant for other disks.
                let is_number = NUMBERS.iter().any(|key| text.starts_with(key));
                let removal = if is_run {
                    Removal::Refuse
                } else if is_number || text.contains(['*', '?', '[']) {
                    Removal::Tell
                } else {
                    Removal::Comment
                };
                out.push(Reference {
                    file: path.clone(),
                    on_boot: false,
                    line,
                    last,
                    kind: "udev rule",
                    text,
                    device,
                    needed: false,
                    removal,
                });
            }
        }
    }
}

/// The keys of a rule that match the number of a partition.
const NUMBERS: [&str; 3] = ["ENV{ID_PART_ENTRY_NUMBER}", "ENV{PARTN}", "ATTR{partition}"];

/// Whether a rule does something with the partition besides giving it a name.
fn acts(rule: &str) -> bool {
    let runs = ["RUN", "PROGRAM", "SYSTEMD_WANTS"]
        .iter()
        .any(|key| rule.contains(key));
    runs && !rule.replace(' ', "").contains("ACTION==\"remove\"")
}

/// Whether a rule is for disks that are plugged in.
fn is_for_plugged(rule: &str) -> bool {
    rule.to_lowercase().contains("usb") || rule.contains("removable}==\"1\"")
}

/// The partition of this number that a rule matches; none if it is for disks that are plugged in,
/// or that have names of other disks.
fn by_number(rule: &str, number: u32) -> Option<Device> {
    if is_for_plugged(rule) {
        return None;
    }
    let kernel = rule.split(',').find_map(|part| {
        let (key, value) = part.split_once("==")?;
        (key.trim() == "KERNEL").then(|| value.trim().trim_matches('"'))
    });
    let Some(kernel) = kernel else {
        return Some(Device::Link("the disk".to_owned(), number));
    };
    let mut patterns = kernel.split('|');
    let disk = patterns.find_map(|pattern| {
        let fits = |disk: &&&str| crate::shell::matches(pattern, &format!("{disk}{number}"));
        DISKS.iter().find(fits)
    });
    let disk = disk.map(|disk| disk.strip_suffix('p').unwrap_or(disk));
    disk.map(|disk| Device::Number(disk.to_owned(), number))
}

/// The partitions that a rule matches by their names, or by their numbers.
fn matches(rule: &str) -> Vec<(String, Device)> {
    let mut out = Vec::new();
    for part in rule.split(',') {
        let Some((key, value)) = part.split_once("==") else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        if value.contains('$') {
            continue;
        }
        let names = match key.trim() {
            "KERNEL" | "KERNELS" => Some(value),
            "ENV{DEVNAME}" => Some(value.strip_prefix("/dev/").unwrap_or(value)),
            "DEVPATH" => Some(value.rsplit('/').next().unwrap_or(value)),
            _ => None,
        };
        if let Some(names) = names {
            let found = kernel_names(rule, names).into_iter();
            out.extend(found.map(|device| (part.trim().to_owned(), device)));
            continue;
        }
        if value.contains(['*', '?', '[', '|']) {
            continue;
        }
        if let Ok(number) = value.parse()
            && NUMBERS.contains(&key.trim())
        {
            let found = by_number(rule, number);
            out.extend(found.map(|device| (part.trim().to_owned(), device)));
            continue;
        }
        let device = match key.trim() {
            "ENV{ID_FS_UUID}" | "ENV{ID_FS_UUID_ENC}" => Device::Tag(Device::key("UUID", value)),
            "ENV{ID_FS_LABEL}" | "ENV{ID_FS_LABEL_ENC}" => Device::Tag(Device::key("LABEL", value)),
            "ENV{ID_PART_ENTRY_UUID}" => Device::Tag(Device::key("PARTUUID", value)),
            "ENV{ID_PART_ENTRY_NAME}" => Device::Tag(Device::key("PARTLABEL", value)),
            _ => continue,
        };
        out.push((part.trim().to_owned(), device));
    }
    out
}

/// The partitions that patterns of kernel names mean, of the first disk that has any; none if a
/// pattern means all partitions of a disk.
fn kernel_names(rule: &str, patterns: &str) -> Vec<Device> {
    let mut out = Vec::new();
    for pattern in patterns.split('|') {
        if !pattern.contains(['*', '?', '[']) {
            let device = Device::parse(&format!("/dev/{pattern}"));
            out.extend(Some(device).filter(|device| matches!(device, Device::Number(..))));
            continue;
        }
        if is_for_plugged(rule) {
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
}
