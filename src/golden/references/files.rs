//! Configuration files of programs, by path: each line that names a device is a reference.

use super::device::{Device, names_in};
use super::{Reference, Removal, entries, files_of, text, udev};
use crate::golden::lines::{Joining, LogicalLine, logical_lines};
use crate::tree::Tree;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A kind of configuration file whose lines name devices.
struct Kind {
    name: &'static str,
    /// Paths of files; directories end in `/`, and the end of names that count follows after `*`.
    paths: &'static [&'static str],
    comments: &'static [char],
    joining: Joining,
    removal: Removal,
    needed: bool,
    /// The lines that count must contain one of these; empty: all.
    with: &'static [&'static str],
}

const HASH: &[char] = &['#'];

/// All kinds with a name at any place of a line.
const KINDS: [Kind; 12] = [
    Kind {
        name: "device with checksums",
        paths: &["/etc/veritytab", "/etc/integritytab"],
        comments: HASH,
        joining: Joining::Never,
        removal: Removal::Comment,
        needed: true,
        with: &[],
    },
    Kind {
        name: "initramfs",
        paths: &[
            "/etc/initramfs-tools/initramfs.conf",
            "/etc/initramfs-tools/conf.d/*",
            "/usr/share/initramfs-tools/conf.d/*",
            "/etc/uswsusp.conf",
        ],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::None,
        needed: true,
        with: &["RESUME", "resume device"],
    },
    Kind {
        name: "dracut",
        paths: &[
            "/etc/dracut.conf",
            "/etc/dracut.conf.d/*.conf",
            "/usr/lib/dracut/dracut.conf.d/*.conf",
        ],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::Comment,
        needed: true,
        with: &[
            "add_device",
            "kernel_cmdline",
            "fstab_lines",
            "filesystems",
            "resume",
        ],
    },
    Kind {
        name: "LVM devices file",
        paths: &["/etc/lvm/devices/*.devices"],
        comments: HASH,
        joining: Joining::Never,
        removal: Removal::Comment,
        needed: false,
        with: &[],
    },
    Kind {
        name: "LVM",
        paths: &["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"],
        comments: HASH,
        joining: Joining::Never,
        removal: Removal::Comment,
        needed: false,
        with: &[],
    },
    Kind {
        name: "autofs map",
        paths: &[
            "/etc/auto.*",
            "/etc/auto.master.d/*.autofs",
            "/etc/autofs/*",
        ],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::Comment,
        needed: false,
        with: &[],
    },
    Kind {
        name: "udisks",
        paths: &["/etc/udisks2/*.conf"],
        comments: HASH,
        joining: Joining::Never,
        removal: Removal::Tell,
        needed: false,
        with: &[],
    },
    Kind {
        name: "disk tool",
        paths: &[
            "/etc/smartd.conf",
            "/etc/hdparm.conf",
            "/etc/default/smartmontools",
        ],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::Comment,
        needed: false,
        with: &[],
    },
    Kind {
        name: "service setting",
        paths: &["/etc/default/*", "/etc/sysconfig/*", "/etc/conf.d/*"],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::Tell,
        needed: false,
        with: &[],
    },
    Kind {
        name: "overlay root",
        paths: &["/etc/overlayroot.conf", "/etc/overlayroot.local.conf"],
        comments: HASH,
        joining: Joining::Shell,
        removal: Removal::Refuse,
        needed: true,
        with: &["overlayroot"],
    },
    Kind {
        name: "mount by login",
        paths: &["/etc/security/pam_mount.conf.xml"],
        comments: &[],
        joining: Joining::Never,
        removal: Removal::Tell,
        needed: false,
        with: &["<volume"],
    },
    Kind {
        name: "tmpfiles",
        paths: &["/etc/tmpfiles.d/*.conf", "/etc/sysctl.d/*.conf"],
        comments: HASH,
        joining: Joining::Never,
        removal: Removal::Comment,
        needed: false,
        with: &[],
    },
];

/// Files whose shell variables contain kernel arguments.
const ARGUMENTS: [&str; 6] = [
    "/etc/default/grub",
    "/etc/default/grub.d/*.cfg",
    "/etc/default/u-boot",
    "/etc/default/flash-kernel",
    "/etc/default/extlinux",
    "/etc/kernel/cmdline",
];

