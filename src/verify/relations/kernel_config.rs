//! What the kernel of a slot was built with: whether it takes the arguments of the boot loader, and
//! reads the partitions and filesystems of this disk.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::ACCEPTED;
use crate::image::table::DiskId;
use crate::tree::{DirEntry, Tree, show};
use std::collections::BTreeSet;

/// Checks the kernel of slot A.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let Some(version) = version(root) else {
        return;
    };
    let path = format!("/boot/config-{version}");
    let text = lossy(read(root, &path));
    let is_accepted = lossy(read(root, ACCEPTED))
        .lines()
        .any(|line| line.split('\t').next() == Some(path.as_str()));
    let table = match disk.table.disk_id {
        DiskId::Gpt(_) => "CONFIG_EFI_PARTITION",
        DiskId::Mbr(_) => "CONFIG_MSDOS_PARTITION",
    };
    let missing = ["CONFIG_EXT4_FS", "CONFIG_VFAT_FS", table].map(|name| {
        let why = "this kernel cannot read what the device starts from";
        (format!("# {name} is not set"), why)
    });
    let forced = ["CONFIG_CMDLINE_FORCE=y", "CONFIG_CMDLINE_OVERRIDE=y"].map(|line| {
        let why = "this kernel ignores the arguments by which the boot loader chooses a slot";
        (line.to_owned(), why)
    });
    for (number, line) in (1..).zip(text.lines()) {
        let fault = missing
            .iter()
            .chain(&forced)
            .find(|(fault, _)| fault == line);
        let Some((_, why)) = fault else {
            continue;
        };
        let severity = match is_accepted {
            true => Severity::Note,
            false => Severity::Error,
        };
        let place = Location::partition(roles.a)
            .path(path.as_str())
            .line(number);
        log.add(severity, "kernel-config", place, format!("{line}: {why}"));
    }
    modules(root, roles.a, &version, &text, is_accepted, log);
    log.passed(1);
}

/// The modules that mounting the boot partition takes.
fn modules(root: &Tree, slot: u32, version: &str, text: &str, is_accepted: bool, log: &mut Log) {
    let setting = |name: &str| {
        let mut lines = (1..).zip(text.lines());
        lines.find_map(|(at, line)| {
            let value = line.strip_prefix(name)?.strip_prefix('=')?;
            Some((at, value.trim_matches('"')))
        })
    };
    let charset = match setting("CONFIG_FAT_DEFAULT_IOCHARSET").map(|(_, value)| value) {
        Some("ascii") => ("CONFIG_NLS_ASCII", "nls_ascii"),
        Some("iso8859-1") => ("CONFIG_NLS_ISO8859_1", "nls_iso8859-1"),
        Some("utf8") => ("CONFIG_NLS_UTF8", "nls_utf8"),
        _ => ("", ""),
    };
    let codepage = match setting("CONFIG_FAT_DEFAULT_CODEPAGE") {
        Some((_, "437")) => ("CONFIG_NLS_CODEPAGE_437", "nls_cp437"),
        _ => ("", ""),
    };
    let present = module_names(root, &format!("/lib/modules/{version}"));
    for (name, module) in [
        ("CONFIG_FAT_FS", "fat"),
        ("CONFIG_VFAT_FS", "vfat"),
        codepage,
        charset,
    ] {
        let Some((line, "m")) = setting(name).filter(|_| !name.is_empty()) else {
            continue;
        };
        if present.contains(module) {
            log.passed(1);
            continue;
        }
        // Without any, the initial RAM disk may have them.
        let severity = match is_accepted || present.is_empty() {
            true => Severity::Note,
            false => Severity::Error,
        };
        let place = Location::partition(slot)
            .path(format!("/boot/config-{version}"))
            .line(line);
        let text = format!(
            "{name}=m, but /lib/modules/{version} has no {module}: the boot partition cannot be mounted"
        );
        log.add(severity, "kernel-config", place, text);
    }
}

/// The names of the modules in a directory and those in it.
fn module_names(root: &Tree, path: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut todo: Vec<_> = root.dir(path).into_iter().collect();
    while let Some(dir) = todo.pop() {
        for (name, entry) in &dir.entries {
            match entry {
                DirEntry::Dir(below) => todo.push(below),
                DirEntry::Leaf(_) => {
                    let name = show(name);
                    out.extend(name.split_once(".ko").map(|(stem, _)| stem.to_owned()));
                }
            }
        }
    }
    out
}

fn lossy(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The version in the name of the kernel that starts.
fn version(root: &Tree) -> Option<String> {
    let slot = lossy(read(root, "/boot/mender-slot.env"));
    let named = slot.lines().find_map(|line| line.strip_prefix("kernel="));
    let named = named.map(|path| format!("/{path}"));
    let path = named.unwrap_or_else(|| "/vmlinuz".to_owned());
    let real = show(&root.walk(path.as_bytes(), true).ok()?.path());
    let name = real.rsplit('/').next()?;
    Some(name.split_once('-')?.1.to_owned())
}
