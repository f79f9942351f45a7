//! The disk of a golden image: its partitions, their filesystems, and which of them are boot and
//! root, decided by type and content.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use crate::fs::{ext4, fat};
use crate::golden::facts;
use crate::golden::read_errors::FirstReadError;
use crate::image::probe::{Volume, volume};
use crate::image::table::{self, PartitionTable, PartitionType, types};
use crate::problem::Problem;
use crate::stream::{ReadAt, Slice, Source};
use crate::tree::Tree;
use crate::units::{Lba, human};
use anyhow::Context;
use std::sync::Arc;

/// The content of a partition, by magic numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT of any width.
    Fat,
    /// Swap space of Linux.
    Swap,
    /// Another known format, which cannot be converted, by name.
    Other(&'static str),
    /// No known magic number.
    Unknown,
}

/// A partition of the golden image.
#[derive(Clone, Debug)]
pub struct GoldenPartition {
    /// Its number in the table, from 1.
    pub number: u32,
    /// Its first byte on the disk.
    pub start: u64,
    /// Its length on the disk (bytes).
    pub len: u64,
    /// Its type: a GUID, or the type byte of an MBR.
    pub kind: PartitionType,
    /// Its name in a GPT; empty with an MBR.
    pub name: String,
    /// Its content, by magic numbers.
    pub filesystem: Filesystem,
    /// Why its first sectors could not be read.
    pub read_error: Option<String>,
}

/// The partition table and partitions of a golden image.
#[derive(Clone, Debug)]
pub struct GoldenDisk {
    /// All bytes of the disk.
    pub source: Source,
    /// Its partition table, with warnings.
    pub table: PartitionTable,
    /// Its partitions, in the order of the table.
    pub partitions: Vec<GoldenPartition>,
    /// The first read error of root and boot filesystem, whoever met it.
    pub read_errors: FirstReadError,
}

/// The position of the boot partition among several that could be it, and how that is known.
pub type ChooseBoot<'c> = dyn Fn(&[BootFilesystem]) -> Option<(usize, String)> + 'c;

/// The FAT filesystem of the boot partition, read.
#[derive(Clone, Debug)]
pub struct BootFilesystem {
    /// The partition that it fills.
    pub partition: GoldenPartition,
    /// Its files, whose data are ranges of the disk.
    pub tree: Tree,
    /// Its volume ID and label.
    pub info: fat::Info,
    /// A sentence about how it was told from others, if there are others.
    pub chosen: Option<String>,
}

/// The root filesystem, read.
#[derive(Clone, Debug)]
pub struct RootFilesystem {
    /// The partition that it fills.
    pub partition: GoldenPartition,
    /// Its files, whose data are ranges of the disk.
    pub tree: Tree,
    /// The fields of its superblock.
    pub info: ext4::read::Info,
    /// What of its files the tree does not have.
    pub losses: ext4::read::Losses,
}

impl GoldenDisk {
    /// Reads the table and the start of each partition.
    ///
    /// # Errors
    /// I/O errors of the source; a table that is damaged or missing.
    pub fn new(disk: Source) -> anyhow::Result<Self> {
        if disk.is_empty() {
            return Err(Problem::new("the image is empty (0 bytes)")
                .hint("the file was not written to its end: download or copy it again")
                .into());
        }
        let table = PartitionTable::read(&*disk).map_err(no_disk)?;
        let mut partitions = Vec::new();
        for entry in &table.partitions {
            let (start, len) = (entry.start.bytes(), Lba(entry.sectors).bytes());
            let slice = Slice::new(Arc::clone(&disk), start, len);
            // One that cannot be read does not keep the others from being read.
            let (filesystem, read_error) = match filesystem(&slice) {
                Ok(found) => (found, None),
                Err(error) => (
                    Filesystem::Other("sectors that cannot be read"),
                    Some(error.to_string()),
                ),
            };
            partitions.push(GoldenPartition {
                number: entry.number,
                start,
                len,
                kind: entry.kind,
                name: entry.name.clone(),
                filesystem,
                read_error,
            });
        }
        Ok(Self {
            source: disk,
            table,
            partitions,
            read_errors: FirstReadError::default(),
        })
    }

