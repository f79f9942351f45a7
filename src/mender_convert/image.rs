//! Variables of the release, the disk, the boot loader and the filesystems.

use super::variable::Rule::{
    Automatic, Choice, Combined, Nothing, Number, Size, Text, Words, YesNo,
};
use super::variable::{Unit, Variable, open, row};

pub(super) const IDENTITY: &[Variable] = &[
    open(
        "MENDER_ARTIFACT_NAME",
        Text("artifact.name"),
        "usually given as `--artifact-name NAME`, anew for each release",
    ),
    row(
        "MENDER_DEVICE_TYPE",
        "",
        Words("board.device-type"),
        "IDs of disk and partitions are derived from the first one; if it is empty, the board that matches the golden image, not its host name",
    ),
    row(
        "MENDER_ARTIFACT_COMPRESSION",
        "gzip",
        Choice(
            "artifact.compression",
            &[
                ("gzip", "gzip"),
                ("lzma", "xz"),
                ("none", "none"),
                ("zstd_fastest", "zstd"),
                ("zstd_better", "zstd"),
                ("zstd_best", "zstd"),
            ],
        ),
        "the level is `artifact.level`",
    ),
    row(
        "MENDER_COMPRESS_DISK_IMAGE",
        "gzip",
        Choice(
            "output.image",
            &[
                ("none", "raw"),
                ("gzip", "gz"),
                ("lzma", "xz"),
                ("zip", "gz"),
            ],
        ),
        "the default of goldsmith is `raw`, whatever the compression of the input; zip is not written",
    ),
    row(
        "DEPLOY_IMAGE_NAME",
        "",
        Text("output.name"),
        "the default is `<input>-<device type>-<artifact name>`",
    ),
    row(
        "MENDER_USE_BMAP",
        "n",
        YesNo("output.bmap"),
        "the default of goldsmith is `true`",
    ),
    row(
        "MENDER_SPARSE_IMAGE",
        "n",
        Automatic,
        "raw images are always sparse",
    ),
];

pub(super) const STORAGE: &[Variable] = &[
    row(
        "MENDER_STORAGE_TOTAL_SIZE_MB",
        "8192",
        Size("storage.size", Unit::Mib),
        "",
    ),
    row(
        "MENDER_PARTITION_ALIGNMENT",
        "8388608",
        Size("storage.alignment", Unit::Bytes),
        "a power of two from 1 MiB to 1 GiB",
    ),
    row(
        "MENDER_PARTITION_SCHEME",
        "",
        Choice("storage.table", &[("gpt", "gpt"), ("dos", "mbr")]),
        "the default is that of the golden image in both",
    ),
    row(
        "MENDER_STORAGE_DEVICE_BASE",
        "/dev/mmcblk0p",
        Combined(&["storage.device"]),
        "the disk, without `p`: `/dev/mmcblk0`; goldsmith refers to partitions by ID if it is not set, whatever the disk is called",
    ),
    row(
        "MENDER_ENABLE_PARTUUID",
        "n",
        Combined(&["storage.device"]),
        "`y` is `storage.device = \"partuuid\"`, which is the default",
    ),
    row(
        "MENDER_BOOT_PART",
        "",
        Combined(&["storage.disk-id", "storage.ids.boot", "storage.device"]),
        "a path in `/dev/disk/by-partuuid` sets the ID, another path the disk",
    ),
    row(
        "MENDER_ROOTFS_PART_A",
        "",
        Combined(&["storage.disk-id", "storage.ids.root-a", "storage.device"]),
        "as `MENDER_BOOT_PART`",
    ),
    row(
        "MENDER_ROOTFS_PART_B",
        "",
        Combined(&["storage.disk-id", "storage.ids.root-b", "storage.device"]),
        "as `MENDER_BOOT_PART`",
    ),
    row(
        "MENDER_DATA_PART",
        "",
        Combined(&["storage.disk-id", "storage.ids.data", "storage.device"]),
        "as `MENDER_BOOT_PART`",
    ),
    row(
        "MENDER_BOOT_PART_NUMBER",
        "1",
        Nothing,
        "the numbers are always 1 (boot), 2 and 3 (root), 4 (data)",
    ),
    row(
        "MENDER_ROOTFS_PART_A_NUMBER",
        "2",
        Nothing,
        "the numbers are always 1 (boot), 2 and 3 (root), 4 (data)",
    ),
    row(
        "MENDER_ROOTFS_PART_B_NUMBER",
        "3",
        Nothing,
        "the numbers are always 1 (boot), 2 and 3 (root), 4 (data)",
    ),
    row(
        "MENDER_DATA_PART_NUMBER",
        "4",
        Nothing,
        "the numbers are always 1 (boot), 2 and 3 (root), 4 (data)",
    ),
    row(
        "MENDER_EXPAND_WORK_ROOTFS",
        "",
        Automatic,
        "nothing is installed in a mounted copy, so no room is needed for it",
    ),
];

