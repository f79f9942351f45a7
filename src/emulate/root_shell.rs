//! A root shell on the second serial port, for systems that let nobody in without a password:
//! arguments of the kernel, added to what the boot loader reads in the overlay (`boot_files`).
//!
//! Both root filesystems, and what an update writes, stay as they are. systemd-run-generator(8)
//! runs the command of `systemd.run=` as a unit, which starts the shell as one of its own and ends;
//! the target that the generator would start in place of the system's is overridden by
//! `systemd.unit=`, and `systemd.wants=` starts the unit besides. All of them are known to systemd
//! from version 240 on.

use crate::problem::Problem;
use crate::tree::{LeafKind, Node, Tree};
use anyhow::Result;

/// What the shell says when it waits for a command.
pub(super) const PROMPT: &str = "goldsmith-shell-is-ready";

/// The largest file of arguments that is read (bytes).
const LIMIT: u64 = 1 << 20;

/// Programs of systemd that the arguments need.
const NEEDED: [&str; 3] = [
    "lib/systemd/systemd",
    "lib/systemd/system-generators/systemd-run-generator",
    "bin/systemd-run",
];

/// Fails if the shell cannot be had in the system of a root filesystem, called `what` in messages.
///
/// # Errors
/// A [`Problem`].
pub(super) fn check_system(what: &str, root: &Tree) -> Result<(), Problem> {
    let is_missing = |path: &&&str| {
        let dirs = ["/usr/", "/"];
        dirs.iter()
            .all(|dir| root.find(format!("{dir}{path}")).is_none())
    };
    match NEEDED.iter().find(is_missing) {
        None => Ok(()),
        Some(path) => Err(Problem::new(format!(
            "{what} has no /usr/{path}: only a system that systemd starts can be driven"
        ))
        .hint("check its start alone, without --update and without rules for the running system")),
    }
}

/// The unit that systemd starts in this root filesystem: that of `systemd.unit=` on the kernel's
/// command line, or the target of the link `default.target` (systemd.special(7)).
///
/// # Errors
/// I/O errors of the file with the arguments.
pub(super) fn default_unit(root: &Tree) -> Result<String> {
    let arguments = root
        .text("/boot/mender-slot.env", LIMIT)?
        .unwrap_or_default();
    let words = arguments.lines().flat_map(str::split_whitespace);
    let mut named = words.filter_map(|word| {
        let word = word.strip_prefix("args=").unwrap_or(word);
        word.strip_prefix("systemd.unit=")
    });
    if let Some(unit) = named.next_back() {
        return Ok(unit.to_owned());
    }
    let dirs = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let link =
        dirs.iter().find_map(
            |dir| match &root.find_nofollow(format!("{dir}/default.target"))? {
                Node::Leaf(leaf) => match &leaf.kind {
                    LeafKind::Symlink(target) => Some(String::from_utf8_lossy(target).into_owned()),
                    _ => None,
                },
                Node::Dir(_) => None,
            },
        );
    let name = link.as_deref().and_then(|link| link.rsplit('/').next());
    Ok(name.unwrap_or("graphical.target").to_owned())
}

/// How long systemd waits for devices and units where the emulator is slow (seconds); 90 otherwise.
/// Systemd knows the first of these settings from version 254 on.
const PATIENCE: &str =
    " systemd.default_device_timeout_sec=300 systemd.default_timeout_start_sec=300";

/// The arguments of the kernel, for a system that starts `unit`, with the shell on `port`. They
/// have double quotes and neither `$` nor `'`, so that GRUB and U-Boot take them as they are.
pub(super) fn arguments(unit: &str, port: &str, is_fast: bool) -> String {
    let tty = "-p StandardInput=tty -p StandardOutput=tty -p StandardError=tty";
    let shell = format!(
        "systemd-run --no-block --unit=goldsmith-shell -p Restart=on-failure -p RestartSec=3 \
         -p SendSIGHUP=yes {tty} -p TTYPath={port} -E TERM=dumb -E PS1={PROMPT} /bin/sh -i"
    );
    let patience = if is_fast { "" } else { PATIENCE };
    format!(
        "\"systemd.run={shell}\" systemd.run_success_action=none systemd.run_failure_action=none \
         systemd.unit={unit} systemd.wants=kernel-command-line.service{patience}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_loaders_take_them_as_they_are() {
        let all = arguments("multi-user.target", "/dev/ttyS1", false);
        // A variable or a quote would end what they are in.
        assert!(!all.contains(['$', '\'', '\\', ';', '\n']), "{all}");
        assert!(
            all.starts_with('"') && all.matches('"').count() == 2,
            "{all}"
        );
        assert!(all.len() < 700);
        let fast = arguments("multi-user.target", "/dev/ttyS1", true);
        assert_eq!(all.strip_prefix(&fast), Some(PATIENCE));
    }
}
