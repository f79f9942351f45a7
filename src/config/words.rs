//! The enumerations that keys choose from.

use super::keys::{Choice, choices, choices_of};
use crate::platform::{Architecture, Firmware, PiModel};

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
        /// UEFI firmware, which starts programs on the EFI system partition
        Uefi,
        /// the BIOS of a PC
        Bios,
        /// the firmware of the Raspberry Pi, which reads `config.txt`
        RaspberryPi,
        /// U-Boot, on the disk or in the board's own memory; it implements UEFI too
        UBoot,
    }

    PiModel {
        /// Raspberry Pi 1
        Pi1,
        /// Compute Module 1
        Cm1,
        /// Raspberry Pi Zero
        Pi0,
        /// Raspberry Pi Zero W
        Pi0W,
        /// Raspberry Pi Zero 2 W
        Pi02,
        /// Raspberry Pi 2
        Pi2,
        /// Raspberry Pi 3
        Pi3,
        /// Raspberry Pi 3 A+ and 3 B+
        Pi3Plus,
        /// Compute Module 3
        Cm3,
        /// Compute Module 3+
        Cm3Plus,
        /// Raspberry Pi 4
        Pi4,
        /// Raspberry Pi 400
        Pi400,
        /// Compute Module 4
        Cm4,
        /// Compute Module 4S
        Cm4S,
        /// Raspberry Pi 5
        Pi5,
        /// Raspberry Pi 500
        Pi500,
        /// Compute Module 5
        Cm5,
    }
}

choices! {
    /// How well converted images are known to work on a board.
    pub enum Proof {
        /// the project's tests boot, update and roll back converted images, on this board or on an
        /// emulated one
        Booted = "booted",
        /// the boot scripts are tested on a board of the same kind, or against a model
        Modelled = "modelled",
        /// written from documentation
        Untested = "untested",
    }

    /// A repository that is known by name.
    pub enum RepositoryPreset {
        /// those that the golden image's own apt uses, with its keys
        Image = "image",
        /// the vendor's repository of the update client
        Mender = "mender",
    }

    /// What becomes of a partition of the golden image.
    pub enum PartitionAction {
        /// its files become a part of the root filesystem, where the partition is mounted
        Merge = "merge",
        /// its files are moved to the data partition and mounted where the partition is mounted
        Data = "data",
        /// its bytes are copied to the same offset, outside the new partitions
        Copy = "copy",
        /// it is left out
        Drop = "drop",
    }

    /// The partition table to write.
    pub enum TableChoice {
        /// the same type as in the golden image
        Keep = "keep",
        /// a GPT
        Gpt = "gpt",
        /// an MBR
        Mbr = "mbr",
    }

    /// The boot loader to integrate.
    pub enum BootloaderChoice {
        /// detected in the golden image
        Auto = "auto",
        /// GRUB, started by UEFI firmware
        GrubEfi = "grub-efi",
        /// U-Boot
        UBoot = "u-boot",
        /// the firmware of a Raspberry Pi by itself
        RpiTryboot = "rpi-tryboot",
    }

    /// What the firmware of a Raspberry Pi chooses between.
    pub enum TrybootLevel {
        /// files of one boot partition
        Files = "files",
        /// two boot partitions, each with the firmware, on a GPT
        Partitions = "partitions",
    }

    /// The filesystem that an overlay is copied over.
    pub enum OverlayTarget {
        /// the root filesystem, in both slots and in the Artifact
        Rootfs = "rootfs",
        /// the boot partition
        Boot = "boot",
        /// the data partition
        Data = "data",
    }

    /// How a file assigns values to keys.
    pub enum AssignmentStyle {
        /// `key=value` in sections, as in the files of systemd and NetworkManager, and `config.txt`
        Ini = "ini",
        /// `KEY="value"`, as in `/etc/default` and `/etc/environment`
        Shell = "shell",
    }

    /// Where the file of a `[[raw]]` is.
    pub enum RawSource {
        /// on the host
        Host = "host",
        /// in the root filesystem of the golden image
        Image = "image",
    }

    /// Where the U-Boot environment is stored.
    pub enum EnvironmentLocation {
        /// in two files on the boot partition, maintained by a script that any U-Boot can run
        Files = "files",
        /// outside the partitions, maintained by a U-Boot that was built with the scripts of the
        /// update client
        Raw = "raw",
    }

    /// The content of the second root partition on a new device.
    pub enum SlotB {
        /// a copy of the first
        Copy = "copy",
        /// nothing
        Empty = "empty",
    }

    /// The compression of a payload.
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

    /// The format of a disk image.
    pub enum ImageFormat {
        /// uncompressed, sparse
        Raw = "raw",
        /// compressed with gzip
        Gz = "gz",
        /// compressed with xz
        Xz = "xz",
        /// compressed with Zstandard
        Zst = "zst",
        /// QEMU's format
        Qcow2 = "qcow2",
        /// Android's format, for fastboot
        AndroidSparse = "android-sparse",
        /// no image, for devices that only need the Artifact
        None = "none",
    }

    /// A statement about the results, for those who have to account for them.
    pub enum SbomFormat {
        /// the parts of the root filesystem, in CycloneDX 1.6
        Cyclonedx = "cyclonedx",
        /// the same, in SPDX 3.0.1
        Spdx = "spdx",
        /// from which inputs the results were made: an in-toto statement with SLSA provenance
        Provenance = "provenance",
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
        /// before the configuration of the package: what it asks of debconf
        Config = "config",
    }
}
