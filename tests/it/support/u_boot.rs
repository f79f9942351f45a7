//! The U-Boot of Debian's packages, that of a Debian release other than the host's too.
#![allow(dead_code)]

use crate::convert::conversions::partitions;
use crate::support::{must, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// The program for a board of a Debian release, as its package has it; `None`, said aloud, where it
/// cannot be fetched.
pub(crate) fn program(release: &str, arch: &str, board: &str) -> Option<PathBuf> {
    Some(programs(release, arch)?.join(board).join("u-boot.bin"))
}

/// The programs of a Debian release, unpacked once; `None`, said aloud, where they cannot be
/// fetched.
fn programs(release: &str, arch: &str) -> Option<PathBuf> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("u-boot")
        .join(release);
    let dir = if arch == "arm64" {
        dir
    } else {
        dir.with_file_name(format!("{release}-{arch}"))
    };
    if !dir.is_dir() {
        let mmdebstrap = tool("mmdebstrap")?;
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).unwrap();
        let archive = part.join("tree.tar");
        // As of the release: what came since is in a place of its own, which is not always whole.
        let hook = "--setup-hook=sed -i -e /-security/d -e /-updates/d \"$1/etc/apt/sources.list\"";
        let architecture = format!("--architectures={arch}");
        let plain = [
            "--quiet",
            "--variant=extract",
            hook,
            &architecture,
            "--include=u-boot-rpi,u-boot-qemu",
            "--format=tar",
            release,
        ];
        let output = std::process::Command::new(mmdebstrap)
            .args(plain)
            .arg(&archive)
            .output()
            .unwrap();
        if !output.status.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "fetching U-Boot: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            eprintln!("SKIPPED: U-Boot of {release} cannot be fetched");
            return None;
        }
        must(
            "tar",
            &[&"-C", &part, &"-xf", &archive, &"./usr/lib/u-boot"],
        );
        fs::remove_file(archive).unwrap();
        fs::rename(part, &dir).unwrap();
    }
    Some(dir.join("usr/lib/u-boot"))
}

/// A Raspberry Pi as QEMU has it. The part of the Pi's firmware is played by QEMU, which loads
/// U-Boot, the device tree and the words of `cmdline.txt`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RaspberryPi {
    pub(crate) machine: &'static str,
    /// The file of its device tree.
    pub(crate) tree: &'static str,
    /// The serial line that U-Boot uses, and the words that make Linux use it.
    pub(crate) serial: &'static str,
    pub(crate) console: &'static str,
}

pub(crate) const PI_3: RaspberryPi = RaspberryPi {
    machine: "raspi3b",
    tree: "bcm2837-rpi-3-b.dtb",
    serial: "-serial null -serial stdio",
    console: "console=ttyS1,115200",
};
/// The model with a processor of 32 bits.
pub(crate) const PI_2: RaspberryPi = RaspberryPi {
    machine: "raspi2b",
    tree: "bcm2836-rpi-2-b.dtb",
    serial: "-serial stdio",
    console: "earlycon=pl011,mmio32,0x3f201000 console=ttyAMA0,115200",
};

impl RaspberryPi {
    /// What the firmware reads of the boot partition, besides U-Boot.
    pub(crate) fn files(&self) -> [&'static str; 2] {
        [self.tree, "cmdline.txt"]
    }

    /// Copies [`Self::files`] of the first partition of `image` to `dir`.
    pub(crate) fn load(&self, image: &Path, dir: &Path) {
        let boot = format!("{}@@{}", image.display(), partitions(image)[&1].start);
        for file in self.files() {
            must("mcopy", &[&"-n", &"-i", &boot, &format!("::{file}"), &dir]);
        }
    }

    /// The emulator's arguments for what the firmware passes on: the device tree in `dir` and the
    /// words of `cmdline.txt` there, with the console of this machine, and `more`.
    pub(crate) fn passed_on(&self, dir: &Path, more: &str) -> [String; 4] {
        let words = fs::read_to_string(dir.join("cmdline.txt")).expect("cmdline.txt");
        let words = words
            .split_whitespace()
            .filter(|word| !word.starts_with("console=") && *word != "quiet");
        let words = words
            .chain([self.console, more])
            .collect::<Vec<_>>()
            .join(" ");
        [
            "-dtb".into(),
            dir.join(self.tree).display().to_string(),
            "-append".into(),
            words,
        ]
    }
}