    /// The bytes of a partition.
    #[must_use]
    pub fn content(&self, partition: &GoldenPartition) -> Source {
        Arc::new(Slice::new(
            Arc::clone(&self.source),
            partition.start,
            partition.len,
        ))
    }

    /// Finds and reads the root filesystem: the one with an operating system on it, or the
    /// partition that `wanted` names.
    ///
    /// # Errors
    /// A [`Problem`] when there is none or more than one; I/O errors; a damaged filesystem.
    pub fn root(&self, wanted: Option<u32>) -> anyhow::Result<RootFilesystem> {
        if let Some(number) = wanted {
            let partition = self.numbered(number, "root.partition", Filesystem::Ext)?;
            return self.read_root(partition);
        }
        let mut found: Vec<RootFilesystem> = Vec::new();
        // A partition that cannot be read does not matter if another one is root.
        let mut damaged: Vec<(&GoldenPartition, anyhow::Error)> = Vec::new();
        let mut unknown: Vec<anyhow::Error> = Vec::new();
        for partition in self
            .partitions
            .iter()
            .filter(|partition| partition.filesystem == Filesystem::Ext)
        {
            match self.looks_like_root(partition) {
                Ok(false) => {}
                Ok(true) => match self.read_root(partition) {
                    Ok(root) if facts::is_root(&root.tree) || facts::lacks_usr(&root.tree) => {
                        found.push(root);
                    }
                    Ok(_) => {}
                    Err(error) => damaged.push((partition, error)),
                },
                Err(error) => unknown.push(error),
            }
        }
        match (found.len(), damaged.len()) {
            (1, 0) => Ok(found.remove(0)),
            (0, 1) => Err(damaged.remove(0).1),
            (0, 0) if !unknown.is_empty() => Err(unknown.remove(0)),
            (0, 0) => Err(self
                .nothing("a root filesystem (ext2, ext3 or ext4 with an operating system on it)")
                .into()),
            _ if found.iter().any(|root| facts::is_converted(&root.tree)) => {
                Err(converted(&found).into())
            }
            _ => {
                let found = found.iter().map(|root| &root.partition);
                let all = found.chain(damaged.iter().map(|(partition, _)| *partition));
                Err(several("root filesystem", all, "root.partition").into())
            }
        }
    }

    /// Whether the partition could be a root filesystem, by a look at a few of its files.
    fn looks_like_root(&self, partition: &GoldenPartition) -> anyhow::Result<bool> {
        let filesystem = self.open_root(partition)?;
        let files = filesystem
            .some_files(&facts::ROOT_FILES)
            .with_context(|| reading_root(partition))?;
        Ok(facts::could_be_root(&files))
    }

