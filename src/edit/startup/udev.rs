//! Rules of udev: what they run for a device, and the services that they start.

use super::acts::Act;
use super::entry::{Entry, EntryKind};
use super::follow::{Files, Found, is_own};
use super::udev_events::Reach;
use super::units::Unit;
use crate::golden::udev_rules::{self, Rule, Started};

/// Where programs are that a rule names without a directory.
const PROGRAMS: [&str; 2] = ["/usr/lib/udev", "/lib/udev"];

/// Rules of udev: what they run, and the services that they start.
pub(super) fn rules(files: &Files<'_>) -> Vec<Entry> {
    let rules = udev_rules::rules(files.root).into_iter();
    rules.flat_map(|rule| of_rule(files, &rule)).collect()
}

/// What a rule runs. It formats or mounts a partition of the system's disk if nothing in it is for
/// other disks; what it runs at each start does not depend on an event.
fn of_rule(files: &Files<'_>, rule: &Rule) -> Vec<Entry> {
    let entry = |kind, found| Entry {
        kind,
        name: rule.file.clone(),
        found,
    };
    let mut out = Vec::new();
    for (started, value) in rule.started() {
        let reach = Reach::new(rule, started);
        if !reach.is_possible {
            continue;
        }
        for found in runs(files, rule, started, value) {
            let mut found = match reach.is_sure {
                true => found,
                false => found.under_condition(),
            };
            let own = is_own(&rule.file);
            if own && (reach.is_own_disk || reach.is_sure_on_disk) {
                let changes =
                    |act| reach.is_sure_on_disk || matches!(act, Act::Repartition | Act::Resize);
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

/// What a value of a rule runs.
fn runs(files: &Files<'_>, rule: &Rule, started: Started, value: &str) -> Vec<Found> {
    if started == Started::Unit {
        let units = value.split_whitespace();
        let units = units.filter_map(|name| Unit::load(files.root, name));
        let units = units.filter(|unit| files.may_start(unit));
        return units.map(|unit| files.service(&unit)).collect();
    }
    let name = value.split_whitespace().next().unwrap_or_default();
    let mut paths = PROGRAMS.iter().map(|dir| format!("{dir}/{name}"));
    let path = paths.find(|path| !name.contains('/') && files.root.file(path).is_some());
    let command = match path {
        Some(path) => value.replacen(name, &path, 1),
        None => value.to_owned(),
    };
    vec![files.commands(&command, &rule.file, rule.first)]
}

#[cfg(test)]
mod tests {
    use super::super::tests::repaired;

    const REBOOT: &str = "#!/bin/sh\nreboot\n";

    /// The problems and notes of these files.
    fn repaired_files(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let (_, notes, problems) = repaired(files);
        (problems, notes)
    }

    /// The place of what acts on each start by these rules, or in a file that they run.
    fn of_rules(text: &str) -> Option<String> {
        let files = [
            ("/etc/udev/rules.d/9.rules", text),
            ("/opt/act", REBOOT),
            ("/usr/lib/udev/act", REBOOT),
        ];
        let (problems, _) = repaired_files(&files);
        let place = problems.first()?.split_once(": ")?.0;
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        Some(place.to_owned())
    }

    #[test]
    fn rules_are_read_as_udev_reads_them() {
        let rules = "/etc/udev/rules.d/9.rules";
        for (text, line) in [
            ("# x \\\nACTION==\"add\", RUN+=\"/sbin/reboot\"\n", 2),
            (
                "# x\nACTION==\"add\", \\\n# between \\\n  RUN+=\"/sbin/reboot\"\n",
                2,
            ),
            ("RUN+=\"/sbin/sfdisk --delete /dev/sda 1\"\n", 1),
            (
                "ACTION==\"add\", RUN+=\"/sbin/sfdisk --delete /dev/sda 1\"\n",
                1,
            ),
            ("RUN+=e\"/sbin/\\x72eboot\\t-f\"\n", 1),
            ("RUN{program}:=\"/sbin/reboot\"\n", 1),
            (
                "SUBSYSTEM==\"block\", PROGRAM==\"/sbin/reboot\", RESULT==\"x\"\n",
                1,
            ),
            ("SUBSYSTEM==\"net\", IMPORT{program}=\"/sbin/reboot\"\n", 1),
            ("KERNEL==\"sda\", RUN+=\"/sbin/reboot\"\n", 1),
            (
                "ACTION!=\"add\", GOTO=\"end\"\nSUBSYSTEM!=\"block\", GOTO=\"end\"\nRUN+=\"/sbin/reboot\"\nLABEL=\"end\"\n",
                3,
            ),
            (
                "KERNEL!=\"mmcblk0p3\", GOTO=\"end\"\nENV{A}==\"1\", RUN+=\"/sbin/mkfs.ext4 /dev/%k\"\nLABEL=\"end\"\n",
                2,
            ),
        ] {
            assert_eq!(of_rules(text), Some(format!("{rules}:{line}")), "{text}");
        }
        // A program without a directory is one of udev's.
        assert_eq!(
            of_rules("RUN+=\"act %k\"\n").as_deref(),
            Some("/usr/lib/udev/act:2")
        );
        for text in [
            "GOTO=\"end\"\nRUN+=\"/sbin/reboot\"\nLABEL=\"end\"\n",
            "SUBSYSTEMS!=\"usb\", GOTO=\"end\"\nKERNEL==\"sd*\", RUN+=\"/sbin/mkfs.vfat /dev/%k\"\nLABEL=\"end\"\n",
            "ACTION==\"remove\", PROGRAM==\"/sbin/reboot\"\n",
            "RUN-=\"/sbin/reboot\"\n",
            "ENV{SYSTEMD_WANTS}==\"x.service\"\n",
        ] {
            assert_eq!(of_rules(text), None, "{text}");
        }
    }

    #[test]
    fn rules_that_a_file_of_the_owner_replaces_do_not_run() {
        let rule = "RUN+=\"/sbin/reboot\"\n";
        let package = ("/usr/lib/udev/rules.d/9.rules", rule);
        let (problems, _) = repaired_files(&[package]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (problems, notes) =
            repaired_files(&[package, ("/etc/udev/rules.d/9.rules", "->/dev/null")]);
        assert!(
            problems.is_empty() && notes.is_empty(),
            "{problems:?} {notes:?}"
        );
    }
}
