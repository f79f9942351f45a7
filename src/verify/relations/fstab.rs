//! `/etc/fstab`: no mount point twice, every device exists, boot and data partitions are mounted.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use crate::tree::Tree;
use std::collections::BTreeSet;

pub(super) const FSTAB: &str = "/etc/fstab";

/// The fields of a line that matter here.
pub(super) struct FstabLine {
    /// Its number in the file, from 1.
    pub(super) number: u32,
    /// The device to mount.
    pub(super) spec: String,
    /// The mount point, without a slash at its end.
    pub(super) dir: String,
    /// The type of filesystem.
    pub(super) kind: String,
    /// Mount options, separated by commas.
    pub(super) options: String,
}

pub(super) fn lines(root: &Tree) -> Vec<FstabLine> {
    let bytes = read(root, FSTAB).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parse = |(number, line): (u32, &str)| {
        let mut fields = line.split_whitespace().map(str::to_owned);
        let spec = fields.next().filter(|spec| !spec.starts_with('#'))?;
        let dir = fields.next()?;
        let kind = fields.next()?;
        let dir = if dir == "/" {
            dir
        } else {
            dir.trim_end_matches('/').to_owned()
        };
        Some(FstabLine {
            number,
            spec,
            dir,
            kind,
            options: fields.next().unwrap_or_default(),
        })
    };
    (1..).zip(text.lines()).filter_map(parse).collect()
}

/// The device that a line mounts.
#[derive(Debug, PartialEq, Eq)]
enum MountSource {
    /// A partition of this disk.
    Partition(u32),
    /// Not a device, or not one of this disk: nothing to check.
    Other,
    /// A partition that does not exist on this disk.
    Gone,
}

fn mount_source(disk: &Disk, spec: &str) -> MountSource {
    let to = |number: Option<u32>| number.map_or(MountSource::Gone, MountSource::Partition);
    if let Some((tag, value)) = spec.split_once('=') {
        let value = value.trim_matches('"');
        let with = |find: &dyn Fn(&super::super::disk::PartitionFiles) -> bool| {
            to(disk
                .parts
                .iter()
                .find(|part| part.files.as_ref().is_some_and(find))
                .map(|part| part.number))
        };
        return match tag {
            "UUID" => with(&|files| files.uuid.eq_ignore_ascii_case(value)),
            "LABEL" => with(&|files| files.label.trim_end() == value),
            "PARTUUID" => {
                to(disk.resolve(&format!("/dev/disk/by-partuuid/{}", value.to_lowercase())))
            }
            "PARTLABEL" => to(disk.resolve(&format!("/dev/disk/by-partlabel/{value}"))),
            _ => MountSource::Other,
        };
    }
    if let Some(uuid) = spec.strip_prefix("/dev/disk/by-uuid/") {
        return mount_source(disk, &format!("UUID={uuid}"));
    }
    if let Some(label) = spec.strip_prefix("/dev/disk/by-label/") {
        return mount_source(disk, &format!("LABEL={label}"));
    }
    match spec {
        "/dev/root" => MountSource::Other,
        _ if spec.starts_with("/dev/") => to(disk.resolve(spec)),
        _ => MountSource::Other,
    }
}

/// Checks the mounts of the root filesystem.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &files.tree) else {
        return;
    };
    let place = || Location::partition(roles.a).path(FSTAB);
    let at = |line: &FstabLine| place().line(line.number);
    let list = lines(root);
    each(disk, &list, &at, log);
    let on = |number: u32| {
        list.iter()
            .find(|line| mount_source(disk, &line.spec) == MountSource::Partition(number))
    };
    let data = on(roles.data).map(|line| line.dir.clone());
    let unit = ["/etc", "/usr/lib", "/lib"].iter().any(|dir| {
        root.file(format!("{dir}/systemd/system/data.mount"))
            .is_some()
    });
    log.check(
        data.as_deref() == Some("/data") || unit,
        "fstab-data",
        || {
            (
                place(),
                format!(
                    "the data partition {} is mounted at {}, not at /data",
                    roles.data,
                    data.as_deref().unwrap_or("no mount point")
                ),
            )
        },
    );
    if let Some(boot) = roles.boot {
        let line = boot_line(disk, root, &list, boot);
        let dir = line.map(|line| line.dir.clone());
        let here = line.map_or_else(place, at);
        let exists = dir.as_ref().is_some_and(|dir| root.dir(dir).is_some());
        log.check(exists, "fstab-boot", || {
            let text = dir.map_or_else(
                || format!("the boot partition {boot} is not mounted"),
                |dir| format!("the mount point {dir} of the boot partition is not a directory"),
            );
            (here, text)
        });
        if let Some(line) = line {
            written(line, at(line), log);
        }
    }
    let fixed = list.iter().find(|line| {
        line.dir == "/" && matches!(mount_source(disk, &line.spec), MountSource::Partition(_))
    });
    if let Some(line) = fixed {
        let text = format!(
            "/ is {}, which is always the same slot: /dev/root is right in both",
            line.spec
        );
        log.add(Severity::Warning, "fstab-root", at(line), text);
    } else {
        log.passed(1);
    }
}

/// Checks each line: its mount point has no other, and its device exists.
fn each(disk: &Disk, list: &[FstabLine], at: &dyn Fn(&FstabLine) -> Location, log: &mut Log) {
    let mut dirs = BTreeSet::new();
    for line in list {
        if line.dir.starts_with('/') {
            let fresh = dirs.insert(&line.dir);
            log.check(fresh, "fstab-duplicate", || {
                (at(line), format!("{} is mounted twice", line.dir))
            });
        }
        let waits = !line
            .options
            .split(',')
            .any(|option| matches!(option, "nofail" | "noauto"));
        let there = mount_source(disk, &line.spec) != MountSource::Gone;
        log.check(there || !waits, "fstab-device", || {
            (
                at(line),
                format!(
                    "{} for {} is not a partition of this disk: the boot would wait for it",
                    line.spec, line.dir
                ),
            )
        });
    }
}

/// The boot environment is on the boot partition: it must be mounted for writing.
fn written(line: &FstabLine, place: Location, log: &mut Log) {
    let has = |option: &str| line.options.split(',').any(|there| there == option);
    let missing = has("noauto") && !has("x-systemd.automount");
    log.check(!has("ro") && !missing, "fstab-boot-options", || {
        let text = format!(
            "the boot partition is mounted at {} with {}: the boot environment could not be written",
            line.dir, line.options
        );
        (place, text)
    });
}

/// The line of partition `boot`, which is one with a mount point that exists if there is one: a
/// partition of another disk can have the same number.
fn boot_line<'l>(
    disk: &Disk,
    root: &Tree,
    list: &'l [FstabLine],
    boot: u32,
) -> Option<&'l FstabLine> {
    list.iter()
        .filter(|line| mount_source(disk, &line.spec) == MountSource::Partition(boot))
        .max_by_key(|line| root.dir(&line.dir).is_some())
}

/// The mount point of the boot partition.
pub(in super::super) fn boot_mount(disk: &Disk, roles: &Roles) -> Option<String> {
    let root = &disk.files(roles.a)?.tree;
    let boot = MountSource::Partition(roles.boot?);
    lines(root)
        .into_iter()
        .find(|line| mount_source(disk, &line.spec) == boot)
        .map(|line| line.dir)
}
