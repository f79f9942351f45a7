//! An image and the record of the conversion that made it: the partitions are where it says, and
//! the edits that it lists are in the filesystems.

use super::compatibility::not_a_record;
use super::disk::{Disk, Roles};
use super::finding::{Location, Log, Severity};
use crate::tree::show;
use serde_json::Value;
use std::collections::BTreeSet;

/// Compares the image with `record`.
pub(super) fn check(record: &Value, disk: &Disk, roles: &Roles, log: &mut Log) {
    log.group("record");
    if let Some(reason) = not_a_record(record) {
        let text = format!("the record {reason}");
        log.add(
            Severity::Error,
            "record-unreadable",
            Location::whole(),
            text,
        );
        return;
    }
    for partition in list(record.pointer("/disk/partitions")) {
        check_partition(partition, disk, log);
    }
    let edits = list(record.get("edits"));
    for (filesystem, numbers) in [
        ("root", vec![roles.a, roles.b]),
        ("boot", roles.boot.into_iter().collect()),
        ("data", vec![roles.data]),
    ] {
        let own = |edit: &&Value| text(edit, "filesystem") == filesystem;
        let own: Vec<&Value> = edits.iter().filter(own).collect();
        for number in numbers {
            check_edits(&own, number, disk, log);
        }
    }
}

/// The partition of the record is in the table.
fn check_partition(recorded: &Value, disk: &Disk, log: &mut Log) {
    let value = |name: &str| recorded.get(name).and_then(Value::as_u64);
    let Some(number) = value("number").and_then(|number| u32::try_from(number).ok()) else {
        return;
    };
    let found = disk
        .table
        .partitions
        .iter()
        .find(|one| one.number == number);
    let bytes = found.map(|one| one.bytes());
    let (start, size) = (value("start"), value("size"));
    let partuuid = disk.table.partuuid(number).unwrap_or_default();
    let same_range = bytes.as_ref().is_some_and(|bytes| {
        Some(bytes.start) == start && Some(bytes.end.saturating_sub(bytes.start)) == size
    });
    let wanted = text(recorded, "partuuid");
    let same = same_range && partuuid.eq_ignore_ascii_case(wanted);
    log.check(same, "record-partition", || {
        let found = match bytes {
            Some(bytes) => format!(
                "bytes {} to {}, PARTUUID {partuuid}",
                bytes.start, bytes.end
            ),
            None => "no such partition".to_owned(),
        };
        let text = format!(
            "the record has {} bytes from {}, PARTUUID {wanted}; the disk has {found}",
            size.unwrap_or_default(),
            start.unwrap_or_default()
        );
        (Location::partition(number), text)
    });
}

/// What was added or changed is there, what was removed is not. An empty slot has no files.
fn check_edits(edits: &[&Value], number: u32, disk: &Disk, log: &mut Log) {
    let Some(files) = disk.files(number) else {
        return;
    };
    // FAT tells upper from lower case for people alone.
    let name = |path: &str| match files.is_fat {
        true => path.to_ascii_lowercase(),
        false => path.to_owned(),
    };
    let mut paths = BTreeSet::new();
    files.tree.visit(&mut |path, _| {
        paths.insert(name(&show(path)));
    });
    for edit in edits {
        let (path, action) = (text(edit, "path"), text(edit, "action"));
        let holds = paths.contains(&name(path)) == (action != "removed");
        log.check(holds, "record-edit", || {
            let state = match action {
                "removed" => "but it is there",
                _ => "but it is missing",
            };
            let reason = text(edit, "reason");
            let text = format!("the record says that it was {action} ({reason}), {state}");
            (Location::partition(number).path(path), text)
        });
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
