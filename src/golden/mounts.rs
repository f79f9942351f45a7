//! What mounts the partitions of a golden image: `/etc/fstab`, mount units, partition types.

use super::contents::Contents;
use super::disk::GoldenDisk;
use super::fstab::FstabLine;
use super::references::entries;
use super::references::units::settings;
use crate::image::table::PartitionType;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// The size limit of texts that are read (bytes).
const TEXT_LIMIT: u64 = 4 << 20;

/// Directories with units, the ones that win first (`systemd.unit(5)`).
pub const UNIT_DIRS: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Types of GPT partitions that systemd mounts by itself (Discoverable Partitions Specification).
const DISCOVERED: [(&str, &str); 4] = [
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "/home"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "/srv"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "/var"),
    ("7ec6f557-3bc5-4aca-b293-16ef5df639d1", "/var/tmp"),
];

/// Names of the disk that a device starts from, if `fstab` does not name it: other disks are media
/// that come and go.
const FIRST_DISKS: [&str; 7] = [
    "sda", "vda", "hda", "xvda", "mmcblk0p", "mmcblk1p", "nvme0n1p",
];

/// Something that mounts a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedBy {
    /// The file and line, or what else it is, for messages.
    pub by: String,
    /// The mount point, absolute, without a slash at the end; `none` for swap space.
    pub dir: String,
    /// Mount options, separated by commas.
    pub options: String,
    /// The path of the unit; `None`: it is not a unit.
    pub unit: Option<String>,
}

/// The names of the partitions of a golden disk, as `fstab(5)` and units refer to them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    tags: BTreeMap<String, u32>,
    numbers: Vec<u32>,
    /// Names of decrypted volumes, with the devices that they are on.
    decrypted: BTreeMap<String, String>,
    /// The partition that is the only physical volume of LVM.
    volume_group: Option<u32>,
    /// The disk of the root filesystem, if `fstab` names it.
    disk: Option<String>,
}

impl Names {
    /// The names of the partitions of `disk`, whose contents are `contents` in its order, for the
    /// system `root`.
    #[must_use]
    pub fn new(disk: &GoldenDisk, contents: &[Contents], root: &Tree) -> Self {
        let mut names = Self::default();
        for (partition, contents) in disk.partitions.iter().zip(contents) {
            let number = partition.number;
            names.numbers.push(number);
            let partuuid = disk.table.partuuid(number).unwrap_or_default();
            for (tag, value) in [
                ("uuid", &contents.uuid),
                ("label", &contents.label),
                ("partuuid", &partuuid),
                ("partlabel", &partition.name),
            ] {
                if !value.is_empty() {
                    let name = format!("{tag}={value}").to_lowercase();
                    names.tags.entry(name).or_insert(number);
                }
            }
        }
        let mut volumes = disk
            .partitions
            .iter()
            .zip(contents)
            .filter(|(_, contents)| contents.format == "an LVM physical volume");
        names.volume_group = match (volumes.next(), volumes.next()) {
            (Some((only, _)), None) => Some(only.number),
            _ => None,
        };
        for line in text(root, "/etc/crypttab").lines() {
            let mut fields = line.split_whitespace();
            if let (Some(name), Some(device)) = (fields.next(), fields.next())
                && !name.starts_with('#')
            {
                names.decrypted.insert(name.to_owned(), device.to_owned());
            }
        }
        let fstab = text(root, "/etc/fstab");
        let slash = fstab.lines().filter_map(FstabLine::parse);
        names.disk = slash
            .filter(|line| line.dir == "/")
            .find_map(|line| Some(device(line.spec)?.0.to_owned()));
        names
    }

    /// The number of the partition that `spec` refers to: a tag, a link below `/dev/disk`, a kernel
    /// device name, a volume on it; `None` if it is not one of this disk.
    #[must_use]
    pub fn partition(&self, spec: &str) -> Option<u32> {
        let spec = unescape(&spec.replace('"', ""));
        if let Some((tag, value)) = spec.split_once('=') {
            let name = format!("{tag}={value}").to_lowercase();
            return self.tags.get(&name).copied();
        }
        if let Some(link) = spec.strip_prefix("/dev/disk/by-") {
            let (tag, value) = link.split_once('/')?;
            let value = value.replace("\\x20", " ").replace("\\x2f", "/");
            if matches!(tag, "uuid" | "label" | "partuuid" | "partlabel") {
                let name = format!("{tag}={value}").to_lowercase();
                return self.tags.get(&name).copied();
            }
            let (_, number) = value.rsplit_once("-part")?;
            return self.number(number);
        }
        if let Some(name) = spec.strip_prefix("/dev/mapper/")
            && let Some(device) = self.decrypted.get(name)
        {
            return self.partition(device);
        }
        if let Some((disk, number)) = device(&spec) {
            let own = match &self.disk {
                Some(own) => own == disk,
                None => FIRST_DISKS.contains(&disk),
            };
            return self.number(number).filter(|_| own);
        }
        let volume = spec
            .strip_prefix("/dev/")
            .filter(|rest| rest.contains('/') && !rest.starts_with("disk/"));
        volume.and(self.volume_group)
    }

    fn number(&self, text: &str) -> Option<u32> {
        let number = text.parse().ok()?;
        self.numbers.contains(&number).then_some(number)
    }
}