/// Menus and arguments of boot loaders, on the root filesystem or the boot partition. They are not
/// edited: the boot loader's own integration takes arguments from them.
const MENUS: [&str; 8] = [
    "/boot/grub/grub.cfg",
    "/boot/extlinux/extlinux.conf",
    "/boot/armbianEnv.txt",
    "/boot/uEnv.txt",
    "/boot/firmware/cmdline.txt",
    "/extlinux/extlinux.conf",
    "/cmdline.txt",
    "/uEnv.txt",
];

/// The references of all configuration files.
pub(super) fn gather(root: &Tree, boot: &Tree) -> Vec<Reference> {
    let mut out = Vec::new();
    for kind in &KINDS {
        for path in paths(root, kind.paths) {
            if !paths(root, &ARGUMENTS).contains(&path) {
                kind.read(root, &path, &mut out);
            }
        }
    }
    crypttab(root, &mut out);
    arguments(root, &mut out);
    menus(root, boot, &mut out);
    raid(root, &mut out);
    udev::rules(root, &mut out);
    pools(root, &mut out);
    cloud(root, boot, &mut out);
    out
}

/// The files that match `patterns`.
fn paths(root: &Tree, patterns: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for pattern in patterns {
        match pattern.split_once('*') {
            None if root.file(pattern).is_some() => out.push((*pattern).to_owned()),
            None => {}
            Some((start, end)) => {
                let dir = start.rsplit_once('/').map_or("", |(dir, _)| dir);
                let mut found = files_of(root, dir, end);
                found.retain(|path| path.starts_with(start));
                out.extend(found);
            }
        }
    }
    out
}

impl Kind {
    fn read(&self, root: &Tree, path: &str, out: &mut Vec<Reference>) {
        let Some(text) = text(root, path) else {
            return;
        };
        for line in logical_lines(&text, self.joining, self.comments) {
            let LogicalLine {
                first: line,
                last,
                text: body,
            } = line;
            if !self.with.is_empty() && !self.with.iter().any(|with| body.contains(with)) {
                continue;
            }
            let mut names = names_in(&body);
            if names.is_empty() && self.removal == Removal::None {
                names.extend(resumes_from(&body));
            }
            out.extend(names.into_iter().map(|(text, device)| Reference {
                file: path.to_owned(),
                on_boot: false,
                line,
                last,
                kind: self.name,
                text,
                device,
                needed: self.needed,
                removal: self.removal,
            }));
        }
    }
}

/// What a setting resumes from that is not a device of a disk, such as a file.
fn resumes_from(line: &str) -> Option<(String, Device)> {
    let value = line.split_once('=')?.1.trim().trim_matches(['"', '\'']);
    let from = !matches!(value, "" | "none" | "auto");
    from.then(|| (value.to_owned(), Device::Mapped(value.to_owned())))
}

/// `/etc/crypttab`: the device, and a key on a partition.
fn crypttab(root: &Tree, out: &mut Vec<Reference>) {
    const PATH: &str = "/etc/crypttab";
    let body = text(root, PATH).unwrap_or_default();
    for line in logical_lines(&body, Joining::Never, HASH) {
        let LogicalLine {
            first: line,
            last,
            text: body,
        } = line;
        let fields: Vec<&str> = body.split_whitespace().collect();
        let options = fields.get(3).copied().unwrap_or_default();
        let optional = options
            .split(',')
            .any(|option| matches!(option, "nofail" | "noauto"));
        let mut add = |text: &str, device: Device| {
            if !matches!(device, Device::Other) {
                out.push(Reference {
                    file: PATH.to_owned(),
                    on_boot: false,
                    line,
                    last,
                    kind: "crypttab",
                    text: text.to_owned(),
                    device,
                    needed: !optional,
                    removal: Removal::Comment,
                });
            }
        };
        let Some(device) = fields.get(1) else {
            continue;
        };
        add(device, Device::parse(device));
        for field in fields.iter().skip(2) {
            for (text, device) in names_in(field) {
                add(&text, device);
            }
        }
    }
}

/// Kernel arguments in settings of boot loaders.
fn arguments(root: &Tree, out: &mut Vec<Reference>) {
    for path in paths(root, &ARGUMENTS) {
        let body = text(root, &path).unwrap_or_default();
        let joining = match path == "/etc/kernel/cmdline" {
            true => Joining::Never,
            false => Joining::Shell,
        };
        let stops = |c: char| c.is_whitespace() || "\"'".contains(c);
        for (at, word) in words_with_devices(&body, joining, stops) {
            let kind = ("kernel argument", Removal::Word);
            out.extend(of_word(&path, false, &at, word, kind));
        }
    }
}

