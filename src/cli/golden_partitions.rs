//! The table of the golden image's partitions in the output of `goldsmith plan`.

use crate::convert::golden_record::{AreaRecord, GoldenPartitionRecord};
use crate::units::human;
use std::fmt::Write;

/// Adds the table: number, name, size, fate, content and what mounts it.
pub(super) fn table(out: &mut String, partitions: &[GoldenPartitionRecord], areas: &[AreaRecord]) {
    let _ = writeln!(out, "\nGolden partitions");
    let _ = writeln!(
        out,
        "  {:<3} {:<12} {:>12}  {:<8} {:<20} content",
        "#", "label", "size", "fate", "mounted on"
    );
    for part in partitions {
        let label = if part.label.is_empty() {
            &part.name
        } else {
            &part.label
        };
        let _ = writeln!(
            out,
            "  {:<3} {:<12} {:>12}  {:<8} {:<20} {}",
            part.number,
            label.trim_end(),
            human(part.size),
            part.fate,
            mounted(part),
            content(part)
        );
    }
    for area in areas {
        let _ = writeln!(
            out,
            "  {:<3} {:<12} {:>12}  {:<8} {:<20} bytes {} to {}, outside the partitions",
            "-",
            "",
            human(area.size),
            area.fate,
            "",
            area.start,
            area.start.saturating_add(area.size).saturating_sub(1)
        );
    }
}

/// Where it is mounted and by what.
fn mounted(part: &GoldenPartitionRecord) -> String {
    let mounts: Vec<String> = part
        .mounts
        .iter()
        .map(|mount| {
            let by = mount.by.replace("/etc/fstab line ", "fstab:");
            format!("{} ({by})", mount.dir)
        })
        .collect();
    if mounts.is_empty() {
        "nothing".to_owned()
    } else {
        mounts.join(", ")
    }
}

/// Format, used space, and the first names in the top directory.
fn content(part: &GoldenPartitionRecord) -> String {
    const SHOWN: usize = 8;
    let mut text = part.content.clone();
    if let Some(used) = part.used {
        let _ = write!(text, ", {} used", human(used));
    }
    if let Some(why) = &part.unreadable {
        let _ = write!(text, ", not readable: {why}");
    }
    let mut names: Vec<&str> = part
        .entries
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect();
    if part.entries.len() > SHOWN {
        names.push("...");
    }
    if !names.is_empty() {
        let _ = write!(text, ": {}", names.join(" "));
    }
    if let Some(path) = &part.path {
        let _ = write!(text, " -> {path}");
    }
    text
}
