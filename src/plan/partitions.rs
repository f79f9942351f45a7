//! What becomes of each partition of the golden image.

use crate::config::{Config, Partition, PartitionAction};
use crate::golden::Golden;
use crate::golden::disk::GoldenPartition;
use crate::problem::{Problem, Problems};

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

/// A partition of the golden image and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Its number in the table of the golden image, from 1.
    pub number: u32,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether the configuration says so.
    pub configured: bool,
}

/// What becomes of all partitions of the golden image, in the order of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionPlans(pub Vec<PartitionPlan>);

impl PartitionPlans {
    /// # Errors
    /// Entries that name no partition.
    pub(super) fn new(config: &Config, golden: &Golden) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let partitions = &golden.disk.partitions;
        for entry in &config.partition {
            if !partitions.iter().any(|one| names(entry, one)) {
                let name = entry
                    .number
                    .map(|number| number.to_string())
                    .or(entry.label.clone());
                problems.push(Problem::new(format!(
                    "partition: the golden image has no partition {}",
                    name.unwrap_or_default()
                )));
            }
        }
        problems.check()?;
        Ok(Self(
            partitions
                .iter()
                .map(|partition| plan(config, golden, partition))
                .collect(),
        ))
    }

    /// What becomes of the partition with this number of the golden image.
    #[must_use]
    pub fn fate(&self, number: u32) -> Option<&Fate> {
        let mut found = self.0.iter().filter(|plan| plan.number == number);
        found.next().map(|plan| &plan.fate)
    }
}

fn plan(config: &Config, golden: &Golden, partition: &GoldenPartition) -> PartitionPlan {
    let number = partition.number;
    let entry = config
        .partition
        .iter()
        .find(|entry| names(entry, partition));
    let path = |entry: &Partition| entry.path.clone().unwrap_or_default();
    let fate = if number == golden.root.partition.number {
        Fate::Root
    } else if golden.boot.as_ref().map(|boot| boot.partition.number) == Some(number) {
        Fate::Boot
    } else {
        match entry.map(|entry| (entry.r#do, path(entry))) {
            Some((PartitionAction::Merge, path)) => Fate::Merged(path),
            Some((PartitionAction::Data, path)) => Fate::Data(path),
            Some((PartitionAction::Copy, _)) => Fate::Copied,
            Some((PartitionAction::Drop, _)) | None => Fate::Dropped,
        }
    };
    PartitionPlan {
        number,
        fate,
        configured: entry.is_some(),
    }
}

/// Whether the entry is for this partition.
fn names(entry: &Partition, partition: &GoldenPartition) -> bool {
    entry.number == Some(partition.number)
        || entry
            .label
            .as_ref()
            .is_some_and(|label| *label == partition.name)
}
