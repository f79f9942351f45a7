//! What a conversion read, left out, changed and checked, line by line, for those who look for the
//! reason of something ([`Report::detail`]).

use super::Prepared;
use super::golden_record::{GoldenPartitionRecord, partitions};
use crate::edit::changes::NetChange;
use crate::report::Report;
use crate::units::human;
use crate::verify::CheckGroup;
use std::collections::BTreeMap;

/// Tells what was read of the golden image, the packages, and the edits by their reasons.
pub(super) fn prepared(prepared: &Prepared, report: &dyn Report) {
    for partition in partitions(prepared) {
        report.detail(&read(&partition));
    }
    for package in &prepared.edited.packages {
        report.detail(&format!(
            "package {} {} ({}) from {}, SHA-256 {}",
            package.name, package.version, package.architecture, package.file, package.sha256
        ));
    }
    for line in edits(&prepared.edited.changes) {
        report.detail(&line);
    }
}

/// Tells how many checks there were.
pub(super) fn checked(groups: &[CheckGroup], report: &dyn Report) {
    for group in groups {
        report.detail(&group.to_string());
    }
}

/// A partition of the golden image, and what becomes of it.
fn read(partition: &GoldenPartitionRecord) -> String {
    let used = match (partition.used, &partition.unreadable) {
        (_, Some(why)) => format!(", not readable: {why}"),
        (Some(used), None) => format!(", {} used", human(used)),
        (None, None) => String::new(),
    };
    format!(
        "golden partition {}: {}, {}{used}: {}",
        partition.number,
        human(partition.size),
        partition.content,
        partition.fate
    )
}

/// A line for each filesystem, action and reason, with the number of paths and the first of them.
fn edits(changes: &[NetChange]) -> Vec<String> {
    let mut groups: BTreeMap<(&str, &str, &str), (u64, &str)> = BTreeMap::new();
    for change in changes {
        let key = (change.reason.as_str(), change.filesystem, change.action);
        let group = groups.entry(key).or_insert((0, &change.path));
        group.0 += 1;
    }
    let line =
        |((reason, filesystem, action), (count, first)): (&(&str, &str, &str), &(u64, &str))| {
            let more = match count - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{action} in {filesystem}: {first}{more} ({reason})")
        };
    groups.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_one_reason_are_one_line() {
        let change = |action, path: &str, reason: &str| NetChange {
            filesystem: "root",
            path: path.to_owned(),
            action,
            reason: reason.to_owned(),
        };
        let changes = [
            change("added", "/a", "package x"),
            change("changed", "/b", "fstab"),
            change("added", "/c", "package x"),
        ];
        assert_eq!(
            edits(&changes),
            [
                "changed in root: /b (fstab)",
                "added in root: /a and 1 more (package x)"
            ]
        );
    }
}
