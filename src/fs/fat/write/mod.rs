//! A tree to FAT: metadata in memory, file data as runs; every file in one piece, so block lists of
//! boot loaders hold.

mod dirs;
mod layout;
mod plan;
mod volume;

use super::Error;
use crate::stream::Content;
use crate::tree::{Time, Tree};
use crate::units::SECTOR;
use layout::{FAT16_LEAST, FAT32_LEAST};
use plan::Plan;

/// Which width the table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestedKind {
    /// FAT32 where it can be (from about 33 MiB on), else FAT16, else FAT12.
    #[default]
    Auto,
    /// FAT16: 4101 to 65,508 clusters.
    Fat16,
    /// FAT32: at least 65,541 clusters.
    Fat32,
}

/// What a new FAT filesystem is made from, besides its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The serial number, shown as `XXXX-XXXX` and used in `/etc/fstab`.
    pub volume_id: u32,
    /// The label: 1 to 11 ASCII characters.
    pub label: Option<String>,
    /// Modification time of the label's directory entry.
    pub time: Time,
    /// The width of the FAT's entries.
    pub kind: RequestedKind,
    /// The sectors before the partition, for firmware that reads `BPB_HiddSec`.
    pub hidden_sectors: u32,
}

/// Makes a FAT filesystem of `size` bytes that holds `tree`. Owners and modes but the owner's write
/// bit are not kept; a file with several names is written once for each; the root directory has no
/// times. Runs cover everything up to the last cluster in use, so a device may keep what it has
/// after that.
///
/// # Errors
/// [`Error::Unwritable`] names what FAT cannot hold, [`Error::TooSmall`] the size that would do.
pub fn write(tree: &Tree, size: u64, options: &Options) -> Result<Content, Error> {
    let mut plan = Plan::new(tree)?;
    let label = label_bytes(options.label.as_deref())?;
    if !size.is_multiple_of(SECTOR) {
        return Err(Error::Options(format!(
            "a FAT filesystem of {size} bytes ends within a sector"
        )));
    }
    let layout = layout::choose(size, options.kind, plan.root_len())?;
    let layout = layout.filter(|layout| plan.missing(layout) == 0);
    let Some(layout) = layout else {
        return Err(Error::TooSmall {
            size,
            needed: smallest(&plan, options.kind)?,
        });
    };
    let free = plan.assign_clusters(&layout);
    Ok(volume::volume(&plan, &layout, options, label, free))
}

/// A size in bytes, a multiple of 512, in which [`write()`] can put `tree`, and hardly more than it
/// needs.
///
/// # Errors
/// [`Error::Unwritable`] names what FAT cannot hold.
pub fn minimum_size(tree: &Tree, options: &Options) -> Result<u64, Error> {
    smallest(&Plan::new(tree)?, options.kind)
}

fn smallest(plan: &Plan<'_>, kind: RequestedKind) -> Result<u64, Error> {
    let mut size = match kind {
        RequestedKind::Auto => 16 * SECTOR,
        RequestedKind::Fat16 => FAT16_LEAST * SECTOR,
        RequestedKind::Fat32 => FAT32_LEAST * SECTOR,
    };
    loop {
        match layout::choose(size, kind, plan.root_len())? {
            Some(layout) if plan.missing(&layout) == 0 => return Ok(size),
            Some(layout) => size += plan.missing(&layout) * layout.cluster,
            None => size += SECTOR,
        }
    }
}

/// The label as an entry and boot sector have it; `None` is "no label".
fn label_bytes(label: Option<&str>) -> Result<Option<[u8; 11]>, Error> {
    let Some(label) = label else { return Ok(None) };
    let fits = (1..=11).contains(&label.len()) && !label.starts_with(' ');
    if !fits
        || !label
            .chars()
            .all(|c| (c.is_ascii_graphic() || c == ' ') && !"\"*+,./:;<=>?[\\]|".contains(c))
    {
        return Err(Error::Options(format!(
            "{label:?} is not a FAT label (1 to 11 ASCII characters, none of \"*+,./:;<=>?[\\]|)"
        )));
    }
    let mut out = [b' '; 11];
    out[..label.len()].copy_from_slice(label.as_bytes());
    Ok(Some(out))
}
