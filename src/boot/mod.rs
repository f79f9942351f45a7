//! Boot loaders: starting one of two root filesystems, and going back when an update does not prove
//! itself.

pub mod common;
pub mod grub;
pub mod state;
pub mod tryboot;
pub mod uboot;

use crate::problem::Problems;
use crate::tree::Tree;
use crate::tree::editor::TreeEditor;

/// A boot loader to integrate, with the values of the plan that this depends on.
#[derive(Clone, Debug)]
pub enum Integration<'c> {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::GrubOptions<'c>),
    /// U-Boot, started by a board's firmware or boot ROM.
    UBoot(uboot::UBootOptions<'c>),
    /// The firmware of a Raspberry Pi, which chooses by itself.
    RpiTryboot(tryboot::TrybootOptions<'c>),
}

/// Result of an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstalledLoader {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::InstalledGrub),
    /// U-Boot, started by a board's firmware or boot ROM.
    UBoot(uboot::InstalledUBoot),
    /// The firmware of a Raspberry Pi, which chooses by itself.
    RpiTryboot(tryboot::InstalledTryboot),
}

impl Integration<'_> {
    /// Makes the root filesystem and the boot partition start and update through this boot loader.
    ///
    /// # Errors
    /// All [`Problems`] that were found; the trees are then half edited.
    pub fn integrate(
        &self,
        root: &mut TreeEditor<'_>,
        boot: &mut TreeEditor<'_>,
    ) -> Result<InstalledLoader, Problems> {
        match self {
            Self::GrubEfi(options) => {
                grub::integrate(root, boot, options).map(InstalledLoader::GrubEfi)
            }
            Self::UBoot(options) => {
                uboot::integrate(root, boot, options).map(InstalledLoader::UBoot)
            }
            Self::RpiTryboot(options) => {
                tryboot::integrate(root, boot, options).map(InstalledLoader::RpiTryboot)
            }
        }
    }
}

impl InstalledLoader {
    /// The boot loader's name, as `boot.bootloader` has it.
    #[must_use]
    pub fn loader(&self) -> &'static str {
        match self {
            Self::GrubEfi(_) => "grub-efi",
            Self::UBoot(_) => "u-boot",
            Self::RpiTryboot(_) => "rpi-tryboot",
        }
    }

    /// The origin of its program: a path and, for people, whose path it is.
    #[must_use]
    pub fn program(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.grub,
            Self::UBoot(uboot) => &uboot.program,
            Self::RpiTryboot(_) => "the firmware of the board",
        }
    }

    /// Whether the chain is signed from the firmware to the kernel.
    #[must_use]
    pub fn secure_boot(&self) -> bool {
        match self {
            Self::GrubEfi(grub) => grub.secure_boot,
            Self::UBoot(_) | Self::RpiTryboot(_) => false,
        }
    }

    /// The kernel that starts first.
    #[must_use]
    pub fn kernel(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.kernel,
            Self::UBoot(uboot) => &uboot.kernel,
            Self::RpiTryboot(tryboot) => &tryboot.kernel,
        }
    }

    /// The initial kernel arguments, without `root=`.
    #[must_use]
    pub fn arguments(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.arguments,
            Self::UBoot(uboot) => &uboot.arguments,
            Self::RpiTryboot(tryboot) => &tryboot.arguments,
        }
    }

    /// Where these arguments are from: a file of the golden image, or the configuration.
    #[must_use]
    pub fn arguments_from(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.arguments_from,
            Self::UBoot(uboot) => &uboot.arguments_from,
            Self::RpiTryboot(tryboot) => &tryboot.arguments_from,
        }
    }

    /// The device tree that the golden image names, if any, and the overlays for it, in their
    /// order: paths of each root filesystem.
    #[must_use]
    pub fn device_tree(&self) -> (Option<&str>, &[String]) {
        match self {
            Self::GrubEfi(_) | Self::RpiTryboot(_) => (None, &[]),
            Self::UBoot(uboot) => (uboot.device_tree.as_deref(), &uboot.overlays),
        }
    }

    /// Where the copies of the environment are, which boot loader and update client share: paths on
    /// the boot partition, or disk, offset and size.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        match self {
            Self::GrubEfi(_) => grub::environment::copies().to_vec(),
            Self::UBoot(uboot) => uboot.environment.clone(),
            Self::RpiTryboot(tryboot) => vec![tryboot.state.to_owned()],
        }
    }

    /// The room that the boot partition needs besides its files, since updates write there (bytes).
    #[must_use]
    pub fn room_for_updates(&self, boot: &Tree) -> u64 {
        match self {
            Self::GrubEfi(_) | Self::UBoot(_) => 0,
            Self::RpiTryboot(_) => tryboot::in_flight(boot),
        }
    }

    /// Warnings for the user.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::GrubEfi(grub) => &grub.warnings,
            Self::UBoot(uboot) => &uboot.warnings,
            Self::RpiTryboot(tryboot) => &tryboot.warnings,
        }
    }

    /// The files among those that the user accepts in which there is something to accept.
    pub fn accepted(&self) -> impl Iterator<Item = &str> {
        let accepted = match self {
            Self::GrubEfi(_) | Self::RpiTryboot(_) => &[],
            Self::UBoot(uboot) => &uboot.accepted[..],
        };
        accepted.iter().map(String::as_str)
    }

    /// Notes for the user, which the report lists.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        match self {
            Self::GrubEfi(grub) => &grub.notes,
            Self::UBoot(uboot) => &uboot.notes,
            Self::RpiTryboot(tryboot) => &tryboot.notes,
        }
    }
}
