//! Options of the integration of U-Boot.

use crate::platform::{Architecture, PiModel};

/// The values of the plan that the integration of U-Boot depends on.
#[derive(Clone, Debug)]
pub struct UBootOptions<'c> {
    /// Partition numbers of the two root filesystems.
    pub roots: [u32; 2],
    /// Their PARTUUIDs, as the kernel takes them.
    pub partuuids: [&'c str; 2],
    /// Where the boot partition is mounted: `/boot/firmware`.
    pub boot_mount: &'c str,
    /// Architecture that kernel and loader must have.
    pub arch: Architecture,
    /// Kernel arguments to add to the image's own.
    pub more_arguments: &'c str,
    /// The end of the names of the kernels to start, such as `rpi-v8`; `None`: whatever suits.
    pub flavor: Option<&'c str>,
    /// The models of the Raspberry Pi that the image is for; empty for any.
    pub models: &'c [PiModel],
    /// The number of the golden image's boot partition.
    pub golden_boot: Option<u32>,
    /// A U-Boot that replaces the image's own: its origin and its bytes.
    pub program: Option<(String, Vec<u8>)>,
    /// Where the environment is kept.
    pub storage: EnvStorage,
    /// The number of the root partition in the golden image.
    pub golden_root: u32,
    /// Files of the image, by their path on the device, that the user accepts.
    pub accepted: Vec<&'c str>,
}

/// Where the redundant environment is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvStorage {
    /// In two files of the boot partition, by our script.
    Files,
    /// Outside of all partitions, by a U-Boot that was built for that with the update client's own
    /// scripts in its environment.
    Raw {
        /// The disk as the device knows it.
        disk: String,
        /// Where each copy begins (bytes).
        offsets: [u64; 2],
        /// How long each copy is (bytes).
        size: u64,
    },
}

impl EnvStorage {
    /// Disk, offset and size of each copy of a raw environment, as `fw_env.config` has them.
    pub(super) fn raw_lines(&self) -> Vec<String> {
        match self {
            Self::Files => Vec::new(),
            Self::Raw {
                disk,
                offsets,
                size,
            } => offsets
                .map(|offset| format!("{disk} {offset:#x} {size:#x}"))
                .to_vec(),
        }
    }
}
