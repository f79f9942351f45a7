//! The boot script for one kind of board.

use super::environment;
use super::options::{EnvStorage, UBootOptions};
use crate::boot::common::fill_template;
use crate::platform::Architecture;

/// The parts of the script that depend on the board: memory addresses, and the origins of arguments
/// and device tree.
struct BoardCommands {
    memory: &'static str,
    /// Definitions that `tree` runs.
    trees: &'static str,
    tree: &'static str,
    arguments: &'static str,
}

/// The firmware made a device tree with the overlays that config.txt asks for, and put the
/// arguments of cmdline.txt into it. U-Boot's own addresses leave 38 MiB for a kernel; these leave
/// 158, and room to unpack one of 96, all within the first 364 MiB.
const RASPBERRY_PI: BoardCommands = BoardCommands {
    memory: "setenv mender_memory 9f00000\nsetenv ramdisk_addr_r a100000\nsetenv kernel_comp_addr_r 10000000\n\
             setenv kernel_comp_size 6000000\nsetenv mender_firmware_args\n\
             if fdt addr ${fdt_addr}; then fdt get value mender_firmware_args /chosen bootargs; fi",
    trees: "",
    tree: "setenv mender_tree ${fdt_addr};",
    arguments: "${mender_firmware_args} ",
};

/// The board's U-Boot says where things go, and which device tree is its own. Not every U-Boot says
/// where `booti` may unpack a kernel that gzip packed, without which it refuses one: these defaults
/// leave 128 MiB to the initial RAM disk in front of that place, and let a packed kernel have 64.
/// Few boards have no place for a device tree; theirs is that of the script, 256 KiB further.
const OTHER: BoardCommands = BoardCommands {
    memory: "if test -z \"${scriptaddr}\"; then setenv scriptaddr ${loadaddr}; fi\nsetexpr mender_memory ${scriptaddr} + 20000\n\
             if test -z \"${kernel_comp_addr_r}\"; then setexpr kernel_comp_addr_r ${ramdisk_addr_r} + 8000000; fi\n\
             if test -z \"${kernel_comp_size}\"; then setenv kernel_comp_size 4000000; fi\n\
             if test -z \"${fdt_addr_r}\"; then setexpr fdt_addr_r ${scriptaddr} + 40000; fi\n\
             setenv mender_console\nif test -n \"${console}\"; then setenv mender_console \"console=${console}\"; fi",
    trees: include_str!("../../../configs/device/u-boot/device-tree.cmd"),
    tree: "run mender_device_tree;",
    arguments: "${mender_console} ",
};

/// The arguments in front of those of the slot, at their longest.
pub(super) fn arguments_in_front(options: &UBootOptions<'_>) -> String {
    let uuid = options.partuuids[0];
    let slot = options.roots.iter().max().copied().unwrap_or_default();
    format!("root=PARTUUID={uuid} mender.slot={slot} console=ttyS0,115200n8 ")
}

/// The text of the script.
#[must_use]
pub fn text(options: &UBootOptions<'_>, is_pi: bool) -> String {
    let board = if is_pi { RASPBERRY_PI } else { OTHER };
    // The offset of the magic number in the kernel's format, and whether the command unpacks a
    // kernel that gzip compressed.
    let (command, at, magic, gzip) = match options.arch {
        Architecture::Arm64 => ("booti", "38", "644d5241", "yes"),
        _ => ("bootz", "24", "16f2818", "no"),
    };
    let [a, b] = options.roots.map(|number| number.to_string());
    let [hex_a, hex_b] = options.roots.map(|number| format!("{number:x}"));
    let [uuid_a, uuid_b] = options.partuuids.map(str::to_ascii_lowercase);
    // The kernel cuts arguments at a length: those that choose the slot are in front.
    let arguments = format!(
        "root=PARTUUID=${{mender_uuid}} mender.slot=${{mender_slot}} {}${{args}}",
        board.arguments
    );
    let template = match options.storage {
        EnvStorage::Files => include_str!("../../../configs/device/u-boot/boot.cmd"),
        EnvStorage::Raw { .. } => include_str!("../../../configs/device/u-boot/boot-raw.cmd"),
    };
    fill_template(
        template,
        &[
            ("@ADDRESSES@", board.memory),
            ("@DEVICE_TREES@", board.trees),
            ("@DEVICE_TREE@", board.tree),
            ("@ARGUMENTS@", &arguments),
            ("@BOOT_COMMAND@", command),
            ("@KERNEL_MAGIC_AT@", at),
            ("@KERNEL_MAGIC@", magic),
            ("@GZIP@", gzip),
            ("@ROOT_A_NUMBER@", &a),
            ("@ROOT_B_NUMBER@", &b),
            ("@ROOT_A_HEX@", &hex_a),
            ("@ROOT_B_HEX@", &hex_b),
            ("@ROOT_A_PARTUUID@", &uuid_a),
            ("@ROOT_B_PARTUUID@", &uuid_b),
            ("@FILE_1@", environment::FILES[0]),
            ("@FILE_2@", environment::FILES[1]),
        ],
    )
}
