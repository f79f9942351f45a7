//! What differs between two images, filesystems or Artifacts: partitions, packages, files and
//! blocks.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod blocks;
mod files;
mod html;
mod packages;
mod patch;
mod text;

pub use blocks::Blocks;
pub use files::{FileChange, Files, Sort};
pub use html::page;
pub use packages::PackageChange;
pub use patch::patch;
pub use text::text;

use crate::stream::{ReadAt, Source};
use crate::units::{align_down, human};
use crate::volume::{Opened, Role, Volume};
use serde::Serialize;
use std::io;

/// Length of one read (bytes), a multiple of [`blocks::BLOCK`].
const PIECE: u64 = 1 << 20;

/// What is looked at in addition to partitions, packages and metadata of files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// The lines that differ in text files.
    pub patches: bool,
    /// The blocks that differ.
    pub blocks: bool,
}

/// The differences between two files with filesystems.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The first file.
    pub old: Side,
    /// The second file.
    pub new: Side,
    /// The partitions that differ in size, position, type or name, or exist on one side only.
    pub partitions: Vec<PartitionChange>,
    /// The filesystems of both sides that are for the same.
    pub filesystems: Vec<FilesystemChange>,
    /// What was not compared, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
}

/// One of the two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Side {
    /// What it is.
    pub form: String,
    /// The length of its disk or filesystem (bytes).
    pub size: u64,
    /// The name of the release, if it is an Artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// A partition that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionChange {
    /// Its number in the partition table.
    pub number: u32,
    /// What it is in the first file.
    pub old: Option<String>,
    /// What it is in the second file.
    pub new: Option<String>,
}

/// Two filesystems that are for the same.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FilesystemChange {
    /// What they are for, or the number of their partition.
    pub name: String,
    /// The packages that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageChange>,
    /// The files that differ.
    #[serde(flatten)]
    pub files: Files,
    /// The blocks that differ, if they were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
    /// The earlier filesystem of this list with the same differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

impl Comparison {
    /// Whether nothing differs but times of files.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.partitions.is_empty() && self.filesystems.iter().all(FilesystemChange::is_equal)
    }
}

impl FilesystemChange {
    /// Whether nothing differs but times of files.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let blocks = self.blocks.is_none_or(|blocks| blocks.different == 0);
        self.packages.is_empty() && self.files.changes.is_empty() && blocks
    }
}

/// Compares two files.
///
/// # Errors
/// I/O errors; damaged filesystems.
pub fn compare(old: &Opened, new: &Opened, depth: Depth) -> anyhow::Result<Comparison> {
    let mut filesystems: Vec<FilesystemChange> = Vec::new();
    let pairs = pairs(old, new);
    let mut not_compared = alone(old, new, &pairs);
    let mut compared: Vec<(&Volume, &Volume)> = Vec::new();
    for Pair {
        name,
        old: before,
        new: after,
    } in &pairs
    {
        let (Some(old_tree), Some(new_tree)) = (before.tree()?, after.tree()?) else {
            if !(depth.blocks && same_bytes(&before.content, &after.content)?) {
                not_compared.push(format!("{name}: it has no files that are read"));
            }
            continue;
        };
        let packages = packages::compare(&old_tree, &new_tree)?;
        let owners = packages::owners(&old_tree, &new_tree, &packages)?;
        let files = files::compare(&old_tree, &new_tree, &owners, depth.patches)?;
        let blocks = match depth.blocks {
            true => blocks::compare(&before.filesystem_content()?, &after.filesystem_content()?)?,
            false => None,
        };
        if depth.blocks && blocks.is_none() {
            not_compared.push(format!(
                "the blocks of {name}: the filesystems have different sizes"
            ));
        }
        let mut same_as = None;
        for (earlier, (old, new)) in filesystems.iter().zip(&compared) {
            let alike = !files.changes.is_empty() && earlier.files == files;
            if alike && same_volumes(old, before)? && same_volumes(new, after)? {
                same_as.get_or_insert_with(|| earlier.name.clone());
            }
        }
        compared.push((*before, *after));
        filesystems.push(FilesystemChange {
            same_as,
            name: name.clone(),
            packages,
            files,
            blocks,
        });
    }
    Ok(Comparison {
        old: Side::of(old),
        new: Side::of(new),
        partitions: partitions(old, new),
        filesystems,
        not_compared,
    })
}

impl Side {
    fn of(opened: &Opened) -> Self {
        Self {
            form: opened.form.clone(),
            size: opened.len,
            release: opened.release.clone(),
        }
    }
}

/// Two filesystems to compare.
struct Pair<'o> {
    name: String,
    old: &'o Volume,
    new: &'o Volume,
}

/// The filesystems to compare: those with the same role, and of the others those with the same
/// number. A file without a partition table is compared with the root filesystem of a disk.
fn pairs<'o>(old: &'o Opened, new: &'o Opened) -> Vec<Pair<'o>> {
    let mut out: Vec<Pair> = Vec::new();
    let is_taken =
        |out: &[Pair], volume: &Volume| out.iter().any(|pair| std::ptr::eq(pair.new, volume));
    let has = |opened: &Opened, role| opened.volumes.iter().any(|one| one.role == role);
    for before in &old.volumes {
        let is_match = |after: &&Volume| match before.role {
            // What the other side has nothing for is compared by its number.
            Some(_) if has(new, before.role) => before.role == after.role,
            _ => {
                let is_own = after.role.is_some() && has(old, after.role);
                before.number.is_some() && before.number == after.number && !is_own
            }
        };
        let alone = old.volumes.len() == 1 && new.volumes.len() == 1;
        let after = new
            .volumes
            .iter()
            .find(|one| is_match(one) && !is_taken(&out, one));
        if let Some(after) = after.or(new.volumes.first().filter(|_| alone)) {
            let number = || {
                before
                    .number
                    .map_or("filesystem".to_owned(), |n| n.to_string())
            };
            let name = before
                .role
                .map_or_else(number, |role: Role| role.name().to_owned());
            out.push(Pair {
                name,
                old: before,
                new: after,
            });
        }
    }
    out
}

