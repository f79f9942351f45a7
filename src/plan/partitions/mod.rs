//! What becomes of each partition of the golden image, and of the bytes outside them: nothing is
//! left behind without a name.

mod decide;
#[cfg(test)]
mod tests;

use crate::config::{Config, Partition, PartitionAction};
use crate::golden::Golden;
use crate::golden::areas::{Area, Position};
use crate::golden::disk::GoldenPartition;
use crate::golden::partitions::{MergeRequest, PartitionFacts, PartitionName};
use crate::golden::start_images::is_barebox;
use crate::plan::boot::BootPlan;
use crate::plan::layout::Margins;
use crate::plan::raw::RawPlan;
use crate::platform::{Bootloader, TableKind};
use crate::problem::{Problem, Problems};
use crate::units::{SECTOR, human};
use std::ops::Range;

/// The end of a GPT with the usual 128 entries (bytes).
pub const GPT_END: u64 = 34 * SECTOR;
/// The end of an MBR (bytes).
pub const MBR_END: u64 = SECTOR;

/// What becomes of a partition of the golden image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its files are those of the boot partition.
    Boot,
    /// Its files are those of both root filesystems.
    Root,
    /// Its bytes are copied to the same offset, outside the new partitions.
    Copied,
    /// Its files become a part of the root filesystem, in this directory.
    Merged(String),
    /// Its files are moved to the data partition, and mounted on this directory.
    Data(String),
    /// It is left out.
    Dropped,
}

impl Fate {
    /// The name in tables and records.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Root => "root",
            Self::Copied => "copied",
            Self::Merged(_) => "merged",
            Self::Data(_) => "data",
            Self::Dropped => "dropped",
        }
    }

    /// The directory of the device's system on which its files are, if they are.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Merged(path) | Self::Data(path) => Some(path),
            _ => None,
        }
    }
}

/// A partition of the golden image and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Its number in the table of the golden image, from 1.
    pub number: u32,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether the configuration says so.
    pub configured: bool,
    /// Its bytes on the golden disk.
    pub range: Range<u64>,
    /// Its name in messages, with number, label, size and content.
    pub description: String,
}

/// A range outside the partitions of the golden image that holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AreaPlan {
    /// All of it (bytes).
    pub range: Range<u64>,
    /// Whether it is copied to the same offset; otherwise it is left out.
    pub copied: bool,
}

/// What becomes of the golden disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionPlans {
    /// All partitions, in the order of the golden table.
    pub partitions: Vec<PartitionPlan>,
    /// What is outside them, by offset.
    pub areas: Vec<AreaPlan>,
    /// Sentences about everything that does not simply become boot or root.
    pub notes: Vec<String>,
}

/// The parts of the plan that decide where copied bytes may be.
#[derive(Clone, Debug)]
pub(super) struct Room<'p> {
    /// The boot loader and where its environment is.
    pub(super) boot: &'p BootPlan,
    /// Bytes that the configuration places.
    pub(super) raw: &'p RawPlan,
    /// The kind of the new table.
    pub(super) scheme: TableKind,
    /// The alignment of the new partitions (bytes).
    pub(super) alignment: u64,
}

impl Room<'_> {
    /// The bytes in front of the first new partition.
    fn free(&self) -> Range<u64> {
        let start = match self.scheme {
            TableKind::Gpt => GPT_END,
            TableKind::Mbr => MBR_END,
        };
        let head = Margins::of(self.boot.loader).head;
        start..head.saturating_mul(self.alignment)
    }

    /// Whether the device starts with a U-Boot of any kind.
    fn is_u_boot(&self) -> bool {
        self.boot.loader != Bootloader::GrubEfi
    }
}

/// The requests of `config` that partitions be merged, which reading the golden image carries out.
#[must_use]
pub fn merge_requests(config: &Config) -> Vec<MergeRequest> {
    let merged = |entry: &&Partition| entry.r#do == PartitionAction::Merge;
    config
        .partition
        .iter()
        .filter(merged)
        .map(|entry| MergeRequest {
            partition: name(entry),
            path: entry.path.clone(),
        })
        .collect()
}

/// The problem of a system that lacks its `/usr`, which is on a partition that is not merged:
/// without it, nothing else can be decided.
#[must_use]
pub(super) fn missing_usr(golden: &Golden) -> Option<Problem> {
    let mut partitions = golden.partitions.iter();
    let facts = partitions.find(|facts| facts.mount_point() == Some("/usr"))?;
    let number = facts.number;
    let message = format!(
        "partition {number} ({}) is mounted on /usr: without it the system is incomplete",
        facts.contents.describe()
    );
    let hint = format!(
        "make its files a part of both root filesystems:\n[[partition]]\nnumber = {number}\n\
         do = \"merge\""
    );
    Some(Problem::new(message).hint(hint))
}

fn name(entry: &Partition) -> PartitionName {
    PartitionName {
        number: entry.number,
        label: entry.label.clone(),
    }
}

