//! Options of the integration of the Raspberry Pi's own choice.

use crate::platform::{Architecture, PiModel};

/// The boot partitions of slots that have one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPartitions {
    /// Their numbers, in the order of the slots.
    pub numbers: [u32; 2],
    /// Their PARTUUIDs, as udev has them.
    pub partuuids: [String; 2],
    /// The PARTUUID of the partition with `autoboot.txt`.
    pub autoboot: String,
    /// The name of the running slot's, which `/etc/fstab` has.
    pub link: &'static str,
}

/// The values of the plan that the integration depends on.
#[derive(Clone, Debug)]
pub struct TrybootOptions<'c> {
    /// Partition numbers of the two root filesystems.
    pub roots: [u32; 2],
    /// Their PARTUUIDs, as the kernel takes them.
    pub partuuids: [&'c str; 2],
    /// Where the boot partition is mounted: `/boot/firmware`.
    pub boot_mount: &'c str,
    /// Architecture of the system.
    pub arch: Architecture,
    /// Kernel arguments to add to the image's own.
    pub more_arguments: &'c str,
    /// The number of the golden boot partition.
    pub golden_boot: Option<u32>,
    /// The boot partitions, if each slot has one.
    pub partitions: Option<BootPartitions>,
    /// The models of the Raspberry Pi that the image is for; empty for any.
    pub models: &'c [PiModel],
}

impl TrybootOptions<'_> {
    /// The directory of a root filesystem that has its boot files. Each kind of device has its own,
    /// so that it refuses what was made for the other one.
    pub(super) fn files(&self) -> &'static str {
        match self.partitions {
            Some(_) => "/usr/lib/goldsmith/boot-partition",
            None => "/usr/lib/goldsmith/boot",
        }
    }
}
