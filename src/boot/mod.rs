//! What makes a device start one of two root filesystems, and go back when an update does not prove itself.

pub mod grub;
pub mod state;

use crate::problem::Problems;
use crate::tree::editor::Editor;

/// The boot loader of an image, with what its integration must know.
#[derive(Clone, Debug)]
pub enum Bootloader<'c> {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::Context<'c>),
}

/// What the integration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::Installed),
}

impl Bootloader<'_> {
    /// Makes the root filesystem and the boot partition start and update through this boot loader.
    ///
    /// # Errors
    /// All [`Problems`] that were found; the trees are then half edited.
    pub fn integrate(&self, root: &mut Editor<'_>, boot: &mut Editor<'_>) -> Result<Installed, Problems> {
        match self {
            Self::GrubEfi(context) => grub::integrate(root, boot, context).map(Installed::GrubEfi),
        }
    }
}

impl Installed {
    /// The boot loader's name.
    #[must_use]
    pub fn loader(&self) -> &'static str {
        match self {
            Self::GrubEfi(_) => "grub-efi",
        }
    }

    /// Where its program came from.
    #[must_use]
    pub fn program(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.grub,
        }
    }

    /// Whether the chain is signed from the firmware to the kernel.
    #[must_use]
    pub fn secure_boot(&self) -> bool {
        match self {
            Self::GrubEfi(grub) => grub.secure_boot,
        }
    }

    /// The kernel that starts first.
    #[must_use]
    pub fn kernel(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.kernel,
        }
    }

    /// The initial kernel arguments, without `root=`.
    #[must_use]
    pub fn arguments(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.arguments,
        }
    }

    /// Where the copies of the environment are, which boot loader and update client share: paths on the boot partition.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        match self {
            Self::GrubEfi(_) => grub::environment::copies().to_vec(),
        }
    }

    /// What the user should know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        match self {
            Self::GrubEfi(grub) => &grub.notes,
        }
    }
}
