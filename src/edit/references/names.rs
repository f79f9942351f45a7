//! What a name of a device stands for on the golden disk, and on the converted one.

use crate::golden::Golden;
use crate::golden::fstab::FstabLine;
use crate::golden::names;
use crate::golden::references::device::{Device, names_in};
use crate::golden::references::text;
use crate::plan::Plan;
use crate::plan::family::{Naming, PartitionSet, Role};
use crate::plan::partitions::Fate;
use std::collections::{BTreeMap, BTreeSet};

/// Disks that a golden image can have been, by the kernel's names.
const FIRST_DISKS: [&str; 6] = ["sda", "vda", "hda", "xvda", "mmcblk0", "nvme0n1"];

/// Menus that name the root filesystem, on the root filesystem or the boot partition.
const MENUS: [&str; 6] = [
    "/boot/grub/grub.cfg",
    "/boot/extlinux/extlinux.conf",
    "/boot/cmdline.txt",
    "/boot/firmware/cmdline.txt",
    "/cmdline.txt",
    "/extlinux/extlinux.conf",
];

/// What a name stands for on the converted disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same as on the golden disk.
    Same,
    /// The same, but it has another name now: that of this partition.
    Moved(Role),
    /// Nothing.
    Gone,
    /// Something else: this partition.
    Another(Role),
    /// It was not on the golden disk and is not on the converted one: another disk, or nothing.
    Foreign,
}

/// What a name stands for on both disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What became of it.
    pub verdict: Verdict,
    /// What it is on the golden disk, for people; empty: nothing.
    pub golden: String,
    /// What it is on the converted disk, for people.
    pub converted: String,
    /// Whether it is one of another disk where the disk of the system has the name that the golden
    /// image says.
    pub assumed: bool,
}

/// The names of both disks.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The keys of [`Device::Tag`] on the golden disk, with numbers of partitions.
    golden: BTreeMap<String, u32>,
    /// What became of each partition of the golden disk.
    fates: BTreeMap<u32, Fate>,
    /// Each partition of the golden disk, for people.
    described: BTreeMap<u32, String>,
    /// The keys on the converted disk.
    converted: BTreeMap<String, Role>,
    /// The first fields of `/etc/fstab` for the converted partitions.
    specs: Vec<(Role, String)>,
    /// Which partitions the converted disk has.
    set: PartitionSet,
    /// Disks that the golden image can have been.
    disks: BTreeSet<String>,
    /// Those among them that its files name as the disk of the system.
    named: BTreeSet<String>,
    /// Decrypted devices that `/etc/crypttab` still makes.
    decrypted: BTreeSet<String>,
    /// Whether a partition of the golden disk contains logical volumes or an encrypted volume.
    volumes: bool,
    /// Whether a partition of the golden disk is a member of a RAID array.
    arrays: bool,
}

impl Names {
    /// The names of the golden disk and of the one that `plan` makes of it.
    #[must_use]
    pub fn new(plan: &Plan, golden: &Golden) -> Self {
        let family = &plan.family;
        let mut names = Self {
            golden: names::names(&golden.disk),
            specs: family
                .set
                .roles()
                .iter()
                .map(|role| (*role, family.fstab_spec(*role)))
                .collect(),
            set: family.set,
            ..Self::default()
        };
        for partition in &golden.disk.partitions {
            let number = partition.number;
            let fate = plan.partitions.fate(number).unwrap_or(&Fate::Dropped);
            names.fates.insert(number, fate.clone());
            names.described.insert(number, partition.describe());
            let content = partition.filesystem.name();
            names.volumes |= content.contains("LVM") || content.contains("LUKS");
            names.arrays |= content == names::RAID;
        }
        let per_slot = family.set == PartitionSet::BootPerSlot;
        let mut add = |tag: &str, value: &str, role: Role| {
            // Of two boot partitions only the link is the right one in both slots.
            let is_one_of_two = per_slot && role.is_boot();
            if !value.is_empty() && !is_one_of_two {
                let key = Device::key(tag, value);
                names.converted.entry(key).or_insert(role);
            }
        };
        for role in family.set.roles().iter().copied() {
            add("PARTUUID", &family.partuuid(role), role);
            if family.scheme == crate::platform::TableKind::Gpt {
                add("PARTLABEL", role.name(), role);
            }
        }
        let boot = &plan.boot.filesystem;
        let id = boot.volume_id;
        let id = format!("{:04x}-{:04x}", id >> 16, id & 0xffff);
        add("UUID", &id, Role::Boot);
        add(
            "LABEL",
            boot.label.as_deref().unwrap_or_default(),
            Role::Boot,
        );
        let filesystems = [
            (&plan.root.filesystem, Role::RootA),
            (&plan.data.filesystem, Role::Data),
        ];
        for (filesystem, role) in filesystems {
            add("UUID", &filesystem.uuid.to_string(), role);
            add("LABEL", &String::from_utf8_lossy(&filesystem.label), role);
        }
        names.find_disks(plan, golden);
        names
    }

