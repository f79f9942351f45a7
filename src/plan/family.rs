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

/// The four partitions by their role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Firmware and boot loader.
    Boot,
    /// The slot that is active on a fresh device.
    RootA,
    /// The slot that the first update goes to.
    RootB,
    /// Files that survive updates.
    Data,
}

impl Role {
    /// All four, in the order in which they are on the disk.
    pub const ALL: [Self; 4] = [Self::Boot, Self::RootA, Self::RootB, Self::Data];

    /// The name in records and in a GPT.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::RootA => "root-a",
            Self::RootB => "root-b",
            Self::Data => "data",
        }
    }

    /// The partition's number, from 1.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Boot => 1,
            Self::RootA => 2,
            Self::RootB => 3,
            Self::Data => 4,
        }
    }
}

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
    /// Unique partition GUIDs (GPT), in the order of [`Role::ALL`].
    pub guids: [Uuid; 4],
}

impl Family {
    /// Derives all identities from the device type.
    #[must_use]
    pub fn derive(stamp: &Stamp, scheme: TableKind, naming: Naming) -> Self {
        Self {
            scheme,
            naming,
            disk_guid: stamp.uuid("disk"),
            disk_id: stamp.id32("disk"),
            guids: Role::ALL.map(|role| stamp.uuid(&format!("partition {}", role.name()))),
        }
    }

    /// The PARTUUID as the kernel and udev write it: a lower-case GUID, or disk id and number
    /// (`1234abcd-02`).
    #[must_use]
    pub fn partuuid(&self, role: Role) -> String {
        match self.scheme {
            TableKind::Gpt => self.guids[role.number() as usize - 1].to_string(),
            TableKind::Mbr => format!("{:08x}-{:02x}", self.disk_id, role.number()),
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
                format!("{disk}{p}{}", role.number())
            }
        }
    }

    /// The first field of `/etc/fstab`.
    #[must_use]
    pub fn fstab_spec(&self, role: Role) -> String {
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
        let gpt = Family::derive(&stamp, TableKind::Gpt, Naming::Partuuid);
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
}
