//! The boot partition, the boot loader, and what is in front of the first partition.

use super::boot_mount::boot_mount;
use super::family::{PartitionSet, Role};
use super::host::{file_name, read};
use crate::config::{self, Config, OriginKind};
use crate::fs::fat;
use crate::golden::Golden;
use crate::golden::bootloader::guess;
use crate::platform::{Architecture, Bootloader, PiModel};
use crate::problem::{Problem, Problems};
use crate::stamp::Stamp;
use crate::stream::ReadAt as _;
use crate::tree::{DirEntry, LeafKind, Tree, show};
use crate::units::MIB;
use std::ops::Range;

/// The boot partition and boot loader of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct BootPlan {
    /// The boot loader to integrate.
    pub loader: Bootloader,
    /// Where the boot partition is mounted on the device.
    pub mount: String,
    /// Its mount options; `None` keeps those of the golden image.
    pub options: Option<String>,
    /// The size of the partition, before it is aligned (bytes).
    pub size: u64,
    /// Volume id, label and time of its filesystem.
    pub filesystem: fat::Options,
    /// The filesystems of the others, where each slot has a boot partition.
    pub per_slot: Option<PerSlot>,
    /// Kernel arguments that are added to those of the golden image.
    pub kernel_arguments: String,
    /// With U-Boot, the suffix of the kernels that it starts; `None` is chosen by the board and the
    /// newest kernel.
    pub kernel_flavor: Option<String>,
    /// The models of the Raspberry Pi that the image is for; empty for any.
    pub pi_models: Vec<PiModel>,
    /// A U-Boot for the board, which the firmware of a Raspberry Pi starts.
    pub u_boot: Option<UBootProgram>,
    /// Where U-Boot keeps its environment.
    pub environment: Environment,
    /// Whether bytes in front of the golden image's first partition are copied: the boot loader of
    /// boards that look for it there.
    pub copy_gap: bool,
}

/// The boot partitions besides the first slot's, where each slot has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerSlot {
    /// The filesystem with `autoboot.txt`.
    pub autoboot: fat::Options,
    /// That of the second slot.
    pub boot_b: fat::Options,
}

/// A U-Boot from a file of the host.
#[derive(Clone, PartialEq, Eq)]
pub struct UBootProgram {
    /// The name of the file, without directories.
    pub name: String,
    /// Its content, not checked.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for UBootProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// Where U-Boot keeps its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// In two files of the boot partition.
    Files,
    /// In two copies outside the partitions.
    Raw {
        /// The disk's device name.
        disk: String,
        /// The first byte of each copy: the first two multiples of the alignment.
        offsets: [u64; 2],
        /// The size of each copy (bytes).
        size: u64,
    },
}

impl Environment {
    /// The bytes of the disk that the copies take; none for files.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<u64>> {
        match self {
            Self::Files => Vec::new(),
            Self::Raw { offsets, size, .. } => {
                let range = |offset: &u64| *offset..offset.saturating_add(*size);
                offsets.iter().map(range).collect()
            }
        }
    }
}

impl BootPlan {
    /// # Errors
    /// A boot loader that cannot be integrated on the image's architecture; a raw environment
    /// without the name of its disk; a U-Boot that cannot be read.
    pub(super) fn new(config: &Config, golden: &Golden, stamp: &Stamp) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let (root, boot) = (&golden.root.tree, golden.boot.as_ref());
        let loader = choose(config, golden);
        if let Err(problem) = integrated(loader, golden.facts.architecture) {
            problems.push(problem);
        }
        // Without U-Boot neither its program nor its environment has a meaning.
        let other = matches!(loader, Bootloader::GrubEfi | Bootloader::RpiTryboot);
        let u_boot = config.boot.u_boot.as_ref().filter(|_| !other).map(|path| {
            let bytes = read(path, "boot.u-boot")?;
            let name = file_name(path);
            Ok(UBootProgram { name, bytes })
        });
        let u_boot = u_boot.transpose();
        let environment = if other {
            Ok(Environment::Files)
        } else {
            environment(config)
        };
        let (u_boot, environment) = match (u_boot, environment) {
            (Ok(u_boot), Ok(environment)) => (u_boot, environment),
            (u_boot, environment) => {
                problems.0.extend(u_boot.err());
                problems.0.extend(environment.err());
                return Err(problems);
            }
        };
        problems.check()?;
        let set = partition_set(config, golden);
        let golden_size = boot.map_or(0, |boot| boot.partition.len);
        let (volume_id, label) = match boot {
            Some(boot) => (boot.info.volume_id, boot.info.label.clone()),
            None => (stamp.id32("boot filesystem"), Some("BOOT".to_owned())),
        };
        Ok(Self {
            loader,
            mount: config
                .boot
                .mount
                .clone()
                .unwrap_or_else(|| boot_mount(root, loader)),
            options: config.boot.options.clone(),
            size: config.boot.size.unwrap_or_else(|| {
                let files = boot.map_or(0, |boot| room_for_sets(loader, set, &boot.tree));
                golden_size.max(40 * MIB).max(files)
            }),
            filesystem: fat::Options {
                volume_id,
                label,
                time: stamp.time,
                kind: fat::RequestedKind::Auto,
                hidden_sectors: 0,
            },
            per_slot: (set == PartitionSet::BootPerSlot).then(|| PerSlot::new(stamp)),
            kernel_arguments: config.root.kernel_args.join(" "),
            kernel_flavor: config.boot.kernel_flavor.clone(),
            pi_models: config.board.pi_models.clone(),
            u_boot,
            environment,
            copy_gap: config.boot.copy_gap.unwrap_or(loader == Bootloader::UBoot),
        })
    }
}

