//! Partitions of the golden image whose files live on elsewhere: files for the data partition, and
//! the mounts of all of them.

use super::Workspace;
use super::system::copy_below;
use crate::golden::Golden;
use crate::golden::fstab::{FstabLine, same_dir};
use crate::golden::mounts::{MountedBy, Names, UNIT_DIRS};
use crate::golden::partitions::{PartitionFacts, files};
use crate::golden::references::device::unescape;
use crate::plan::partitions::{Fate, PartitionPlans};
use crate::problem::Problem;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use anyhow::{Context, Result};

/// The size limit of `/etc/fstab` (bytes).
const TEXT_LIMIT: u64 = 4 << 20;
/// Mount options that apply to a bind mount as well (`mount(8)`), and those of systemd about the
/// mount itself.
const KEPT: [&str; 10] = [
    "ro",
    "noexec",
    "nosuid",
    "nodev",
    "noatime",
    "nodiratime",
    "relatime",
    "noauto",
    "nofail",
    "x-systemd.automount",
];

/// Moves files to the data partition as planned, and replaces the mounts of partitions that are
/// merged or moved.
///
/// # Errors
/// Partitions that cannot be read any more; paths that cannot be edited.
pub(super) fn carry_over(
    work: &mut Workspace<'_>,
    plans: &PartitionPlans,
    golden: &Golden,
) -> Result<()> {
    let names = golden.partition_names();
    let mut order: Vec<(&str, &PartitionFacts, bool)> = Vec::new();
    for facts in &golden.partitions {
        match plans.fate(facts.number) {
            Some(Fate::Data(path)) => order.push((path, facts, true)),
            Some(Fate::Merged(path)) => order.push((path, facts, false)),
            _ => {}
        }
    }
    // What is mounted below another directory comes after it.
    order.sort_by_key(|(path, ..)| *path);
    for (path, facts, moves) in order {
        if moves {
            move_files(work, golden, facts, path)?;
        }
        let context = || format!("editing the mounts of partition {}", facts.number);
        let mount = Replacement { path, facts, moves };
        units(&mut work.root, facts).with_context(context)?;
        mount
            .fstab(&mut work.root, &names, &mut work.notes)
            .with_context(context)?;
    }
    Ok(())
}

/// Copies the files of a partition to the data partition.
fn move_files(
    work: &mut Workspace<'_>,
    golden: &Golden,
    facts: &PartitionFacts,
    path: &str,
) -> Result<()> {
    let number = facts.number;
    let mut partitions = golden.disk.partitions.iter();
    let partition = partitions
        .find(|partition| partition.number == number)
        .ok_or_else(|| Problem::new(format!("the golden image has no partition {number}")))?;
    let mount = facts.mounts.iter().find(|mount| mount.dir == path);
    let options = mount.map(|mount| mount.options.as_str());
    let tree = files(&golden.disk, partition, options)?;
    let reason = format!("from partition {number} of the golden image");
    let context = || format!("moving the files of partition {number} to the data partition");
    let dir = PartitionPlans::data_dir(path);
    let to = dir.strip_prefix("/data").filter(|to| !to.is_empty());
    if let Some(to) = to {
        // What another partition has there was hidden by this one.
        work.data.remove(to, &reason).with_context(context)?;
        work.data.dir(to, 0o755, &reason).with_context(context)?;
    }
    copy_below(&tree, &mut work.data, to.unwrap_or("/"), &reason).with_context(context)?;
    if let Some(stat) = work.data.tree_mut().stat_mut(to.unwrap_or("/")) {
        *stat = tree.root.stat.clone();
    }
    if path == "/data" {
        // The golden image does not see what is in the directory below its mount.
        let hidden = work.root.tree().dir(path);
        let names: Vec<_> = hidden
            .map(|dir| dir.entries.keys().cloned().collect())
            .unwrap_or_default();
        for name in names {
            let below = [path.as_bytes(), b"/", &name].concat();
            let reason = "hidden by the data partition of the golden image";
            work.root.remove(below, reason).with_context(context)?;
        }
    } else {
        let reason = "mount point of files on the data partition";
        work.root.dir(path, 0o755, reason).with_context(context)?;
    }
    Ok(())
}

