//! The names of processor architectures in UEFI and GRUB.

use crate::platform::Architecture;

impl Architecture {
    /// The end of the names of UEFI programs: `BOOTX64.EFI` (UEFI, "Removable Media Boot
    /// Behavior"), `grubx64.efi`.
    #[must_use]
    pub fn efi_suffix(self) -> &'static str {
        match self {
            Self::Amd64 => "x64",
            Self::I386 => "ia32",
            Self::Arm64 => "aa64",
            Self::Armhf => "arm",
        }
    }

    /// GRUB's name for the platform, which names its directories.
    #[must_use]
    pub fn grub_platform(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-efi",
            Self::I386 => "i386-efi",
            Self::Arm64 => "arm64-efi",
            Self::Armhf => "arm-efi",
        }
    }

    /// `IMAGE_FILE_MACHINE_*` of its UEFI programs.
    #[must_use]
    pub fn pe_machine(self) -> u16 {
        match self {
            Self::Amd64 => 0x8664,
            Self::I386 => 0x014c,
            Self::Arm64 => 0xaa64,
            Self::Armhf => 0x01c2,
        }
    }

    /// The packages with GRUB's programs, for hints.
    pub(super) fn grub_packages(self) -> &'static str {
        match self {
            Self::Amd64 => "grub-efi-amd64-signed and shim-signed",
            Self::I386 => "grub-efi-ia32-signed and shim-signed",
            Self::Arm64 => "grub-efi-arm64-signed and shim-signed",
            Self::Armhf => "grub-efi-arm",
        }
    }
}
