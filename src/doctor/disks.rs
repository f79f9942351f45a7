//! Lines of configuration whose devices the converted disk does not have.

use super::{Finding, codes};
use crate::edit::references::row::{Row, Treatment};
use crate::golden::Golden;
use crate::golden::fstab::{FstabLine, same_dir};
use crate::golden::references::{gather, units};
use crate::stamp::Time;
use crate::tree::{Stat, Tree};

/// Findings about lines that name a partition of the golden disk which is neither its root nor its
/// boot partition. Only the plan knows what becomes of the others: see [`references`].
pub(super) fn examine(golden: &Golden) -> Vec<Finding> {
    let names = golden.partition_names();
    let own = [
        Some(golden.root.partition.number),
        golden.boot.as_ref().map(|boot| boot.partition.number),
    ];
    let merged = |number: u32| {
        let mut facts = golden.partitions.iter();
        facts.any(|facts| facts.number == number && matches!(facts.merged, Some(Ok(_))))
    };
    let mut places = Vec::new();
    let mut foreign = Vec::new();
    let mut look = |place: String, spec: &str| {
        if let Some(number) = names.partition(spec)
            && !own.contains(&Some(number))
            && !merged(number)
        {
            places.push((place, format!("{spec} is partition {number}")));
        }
    };
    let root = &golden.root.tree;
    let bytes = root.read("/etc/fstab", super::TEXT_LIMIT).ok().flatten();
    let fstab = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    for (at, line) in (1..).zip(fstab.lines()) {
        if let Some(line) = FstabLine::parse(line) {
            look(format!("/etc/fstab:{at}"), line.spec);
            if is_foreign(&line) && names.partition(line.spec).is_none() {
                let value = format!("{} is not on the golden disk", line.spec);
                foreign.push((format!("/etc/fstab:{at}"), value));
            }
        }
    }
    for unit in units::mount_units(root) {
        if let Some(what) = unit.what.filter(|_| !unit.masked) {
            look(format!("{}:{}", what.file, what.line), &what.value);
        }
    }
    let none = Tree::new(Stat::root(0o755, Time::default()));
    let boot = golden.boot.as_ref().map_or(&none, |boot| &boot.tree);
    for one in gather(root, boot) {
        look(one.place(), &one.text);
    }
    places.extend(foreign);
    let text =
        "these lines name partitions of the golden disk that the converted disk may not have";
    match places.is_empty() {
        true => Vec::new(),
        false => vec![Finding::new(&codes::DEVICE_GONE, text).all(places)],
    }
}

/// Whether the system waits at each start for a device that this line names; the lines for root and
/// boot partition are made anew.
fn is_foreign(line: &FstabLine<'_>) -> bool {
    let tags = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/"];
    let optional = |option: &str| matches!(option, "nofail" | "noauto");
    let ours = same_dir(line.dir, "/") || line.dir.starts_with("/boot");
    let waits = !line.options.split(',').any(optional);
    tags.iter().any(|tag| line.spec.starts_with(tag)) && waits && !ours
}

/// The findings with what the plan decided: the references of the system that are taken out, or
/// that only their owner can take out. They take the place of those that only the golden image
/// shows.
#[must_use]
pub fn references(findings: Vec<Finding>, rows: &[Row]) -> Vec<Finding> {
    let gone = |row: &&Row| matches!(row.action, Treatment::Removed | Treatment::Noted);
    let places = rows.iter().filter(gone).map(|row| {
        let device = match row.converted.as_str() {
            "" => "is not on the converted disk".to_owned(),
            other => format!("is {other} there"),
        };
        let done = match row.action {
            Treatment::Removed => "a conversion takes the line out",
            _ => "a conversion leaves the line",
        };
        (row.place(), format!("{} {device}; {done}", row.what))
    });
    let places: Vec<(String, String)> = places.collect();
    let other = |finding: &Finding| finding.code != codes::DEVICE_GONE.name;
    let mut out: Vec<Finding> = findings.into_iter().filter(other).collect();
    if !places.is_empty() {
        let text = "these lines name devices that the converted disk does not have, or that are others there";
        out.push(Finding::new(&codes::DEVICE_GONE, text).all(places));
    }
    super::sorted(out)
}
