//! The device family: the identities of disk and partitions that every release of a root filesystem
//! refers to, and that must never change from one release to the next. They depend only on the
//! device type and the configuration.

use crate::platform::TableKind;
use crate::stamp::{Stamp, Uuid};
use serde::Serialize;

/// How the device refers to partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// By PARTUUID, whatever the kind of disk.
    Partuuid,
    /// By a device name such as `/dev/sda`.
    Device(String),
}

/// The partitions by their role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// `autoboot.txt`, by which the firmware of a Raspberry Pi chooses a boot partition.
    Autoboot,
    /// Firmware and boot loader; where each slot has a boot partition, that of the first.
    Boot,
    /// Firmware and boot files of the second slot.
    BootB,
    /// The slot that is active on a fresh device.
    RootA,
    /// The slot that the first update goes to.
    RootB,
    /// Files that survive updates.
    Data,
}

impl Role {
    /// The name in records and in a GPT.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoboot => "autoboot",
            Self::Boot => "boot",
            Self::BootB => "boot-b",
            Self::RootA => "root-a",
            Self::RootB => "root-b",
            Self::Data => "data",
        }
    }

    /// Whether it has a FAT, which the firmware reads.
    #[must_use]
    pub fn is_boot(self) -> bool {
        matches!(self, Self::Autoboot | Self::Boot | Self::BootB)
    }
}

/// Which partitions a disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionSet {
    /// One boot partition for both slots.
    #[default]
    OneBoot,
    /// A boot partition for each slot, and `autoboot.txt`, which names one of them.
    BootPerSlot,
}

impl PartitionSet {
    /// Its partitions, in the order in which they are on the disk.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::OneBoot => &[Role::Boot, Role::RootA, Role::RootB, Role::Data],
            Self::BootPerSlot => &[
                Role::Autoboot,
                Role::Boot,
                Role::BootB,
                Role::RootA,
                Role::RootB,
                Role::Data,
            ],
        }
    }

    /// The number of a partition, from 1; 0 for one that it does not have.
    #[must_use]
    pub fn number(self, role: Role) -> u32 {
        let mut numbered = (1..).zip(self.roles());
        numbered
            .find(|(_, one)| **one == role)
            .map_or(0, |(at, _)| at)
    }

    /// The role of the partition with a number.
    #[must_use]
    pub fn role(self, number: u32) -> Option<Role> {
        let mut roles = self.roles().iter().copied();
        roles.find(|role| self.number(*role) == number)
    }
}

/// The name of the running slot's boot partition, where each slot has one: a link that a rule of
/// udev makes.
pub const BOOT_LINK: &str = "/dev/mender-boot";

/// Identities of the disk and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The kind of partition table.
    pub scheme: TableKind,
    /// How the device names partitions.
    pub naming: Naming,
    /// The disk GUID (GPT).
    pub disk_guid: Uuid,
    /// The disk signature (MBR), never 0.
    pub disk_id: u32,
    /// Which partitions it has.
    pub set: PartitionSet,
    /// Unique partition GUIDs (GPT), in the order of [`PartitionSet::roles`].
    pub guids: Vec<Uuid>,
}

impl Family {
    /// Derives all identities from the device type.
    #[must_use]
    pub fn derive(stamp: &Stamp, scheme: TableKind, naming: Naming, set: PartitionSet) -> Self {
        let guid = |role: &Role| stamp.uuid(&format!("partition {}", role.name()));
        Self {
            scheme,
            naming,
            disk_guid: stamp.uuid("disk"),
            disk_id: stamp.id32("disk"),
            set,
            guids: set.roles().iter().map(guid).collect(),
        }
    }

    /// The partition's number, from 1.
    #[must_use]
    pub fn number(&self, role: Role) -> u32 {
        self.set.number(role)
    }

