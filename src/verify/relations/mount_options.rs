//! Mount options against the filesystems that they are for, and swap files: what Linux would refuse
//! at boot.

use super::super::disk::{Disk, PartitionFiles, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::fstab::{self, FSTAB, FstabLine};
use crate::fs::ext4::read::Info;
use crate::stream::{Content, ReadAt};
use crate::tree::Tree;

/// The file with the kernel arguments of a slot.
const SLOT_ENV: &str = "/boot/mender-slot.env";
/// Bits of features: projects (`ro_compat`), encryption (`incompat`), a journal (`compat`).
const PROJECT: u32 = 0x2000;
const ENCRYPT: u32 = 0x1_0000;
const HAS_JOURNAL: u32 = 0x4;
/// Blocks of our filesystems; also the usual page size (bytes).
const BLOCK: u64 = 4096;

/// Why Linux does not mount a filesystem with this option, if it does not.
fn refused(option: &str, info: &Info) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or_default();
    let lacks = |word: u32, bit: u32| word & bit == 0;
    match name {
        "prjquota" if lacks(info.ro_compat.word, PROJECT) => {
            Some("the filesystem has no feature project")
        }
        "test_dummy_encryption" if lacks(info.incompat.word, ENCRYPT) => {
            Some("the filesystem has no feature encrypt")
        }
        "journal_dev" | "journal_path" if !lacks(info.compat.word, HAS_JOURNAL) => {
            Some("the filesystem has its journal in itself")
        }
        _ => None,
    }
}

/// The value of the last `data=` in a list of options.
fn data_mode(options: &str) -> Option<&str> {
    let mut options = options.split(',').rev();
    options.find_map(|option| option.strip_prefix("data="))
}

/// Checks the options of root and data, and the swap files.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a) else {
        return;
    };
    let lines = fstab::lines(&root.tree);
    let words = arguments(&root.tree);
    let flags = words
        .iter()
        .rev()
        .find_map(|word| word.strip_prefix("rootflags="))
        .unwrap_or_default();
    for (dir, files) in [("/", Some(root)), ("/data", disk.files(roles.data))] {
        let Some(info) = files.and_then(|files| files.ext.as_ref()) else {
            continue;
        };
        for line in lines.iter().filter(|line| line.dir == dir) {
            let place = Location::partition(roles.a).path(FSTAB).line(line.number);
            fstab_line(line, info, flags, place, log);
        }
    }
    if let Some(info) = &root.ext {
        let place = Location::partition(roles.a).path(SLOT_ENV);
        kernel_arguments(&words, info, place, log);
    }
    for line in lines.iter().filter(|line| line.kind == "swap") {
        let data = disk.files(roles.data);
        swap(line, root, data, roles, log);
    }
}

/// The options of one line for a filesystem with `info`.
fn fstab_line(line: &FstabLine, info: &Info, flags: &str, place: Location, log: &mut Log) {
    for option in line.options.split(',') {
        let why = refused(option, info);
        log.check(why.is_none(), "fstab-option", || {
            let why = why.unwrap_or_default();
            let text = format!("{option} of {}: {why}, so Linux refuses it", line.dir);
            (place.clone(), text)
        });
    }
    // The kernel mounts root by its arguments first and never changes the mode afterwards.
    let Some(wanted) = data_mode(&line.options).filter(|_| line.dir == "/") else {
        return;
    };
    let mode = data_mode(flags)
        .or(info.mount.data_mode())
        .unwrap_or("ordered");
    log.check(wanted == mode, "fstab-option", || {
        let text = format!(
            "data={wanted} of /: the root filesystem is mounted with data={mode} before, which \
             Linux does not change, so it would stay read-only"
        );
        (place, text)
    });
}

/// `rootflags=` and `rootfstype=` of the slot.
fn kernel_arguments(words: &[String], info: &Info, place: Location, log: &mut Log) {
    for word in words {
        if let Some(flags) = word.strip_prefix("rootflags=") {
            for option in flags.split(',') {
                let why = refused(option, info);
                log.check(why.is_none(), "kernel-rootflags", || {
                    let why = why.unwrap_or_default();
                    let text = format!("{option} of rootflags: {why}, so Linux does not mount it");
                    (place.clone(), text)
                });
            }
        }
        if let Some(kinds) = word.strip_prefix("rootfstype=") {
            let fits = kinds.split(',').any(|kind| {
                matches!(kind, "auto" | "ext4")
                    || (kind == "ext3" && info.kind != "ext4")
                    || (kind == "ext2" && info.kind == "ext2")
            });
            log.check(fits, "kernel-rootfstype", || {
                let text = format!("{word}, but the root filesystem is {}", info.kind);
                (place.clone(), text)
            });
        }
    }
}

/// The kernel arguments of the slot, as GRUB's block or U-Boot's text has them.
fn arguments(root: &Tree) -> Vec<String> {
    let bytes = read(root, SLOT_ENV).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("args="));
    let line = line.unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// A swap file must have no holes; one without a signature may be made at boot.
fn swap(
    line: &FstabLine,
    root: &PartitionFiles,
    data: Option<&PartitionFiles>,
    roles: &Roles,
    log: &mut Log,
) {
    let path = line.spec.trim_matches('"');
    if !path.starts_with('/') || path.starts_with("/dev/") {
        return;
    }
    let on_data = data.zip(path.strip_prefix("/data/"));
    let (content, number) = match on_data {
        Some((data, rest)) => (data.tree.file(format!("/{rest}")), roles.data),
        None => (root.tree.file(path), roles.a),
    };
    let Some(content) = content else { return };
    let end = content.len().next_multiple_of(BLOCK);
    let covered: u64 = content
        .covered(BLOCK)
        .iter()
        .map(|range| range.end.min(end).saturating_sub(range.start))
        .sum();
    if covered >= end {
        log.passed(1);
        return;
    }
    let severity = if is_swap(content) {
        Severity::Error
    } else {
        Severity::Warning
    };
    let holes = end.saturating_sub(covered);
    let text = format!(
        "this swap file of {} bytes has holes of {holes} bytes: swapon does not take it",
        content.len()
    );
    let place = Location::partition(number).path(path);
    log.add(severity, "fstab-swap", place, text);
}

/// Whether the file has the signature of swap space.
fn is_swap(content: &Content) -> bool {
    let mut found = [0; 10];
    content
        .read_exact_at(BLOCK.saturating_sub(10), &mut found)
        .is_ok()
        && found == *b"SWAPSPACE2"
}