impl BootPlan {
    /// The filesystem of a boot partition.
    #[must_use]
    pub fn filesystem_of(&self, role: Role) -> &fat::Options {
        match (role, &self.per_slot) {
            (Role::Autoboot, Some(per_slot)) => &per_slot.autoboot,
            (Role::BootB, Some(per_slot)) => &per_slot.boot_b,
            _ => &self.filesystem,
        }
    }
}

impl PerSlot {
    fn new(stamp: &Stamp) -> Self {
        let options = |purpose: &str, label: &str| fat::Options {
            volume_id: stamp.id32(purpose),
            label: Some(label.to_owned()),
            time: stamp.time,
            kind: fat::RequestedKind::Auto,
            hidden_sectors: 0,
        };
        Self {
            autoboot: options("autoboot filesystem", "AUTOBOOT"),
            boot_b: options("boot filesystem of the second slot", "BOOT-B"),
        }
    }
}

/// Which partitions the disk has: a boot partition for each slot if that is configured for the
/// firmware of a Raspberry Pi.
pub(super) fn partition_set(config: &Config, golden: &Golden) -> PartitionSet {
    let wanted = config.boot.tryboot == config::TrybootLevel::Partitions;
    if wanted && choose(config, golden) == Bootloader::RpiTryboot {
        PartitionSet::BootPerSlot
    } else {
        PartitionSet::OneBoot
    }
}

/// The bytes that a boot partition with the boot files of its slots, and of one that is written,
/// takes: those of the golden image four times, or three times with one slot. Other loaders have
/// one set.
fn room_for_sets(loader: Bootloader, set: PartitionSet, boot: &Tree) -> u64 {
    if loader != Bootloader::RpiTryboot {
        return 0;
    }
    let mut size = 0_u64;
    boot.visit(&mut |_, entry| {
        if let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &boot.leaf(*id).kind
        {
            size = size.saturating_add(content.len().next_multiple_of(4096));
        }
    });
    size.saturating_mul(match set {
        PartitionSet::OneBoot => 4,
        PartitionSet::BootPerSlot => 3,
    })
}

/// The loader that the configuration names or the image shows.
pub(super) fn choose(config: &Config, golden: &Golden) -> Bootloader {
    let boot = golden.boot.as_ref().map(|boot| &boot.tree);
    let guess = |u_boot| guess(&golden.root.tree, boot, golden.facts.architecture, u_boot);
    match config.boot.bootloader {
        config::BootloaderChoice::GrubEfi => Bootloader::GrubEfi,
        config::BootloaderChoice::UBoot => guess(true),
        config::BootloaderChoice::RpiTryboot if kept_u_boot(config, golden).is_some() => {
            guess(true)
        }
        config::BootloaderChoice::RpiTryboot => Bootloader::RpiTryboot,
        config::BootloaderChoice::Auto => guess(false),
    }
}

