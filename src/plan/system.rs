//! Whether the system of the golden image is one that goldsmith can convert.

use crate::golden::{Golden, facts};
use crate::platform::Architecture;
use crate::problem::Problem;

/// Fails for a system without dpkg and without a program that the kernel starts: its own tools
/// would have to name one at each start, which only they know.
pub(super) fn refuse_without_init(golden: &Golden) -> Result<(), Problem> {
    let (facts, root) = (&golden.facts, &golden.root.tree);
    if facts.dpkg || facts::has_init(root) {
        return Ok(());
    }
    let message = format!(
        "{} has no init program that the kernel starts by itself: no /sbin/init, /etc/init or \
         /bin/init",
        facts.os.pretty
    );
    Err(Problem::new(message)
        .hint("convert a Debian system, or one whose /sbin/init is a link to its init program"))
}

/// A note about an image without dpkg: much of what goldsmith does for Debian does not apply there.
pub(super) fn no_packages(golden: &Golden) -> Option<String> {
    let facts = &golden.facts;
    (!facts.dpkg).then(|| {
        let system = if facts.os.pretty.is_empty() {
            "the system"
        } else {
            &facts.os.pretty
        };
        format!(
            "{system} is not a Debian system (it has no /var/lib/dpkg/status): packages cannot be \
             installed, and kernels that are installed on the device are found only if they are \
             /boot/vmlinuz-VERSION with /boot/initrd.img-VERSION"
        )
    })
}

/// The problem of an image for no known architecture.
pub(super) fn unknown_architecture(golden: &Golden) -> Problem {
    let supported = Architecture::ALL.map(Architecture::name).join(", ");
    let message = match facts::elf_machine(&golden.root.tree) {
        Some((path, machine)) => format!(
            "{path} is a program for {machine}; the supported architectures are {supported}"
        ),
        None => format!(
            "the architecture of the image is unknown: /bin/sh, /usr/bin/env and /sbin/init are \
             missing or not ELF programs; the supported architectures are {supported}"
        ),
    };
    Problem::new(message).hint(format!("convert an image of a system for {supported}"))
}
