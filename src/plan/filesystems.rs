//! The root filesystem with its two slots, and the data partition.

use super::host::HostFiles;
use super::mount_options::LostOption;
use crate::config::{self, Config};
use crate::fs::ext4::write::Options;
use crate::golden::Golden;
use crate::platform::Bootloader;
use crate::problem::Problem;
use crate::stamp::Stamp;
use crate::units::{MIB, align_up, enough, human};

/// The root filesystem and its two slots.
#[derive(Clone, Debug, PartialEq)]
pub struct RootPlan {
    /// The size of the filesystem.
    pub size: RootSize,
    /// The size of each slot, before it is aligned (bytes); `None` shares out what the other
    /// partitions leave.
    pub slot: Option<u64>,
    /// Whether slot B starts as a copy of slot A; otherwise it is empty.
    pub copy_to_b: bool,
    /// Its mount options; `None` keeps those of the golden image.
    pub options: Option<String>,
    /// The order of its check at boot; 0 for none.
    pub fsck_pass: u32,
    /// Options that the new filesystem cannot be mounted with.
    pub lost_options: Vec<LostOption>,
    /// Identity, label and time of the filesystem, what it keeps of the golden one, and the file
    /// layout that it preserves.
    pub filesystem: Options,
}

/// The data partition, which updates do not change.
#[derive(Clone, Debug, PartialEq)]
pub struct DataPlan {
    /// The size of the partition, before it is aligned (bytes); the least one if that of the slots
    /// is configured. `None` takes what the slots leave, which are as small as they can be unless
    /// they are configured.
    pub size: Option<u64>,
    /// Whether it grows to the end of the disk on the first boot.
    pub grow: bool,
    /// Its mount options; `None` for the defaults.
    pub options: Option<String>,
    /// The order of its check at boot; 0 for none.
    pub fsck_pass: u32,
    /// Options that the new filesystem cannot be mounted with.
    pub lost_options: Vec<LostOption>,
    /// Identity, label and time of the filesystem.
    pub filesystem: Options,
}

/// The size of the root filesystem, as far as it is known before the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSize {
    /// Exactly this, as configured (bytes).
    Exact(u64),
    /// As large as the slot, and at least what the files need and some more.
    Max {
        /// The least room beyond what the files need.
        headroom: Headroom,
    },
    /// As much as the files need, and some more.
    Headroom {
        /// The room beyond what the files need.
        headroom: Headroom,
        /// The size of the filesystem whose layout is preserved (bytes), which is kept as long as
        /// the files fit.
        preserved: Option<u64>,
    },
}

/// Room in a filesystem beyond what its files need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// Hundredths of what the files need.
    Percent(u32),
    /// So many bytes.
    Bytes(u64),
}

impl Headroom {
    /// The size of a filesystem whose files need `minimum` bytes; saturates.
    #[must_use]
    pub fn above(self, minimum: u64) -> u64 {
        let more = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let more = u128::from(minimum) * u128::from(percent) / 100;
                u64::try_from(more).unwrap_or(u64::MAX)
            }
        };
        minimum.saturating_add(more)
    }
}

impl RootSize {
    /// The size of the filesystem (bytes, a multiple of 1 MiB) when its files need `minimum` bytes.
    ///
    /// # Errors
    /// A configured size that is too small.
    pub fn resolve(self, minimum: u64) -> Result<u64, Problem> {
        let size = match self {
            Self::Exact(size) if size < minimum => {
                let message = format!(
                    "root.size is {} ({size} bytes) but the files need {} ({minimum} bytes)",
                    human(size),
                    human(minimum)
                );
                let hint = format!("set root.size to at least \"{}\"", enough(minimum));
                return Err(Problem::new(message).hint(hint));
            }
            Self::Exact(size) => size,
            Self::Max { headroom } => headroom.above(minimum),
            Self::Headroom {
                headroom,
                preserved,
            } => preserved
                .filter(|size| *size >= minimum)
                .unwrap_or_else(|| headroom.above(minimum)),
        };
        Ok(align_up(size, MIB))
    }
}