impl PartitionPlans {
    /// # Errors
    /// Entries of the configuration that name no partition or cannot be followed; partitions that
    /// must not be left out unless the configuration says so.
    pub(super) fn new(config: &Config, golden: &Golden, room: &Room<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut plans = Self::default();
        let entries = entries(config, golden, &mut problems);
        for (partition, facts) in golden.disk.partitions.iter().zip(&golden.partitions) {
            let number = partition.number;
            let entry = entries.iter().find(|(found, _)| *found == number);
            let subject = Subject {
                golden,
                partition,
                facts,
                room,
            };
            let decided = match entry {
                _ if subject.is_root() => Ok(Decision::new(Fate::Root)),
                _ if subject.is_boot() => Ok(Decision::new(Fate::Boot)),
                Some((_, entry)) => subject.configured(entry),
                None => subject.default(),
            };
            let decision = match decided {
                Ok(decision) => decision,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            plans.notes.extend(decision.note);
            plans.partitions.push(PartitionPlan {
                number,
                fate: decision.fate,
                configured: entry.is_some(),
                range: subject.range(),
                description: subject.describe(),
            });
        }
        let boot = golden.boot.as_ref();
        plans
            .notes
            .extend(boot.and_then(|boot| boot.chosen.clone()));
        conflicts(&plans.partitions, &mut problems);
        problems.0.extend(barebox(golden, room));
        problems.check()?;
        for area in &golden.areas {
            let (area, note) = outside(area, golden, room);
            plans.areas.push(area);
            plans.notes.extend(note);
        }
        Ok(plans)
    }

    /// What becomes of the partition with this number of the golden image.
    #[must_use]
    pub fn fate(&self, number: u32) -> Option<&Fate> {
        let mut found = self.partitions.iter().filter(|plan| plan.number == number);
        found.next().map(|plan| &plan.fate)
    }

    /// The directory of the data partition, as the device sees it, for files that are mounted on
    /// `path`.
    #[must_use]
    pub fn data_dir(path: &str) -> String {
        if path == "/data" || path.starts_with("/data/") {
            path.to_owned()
        } else {
            format!("/data{path}")
        }
    }
}

/// The decision about one partition, with a note where it is not plain.
struct Decision {
    fate: Fate,
    note: Option<String>,
}

impl Decision {
    fn new(fate: Fate) -> Self {
        Self { fate, note: None }
    }
}

/// A partition to decide about.
struct Subject<'g> {
    golden: &'g Golden,
    partition: &'g GoldenPartition,
    facts: &'g PartitionFacts,
    room: &'g Room<'g>,
}

impl Subject<'_> {
    fn is_root(&self) -> bool {
        self.partition.number == self.golden.root.partition.number
    }

    fn is_boot(&self) -> bool {
        let boot = self.golden.boot.as_ref();
        boot.is_some_and(|boot| boot.partition.number == self.partition.number)
    }

    fn range(&self) -> Range<u64> {
        let start = self.partition.start;
        start..start.saturating_add(self.partition.len)
    }

    /// The label of the filesystem, or else the name in the table.
    fn label(&self) -> &str {
        let label = self.facts.contents.label.as_str();
        if label.is_empty() {
            &self.partition.name
        } else {
            label
        }
    }

    /// Number, label, size and content.
    fn describe(&self) -> String {
        let label = self.label();
        let label = if label.is_empty() {
            String::new()
        } else {
            format!(" {label:?}")
        };
        format!(
            "partition {}{label} ({}, {})",
            self.partition.number,
            human(self.partition.len),
            self.facts.contents.describe()
        )
    }

    /// What mounts it and where, for messages.
    fn mounted(&self) -> String {
        let mounts = self.facts.mounts.iter();
        let each: Vec<String> = mounts
            .map(|mount| {
                if mount.dir.starts_with('/') {
                    format!("mounted on {} by {}", mount.dir, mount.by)
                } else {
                    format!("used by {}", mount.by)
                }
            })
            .collect();
        if each.is_empty() {
            "mounted by nothing".to_owned()
        } else {
            each.join(" and ")
        }
    }
}

