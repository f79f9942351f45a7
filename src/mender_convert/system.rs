//! Variables of the update client, of boards, of earlier releases and of the environment.

use super::variable::Rule::{Automatic, Combined, Nothing, YesNo};
use super::variable::{Variable, open, row};

/// Parts of the client.
const PART: &str =
    "a package that `goldsmith lock` chooses; a file in `client.packages` serves as well";

/// Versions.
const VERSION: &str =
    "as in `\"mender-connect=2.3.*\"`; else `goldsmith lock` takes that of the bundle";

/// The files of a firmware.
const NO_DOWNLOAD: &str = "no file is downloaded: put those that a board needs into the boot partition of the golden image";

/// The version of a package.
const fn version(name: &'static str) -> Variable {
    row(name, "latest", Combined(&["client.install"]), VERSION)
}

/// The vendor's repository.
const PRESET: &str = "`url` of a `[[repository]]`; the bundles 4.0 to 6.0 come from the vendor's repository, which is a preset";

/// Whether a package is installed.
const fn package(name: &'static str, default: &'static str, note: &'static str) -> Variable {
    row(name, default, Combined(&["client.install"]), note)
}

pub(super) const CLIENT: &[Variable] = &[
    row(
        "MENDER_CLIENT_INSTALL",
        "y",
        Combined(&["client.bundle", "client.required"]),
        "`goldsmith lock` chooses the packages, `goldsmith fetch` downloads them; package files serve as well (`client.packages`), and so does a client in the golden image; without any, `client.required = false` converts the image",
    ),
    row(
        "MENDER_CLIENT_VERSION",
        "auto",
        Combined(&["client.bundle", "client.install"]),
        "the bundle that has this version, and the version",
    ),
    row("MENDER_ENABLE_SYSTEMD", "y", YesNo("client.managed"), ""),
    row(
        "MENDER_INSTALL_INPUT_PACKAGES",
        "n",
        Combined(&["client.packages"]),
        "`client.packages` installs any packages, not only the client's",
    ),
    row(
        "MENDER_INSTALL_INPUT_PACKAGES_PATH",
        "input/deb",
        Combined(&["client.packages"]),
        "the directory, followed by `/*.deb`",
    ),
    version("MENDER_FLASH_VERSION"),
    package("MENDER_SETUP_INSTALL", "auto", PART),
    version("MENDER_SETUP_VERSION"),
    package("MENDER_SNAPSHOT_INSTALL", "auto", PART),
    version("MENDER_SNAPSHOT_VERSION"),
    package(
        "MENDER_CLIENT_VERSION_INVENTORY_SCRIPT_INSTALL",
        "y",
        "the client recommends it, so it comes along where it fits the client's version",
    ),
    version("MENDER_CLIENT_VERSION_INVENTORY_SCRIPT_VERSION"),
];

pub(super) const ADDONS: &[Variable] = &[
    package("MENDER_ADDON_CONNECT_INSTALL", "n", PART),
    version("MENDER_ADDON_CONNECT_VERSION"),
    package("MENDER_ADDON_CONFIGURE_INSTALL", "n", PART),
    version("MENDER_ADDON_CONFIGURE_VERSION"),
    package(
        "MENDER_DOCKER_COMPOSE_INSTALL",
        "n",
        "with `jq` and a Docker, which `goldsmith lock` chooses where the golden image lacks them",
    ),
    version("MENDER_DOCKER_COMPOSE_VERSION"),
    open(
        "MENDER_ADDON_SHELL_INSTALL",
        Combined(&["client.install"]),
        "of earlier releases: the package is now `mender-connect`",
    ),
    open(
        "MENDER_ADDON_SHELL_VERSION",
        Nothing,
        "of earlier releases: versions of `mender-connect` are others",
    ),
];