impl RootPlan {
    pub(super) fn new(
        config: &Config,
        golden: &Golden,
        host: &HostFiles,
        stamp: &Stamp,
        loader: Bootloader,
    ) -> Self {
        let root = &config.root;
        // The seed of every checksum of its metadata is the UUID: with one of the device type, no
        // block of them would be the same on two boards.
        let uuid = root
            .uuid
            .unwrap_or_else(|| Stamp::common_uuid("root filesystem"));
        let seed = Stamp::common_uuid("directory hash");
        let mut filesystem = Options::new(uuid, seed, stamp.time);
        filesystem.wide = !is_narrow(golden, loader);
        filesystem.label.clone_from(&golden.root.info.label);
        filesystem.preserve_layout.clone_from(&host.preserve_layout);
        let headroom = match root.headroom {
            config::Headroom::Percent(percent) => Headroom::Percent(percent),
            config::Headroom::Bytes(bytes) => Headroom::Bytes(bytes),
        };
        let preserved = host.preserve_layout.as_ref().map(|layout| layout.size);
        Self {
            size: match root.size {
                Some(config::RootFilesystemSize::Bytes(size)) => RootSize::Exact(size),
                Some(config::RootFilesystemSize::Max) => RootSize::Max { headroom },
                None => RootSize::Headroom {
                    headroom,
                    preserved,
                },
            },
            slot: root.slot_size,
            copy_to_b: root.slot_b == config::SlotB::Copy,
            options: root.options.clone(),
            fsck_pass: root.fsck_pass,
            lost_options: Vec::new(),
            filesystem,
        }
    }
}

/// Whether slots have no `64bit` feature: the golden root filesystem has none, and U-Boot reads the
/// slots, whose releases before 2016.11 do not read it.
fn is_narrow(golden: &Golden, loader: Bootloader) -> bool {
    let mut features = golden.root.info.incompat.names.iter();
    let own_reader = matches!(loader, Bootloader::GrubEfi | Bootloader::RpiTryboot);
    !own_reader && !features.any(|name| name == "64bit")
}

/// The note on slots without `64bit`, where a U-Boot of the board reads them: that of a Raspberry
/// Pi comes with the image.
pub(super) fn narrow_note(golden: &Golden, loader: Bootloader) -> Option<String> {
    let own = loader == Bootloader::UBoot;
    (own && is_narrow(golden, loader)).then(|| {
        "the root filesystems have no 64bit feature, as that of the golden image: U-Boot before \
         2016.11 does not read it"
            .to_owned()
    })
}

impl DataPlan {
    pub(super) fn new(config: &Config, stamp: &Stamp) -> Self {
        let data = &config.data;
        let uuid = data.uuid.unwrap_or_else(|| stamp.uuid("data filesystem"));
        let mut filesystem = Options::new(uuid, stamp.uuid("directory hash"), stamp.time);
        filesystem.label = b"data".to_vec();
        Self {
            size: data.size,
            grow: data.grow,
            options: data.options.clone(),
            fsck_pass: data.fsck_pass,
            lost_options: Vec::new(),
            filesystem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_is_added_to_what_files_need() {
        assert_eq!(Headroom::Percent(50).above(1000), 1500);
        assert_eq!(Headroom::Bytes(7).above(1000), 1007);
        assert_eq!(Headroom::Percent(u32::MAX).above(u64::MAX), u64::MAX);
        assert_eq!(Headroom::Bytes(u64::MAX).above(1), u64::MAX);
    }

    #[test]
    fn a_configured_size_wins_and_must_suffice() {
        assert_eq!(RootSize::Exact(5 * MIB - 1).resolve(4 * MIB), Ok(5 * MIB));
        let problem = RootSize::Exact(MIB).resolve(MIB + 1).unwrap_err();
        assert!(
            problem
                .message
                .contains("(1048576 bytes) but the files need")
        );
        assert!(problem.hint.is_some());
    }

    #[test]
    fn a_preserved_layout_keeps_its_size_while_files_fit() {
        let size = |preserved| RootSize::Headroom {
            headroom: Headroom::Percent(50),
            preserved,
        };
        assert_eq!(size(None).resolve(4 * MIB), Ok(6 * MIB));
        assert_eq!(size(Some(5 * MIB)).resolve(4 * MIB), Ok(5 * MIB));
        assert_eq!(size(Some(3 * MIB)).resolve(4 * MIB), Ok(6 * MIB));
    }
}