/// Sentences about partitions that nothing is compared with, and bytes that no partition has.
fn alone(old: &Opened, new: &Opened, pairs: &[Pair]) -> Vec<String> {
    let mut out = Vec::new();
    for (opened, other, file) in [(old, new, "first"), (new, old, "second")] {
        // Of a disk, all that a filesystem or Artifact has nothing of.
        let whole = |one: &Opened| one.volumes.iter().any(|volume| volume.number.is_some());
        if whole(opened) && !whole(other) {
            continue;
        }
        let is_paired = |volume: &&Volume| {
            let mut pairs = pairs.iter();
            pairs.any(|pair| std::ptr::eq(pair.old, *volume) || std::ptr::eq(pair.new, *volume))
        };
        for volume in opened.volumes.iter().filter(|volume| !is_paired(volume)) {
            out.push(format!(
                "{volume} of the {file} file: the other has no such one"
            ));
        }
    }
    let has_table = |opened: &Opened| opened.volumes.iter().any(|one| one.number.is_some());
    if has_table(old) && has_table(new) {
        out.push("bytes outside the partitions".to_owned());
    }
    out
}

/// Whether two volumes are the same in every byte of their filesystems.
fn same_volumes(one: &Volume, other: &Volume) -> anyhow::Result<bool> {
    let (one, other) = (one.filesystem_content()?, other.filesystem_content()?);
    Ok(same_bytes(&one, &other)?)
}

/// Whether two sources have the same bytes.
fn same_bytes(one: &Source, other: &Source) -> io::Result<bool> {
    let mut same = one.len() == other.len();
    if same {
        in_pieces((&**one, &**other), &mut |one, other| {
            same = one == other;
            same
        })?;
    }
    Ok(same)
}

/// The partitions that differ; none if one side has no partition table.
fn partitions(old: &Opened, new: &Opened) -> Vec<PartitionChange> {
    let has_table = |opened: &Opened| opened.volumes.iter().any(|one| one.number.is_some());
    if !has_table(old) || !has_table(new) {
        return Vec::new();
    }
    let numbers = old.volumes.iter().chain(&new.volumes);
    let numbers: std::collections::BTreeSet<u32> = numbers.filter_map(|one| one.number).collect();
    let numbered = |opened: &'_ Opened, number| {
        let mut volumes = opened.volumes.iter();
        volumes.find(|one| one.number == Some(number)).cloned()
    };
    let mut out = Vec::new();
    for number in numbers {
        let (one, other) = (numbered(old, number), numbered(new, number));
        let facts = |volume: &Volume| {
            let Volume {
                start,
                len,
                name,
                kind,
                ..
            } = volume;
            (
                *start,
                *len,
                name.clone(),
                kind.clone(),
                volume.filesystem.name(),
            )
        };
        if one.as_ref().map(facts) == other.as_ref().map(facts) {
            continue;
        }
        let texts = |exact| [&one, &other].map(|one| one.as_ref().map(|one| described(one, exact)));
        let [mut before, mut after] = texts(false);
        if before == after {
            [before, after] = texts(true);
        }
        out.push(PartitionChange {
            number,
            old: before,
            new: after,
        });
    }
    out
}

/// Calls `f` with the same piece of both, up to the end or until it returns false. Where neither
/// has data, both are zero: whole blocks of it are left out.
fn in_pieces(
    (old, new): (&dyn ReadAt, &dyn ReadAt),
    f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> io::Result<()> {
    let len = old.len().min(new.len());
    let block = u64::try_from(blocks::BLOCK).map_err(io::Error::other)?;
    let mut at = 0;
    while at < len {
        let data = [old.next_data(at)?, new.next_data(at)?]
            .into_iter()
            .flatten();
        let Some(next) = data
            .map(|range| range.start)
            .min()
            .filter(|next| *next < len)
        else {
            break;
        };
        at = at.max(align_down(next, block));
        let take = PIECE.min(len.saturating_sub(at));
        let size = usize::try_from(take).map_err(io::Error::other)?;
        let (mut one, mut other) = (vec![0; size], vec![0; size]);
        old.read_exact_at(at, &mut one)?;
        new.read_exact_at(at, &mut other)?;
        if !f(&one, &other) {
            break;
        }
        at = at.saturating_add(take);
    }
    Ok(())
}

/// Everything that the partition table says of a partition; with `exact`, in bytes.
fn described(volume: &Volume, exact: bool) -> String {
    let Volume {
        start, len, kind, ..
    } = volume;
    let name = match volume.name.as_str() {
        "" => String::new(),
        name => format!(" `{}`", crate::tree::show(name.as_bytes())),
    };
    let holds = volume.filesystem.name();
    let size = |bytes: u64| match exact {
        true => format!("{bytes} B"),
        false => human(bytes),
    };
    format!(
        "{} from {}{name}, {holds}, type {kind}",
        size(*len),
        size(*start)
    )
}
