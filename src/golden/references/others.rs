//! Every other text of the owner's that names a partition: settings below `/etc` that no program
//! known here reads, and scripts in the places for one's own. What they mean is not known, so they
//! are never changed.

use super::device::{Device, names_in};
use super::scripts::destroys;
use super::{Reference, Removal, text};
use crate::golden::lines::{Joining, LogicalLine, logical_lines};
use crate::stream::ReadAt;
use crate::tree::{DirEntry, LeafKind, Tree, show};
use std::collections::BTreeSet;

/// Where settings are.
const SETTINGS: &str = "/etc";
/// Where scripts of the owner are.
const SCRIPTS: [&str; 6] = [
    "/opt",
    "/srv",
    "/usr/local",
    "/home",
    "/root",
    "/var/lib/cloud/scripts",
];
/// Directories below `/etc` that have no settings of partitions, or whose files others look at.
const PASSED: [&str; 14] = [
    "/etc/alternatives",
    "/etc/apparmor.d",
    "/etc/bash_completion.d",
    "/etc/cloud",
    "/etc/fonts",
    "/etc/fstab.d",
    "/etc/grub.d",
    "/etc/kernel",
    "/etc/lvm",
    "/etc/logcheck",
    "/etc/ssl",
    "/etc/systemd",
    "/etc/udev",
    "/etc/vim",
];
/// Files that others look at.
const FILES: [&str; 4] = [
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/mtab",
    "/etc/mdadm.conf",
];
/// Ends of names of files that no program reads.
const OLD: [&str; 9] = [
    "~",
    ".bak",
    ".orig",
    ".old",
    ".save",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".md",
];
/// Files with more bytes than this are not somebody's settings.
const LIMIT: u64 = 128 << 10;

/// The references in files that are not among those of `seen`.
pub(super) fn gather(root: &Tree, seen: &BTreeSet<String>) -> Vec<Reference> {
    let mut paths = Vec::new();
    files_below(root, SETTINGS, &mut paths);
    let settings = paths.len();
    for dir in SCRIPTS {
        files_below(root, dir, &mut paths);
    }
    let mut out = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        if seen.contains(path) || is_passed(path) {
            continue;
        }
        let Some(body) = text(root, path).filter(|body| !body.contains('\0')) else {
            continue;
        };
        if at < settings || body.starts_with("#!") {
            read(path, &body, &mut out);
        }
    }
    out
}

fn is_passed(path: &str) -> bool {
    FILES.contains(&path)
        || OLD.iter().any(|end| path.ends_with(end))
        || PASSED.iter().any(|dir| {
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        })
}

/// The regular files of a directory and of those in it.
fn files_below(root: &Tree, dir: &str, out: &mut Vec<String>) {
    let Some(entries) = root.dir(dir) else { return };
    for (name, entry) in &entries.entries {
        let path = format!("{dir}/{}", show(name));
        match entry {
            DirEntry::Dir(_) => files_below(root, &path, out),
            DirEntry::Leaf(id) => {
                if let LeafKind::File(content) = &root.leaf(*id).kind
                    && content.len() <= LIMIT
                {
                    out.push(path);
                }
            }
        }
    }
}

/// The partitions that lines name.
fn read(path: &str, body: &str, out: &mut Vec<Reference>) {
    let is_script = body.starts_with("#!");
    let joining = match is_script {
        true => Joining::Shell,
        false => Joining::Never,
    };
    for line in logical_lines(body, joining, &['#', ';']) {
        let LogicalLine {
            first: line,
            last,
            text: body,
        } = line;
        let start = body.trim_start();
        if start.starts_with("//") || start.starts_with("<!--") || start.starts_with("* ") {
            continue;
        }
        let removal = match is_script && destroys(&body) {
            true => Removal::Refuse,
            false => Removal::Tell,
        };
        for (text, device) in names_in(&body) {
            if matches!(
                device,
                Device::Tag(_) | Device::Number(..) | Device::Link(..)
            ) {
                out.push(Reference {
                    file: path.to_owned(),
                    on_boot: false,
                    line,
                    last,
                    kind: match is_script {
                        true => "script",
                        false => "setting",
                    },
                    text,
                    device,
                    needed: false,
                    removal,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};

    #[test]
    fn settings_and_scripts_of_the_owner() {
        let mut root = empty();
        for (path, body) in [
            (
                "/etc/modprobe.d/gadget.conf",
                "options g_mass_storage file=/dev/sda3 ro=0\n",
            ),
            (
                "/etc/drbd.d/r0.res",
                "# disk /dev/sda4;\n  disk /dev/sda3;\n",
            ),
            (
                "/etc/app/app.yaml",
                "disk: /dev/disk/by-partlabel/stuff\n// /dev/sda3\n",
            ),
            ("/etc/app/app.yaml.bak", "disk: /dev/sda3\n"),
            ("/etc/fstab", "/dev/sda3 none swap sw 0 0\n"),
            ("/etc/systemd/x.conf", "A=/dev/sda3\n"),
            ("/etc/seen", "/dev/sda3\n"),
            ("/opt/app/wipe", "#!/bin/sh\nmkfs.ext4 /dev/sda3\n"),
            ("/opt/app/manual.txt", "mkfs.ext4 /dev/sda3\n"),
        ] {
            add(&mut root, path, body.as_bytes());
        }
        let found: Vec<(String, usize, Removal)> = gather(&root, &["/etc/seen".to_owned()].into())
            .into_iter()
            .map(|one| (one.file, one.line, one.removal))
            .collect();
        let expected = [
            ("/etc/app/app.yaml", 1, Removal::Tell),
            ("/etc/drbd.d/r0.res", 2, Removal::Tell),
            ("/etc/modprobe.d/gadget.conf", 1, Removal::Tell),
            ("/opt/app/wipe", 2, Removal::Refuse),
        ];
        let expected = expected.map(|(file, line, removal)| (file.to_owned(), line, removal));
        assert_eq!(found, expected);
    }
}