    /// The PARTUUID as the kernel and udev write it: a lower-case GUID, or disk id and number
    /// (`1234abcd-02`).
    #[must_use]
    pub fn partuuid(&self, role: Role) -> String {
        match self.scheme {
            TableKind::Gpt => {
                let at = self.set.roles().iter().position(|one| *one == role);
                let guid = at.and_then(|at| self.guids.get(at));
                guid.map(Uuid::to_string).unwrap_or_default()
            }
            TableKind::Mbr => format!("{:08x}-{:02x}", self.disk_id, self.number(role)),
        }
    }

    /// The disk's identity as tools write it: a GUID, or eight hexadecimal digits.
    #[must_use]
    pub fn disk_id_text(&self) -> String {
        match self.scheme {
            TableKind::Gpt => self.disk_guid.to_string(),
            TableKind::Mbr => format!("{:08x}", self.disk_id),
        }
    }

    /// The device path in the update client's configuration: `/dev/disk/by-partuuid/...` or
    /// `/dev/mmcblk0p2`.
    #[must_use]
    pub fn path(&self, role: Role) -> String {
        match &self.naming {
            Naming::Partuuid => format!("/dev/disk/by-partuuid/{}", self.partuuid(role)),
            Naming::Device(disk) => {
                let p = if disk.ends_with(|c: char| c.is_ascii_digit()) {
                    "p"
                } else {
                    ""
                };
                format!("{disk}{p}{}", self.number(role))
            }
        }
    }

    /// The first field of `/etc/fstab`, which both slots have the same.
    #[must_use]
    pub fn fstab_spec(&self, role: Role) -> String {
        if role == Role::Boot && self.set == PartitionSet::BootPerSlot {
            return BOOT_LINK.to_owned();
        }
        match self.naming {
            Naming::Partuuid => format!("PARTUUID={}", self.partuuid(role)),
            Naming::Device(_) => self.path(role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partitions() {
        let stamp = Stamp {
            time: crate::stamp::Time::default(),
            family: "board".into(),
        };
        let gpt = Family::derive(
            &stamp,
            TableKind::Gpt,
            Naming::Partuuid,
            PartitionSet::OneBoot,
        );
        assert_eq!(
            gpt.path(Role::RootA),
            format!("/dev/disk/by-partuuid/{}", stamp.uuid("partition root-a"))
        );
        let mbr = Family {
            disk_id: 0xab,
            ..Family::derive(
                &stamp,
                TableKind::Mbr,
                Naming::Device("/dev/mmcblk0".into()),
                PartitionSet::OneBoot,
            )
        };
        assert_eq!(mbr.partuuid(Role::Data), "000000ab-04");
        assert_eq!(mbr.path(Role::RootB), "/dev/mmcblk0p3");
        let sda = Family {
            naming: Naming::Device("/dev/sda".into()),
            ..mbr
        };
        assert_eq!(sda.fstab_spec(Role::Boot), "/dev/sda1");
    }

    #[test]
    fn a_boot_partition_for_each_slot_moves_the_numbers() {
        let stamp = Stamp {
            time: crate::stamp::Time::default(),
            family: "board".into(),
        };
        let of = |set| Family::derive(&stamp, TableKind::Gpt, Naming::Partuuid, set);
        let (one, per_slot) = (of(PartitionSet::OneBoot), of(PartitionSet::BootPerSlot));
        let numbers = [
            Role::Autoboot,
            Role::Boot,
            Role::BootB,
            Role::RootA,
            Role::RootB,
            Role::Data,
        ];
        assert_eq!(
            numbers.map(|role| per_slot.number(role)),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(one.number(Role::BootB), 0);
        assert_eq!(per_slot.set.role(5), Some(Role::RootB));
        // A root filesystem has the same identity on both.
        assert_eq!(one.partuuid(Role::RootB), per_slot.partuuid(Role::RootB));
        assert_eq!(per_slot.fstab_spec(Role::Boot), BOOT_LINK);
    }
}