    /// The disks that the golden image can have been: the usual first ones, and those that its own
    /// files name as the disk of the system.
    fn find_disks(&mut self, plan: &Plan, golden: &Golden) {
        self.disks = FIRST_DISKS.map(String::from).into();
        if let Naming::Device(disk) = &plan.family.naming
            && let Device::Disk(name) = Device::parse(disk)
        {
            self.named.insert(name);
        }
        let mut specs: Vec<Device> = Vec::new();
        let fstab = text(&golden.root.tree, "/etc/fstab").unwrap_or_default();
        let of_system = |line: &FstabLine<'_>| line.dir == "/" || line.dir.starts_with("/boot");
        let lines = fstab.lines().filter_map(FstabLine::parse);
        specs.extend(lines.filter(of_system).map(|line| Device::parse(line.spec)));
        let boot = golden.boot.as_ref().map(|boot| &boot.tree);
        for tree in [Some(&golden.root.tree), boot].into_iter().flatten() {
            let menus = MENUS.iter().filter_map(|path| text(tree, path));
            for line in menus.flat_map(|menu| menu.lines().map(str::to_owned).collect::<Vec<_>>()) {
                let roots = line
                    .split_whitespace()
                    .filter(|word| word.starts_with("root="));
                specs.extend(roots.flat_map(names_in).map(|(_, device)| device));
            }
        }
        for device in specs {
            if let Device::Number(disk, _) = device {
                self.named.insert(disk);
            }
        }
        self.disks.extend(self.named.iter().cloned());
    }

    /// Notes that `/etc/crypttab` still decrypts something under this name.
    pub fn decrypts(&mut self, name: &str) {
        self.decrypted.insert(name.to_owned());
    }

    /// The first field of `/etc/fstab` for a converted partition.
    #[must_use]
    pub fn spec(&self, role: Role) -> &str {
        let mut specs = self.specs.iter();
        let found = specs.find(|(other, _)| *other == role);
        found.map_or("", |(_, spec)| spec.as_str())
    }

    /// Whether `device` is the boot partition of the converted disk.
    #[must_use]
    pub fn is_boot(&self, device: &Device) -> bool {
        match device {
            Device::Tag(key) => {
                let golden = self
                    .golden
                    .get(key)
                    .and_then(|number| self.fates.get(number));
                golden == Some(&Fate::Boot) || self.converted.get(key) == Some(&Role::Boot)
            }
            Device::Number(disk, number) => {
                self.disks.contains(disk) && *number == self.set.number(Role::Boot)
            }
            Device::Link(_, number) => *number == self.set.number(Role::Boot),
            _ => false,
        }
    }

    /// What `device` stands for.
    #[must_use]
    pub fn resolve(&self, device: &Device) -> Resolution {
        match device {
            Device::Tag(key) => self.tag(key),
            Device::Number(disk, number) if self.disks.contains(disk) => Resolution {
                assumed: !self.named.is_empty() && !self.named.contains(disk),
                ..self.number(*number)
            },
            Device::Link(link, number) if !link.contains("usb") => self.number(*number),
            Device::Disk(disk) if self.disks.contains(disk) => Resolution {
                verdict: Verdict::Same,
                golden: "the disk".to_owned(),
                converted: "the disk".to_owned(),
                assumed: false,
            },
            Device::Mapped(name) if self.decrypted.contains(name) => Resolution {
                verdict: Verdict::Same,
                golden: "a decrypted volume".to_owned(),
                converted: "a decrypted volume".to_owned(),
                assumed: false,
            },
            Device::Mapped(_) if self.volumes => gone("a volume of the golden disk"),
            Device::Array(_) if self.arrays => gone("an array of the golden disk"),
            other => Resolution {
                verdict: Verdict::Foreign,
                golden: String::new(),
                converted: match other {
                    Device::Path(_) => "a path of the system".to_owned(),
                    _ => "not on this disk".to_owned(),
                },
                assumed: false,
            },
        }
    }

    fn tag(&self, key: &str) -> Resolution {
        let golden = self.golden.get(key).copied();
        let new = self.converted.get(key).copied();
        let verdict = match (golden, new) {
            (Some(number), Some(role)) if self.is(number, role) => Verdict::Same,
            (Some(_), Some(role)) => Verdict::Another(role),
            (Some(number), None) => match self.fates.get(&number) {
                Some(Fate::Boot) => Verdict::Moved(Role::Boot),
                _ => Verdict::Gone,
            },
            // Whoever writes an ID of the converted disk knows it; a label can be a coincidence.
            (None, Some(_)) if key.starts_with("UUID=") || key.starts_with("PARTUUID=") => {
                Verdict::Same
            }
            (None, Some(role)) => Verdict::Another(role),
            (None, None) => Verdict::Foreign,
        };
        self.resolution(verdict, golden, new)
    }

