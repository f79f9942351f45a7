//! The emulated machines, and the U-Boot of Debian's packages that starts them.

use super::super::support::{must, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// A machine with the U-Boot that it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Board {
    /// The Debian release of U-Boot.
    release: &'static str,
    /// The directory of its program.
    program: &'static str,
    /// The conversion that its card holds.
    pub(super) variant: &'static str,
    kind: Kind,
}

/// What it is beside its U-Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A Raspberry Pi 3 behind its firmware: that has loaded U-Boot and the device tree, and passes on the words of cmdline.txt.
    RaspberryPi,
    /// QEMU's machine `virt` with this processor: U-Boot is what starts; the card is a disk of virtio.
    Virt(&'static str),
}

/// A Raspberry Pi 3 with `program` of a release.
pub(super) const fn raspberry_pi(release: &'static str, program: &'static str) -> Board {
    Board { release, program, variant: "pi", kind: Kind::RaspberryPi }
}

/// The machine `virt` with U-Boot of a release, and a card with the partition table of `variant`.
pub(super) const fn virt(release: &'static str, variant: &'static str) -> Board {
    Board { release, program: "qemu_arm64", variant, kind: Kind::Virt("cortex-a57") }
}

/// The same with a processor of 32 bits.
pub(super) const fn virt_32(release: &'static str) -> Board {
    Board { release, program: "qemu_arm", variant: "extlinux-armhf", kind: Kind::Virt("cortex-a15") }
}

impl Board {
    /// The program; `None`, said aloud, where it or the emulator cannot be had.
    pub(super) fn program(&self) -> Option<PathBuf> {
        tool(self.emulator())?;
        Some(programs(self.release)?.join(self.program).join("u-boot.bin"))
    }

    /// The emulator of its processor.
    pub(super) fn emulator(&self) -> &'static str {
        if self.kind == Kind::Virt("cortex-a15") { "qemu-system-arm" } else { "qemu-system-aarch64" }
    }

    /// The files of the boot partition that [`Self::arguments`] wants.
    pub(super) fn files(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::RaspberryPi => &["bcm2837-rpi-3-b.dtb", "cmdline.txt"],
            Kind::Virt(_) => &[],
        }
    }

    /// The emulator's arguments to start `program` with the card `image`. `dir` has the files of the boot partition.
    pub(super) fn arguments(&self, program: &Path, dir: &Path, image: &Path) -> Vec<String> {
        let [program, image] = [program, image].map(|path| path.display().to_string());
        let fixed = "-accel tcg -display none -monitor none -no-reboot -net none";
        let (machine, last) = match self.kind {
            Kind::RaspberryPi => {
                // The firmware's part: what cmdline.txt says, with the console of this machine.
                let words = fs::read_to_string(dir.join("cmdline.txt")).unwrap();
                let words = words.split_whitespace().filter(|word| !word.starts_with("console=") && *word != "quiet");
                let words = words.chain(["console=ttyS1,115200", "loglevel=6"]).collect::<Vec<_>>().join(" ");
                let tree = dir.join("bcm2837-rpi-3-b.dtb");
                let tree = tree.display();
                let machine = "-M raspi3b -serial null -serial stdio";
                (format!("{machine} -kernel {program} -dtb {tree} -drive if=sd,format=raw,file={image} -append"), Some(words))
            }
            Kind::Virt(processor) => {
                let machine = "-m 512 -nodefaults -serial stdio";
                (format!("-M virt -cpu {processor} {machine} -bios {program} -drive if=virtio,format=raw,file={image}"), None)
            }
        };
        fixed.split(' ').chain(machine.split(' ')).map(str::to_owned).chain(last).collect()
    }

    /// Words of the kernel's command line that come from the golden image, and from the firmware where there is one.
    pub(super) fn words(&self) -> [&'static str; 2] {
        match self.kind {
            Kind::RaspberryPi => ["fsck.repair=yes", "loglevel=6"],
            Kind::Virt(_) => ["vendor.flag=golden", "rootwait"],
        }
    }
}

/// The programs of a Debian release, unpacked once; `None`, said aloud, where they cannot be fetched.
pub(super) fn programs(release: &str) -> Option<PathBuf> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("u-boot").join(release);
    if !dir.is_dir() {
        let mmdebstrap = tool("mmdebstrap")?;
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).unwrap();
        let archive = part.join("tree.tar");
        let plain =
            ["--quiet", "--variant=extract", "--architectures=arm64", "--include=u-boot-rpi,u-boot-qemu", "--format=tar", release];
        let output = std::process::Command::new(mmdebstrap).args(plain).arg(&archive).output().unwrap();
        if !output.status.success() {
            assert!(std::env::var_os("CI").is_none(), "fetching U-Boot: {}", String::from_utf8_lossy(&output.stderr));
            eprintln!("SKIPPED: U-Boot of {release} cannot be fetched");
            return None;
        }
        must("tar", &[&"-C", &part, &"-xf", &archive, &"./usr/lib/u-boot"]);
        fs::remove_file(archive).unwrap();
        fs::rename(part, &dir).unwrap();
    }
    Some(dir.join("usr/lib/u-boot"))
}
