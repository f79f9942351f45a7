//! The system around the update client: mount points, `/etc/fstab`, files that move to the data
//! partition, and the growth of that partition.

use super::Workspace;
use super::fstab::{Mount, Surroundings, merge};
use super::references::names::Names;
use super::references::row::Row;
use super::references::{self, References};
use crate::golden::fstab::{FstabLine, same_dir};
use crate::golden::{Golden, facts};
use crate::plan::Plan;
use crate::plan::accepted::AcceptedFiles;
use crate::plan::family::{Family, Role};
use crate::plan::mount_options::LostOption;
use crate::platform::Bootloader;
use crate::problem::Problem;
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{DirEntry, Leaf, LeafKind, Node, Tree};

/// The size limit of text files that are edited (bytes).
const TEXT_LIMIT: u64 = 4 << 20;

/// Options with which the boot environment could not be written.
const READ_ONLY: [&str; 2] = ["ro", "noauto"];

/// The program that checks a boot partition.
const FSCK: &str = "fsck.vfat";

/// The parts of plan and golden image that these edits depend on.
#[derive(Clone, Debug)]
pub struct System<'a> {
    /// Identities of the partitions.
    pub family: &'a Family,
    /// The mount point of the boot partition, absolute.
    pub boot_mount: &'a str,
    /// Whether writes to the boot partition reach the medium before the writer continues.
    pub boot_sync: bool,
    /// Configured mount options of boot, root and data.
    pub options: [Option<String>; 3],
    /// Options that the filesystems of root and data cannot be mounted with.
    pub lost_options: [&'a [LostOption]; 2],
    /// The order of the root filesystem's check at boot, 0 for none.
    pub root_pass: u32,
    /// The order of the data filesystem's check at boot, 0 for none.
    pub data_pass: u32,
    /// Whether the data partition grows to the end of the disk.
    pub grow_data: bool,
    /// Whether systemd is the init system.
    pub systemd: bool,
    /// The names of the golden disk and of the converted one.
    pub names: Names,
    /// Files whose references to devices the user accepts.
    pub accepted: &'a AcceptedFiles,
}

impl<'p> System<'p> {
    /// The system of `plan` on the devices of the golden image.
    pub(super) fn new(plan: &'p Plan, golden: &Golden) -> Self {
        Self {
            family: &plan.family,
            boot_mount: &plan.boot.mount,
            boot_sync: plan.boot.loader != Bootloader::RpiTryboot,
            options: [&plan.boot.options, &plan.root.options, &plan.data.options].map(Clone::clone),
            lost_options: [&plan.root.lost_options, &plan.data.lost_options],
            root_pass: plan.root.fsck_pass,
            data_pass: plan.data.fsck_pass,
            grow_data: plan.data.grow,
            systemd: golden.facts.systemd,
            names: Names::new(plan, golden),
            accepted: &plan.accepted,
        }
    }
}

/// Makes mount points, edits everything that refers to devices and mount points, and arranges the
/// growth of the data partition. Adds notes and problems to `work`, and returns the table of
/// references.
///
/// # Errors
/// Paths that cannot be edited.
pub(super) fn integrate(
    work: &mut Workspace<'_>,
    system: &mut System<'_>,
) -> Result<Vec<Row>, EditError> {
    let editor = &mut work.root;
    editor.dir("/data", 0o755, "mount point of the data partition")?;
    editor.dir(
        system.boot_mount,
        0o755,
        "mount point of the boot partition",
    )?;
    let rows = mounts(work, system)?;
    let editor = &mut work.root;
    initramfs(editor)?;
    if system.grow_data {
        if system.systemd {
            grow(editor, system.family)?;
        } else {
            work.notes.push("the init system is not systemd: the data partition keeps its size until /usr/lib/goldsmith/grow-data and resize2fs are run".into());
        }
    }
    if system.systemd {
        let tmpfiles = "# The update client's directory, should the data partition ever be made anew.\nd /data/mender 0700 root root -\n";
        editor.file(
            "/usr/lib/tmpfiles.d/mender-data.conf",
            tmpfiles,
            0o644,
            "the update client's directory on the data partition",
        )?;
    }
    selinux(editor)?;
    Ok(rows)
}

