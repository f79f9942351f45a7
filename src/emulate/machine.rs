//! The machine and the firmware that an image is for, by its files.

use super::find;
use crate::golden::facts;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::volume::{Opened, Role};
use anyhow::{Result, bail};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long QEMU has to make a processor and to end.
const PROBE: Duration = Duration::from_secs(10);

/// The firmware of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The BIOS of a PC, which is a part of QEMU.
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI that starts only what Microsoft's keys vouch for.
    SecureBoot,
    /// U-Boot, built for QEMU's machine.
    UBoot,
}

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its processor.
    pub architecture: Architecture,
    /// Its firmware.
    pub firmware: Firmware,
}

/// A serial port besides that of the console.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShellPort {
    /// Linux's name of it.
    pub(super) device: &'static str,
    /// QEMU's arguments for it, which lead to the character device `shell`.
    pub(super) arguments: [&'static str; 2],
}

/// Directories of firmware and U-Boot as Debian and Fedora install them.
const DIRS: [&str; 5] = [
    "/usr/share/OVMF",
    "/usr/share/AAVMF",
    "/usr/share/edk2/ovmf",
    "/usr/share/edk2/aarch64",
    "/usr/lib/u-boot",
];

impl Machine {
    /// The machine for a disk image, with the firmware that its boot partition is for. With
    /// `secure_boot`, the firmware asks for signatures.
    ///
    /// # Errors
    /// A [`Problem`] for an image that no machine of QEMU starts; I/O errors.
    pub fn of(image: &Opened, secure_boot: bool) -> Result<Self> {
        if image.release.is_some() || image.volumes.iter().any(|one| one.number.is_none()) {
            bail!(no_disk(image));
        }
        let files = |role| -> Result<Option<Tree>> {
            let volume = image.volumes.iter().find(|one| one.role == Some(role));
            Ok(volume.map(|one| one.tree()).transpose()?.flatten())
        };
        let Some(root) = files(Role::Root)? else {
            bail!(Problem::new("no partition contains a root filesystem"));
        };
        let Some(architecture) = facts::architecture(&root)? else {
            bail!(Problem::new(
                "the programs of the root filesystem are for a machine that goldsmith does not know"
            ));
        };
        let boot = files(Role::Boot)?;
        let has = |path: &str| {
            boot.as_ref()
                .is_some_and(|boot| boot.find_ignore_case(path).is_some())
        };
        let loader = match architecture {
            Architecture::Amd64 => "/EFI/BOOT/BOOTX64.EFI",
            Architecture::I386 => "/EFI/BOOT/BOOTIA32.EFI",
            Architecture::Arm64 => "/EFI/BOOT/BOOTAA64.EFI",
            Architecture::Armhf => "/EFI/BOOT/BOOTARM.EFI",
        };
        let is_pc = matches!(architecture, Architecture::Amd64 | Architecture::I386);
        let scripts = ["/boot.scr", "/extlinux/extlinux.conf", "/boot/boot.scr"];
        let firmware = if has(loader) && secure_boot {
            Firmware::SecureBoot
        } else if has(loader) {
            Firmware::Uefi
        } else if is_pc && !secure_boot {
            Firmware::Bios
        } else if has("/config.txt") || has("/start4.elf") || has("/bootcode.bin") {
            return Err(Problem::new(
                "the image is for a Raspberry Pi, whose firmware QEMU does not emulate",
            )
            .hint("flash it to a card and start a board with it: goldsmith flash")
            .into());
        } else if !secure_boot
            && scripts
                .iter()
                .any(|path| has(path) || root.find(path).is_some())
        {
            Firmware::UBoot
        } else {
            let wanted = if secure_boot {
                "a signed loader"
            } else {
                "a loader"
            };
            let name = architecture.name();
            bail!(Problem::new(format!(
                "the boot partition has nothing that the firmware of an emulated {name} machine starts: {wanted} at \
                 {loader}"
            )));
        };
        Ok(Self {
            architecture,
            firmware,
        })
    }

