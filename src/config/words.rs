//! The closed sets of words that keys choose from.

use super::keys::{choices, choices_of};
use super::kind::Choice;
use crate::platform::{Architecture, Firmware};

choices_of! {
    Architecture {
        /// x86, 64 bit
        Amd64,
        /// x86, 32 bit
        I386,
        /// Arm, 64 bit
        Arm64,
        /// Arm, 32 bit with hardware floating point
        Armhf,
    }

    Firmware {
        /// UEFI firmware, which starts programs of the EFI system partition
        Uefi,
        /// the BIOS of a PC
        Bios,
        /// the firmware of the Raspberry Pi, which reads `config.txt`
        RaspberryPi,
        /// U-Boot, on the disk or in the board's own memory, which starts what UEFI firmware starts
        /// too
        UBoot,
    }
}

choices! {
    /// How well it is known that converted images work on a board.
    pub enum Proof {
        /// converted images are started, updated and rolled back by the project's tests, on this
        /// board or its emulation
        Booted = "booted",
        /// the boot scripts are tested on a board of the same kind, or by a model
        Modelled = "modelled",
        /// written from documentation
        Untested = "untested",
    }

    /// Kinds of partition table.
    pub enum TableChoice {
        /// the kind that the golden image has
        Keep = "keep",
        /// a GUID partition table
        Gpt = "gpt",
        /// a master boot record
        Mbr = "mbr",
    }

    /// What starts the kernel.
    pub enum BootloaderChoice {
        /// found from what is in the golden image
        Auto = "auto",
        /// GRUB, started by UEFI firmware
        GrubEfi = "grub-efi",
        /// U-Boot
        UBoot = "u-boot",
    }

    /// The filesystems that overlays are laid over.
    pub enum Target {
        /// the root filesystem, in both slots and in the Artifact
        Rootfs = "rootfs",
        /// the boot partition
        Boot = "boot",
        /// the data partition
        Data = "data",
    }

    /// Where a file is read from.
    pub enum Source {
        /// the computer that converts
        Host = "host",
        /// the golden image's root filesystem
        Image = "image",
    }

    /// Where U-Boot's environment is kept.
    pub enum EnvironmentPlace {
        /// in two files of the boot partition, by a script that any U-Boot runs
        Files = "files",
        /// outside of all partitions, by a U-Boot that was built with the update client's own
        /// scripts
        Raw = "raw",
    }

    /// What the second root partition holds on a fresh device.
    pub enum SlotB {
        /// the same as the first
        Copy = "copy",
        /// nothing
        Empty = "empty",
    }

    /// Compressions of a payload.
    pub enum Compression {
        /// gzip
        Gzip = "gzip",
        /// none
        None = "none",
        /// xz
        Xz = "xz",
        /// Zstandard
        Zstd = "zstd",
    }

    /// Forms of a disk image.
    pub enum ImageFormat {
        /// as it is, with holes
        Raw = "raw",
        /// compressed by gzip
        Gz = "gz",
        /// compressed by xz
        Xz = "xz",
        /// compressed by Zstandard
        Zst = "zst",
        /// for QEMU
        Qcow2 = "qcow2",
        /// for fastboot
        AndroidSparse = "android-sparse",
    }

    /// Maintainer scripts of a Debian package.
    pub enum MaintainerScript {
        /// before unpacking
        Preinst = "preinst",
        /// after unpacking
        Postinst = "postinst",
        /// before removal
        Prerm = "prerm",
        /// after removal
        Postrm = "postrm",
    }
}