/// Sets the type of the root filesystem for `initramfs-tools(7)`. It would ask the device that
/// `fstab` names, and `/dev/root` is not one: the next initrd that the device makes would lack the
/// program that checks the root filesystem.
fn initramfs(editor: &mut TreeEditor) -> Result<(), EditError> {
    if editor.tree().dir("/etc/initramfs-tools").is_none() {
        return Ok(());
    }
    let text = "# /dev/root in fstab has no type that could be asked for; both root filesystems are ext4.\nFSTYPE=ext4\n";
    editor.file(
        "/etc/initramfs-tools/conf.d/mender-root",
        text,
        0o644,
        "initrds made on the device can check the root filesystem",
    )?;
    Ok(())
}

/// Edits `/etc/fstab` and everything else that refers to devices and mount points.
fn mounts(work: &mut Workspace<'_>, system: &mut System<'_>) -> Result<Vec<Row>, EditError> {
    let old = work
        .root
        .text("/etc/fstab", TEXT_LIMIT)?
        .unwrap_or_default();
    let lines = old.lines().filter_map(FstabLine::parse);
    let listed: Vec<String> = lines.map(|line| line.dir.to_owned()).collect();
    let boot_mount = system.boot_mount;
    let checks_boot = facts::program(work.root.tree(), FSCK);
    if !checks_boot {
        work.notes.push(format!(
            "the image has no {FSCK} (package dosfstools): the boot partition is not checked at boot, so that what a \
             power cut leaves there stays"
        ));
    }
    let mounts = our_mounts(system, checks_boot);
    work.notes.extend(not_written(&old, system));
    let mut references = References {
        names: &mut system.names,
        ours: [boot_mount, "/", "/data"],
        accepted: system.accepted,
    };
    let before = references::before_fstab(work, &mut references, &listed);
    let tree = work.root.tree();
    let merged = merge(
        &old,
        &mounts,
        &Surroundings {
            names: references.names,
            gone: &before.gone,
            exists: &|path| tree.find(path).is_some(),
        },
    );
    work.root
        .rewrite("/etc/fstab", merged.text, 0o644, "mounts of the A/B layout")?;
    work.problems.0.extend(merged.problems);
    work.notes.extend(merged.notes);
    let mut rows = merged.rows;
    rows.extend(before.rows);
    rows.extend(references::after_fstab(work, &references, &merged.gone));
    Ok(rows)
}

/// The lines of `/etc/fstab` for boot, root and data partition.
fn our_mounts(system: &System<'_>, checks_boot: bool) -> [Mount; 3] {
    let [boot, root, data] = system.options.clone();
    let owned = |options: &[&str]| {
        options
            .iter()
            .map(|option| (*option).to_owned())
            .collect::<Vec<_>>()
    };
    let growfs = "x-systemd.growfs";
    [
        Mount {
            spec: "/dev/root".into(),
            dir: "/".into(),
            kind: "ext4".into(),
            options: root,
            default_options: "defaults".into(),
            required: Vec::new(),
            dropped: owned(&[growfs, "x-systemd.makefs"]),
            lost: system.lost_options[0].to_vec(),
            pass: system.root_pass,
        },
        Mount {
            spec: system.family.fstab_spec(Role::Boot),
            dir: system.boot_mount.into(),
            kind: "vfat".into(),
            options: boot,
            default_options: "defaults".into(),
            // The boot loader's environment is here: writes must reach the medium before the writer
            // continues. Tools that write whole files see to that by themselves.
            required: owned(if system.boot_sync { &["sync"] } else { &[] }),
            dropped: owned(&[&["flush", "async", growfs], &READ_ONLY[..]].concat()),
            lost: Vec::new(),
            // A check removes what a power cut leaves there: names without clusters, clusters
            // without a name, the mark of a volume that was not unmounted.
            pass: if checks_boot { 2 } else { 0 },
        },
        Mount {
            spec: system.family.fstab_spec(Role::Data),
            dir: "/data".into(),
            kind: "ext4".into(),
            options: data,
            default_options: "defaults".into(),
            required: if system.grow_data {
                owned(&[growfs])
            } else {
                Vec::new()
            },
            dropped: owned(&["noauto", "nofail"]),
            lost: system.lost_options[1].to_vec(),
            pass: system.data_pass,
        },
    ]
}

