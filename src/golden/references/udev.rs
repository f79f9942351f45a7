//! Rules of udev that match one partition.

use super::device::Device;
use super::{Reference, Removal, files_of, logical_lines, text};
use crate::tree::Tree;

/// Adds the partitions that rules match.
pub(super) fn rules(root: &Tree, out: &mut Vec<Reference>) {
    let dirs = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d"];
    let files = dirs.iter().flat_map(|dir| files_of(root, dir, ".rules"));
    for path in files {
        let body = text(root, &path).unwrap_or_default();
        for (line, last, body) in logical_lines(&body, &['#']) {
            for (text, device) in matches(&body) {
                // A pattern can be meant for other disks.
                let is_number = NUMBERS.iter().any(|key| text.starts_with(key));
                let removal = if is_number && acts(&body) {
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
    ["RUN", "PROGRAM", "SYSTEMD_WANTS"]
        .iter()
        .any(|key| rule.contains(key))
}

/// The partition of this number that a rule matches; none if it is for disks that are plugged in,
/// or that have names of other disks.
fn by_number(rule: &str, number: u32) -> Option<Device> {
    if rule.to_lowercase().contains("usb") || rule.contains("removable}==\"1\"") {
        return None;
    }
    let kernel = rule.split(',').find_map(|part| {
        let (key, value) = part.split_once("==")?;
        (key.trim() == "KERNEL").then(|| value.trim().trim_matches('"'))
    });
    let Some(kernel) = kernel else {
        return Some(Device::Link("the disk".to_owned(), number));
    };
    let disks = ["sda", "vda", "mmcblk0p", "mmcblk1p", "nvme0n1p"];
    let mut patterns = kernel.split('|');
    let disk = patterns.find_map(|pattern| {
        let fits = |disk: &&&str| crate::shell::matches(pattern, &format!("{disk}{number}"));
        disks.iter().find(fits)
    });
    let disk = disk.map(|disk| disk.strip_suffix('p').unwrap_or(disk));
    disk.map(|disk| Device::Number(disk.to_owned(), number))
}

/// The partitions that a rule matches by their exact names, or by their numbers.
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
        if key.trim() == "KERNEL" {
            let found = kernel_names(value).into_iter();
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
            "KERNELS" => Device::parse(&format!("/dev/{value}")),
            "ENV{DEVNAME}" => Device::parse(value),
            "ENV{ID_FS_UUID}" | "ENV{ID_FS_UUID_ENC}" => Device::Tag(Device::key("UUID", value)),
            "ENV{ID_FS_LABEL}" | "ENV{ID_FS_LABEL_ENC}" => Device::Tag(Device::key("LABEL", value)),
            "ENV{ID_PART_ENTRY_UUID}" => Device::Tag(Device::key("PARTUUID", value)),
            "ENV{ID_PART_ENTRY_NAME}" => Device::Tag(Device::key("PARTLABEL", value)),
            _ => continue,
        };
        if !matches!(device, Device::Other | Device::Path(_) | Device::Disk(_)) {
            out.push((part.trim().to_owned(), device));
        }
    }
    out
}

/// The partition that a pattern of kernel names means; none if it means all partitions of a disk.
fn kernel_names(pattern: &str) -> Option<Device> {
    if !pattern.contains(['*', '?', '[', '|']) {
        let device = Device::parse(&format!("/dev/{pattern}"));
        return matches!(device, Device::Number(..)).then_some(device);
    }
    let disks = ["sda", "vda", "mmcblk0p", "mmcblk1p", "nvme0n1p"];
    let matching = disks.into_iter().find_map(|disk| {
        let is_one = |number: &u32| crate::shell::matches(pattern, &format!("{disk}{number}"));
        let numbers: Vec<u32> = (1..=15).filter(is_one).collect();
        let [number] = numbers[..] else { return None };
        Some((disk, number))
    });
    let (disk, number) = matching?;
    let disk = disk.strip_suffix('p').unwrap_or(disk);
    Some(Device::Number(disk.to_owned(), number))
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
