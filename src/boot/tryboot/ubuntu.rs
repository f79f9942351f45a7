//! What Ubuntu for the Raspberry Pi does to boot files by itself: `flash-kernel` writes them with
//! each new kernel, and `piboot-try` has the firmware try them.

use crate::boot::common::divert::divert;
use crate::boot::common::pi::ubuntu::{DIRECTORIES, UNITS, piboot_try};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The program that the hooks of kernels and initial RAM disks call.
const FLASH_KERNEL: &str = "/usr/sbin/flash-kernel";

/// Makes it leave boot files and trials to the slots.
pub(super) fn arrange(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    if root.tree().file(FLASH_KERNEL).is_some() {
        let reason = "it would fill the boot partition with files that nothing starts: diverted as \
                      dpkg-divert does";
        notes.extend(divert(root, FLASH_KERNEL, reason)?);
        notes.push(
            "flash-kernel is diverted: zz-mender copies new kernels to a directory of the running \
             slot instead"
                .into(),
        );
    }
    if piboot_try(root.tree()).is_none() {
        return Ok(());
    }
    for unit in UNITS {
        root.symlink(
            format!("/etc/systemd/system/{unit}"),
            "/dev/null",
            "the firmware's trials are those of updates",
        )?;
    }
    let mut gone = Vec::new();
    for name in DIRECTORIES {
        let path = boot.tree().path_ignore_case(format!("/{name}"));
        let reason = "boot files of piboot-try: each slot has its own";
        if boot.remove(path, reason)?.is_some() {
            gone.push(format!("{name}/"));
        }
    }
    notes.push(format!(
        "Ubuntu's piboot-try: {} are masked, and {} of the boot partition removed: the firmware's \
         trials are those of updates now, and a new kernel is part of the running slot without a \
         trial of its own",
        UNITS.join(" and "),
        gone.join(", ")
    ));
    Ok(())
}
