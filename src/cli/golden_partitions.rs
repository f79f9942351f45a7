//! The table of the golden image's partitions in the output of `goldsmith plan`.

use crate::convert::golden_record::{AreaRecord, GoldenPartitionRecord};
use crate::units::human;
use std::fmt::Write;

/// The least widths of the columns of labels and of mount points, and the most that long ones get
/// (characters).
const LABEL: (usize, usize) = (12, 24);
const MOUNTED: (usize, usize) = (20, 40);

/// Adds the table: number, name, size, fate, content and what mounts it.
pub(super) fn table(out: &mut String, partitions: &[GoldenPartitionRecord], areas: &[AreaRecord]) {
    let label = |part: &GoldenPartitionRecord| match part.label.is_empty() {
        true => part.name.trim_end().to_owned(),
        false => part.label.trim_end().to_owned(),
    };
    let labels: Vec<String> = partitions.iter().map(label).collect();
    let mounts: Vec<String> = partitions.iter().map(mounted).collect();
    let (wide, far) = (width(&labels, LABEL), width(&mounts, MOUNTED));
    let _ = writeln!(out, "\nGolden partitions");
    let _ = writeln!(
        out,
        "  {:<3} {:<wide$} {:>12}  {:<8} {:<far$} content",
        "#", "label", "size", "fate", "mounted on"
    );
    for ((part, label), mounted) in partitions.iter().zip(&labels).zip(&mounts) {
        let _ = writeln!(
            out,
            "  {:<3} {label:<wide$} {:>12}  {:<8} {mounted:<far$} {}",
            part.number,
            human(part.size),
            part.fate,
            content(part)
        );
    }
    for area in areas {
        let _ = writeln!(
            out,
            "  {:<3} {:<wide$} {:>12}  {:<8} {:<far$} bytes {} to {}, outside the partitions",
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

/// The width of a column with these texts.
fn width(texts: &[String], (least, most): (usize, usize)) -> usize {
    let longest = texts.iter().map(|text| text.chars().count()).max();
    longest.unwrap_or(0).clamp(least, most)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::golden_record::MountRecord;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let part = |number, dir: &str| GoldenPartitionRecord {
            number,
            start: 0,
            size: 1 << 20,
            kind: String::new(),
            name: String::new(),
            content: "ext4".into(),
            label: String::new(),
            used: None,
            entries: Vec::new(),
            unreadable: None,
            mounts: vec![MountRecord {
                dir: dir.into(),
                by: "/etc/fstab line 2".into(),
            }],
            fate: "boot",
            path: None,
            configured: false,
        };
        let columns = |dirs: [&str; 2]| {
            let mut out = String::new();
            table(&mut out, &dirs.map(|dir| part(1, dir)), &[]);
            let lines = out.lines().skip(2);
            let ends: Vec<_> = lines
                .map(|line| line.rfind("content").or(line.rfind("ext4")))
                .collect();
            ends
        };
        assert_eq!(columns(["/", "/boot"]), [Some(63); 3]);
        assert_eq!(columns(["/", "/boot/firmware"]), [Some(67); 3]);
        // A longer one stands out alone.
        let long = format!("/{}", "x".repeat(60));
        assert_eq!(columns(["/", &long])[..2], [Some(83); 2]);
    }
}
