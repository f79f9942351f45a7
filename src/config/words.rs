//! The closed sets of words that keys choose from.

use super::keys::choices;
use super::kind::Choice;

choices! {
    /// Kinds of partition table.
    pub enum TableKind {
        /// the kind that the golden image has
        Keep = "keep",
        /// a GUID partition table
        Gpt = "gpt",
        /// a master boot record
        Mbr = "mbr",
    }

    /// What starts the kernel.
    pub enum Bootloader {
        /// found from what is in the golden image
        Auto = "auto",
        /// GRUB, started by UEFI firmware
        GrubEfi = "grub-efi",
        /// U-Boot
        UBoot = "u-boot",
    }

    /// Where U-Boot's environment is kept.
    pub enum EnvironmentPlace {
        /// in two files of the boot partition, by a script that any U-Boot runs
        Files = "files",
        /// outside of all partitions, by a U-Boot that was built with the update client's own scripts
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