pub(super) const DOWNLOADS: &[Variable] = &[
    row(
        "MENDER_STORAGE_URL",
        "https://downloads.mender.io",
        Nothing,
        PRESET,
    ),
    row(
        "MENDER_APT_REPO_URL",
        "${MENDER_STORAGE_URL}/repos/device-components",
        Nothing,
        PRESET,
    ),
    open(
        "MENDER_APT_REPO_DISTS",
        Nothing,
        "of earlier releases: `suite` of a `[[repository]]`; that of the preset follows the golden image's release",
    ),
    row(
        "MENDER_APT_KEY_URL",
        "https://downloads.mender.io/repos/debian/gpg",
        Nothing,
        "`key` of a `[[repository]]`; the preset has this one",
    ),
    row(
        "MENDER_APT_KEY_FP",
        "E6C857345575F9218396566224072B80A1B29B00",
        Nothing,
        "`fingerprint` of a `[[repository]]`; the preset has this one",
    ),
    row(
        "MENDER_GITHUB_ORG",
        "https://github.com/mendersoftware",
        Nothing,
        "nothing comes from there",
    ),
    row(
        "MENDER_CLIENT_DATA_DIR_SERVICE_URL",
        "https://raw.githubusercontent.com/mendersoftware/meta-mender/ab9c1e65abf73cde1065e2a4c2005cfe61ee6e3d/meta-mender-core/recipes-mender/mender-client/files/mender-data-dir.service",
        Automatic,
        "the directories of the client are on the data partition from the start",
    ),
];

pub(super) const RASPBERRY: &[Variable] = &[
    open(
        "RASPBERRYPI_CONFIG",
        Nothing,
        "the board is named by `extends`: see `goldsmith boards`",
    ),
    open(
        "RASPBERRYPI_KERNEL_IMAGE",
        Automatic,
        "the kernel of the board's models is found; `boot.kernel-flavor` selects another",
    ),
    open(
        "RASPBERRYPI_BOOTLOADER_IMAGE",
        Automatic,
        "`config.txt` is changed to start U-Boot",
    ),
    open(
        "RASPBERRYPI_BINARIES",
        Nothing,
        "U-Boot is that of the golden image (`apt install u-boot-rpi`), or a file that `boot.u-boot` names",
    ),
    open(
        "RASPBERRYPI_BINARIES_URL",
        Nothing,
        "U-Boot is that of the golden image (`apt install u-boot-rpi`), or a file that `boot.u-boot` names",
    ),
    open(
        "RASPBERRYPI_OS_REQUIRED_ID",
        Combined(&["board.release"]),
        "together with the versions",
    ),
    open(
        "RASPBERRYPI_OS_MIN_VERSION",
        Nothing,
        "`board.release` lists the systems that are accepted: `[\"debian-12\", \"debian-13\"]`",
    ),
    open(
        "RASPBERRYPI_OS_MAX_VERSION",
        Nothing,
        "`board.release` lists the systems that are accepted: `[\"debian-12\", \"debian-13\"]`",
    ),
    open(
        "RASPBERRYPI_OS_NEEDS_32BIT",
        Combined(&["board.architecture"]),
        "`[\"armhf\"]`; the built-in boards have it",
    ),
    open(
        "RASPBERRYPI_OS_NEEDS_64BIT",
        Combined(&["board.architecture"]),
        "`[\"arm64\"]`; the built-in boards have it",
    ),
    open(
        "RPI_FIXUP_UBOOT_PATH",
        Automatic,
        "the boot partition is mounted on `/boot/firmware`, and references to the old place are followed or refused",
    ),
    open(
        "MENDER_RPI_EFI_LOGGING_WORKAROUND",
        Nothing,
        "set `root.kernel-args = [\"earlycon=efifb\", \"keep_bootcon\"]`",
    ),
    open(
        "MENDER_RPI_PRECONFIGURED_UEFIVARS",
        Nothing,
        "UEFI firmware for a Raspberry Pi comes with the golden image, or as files of an `[[overlay]]` with `target = \"boot\"`",
    ),
    open(
        "RPI_UEFI_FIRMWARE_URL",
        Nothing,
        "UEFI firmware for a Raspberry Pi comes with the golden image, or as files of an `[[overlay]]` with `target = \"boot\"`",
    ),
    open("RPI_UEFI_FIRMWARE_CHKSUM", Nothing, NO_DOWNLOAD),
    open("RPI_UEFIVAR_BLOB_URL", Nothing, NO_DOWNLOAD),
    open("RPI_UEFIVAR_BLOB_CHKSUM", Nothing, NO_DOWNLOAD),
    open("RPI_UEFIVAR_ORIG_FIRMWARE_CHKSUM", Nothing, NO_DOWNLOAD),
];

