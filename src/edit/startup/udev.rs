//! Rules of udev: what they run for a device, and the services that they start.

use super::acts::Act;
use super::entry::{Entry, EntryKind};
use super::follow::{Files, Found, is_own};
use super::units::{Unit, names_in};
use crate::shell::matches;

/// A key of a rule, with its operator, and its value.
type Part = (String, String);

/// Names that disks of devices have, and what separates them from the number of a partition.
const DISKS: [(&str, &str); 7] = [
    ("sda", ""),
    ("vda", ""),
    ("hda", ""),
    ("xvda", ""),
    ("mmcblk0", "p"),
    ("mmcblk1", "p"),
    ("nvme0n1", "p"),
];
/// The most partitions that are looked at.
const PARTITIONS: u32 = 15;

/// Rules of udev: what they run, and the services that they start.
pub(super) fn rules(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for dir in [
        "/etc/udev/rules.d",
        "/usr/local/lib/udev/rules.d",
        "/usr/lib/udev/rules.d",
    ] {
        for name in names_in(files.root, dir).filter(|name| name.ends_with(".rules")) {
            let path = format!("{dir}/{name}");
            let text = files.text(&path).unwrap_or_default();
            let mut first = 1;
            let mut rule = String::new();
            for (at, line) in text.lines().enumerate() {
                let part = line.trim_end().strip_suffix('\\');
                rule.push_str(part.unwrap_or(line));
                if part.is_some() {
                    continue;
                }
                if !rule.trim_start().starts_with('#') {
                    out.extend(of_rule(files, &rule, &path, first));
                }
                first = at + 2;
                rule.clear();
            }
        }
    }
    out
}

/// What a rule runs. It formats or mounts a partition of the system's disk if nothing in it is for
/// other disks.
fn of_rule(files: &Files<'_>, rule: &str, path: &str, line: usize) -> Vec<Entry> {
    let parts = parts(rule);
    let removed = |(key, value): &Part| key == "ACTION==" && value == "remove";
    if parts.iter().any(removed) {
        return Vec::new();
    }
    let ours = is_own(path) && is_for_disks(&parts) && !is_for_others(&parts);
    let entry = |kind, found| Entry {
        kind,
        name: path.to_owned(),
        found,
    };
    let mut out = Vec::new();
    for (key, value) in parts.iter().filter(|(key, _)| !is_match(key)) {
        let mut all = Vec::new();
        if key.starts_with("RUN") && !key.starts_with("RUN{builtin}") {
            all.push(files.commands(value, path, line));
        }
        if key.starts_with("ENV{SYSTEMD_WANTS}") {
            let units = value.split_whitespace();
            let units = units.filter_map(|name| Unit::load(files.root, name));
            let units = units.filter(|unit| files.may_start(unit));
            all.extend(units.map(|unit| files.service(&unit)));
        }
        for found in all {
            let mut found = found.under_condition();
            if ours {
                let changes = |act| matches!(act, Act::Repartition | Act::Resize);
                let findings = std::mem::take(&mut found.findings).into_iter();
                let (mine, rest) = findings.partition(|finding| changes(finding.act));
                let formats = Found {
                    findings: mine,
                    ..found.clone()
                };
                out.push(entry(EntryKind::Own, formats));
                found.findings = rest;
                found.findings.extend(std::mem::take(&mut found.mounts));
            }
            out.push(entry(EntryKind::Event, found));
        }
    }
    out
}

fn is_match(key: &str) -> bool {
    key.ends_with("==") || key.ends_with("!=")
}

/// Whether a rule is about disks or partitions.
fn is_for_disks(parts: &[Part]) -> bool {
    parts.iter().any(|(key, value)| match key.as_str() {
        "SUBSYSTEM==" | "SUBSYSTEMS==" => value == "block",
        "KERNEL==" => value.split('|').any(names_disks),
        "ATTR{partition}==" => true,
        _ => {
            let starts = ["ENV{ID_PART_", "ENV{ID_FS_", "ENV{PARTN", "ENV{DEVTYPE}"];
            is_match(key) && starts.iter().any(|start| key.starts_with(start))
        }
    })
}

/// Whether a pattern of names can be that of the system's disk.
fn names_disks(pattern: &str) -> bool {
    DISKS.iter().any(|(disk, separator)| {
        let mut partitions = 1..=PARTITIONS;
        matches(pattern, disk)
            || partitions.any(|number| matches(pattern, &format!("{disk}{separator}{number}")))
    })
}

/// Whether a rule is for disks that are plugged in, or of another name.
fn is_for_others(parts: &[Part]) -> bool {
    parts.iter().any(|(key, value)| match key.as_str() {
        "KERNEL==" => !value.split('|').any(names_disks),
        "SUBSYSTEMS==" | "DRIVERS==" | "ENV{ID_BUS}==" => value.starts_with("usb"),
        "ATTR{removable}==" | "ATTRS{removable}==" => value == "1",
        "ENV{ID_PATH}==" => value.contains("usb"),
        _ => key.starts_with("ENV{ID_USB_") && key.ends_with("=="),
    })
}

/// The keys of a rule with their operators, and their values.
fn parts(rule: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut rest = rule;
    while let Some((key, after)) = rest.split_once('"') {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                _ => value.push(c),
            }
        }
        let key = key.trim_matches([',', ' ', '\t']).replace(' ', "");
        out.push((key, value));
        rest = &after[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_rule() {
        let rule = "ACTION==\"add\", ATTR{x} != \"y\", RUN+=\"/bin/sh -c 'echo \\\"a, b\\\"'\", NAME=\"n\"";
        let expected = [
            ("ACTION==", "add"),
            ("ATTR{x}!=", "y"),
            ("RUN+=", "/bin/sh -c 'echo \"a, b\"'"),
            ("NAME=", "n"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parts(rule), expected);
    }

    #[test]
    fn rules_for_the_disk_of_the_system_and_for_others() {
        let cases = [
            ("SUBSYSTEM==\"block\", ENV{ID_FS_TYPE}==\"\"", true),
            ("ENV{ID_PART_ENTRY_NUMBER}==\"3\"", true),
            ("KERNEL==\"sd[a-z][0-9]\"", true),
            ("KERNEL==\"mmcblk0p3\"", true),
            ("KERNEL==\"sd[b-z]?\", SUBSYSTEM==\"block\"", false),
            ("SUBSYSTEM==\"block\", SUBSYSTEMS==\"usb\"", false),
            (
                "SUBSYSTEM==\"block\", ENV{ID_USB_DRIVER}==\"usb-storage\"",
                false,
            ),
            ("SUBSYSTEM==\"net\"", false),
        ];
        for (rule, expected) in cases {
            let parts = parts(rule);
            assert_eq!(
                is_for_disks(&parts) && !is_for_others(&parts),
                expected,
                "{rule}"
            );
        }
    }
}
