//! The filesystems in a file, whatever kind of file it is: a disk image in any input format, a
//! filesystem without a disk, or the root filesystem of an Artifact.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod address;
mod extract;
mod listing;

pub use address::{Address, Part};
pub use extract::{EXTRACTING, Extracted, extract};
pub use listing::{Row, kind_letter, list, mode_text};

use crate::artifact;
use crate::fs::{ext4, fat};
use crate::golden::disk::{self, Filesystem, GoldenDisk, GoldenPartition};
use crate::golden::facts;
use crate::image::probe::MENDER_ARTIFACT;
use crate::image::source::{self, InputFormat, OpenOptions, SourceError};
use crate::problem::Problem;
use crate::stream::{Content, Slice, Source};
use crate::tree::{Tree, show};
use anyhow::{Context, bail};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

/// What a filesystem is for, as far as its content tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The first FAT filesystem.
    Boot,
    /// The first root filesystem: slot A of a converted image.
    Root,
    /// The second root filesystem: slot B.
    RootB,
    /// The ext2, ext3 or ext4 filesystem after the root filesystems.
    Data,
}

impl Role {
    /// The name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Root => "root",
            Self::RootB => "root-b",
            Self::Data => "data",
        }
    }

    /// Whether `name` is a name of it: slot A is `root` and `root-a`.
    #[must_use]
    pub fn is_called(self, name: &str) -> bool {
        self.name() == name || (self == Self::Root && name == "root-a")
    }
}

/// A partition of a disk, or the only filesystem of a file without a partition table.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its number in the partition table; `None` without one.
    pub number: Option<u32>,
    /// Its first byte on the disk.
    pub start: u64,
    /// Its length (bytes).
    pub len: u64,
    /// Its name in a GPT, otherwise empty.
    pub name: String,
    /// Its type in the partition table, otherwise empty.
    pub kind: String,
    /// What it contains, by magic numbers.
    pub filesystem: Filesystem,
    /// What it is for.
    pub role: Option<Role>,
    /// Its bytes.
    pub content: Source,
}

impl Volume {
    /// Its files; `None` if it has no filesystem that is read.
    ///
    /// # Errors
    /// I/O errors; a damaged filesystem.
    pub fn tree(&self) -> anyhow::Result<Option<Tree>> {
        let reading = || format!("reading {self}");
        Ok(Some(match self.filesystem {
            Filesystem::Ext => ext4::read::Filesystem::open(self.content.clone())
                .and_then(|filesystem| filesystem.tree())
                .with_context(reading)?,
            Filesystem::Fat => fat::read(self.content.clone()).with_context(reading)?.0,
            Filesystem::Swap | Filesystem::Other(_) | Filesystem::Unknown => return Ok(None),
        }))
    }
}

impl Volume {
    /// The name of what it contains; of an ext filesystem, its version.
    #[must_use]
    pub fn filesystem_name(&self) -> &'static str {
        match self.filesystem {
            Filesystem::Ext => ext4::read::Filesystem::open(self.content.clone())
                .map_or(self.filesystem.name(), |filesystem| filesystem.info().kind),
            other => other.name(),
        }
    }

    /// The bytes of its filesystem, without what is left of the partition after its end.
    ///
    /// # Errors
    /// I/O errors; a damaged filesystem.
    pub fn filesystem_content(&self) -> anyhow::Result<Source> {
        let len = match self.filesystem {
            Filesystem::Ext => {
                let info = ext4::read::Filesystem::open(self.content.clone())
                    .with_context(|| format!("reading {self}"))?
                    .info();
                info.blocks.saturating_mul(info.block_size)
            }
            _ => self.len,
        };
        let len = len.min(self.len);
        Ok(Arc::new(Slice::new(self.content.clone(), 0, len)))
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.role) {
            (Some(number), Some(role)) => write!(f, "partition {number} ({})", role.name()),
            (Some(number), None) => write!(f, "partition {number}"),
            (None, _) => f.write_str("the filesystem"),
        }
    }
}

