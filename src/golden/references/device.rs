//! Names of block devices, as configuration files write them.

use std::fmt;

/// A name of something that is mounted or opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// A tag of a filesystem or partition, in the form that [`Device::key`] compares.
    Tag(String),
    /// A partition by the kernel's name of its disk (`sda`, `mmcblk0`) and its number.
    Number(String, u32),
    /// A partition by a link that names its disk (`by-id`, `by-path`) and its number.
    Link(String, u32),
    /// A whole disk, by the kernel's name or by a link.
    Disk(String),
    /// A device of the device mapper, by name: decrypted, or a logical volume.
    Mapped(String),
    /// A RAID array, by the name after `/dev/`.
    Array(String),
    /// A path that is not below `/dev`.
    Path(String),
    /// Anything else: no device, or one that is not of a disk.
    Other,
}

/// The tags of filesystems and partitions that `mount(8)` knows.
const TAGS: [&str; 4] = ["UUID", "LABEL", "PARTUUID", "PARTLABEL"];

impl Device {
    /// Reads a name as it is in a file: quotes, octal and hexadecimal escapes are resolved.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = unescape(&text.replace(['"', '\''], ""));
        if let Some((tag, value)) = text.split_once('=') {
            if tag == "ID" {
                return link(value);
            }
            return match TAGS.iter().find(|known| **known == tag) {
                Some(tag) => Self::Tag(Self::key(tag, value)),
                None => Self::Other,
            };
        }
        if !text.starts_with('/') {
            return Self::Other;
        }
        let text = plain_path(&text);
        let Some(name) = text.strip_prefix("/dev/") else {
            return Self::Path(text);
        };
        if let Some(rest) = name.strip_prefix("disk/by-") {
            let Some((by, value)) = rest.split_once('/') else {
                return Self::Other;
            };
            let tag = by.to_uppercase();
            return match TAGS.iter().find(|known| **known == tag) {
                Some(tag) => Self::Tag(Self::key(tag, value)),
                None => link(value),
            };
        }
        if let Some(name) = name.strip_prefix("mapper/") {
            return Self::Mapped(name.to_owned());
        }
        if let Some(numbers) = name.strip_prefix("block/") {
            return by_device_number(numbers).unwrap_or(Self::Other);
        }
        if name.starts_with("md") && name.len() > 2 && !name.starts_with("mdev") {
            return Self::Array(name.to_owned());
        }
        kernel_name(name).unwrap_or_else(|| volume(name))
    }

    /// The key of a tag: `TAG=value`, with UUIDs in lower case.
    #[must_use]
    pub fn key(tag: &str, value: &str) -> String {
        match tag {
            "UUID" | "PARTUUID" => format!("{tag}={}", value.to_lowercase()),
            _ => format!("{tag}={value}"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(key) => f.write_str(key),
            Self::Number(disk, number) => write!(f, "partition {number} of {disk}"),
            Self::Link(link, number) => write!(f, "partition {number} of {link}"),
            Self::Disk(name) => write!(f, "the disk {name}"),
            Self::Mapped(name) => write!(f, "/dev/mapper/{name}"),
            Self::Array(name) => write!(f, "/dev/{name}"),
            Self::Path(path) => f.write_str(path),
            Self::Other => f.write_str("not a device of a disk"),
        }
    }
}

/// A link below `/dev/disk/by-id` or `by-path`, by its name there.
fn link(value: &str) -> Device {
    let part = value.rsplit_once("-part").and_then(|(disk, number)| {
        let number = number.parse().ok()?;
        Some(Device::Link(disk.to_owned(), number))
    });
    part.unwrap_or_else(|| Device::Disk(value.to_owned()))
}

/// A path without empty and `.` components, and without those that `..` takes back.
fn plain_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let end = match path.len() > 1 && path.ends_with('/') {
        true => "/",
        false => "",
    };
    format!("/{}{end}", parts.join("/"))
}

/// A link below `/dev/block`, which is called after the number of the device: `8:3` is `sda3`.
fn by_device_number(numbers: &str) -> Option<Device> {
    let (major, minor) = numbers.split_once(':')?;
    let minor: u32 = minor.parse().ok()?;
    let letter = |prefix: &str| {
        let letter = char::from_digit(minor.checked_div(16)?.checked_add(10)?, 36)?;
        Some((format!("{prefix}{letter}"), minor.checked_rem(16)?))
    };
    let (disk, number) = match major {
        "8" => letter("sd")?,
        "252" | "253" | "254" => letter("vd")?,
        "179" => (
            format!("mmcblk{}", minor.checked_div(8)?),
            minor.checked_rem(8)?,
        ),
        // Counted in the order in which the kernel finds partitions.
        "259" => ("nvme0n1".to_owned(), minor),
        _ => return None,
    };
    Some(match number {
        0 => Device::Disk(disk),
        _ => Device::Number(disk, number),
    })
}