/// Takes out the units that mount the partition.
fn units(root: &mut TreeEditor<'_>, facts: &PartitionFacts) -> Result<(), EditError> {
    let reason = format!("partition {} of the golden image is gone", facts.number);
    let units = facts
        .mounts
        .iter()
        .filter_map(|mount| mount.unit.as_deref());
    for unit in units {
        let name = unit.rsplit('/').next().unwrap_or_default();
        let automount = format!("{}.automount", name.trim_end_matches(".mount"));
        for dir in UNIT_DIRS {
            for name in [name, &automount] {
                for path in [format!("{dir}/{name}"), format!("{dir}/{name}.d")] {
                    if root.tree().find_nofollow(&path).is_some() {
                        root.remove(&path, &reason)?;
                    }
                }
                let lists = root
                    .tree()
                    .dir(dir)
                    .into_iter()
                    .flat_map(|dir| dir.entries.keys());
                let lists = lists.filter_map(|list| std::str::from_utf8(list).ok());
                let links: Vec<String> = lists
                    .filter(|list| list.ends_with(".wants") || list.ends_with(".requires"))
                    .map(|list| format!("{dir}/{list}/{name}"))
                    .collect();
                for link in links {
                    if root.tree().find_nofollow(&link).is_some() {
                        root.remove(&link, &reason)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The mount of a partition whose files are elsewhere now.
struct Replacement<'p> {
    path: &'p str,
    facts: &'p PartitionFacts,
    /// Whether its files are on the data partition; otherwise they are in the root filesystem.
    moves: bool,
}

impl Replacement<'_> {
    /// Replaces the lines of `/etc/fstab` that name the partition.
    fn fstab(
        &self,
        root: &mut TreeEditor<'_>,
        names: &Names,
        notes: &mut Vec<String>,
    ) -> Result<(), EditError> {
        const PATH: &str = "/etc/fstab";
        let old = root.text(PATH, TEXT_LIMIT)?.unwrap_or_default();
        let dir = PartitionPlans::data_dir(self.path);
        let binds = self.moves && dir != self.path;
        let mut text = String::new();
        let mut done = false;
        for line in old.lines() {
            let entry = FstabLine::parse(line)
                .filter(|entry| names.partition(entry.spec) == Some(self.facts.number));
            let Some(entry) = entry else {
                text.push_str(line);
                text.push('\n');
                continue;
            };
            let mounted_on = unescape(entry.dir);
            if !same_dir(&mounted_on, self.path) {
                let line = bind(self.path, &mounted_on, entry.options, self.moves);
                text.push_str(&line);
            } else if binds && !done {
                done = true;
                text.push_str(&bind(&dir, self.path, entry.options, true));
            } else if self.moves {
                // The line of the data partition itself is written with the other mounts.
                continue;
            } else {
                let why = "its files are a part of the root filesystem";
                text.push_str(&format!("# {why}; the line was:\n# {line}\n"));
                notes.push(format!(
                    "{PATH}: {} on {} is commented out: {why}",
                    entry.spec, entry.dir
                ));
            }
        }
        if binds && !done {
            let mut mounts = self.facts.mounts.iter();
            let options = mounts
                .find(|mount| mount.dir == self.path)
                .map_or("", |mount: &MountedBy| mount.options.as_str());
            text.push_str(&bind(&dir, self.path, options, true));
        }
        if text != old {
            root.rewrite(PATH, text, 0o644, "mounts of the A/B layout")?;
        }
        Ok(())
    }
}

/// The line that mounts the directory `from` on `dir`, with what still applies of the options.
fn bind(from: &str, dir: &str, options: &str, on_data: bool) -> String {
    let kept = options.split(',').filter(|option| KEPT.contains(option));
    let mut all: Vec<&str> = std::iter::once("bind").chain(kept).collect();
    if on_data {
        all.push("x-systemd.requires-mounts-for=/data");
    }
    let escape = |path: &str| {
        let path = path.replace('\\', "\\134").replace('\t', "\\011");
        path.replace(' ', "\\040")
    };
    format!(
        "{} {} none {} 0 0\n",
        escape(from),
        escape(dir),
        all.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_bind_mount() {
        assert_eq!(
            bind(
                "/data/home",
                "/home",
                "defaults,nosuid,data=journal,nofail",
                true
            ),
            "/data/home /home none bind,nosuid,nofail,x-systemd.requires-mounts-for=/data 0 0\n"
        );
        assert_eq!(
            bind("/srv/a b", "/b", "", false),
            "/srv/a\\040b /b none bind 0 0\n"
        );
    }
}