/// Kernel arguments in menus; an argument that several entries have is one reference.
fn menus(root: &Tree, boot: &Tree, out: &mut Vec<Reference>) {
    for (on_boot, tree) in [(false, root), (true, boot)] {
        for path in MENUS {
            let body = text(tree, path).unwrap_or_default();
            let joining = match path.ends_with(".cfg") {
                true => Joining::Shell,
                false => Joining::Never,
            };
            let mut seen = BTreeSet::new();
            for (at, word) in words_with_devices(&body, joining, char::is_whitespace) {
                if seen.insert(word.clone()) {
                    let kind = ("boot menu", Removal::Menu);
                    out.extend(of_word(path, on_boot, &at, word, kind));
                }
            }
        }
    }
}

/// The words of `body` that set what names a device, each with the first and the last line of the
/// logical line that has it.
fn words_with_devices(
    body: &str,
    joining: Joining,
    stops: impl Fn(char) -> bool + Copy,
) -> Vec<(RangeInclusive<usize>, String)> {
    let mut out = Vec::new();
    for line in logical_lines(body, joining, HASH) {
        let LogicalLine { first, last, text } = line;
        let names = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(name, _)| names_device(name))
        };
        let words = text.split(stops).filter(names);
        out.extend(words.map(|word| (first..=last, word.to_owned())));
    }
    out
}