/// An open file and its filesystems.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What the file is, as in `raw image, GPT`.
    pub form: String,
    /// The format of the file, if it is an image.
    pub input: Option<InputFormat>,
    /// The bytes of the disk or filesystem.
    pub content: Source,
    /// The length of the disk or filesystem (bytes).
    pub len: u64,
    /// The name of the release, if it is an Artifact.
    pub release: Option<String>,
    /// In the order of their numbers; one if there is no partition table.
    pub volumes: Vec<Volume>,
}

impl Opened {
    /// Writes the disk or filesystem to an empty file; holes stay holes.
    ///
    /// # Errors
    /// I/O errors of both.
    pub fn save(&self, file: &File) -> anyhow::Result<()> {
        extract::copy(&Content::whole(self.content.clone()), file)
    }

    /// The volume that `part` names; without a name the root filesystem, or the only one.
    ///
    /// # Errors
    /// A [`Problem`] that lists the volumes if there is no such one.
    pub fn volume(&self, part: Option<&Part>) -> Result<&Volume, Problem> {
        let mut volumes = self.volumes.iter();
        let found = match part {
            Some(Part::Number(number)) => volumes.find(|one| one.number == Some(*number)),
            Some(Part::Name(name)) => self.called(name)?,
            None if self.volumes.len() == 1 => volumes.next(),
            None => volumes.find(|one| one.role == Some(Role::Root)),
        };
        found.ok_or_else(|| {
            let wanted = match part {
                Some(part) => format!("there is no partition {part}"),
                None => "no partition contains a root filesystem".to_owned(),
            };
            let parts: Vec<String> = self.volumes.iter().map(Volume::described).collect();
            let list = match parts.is_empty() {
                true => "the disk has none".to_owned(),
                false => parts.join(", "),
            };
            let hint = match part {
                Some(Part::Name(name)) if name.contains('/') => {
                    format!("did you mean IMAGE:/{name}?")
                }
                _ => "write IMAGE:NUMBER:PATH, or the name of a partition in the place of NUMBER"
                    .to_owned(),
            };
            Problem::new(format!("{wanted}: {list}")).hint(hint)
        })
    }
}

impl Opened {
    /// The volume that is for what `name` says, or the only one with this name in a GPT, which may
    /// be any.
    fn called(&self, name: &str) -> Result<Option<&Volume>, Problem> {
        let is_for = |one: &&Volume| one.role.is_some_and(|role| role.is_called(name));
        if let Some(found) = self.volumes.iter().find(is_for) {
            return Ok(Some(found));
        }
        let named = self.volumes.iter().filter(|one| one.name == name);
        let named: Vec<&Volume> = named.collect();
        if named.len() > 1 {
            let list: Vec<String> = named.iter().map(|one| one.described()).collect();
            let text = format!(
                "more than one partition has the name `{name}`: {}",
                list.join(", ")
            );
            return Err(Problem::new(text).hint("write the number in the place of the name"));
        }
        Ok(named.first().copied())
    }
}

impl Volume {
    /// Number, purpose and content in short, as in `2 (root, ext4)`, and the name in a GPT if that
    /// says something else.
    fn described(&self) -> String {
        let number = self
            .number
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let holds = self.filesystem_name();
        let is_known = self.role.is_some_and(|role| role.is_called(&self.name));
        let named = match is_known || self.name.is_empty() {
            true => String::new(),
            false => format!(", named `{}`", show(self.name.as_bytes())),
        };
        match self.role {
            Some(role) => format!("{number} ({}, {holds}{named})", role.name()),
            None => format!("{number} ({holds}{named})"),
        }
    }
}