/// What to say where the board would have the firmware of a Raspberry Pi choose, the configuration
/// says nothing, and a U-Boot is there: it is kept. Devices that it started before the board's
/// default changed would take no update of another loader.
pub(super) fn kept_u_boot(config: &Config, golden: &Golden) -> Option<String> {
    let location = config.location("boot.bootloader")?;
    if location.origin.kind != OriginKind::Board
        || config.boot.bootloader != config::BootloaderChoice::RpiTryboot
    {
        return None;
    }
    let sign = match &config.boot.u_boot {
        Some(_) => "boot.u-boot is set".to_owned(),
        None => format!("the golden image has {}", u_boot_program(golden)?),
    };
    Some(format!(
        "{sign}, so U-Boot starts the devices, and not their firmware alone (the default of {location}): \
         devices that start U-Boot take no update that was made for the firmware; set \
         boot.bootloader to \"rpi-tryboot\" for new devices, or to \"u-boot\" to keep it without \
         this note"
    ))
}

/// A program of U-Boot for a Raspberry Pi: that of a package, or one on the boot partition.
fn u_boot_program(golden: &Golden) -> Option<String> {
    let dir = "/usr/lib/u-boot";
    let packaged = golden.root.tree.dir(dir).and_then(|found| {
        let names = found.entries.keys().map(|name| show(name));
        let mut paths = names.map(|name| format!("{dir}/{name}/u-boot.bin"));
        paths.find(|path| path.contains("/rpi_") && golden.root.tree.file(path).is_some())
    });
    let on_boot = || {
        let names = golden.boot.as_ref()?.tree.root.lowercase_names();
        let is_one = |name: &String| {
            name.ends_with(".bin") && (name.contains("u-boot") || name.starts_with("uboot"))
        };
        let name = names.into_iter().find(is_one)?;
        Some(format!("{name} on its boot partition"))
    };
    packaged.or_else(on_boot)
}

/// Fails when `loader` cannot be integrated on `architecture`.
fn integrated(loader: Bootloader, architecture: Option<Architecture>) -> Result<(), Problem> {
    let Some(architecture) = architecture else {
        return Err(Problem::new("the architecture of the image is unknown"));
    };
    let arm = matches!(architecture, Architecture::Arm64 | Architecture::Armhf);
    if loader == Bootloader::GrubEfi || arm {
        return Ok(());
    }
    let message = format!(
        "boot.bootloader is {}, which is supported on arm64 and armhf; the image is for {}",
        if loader == Bootloader::RpiTryboot {
            "rpi-tryboot"
        } else {
            "u-boot"
        },
        architecture.name()
    );
    Err(Problem::new(message).hint("remove boot.bootloader, or set it to \"grub-efi\""))
}

fn environment(config: &Config) -> Result<Environment, Problem> {
    match (config.boot.environment, &config.storage.device) {
        (config::EnvironmentLocation::Files, _) => Ok(Environment::Files),
        (config::EnvironmentLocation::Raw, config::Device::Disk(disk)) => Ok(Environment::Raw {
            disk: disk.clone(),
            offsets: [
                config.storage.alignment,
                config.storage.alignment.saturating_mul(2),
            ],
            size: config.boot.environment_size,
        }),
        (config::EnvironmentLocation::Raw, config::Device::PartUuid) => Err(Problem::new(
            "boot.environment is raw, outside the partitions, which needs the name of the disk in \
             storage.device",
        )
        .hint(
            "set storage.device to the disk, such as \"/dev/mmcblk0\", or boot.environment to \
             \"files\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u_boot_is_for_arm() {
        for architecture in Architecture::ALL {
            assert_eq!(integrated(Bootloader::GrubEfi, Some(architecture)), Ok(()));
            let arm = matches!(architecture, Architecture::Arm64 | Architecture::Armhf);
            let u_boot = integrated(Bootloader::UBoot, Some(architecture));
            assert_eq!(u_boot.is_ok(), arm, "{architecture:?}");
        }
        assert!(integrated(Bootloader::GrubEfi, None).is_err());
    }

    #[test]
    fn a_raw_environment_needs_the_name_of_its_disk() {
        let text = "[boot]\nenvironment = \"raw\"\n";
        let problem = environment(&Config::parse(text).unwrap()).unwrap_err();
        assert!(problem.hint.unwrap().contains("storage.device"));
        let text = format!("{text}[storage]\ndevice = \"/dev/mmcblk0\"\nalignment = \"4 MiB\"\n");
        let environment = environment(&Config::parse(&text).unwrap()).unwrap();
        let copy = 16 * 1024;
        let expected = [4 * MIB..4 * MIB + copy, 8 * MIB..8 * MIB + copy];
        assert_eq!(environment.ranges(), expected);
        assert!(Environment::Files.ranges().is_empty());
    }
}
