//! The emulated machines, and the U-Boot of Debian's packages that starts them.

use crate::support::u_boot::{PI_2, PI_3, RaspberryPi, program};
use crate::support::{must, tool};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A machine with the U-Boot that it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    /// The Debian release of U-Boot.
    release: &'static str,
    /// The directory of its program.
    program: &'static str,
    /// The conversion that its card holds.
    pub(crate) variant: &'static str,
    kind: Kind,
}

/// Its properties besides its U-Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A Raspberry Pi behind its firmware: that has loaded U-Boot and the device tree, and passes
    /// on the words of cmdline.txt.
    RaspberryPi(&'static RaspberryPi),
    /// QEMU's machine `virt` with this processor: U-Boot is what starts; the card is a disk of
    /// virtio.
    Virt(&'static str),
}

/// A Raspberry Pi 3 with `program` of a release.
pub(crate) const fn raspberry_pi(release: &'static str, program: &'static str) -> Board {
    Board {
        release,
        program,
        variant: "pi",
        kind: Kind::RaspberryPi(&PI_3),
    }
}

/// A Raspberry Pi 2, which has 32 bits.
pub(crate) const fn raspberry_pi_32(release: &'static str) -> Board {
    Board {
        release,
        program: "rpi_2",
        variant: "pi-armhf",
        kind: Kind::RaspberryPi(&PI_2),
    }
}

/// The machine `virt` with U-Boot of a release, and a card with the partition table of `variant`.
pub(crate) const fn virt(release: &'static str, variant: &'static str) -> Board {
    Board {
        release,
        program: "qemu_arm64",
        variant,
        kind: Kind::Virt("cortex-a57"),
    }
}

/// The same with a U-Boot that was built for an environment outside the partitions, of which
/// [`super::raw`] plays the part.
pub(crate) const fn virt_raw(release: &'static str) -> Board {
    virt(release, "extlinux-raw")
}

/// The same with a processor of 32 bits.
pub(crate) const fn virt_32(release: &'static str) -> Board {
    Board {
        release,
        program: "qemu_arm",
        variant: "extlinux-armhf",
        kind: Kind::Virt("cortex-a15"),
    }
}

/// The file of the second flash.
pub(crate) const FLASH: &str = "flash.img";

impl Board {
    /// The program; `None`, said aloud, where it or the emulator cannot be had.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        tool(self.emulator())?;
        tool("mkimage")?;
        program(self.release, self.architecture(), self.program)
    }

    /// What Debian calls its processor.
    fn architecture(&self) -> &'static str {
        if self.variant.ends_with("-armhf") {
            "armhf"
        } else {
            "arm64"
        }
    }

    /// The emulator of its processor.
    pub(crate) fn emulator(&self) -> &'static str {
        if self.architecture() == "armhf" {
            "qemu-system-arm"
        } else {
            "qemu-system-aarch64"
        }
    }

    /// The files of the boot partition that [`Self::arguments`] wants.
    pub(crate) fn files(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::RaspberryPi(model) => model.files().into(),
            Kind::Virt(_) => Vec::new(),
        }
    }

    /// The emulator's arguments to start `program` with the card `image`. `dir` has the files of
    /// the boot partition.
    pub(crate) fn arguments(&self, program: &Path, dir: &Path, image: &Path) -> Vec<String> {
        let [program, image] = [program, image].map(|path| path.display().to_string());
        let fixed = "-accel tcg -display none -monitor none -no-reboot -net none";
        let (machine, last) = match self.kind {
            Kind::RaspberryPi(model) => {
                let RaspberryPi {
                    machine, serial, ..
                } = model;
                let program = if self.architecture() == "armhf" {
                    in_place(&program, dir)
                } else {
                    program
                };
                let card = format!("-drive if=sd,format=raw,file={image}");
                (
                    format!("-M {machine} {serial} -kernel {program} {card}"),
                    Some(model.passed_on(dir, "loglevel=6")),
                )
            }
            Kind::Virt(processor) => {
                let machine = "-m 512 -nodefaults -serial stdio";
                (
                    format!(
                        "-M virt -cpu {processor} {machine} -bios {program} -drive if=virtio,format=raw,file={image}"
                    ),
                    None,
                )
            }
        };
        // The second flash holds the variables that were built into U-Boot.
        let flash = format!(
            "-drive if=pflash,unit=1,format=raw,file={}",
            dir.join(FLASH).display()
        );
        let flash = flash.split(' ').filter(|_| self.variant == "extlinux-raw");
        fixed
            .split(' ')
            .chain(flash)
            .chain(machine.split(' '))
            .map(str::to_owned)
            .chain(last.into_iter().flatten())
            .collect()
    }

    /// Words of the kernel's command line that come from the golden image, and from the firmware
    /// where there is one.
    pub(crate) fn words(&self) -> [&'static str; 2] {
        match self.kind {
            Kind::RaspberryPi(_) => ["fsck.repair=yes", "loglevel=6"],
            Kind::Virt(_) => ["vendor.flag=golden", "rootwait"],
        }
    }
}

/// U-Boot for a Raspberry Pi of 32 bits in a wrapping in `dir` that tells the emulator where the
/// firmware loads it (to 0x8000), which is not where kernels go.
fn in_place(program: &str, dir: &Path) -> String {
    let wrapped = dir.join("u-boot.img");
    let options = "-A arm -O linux -T kernel -C none -a 0x8000 -e 0x8000 -d"
        .split(' ')
        .map(Into::into);
    let arguments: Vec<OsString> = options
        .chain([program.into(), wrapped.clone().into()])
        .collect();
    must(
        "mkimage",
        &arguments
            .iter()
            .map(|argument| argument as &dyn AsRef<OsStr>)
            .collect::<Vec<_>>(),
    );
    wrapped.display().to_string()
}