    fn number(&self, number: u32) -> Resolution {
        let golden = self.fates.contains_key(&number).then_some(number);
        let new = self.set.role(number);
        let verdict = match (golden, new) {
            (Some(golden), Some(role)) if self.is(golden, role) => Verdict::Same,
            (_, Some(role)) => Verdict::Another(role),
            (golden, None) => match golden.and_then(|number| self.fates.get(&number)) {
                Some(Fate::Boot) => Verdict::Moved(Role::Boot),
                _ => Verdict::Gone,
            },
        };
        self.resolution(verdict, golden, new)
    }

    /// Whether a partition of the golden disk is this partition of the converted one. The golden
    /// root filesystem is neither of the two slots.
    fn is(&self, number: u32, role: Role) -> bool {
        match (role, self.fates.get(&number)) {
            (Role::Boot, Some(Fate::Boot)) => true,
            (Role::Data, Some(Fate::Data(path))) => path == "/data",
            _ => false,
        }
    }

    fn resolution(&self, verdict: Verdict, golden: Option<u32>, new: Option<Role>) -> Resolution {
        let described = golden.and_then(|number| self.described.get(&number));
        let fate = golden.and_then(|number| self.fates.get(&number));
        let role = match verdict {
            Verdict::Moved(role) => Some(role),
            _ => new,
        };
        let converted = match (role, fate) {
            (Some(role), _) => format!("{} (partition {})", describe(role), self.set.number(role)),
            (None, Some(Fate::Root)) => "two root filesystems".to_owned(),
            (None, Some(Fate::Merged(path))) => format!("{path} of the root filesystem"),
            (None, Some(Fate::Data(_))) => "files on the data partition".to_owned(),
            (None, Some(Fate::Copied)) => "bytes outside the partitions".to_owned(),
            _ => "not on this disk".to_owned(),
        };
        Resolution {
            verdict,
            golden: described.cloned().unwrap_or_default(),
            converted,
            assumed: false,
        }
    }
}

/// The name of a partition for people.
pub(crate) fn describe(role: Role) -> &'static str {
    match role {
        Role::Autoboot => "the partition with autoboot.txt",
        Role::Boot => "the boot partition",
        Role::BootB => "the boot partition of the second slot",
        Role::RootA => "root A",
        Role::RootB => "root B",
        Role::Data => "the data partition",
    }
}

fn gone(golden: &str) -> Resolution {
    Resolution {
        verdict: Verdict::Gone,
        golden: golden.to_owned(),
        converted: "not on this disk".to_owned(),
        assumed: false,
    }
}