/// A kernel name: `sda3`, `mmcblk0p3`, `nvme0n1p3`, or that of a disk.
fn kernel_name(name: &str) -> Option<Device> {
    for prefix in ["sd", "vd", "hd", "xvd"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
            let letters = rest.strip_suffix(digits).unwrap_or_default();
            if letters.is_empty() || letters.len() > 2 {
                continue;
            }
            let disk = format!("{prefix}{letters}");
            return match digits {
                "" => Some(Device::Disk(disk)),
                _ => Some(Device::Number(disk, digits.parse().ok()?)),
            };
        }
    }
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (rest, nvme) = match name.strip_prefix("mmcblk") {
        Some(rest) => (rest, false),
        None => (name.strip_prefix("nvme")?, true),
    };
    let counted = |text: &str| match (text.split_once('n'), nvme) {
        (Some((controller, namespace)), true) => digits(controller) && digits(namespace),
        (None, false) => digits(text),
        _ => false,
    };
    match rest.split_once('p') {
        Some((disk, number)) if counted(disk) => {
            let disk = name.strip_suffix(&format!("p{number}"))?;
            Some(Device::Number(disk.to_owned(), number.parse().ok()?))
        }
        None if counted(rest) => Some(Device::Disk(name.to_owned())),
        _ => None,
    }
}

/// A logical volume as `/dev/GROUP/VOLUME`; anything else is not of a disk.
fn volume(name: &str) -> Device {
    const DIRS: [&str; 11] = [
        "disk", "shm", "pts", "input", "bus", "dri", "net", "snd", "block", "char", "zvol",
    ];
    match name.split_once('/') {
        Some((group, volume))
            if !DIRS.contains(&group) && !volume.is_empty() && !volume.contains('/') =>
        {
            let double = |text: &str| text.replace('-', "--");
            Device::Mapped(format!("{}-{}", double(group), double(volume)))
        }
        _ => Device::Other,
    }
}