/// The entries of the configuration with the number of the partition that each names.
fn entries<'c>(
    config: &'c Config,
    golden: &Golden,
    problems: &mut Problems,
) -> Vec<(u32, &'c Partition)> {
    let mut entries: Vec<(u32, &Partition)> = Vec::new();
    for entry in &config.partition {
        let number = entry.number.map(|number| number.to_string());
        let label = entry.label.as_ref();
        let label = label.map(|label| format!("with the label {label:?}"));
        let wanted: Vec<String> = number.into_iter().chain(label).collect();
        let wanted = wanted.join(" ");
        let found = name(entry).find(&golden.disk, &golden.partitions);
        let numbers: Vec<String> = found.iter().map(|facts| facts.number.to_string()).collect();
        match found.as_slice() {
            [only] if entries.iter().any(|(number, _)| *number == only.number) => {
                problems.push(Problem::new(format!(
                    "[[partition]]: partition {} has two entries",
                    only.number
                )));
            }
            [only] => entries.push((only.number, entry)),
            [] => {
                let all: Vec<String> = golden
                    .disk
                    .partitions
                    .iter()
                    .map(GoldenPartition::describe)
                    .collect();
                let message = format!(
                    "[[partition]]: the golden image has no partition {wanted}; it has {}",
                    all.join(", ")
                );
                let hint = "remove the entry, or name one of these partitions by number";
                problems.push(Problem::new(message).hint(hint));
            }
            _ => {
                let message = format!(
                    "[[partition]]: the golden image has several partitions {wanted}: {}",
                    numbers.join(", ")
                );
                problems.push(Problem::new(message).hint("name one of them by number"));
            }
        }
    }
    for (number, entry) in &entries {
        let boot = golden.boot.as_ref().map(|boot| boot.partition.number);
        let role = if *number == golden.root.partition.number {
            "root"
        } else if Some(*number) == boot {
            "boot"
        } else {
            continue;
        };
        let message = format!(
            "[[partition]]: partition {number} is the {role} partition of the golden image; \
             do = \"{}\" cannot apply",
            decide::action(entry.r#do)
        );
        let hint = format!("remove the entry, or select another one with {role}.partition");
        problems.push(Problem::new(message).hint(hint));
    }
    entries
}

/// Partitions whose directories exclude each other.
fn conflicts(partitions: &[PartitionPlan], problems: &mut Problems) {
    for (at, one) in partitions.iter().enumerate() {
        let Some(path) = one.fate.path() else {
            continue;
        };
        let rest = partitions.get(at + 1..).unwrap_or_default();
        if let Some(other) = rest.iter().find(|other| other.fate.path() == Some(path)) {
            let message = format!(
                "[[partition]]: the files of {} and of {} would both be in {path}",
                one.description, other.description
            );
            problems.push(Problem::new(message).hint("choose another `path` for one of them"));
        }
        let above = partitions.iter().find(|other| {
            let Fate::Data(dir) = &other.fate else {
                return false;
            };
            path.starts_with(&format!("{dir}/"))
        });
        if let (Fate::Merged(_), Some(above)) = (&one.fate, above) {
            let message = format!(
                "[[partition]]: the files of {} would be merged into {path}, which the data \
                 partition hides, where the files of {} are",
                one.description, above.description
            );
            let hint = format!(
                "set do = \"data\" for partition {}, or do = \"merge\" for both",
                one.number
            );
            problems.push(Problem::new(message).hint(hint));
        }
    }
}

/// The problem of a barebox in front of the partitions, which would be copied: it does not run the
/// boot script.
fn barebox(golden: &Golden, room: &Room<'_>) -> Option<Problem> {
    let area = golden.areas.iter().find(|area| {
        let (plan, _) = outside(area, golden, room);
        plan.copied && is_barebox(&golden.disk.source, area.range.start, area.range.end)
    })?;
    let message = format!(
        "bytes {} to {} of the golden image, in front of the first partition, hold barebox, which \
         does not run the boot script that chooses between the root filesystems",
        area.range.start,
        area.range.end.saturating_sub(1)
    );
    let hint = "place a U-Boot for the board with [[raw]] where the device has none elsewhere, and \
                set boot.copy-gap = false";
    Some(Problem::new(message).hint(hint))
}

/// What becomes of an area outside the partitions.
fn outside(area: &Area, golden: &Golden, room: &Room<'_>) -> (AreaPlan, Option<String>) {
    let boot = golden.boot.as_ref().map(|boot| boot.partition.start);
    let converted = boot.unwrap_or(u64::MAX).min(golden.root.partition.start);
    // What is in front of the first partition and does not fit is an error of the layout.
    let fits = area.position == Position::Front || area.range.end <= room.free().end;
    let copied = room.boot.copy_gap && area.range.end <= converted && fits;
    let plan = AreaPlan {
        range: area.range.clone(),
        copied,
    };
    if copied {
        return (plan, None);
    }
    let place = match area.position {
        Position::Front => "in front of the first partition",
        Position::Between => "between the partitions",
        Position::End => "after the last partition",
    };
    let Range { start, end } = &area.range;
    let what = area.first.map_or_else(
        || "begin with zeros; the rest is not read and".to_owned(),
        |first| format!("hold data (from byte {first} on) that"),
    );
    // Where the new table is, as the loader for a BIOS of a PC, it would be refused.
    let has_place = area.first.is_none_or(|first| first >= room.free().start);
    let advice = if area.position == Position::Front && !room.boot.copy_gap && has_place {
        "; boot.copy-gap = true copies it"
    } else {
        ""
    };
    let last = end.saturating_sub(1);
    let note =
        format!("bytes {start} to {last} of the golden image, {place}, {what} is left out{advice}");
    (plan, Some(note))
}
