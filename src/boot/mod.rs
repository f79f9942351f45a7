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