/// Resolves octal escapes (`\040`, of `fstab(5)`) and hexadecimal ones (`\x20`, of udev).
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = |skip: usize, len: usize, radix: u32| {
            let text = std::str::from_utf8(more.get(skip..skip.checked_add(len)?)?).ok()?;
            u8::from_str_radix(text, radix).ok()
        };
        let byte = match (first, more.first()) {
            (b'\\', Some(b'x')) => digits(1, 2, 16),
            (b'\\', Some(b'0'..=b'3')) => digits(0, 3, 8),
            _ => None,
        };
        out.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => more.get(3..).unwrap_or_default(),
            None => more,
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// All names of devices in a line: words that begin with `/dev/` or a tag, wherever quotes, commas,
/// colons and brackets end them.
#[must_use]
pub fn names_in(line: &str) -> Vec<(String, Device)> {
    let mut out = Vec::new();
    let ends = |c: char| c.is_whitespace() || "\"'`,;|()[]{}<>&".contains(c);
    for word in line.split(ends).filter(|word| !word.is_empty()) {
        // `--option=/dev/sda3`, `UUID=x`, `:/dev/sda3`, `/dev/sda3:/key`.
        let from = word.find("/dev/").or_else(|| {
            let tags = TAGS.iter().filter_map(|tag| word.find(&format!("{tag}=")));
            tags.filter(|at| {
                let before = word.get(..*at).unwrap_or_default();
                !before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_$".contains(c))
            })
            .min()
        });
        let Some(name) = from.and_then(|at| word.get(at..)) else {
            continue;
        };
        let link = ["/dev/disk/by-path/", "/dev/disk/by-id/", "/dev/block/"]
            .iter()
            .any(|start| name.starts_with(start));
        let name = match name.split_once(':') {
            Some((name, _)) if !link => name,
            _ => name,
        };
        match Device::parse(name) {
            Device::Other | Device::Path(_) => {}
            device => out.push((name.to_owned(), device)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(disk: &str, number: u32) -> Device {
        Device::Number(disk.to_owned(), number)
    }

    fn tag(key: &str) -> Device {
        Device::Tag(key.to_owned())
    }

    #[test]
    fn every_way_to_name_a_device() {
        for (text, expected) in [
            ("/dev/sda3", number("sda", 3)),
            ("/dev/vdb12", number("vdb", 12)),
            ("/dev/hda1", number("hda", 1)),
            ("/dev/xvda2", number("xvda", 2)),
            ("/dev/mmcblk0p3", number("mmcblk0", 3)),
            ("/dev/nvme0n1p15", number("nvme0n1", 15)),
            ("/dev/sda", Device::Disk("sda".into())),
            ("/dev/mmcblk1", Device::Disk("mmcblk1".into())),
            ("/dev/nvme0n1", Device::Disk("nvme0n1".into())),
            ("UUID=AB-CD", tag("UUID=ab-cd")),
            ("\"UUID=AB-CD\"", tag("UUID=ab-cd")),
            ("LABEL=\"My\\040Disk\"", tag("LABEL=My Disk")),
            ("LABEL='x'", tag("LABEL=x")),
            ("PARTLABEL=Data", tag("PARTLABEL=Data")),
            ("/dev/disk/by-uuid/AB", tag("UUID=ab")),
            ("/dev/disk/by-partuuid/AB", tag("PARTUUID=ab")),
            ("/dev/disk/by-label/a\\x20b", tag("LABEL=a b")),
            ("/dev/disk/by-partlabel/a", tag("PARTLABEL=a")),
            (
                "/dev/disk/by-id/ata-QEMU-part3",
                Device::Link("ata-QEMU".into(), 3),
            ),
            ("ID=ata-QEMU-part3", Device::Link("ata-QEMU".into(), 3)),
            (
                "/dev/disk/by-path/pci-0000:00:1f.2-ata-1",
                Device::Disk("pci-0000:00:1f.2-ata-1".into()),
            ),
            ("/dev/mapper/swap", Device::Mapped("swap".into())),
            ("/dev/vg-a/lv", Device::Mapped("vg--a-lv".into())),
            ("/dev/md0", Device::Array("md0".into())),
            ("/srv/x", Device::Path("/srv/x".into())),
            ("/srv/", Device::Path("/srv/".into())),
            ("//dev/./sda3", number("sda", 3)),
            ("/dev/disk/../sda3", number("sda", 3)),
            ("/dev/block/8:3", number("sda", 3)),
            ("/dev/block/8:16", Device::Disk("sdb".into())),
            ("/dev/block/179:2", number("mmcblk0", 2)),
            ("/dev/block/259:3", number("nvme0n1", 3)),
            ("/dev/disk/by-diskseq/1-part3", Device::Link("1".into(), 3)),
        ] {
            assert_eq!(Device::parse(text), expected, "{text}");
        }
        for text in [
            "tmpfs",
            "none",
            "/dev/root",
            "/dev/sr0",
            "/dev/null",
            "/dev/ttyS0",
            "/dev/shm/x",
            "server:/x",
            "size=1g",
            "/dev/mmcblk0boot0",
            "/dev/nvme0",
            "/dev/sdX1",
            "/dev/loop0",
        ] {
            assert_eq!(Device::parse(text), Device::Other, "{text}");
        }
    }

    #[test]
    fn names_are_found_within_lines() {
        let found = |line: &str| -> Vec<String> {
            names_in(line).into_iter().map(|(text, _)| text).collect()
        };
        assert_eq!(
            found("- [ /dev/sda3, /srv, ext4, \"nofail\" ]"),
            ["/dev/sda3"]
        );
        assert_eq!(
            found("swapon /dev/sda3 && mount LABEL=x /mnt"),
            ["/dev/sda3", "LABEL=x"]
        );
        assert_eq!(found("usb -fstype=auto :/dev/sda3"), ["/dev/sda3"]);
        assert_eq!(found("x /dev/sda1:/key keyscript=a"), ["/dev/sda1"]);
        assert_eq!(found("a|/dev/sda5|"), ["/dev/sda5"]);
        assert_eq!(found("RESUME=UUID=1-2"), ["UUID=1-2"]);
        assert_eq!(found("ID_FS_UUID=1 cat /dev/null >/dev/ttyS0"), [""; 0]);
        assert_eq!(
            found("/dev/disk/by-path/pci-0000:00-part3 x"),
            ["/dev/disk/by-path/pci-0000:00-part3"]
        );
    }
}