/// The disk and the partition number of a kernel device name, such as `/dev/sda3` and
/// `/dev/mmcblk0p3`.
fn device(spec: &str) -> Option<(&str, &str)> {
    let name = spec.strip_prefix("/dev/")?;
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.strip_prefix(disk).filter(|text| !text.is_empty())?;
    let letters = ["sd", "vd", "hd", "xvd"].iter().any(|prefix| {
        disk.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.chars().all(|c| c.is_ascii_lowercase()))
    });
    let counted = |prefix: &str| {
        disk.strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix('p'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    (letters || counted("mmcblk") || counted("nvme")).then_some((disk, number))
}

/// The text with the octal escapes of `fstab(5)` resolved.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// A mount point without a slash at the end.
fn directory(dir: &str) -> String {
    let dir = unescape(dir);
    if !dir.starts_with('/') {
        return "none".to_owned();
    }
    match dir.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

fn text(root: &Tree, path: &str) -> String {
    let bytes = root.read(path, TEXT_LIMIT).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Everything in the system `root` that mounts a partition of `disk`, by partition number.
#[must_use]
pub fn mounts(root: &Tree, disk: &GoldenDisk, names: &Names) -> BTreeMap<u32, Vec<MountedBy>> {
    let mut found: BTreeMap<u32, Vec<MountedBy>> = BTreeMap::new();
    let mut binds = Vec::new();
    let mut add = |spec: &str, mount: MountedBy| match names.partition(spec) {
        Some(number) => found.entry(number).or_default().push(mount),
        None if spec.starts_with('/') && mount.dir != "none" => {
            binds.push((directory(spec), mount))
        }
        None => {}
    };
    let fstab = text(root, "/etc/fstab");
    for (at, line) in fstab.lines().enumerate() {
        let Some(line) = FstabLine::parse(line) else {
            continue;
        };
        let mount = MountedBy {
            by: format!("/etc/fstab line {}", at + 1),
            dir: directory(line.dir),
            options: line.options.to_owned(),
            unit: None,
        };
        add(line.spec, mount);
    }
    for unit in units(root) {
        add(&unit.source, unit.mount);
    }
    discovered(disk, &mut found);
    // A directory of a mounted partition that is mounted once more.
    for (source, mount) in binds {
        let below = |other: &MountedBy| {
            source == other.dir || source.starts_with(&format!("{}/", other.dir))
        };
        let owner = found
            .iter()
            .filter(|(_, mounts)| mounts.iter().any(|other| other.dir != "/" && below(other)))
            .map(|(number, _)| *number)
            .next();
        if let Some(number) = owner {
            let by = format!("{} (from {source})", mount.by);
            found
                .entry(number)
                .or_default()
                .push(MountedBy { by, ..mount });
        }
    }
    found
}

/// Adds the partitions that systemd mounts by their type, if nothing else uses the mount point.
fn discovered(disk: &GoldenDisk, found: &mut BTreeMap<u32, Vec<MountedBy>>) {
    for partition in &disk.partitions {
        let PartitionType::Gpt(kind) = partition.kind else {
            continue;
        };
        let kind = kind.to_string();
        let Some((_, dir)) = DISCOVERED.iter().find(|(known, _)| *known == kind) else {
            continue;
        };
        let taken = found.values().flatten().any(|mount| mount.dir == *dir);
        if !taken && !found.contains_key(&partition.number) {
            let mount = MountedBy {
                by: "its partition type (systemd-gpt-auto-generator)".to_owned(),
                dir: (*dir).to_owned(),
                options: String::new(),
                unit: None,
            };
            found.insert(partition.number, vec![mount]);
        }
    }
}

/// A mount unit.
struct MountUnit {
    source: String,
    mount: MountedBy,
}

/// All mount units; one in a directory that wins hides others of its name.
fn units(root: &Tree) -> Vec<MountUnit> {
    let mut units: BTreeMap<String, Option<MountUnit>> = BTreeMap::new();
    for dir in UNIT_DIRS {
        let names = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
        for name in names.filter_map(|name| std::str::from_utf8(name).ok()) {
            if name.ends_with(".mount") && !units.contains_key(name) {
                units.insert(name.to_owned(), unit(root, dir, name));
            }
        }
    }
    units.into_values().flatten().collect()
}

/// The mount unit `name` of the directory `dir`, with its drop-ins.
fn unit(root: &Tree, dir: &str, name: &str) -> Option<MountUnit> {
    let path = format!("{dir}/{name}");
    let mut files = vec![path.clone()];
    let mut parts: Vec<String> = Vec::new();
    for parent in UNIT_DIRS {
        parts.extend(
            entries(root, &format!("{parent}/{name}.d"))
                .into_iter()
                .filter(|part| part.ends_with(".conf")),
        );
    }
    parts.sort_by_key(|part| part.rsplit('/').next().unwrap_or_default().to_owned());
    files.extend(parts);
    let value = |key: &str| {
        let found = files.iter().flat_map(|file| settings(root, file));
        found
            .filter(|(found, _)| found == key)
            .map(|(_, setting)| setting.value)
            .next_back()
    };
    Some(MountUnit {
        source: value("What")?,
        mount: MountedBy {
            by: path.clone(),
            dir: directory(&value("Where")?),
            options: value("Options").unwrap_or_default(),
            unit: Some(path),
        },
    })
}
