//! Which of several partitions the system starts from: the one that it mounts for its boot files,
//! or whose own files name the root filesystem.

use super::disk::{BootFilesystem, GoldenDisk, RootFilesystem};
use super::partitions::PartitionFacts;
use crate::tree::Tree;

/// The mount points of boot partitions, the most usual first.
const MOUNT_POINTS: [&str; 5] = ["/boot/efi", "/efi", "/boot/firmware", "/boot", "/uboot"];
/// The size limit of texts that are read (bytes).
const TEXT_LIMIT: u64 = 1 << 20;

/// The position of the boot partition among those found, and how that is known; `None` if nothing
/// tells them apart.
pub(super) fn choose(
    found: &[BootFilesystem],
    facts: &[PartitionFacts],
    disk: &GoldenDisk,
    root: &RootFilesystem,
) -> Option<(usize, String)> {
    mounted(found, facts).or_else(|| naming_root(found, disk, root))
}

/// The one that the system mounts where boot files belong.
fn mounted(found: &[BootFilesystem], facts: &[PartitionFacts]) -> Option<(usize, String)> {
    MOUNT_POINTS.iter().find_map(|dir| {
        let by = |boot: &BootFilesystem| {
            let facts = facts
                .iter()
                .find(|facts| facts.number == boot.partition.number)?;
            let mount = facts.mounts.iter().find(|mount| mount.dir == *dir)?;
            Some(format!("{} mounts it on {dir}", mount.by))
        };
        let mut all = found
            .iter()
            .enumerate()
            .filter_map(|(at, boot)| Some((at, by(boot)?)));
        let first = all.next()?;
        all.next().is_none().then_some(first)
    })
}

/// The only one whose loader's settings name the root filesystem.
fn naming_root(
    found: &[BootFilesystem],
    disk: &GoldenDisk,
    root: &RootFilesystem,
) -> Option<(usize, String)> {
    let mut names = vec![root.info.uuid.to_string()];
    names.extend(disk.table.partuuid(root.partition.number));
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let mut all = found.iter().enumerate().filter_map(|(at, boot)| {
        let file = texts(&boot.tree).into_iter().find(|path| {
            let bytes = boot.tree.read(path, TEXT_LIMIT).ok().flatten();
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).to_lowercase();
            names.iter().any(|name| text.contains(name))
        })?;
        Some((at, format!("its {file} names the root filesystem")))
    });
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// The files of a boot partition that loaders read settings from.
fn texts(boot: &Tree) -> Vec<String> {
    let mut paths = Vec::new();
    boot.visit(&mut |path, _| {
        let path = String::from_utf8_lossy(path).into_owned();
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        let is_text = [".cfg", ".conf", ".txt", ".scr", ".ini"]
            .iter()
            .any(|end| name.ends_with(end));
        if is_text {
            paths.push(path);
        }
    });
    paths
}