impl Resolution {
    /// The reason why a reference to this, written as `text`, cannot stay; `None` if it can.
    /// `needed`: the system waits for it.
    #[must_use]
    pub fn objection(&self, text: &str, device: &Device, needed: bool) -> Option<String> {
        match self.verdict {
            Verdict::Same | Verdict::Moved(_) => None,
            Verdict::Foreign if !needed => None,
            Verdict::Foreign if matches!(device, Device::Other | Device::Path(_)) => None,
            Verdict::Another(role) if self.assumed => Some(format!(
                "{text} is {} where the disk of the system has this name; a filesystem of another \
                 disk can be named by its UUID",
                describe(role)
            )),
            Verdict::Another(role) => Some(format!(
                "{text} is {} on the converted disk",
                describe(role)
            )),
            Verdict::Foreign if matches!(device, Device::Number(..) | Device::Link(..)) => {
                Some(format!(
                    "{text} is on another disk, for which the system would wait without nofail"
                ))
            }
            Verdict::Gone | Verdict::Foreign => Some(match device {
                Device::Tag(key) => {
                    let (tag, _) = key.split_once('=').unwrap_or_default();
                    let value = text.replace('"', "");
                    let value = value
                        .split_once('=')
                        .map(|(_, value)| value)
                        .or(value.rsplit_once('/').map(|(_, value)| value))
                        .unwrap_or(&value)
                        .to_owned();
                    format!("no filesystem of the converted disk has {tag} {value}")
                }
                _ => format!("{text} does not exist on the converted disk"),
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The names of a golden disk with boot, root and swap, and of the converted one. Its own disk
    /// is `sda`.
    pub(crate) fn example() -> Names {
        let of = |list: &[(&str, u32)]| -> BTreeMap<String, u32> {
            list.iter()
                .map(|(key, n)| ((*key).to_owned(), *n))
                .collect()
        };
        let fates = [
            (1, Fate::Boot),
            (2, Fate::Root),
            (3, Fate::Dropped),
            (5, Fate::Dropped),
        ];
        let described = [1, 2, 3, 5].map(|number| (number, format!("partition {number} (x)")));
        Names {
            golden: of(&[
                ("UUID=12-34", 1),
                ("PARTUUID=g1", 1),
                ("UUID=ab-cd", 3),
                ("LABEL=data", 3),
                ("LABEL=my swap", 3),
                ("ARRAY=aa:bb", 5),
            ]),
            fates: fates.into(),
            described: described.into(),
            converted: [
                ("UUID=12-34", Role::Boot),
                ("PARTUUID=b", Role::Boot),
                ("PARTUUID=d", Role::Data),
                ("LABEL=data", Role::Data),
            ]
            .map(|(key, role)| (key.to_owned(), role))
            .into(),
            specs: PartitionSet::OneBoot
                .roles()
                .iter()
                .zip(["b", "a1", "a2", "d"])
                .map(|(role, id)| (*role, format!("PARTUUID={id}")))
                .collect(),
            disks: ["sda", "vda"].map(String::from).into(),
            named: ["sda".to_owned()].into(),
            ..Names::default()
        }
    }

    #[test]
    fn every_name_has_one_verdict() {
        use Verdict::{Another, Foreign, Gone, Moved, Same};
        let mut names = example();
        names.decrypts("vault");
        for (text, expected) in [
            ("UUID=12-34", Same),
            ("PARTUUID=g1", Moved(Role::Boot)),
            ("/dev/disk/by-uuid/AB-CD", Gone),
            ("LABEL=data", Another(Role::Data)),
            ("LABEL=\"my\\040swap\"", Gone),
            ("LABEL=usb", Foreign),
            ("UUID=d", Foreign),
            ("PARTUUID=d", Same),
            ("/dev/sda", Same),
            ("/dev/sda1", Same),
            ("/dev/sda2", Another(Role::RootA)),
            ("/dev/sda3", Another(Role::RootB)),
            ("/dev/sda4", Another(Role::Data)),
            ("/dev/sda5", Gone),
            ("/dev/sda6", Gone),
            ("/dev/sdb3", Foreign),
            ("/dev/disk/by-path/pci-1-ata-1-part3", Another(Role::RootB)),
            ("/dev/disk/by-id/usb-Stick-0:0-part3", Foreign),
            ("/dev/mapper/vault", Same),
            ("/dev/mapper/other", Foreign),
            ("/dev/md0", Foreign),
            ("tmpfs", Foreign),
        ] {
            assert_eq!(
                names.resolve(&Device::parse(text)).verdict,
                expected,
                "{text}"
            );
        }
        names.volumes = true;
        names.arrays = true;
        for text in ["/dev/mapper/vg-lv", "/dev/vg/lv", "/dev/md0"] {
            assert_eq!(names.resolve(&Device::parse(text)).verdict, Gone, "{text}");
        }
    }

    #[test]
    fn objections_name_what_is_there_instead() {
        let names = example();
        let objection = |text: &str, needed: bool| {
            let device = Device::parse(text);
            names.resolve(&device).objection(text, &device, needed)
        };
        let why = |text: &str| objection(text, false).unwrap_or_default();
        assert_eq!(
            why("/dev/sda3"),
            "/dev/sda3 is root B on the converted disk"
        );
        assert_eq!(
            why("/dev/sda5"),
            "/dev/sda5 does not exist on the converted disk"
        );
        let assumed = "/dev/vda2 is root A where the disk of the system has this name";
        assert!(why("/dev/vda2").starts_with(assumed));
        let other = objection("/dev/sdb1", true).unwrap_or_default();
        assert!(other.contains("would wait without nofail"), "{other}");
        let tag = "no filesystem of the converted disk has UUID";
        assert_eq!(why("UUID=\"ab-cd\""), format!("{tag} ab-cd"));
        assert_eq!(why("/dev/disk/by-uuid/ab-cd"), format!("{tag} ab-cd"));
        for text in [
            "/dev/sdb1",
            "UUID=9",
            "/dev/sda1",
            "tmpfs",
            "/srv/x",
            "/dev/sr0",
        ] {
            assert_eq!(objection(text, false), None, "{text}");
        }
        assert!(objection("UUID=9", true).is_some());
        for text in ["tmpfs", "/srv/x", "/dev/sr0"] {
            assert_eq!(objection(text, true), None, "{text}");
        }
    }

    #[test]
    fn a_partition_that_is_merged_is_no_longer_mounted() {
        let mut names = example();
        names.fates.insert(3, Fate::Merged("/srv".to_owned()));
        let device = Device::parse("UUID=ab-cd");
        let found = names.resolve(&device);
        assert_eq!(found.verdict, Verdict::Gone);
        assert_eq!(found.converted, "/srv of the root filesystem");
    }
}