    /// Finds and reads the boot partition: the EFI system partition, or else a FAT partition with
    /// boot files. Of several, `choose` tells the position of the right one, and why it is. `None`
    /// when there is none.
    ///
    /// # Errors
    /// A [`Problem`] when there is more than one; I/O errors; a damaged filesystem.
    pub fn boot(
        &self,
        wanted: Option<u32>,
        choose: &ChooseBoot<'_>,
    ) -> anyhow::Result<Option<BootFilesystem>> {
        if let Some(number) = wanted {
            let partition = self.numbered(number, "boot.partition", Filesystem::Fat)?;
            return self.read_boot(partition).map(Some);
        }
        let fats = || {
            self.partitions
                .iter()
                .filter(|partition| partition.filesystem == Filesystem::Fat)
        };
        let typed: Vec<&GoldenPartition> = fats()
            .filter(|partition| is_efi_system(partition.kind))
            .collect();
        if let [only] = typed.as_slice() {
            return self.read_boot(only).map(Some);
        }
        let mut found = Vec::new();
        for partition in if typed.is_empty() {
            fats().collect()
        } else {
            typed
        } {
            // One that cannot be read is not the one that the firmware reads.
            if let Ok(boot) = self.read_boot(partition)
                && has_boot_files(&boot.tree)
            {
                found.push(boot);
            }
        }
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop()),
            _ => match choose(&found) {
                Some((at, why)) => {
                    let mut boot = found.swap_remove(at);
                    let others = found.iter().map(|other| other.partition.describe());
                    boot.chosen = Some(format!(
                        "{} is the boot partition: {why}; {} could be one too, but is not used",
                        boot.partition.describe(),
                        others.collect::<Vec<_>>().join(", ")
                    ));
                    Ok(Some(boot))
                }
                None => Err(several(
                    "boot partition",
                    found.iter().map(|boot| &boot.partition),
                    "boot.partition",
                )
                .into()),
            },
        }
    }

    /// The first FAT partition, if that is not the boot partition, and if it can be read.
    #[must_use]
    pub fn first_fat(&self, boot: Option<&BootFilesystem>) -> Option<BootFilesystem> {
        let mut all = self.partitions.iter();
        let first = all.find(|partition| partition.filesystem == Filesystem::Fat)?;
        let is_boot = boot.is_some_and(|boot| boot.partition.number == first.number);
        let read = || self.read_boot(first).ok();
        if is_boot { None } else { read() }
    }

    /// The partition that the user selected with `key`, which must contain `holds`.
    fn numbered(
        &self,
        number: u32,
        key: &str,
        holds: Filesystem,
    ) -> Result<&GoldenPartition, Problem> {
        let wrong = |but: String| {
            Problem::new(format!(
                "{key} is {number} but {but}; the disk has {}",
                self.list()
            ))
            .hint(format!(
                "set {key} to the number of one with {}, or leave it out: then the partition is \
                 found by what it contains",
                holds.name()
            ))
        };
        match self
            .partitions
            .iter()
            .find(|partition| partition.number == number)
        {
            None => Err(wrong(format!("there is no partition {number}"))),
            Some(partition) if partition.filesystem != holds => Err(wrong(format!(
                "partition {number} contains {}, not {}",
                partition.filesystem.name(),
                holds.name()
            ))),
            Some(partition) => Ok(partition),
        }
    }

    fn open_root(&self, partition: &GoldenPartition) -> anyhow::Result<ext4::read::Filesystem> {
        open_ext(partition, self.content(partition))
    }

    fn read_root(&self, partition: &GoldenPartition) -> anyhow::Result<RootFilesystem> {
        let content = self.read_errors.watch(self.content(partition));
        let filesystem = open_ext(partition, content)?;
        let (tree, losses) = filesystem
            .tree_and_losses()
            .with_context(|| reading_root(partition))?;
        Ok(RootFilesystem {
            partition: partition.clone(),
            tree,
            info: filesystem.info(),
            losses,
        })
    }

    fn read_boot(&self, partition: &GoldenPartition) -> anyhow::Result<BootFilesystem> {
        let context = || {
            format!(
                "reading the boot filesystem of partition {}",
                partition.number
            )
        };
        let content = self.read_errors.watch(self.content(partition));
        let (tree, info) = fat::read(content).with_context(context)?;
        Ok(BootFilesystem {
            partition: partition.clone(),
            tree,
            info,
            chosen: None,
        })
    }

    /// The problem of a disk without `what`: partitions that cannot be read may contain it.
    fn nothing(&self, what: &str) -> Problem {
        let unreadable: Vec<String> = self
            .partitions
            .iter()
            .filter(|partition| matches!(partition.filesystem, Filesystem::Other(_)))
            .map(GoldenPartition::describe)
            .collect();
        let message = format!("no partition contains {what}; the disk has {}", self.list());
        let failed = self.partitions.iter().find_map(|partition| {
            let error = partition.read_error.as_ref()?;
            Some(format!(
                "reading the start of partition {}: {error}",
                partition.number
            ))
        });
        if let Some(failed) = failed {
            return Problem::new(format!("{message}; {failed}"))
                .hint("read the disk again, as with ddrescue, and convert that image");
        }
        if unreadable.is_empty() {
            return Problem::new(message).hint(
                "if one of them is the right one, select it: --set root.partition=NUMBER; a \
                 system that is packed into files there has to be copied to an ext4 partition of \
                 a new image: docs/golden-image.md has the commands",
            );
        }
        let names = unreadable.join(", ");
        Problem::new(format!(
            "{message}; {names} cannot be read and may contain it"
        ))
        .hint(
            "copy the system to an ext4 partition of a new image, and convert that: \
             docs/golden-image.md has the commands",
        )
    }

    /// A description of all partitions, on one line.
    fn list(&self) -> String {
        let parts: Vec<String> = self
            .partitions
            .iter()
            .map(GoldenPartition::describe)
            .collect();
        if parts.is_empty() {
            "no partitions".into()
        } else {
            parts.join(", ")
        }
    }
}