/// Opens a disk image in any input format, a file with a bare ext2, ext3, ext4 or FAT filesystem,
/// or an Artifact with a root filesystem. What has to be decompressed goes to a temporary file
/// without a name.
///
/// # Errors
/// I/O errors; files of other kinds; damaged images and Artifacts.
pub fn open(path: &Path, options: &OpenOptions<'_>) -> anyhow::Result<Opened> {
    match source::open(path, options) {
        Ok(input) => {
            let form = format!("{} image", input.form);
            let opened = of_image(input.source, form);
            let mut opened = opened.with_context(|| path.display().to_string())?;
            opened.input = Some(input.form);
            Ok(opened)
        }
        Err(SourceError::Unsupported { name, .. }) if name == MENDER_ARTIFACT.name => {
            of_artifact(path, options)
        }
        Err(error) => {
            let shown = path.display().to_string();
            let named = error.to_string().contains(&shown);
            let error = anyhow::Error::from(error);
            Err(if named {
                error
            } else {
                error.context(format!("opening {shown}"))
            })
        }
    }
}

fn of_image(image: Source, form: String) -> anyhow::Result<Opened> {
    let len = image.len();
    let content = image.clone();
    let disk = match GoldenDisk::new(image.clone()) {
        Ok(disk) => disk,
        Err(error) => {
            let bare = disk::filesystem(&*image)?;
            return match bare {
                Filesystem::Ext | Filesystem::Fat => {
                    Ok(alone(image, bare, format!("{form} of a filesystem")))
                }
                _ => Err(no_filesystem(&error)),
            };
        }
    };
    let mut volumes = Vec::new();
    for partition in &disk.partitions {
        volumes.push(Volume {
            number: Some(partition.number),
            start: partition.start,
            len: partition.len,
            name: partition.name.clone(),
            kind: partition.kind.to_string(),
            filesystem: partition.filesystem,
            role: None,
            content: disk.content(partition),
        });
    }
    assign(&mut volumes, &disk);
    Ok(Opened {
        form: format!("{form}, {}", disk.table.kind()),
        input: None,
        content,
        len,
        release: None,
        volumes,
    })
}

/// The problem of a file that is none of those that have filesystems.
fn no_filesystem(error: &anyhow::Error) -> anyhow::Error {
    let found = error.downcast_ref::<Problem>();
    let message = found.map_or_else(|| format!("{error:#}"), |problem| problem.message.clone());
    Problem::new(message)
        .hint("give a disk image, a file with a bare ext2, ext3, ext4 or FAT filesystem, or an Artifact")
        .into()
}

/// A file that is one filesystem.
fn alone(content: Source, filesystem: Filesystem, form: String) -> Opened {
    let (len, whole) = (content.len(), content.clone());
    let mut only = Volume {
        number: None,
        start: 0,
        len,
        name: String::new(),
        kind: String::new(),
        filesystem,
        role: None,
        content,
    };
    only.role = match filesystem {
        Filesystem::Fat => Some(Role::Boot),
        _ if is_root(&only.content) => Some(Role::Root),
        _ => None,
    };
    Opened {
        form,
        input: None,
        content: whole,
        len,
        release: None,
        volumes: vec![only],
    }
}

/// Gives the volumes of a disk their roles.
fn assign(volumes: &mut [Volume], disk: &GoldenDisk) {
    let is_esp = |volume: &&mut Volume| {
        let numbered = |one: &&GoldenPartition| Some(one.number) == volume.number;
        let partition = disk.partitions.iter().find(numbered);
        partition.is_some_and(|one| disk::is_efi_system(one.kind))
    };
    let is_fat = |volume: &&mut Volume| volume.filesystem == Filesystem::Fat;
    let esp = volumes.iter_mut().find(|one| is_fat(one) && is_esp(one));
    let number = esp.and_then(|one| one.number);
    let leads_away = |one: &&mut Volume| leads_away(&one.content);
    let boot = |one: &&mut Volume| {
        is_fat(one) && (number.is_none() || one.number == number) && !leads_away(one)
    };
    if let Some(first) = volumes.iter_mut().find(boot) {
        first.role = Some(Role::Boot);
    }
    let mut roots = [Role::Root, Role::RootB].into_iter();
    for volume in volumes.iter_mut() {
        if volume.filesystem != Filesystem::Ext {
            continue;
        }
        if is_root(&volume.content) {
            volume.role = roots.next();
        } else if roots.len() < 2 {
            volume.role = Some(Role::Data);
            break;
        }
    }
}

