//! The golden image: everything that is known of the input, as one value.
//!
//! [`Golden::read`] opens the partition table, reads root and boot filesystem into trees and
//! gathers [`facts`] about the system, its [`origin`] and the firmware that starts it. Nothing is
//! decided here.

pub mod areas;
mod boot_evidence;
pub mod bootloader;
pub mod condition;
pub mod contents;
pub mod disk;
#[cfg(test)]
pub(crate) mod example_tests;
pub mod facts;
pub mod fstab;
pub mod lines;
pub mod mounted;
pub mod mounts;
pub mod names;
pub mod origin;
pub mod packaged;
pub mod partitions;
pub mod read_errors;
pub mod references;
pub mod start_images;
#[cfg(test)]
mod tests;
pub mod traces;
pub mod udev_rules;

use crate::image::source::InputImage;
use crate::report::Report;
use anyhow::{Context, Result};
use areas::Area;
use disk::{BootFilesystem, GoldenDisk, RootFilesystem};
use facts::Facts;
use mounts::Names;
use origin::Origin;
use partitions::{MergeRequest, PartitionFacts};
use std::sync::Arc;

/// Partitions of the golden image that the user named, by number; `None` is found by type and
/// content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The number of the root partition, from 1.
    pub root: Option<u32>,
    /// The number of the boot partition, from 1.
    pub boot: Option<u32>,
    /// Partitions whose files become a part of the root filesystem.
    pub merge: Vec<MergeRequest>,
}

/// A golden image, read.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The input, kept open.
    pub input: InputImage,
    /// Its partition table and partitions.
    pub disk: GoldenDisk,
    /// What is on the partitions and mounts them, in the order of the disk's.
    pub partitions: Vec<PartitionFacts>,
    /// What is outside the partitions.
    pub areas: Vec<Area>,
    /// The root filesystem, the only one with a system, with the files of the partitions that are
    /// merged into it.
    pub root: RootFilesystem,
    /// The boot partition; `None` if the image has none.
    pub boot: Option<BootFilesystem>,
    /// Facts about the system in the root filesystem.
    pub facts: Facts,
    /// The tool that built the image, and the firmware that starts it.
    pub origin: Origin,
}

impl Golden {
    /// Reads the golden image.
    ///
    /// # Errors
    /// I/O errors of the input; filesystems that are damaged, missing or not unique; that the input
    /// changed meanwhile.
    pub fn read(input: InputImage, selection: Selection, report: &dyn Report) -> Result<Self> {
        report.step("reading the golden image", None);
        match Parts::read(&input, &selection) {
            Ok(parts) => Ok(parts.golden(input)),
            Err(error) => Err(or_input_changed(&input, error)),
        }
    }

    /// `error`, or the better reason for it: that the input changed while it was read.
    #[must_use]
    pub fn or_input_changed(&self, error: anyhow::Error) -> anyhow::Error {
        or_input_changed(&self.input, error)
    }

    /// The names of the partitions, as `fstab` and others refer to them.
    #[must_use]
    pub fn partition_names(&self) -> Names {
        let contents = self.partitions.iter().map(|facts| facts.contents.clone());
        let contents: Vec<_> = contents.collect();
        Names::new(&self.disk, &contents, &self.root.tree)
    }

    /// Drops the trees, the largest values in memory, once they were edited.
    pub fn forget_trees(&mut self) {
        self.root.tree.clear();
        if let Some(boot) = &mut self.boot {
            boot.tree.clear();
        }
    }
}

/// A golden image without its input.
struct Parts {
    disk: GoldenDisk,
    partitions: Vec<PartitionFacts>,
    areas: Vec<Area>,
    root: RootFilesystem,
    boot: Option<BootFilesystem>,
    facts: Facts,
    origin: Origin,
}

impl Parts {
    fn read(input: &InputImage, selection: &Selection) -> Result<Self> {
        let disk = GoldenDisk::new(Arc::clone(&input.source))?;
        let mut root = disk.root(selection.root)?;
        let mut partitions = PartitionFacts::all(&disk, &root);
        let boot = disk.boot(selection.boot, &|found| {
            boot_evidence::choose(found, &partitions, &disk, &root)
        })?;
        let own = boot.as_ref().map(|boot| boot.partition.number);
        let taken: Vec<u32> = own.into_iter().chain([root.partition.number]).collect();
        partitions::merge(&selection.merge, &disk, &mut root, &mut partitions, &taken);
        let areas = areas::areas(&disk)?;
        let reading = "reading the files of the root filesystem";
        let facts = facts::gather(&root.tree).context(reading)?;
        let boot_tree = boot.as_ref().map(|boot| &boot.tree);
        let other = disk.first_fat(boot.as_ref());
        let first = other.as_ref().or(boot.as_ref());
        let first = first.map(|fat| (fat.partition.number, &fat.tree));
        let origin = origin::gather(&facts, &root.tree, boot_tree, first).context(reading)?;
        Ok(Self {
            disk,
            partitions,
            areas,
            root,
            boot,
            facts,
            origin,
        })
    }

    fn golden(self, input: InputImage) -> Golden {
        let Self {
            disk,
            partitions,
            areas,
            root,
            boot,
            facts,
            origin,
        } = self;
        Golden {
            input,
            disk,
            partitions,
            areas,
            root,
            boot,
            facts,
            origin,
        }
    }
}

fn or_input_changed(input: &InputImage, error: anyhow::Error) -> anyhow::Error {
    match input.check_unchanged() {
        Err(changed) => anyhow::Error::from(changed.problem()).context("reading the golden image"),
        Ok(()) => error,
    }
}