pub(super) const BOOT: &[Variable] = &[
    row(
        "MENDER_BOOT_PART_SIZE_MB",
        "40",
        Size("boot.size", Unit::Mib),
        "without the key, 40 MiB or the size of the golden image's boot partition if that is larger",
    ),
    row(
        "MENDER_BOOT_PART_FSTAB_OPTS",
        "defaults,sync",
        Text("boot.options"),
        "the default is that of the golden image; `sync` is added",
    ),
    open(
        "MENDER_BOOT_PART_MOUNT_LOCATION",
        Text("boot.mount"),
        "the default is that of the golden image, then as in mender-convert; on a Raspberry Pi `/boot/firmware`",
    ),
    row(
        "MENDER_COPY_BOOT_GAP",
        "y",
        YesNo("boot.copy-gap"),
        "the default is `true` only with U-Boot, except on a Raspberry Pi",
    ),
    row(
        "MENDER_GRUB_EFI_INTEGRATION",
        "y",
        Choice("boot.bootloader", &[("y", "grub-efi"), ("n", "u-boot")]),
        "the default is detected in the golden image",
    ),
    row(
        "MENDER_GRUB_D_INTEGRATION",
        "auto",
        Automatic,
        "the GRUB of the golden image is used, and its package can be updated on the device",
    ),
    row(
        "MENDER_GRUB_KERNEL_BOOT_ARGS",
        "",
        Words("root.kernel-args"),
        "added to the arguments of the golden image, which are kept; mender-convert replaces its defaults by these",
    ),
    row(
        "MENDER_GRUB_KERNEL_IMAGETYPE",
        "",
        Automatic,
        "kernels are found by their content, also those that are installed later",
    ),
    row(
        "MENDER_GRUB_INITRD_IMAGETYPE",
        "",
        Automatic,
        "the initial RAM disk of a kernel is found by its version",
    ),
    open(
        "MENDER_KERNEL_IMAGETYPE",
        Automatic,
        "kernels are found by their content; `boot.kernel-flavor` selects among those for several machines",
    ),
    row(
        "MENDER_DTB_NAME",
        "kernel.dtb",
        Automatic,
        "device trees are those of the golden image: its firmware or U-Boot selects one",
    ),
    row(
        "MENDER_IGNORE_UBOOT_BROKEN_UEFI",
        "0",
        Nothing,
        "a boot chain that cannot work is refused: see the hint of `goldsmith plan`, or set `boot.bootloader = \"u-boot\"`",
    ),
    row(
        "MENDER_IGNORE_MISSING_EFI_STUB",
        "0",
        Nothing,
        "a boot chain that cannot work is refused: see the hint of `goldsmith plan`, or set `boot.bootloader = \"u-boot\"`",
    ),
    row(
        "GRUB_VERSION",
        "2.12",
        Automatic,
        "the GRUB of the golden image is used: install `grub-efi-amd64-signed` or `grub-efi-arm64` there",
    ),
    row(
        "MENDER_GRUBENV_VERSION",
        "d7c3ec217e281727f56c3651799f805637cb2cda",
        Automatic,
        "the boot scripts are part of goldsmith",
    ),
    row(
        "MENDER_GRUBENV_URL",
        "${MENDER_GITHUB_ORG}/grub-mender-grubenv/archive/${MENDER_GRUBENV_VERSION}.tar.gz",
        Automatic,
        "the boot scripts are part of goldsmith",
    ),
    row(
        "MENDER_GRUB_BINARY_STORAGE_URL",
        "${MENDER_STORAGE_URL}/grub-mender-grubenv/grub-efi/${GRUB_VERSION}-grub-mender-grubenv-${MENDER_GRUBENV_VERSION}",
        Automatic,
        "the GRUB of the golden image is used",
    ),
];

pub(super) const FILESYSTEMS: &[Variable] = &[
    row(
        "IMAGE_ROOTFS_SIZE",
        "0",
        Combined(&["root.size"]),
        "in KiB, with `IMAGE_ROOTFS_EXTRA_SPACE` added; -1, the whole partition, is `\"max\"`",
    ),
    row(
        "IMAGE_ROOTFS_EXTRA_SPACE",
        "0",
        Combined(&["root.headroom", "root.size"]),
        "in KiB; `root.headroom` is a size or a percentage, not the larger of two",
    ),
    row(
        "IMAGE_OVERHEAD_FACTOR",
        "1.5",
        Combined(&["root.headroom"]),
        "1.5 is `\"50 %\"`, the default",
    ),
    row(
        "MENDER_ROOT_PART_FSTAB_OPTS",
        "defaults",
        Text("root.options"),
        "the default is that of the golden image",
    ),
    row(
        "MENDER_ROOT_PART_FS_PASSNO",
        "1",
        Number("root.fsck-pass"),
        "",
    ),
    row(
        "MENDER_ROOT_PART_MKFS_OPTS",
        "",
        Nothing,
        "goldsmith writes ext4 itself, with the features that Debian's `mke2fs` uses; the UUID is `root.uuid`",
    ),
    row(
        "MENDER_ROOTFS_PART_B_INCLUDE",
        "y",
        Choice("root.slot-b", &[("y", "copy"), ("n", "empty")]),
        "",
    ),
    row(
        "MENDER_DATA_PART_SIZE_MB",
        "128",
        Size("data.size", Unit::Mib),
        "",
    ),
    row(
        "MENDER_DATA_PART_FSTAB_OPTS",
        "defaults",
        Text("data.options"),
        "",
    ),
    row("MENDER_DATA_PART_GROWFS", "y", YesNo("data.grow"), ""),
    row(
        "MENDER_DATA_PART_MKFS_OPTS",
        "",
        Nothing,
        "goldsmith writes ext4 itself, with the features that Debian's `mke2fs` uses; the UUID is `data.uuid`",
    ),
];
