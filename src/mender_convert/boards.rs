//! The board configurations that mender-convert contains.

/// A configuration file of mender-convert.
#[derive(Clone, Copy, Debug)]
pub struct BoardFile {
    /// Its name below `configs`, without directories.
    pub name: &'static str,
    /// The built-in board of ours that takes its place; empty if its settings need none.
    pub board: &'static str,
    /// The device type that it sets; empty if none.
    pub device_type: &'static str,
    /// Functions that it defines and that the board replaces.
    pub functions: &'static [&'static str],
    /// What else is to be known: in lower case, without a final period; Markdown.
    pub note: &'static str,
}

const fn file(name: &'static str, board: &'static str, device_type: &'static str) -> BoardFile {
    BoardFile {
        name,
        board,
        device_type,
        functions: &[],
        note: "",
    }
}

const fn with(
    file: BoardFile,
    functions: &'static [&'static str],
    note: &'static str,
) -> BoardFile {
    BoardFile {
        functions,
        note,
        ..file
    }
}

/// The board's name alone tells which U-Boot is wanted.
const NEEDS_U_BOOT: &str =
    "U-Boot is that of the golden image (`apt install u-boot-rpi`) or `boot.u-boot`";
const UEFI: &str = "UEFI firmware and GRUB must be in the golden image";
const EARLIER: &str = "of earlier releases";

/// All files, the boards first.
pub const BOARD_FILES: &[BoardFile] = &[
    with(
        file("raspberrypi0w_config", "raspberrypi0w", "raspberrypi0w"),
        &[],
        NEEDS_U_BOOT,
    ),
    with(
        file("raspberrypi3_config", "raspberrypi3", "raspberrypi3"),
        &[],
        NEEDS_U_BOOT,
    ),
    with(
        file(
            "raspberrypi3_64_config",
            "raspberrypi3-64",
            "raspberrypi3_64",
        ),
        &[],
        NEEDS_U_BOOT,
    ),
    with(
        file("raspberrypi4_config", "raspberrypi4", "raspberrypi4"),
        &[],
        NEEDS_U_BOOT,
    ),
    with(
        file(
            "raspberrypi4_64_config",
            "raspberrypi4-64",
            "raspberrypi4_64",
        ),
        &[],
        NEEDS_U_BOOT,
    ),
    with(
        file(
            "raspberrypi5_64_config",
            "raspberrypi5-64",
            "raspberrypi5_64",
        ),
        &["log_boot_delay_warning"],
        "a U-Boot of 2024.04 or later: `apt install u-boot-rpi` in Debian 13, or `boot.u-boot`",
    ),
    file(
        "raspberrypi3_bullseye_32bit_config",
        "raspberrypi3",
        "raspberrypi3",
    ),
    file(
        "raspberrypi3_bullseye_64bit_config",
        "raspberrypi3-64",
        "raspberrypi3_64",
    ),
    file(
        "raspberrypi3_bookworm_32bit_config",
        "raspberrypi3",
        "raspberrypi3",
    ),
    file(
        "raspberrypi3_bookworm_64bit_config",
        "raspberrypi3-64",
        "raspberrypi3_64",
    ),
    file(
        "raspberrypi4_bullseye_32bit_config",
        "raspberrypi4",
        "raspberrypi4",
    ),
    file(
        "raspberrypi4_bullseye_64bit_config",
        "raspberrypi4-64",
        "raspberrypi4_64",
    ),
    file(
        "raspberrypi4_bookworm_32bit_config",
        "raspberrypi4",
        "raspberrypi4",
    ),
    with(
        file(
            "raspberrypi4_bookworm_64bit_config",
            "raspberrypi4-64",
            "raspberrypi4_64",
        ),
        &[],
        NEEDS_U_BOOT,
    ),
    file(
        "raspberrypi4_trixie_64bit_config",
        "raspberrypi4-64",
        "raspberrypi4_64",
    ),
    file(
        "raspberrypi5_bookworm_64bit_config",
        "raspberrypi5-64",
        "raspberrypi5_64",
    ),
    file(
        "raspberrypi5_trixie_64bit_config",
        "raspberrypi5-64",
        "raspberrypi5_64",
    ),
    file(
        "raspberrypi4_ubuntu_32bit_config",
        "raspberrypi4",
        "raspberrypi4",
    ),
    with(
        file("raspberrypi4_ubuntu_config", "raspberrypi4", "raspberrypi4"),
        &[],
        EARLIER,
    ),
    with(
        file("comfile_pi_config", "comfile-pi", "raspberrypi3"),
        &["enable_lcd_backlight_comfile_pi"],
        "the backlight is not switched on by the boot script: do it in the golden image",
    ),
    with(
        file("rockpro64_config", "rockpro64", ""),
        &["platform_modify", "platform_package"],
        "the loader is that of the golden image's gap, or a file of a `[[raw]]` at 32 KiB",
    ),
    file("rockpro64_emmc_config", "rockpro64", ""),
    file("rockpro64_sd_config", "rockpro64", ""),
    with(
        file("generic_x86-64_hdd_config", "generic-x86-64", "x86_64"),
        &["platform_modify"],
        "",
    ),
    with(
        file("ubuntu_x86-64_hdd_config", "generic-x86-64", ""),
        &[],
        EARLIER,
    ),
    file("debian-qemux86-64_config", "qemux86-64", "qemux86-64"),
    file("ubuntu-qemux86-64_config", "qemux86-64", "qemux86-64"),
    with(
        file("qemux86-64_config", "qemux86-64", "qemux86-64"),
        &[],
        EARLIER,
    ),
    with(
        file(
            "beaglebone_black_debian_sdcard_config",
            "beaglebone",
            "beaglebone-sdcard",
        ),
        &[],
        EARLIER,
    ),
    with(
        file(
            "beaglebone_black_debian_emmc_config",
            "beaglebone",
            "beaglebone-emmc",
        ),
        &[],
        EARLIER,
    ),
    with(
        file("beaglebone_black_base_config", "beaglebone", ""),
        &[
            "beaglebone_fix_broken_uefi_uboot",
            "beaglebone_fix_broken_uefi_kernel",
            "beaglebone_fix_broken_uefi",
            "disable_udisks2_service",
        ],
        EARLIER,
    ),
    with(
        file("raspberrypi_raspbian_config", "", ""),
        &["apt_allow_release_change_suite"],
        "sizes alone, and one setting of apt",
    ),
    with(
        file("mender_convert_config", "", ""),
        &["mender_create_artifact"],
        "the defaults",
    ),
    with(
        file("mender_convert_demo_config", "", ""),
        &["enable_demo_configuration_in_file"],
        "`server.update-poll-interval = 5`, `server.inventory-poll-interval = 5`, `server.retry-poll-interval = 30`",
    ),
    with(file("mender_grub_config", "", ""), &[], "defaults of GRUB"),
    with(
        file("systemd_common_config", "", ""),
        &["grow_data_partition"],
        "`data.grow`",
    ),
    with(
        file("bookworm_config", "", ""),
        &["rpi_firmware_link"],
        "mounts the boot partition on `/boot/firmware`, as goldsmith does",
    ),
    with(
        file("pre_bookworm_config", "", ""),
        &["fixup_boot_part_path_references"],
        "systems before Debian 12 are converted with the boot partition on `/boot/firmware`",
    ),
    with(file("raspberrypi_bookworm_config", "", ""), &[], EARLIER),
    with(
        file("raspberrypi_bullseye_config", "", ""),
        &["fixup_boot_part_path_references"],
        EARLIER,
    ),
    with(
        file("raspberrypi_common_config", "", ""),
        RASPBERRY_PI,
        EARLIER,
    ),
    with(file("raspberrypi_config", "", ""), RASPBERRY_PI, EARLIER),
    with(file("raspberrypi_32_config", "", ""), RASPBERRY_PI, ""),
    with(file("raspberrypi_64_config", "", ""), RASPBERRY_PI, ""),
    with(file("common_config", "", ""), RASPBERRY_PI, ""),
];

