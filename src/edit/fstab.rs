//! Merges `/etc/fstab` (`fstab(5)`): our mounts, the owner's own lines, and a note for each device
//! that is gone.

use crate::golden::fstab::{FstabLine, same_dir};
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// One mount of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The first field: the device.
    pub spec: String,
    /// The second field: the mount point.
    pub dir: String,
    /// The third field: the filesystem type.
    pub kind: String,
    /// Options that replace those of the golden image; `None` keeps them.
    pub options: Option<String>,
    /// The options if neither the configuration nor the golden image has any.
    pub default_options: String,
    /// Options that are always there.
    pub required: Vec<String>,
    /// Options of the golden image that no longer apply.
    pub dropped: Vec<String>,
    /// The sixth field: the order of checks at boot, 0 for none.
    pub pass: u32,
}

/// The devices that lines of the golden `fstab` may refer to.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// `TAG=value` specs that resolve on the new disk, in lower case.
    pub tags: BTreeSet<String>,
    /// Those of them that are the boot partition, which is mounted once.
    pub boot: BTreeSet<String>,
    /// Specs of partitions of the golden disk, as the lines have them: the plan has decided what
    /// becomes of these partitions.
    pub decided: BTreeSet<String>,
    /// `TAG=value` specs of the golden disk, in lower case, each with a description of its
    /// partition.
    pub golden: BTreeMap<String, String>,
}

/// Directories without which a system does not start or is incomplete.
const NEEDED: [&str; 7] = [
    "/boot",
    "/etc",
    "/opt",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
];

/// The merged text, and the lines that could not be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The new text of `/etc/fstab`.
    pub text: String,
    /// One sentence for each line that was commented out.
    pub notes: Vec<String>,
    /// Parts of the system on partitions of their own, which would be gone.
    pub problems: Vec<Problem>,
}

/// Merges `old` with our mounts: a line of ours replaces the line with the same mount point; lines
/// whose device is gone are commented out with a note; everything else is kept.
#[must_use]
pub fn merge(old: &str, mounts: &[Mount], present: &Present) -> Merged {
    let mut merged = Merged::default();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for line in old.lines() {
        let Some(entry) = FstabLine::parse(line) else {
            merged.line(line);
            continue;
        };
        if let Some(mount) = mounts.iter().find(|mount| same_dir(&mount.dir, entry.dir)) {
            if done.insert(&mount.dir) {
                merged.line(&mount.line(fits(&entry, mount).then_some(entry.options)));
                merged.notes.extend(left_behind(&entry, mount, present));
            }
        } else if let Some(problem) = needed(&entry, present) {
            merged.problems.push(problem);
        } else if let Some(why) =
            gone(&entry, present).or_else(|| elsewhere(&entry, mounts, present))
        {
            merged.line(&format!("# {why}; the line was:"));
            merged.line(&format!("# {line}"));
            merged.notes.push(format!(
                "/etc/fstab: {} on {} is commented out: {why}",
                entry.spec, entry.dir
            ));
        } else {
            merged.line(line);
        }
    }
    for mount in mounts
        .iter()
        .filter(|mount| !done.contains(mount.dir.as_str()))
    {
        merged.line(&mount.line(None));
    }
    merged
}

