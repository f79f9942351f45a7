//! The firmware of emulated machines.

use super::*;

/// The firmware of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// UEFI that starts anything.
    Uefi,
    /// UEFI that starts only what Microsoft's keys vouch for.
    SecureBoot,
    /// UEFI of a 64-bit Arm machine that starts anything.
    ArmUefi,
    /// The same that starts only what Microsoft's keys vouch for.
    ArmSecureBoot,
    /// UEFI of a 32-bit PC that starts anything.
    Uefi32,
    /// The same that starts only what Microsoft's keys vouch for.
    SecureBoot32,
    /// UEFI of a 32-bit Arm machine that starts anything.
    ArmUefi32,
    /// U-Boot of the Debian release of this name, on a 64-bit Arm machine.
    UBoot(&'static str),
    /// The same on a Raspberry Pi 3, whose own firmware has loaded it.
    RaspberryPi(&'static str),
}

impl Firmware {
    /// What its machine's processor is.
    pub(crate) fn architecture(self) -> Architecture {
        match self {
            Self::Uefi | Self::SecureBoot => Architecture::Amd64,
            Self::ArmUefi | Self::ArmSecureBoot | Self::UBoot(_) | Self::RaspberryPi(_) => {
                Architecture::Arm64
            }
            Self::Uefi32 | Self::SecureBoot32 => Architecture::I386,
            Self::ArmUefi32 => Architecture::Armhf,
        }
    }

    /// Whether it is U-Boot, which starts the boot script, and not UEFI.
    pub(crate) fn is_u_boot(self) -> bool {
        matches!(self, Self::UBoot(_) | Self::RaspberryPi(_))
    }

    /// Whether it is a Raspberry Pi's.
    pub(crate) fn is_raspberry_pi(self) -> bool {
        matches!(self, Self::RaspberryPi(_))
    }

    /// What the kernel calls partitions of the first disk, without the number.
    pub(super) fn partition(self) -> &'static str {
        if self.is_raspberry_pi() {
            "/dev/mmcblk0p"
        } else {
            "/dev/vda"
        }
    }

    /// How `mount` is told of the second disk.
    pub(super) fn media(self) -> &'static str {
        if self.is_raspberry_pi() {
            "-o loop /data/media"
        } else {
            "/dev/vdb"
        }
    }

    /// Whether it asks for signatures.
    pub(crate) fn is_secure(self) -> bool {
        matches!(
            self,
            Self::SecureBoot | Self::ArmSecureBoot | Self::SecureBoot32
        )
    }

    /// The emulator of its machine.
    pub(super) fn emulator(self) -> &'static str {
        match self.architecture() {
            Architecture::Amd64 => "qemu-system-x86_64",
            Architecture::I386 => "qemu-system-i386",
            Architecture::Arm64 => "qemu-system-aarch64",
            Architecture::Armhf => "qemu-system-arm",
        }
    }

    /// The firmware's code and, for UEFI, its variables as they leave the factory. `None`, said
    /// aloud, when it is not installed.
    pub(super) fn files(self) -> Option<Vec<PathBuf>> {
        let files = match self {
            Self::UBoot(release) => {
                return Some(vec![u_boot::program(release, "arm64", "qemu_arm64")?]);
            }
            Self::RaspberryPi(release) => {
                return Some(vec![u_boot::program(release, "arm64", "rpi_3")?]);
            }
            Self::Uefi => [
                "/usr/share/OVMF/OVMF_CODE_4M.fd",
                "/usr/share/OVMF/OVMF_VARS_4M.fd",
            ],
            Self::SecureBoot => [
                "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
                "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
            ],
            Self::ArmUefi => [
                "/usr/share/AAVMF/AAVMF_CODE.fd",
                "/usr/share/AAVMF/AAVMF_VARS.fd",
            ],
            Self::ArmSecureBoot => [
                "/usr/share/AAVMF/AAVMF_CODE.ms.fd",
                "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
            ],
            Self::Uefi32 => [
                "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
                "/usr/share/OVMF/OVMF32_VARS_4M.fd",
            ],
            // Variables, and so Microsoft's keys, are the same on both kinds of PC.
            Self::SecureBoot32 => [
                "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd",
                "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
            ],
            Self::ArmUefi32 => [
                "/usr/share/AAVMF/AAVMF32_CODE.fd",
                "/usr/share/AAVMF/AAVMF32_VARS.fd",
            ],
        };
        let files = files.map(PathBuf::from);
        if let Some(missing) = files.iter().find(|file| !file.is_file()) {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is missing; `make setup` installs it",
                missing.display()
            );
            eprintln!("SKIPPED: {} is not installed", missing.display());
            return None;
        }
        Some(files.into())
    }

    /// Whether it works in system management mode. On a busy host emulated processors do not always
    /// meet there, and do not always come back from it when they are reset: such a machine has one
    /// processor, and its restarts are those of the power.
    pub(super) fn has_management_mode(self) -> bool {
        matches!(self, Self::SecureBoot | Self::Uefi32 | Self::SecureBoot32)
    }

    /// Whether the power goes off and on again when the system restarts. The firmware of a
    /// Raspberry Pi starts all over then.
    pub(super) fn restarts_by_power(self) -> bool {
        self.has_management_mode() || self.is_raspberry_pi()
    }

    /// The arguments of QEMU that make this firmware of its files: the code, and variables of the
    /// board's own.
    pub(super) fn arguments(self, files: &[PathBuf]) -> Vec<String> {
        let machine: &[&str] = match self {
            Self::Uefi => &["-cpu", "max", "-machine", "q35"],
            Self::SecureBoot | Self::Uefi32 | Self::SecureBoot32 => &[
                "-cpu",
                "max",
                "-machine",
                "q35,smm=on",
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
            ],
            // The newest processor would compute authentication codes of pointers, which takes
            // long.
            Self::ArmUefi | Self::ArmSecureBoot | Self::UBoot(_) => {
                &["-cpu", "cortex-a57", "-machine", "virt"]
            }
            Self::ArmUefi32 => &["-cpu", "cortex-a15", "-machine", "virt"],
            Self::RaspberryPi(_) => &["-machine", u_boot::PI_3.machine],
        };
        let mut arguments: Vec<String> = machine.iter().map(ToString::to_string).collect();
        if let [program] = files {
            let option = if self.is_raspberry_pi() {
                "-kernel"
            } else {
                "-bios"
            };
            arguments.extend([option.into(), program.display().to_string()]);
            return arguments;
        }
        for (unit, (file, mode)) in files.iter().zip([",readonly=on", ""]).enumerate() {
            arguments.push("-drive".into());
            arguments.push(format!(
                "if=pflash,format=raw,unit={unit}{mode},file={}",
                file.display()
            ));
        }
        arguments
    }
}
