//! Options of the integration of the Raspberry Pi's own choice.

use crate::platform::{Architecture, PiModel};

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
    /// The models of the Raspberry Pi that the image is for; empty for any.
    pub models: &'c [PiModel],
}