    /// The program that emulates it.
    #[must_use]
    pub fn emulator(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "qemu-system-x86_64",
            Architecture::I386 => "qemu-system-i386",
            Architecture::Arm64 => "qemu-system-aarch64",
            Architecture::Armhf => "qemu-system-arm",
        }
    }

    /// Machine and firmware for people.
    #[must_use]
    pub fn described(self) -> String {
        let firmware = match self.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
            Firmware::SecureBoot => "UEFI with Secure Boot",
            Firmware::UBoot => "U-Boot",
        };
        format!("{} machine, {firmware}", self.architecture.name())
    }

    /// QEMU's arguments for machine and processor.
    pub(super) fn arguments(self) -> Vec<String> {
        let machine: &[&str] = match (self.architecture, self.firmware) {
            // The firmware keeps its variables from the system by the processor's management mode,
            // where more than one processor does not always come back from.
            (Architecture::Amd64, Firmware::SecureBoot)
            | (Architecture::I386, Firmware::Uefi | Firmware::SecureBoot) => &[
                "-cpu",
                "max",
                "-machine",
                "q35,smm=on",
                "-smp",
                "1",
                "-global",
                "driver=cfi.pflash01,property=secure,value=on",
            ],
            (Architecture::Amd64 | Architecture::I386, _) => &["-cpu", "max", "-machine", "q35"],
            (Architecture::Arm64, _) => &["-cpu", "max,pauth-impdef=on", "-machine", "virt"],
            (Architecture::Armhf, _) => &["-cpu", "cortex-a15", "-machine", "virt"],
        };
        machine.iter().map(ToString::to_string).collect()
    }

    /// The port that a root shell gets. The machine `virt` has only one for systems, and of another
    /// kind: there it is a card, and the first of its kind.
    pub(super) fn shell_port(self) -> ShellPort {
        match self.architecture {
            Architecture::Amd64 | Architecture::I386 => ShellPort {
                device: "/dev/ttyS1",
                arguments: ["-serial", "chardev:shell"],
            },
            Architecture::Arm64 | Architecture::Armhf => ShellPort {
                device: "/dev/ttyS0",
                arguments: ["-device", "pci-serial,chardev=shell"],
            },
        }
    }

    /// Whether KVM runs the processor: QEMU makes one and ends. That `/dev/kvm` can be opened says
    /// too little, since machines that are virtual themselves may lack what QEMU then asks for.
    pub(super) fn has_kvm(self) -> bool {
        let device = fs::File::options().read(true).write(true).open("/dev/kvm");
        if self.architecture.name() != platform_name(std::env::consts::ARCH) || device.is_err() {
            return false;
        }
        let mut command = Command::new(self.emulator());
        command
            .args(
                "-nodefaults -no-user-config -display none -accel kvm -S -monitor stdio".split(' '),
            )
            .args(self.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else {
            return false;
        };
        if let Some(mut stdin) = child.stdin.take() {
            // A QEMU that has ended reads nothing.
            let _ = stdin.write_all(b"quit\n");
        }
        let begin = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if begin.elapsed() < PROBE => std::thread::sleep(PROBE / 500),
                _ => break,
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    /// The files of the firmware: its code and its first variables, or U-Boot; none for a BIOS.
    pub(super) fn firmware_files(self) -> Result<Vec<PathBuf>, Problem> {
        let names: &[&[&str]] = match (self.architecture, self.firmware) {
            (_, Firmware::Bios) => &[],
            (Architecture::Arm64, Firmware::UBoot) => &[&["qemu_arm64/u-boot.bin"]],
            (_, Firmware::UBoot) => &[&["qemu_arm/u-boot.bin"]],
            (Architecture::Amd64, Firmware::Uefi) => &[
                &["OVMF_CODE_4M.fd", "OVMF_CODE.fd"],
                &["OVMF_VARS_4M.fd", "OVMF_VARS.fd"],
            ],
            (Architecture::Amd64, Firmware::SecureBoot) => {
                &[&["OVMF_CODE_4M.secboot.fd"], &["OVMF_VARS_4M.ms.fd"]]
            }
            (Architecture::I386, Firmware::Uefi) => {
                &[&["OVMF32_CODE_4M.secboot.fd"], &["OVMF32_VARS_4M.fd"]]
            }
            // Variables, and so Microsoft's keys, are the same on both kinds of PC.
            (Architecture::I386, Firmware::SecureBoot) => {
                &[&["OVMF32_CODE_4M.secboot.fd"], &["OVMF_VARS_4M.ms.fd"]]
            }
            (Architecture::Arm64, Firmware::Uefi) => &[&["AAVMF_CODE.fd"], &["AAVMF_VARS.fd"]],
            (Architecture::Arm64, Firmware::SecureBoot) => {
                &[&["AAVMF_CODE.ms.fd"], &["AAVMF_VARS.ms.fd"]]
            }
            (Architecture::Armhf, _) => &[&["AAVMF32_CODE.fd"], &["AAVMF32_VARS.fd"]],
        };
        let find = |names: &&[&str]| {
            let mut paths = DIRS
                .iter()
                .flat_map(|dir| names.iter().map(move |name| PathBuf::from(dir).join(name)));
            paths
                .find(|path| path.is_file())
                .ok_or_else(|| self.missing(names.first().copied().unwrap_or_default()))
        };
        names.iter().map(find).collect()
    }

    /// The problem that a program or a file of the firmware is not installed.
    pub(super) fn missing(self, what: &str) -> Problem {
        let system = match self.architecture {
            Architecture::Amd64 | Architecture::I386 => "qemu-system-x86",
            Architecture::Arm64 | Architecture::Armhf => "qemu-system-arm",
        };
        let firmware = match (self.firmware, self.architecture) {
            (Firmware::Bios, _) => "",
            (Firmware::UBoot, _) => " u-boot-qemu",
            (_, Architecture::Amd64) => " ovmf",
            (_, Architecture::I386) => " ovmf-ia32",
            (_, Architecture::Arm64) => " qemu-efi-aarch64",
            (_, Architecture::Armhf) => " qemu-efi-arm",
        };
        Problem::new(format!("{what} is not installed")).hint(format!(
            "on Debian: apt-get install {system} qemu-utils{firmware}"
        ))
    }

    /// Whether everything that it needs is installed.
    #[must_use]
    pub fn is_installed(self) -> bool {
        let programs = [self.emulator(), "qemu-img"];
        programs.iter().all(|name| find(name).is_some()) && self.firmware_files().is_ok()
    }
}

/// The problem of a file that is not the image of a disk.
fn no_disk(image: &Opened) -> Problem {
    let what = match image.release {
        Some(_) => "an Artifact",
        None => "a filesystem without a partition table",
    };
    Problem::new(format!("{what} is not a disk: it cannot be started"))
        .hint("give the image of the whole disk that it belongs to")
}

/// Debian's name of an architecture, by Rust's.
fn platform_name(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
