//! Ubuntu for the Raspberry Pi: from 25.10 on, `piboot-try` has the firmware try new boot files by
//! itself.
//!
//! Sources: Ubuntu's documentation of its images for the Raspberry Pi, "A/B boot on Ubuntu for
//! Raspberry Pi"; the packages `piboot-try` and `flash-kernel-piboot`.

use crate::tree::Tree;

/// The units by which it acts: one restarts into the files of `new/`, one takes them for good.
pub(in crate::boot) const UNITS: [&str; 2] =
    ["piboot-try-reboot.service", "piboot-try-validate.service"];
/// Its directories on the boot partition: the files that start, those to be tried, those before.
pub(in crate::boot) const DIRECTORIES: [&str; 3] = ["current", "new", "old"];

/// The first of its units that the root filesystem has: the path.
pub(in crate::boot) fn piboot_try(root: &Tree) -> Option<String> {
    let dirs = ["/usr/lib/systemd/system", "/lib/systemd/system"];
    let mut paths = UNITS
        .iter()
        .flat_map(|unit| dirs.map(|dir| format!("{dir}/{unit}")));
    paths.find(|path| root.file(path).is_some())
}