impl GoldenPartition {
    /// Number, size and content, as in `partition 2 (1 GiB, ext2/3/4)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "partition {} ({}, {})",
            self.number,
            human(self.len),
            self.filesystem.name()
        )
    }
}

impl Filesystem {
    /// The name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext => "ext2/3/4",
            Self::Fat => "FAT",
            Self::Swap => "swap",
            Self::Other(name) => name,
            Self::Unknown => "nothing known",
        }
    }
}

fn open_ext(
    partition: &GoldenPartition,
    content: Source,
) -> anyhow::Result<ext4::read::Filesystem> {
    ext4::read::Filesystem::open(content).with_context(|| reading_root(partition))
}

/// The context of errors about the root filesystem of `partition`.
fn reading_root(partition: &GoldenPartition) -> String {
    format!(
        "reading the root filesystem of partition {}",
        partition.number
    )
}

/// The problem of a table that cannot be read.
fn no_disk(error: table::TableError) -> anyhow::Error {
    let hint = error.hint();
    let problem = Problem::new(format!("reading the partition table: {error}"));
    Problem { hint, ..problem }.into()
}

/// The problem of several root filesystems on a disk that is the result of a conversion.
fn converted(roots: &[RootFilesystem]) -> Problem {
    let names: Vec<String> = roots.iter().map(|root| root.partition.describe()).collect();
    Problem::new(format!(
        "this image was converted before: {} contain its root filesystems",
        names.join(", ")
    ))
    .hint(
        "convert the golden image that it was made from, or select the root filesystem to \
             start from with `root.partition`",
    )
}

fn several<'a>(what: &str, found: impl Iterator<Item = &'a GoldenPartition>, key: &str) -> Problem {
    let names: Vec<String> = found.map(GoldenPartition::describe).collect();
    let first = names
        .first()
        .and_then(|name| name.split(' ').nth(1))
        .unwrap_or("1")
        .to_owned();
    Problem::new(format!(
        "more than one partition could be the {what}: {}",
        names.join(", ")
    ))
    .hint(format!(
        "select one with `{key}`, as in --set {key}={first}"
    ))
}

/// Whether `kind` is the type of EFI system partitions, in either kind of table.
#[must_use]
pub fn is_efi_system(kind: PartitionType) -> bool {
    kind == types::GPT_ESP || kind == types::MBR_ESP
}

/// Whether a FAT filesystem has files that firmware or boot loaders look for.
fn has_boot_files(tree: &Tree) -> bool {
    // Settings and first stages of loaders, kernels by their usual names.
    let wanted = [
        "efi",
        "bootcode.bin",
        "config.txt",
        "boot.scr",
        "boot.scr.uimg",
        "boot.ini",
        "extlinux",
        "loader",
        "uenv.txt",
        "armbianenv.txt",
        "u-boot.bin",
        "u-boot.img",
        "mlo",
        "tiboot3.bin",
        "barebox.bin",
        "cmdline.txt",
        "image",
        "image.gz",
        "zimage",
        "uimage",
    ];
    tree.root.lowercase_names().iter().any(|name| {
        let is_kernel = name.starts_with("vmlinuz") || name.starts_with("fitimage");
        let suffixes = [".dtb", ".itb"];
        is_kernel
            || wanted.contains(&name.as_str())
            || suffixes.iter().any(|suffix| name.ends_with(suffix))
    })
}

/// The content of a partition or file by its magic numbers.
///
/// # Errors
/// I/O errors of the source.
pub fn filesystem(source: &dyn ReadAt) -> std::io::Result<Filesystem> {
    Ok(match volume(source)? {
        Some(Volume::Ext) => Filesystem::Ext,
        Some(Volume::Fat) => Filesystem::Fat,
        Some(Volume::Swap) => Filesystem::Swap,
        Some(Volume::Other(other)) => Filesystem::Other(other.name),
        None => Filesystem::Unknown,
    })
}
