//! Bytes outside the partitions: `[[raw]]`. Each range is free of everything else, or the
//! conversion is refused.

use crate::config::{Config, FilePath, Raw, RawSource};
use crate::digest::Digest;
use crate::input_file;
use crate::plan::conditions::{Conditions, ImageFacts};
use crate::plan::family::Role;
use crate::plan::host::file_name;
use crate::plan::layout::Layout;
use crate::plan::trust;
use crate::problem::{Problem, Problems};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use crate::units::human;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// The size limit (bytes): no boot loader comes near it, and all of it is kept in memory.
const MAX: u64 = 256 << 20;

/// Bytes at one offset of the disk.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// A file name of the host, without directories, or a path in the image.
    pub name: String,
    /// The first byte on the disk.
    pub offset: u64,
    /// The content, not empty.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            offset,
            bytes,
        } = self;
        write!(f, "{name} ({} bytes at {offset})", bytes.len())
    }
}

impl Blob {
    /// The bytes of the disk that it takes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The SHA-256 of its content.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        Sha256::digest(&self.bytes).into()
    }
}

/// A file of the edited root filesystem that is written outside the partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBlob {
    /// Its path in the image, absolute.
    pub path: String,
    /// The first byte on the disk.
    pub offset: u64,
}

/// Everything that `[[raw]]` asks for and whose conditions are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPlan {
    /// Files of the host, read.
    pub host: Vec<Blob>,
    /// Files of the image, read once it is edited.
    pub image: Vec<ImageBlob>,
    /// A sentence for each entry that is left out, since one of its conditions is not met.
    pub left_out: Vec<String>,
}

impl RawPlan {
    /// # Errors
    /// Files of the host that cannot be read, are empty or too large.
    pub(super) fn new(config: &Config, image: ImageFacts<'_>) -> Result<Self, Problems> {
        let mut plan = Self::default();
        let mut problems = Problems::default();
        for raw in &config.raw {
            let Raw { file, offset, .. } = raw;
            let conditions = Conditions {
                board: &raw.board,
                arch: &raw.arch,
                release: &raw.release,
            };
            if let Some(why) = conditions.unmet(config, image) {
                plan.left_out
                    .push(format!("raw: {} is left out: {why}", file.given));
                continue;
            }
            match raw.from {
                RawSource::Image => plan.image.push(ImageBlob {
                    path: file.given.clone(),
                    offset: *offset,
                }),
                RawSource::Host => match host_file(file) {
                    Ok(bytes) => plan.host.push(Blob {
                        name: file_name(&file.host),
                        offset: *offset,
                        bytes,
                    }),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        problems.check()?;
        Ok(plan)
    }

    /// All blobs, by offset, with those of the edited root filesystem `root`.
    ///
    /// # Errors
    /// Files of the image that are missing, empty or too large.
    pub fn resolve(&self, root: &Tree) -> Result<Vec<Blob>, Problems> {
        let mut problems = Problems::default();
        let mut blobs = self.host.clone();
        for ImageBlob { path, offset } in &self.image {
            match image_file(path, root) {
                Ok(bytes) => blobs.push(Blob {
                    name: path.clone(),
                    offset: *offset,
                    bytes,
                }),
                Err(problem) => problems.push(problem),
            }
        }
        problems.check()?;
        blobs.sort_by_key(|blob| blob.offset);
        Ok(blobs)
    }
}

fn image_file(path: &str, root: &Tree) -> Result<Vec<u8>, Problem> {
    let content = root.file(path).ok_or_else(|| {
        Problem::new(format!("raw: the image has no file {path}")).hint(
            "install the package that brings it in the golden image or by packages.files, or \
                 take a file of this computer: from = \"host\"",
        )
    })?;
    if content.len() > MAX {
        return Err(too_large(path, Some(content.len())));
    }
    let bytes = content
        .read_all(MAX)
        .map_err(|e| Problem::new(format!("raw: reading {path} of the image: {e}")))?;
    not_empty(path, bytes)
}

fn host_file(file: &FilePath) -> Result<Vec<u8>, Problem> {
    let host: &Path = &file.host;
    let shown = host.display();
    let mut bytes = Vec::new();
    input_file::open(host)
        .and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes))
        .map_err(input_file::waiting)
        .map_err(|e| {
            Problem::new(format!("raw: reading {shown}: {e}")).hint(
                "relative paths are those from the directory of the configuration file; for a file \
                 of the golden image set from = \"image\" and its absolute path",
            )
        })?;
    if bytes.len() as u64 > MAX {
        return Err(too_large(&shown.to_string(), None));
    }
    trust::no_private_key(&format!("raw: {shown}"), &bytes)?;
    not_empty(&file.given, bytes)
}

fn too_large(name: &str, len: Option<u64>) -> Problem {
    let len = len.map_or_else(String::new, |len| format!(" of {}", human(len)));
    Problem::new(format!(
        "raw: {name}{len} exceeds the limit of {}",
        human(MAX)
    ))
}

fn not_empty(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(format!("raw: {name} is empty"))
            .hint("give the file that is to be written, or take the entry out"));
    }
    Ok(bytes)
}

