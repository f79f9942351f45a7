//! Bytes beside the partitions: `[[raw]]`. Each has a place of its own, or the conversion is
//! refused.

use crate::config::{Config, FilePath, Raw, RawSource};
use crate::digest::Digest;
use crate::plan::board::Image;
use crate::plan::conditions::Conditions;
use crate::plan::layout::Layout;
use crate::problem::{Problem, Problems};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use crate::units::human;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::ops::Range;

/// The largest that is taken (bytes): no loader comes near it, and all of it is kept in memory.
const MAX: u64 = 256 << 20;

/// What is written at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Where it comes from, for people: a file name of the host, or a path of the image.
    pub name: String,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// The bytes of the disk that it takes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        Sha256::digest(&self.bytes).into()
    }
}

/// Reads what `config` wants of the host and of the root filesystem `root`, where conditions hold;
/// `notes` gets what is left out.
pub(crate) fn read(
    config: &Config,
    image: Image<'_>,
    root: &Tree,
    notes: &mut Vec<String>,
    problems: &mut Problems,
) -> Vec<Blob> {
    let mut blobs = Vec::new();
    for raw in &config.raw {
        let conditions = Conditions {
            board: &raw.board,
            arch: &raw.arch,
            release: &raw.release,
        };
        if let Some(why) = conditions.unmet(config, image) {
            notes.push(format!("raw: {} is left out: {why}", raw.file.given));
            continue;
        }
        match one(raw, root) {
            Ok(blob) => blobs.push(blob),
            Err(problem) => problems.push(problem),
        }
    }
    blobs.sort_by_key(|blob| blob.offset);
    blobs
}

fn one(raw: &Raw, root: &Tree) -> Result<Blob, Problem> {
    let FilePath { given, host } = &raw.file;
    let shown = host.display();
    let wrong = |what: String| Problem::new(format!("raw: {what}"));
    let (name, bytes) = match raw.from {
        RawSource::Image => {
            let path = given;
            let content = root
                .file(path)
                .ok_or_else(|| wrong(format!("the image has no file {path}")))?;
            if content.len() > MAX {
                return Err(wrong(format!(
                    "{path} has {}, more than {}",
                    human(content.len()),
                    human(MAX)
                )));
            }
            let bytes = content
                .read_all(MAX)
                .map_err(|e| wrong(format!("reading {path} of the image: {e}")))?;
            (path.clone(), bytes)
        }
        RawSource::Host => {
            let failed = |e| wrong(format!("reading {shown}: {e}"));
            let mut bytes = Vec::new();
            std::fs::File::open(host)
                .and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes))
                .map_err(failed)?;
            if bytes.len() as u64 > MAX {
                return Err(wrong(format!("{shown} has more than {}", human(MAX))));
            }
            (
                host.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                bytes,
            )
        }
    };
    if bytes.is_empty() {
        return Err(wrong(format!("{given} is empty")));
    }
    Ok(Blob {
        name,
        offset: raw.offset,
        bytes,
    })
}

/// Fails when one of `blobs` (sorted by offset) meets another, a partition of `layout`, one of
/// `tables` or of `reserved`, each with its name, or the end of the disk.
///
/// # Errors
/// Every two that meet, with their places.
pub(crate) fn check(
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
    for (name, extent) in [
        ("boot", layout.boot),
        ("root A", layout.root_a),
        ("root B", layout.root_b),
        ("data", layout.data),
    ] {
        taken.push((format!("the partition {name}"), extent.start..extent.end()));
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
                "raw: {} takes {} but the disk ends at {}",
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
                "raw: {} takes {}, where {name} is ({})",
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

/// What gives way for whom.
fn advice(name: &str, other: &Range<u64>, layout: &Layout) -> String {
    if other.start == layout.boot.start {
        "raise storage.alignment, a multiple of which is where the partitions begin".to_owned()
    } else if name == "the partition table" {
        "a GPT takes the first 34 and the last 33 sectors, an MBR the first one: choose storage.table to fit the loader".to_owned()
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

    /// What `check` says of blobs on a disk with a GPT of 34 and 33 sectors.
    fn said(blobs: &[Blob]) -> String {
        let needs = Needs {
            total: 256 * MIB,
            alignment: 8 * MIB,
            margins: Margins::EFI,
            boot: MIB,
            root: MIB,
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
                "raw: x takes bytes 0 to 439, where the partition table is (bytes 0 to 17407)",
            ),
            (blob("x", 8 * KIB, 100), "where the partition table is"),
            (blob("x", 34 * 512 - 1, 1), "where the partition table is"),
            (blob("x", 4 * MIB - 1, 2), "where the environment is"),
            (
                blob("x", 8 * MIB - 1, 2),
                "where the partition boot is (bytes 8388608 to 16777215)\nhint: raise storage.alignment",
            ),
            (blob("x", 64 * MIB, 2), "where the partition root A is"),
            (
                blob("x", 256 * MIB - 33 * 512, 1),
                "where the partition table is",
            ),
            (
                blob("x", 256 * MIB - 1, 2),
                "takes bytes 268435455 to 268435456 but the disk ends at 268435456",
            ),
            (blob("x", u64::MAX - 1, 9), "but the disk ends at"),
        ] {
            let text = said(std::slice::from_ref(&blob));
            assert!(text.contains(meets), "{blob:?}: {text}");
        }
        let two = said(&[blob("a", MIB, 100), blob("b", MIB + 99, 1)]);
        assert!(
            two.starts_with(
                "raw: b takes bytes 1048675 to 1048675, where a is (bytes 1048576 to 1048675)"
            ),
            "{two}"
        );
    }
}