/// The references of one word: one for each device that it names.
fn of_word(
    file: &str,
    on_boot: bool,
    lines: &RangeInclusive<usize>,
    word: String,
    (kind, removal): (&'static str, Removal),
) -> Vec<Reference> {
    let devices = devices_of(&word).into_iter();
    let references = devices.map(|device| Reference {
        file: file.to_owned(),
        on_boot,
        line: *lines.start(),
        last: *lines.end(),
        kind,
        text: word.clone(),
        device,
        needed: true,
        removal,
    });
    references.collect()
}

/// The devices that a kernel argument names. Those of dracut and systemd write UUIDs and volumes
/// without a tag.
fn devices_of(word: &str) -> Vec<Device> {
    let named = names_in(word).into_iter().map(|(_, device)| device);
    let mut out: Vec<Device> = named.collect();
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let value = value.trim_matches(['"', '\'']);
    if !out.is_empty() || value.is_empty() {
        return out;
    }
    match name.trim_start_matches("rd.") {
        "luks.uuid" | "luks.name" | "md.uuid" => {
            let id = value.split('=').next().unwrap_or_default();
            let id = id.strip_prefix("luks-").unwrap_or(id);
            out.push(Device::Tag(Device::key("UUID", id)));
        }
        "lvm.lv" => out.push(Device::parse(&format!("/dev/{value}"))),
        "lvm.vg" | "dm.uuid" => out.push(Device::Mapped(value.to_owned())),
        _ => {}
    }
    out
}

/// Whether a kernel argument of this name names a device other than the root filesystem.
#[must_use]
fn names_device(name: &str) -> bool {
    let prefixes = [
        "rd.luks.",
        "luks.",
        "rd.lvm.",
        "rd.md.",
        "rd.dm",
        "dm-mod.",
        "systemd.verity",
    ];
    let names = [
        "resume",
        "cryptdevice",
        "cryptkey",
        "cryptopts",
        "mount.usr",
        "systemd.mount-extra",
        "systemd.swap-extra",
        "rd.systemd.mount-extra",
        "overlayroot",
        "boot",
        "md",
    ];
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// `mdadm.conf`: arrays by their UUID, and the devices to look at.
fn raid(root: &Tree, out: &mut Vec<Reference>) {
    for path in paths(root, &["/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"]) {
        let body = text(root, &path).unwrap_or_default();
        for line in logical_lines(&body, Joining::Indented, HASH) {
            let LogicalLine {
                first: line,
                last,
                text: body,
            } = line;
            let array = body.trim_start().to_uppercase().starts_with("ARRAY");
            let mut add = |text: &str, device: Device| {
                out.push(Reference {
                    file: path.clone(),
                    on_boot: false,
                    line,
                    last,
                    kind: "RAID",
                    text: text.to_owned(),
                    device,
                    needed: false,
                    removal: Removal::Comment,
                });
            };
            for word in body.split_whitespace().skip(1) {
                if let Some((name, value)) = word.split_once('=') {
                    if array && name.eq_ignore_ascii_case("uuid") {
                        add(word, Device::Tag(format!("ARRAY={}", value.to_lowercase())));
                    }
                    continue;
                }
                if let device @ (Device::Number(..) | Device::Link(..)) = Device::parse(word) {
                    add(word, device);
                }
            }
        }
    }
}

/// ZFS's list of pools, which is binary: the paths of devices in it.
fn pools(root: &Tree, out: &mut Vec<Reference>) {
    const PATH: &str = "/etc/zfs/zpool.cache";
    let Some(body) = text(root, PATH) else {
        return;
    };
    let words = body.split(|c: char| !c.is_ascii_graphic());
    for word in words.filter(|word| word.starts_with("/dev/")) {
        let device = Device::parse(word);
        if !matches!(device, Device::Other) {
            out.push(Reference {
                file: PATH.to_owned(),
                on_boot: false,
                line: 0,
                last: 0,
                kind: "ZFS",
                text: word.to_owned(),
                device,
                needed: false,
                removal: Removal::File,
            });
        }
    }
}

/// The modules of cloud-init that name devices, and how what they name is taken out: `mounts` is a
/// list of lines, the others partition and format.
const MODULES: [(&str, Removal); 5] = [
    ("mounts", Removal::Refuse),
    ("swap", Removal::Refuse),
    ("fs_setup", Removal::Refuse),
    ("disk_setup", Removal::Refuse),
    ("growpart", Removal::Refuse),
];

/// cloud-init: its configuration, seeds, and the files on the boot partition.
fn cloud(root: &Tree, boot: &Tree, out: &mut Vec<Reference>) {
    let mut files: Vec<(bool, String)> = Vec::new();
    let configured = paths(
        root,
        &["/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"],
    );
    files.extend(configured.into_iter().map(|path| (false, path)));
    for dir in entries(root, "/var/lib/cloud/seed") {
        for name in ["user-data", "vendor-data"] {
            files.push((false, format!("{dir}/{name}")));
        }
    }
    for name in ["user-data", "vendor-data"] {
        files.push((true, format!("/{name}")));
    }
    for (on_boot, path) in files {
        let body = text(if on_boot { boot } else { root }, &path).unwrap_or_default();
        let mut module = None;
        for line in logical_lines(&body, Joining::Never, HASH) {
            let LogicalLine {
                first: line,
                last,
                text: body,
            } = line;
            if let Some((key, _)) = body.split_once(':')
                && !body.starts_with([' ', '-', '\t'])
            {
                module = MODULES.iter().find(|(name, _)| *name == key.trim());
            }
            let Some((_, removal)) = module else {
                continue;
            };
            out.extend(names_in(&body).into_iter().map(|(text, device)| Reference {
                file: path.clone(),
                on_boot,
                line,
                last,
                kind: "cloud-init",
                text,
                device,
                needed: false,
                removal: *removal,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};

    /// The references of one file: line, text and device.
    fn found(path: &str, body: &str) -> Vec<(usize, String, String)> {
        let mut root = empty();
        add(&mut root, path, body.as_bytes());
        gather(&root, &empty())
            .into_iter()
            .map(|one| (one.line, one.text, one.device.to_string()))
            .collect()
    }

    fn texts(path: &str, body: &str) -> Vec<String> {
        found(path, body)
            .into_iter()
            .map(|(_, text, _)| text)
            .collect()
    }

    #[test]
    fn crypttab_names_devices_and_keys() {
        let body = "# swap /dev/sda3 x\nswap\t/dev/sda3\t/dev/urandom\tswap\r\n\
                    a UUID=\"AB\" /dev/sda1:/key luks\nvault /var/vault.img none luks\n";
        let found = found("/etc/crypttab", body);
        let expected = [
            (2, "/dev/sda3", "partition 3 of sda"),
            (3, "UUID=\"AB\"", "UUID=ab"),
            (3, "/dev/sda1", "partition 1 of sda"),
            (4, "/var/vault.img", "/var/vault.img"),
        ];
        let expected = expected.map(|(line, text, device)| (line, text.into(), device.into()));
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_joined_as_their_programs_do() {
        // A volume's line is one of its own, whatever the one before ends in.
        let body = "# x \\\na /dev/sda3 none luks\\\nb /dev/sda4 none luks\n";
        assert_eq!(texts("/etc/crypttab", body), ["/dev/sda3", "/dev/sda4"]);
        let body = "GRUB_CMDLINE_LINUX=\"quiet \\\nresume=/dev/\\\nsda3\"\n# x \\\nA=\"resume=/dev/sda4\"\n";
        let expected = ["resume=/dev/sda3", "resume=/dev/sda4"];
        assert_eq!(texts("/etc/default/grub", body), expected);
        let body = "ARRAY /dev/md0 metadata=1.2\n  # x\n  UUID=AA:BB\nDEVICE\n  /dev/sda5\n";
        let raid = found("/etc/mdadm/mdadm.conf", body);
        let devices: Vec<_> = raid.iter().map(|one| (one.0, one.2.as_str())).collect();
        assert_eq!(devices, [(1, "ARRAY=aa:bb"), (4, "partition 5 of sda")]);
        let body = "label a\n  append quiet \\\n# x \\\nlabel b\n  append resume=/dev/sda3\n";
        assert_eq!(
            texts("/boot/extlinux/extlinux.conf", body),
            ["resume=/dev/sda3"]
        );
    }

    #[test]
    fn resuming_and_initial_ram_disks() {
        let path = "/etc/initramfs-tools/conf.d/resume";
        assert_eq!(texts(path, "RESUME=UUID=1-2\n"), ["UUID=1-2"]);
        assert_eq!(texts(path, "RESUME=none\n#RESUME=/dev/sda3\n"), [""; 0]);
        let body = "add_device+=\" /dev/sda3 \"\nkernel_cmdline+=\" resume=LABEL=s \"\n";
        assert_eq!(
            texts("/etc/dracut.conf.d/a.conf", body),
            ["/dev/sda3", "LABEL=s"]
        );
        assert_eq!(
            texts("/etc/uswsusp.conf", "resume device = /dev/sda3\n"),
            ["/dev/sda3"]
        );
    }

    #[test]
    fn kernel_arguments_of_menus() {
        let body = "# resume=/dev/sda9\nGRUB_CMDLINE_LINUX=\"quiet resume=UUID=1 root=/dev/sda2 \
                    systemd.mount-extra=/dev/sda3:/srv:ext4 rd.luks.name=x=y console=ttyS0\"\n";
        assert_eq!(
            texts("/etc/default/grub", body),
            [
                "resume=UUID=1",
                "systemd.mount-extra=/dev/sda3:/srv:ext4",
                "rd.luks.name=x=y"
            ]
        );
    }

    #[test]
    fn arguments_of_menus_are_listed_once() {
        let body = "menuentry a {\nlinux /vmlinuz root=/dev/sda2 resume=UUID=1\n}\n\
                    menuentry b {\nlinux /vmlinuz root=/dev/sda2 resume=UUID=1\n}\n";
        let found = found("/boot/grub/grub.cfg", body);
        assert_eq!(found, [(2, "resume=UUID=1".into(), "UUID=1".into())]);
    }

    #[test]
    fn volume_managers() {
        let body = "DEVICE partitions /dev/sda5\nARRAY /dev/md0 UUID=AA:BB name=x\n";
        let raid = found("/etc/mdadm/mdadm.conf", body);
        assert_eq!(raid[0].2, "partition 5 of sda");
        assert_eq!(raid[1].2, "ARRAY=aa:bb");
        let body =
            "VERSION=1.1.1\nIDTYPE=devname IDNAME=/dev/sda5 DEVNAME=/dev/sda5 PVID=x PART=5\n";
        let lvm = texts("/etc/lvm/devices/system.devices", body);
        assert_eq!(lvm, ["/dev/sda5", "/dev/sda5"]);
        let pools = texts("/etc/zfs/zpool.cache", "\0\0path\0\0/dev/sda4\0x");
        assert_eq!(pools, ["/dev/sda4"]);
    }

    #[test]
    fn cloud_init_only_in_its_modules() {
        let body = "#cloud-config\nbootcmd:\n - echo /dev/sda9\nmounts:\n - [ /dev/sda3, /srv ]\n\
                    fs_setup:\n  - label: x\n    device: '/dev/sda4'\ndisk_setup:\n  /dev/sda:\n    \
                    layout: true\ngrowpart:\n  devices: ['/']\n";
        let found = texts("/etc/cloud/cloud.cfg.d/9.cfg", body);
        assert_eq!(found, ["/dev/sda3", "/dev/sda4", "/dev/sda"]);
    }

    #[test]
    fn automounter_maps_and_settings() {
        let map = texts(
            "/etc/auto.media",
            "usb -fstype=auto :/dev/sda3\nx server:/y\n",
        );
        assert_eq!(map, ["/dev/sda3"]);
        assert_eq!(
            texts("/etc/default/backup", "DISK=/dev/sda3\n"),
            ["/dev/sda3"]
        );
        assert_eq!(texts("/etc/smartd.conf", "/dev/sda -a\n"), ["/dev/sda"]);
    }
}
