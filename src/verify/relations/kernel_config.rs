//! What the kernel of a slot was built with: whether it takes the arguments of the boot loader, and
//! reads the partitions and filesystems of this disk.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::ACCEPTED;
use crate::image::table::DiskId;
use crate::tree::{Tree, show};

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
    log.passed(1);
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
