//! The partitions of a golden image that are neither root nor boot: their contents, what mounts
//! them, and those that the user has merged into the root filesystem.

use super::contents::Contents;
use super::disk::{Filesystem, GoldenDisk, GoldenPartition, RootFilesystem};
use super::mounts::{MountedBy, Names, mounts};
use crate::fs::{ext4, fat};
use crate::tree::{DirEntry, Stat, Tree, show};
use anyhow::Context;
use std::sync::Arc;

/// A partition that the user wants to be merged into the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeRequest {
    /// The partition.
    pub partition: PartitionName,
    /// The directory that its files go into; `None`: where the golden image mounts it.
    pub path: Option<String>,
}

/// How the user names a partition: by number, by label, or by both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionName {
    /// The number in the table.
    pub number: Option<u32>,
    /// The label of the filesystem, or the name in a GPT.
    pub label: Option<String>,
}

/// The facts about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionFacts {
    /// Its number in the table, from 1.
    pub number: u32,
    /// What it holds.
    pub contents: Contents,
    /// Everything that mounts it.
    pub mounts: Vec<MountedBy>,
    /// The merge that the user asked for: done, or the reason why it could not be.
    pub merged: Option<Result<Merged, String>>,
}

/// A partition whose files are a part of the root filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The directory, absolute.
    pub path: String,
    /// Whether the golden image mounted it there.
    pub mounted: bool,
    /// The entries of the directory that are gone: with a mount, the ones that it hid.
    pub replaced: Vec<String>,
}

impl PartitionFacts {
    /// The facts about all partitions, in the order of `disk`, for the system on
    /// the partition `root`.
    #[must_use]
    pub fn all(disk: &GoldenDisk, root: &RootFilesystem) -> Vec<Self> {
        let contents: Vec<Contents> = disk
            .partitions
            .iter()
            .map(|partition| Contents::of(disk, partition, root))
            .collect();
        let names = Names::new(disk, &contents, &root.tree);
        let mut mounted = mounts(&root.tree, disk, &names);
        let partitions = disk.partitions.iter().zip(contents);
        partitions
            .map(|(partition, contents)| Self {
                number: partition.number,
                contents,
                mounts: mounted.remove(&partition.number).unwrap_or_default(),
                merged: None,
            })
            .collect()
    }

    /// The directory on which it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> Option<&str> {
        let mut dirs = self.mounts.iter().map(|mount| mount.dir.as_str());
        dirs.find(|dir| dir.starts_with('/'))
    }
}

impl PartitionName {
    /// The partitions with this name: a label is compared exactly, or, if no partition has exactly
    /// this one, regardless of case.
    #[must_use]
    pub fn find<'f>(
        &self,
        disk: &GoldenDisk,
        facts: &'f [PartitionFacts],
    ) -> Vec<&'f PartitionFacts> {
        let labels = |facts: &PartitionFacts| {
            let number = facts.number;
            let partition = disk.partitions.iter().find(|one| one.number == number);
            let name = partition.map(|partition| partition.name.clone());
            [name.unwrap_or_default(), facts.contents.label.clone()]
        };
        let with = |same: &dyn Fn(&str, &str) -> bool| -> Vec<&'f PartitionFacts> {
            let matches = |facts: &&PartitionFacts| {
                let number = self.number.is_none_or(|number| facts.number == number);
                let label = self
                    .label
                    .as_ref()
                    .is_none_or(|wanted| labels(facts).iter().any(|label| same(label, wanted)));
                number && label
            };
            facts.iter().filter(matches).collect()
        };
        let exact = with(&|label, wanted| label == wanted);
        if exact.is_empty() {
            with(&|label, wanted| label.eq_ignore_ascii_case(wanted))
        } else {
            exact
        }
    }
}

