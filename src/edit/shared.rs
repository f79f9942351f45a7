//! The first edits, whose result several conversions of one golden image can share: files of other
//! partitions, and packages. They are done once for each different set of what decides about them.

use super::packages::{self, PackageInputs};
use super::{Trees, Workspace, golden_trees, partitions};
use crate::dpkg::InstalledPackage;
use crate::golden::Golden;
use crate::plan::Plan;
use crate::plan::partitions::PartitionPlans;
use crate::problem::Problems;
use crate::stamp::Time;
use crate::tree::Tree;
use crate::tree::editor::{Change, TreeEditor};
use anyhow::Result;
use std::sync::{Mutex, PoisonError};

/// Everything that decides about the first edits, besides the golden image.
#[derive(Clone, PartialEq)]
struct FirstInputs {
    /// The time of new files.
    time: Time,
    partitions: PartitionPlans,
    packages: PackageInputs,
}

impl FirstInputs {
    fn of(plan: &Plan) -> Self {
        Self {
            time: plan.stamp.time,
            partitions: plan.partitions.clone(),
            packages: PackageInputs {
                packages: plan.packages.clone(),
                managed: plan.client.managed,
                settings: plan.client.settings.clone(),
            },
        }
    }
}

/// The filesystems after the first edits, and what was done.
#[derive(Clone, Debug)]
pub(super) struct FirstEdits {
    pub(super) trees: Trees,
    /// The changes of each filesystem, in the order of [`crate::plan::overlays::Target::ALL`].
    pub(super) changes: [Vec<Change>; 3],
    /// The data partition with nothing but files of the golden image.
    pub(super) carried: Tree,
    /// The first changes that packages made.
    pub(super) added_from: [usize; 3],
    pub(super) packages: Vec<InstalledPackage>,
    pub(super) problems: Problems,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl FirstEdits {
    /// Those of `plan`, from `shared` if it has them.
    ///
    /// # Errors
    /// Partitions of the golden image that cannot be read.
    pub(super) fn new(plan: &Plan, golden: &Golden, shared: Option<&SharedEdits>) -> Result<Self> {
        let inputs = FirstInputs::of(plan);
        let Some(SharedEdits(known)) = shared else {
            return Self::make(&inputs, golden);
        };
        // Locked until they are made: others that need the same wait for them.
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, edits)) = known.iter().find(|(other, _)| *other == inputs) {
            return Ok(edits.clone());
        }
        let edits = Self::make(&inputs, golden)?;
        known.push((inputs, edits.clone()));
        Ok(edits)
    }

    fn make(inputs: &FirstInputs, golden: &Golden) -> Result<Self> {
        let mut trees = golden_trees(golden, inputs.time);
        let mut work = Workspace::new(&mut trees, inputs.time);
        partitions::carry_over(&mut work, &inputs.partitions, golden)?;
        let carried = work.data.tree().clone();
        let added_from = work.change_counts();
        let packages = packages::install(&mut work, &inputs.packages);
        let Workspace {
            root,
            boot,
            data,
            problems,
            notes,
            warnings,
            ..
        } = work;
        Ok(Self {
            changes: [root, boot, data].map(TreeEditor::finish),
            trees,
            carried,
            added_from,
            packages,
            problems,
            notes,
            warnings,
        })
    }
}

/// The first edits of conversions of one golden image, each different set of them once.
#[derive(Default)]
pub struct SharedEdits(Mutex<Vec<(FirstInputs, FirstEdits)>>);

#[cfg(test)]
impl SharedEdits {
    /// The number of different sets.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