/// Whether a FAT has nothing but `autoboot.txt`, by which the firmware of a Raspberry Pi starts
/// from another one.
fn leads_away(content: &Source) -> bool {
    fat::read(content.clone()).is_ok_and(|(tree, _)| {
        let has = |name: &str| tree.root.get_ignore_case(name).is_some();
        has("autoboot.txt") && !has("config.txt")
    })
}

/// Whether a filesystem is the root of a system, by a look at a few of its files; false if it
/// cannot be read.
fn is_root(content: &Source) -> bool {
    ext4::read::Filesystem::open(content.clone())
        .and_then(|filesystem| filesystem.some_files(&facts::ROOT_FILES))
        .is_ok_and(|files| facts::could_be_root(&files))
}

/// The root filesystem of an Artifact, checked against the checksums of its manifest.
fn of_artifact(path: &Path, options: &OpenOptions<'_>) -> anyhow::Result<Opened> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("opening {shown}"))?;
    let mut report = None;
    options.report.step("unpacking the Artifact", None);
    let content = source::written(options, |out| {
        report = Some(artifact::unpack(&mut BufReader::new(file), out)?);
        Ok(())
    })
    .with_context(|| format!("unpacking {shown}"))?;
    let report = report.unwrap_or_default();
    let fault = |one: &&artifact::ArtifactFinding| one.severity == artifact::Severity::Error;
    if let Some(finding) = report.findings.iter().find(fault) {
        let problem = Problem::new(format!("the Artifact {shown} is damaged: {}", finding.text));
        return Err(problem
            .hint(format!("copy or download it again; `goldsmith artifact validate {shown}` shows all that is wrong"))
            .into());
    }
    if content.is_empty() {
        let kind = report.artifact.payload_type.as_deref().unwrap_or("none");
        bail!(
            Problem::new(format!(
                "the Artifact {shown} has no root filesystem (its payload type is `{kind}`)"
            ))
            .hint(format!(
                "`goldsmith artifact show {shown}` shows what it has"
            ))
        );
    }
    let found = disk::filesystem(&*content)?;
    let mut opened = alone(content, found, "Artifact".to_owned());
    opened.release = Some(report.artifact.name);
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::MemSource;

    #[test]
    fn what_a_partition_is_for_comes_before_its_name() {
        let source = || -> Source { Arc::new(MemSource(Vec::new().into())) };
        let volume = |number, name: &str, role| Volume {
            number: Some(number),
            start: 0,
            len: 0,
            name: name.to_owned(),
            kind: String::new(),
            filesystem: Filesystem::Unknown,
            role,
            content: source(),
        };
        let opened = Opened {
            form: String::new(),
            input: None,
            content: source(),
            len: 0,
            release: None,
            volumes: vec![
                volume(1, "root", Some(Role::Boot)),
                volume(2, "boot", Some(Role::Root)),
                volume(3, "twice", None),
                volume(4, "twice", None),
                volume(5, "config", None),
            ],
        };
        let found = |name: &str| {
            let found = opened.volume(Some(&Part::Name(name.to_owned())));
            found.map(|one| one.number).map_err(|error| error.message)
        };
        assert_eq!(found("root"), Ok(Some(2)));
        assert_eq!(found("boot"), Ok(Some(1)));
        assert_eq!(found("config"), Ok(Some(5)));
        assert!(
            found("twice")
                .unwrap_err()
                .contains("3 (nothing known, named `twice`), 4 (")
        );
        assert!(found("none").unwrap_err().starts_with(
            "there is no partition `none`: 1 (boot, nothing known, named `root`), \
                     2 (root, nothing known, named `boot`), 3 (nothing known, named `twice`)"
        ));
    }
}