/// Checks that no blob (sorted by offset) overlaps another, a partition of `layout`, one of
/// `tables` or of `reserved` (each with its name), or the end of the disk.
///
/// # Errors
/// Every overlap, with both ranges.
pub fn check(
    blobs: &[Blob],
    layout: &Layout,
    tables: &[(u64, Vec<u8>)],
    reserved: &[(String, Range<u64>)],
) -> Result<(), Problems> {
    let mut taken: Vec<(String, Range<u64>)> = Vec::new();
    for (offset, bytes) in tables {
        taken.push((
            "the partition table".to_owned(),
            *offset..offset + bytes.len() as u64,
        ));
    }
    for role in layout.set.roles() {
        let name = match role {
            Role::RootA => "root A",
            Role::RootB => "root B",
            other => other.name(),
        };
        let extent = layout.partition(*role);
        taken.push((format!("partition {name}"), extent.start..extent.end()));
    }
    taken.extend(reserved.iter().cloned());
    let mut problems = Problems::default();
    for blob in blobs {
        let range = blob.range();
        let place = |range: &Range<u64>| {
            format!("bytes {} to {}", range.start, range.end.saturating_sub(1))
        };
        if range.end > layout.total {
            let message = format!(
                "raw: {} at {} extends past the end of the disk at byte {}",
                blob.name,
                place(&range),
                layout.total
            );
            problems
                .push(Problem::new(message).hint("raise storage.size, or choose another offset"));
        }
        for (name, other) in taken
            .iter()
            .filter(|(_, other)| other.start < range.end && range.start < other.end)
        {
            let message = format!(
                "raw: {} at {} overlaps {name} at {}",
                blob.name,
                place(&range),
                place(other)
            );
            problems.push(Problem::new(message).hint(advice(name, other, layout)));
        }
        taken.push((blob.name.clone(), range));
    }
    problems.check()
}

/// The way out of an overlap.
fn advice(name: &str, other: &Range<u64>, layout: &Layout) -> String {
    if other.start == layout.boot.start {
        "raise storage.alignment: the first partition begins at a multiple of it".to_owned()
    } else if name == "the partition table" {
        "a GPT takes the first 34 and the last 33 sectors, an MBR the first one: choose \
         storage.table to fit the loader"
            .to_owned()
    } else {
        "choose another offset".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::layout::{Margins, Needs};
    use crate::units::{KIB, MIB};

    fn blob(name: &str, offset: u64, len: usize) -> Blob {
        Blob {
            name: name.into(),
            offset,
            bytes: vec![1; len],
        }
    }

    /// The problems of blobs on a disk with a GPT of 34 and 33 sectors.
    fn said(blobs: &[Blob]) -> String {
        let needs = Needs {
            total: 256 * MIB,
            alignment: 8 * MIB,
            margins: Margins::EFI,
            set: crate::plan::family::PartitionSet::OneBoot,
            boot: MIB,
            root: MIB,
            slot: None,
            data: MIB,
        };
        let layout = Layout::new(&needs).unwrap();
        let tables = [
            (0, vec![0; 34 * 512]),
            (256 * MIB - 33 * 512, vec![0; 33 * 512]),
        ];
        let reserved = [("the environment".to_owned(), 4 * MIB..4 * MIB + 0x4000)];
        check(blobs, &layout, &tables, &reserved).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn what_fits_exactly_is_taken() {
        let end = 256 * MIB - 33 * 512;
        let fits = [
            blob("a", 34 * 512, 32 * 1024),
            blob("b", 34 * 512 + 32 * KIB, 7),
            blob("c", 8 * MIB - 9, 9),
            blob("d", end - 5, 5),
        ];
        assert_eq!(said(&fits), "");
    }

    #[test]
    fn everything_that_is_met_is_named() {
        for (blob, meets) in [
            (
                blob("x", 0, 440),
                "raw: x at bytes 0 to 439 overlaps the partition table at bytes 0 to 17407",
            ),
            (blob("x", 8 * KIB, 100), "overlaps the partition table at"),
            (
                blob("x", 34 * 512 - 1, 1),
                "overlaps the partition table at",
            ),
            (blob("x", 4 * MIB - 1, 2), "overlaps the environment at"),
            (
                blob("x", 8 * MIB - 1, 2),
                "overlaps partition boot at bytes 8388608 to 16777215\nhint: raise storage.alignment",
            ),
            (blob("x", 64 * MIB, 2), "overlaps partition root A at"),
            (
                blob("x", 256 * MIB - 33 * 512, 1),
                "overlaps the partition table at",
            ),
            (
                blob("x", 256 * MIB - 1, 2),
                "at bytes 268435455 to 268435456 extends past the end of the disk at byte 268435456",
            ),
            (
                blob("x", u64::MAX - 1, 9),
                "extends past the end of the disk at byte",
            ),
        ] {
            let text = said(std::slice::from_ref(&blob));
            assert!(text.contains(meets), "{blob:?}: {text}");
        }
        let two = said(&[blob("a", MIB, 100), blob("b", MIB + 99, 1)]);
        assert!(
            two.starts_with(
                "raw: b at bytes 1048675 to 1048675 overlaps a at bytes 1048576 to 1048675"
            ),
            "{two}"
        );
    }
}
