//! The file layout of an earlier release, which the new one preserves: read from wherever it is
//! known.

use crate::fs::ext4::{FileLayout, read};
use crate::image::source::{self, SequentialImage};
use crate::image::table::PartitionTable;
use crate::input_file;
use crate::plan::family::{PartitionSet, Role};
use crate::problem::Problem;
use crate::stream::{Slice, Source};
use crate::units::SECTOR;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;

/// The size limit of a record or a file layout (bytes): a hundred times what they need.
const MAX: u64 = 1 << 30;

/// The file layout of a root filesystem, of slot A of a disk image, or the one that the record of a
/// conversion names.
///
/// # Errors
/// A [`Problem`] when there is none; I/O errors.
pub fn read(path: &Path) -> Result<FileLayout> {
    let listed = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let found = if listed {
        of_record(path)
    } else {
        of_image(path)
    };
    found.with_context(|| format!("reading the file layout of {}", path.display()))
}

/// The file layout next to the record `path`.
fn of_record(path: &Path) -> Result<FileLayout> {
    let record: serde_json::Value =
        serde_json::from_str(&text(path)?).context("reading the record")?;
    let outputs = record["outputs"].as_array().map_or(&[][..], Vec::as_slice);
    let name = outputs
        .iter()
        .find(|output| output["kind"] == "places")
        .and_then(|output| output["file"].as_str());
    // The name of a file next to the record, not a path to another directory.
    let Some(name) = name.and_then(|name| Path::new(name).file_name()) else {
        return Err(Problem::new("the record names no file layout")
            .hint("use the image or root filesystem of that release; output.file-layout = true writes a file layout")
            .into());
    };
    let layout = path.with_file_name(name);
    FileLayout::parse(&text(&layout)?).with_context(|| format!("reading {}", layout.display()))
}

fn text(path: &Path) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    input_file::read_text(path, MAX, "a file layout").with_context(reading)
}

/// The files of a root filesystem, or of the one in slot A of a disk.
fn of_image(path: &Path) -> Result<FileLayout> {
    let image: Source = match source::open_forwards(path).map_err(|error| error.problem())? {
        SequentialImage::InPlace(image) => image,
        SequentialImage::Stream(_) => {
            return Err(Problem::new("the image is compressed")
                .hint("decompress it, or use the record of that conversion")
                .into());
        }
    };
    let root = if read::probe(&*image)? {
        image
    } else {
        slot_a(&image)?
    };
    Ok(read::Filesystem::open(root)?.file_layout()?)
}

fn slot_a(disk: &Source) -> Result<Source> {
    let table = PartitionTable::read(&**disk)?;
    // By its name in a GPT, since its number depends on how many boot partitions there are.
    let partitions = &table.partitions;
    let named = partitions
        .iter()
        .find(|partition| partition.name == Role::RootA.name());
    let number = PartitionSet::OneBoot.number(Role::RootA);
    let numbered = || {
        partitions
            .iter()
            .find(|partition| partition.number == number)
    };
    let slot = named
        .or_else(numbered)
        .ok_or_else(|| Problem::new(format!("the disk has no partition {number} with slot A")))?;
    Ok(Arc::new(Slice::new(
        Arc::clone(disk),
        slot.start.bytes(),
        slot.sectors.saturating_mul(SECTOR),
    )))
}