const RASPBERRY_PI: &[&str] = &[
    "check_image_os_id",
    "check_image_os_version_greater_than",
    "check_image_os_version_less_than",
    "check_image_bitsize",
    "raspberrypi_check_requirements",
    "raspberrypi_adjust_services",
    "check_and_extract_asset",
    "raspberrypi_update_cmdline",
    "raspberrypi_generic_bootloader_setup",
    "raspberrypi_32_setup_bootloader_and_kernel",
    "raspberrypi_32_platform_modify",
    "raspberrypi_64_setup_bootloader_and_kernel",
    "raspberrypi_64_platform_modify",
    "rpi_cmdline_txt_workaround",
    "rpi_install_rpi_grub_integration",
    "rpi_enable_kernel_logging",
    "rpi_prepare_uefi_firmware",
    "rpi_install_grub",
    "rpi_uefi_platform_pre_modify",
];

/// The configuration of mender-convert that `path` names, by its file name; the file must be below
/// a directory `configs`. For the same name below `uefi`, the one for UEFI firmware.
#[must_use]
pub fn board_file(path: &str) -> Option<BoardFile> {
    let mut parts = path.rsplit('/');
    let name = parts.next()?;
    let directories: Vec<&str> = parts.collect();
    if !directories.contains(&"configs") {
        return None;
    }
    let known = *BOARD_FILES.iter().find(|file| file.name == name)?;
    if directories.contains(&"uefi") && !known.board.is_empty() {
        return Some(BoardFile {
            board: "generic-arm64",
            device_type: "raspberrypi4_64_uefi",
            note: UEFI,
            ..known
        });
    }
    Some(known)
}
