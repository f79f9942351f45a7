//! What makes a device start one of two root filesystems, and go back when an update does not prove
//! itself.

mod arguments;
mod divert;
mod fat;
pub mod grub;
pub mod state;
pub mod tools;
pub mod uboot;
mod version;

use crate::problem::{Problem, Problems};
use crate::tree::editor::Editor;
use crate::tree::{Entry, Kind, Tree, show};

/// The longest text file that is read whole (bytes).
const TEXT: u64 = 4 << 20;

/// The boot loader of an image, with what its integration must know.
#[derive(Clone, Debug)]
pub enum Integration<'c> {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::Context<'c>),
    /// U-Boot, started by a board's firmware or boot ROM.
    UBoot(uboot::Context<'c>),
}

/// What the integration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// GRUB, started by a UEFI firmware.
    GrubEfi(grub::Installed),
    /// U-Boot, started by a board's firmware or boot ROM.
    UBoot(uboot::Installed),
}

impl Integration<'_> {
    /// Makes the root filesystem and the boot partition start and update through this boot loader.
    ///
    /// # Errors
    /// All [`Problems`] that were found; the trees are then half edited.
    pub fn integrate(
        &self,
        root: &mut Editor<'_>,
        boot: &mut Editor<'_>,
    ) -> Result<Installed, Problems> {
        match self {
            Self::GrubEfi(context) => grub::integrate(root, boot, context).map(Installed::GrubEfi),
            Self::UBoot(context) => uboot::integrate(root, boot, context).map(Installed::UBoot),
        }
    }
}

impl Installed {
    /// The boot loader's name.
    #[must_use]
    pub fn loader(&self) -> &'static str {
        match self {
            Self::GrubEfi(_) => "grub-efi",
            Self::UBoot(_) => "u-boot",
        }
    }

    /// Where its program came from.
    #[must_use]
    pub fn program(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.grub,
            Self::UBoot(uboot) => &uboot.program,
        }
    }

    /// Whether the chain is signed from the firmware to the kernel.
    #[must_use]
    pub fn secure_boot(&self) -> bool {
        match self {
            Self::GrubEfi(grub) => grub.secure_boot,
            Self::UBoot(_) => false,
        }
    }

    /// The kernel that starts first.
    #[must_use]
    pub fn kernel(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.kernel,
            Self::UBoot(uboot) => &uboot.kernel,
        }
    }

    /// The initial kernel arguments, without `root=`.
    #[must_use]
    pub fn arguments(&self) -> &str {
        match self {
            Self::GrubEfi(grub) => &grub.arguments,
            Self::UBoot(uboot) => &uboot.arguments,
        }
    }

    /// Where the copies of the environment are, which boot loader and update client share: paths on
    /// the boot partition, or disk, offset and size.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        match self {
            Self::GrubEfi(_) => grub::environment::copies().to_vec(),
            Self::UBoot(uboot) => uboot.environment.clone(),
        }
    }

    /// What the user should know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        match self {
            Self::GrubEfi(grub) => &grub.notes,
            Self::UBoot(uboot) => &uboot.notes,
        }
    }
}

/// The value, or one more problem.
fn keep<T>(problems: &mut Problems, result: Result<T, Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// Fills in a template.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
}

/// The names in a directory that a tree's regular files have.
fn files_of(tree: &Tree, dir: &str) -> Vec<String> {
    let Some(found) = tree.dir(dir) else {
        return Vec::new();
    };
    let files = found.entries.iter().filter(|(_, entry)| match entry {
        Entry::Leaf(id) => matches!(tree.leaf(*id).kind, Kind::File(_)),
        Entry::Dir(_) => false,
    });
    files.map(|(name, _)| show(name)).collect()
}