pub(super) const OTHER_BOARDS: &[Variable] = &[
    open(
        "ROCKPRO64_CONFIG",
        Nothing,
        "the board is `extends = [\"rockpro64\"]`; the disk is `storage.device`",
    ),
    open(
        "ROCKPRO64_BINARIES",
        Nothing,
        "the loader is that of the golden image's gap, or a file of a `[[raw]]`",
    ),
    open(
        "ROCKPRO64_BINARIES_URL",
        Nothing,
        "the loader is that of the golden image's gap, or a file of a `[[raw]]`",
    ),
    open(
        "BEAGLEBONE_BLACK_BINARIES",
        Nothing,
        "of earlier releases: U-Boot is that of the golden image",
    ),
    open(
        "BEAGLEBONE_BLACK_BINARIES_URL",
        Nothing,
        "of earlier releases: U-Boot is that of the golden image",
    ),
    open(
        "BEAGLEBONE_EFI_COMPATIBLE_KERNEL",
        Nothing,
        "of earlier releases: the kernel is that of the golden image",
    ),
    open(
        "BEAGLEBONE_EFI_COMPATIBLE_KERNEL_URL",
        Nothing,
        "of earlier releases: the kernel is that of the golden image",
    ),
    open(
        "BEAGLEBONE_EFI_COMPATIBLE_KERNEL_VERSION",
        Nothing,
        "of earlier releases: the kernel is that of the golden image",
    ),
];

pub(super) const EARLIER: &[Variable] = &[
    open(
        "MENDER_BOOT_PART_INDEX",
        Nothing,
        "now `MENDER_BOOT_PART_NUMBER`: the numbers are always 1 to 4",
    ),
    open(
        "MENDER_ROOTFS_PART_A_INDEX",
        Nothing,
        "now `MENDER_ROOTFS_PART_A_NUMBER`: the numbers are always 1 to 4",
    ),
    open(
        "MENDER_ROOTFS_PART_B_INDEX",
        Nothing,
        "now `MENDER_ROOTFS_PART_B_NUMBER`: the numbers are always 1 to 4",
    ),
    open(
        "MENDER_DATA_PART_INDEX",
        Nothing,
        "now `MENDER_DATA_PART_NUMBER`: the numbers are always 1 to 4",
    ),
    open(
        "MENDER_KERNEL_DEVICETREE",
        Automatic,
        "now `MENDER_DTB_NAME`: device trees are those of the golden image",
    ),
    open(
        "MENDER_GRUB_STORAGE_DEVICE",
        Automatic,
        "the disk is found by its ID",
    ),
    open(
        "MENDER_STORAGE_DEVICE",
        Combined(&["storage.device"]),
        "the whole disk",
    ),
    open(
        "MENDER_SKIP_FIRST_PARTITION",
        Nothing,
        "name the partitions: `boot.partition`, `root.partition`, and `[[partition]]` for the others",
    ),
    open(
        "MENDER_USE_LUKS",
        Nothing,
        "encryption is not supported: see docs/golden-image.md",
    ),
];

pub(super) const ENVIRONMENT: &[Variable] = &[
    open(
        "MENDER_CONVERT_LOG_FILE",
        Nothing,
        "messages go to standard error; the record `<name>.json` lists every edit",
    ),
    open("MENDER_CONVERT_VERSION", Nothing, "`goldsmith --version`"),
    open("DEPLOY_DIRECTORY", Nothing, "`--output-dir DIR`"),
    open(
        "WORK_DIRECTORY",
        Nothing,
        "compressed inputs are unpacked into the output directory; nothing else is temporary",
    ),
    open(
        "INPUT_DIRECTORY",
        Nothing,
        "any path can be read: no container is needed",
    ),
    open(
        "CONFIGS_DIRECTORY",
        Nothing,
        "any path can be read: no container is needed",
    ),
    open(
        "ASSETS_DIRECTORY",
        Nothing,
        "files are named where they are used, as by `boot.u-boot`",
    ),
    open("LOGS_DIRECTORY", Nothing, "messages go to standard error"),
    open("IMAGE_NAME", Nothing, "no container is needed"),
];