impl Merged {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

impl Mount {
    fn line(&self, golden: Option<&str>) -> String {
        let base = self
            .options
            .as_deref()
            .or(golden)
            .unwrap_or(&self.default_options);
        let mut options: Vec<&str> = base
            .split(',')
            .filter(|option| !self.dropped.iter().any(|drop| drop == option))
            .collect();
        let missing: Vec<&str> = self
            .required
            .iter()
            .map(String::as_str)
            .filter(|option| !options.contains(option))
            .collect();
        options.extend(missing);
        if options.is_empty() {
            options.push("defaults");
        }
        format!(
            "{:<23} {:<15} {:<7} {} 0 {}",
            self.spec,
            self.dir,
            self.kind,
            options.join(","),
            self.pass
        )
    }
}

/// The reason why this line would delay the boot, if it would.
fn gone(line: &FstabLine<'_>, present: &Present) -> Option<String> {
    if line
        .options
        .split(',')
        .any(|option| matches!(option, "nofail" | "noauto"))
    {
        return None;
    }
    device_gone(line, present)
}

/// The reason why this line would mount the boot partition a second time, if it would.
fn elsewhere(line: &FstabLine<'_>, mounts: &[Mount], present: &Present) -> Option<String> {
    let boot = mounts
        .iter()
        .find(|mount| present.boot.contains(&mount.spec.to_lowercase()))?;
    let same = present
        .boot
        .contains(&line.spec.replace('"', "").to_lowercase());
    same.then(|| format!("the boot partition is mounted on {}", boot.dir))
}

/// The reason why its device cannot be on the converted disk, if there is one.
fn device_gone(line: &FstabLine<'_>, present: &Present) -> Option<String> {
    let spec = line.spec.trim_matches('"');
    if let Some((tag, value)) = spec.split_once('=')
        && matches!(tag, "UUID" | "LABEL" | "PARTUUID" | "PARTLABEL")
    {
        let wanted = format!("{tag}={}", value.trim_matches('"')).to_lowercase();
        return (!present.tags.contains(&wanted)).then(|| {
            format!(
                "no filesystem of the converted disk has {tag} {}",
                value.trim_matches('"')
            )
        });
    }
    let disk = [
        "/dev/sd",
        "/dev/vd",
        "/dev/hd",
        "/dev/xvd",
        "/dev/mmcblk",
        "/dev/nvme",
        "/dev/disk/by-",
    ]
    .iter()
    .any(|p| spec.starts_with(p));
    let mapped = spec.starts_with("/dev/mapper/") || spec.starts_with("/dev/md");
    if disk || mapped {
        return Some(format!("{spec} does not exist on the converted disk"));
    }
    None
}

/// Whether its options apply to the filesystem of `mount`.
fn fits(line: &FstabLine<'_>, mount: &Mount) -> bool {
    let ext = |kind: &str| matches!(kind, "ext2" | "ext3" | "ext4");
    line.kind
        .split(',')
        .any(|kind| kind == "auto" || kind == mount.kind || (ext(kind) && ext(&mount.kind)))
}

/// A description of the partition of the golden disk that the line refers to, or its first field.
fn place(line: &FstabLine<'_>, present: &Present) -> String {
    let spec = line.spec.replace('"', "");
    present
        .golden
        .get(&spec.to_lowercase())
        .cloned()
        .unwrap_or(spec)
}

/// A note if the golden image had its own partition on the mount point of our data partition.
fn left_behind(line: &FstabLine<'_>, mount: &Mount, present: &Present) -> Option<String> {
    let lost =
        mount.dir == "/data" && line.spec != mount.spec && !present.decided.contains(line.spec);
    lost.then(|| {
        format!(
            "/etc/fstab: the data of {} on /data is not carried over: the data partition is new",
            place(line, present)
        )
    })
}

/// The problem of a system that would be incomplete without the partition of this line.
fn needed(line: &FstabLine<'_>, present: &Present) -> Option<Problem> {
    let dir = NEEDED.into_iter().find(|dir| same_dir(dir, line.dir))?;
    if present.decided.contains(line.spec) {
        return None;
    }
    device_gone(line, present)?;
    let place = place(line, present);
    let message = format!(
        "{place} is mounted on {dir} by /etc/fstab, but only the root filesystem goes into the \
         slots"
    );
    let hint = format!(
        "copy its files to {dir} of the root filesystem in the golden image, and remove its line \
         from /etc/fstab"
    );
    Some(Problem::new(message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the text names swap space on a device.
    fn has_device_swap(text: &str) -> bool {
        let lines = text.lines().filter_map(FstabLine::parse);
        lines
            .filter(|line| line.kind == "swap")
            .any(|line| line.spec.contains('=') || line.spec.starts_with("/dev/"))
    }

    fn mounts() -> Vec<Mount> {
        let mount = |spec: &str, dir: &str, kind: &str, pass| Mount {
            spec: spec.into(),
            dir: dir.into(),
            kind: kind.into(),
            options: None,
            default_options: "defaults".into(),
            required: Vec::new(),
            dropped: vec!["x-systemd.growfs".into()],
            pass,
        };
        let data = Mount {
            required: vec!["x-systemd.growfs".into()],
            dropped: Vec::new(),
            ..mount("PARTUUID=d", "/data", "ext4", 0)
        };
        vec![
            mount("/dev/root", "/", "ext4", 1),
            mount("PARTUUID=b", "/boot/efi", "vfat", 0),
            data,
        ]
    }

    #[test]
    fn the_owners_lines_stay_and_gone_devices_are_noted() {
        let old = "# a comment\nUUID=1 / ext4 errors=remount-ro,x-systemd.growfs 0 1\nUUID=2 /boot/efi/ vfat umask=0077 0 1\nUUID=3 none swap sw 0 0\n\
                   /dev/sda5 /home ext4 defaults 0 2\n/dev/sdb1 /usb auto noauto 0 0\ntmpfs /tmp tmpfs size=1g 0 0\nserver:/x /nfs nfs defaults 0 0\n/swapfile none swap sw 0 0\n";
        let merged = merge(old, &mounts(), &Present::default());
        let lines: Vec<&str> = merged.text.lines().collect();
        assert_eq!(lines[0], "# a comment");
        assert_eq!(
            lines[1],
            "/dev/root               /               ext4    errors=remount-ro 0 1"
        );
        assert_eq!(
            lines[2],
            "PARTUUID=b              /boot/efi       vfat    umask=0077 0 0"
        );
        assert_eq!(
            lines[3],
            "# no filesystem of the converted disk has UUID 3; the line was:"
        );
        assert_eq!(lines[4], "# UUID=3 none swap sw 0 0");
        assert_eq!(
            lines[5],
            "# /dev/sda5 does not exist on the converted disk; the line was:"
        );
        assert_eq!(
            &lines[7..11],
            [
                "/dev/sdb1 /usb auto noauto 0 0",
                "tmpfs /tmp tmpfs size=1g 0 0",
                "server:/x /nfs nfs defaults 0 0",
                "/swapfile none swap sw 0 0"
            ]
        );
        assert_eq!(
            lines[11],
            "PARTUUID=d              /data           ext4    defaults,x-systemd.growfs 0 0"
        );
        assert_eq!(merged.notes.len(), 2);
        assert!(!has_device_swap(&merged.text));
        assert!(has_device_swap(old));
    }

    #[test]
    fn no_mount_point_occurs_twice() {
        let twice = "UUID=1 / ext4 defaults 0 1\nUUID=2 / ext4 defaults 0 1\n";
        let merged = merge(twice, &mounts(), &Present::default());
        assert_eq!(
            merged
                .text
                .lines()
                .filter(|line| line.contains(" / "))
                .count(),
            1
        );
        let again = merge(
            &merged.text,
            &mounts(),
            &Present {
                tags: ["partuuid=b", "partuuid=d"].map(String::from).into(),
                ..Present::default()
            },
        );
        assert_eq!(again.text, merged.text);
    }

    #[test]
    fn the_boot_partition_is_mounted_once() {
        let boot = ["partuuid=b", "uuid=12-34"].map(String::from);
        let present = Present {
            tags: boot.clone().into(),
            boot: boot.into(),
            ..Present::default()
        };
        let merged = merge(
            "UUID=12-34 /uboot vfat ro 0 1\nUUID=\"12-34\" /mnt vfat noauto 0 0\n",
            &mounts(),
            &present,
        );
        assert_eq!(merged.notes.len(), 2, "{:?}", merged.notes);
        assert!(merged.notes[0].ends_with(
            "UUID=12-34 on /uboot is commented out: the boot partition is mounted on /boot/efi"
        ));
        assert!(
            ["/uboot", "/mnt"]
                .iter()
                .all(|dir| !crate::golden::fstab::mounts(&merged.text, dir)),
            "{}",
            merged.text
        );
    }

    #[test]
    fn a_part_of_the_system_on_its_own_partition_is_no_line_to_lose() {
        let golden = [(
            "uuid=ab-cd".to_owned(),
            "partition 3 (1 GiB, ext2/3/4)".to_owned(),
        )]
        .into();
        let present = Present {
            golden,
            ..Present::default()
        };
        let old = "UUID=AB-CD /boot/ ext4 defaults 0 2\n/dev/sda7 /var ext4 nofail 0 2\ntmpfs /var/lib tmpfs defaults 0 0\n/dev/sda8 /home ext4 defaults 0 2\n";
        let merged = merge(old, &mounts(), &present);
        let problems: Vec<&str> = merged
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems[0].starts_with("partition 3 (1 GiB, ext2/3/4) is mounted on /boot by"),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("/dev/sda7 is mounted on /var by"),
            "{problems:?}"
        );
        assert_eq!(merged.notes.len(), 1, "{:?}", merged.notes);
    }

    #[test]
    fn options_of_another_filesystem_and_its_files_do_not_come_along() {
        let old = "UUID=1 /data btrfs subvol=@data,compress=zstd 0 0\nUUID=2 / ext3 noatime 0 1\nUUID=3 /boot/efi auto ro 0 0\n";
        let merged = merge(old, &mounts(), &Present::default());
        let fields = |dir: &str| {
            let line = merged
                .text
                .lines()
                .find(|line| line.contains(&format!(" {dir} ")))
                .unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(fields("/data")[3], "defaults,x-systemd.growfs");
        assert_eq!(fields("/")[3], "noatime");
        assert_eq!(fields("/boot/efi")[3], "ro");
        assert!(merged.notes[0].contains("UUID=1"), "{:?}", merged.notes);
    }
}