/// A note for each option of the golden image by which the boot partition could not be written.
fn not_written(old: &str, system: &System) -> Vec<String> {
    let line = |(at, line)| Some((at + 1, FstabLine::parse(line)?));
    let lines = old.lines().enumerate().filter_map(line);
    let of_boot = lines.filter(|(_, line)| same_dir(line.dir, system.boot_mount));
    let configured = system.options[0]
        .as_deref()
        .map(|options| ("boot.options".to_owned(), options));
    let origins = of_boot
        .map(|(at, line)| (format!("/etc/fstab:{at}"), line.options))
        .filter(|_| configured.is_none())
        .chain(configured.clone());
    let mut notes = Vec::new();
    for (origin, options) in origins {
        for option in options
            .split(',')
            .filter(|option| READ_ONLY.contains(option))
        {
            notes.push(format!(
                "{origin}: option {option} is dropped: the boot environment is on {}, and no update could be installed",
                system.boot_mount
            ));
        }
    }
    notes
}

fn grow(editor: &mut TreeEditor, family: &Family) -> Result<(), EditError> {
    let reason = "the data partition grows to the end of the disk";
    let device = family.path(Role::Data);
    editor.file(
        "/usr/lib/goldsmith/grow-data",
        include_str!("../../configs/device/common/grow-data.sh"),
        0o755,
        reason,
    )?;
    let unit = format!(
        "[Unit]\n\
         Description=Grow the data partition to the end of its disk\n\
         DefaultDependencies=no\n\
         Requires=data.mount\n\
         After=data.mount systemd-growfs@data.service\n\
         Before=local-fs.target shutdown.target\n\
         Conflicts=shutdown.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/usr/lib/goldsmith/grow-data {device} /data\n"
    );
    editor.file(
        "/etc/systemd/system/mender-grow-data.service",
        unit,
        0o644,
        reason,
    )?;
    editor.symlink(
        "/etc/systemd/system/data.mount.wants/mender-grow-data.service",
        "../mender-grow-data.service",
        reason,
    )?;
    Ok(())
}

/// Has SELinux label the filesystem at the first boot, since new files have no labels.
fn selinux(editor: &mut TreeEditor) -> Result<(), EditError> {
    let Some(text) = editor.text("/etc/selinux/config", TEXT_LIMIT)? else {
        return Ok(());
    };
    let mode = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SELINUX="))
        .next_back()
        .map(str::to_lowercase);
    if matches!(mode.as_deref(), Some("enforcing" | "permissive")) {
        editor.file(
            "/.autorelabel",
            "",
            0o644,
            "SELinux labels the new files at first boot",
        )?;
    }
    Ok(())
}

/// Moves everything below `/data` to the data tree, so that the directory is an empty mount point.
///
/// # Errors
/// A [`Problem`] when both trees have a path that cannot be merged.
pub fn move_data(editor: &mut TreeEditor, data: &mut TreeEditor) -> Result<(), Problem> {
    move_below(editor, "/data", data, "/", "moved to the data partition")
        .map_err(|e| Problem::new(format!("moving /data to the data partition: {e}")))
}

/// Moves the entries of the directory `from` (of `editor`'s tree) into the directory `to` of
/// `data`'s tree; hard links among them are kept. Does nothing if `from` is not a directory.
///
/// # Errors
/// A path that both trees have and that cannot be merged.
pub fn move_below(
    editor: &mut TreeEditor,
    from: &str,
    data: &mut TreeEditor,
    to: &str,
    reason: &str,
) -> Result<(), EditError> {
    if !matches!(editor.tree().find_nofollow(from), Some(Node::Dir(dir)) if !dir.entries.is_empty())
    {
        return Ok(());
    }
    let source = editor.tree().clone();
    let Some(Node::Dir(dir)) = source.find_nofollow(from) else {
        return Ok(());
    };
    let mut copier = Copier {
        source: &source,
        ids: std::collections::BTreeMap::new(),
    };
    let base = to.trim_end_matches('/').as_bytes().to_vec();
    copier.copy(&dir.entries, &base, data, reason)?;
    for name in dir.entries.keys() {
        let path = [from.as_bytes(), b"/", name].concat();
        editor.remove(path, reason)?;
    }
    Ok(())
}

