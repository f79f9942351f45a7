//! The golden image: everything that is known of the input, as one value.
//!
//! [`Golden::read`] opens the partition table, reads root and boot filesystem into trees and
//! gathers [`facts`] about the system, its [`origin`] and the firmware that starts it. Nothing is
//! decided here.

pub mod bootloader;
pub mod disk;
#[cfg(test)]
pub(crate) mod example_tests;
pub mod facts;
pub mod fstab;
pub mod origin;
#[cfg(test)]
mod tests;

use crate::image::source::InputImage;
use crate::report::Report;
use crate::tree::Tree;
use anyhow::{Context, Result};
use disk::{BootFilesystem, GoldenDisk, RootFilesystem};
use facts::Facts;
use origin::Origin;
use std::sync::Arc;

/// Partitions of the golden image that the user named, by number; `None` is found by type and
/// content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The number of the root partition, from 1.
    pub root: Option<u32>,
    /// The number of the boot partition, from 1.
    pub boot: Option<u32>,
}

/// A golden image, read.
#[derive(Debug)]
pub struct Golden {
    /// The input, kept open.
    pub input: InputImage,
    /// Its partition table and partitions.
    pub disk: GoldenDisk,
    /// The root filesystem, the only one with a system.
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
        match Parts::read(&input, selection) {
            Ok(parts) => Ok(parts.golden(input)),
            Err(error) => Err(or_input_changed(&input, error)),
        }
    }

    /// `error`, or the better reason for it: that the input changed while it was read.
    #[must_use]
    pub fn or_input_changed(&self, error: anyhow::Error) -> anyhow::Error {
        or_input_changed(&self.input, error)
    }

    /// Drops the trees, the largest values in memory, once they were edited.
    pub fn forget_trees(&mut self) {
        let empty = |tree: &mut Tree| *tree = Tree::new(tree.root.stat.clone());
        empty(&mut self.root.tree);
        if let Some(boot) = &mut self.boot {
            empty(&mut boot.tree);
        }
    }
}

/// A golden image without its input.
struct Parts {
    disk: GoldenDisk,
    root: RootFilesystem,
    boot: Option<BootFilesystem>,
    facts: Facts,
    origin: Origin,
}

impl Parts {
    fn read(input: &InputImage, selection: Selection) -> Result<Self> {
        let disk = GoldenDisk::new(Arc::clone(&input.source))?;
        let root = disk.root(selection.root)?;
        let boot = disk.boot(selection.boot)?;
        let reading = "reading the files of the root filesystem";
        let facts = facts::gather(&root.tree).context(reading)?;
        let boot_tree = boot.as_ref().map(|boot| &boot.tree);
        let origin = origin::gather(&facts, &root.tree, boot_tree).context(reading)?;
        Ok(Self {
            disk,
            root,
            boot,
            facts,
            origin,
        })
    }

    fn golden(self, input: InputImage) -> Golden {
        let Self {
            disk,
            root,
            boot,
            facts,
            origin,
        } = self;
        Golden {
            input,
            disk,
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