/// Merges what `requests` name into `root`: parents before what is mounted below them. The results
/// are noted in `facts`.
pub(super) fn merge(
    requests: &[MergeRequest],
    disk: &GoldenDisk,
    root: &mut RootFilesystem,
    facts: &mut [PartitionFacts],
    taken: &[u32],
) {
    let mut wanted: Vec<(String, u32)> = Vec::new();
    for request in requests {
        if let [only] = request.partition.find(disk, facts).as_slice()
            && !taken.contains(&only.number)
            && let Some(path) = request.path.as_deref().or(only.mount_point())
            && can_hold_files(path)
        {
            wanted.push((path.to_owned(), only.number));
        }
    }
    wanted.sort();
    for (path, number) in wanted {
        let partition = disk.partitions.iter().find(|one| one.number == number);
        let facts = facts.iter_mut().find(|facts| facts.number == number);
        if let (Some(partition), Some(facts)) = (partition, facts) {
            let mount = facts.mounts.iter().find(|mount| mount.dir == path);
            let result = merge_one(disk, partition, &mut root.tree, &path, mount);
            facts.merged = Some(result.map_err(|error| format!("{error:#}")));
        }
    }
}

/// Whether files of a partition can be in this directory of the root filesystem: not those that the
/// kernel fills, nor the top.
#[must_use]
pub fn can_hold_files(path: &str) -> bool {
    let below = |dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
    let kernel = ["/proc", "/sys", "/dev", "/run"].into_iter().any(below);
    path.starts_with('/') && !path.trim_end_matches('/').is_empty() && !kernel
}

fn merge_one(
    disk: &GoldenDisk,
    partition: &GoldenPartition,
    root: &mut Tree,
    path: &str,
    mount: Option<&MountedBy>,
) -> anyhow::Result<Merged> {
    let tree = files(disk, partition, mount.map(|mount| mount.options.as_str()))?;
    let gone = root
        .graft(path, &tree, mount.is_some())
        .with_context(|| format!("merging it into {path}"))?;
    Ok(Merged {
        path: path.to_owned(),
        mounted: mount.is_some(),
        replaced: gone.iter().map(|path| show(path)).collect(),
    })
}

/// The files of a partition as the golden image mounts them with `options`, without an empty
/// `lost+found`.
///
/// # Errors
/// Filesystems that cannot be read.
pub fn files(
    disk: &GoldenDisk,
    partition: &GoldenPartition,
    options: Option<&str>,
) -> anyhow::Result<Tree> {
    let context = || format!("reading partition {}", partition.number);
    let source = disk.content(partition);
    let mut tree = match partition.filesystem {
        Filesystem::Ext => ext4::read::Filesystem::open(source)
            .and_then(|filesystem| filesystem.tree())
            .with_context(context)?,
        Filesystem::Fat => {
            let (mut tree, _) = fat::read(source).with_context(context)?;
            own(&mut tree, options.unwrap_or_default());
            tree
        }
        other => {
            let name = other.name();
            let message = format!("it contains {name}; only ext2, ext3, ext4 and FAT can be read");
            return Err(anyhow::anyhow!(message));
        }
    };
    let lost: &[u8] = b"lost+found";
    if let Some(DirEntry::Dir(dir)) = tree.root.entries.get(lost)
        && dir.entries.is_empty()
    {
        tree.root.entries.remove(lost);
    }
    Ok(tree)
}

/// Gives the files of a FAT filesystem the owner and mode that these mount options set
/// (`Documentation/filesystems/vfat.rst` of Linux).
fn own(tree: &mut Tree, options: &str) {
    let value = |key: &str| {
        let mut options = options
            .split(',')
            .filter_map(|option| option.split_once('='));
        options
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    let number = |key: &str| value(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    let mask = |key: &str| {
        let text = value(key).or(value("umask"));
        text.and_then(|text| u16::from_str_radix(text, 8).ok())
    };
    let (uid, gid) = (number("uid"), number("gid"));
    let (files, dirs) = (mask("fmask"), mask("dmask"));
    let set = |stat: &mut Stat, mask: Option<u16>| {
        stat.uid = uid;
        stat.gid = gid;
        // All bits of a read-only file but the writing ones.
        if let Some(mask) = mask {
            let all = if stat.mode & 0o200 == 0 { 0o555 } else { 0o777 };
            stat.mode = all & !mask;
        }
    };
    let mut ids = Vec::new();
    tree.visit(&mut |_, entry| {
        if let DirEntry::Leaf(id) = entry {
            ids.push(*id);
        }
    });
    for id in ids {
        set(&mut tree.leaf_mut(id).stat, files);
    }
    let mut pending = vec![&mut tree.root];
    while let Some(dir) = pending.pop() {
        set(&mut dir.stat, dirs);
        for entry in dir.entries.values_mut() {
            if let DirEntry::Dir(next) = entry {
                pending.push(Arc::make_mut(next));
            }
        }
    }
}
