//! Scripts of the owner that name devices: those that run at each start, and programs in the usual
//! places for one's own.

use super::device::names_in;
use super::{Reference, Removal, entries, text};
use crate::golden::lines::{Joining, logical_lines};
use crate::stream::ReadAt;
use crate::tree::Tree;

/// Files and directories (which end in `/`) with scripts of the owner.
const PLACES: [&str; 16] = [
    "/etc/rc.local",
    "/etc/init.d/",
    "/etc/rc.d/",
    "/etc/network/if-up.d/",
    "/etc/crontab",
    "/etc/cron.d/",
    "/etc/cron.hourly/",
    "/etc/cron.daily/",
    "/etc/cron.weekly/",
    "/etc/cron.monthly/",
    "/var/spool/cron/crontabs/",
    "/etc/initramfs-tools/scripts/local-top/",
    "/etc/initramfs-tools/scripts/local-premount/",
    "/etc/initramfs-tools/scripts/local-bottom/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
];

/// Scripts with more bytes than this are programs of somebody else.
const LIMIT: u64 = 256 << 10;

/// Programs that change or destroy what is on the device that they are given.
const DESTROYS: [&str; 24] = [
    "mkfs",
    "mke2fs",
    "mkswap",
    "mkdosfs",
    "swapon",
    "cryptsetup",
    "systemd-cryptsetup",
    "dd",
    "wipefs",
    "fdisk",
    "sfdisk",
    "cfdisk",
    "sgdisk",
    "gdisk",
    "parted",
    "partprobe",
    "growpart",
    "resize2fs",
    "blkdiscard",
    "pvcreate",
    "vgextend",
    "mdadm",
    "zpool",
    "flashcp",
];

/// Whether a line of a script runs a program that changes the device that it is given.
pub(super) fn destroys(line: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || "\"'`;|&(){}@-+!:".contains(c);
    let words = line.split(ends).filter(|word| !word.is_empty());
    let mut names = words.map(|word| word.rsplit('/').next().unwrap_or_default());
    let writes = line.contains(">/dev/") || line.contains("> /dev/");
    writes
        || names.any(|name| DESTROYS.contains(&name) || name.starts_with("mkfs."))
        || line.contains("systemd-cryptsetup")
        || line.contains("of=/dev/")
}

pub(super) fn gather(root: &Tree) -> Vec<Reference> {
    let mut out = Vec::new();
    for place in PLACES {
        match place.strip_suffix('/') {
            None => script(root, place, &mut out),
            Some(dir) => {
                for path in entries(root, dir) {
                    script(root, &path, &mut out);
                }
            }
        }
    }
    out
}

fn script(root: &Tree, path: &str, out: &mut Vec<Reference>) {
    let small = root
        .file(path)
        .is_some_and(|content| content.len() <= LIMIT);
    if !small {
        return;
    }
    let Some(body) = text(root, path).filter(|body| !body.contains('\0')) else {
        return;
    };
    for line in logical_lines(&body, Joining::Shell, &['#']) {
        let removal = match destroys(&line.text) {
            true => Removal::Refuse,
            false => Removal::Tell,
        };
        out.extend(
            names_in(&line.text)
                .into_iter()
                .map(|(text, device)| Reference {
                    file: path.to_owned(),
                    on_boot: false,
                    line: line.first,
                    last: line.last,
                    kind: "script",
                    text,
                    device,
                    needed: false,
                    removal,
                }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};

    #[test]
    fn lines_that_destroy_and_lines_that_read() {
        let mut root = empty();
        let body = "#!/bin/sh\n# mkswap /dev/sda3\nmkswap /dev/sda3 && swapon /dev/sda3\n\
                    mount /dev/sda4 /mnt\nexec >/dev/console\n";
        add(&mut root, "/etc/rc.local", body.as_bytes());
        add(&mut root, "/usr/local/bin/tool", b"\x7fELF\0/dev/sda3");
        add(
            &mut root,
            "/etc/cron.d/x",
            b"1 * * * * root fsck.ext4 UUID=ab\n",
        );
        let found: Vec<(usize, String, Removal)> = gather(&root)
            .into_iter()
            .map(|one| (one.line, one.text, one.removal))
            .collect();
        let expected = [
            (3, "/dev/sda3", Removal::Refuse),
            (3, "/dev/sda3", Removal::Refuse),
            (4, "/dev/sda4", Removal::Tell),
            (1, "UUID=ab", Removal::Tell),
        ];
        let expected = expected.map(|(line, text, removal)| (line, text.to_owned(), removal));
        assert_eq!(found, expected);
    }

    #[test]
    fn programs_that_destroy_by_name() {
        for line in [
            "/sbin/mkfs.ext4 -q /dev/sda3",
            "-/sbin/sfdisk /dev/sda",
            "dd if=/dev/zero of=/dev/sda3",
            "echo x >/dev/sda3",
            "/lib/systemd/systemd-cryptsetup attach a /dev/sda3",
        ] {
            assert!(destroys(line), "{line}");
        }
        for line in ["mount /dev/sda3 /mnt", "add /dev/sda3", "blkid /dev/sda3"] {
            assert!(!destroys(line), "{line}");
        }
    }
}