/// Copies everything in `source` into the directory `to` of `data`'s tree; hard links among it are
/// kept.
///
/// # Errors
/// A path that both trees have and that cannot be merged.
pub(super) fn copy_below(
    source: &Tree,
    data: &mut TreeEditor,
    to: &str,
    reason: &str,
) -> Result<(), EditError> {
    let mut copier = Copier {
        source,
        ids: std::collections::BTreeMap::new(),
    };
    let base = to.trim_end_matches('/').as_bytes().to_vec();
    copier.copy(&source.root.entries, &base, data, reason)
}

/// Copies entries between trees and keeps hard links.
struct Copier<'a> {
    source: &'a Tree,
    ids: std::collections::BTreeMap<crate::tree::LeafId, crate::tree::LeafId>,
}

impl Copier<'_> {
    fn copy(
        &mut self,
        entries: &std::collections::BTreeMap<Vec<u8>, DirEntry>,
        base: &[u8],
        data: &mut TreeEditor,
        reason: &str,
    ) -> Result<(), EditError> {
        for (name, entry) in entries {
            let path = [base, b"/", name].concat();
            match entry {
                DirEntry::Dir(dir) => {
                    if data.tree().find_nofollow(&path).is_none() {
                        data.tree_mut().mkdir(&path, &dir.stat)?;
                        data.record(path.clone(), Action::Added, reason);
                    }
                    self.copy(&dir.entries, &path, data, reason)?;
                }
                DirEntry::Leaf(id) => self.leaf(*id, &path, data, reason)?,
            }
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        id: crate::tree::LeafId,
        path: &[u8],
        data: &mut TreeEditor,
        reason: &str,
    ) -> Result<(), EditError> {
        if let Some(known) = self.ids.get(&id) {
            let time = data.time();
            data.tree_mut()
                .link(path, *known, &crate::tree::Stat::root(0o755, time))?;
            data.record(path, Action::Added, reason);
        } else {
            let copy = data.put(path, self.source.leaf(id).clone(), reason)?;
            self.ids.insert(id, copy);
        }
        Ok(())
    }
}

/// Makes `path` a symlink to `target`; the content of a directory at `path` moves to `to` on the
/// data partition.
///
/// # Errors
/// Paths that cannot be edited.
pub fn link_to_data(
    editor: &mut TreeEditor,
    path: &str,
    target: &str,
    data: &mut TreeEditor,
    to: &str,
) -> Result<(), EditError> {
    let reason = "state of the update client, on the data partition";
    data.dir(to, if to == "/mender" { 0o700 } else { 0o755 }, reason)?;
    match editor.tree().find_nofollow(path) {
        Some(Node::Leaf(Leaf {
            kind: LeafKind::Symlink(old),
            ..
        })) if old == target.as_bytes() => return Ok(()),
        Some(Node::Dir(_)) => {
            move_below(editor, path, data, to, reason)?;
            editor.remove(path, reason)?;
        }
        _ => {}
    }
    editor.symlink(path, target, reason)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    #[test]
    fn data_moves_with_its_hard_links() {
        let stat = Stat::root(0o755, Time::default());
        let mut root = Tree::new(stat.clone());
        let id = root.put_file("/data/app/a", "x", stat.clone()).unwrap();
        root.link("/data/app/b", id, &stat).unwrap();
        root.put_file("/var/lib/mender/key", "k", stat.clone())
            .unwrap();
        let mut data = Tree::new(stat.clone());
        let mut editor = TreeEditor::new(&mut root, Time::default());
        let mut target = TreeEditor::new(&mut data, Time::default());
        link_to_data(
            &mut editor,
            "/var/lib/mender",
            "/data/mender",
            &mut target,
            "/mender",
        )
        .unwrap();
        move_data(&mut editor, &mut target).unwrap();
        drop((editor, target));
        assert!(root.dir("/data").unwrap().entries.is_empty());
        assert_eq!(data.link_counts().values().max(), Some(&2));
        assert_eq!(data.read("/mender/key", 9).unwrap().unwrap(), b"k");
        assert_eq!(data.dir("/mender").unwrap().stat.mode, 0o700);
        assert_eq!(
            crate::golden::facts::symlink(&root, "/var/lib/mender").as_deref(),
            Some("/data/mender")
        );
    }
}
