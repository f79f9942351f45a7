//! Cards of Raspberry Pis whose firmware starts something else than usual: what the plan says.

use super::boards::{SMALL, again, golden, refused, run, text, write};
use std::path::Path;

/// A program of U-Boot: its first instruction, its version, its variables, the chips that it knows.
pub(crate) fn u_boot(first: [u8; 4], cpu: &str, chips: &[&str]) -> Vec<u8> {
    let mut out = first.to_vec();
    out.extend(b" U-Boot 2023.01 (date)\0uboot.env\0");
    let variables =
        format!("bootcmd=run x\0bootdelay=2\0baudrate=115200\0cpu={cpu}\0soc=bcm283x\0\0");
    out.extend(variables.bytes());
    for chip in chips {
        out.extend(format!("brcm,{chip}\0").bytes());
    }
    out
}

pub(crate) const ARM64: [u8; 4] = [0x0a, 0, 0, 0x14];
pub(crate) const ARM: [u8; 4] = [0xb8, 0, 0, 0xea];

/// A kernel of 64 bits, packed, or of 32.
fn kernel(wide: bool) -> Vec<u8> {
    let mut out = vec![0; 64];
    if wide {
        out[..2].copy_from_slice(b"\x1f\x8b");
    } else {
        out[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
    }
    out
}

/// The files of a card with a system for arm64 or armhf.
pub(crate) fn card(at: &Path, wide: bool) {
    std::fs::remove_dir_all(at.join("root/usr/lib/grub")).unwrap();
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1]);
    elf[18] = if wide { 183 } else { 40 };
    write(at, "root/usr/bin/dash", elf);
    for file in [
        "bootcode.bin",
        "start.elf",
        "fixup.dat",
        "start4.elf",
        "fixup4.dat",
    ] {
        write(at, &format!("boot/{file}"), file);
    }
    for tree in [
        "bcm2708-rpi-zero-w",
        "bcm2710-rpi-3-b",
        "bcm2711-rpi-4-b",
        "bcm2712-rpi-5-b",
    ] {
        write(at, &format!("boot/{tree}.dtb"), "tree");
    }
    write(at, "boot/config.txt", "arm_boost=1\n");
    write(at, "boot/cmdline.txt", "root=/dev/mmcblk0p2 rootwait\n");
    let flavors: &[&str] = if wide { &["v8"] } else { &["v6", "v7", "v7l"] };
    for flavor in flavors {
        let version = format!("6.6.51+rpt-rpi-{flavor}");
        write(at, &format!("root/boot/vmlinuz-{version}"), kernel(wide));
        write(at, &format!("root/boot/initrd.img-{version}"), "initrd");
    }
    if wide {
        write(at, "boot/kernel8.img", kernel(true));
        write(
            at,
            "root/usr/lib/u-boot/rpi_arm64/u-boot.bin",
            u_boot(ARM64, "armv8", &["bcm2711-emmc2"]),
        );
        return;
    }
    for (build, cpu, chips) in [
        ("rpi_0_w", "arm1176", &[][..]),
        ("rpi_3_32b", "armv7", &["bcm2711-emmc2"]),
        ("rpi_4_32b", "armv7", &["bcm2711-emmc2", "bcm2711-pcie"]),
    ] {
        let path = format!("root/usr/lib/u-boot/{build}/u-boot.bin");
        write(at, &path, u_boot(ARM, cpu, chips));
    }
}

/// What a plan for `board` says, on both lines.
fn plan(at: &Path, board: &str) -> String {
    again(at, "pi.img");
    let line = format!("plan --edits {SMALL} -s boot.bootloader=u-boot -c {board} pi.img")
        .replace(" -q ", " ");
    let output = run(at, &line);
    let said = format!("{}{}", text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "{board}: {said}");
    said
}

/// Why a plan for `board` is refused.
fn no_plan(at: &Path, board: &str) -> String {
    again(at, "pi.img");
    refused(
        at,
        &format!("plan {SMALL} -s boot.bootloader=u-boot -c {board} pi.img"),
        1,
    )
}

fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

/// What a plan says whose configuration leaves the boot loader to the board.
fn default_plan(at: &Path, more: &str) -> String {
    again(at, "pi.img");
    let line =
        format!("plan --edits {SMALL} {more} -c raspberrypi4-64 pi.img").replace(" -q ", " ");
    let output = run(at, &line);
    let said = format!("{}{}", text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_u_boot_that_is_there_is_left_on_purpose_only() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    again(at, "pi.img");
    let keeps = ", so U-Boot starts the devices, and not their firmware alone (the default of board raspberrypi4-64:16:14)";
    let said = default_plan(at, "");
    let sign = "note: the golden image has /usr/lib/u-boot/rpi_arm64/u-boot.bin";
    says(&said, &[&format!("{sign}{keeps}"), "added    /u-boot.bin"]);
    let chosen = default_plan(at, "-s boot.bootloader=u-boot");
    assert!(!chosen.contains(keeps), "{chosen}");
    let edits = |said: &str| {
        said.split_once("  root  ")
            .map(|(_, edits)| edits.to_owned())
    };
    assert_eq!(edits(&said), edits(&chosen));
    let line = format!("plan {SMALL} -s boot.bootloader=rpi-tryboot -c raspberrypi4-64 pi.img");
    let said = refused(at, &line, 1);
    says(
        &said,
        &[
            "the image has no vcmailbox",
            "set boot.bootloader to \"u-boot\"",
        ],
    );
    assert!(!said.contains(keeps), "{said}");
    std::fs::remove_dir_all(at.join("root/usr/lib/u-boot")).unwrap();
    write(at, "u-boot.bin", u_boot(ARM64, "armv8", &["bcm2711-emmc2"]));
    let said = default_plan(at, "-s boot.u-boot=u-boot.bin");
    says(&said, &[&format!("note: boot.u-boot is set{keeps}")]);
}

#[test]
fn the_firmware_of_the_board_decides_which_arguments_count() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    write(
        at,
        "boot/config.txt",
        "arm_64bit=1\n[pi4]\ninclude new.txt\n",
    );
    write(at, "boot/new.txt", "os_prefix=new/\n");
    write(at, "boot/new/kernel8.img", kernel(true));
    write(at, "boot/new/bcm2711-rpi-4-b.dtb", "tree");
    write(
        at,
        "boot/new/cmdline.txt",
        "root=/dev/mmcblk0p2 isolcpus=3\nlost=1\n",
    );
    says(
        &plan(at, "raspberrypi4-64"),
        &[
            "note: new.txt:1: os_prefix=new/ counts: the firmware takes U-Boot, device trees, overlays and new/cmdline.txt from there\n",
            "note: /new/cmdline.txt of the boot partition: taken out: root=/dev/mmcblk0p2\n",
            "note: /new/cmdline.txt of the boot partition: line 2 does not count (lost=1)",
            "added    /new/u-boot.bin",
            "isolcpus=3",
            "(bootdelay=-2 in uboot.env)",
            "/uboot.env  (U-Boot's own environment, with no delay",
        ],
    );
    let said = plan(at, "raspberrypi3-64");
    assert!(
        !said.contains("os_prefix") && !said.contains("/new/u-boot.bin"),
        "{said}"
    );

    write(at, "boot/cmdline.txt", "x".repeat(2040));
    says(
        &no_plan(at, "raspberrypi3-64"),
        &[
            "error: cmdline.txt of the boot partition: 2040 bytes of arguments and ",
            "the kernel takes 2047",
        ],
    );
}

#[test]
fn a_u_boot_that_cannot_start_on_the_board_is_refused() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    says(
        &no_plan(at, "raspberrypi5-64"),
        &[
            "error: /usr/lib/u-boot/rpi_arm64/u-boot.bin: U-Boot 2023.01 does not start on a Raspberry Pi 5: it does not know the processor, a BCM2712\n",
            "hint: set boot.u-boot to a newer one: usr/lib/u-boot/rpi_arm64/u-boot.bin of u-boot-rpi of Debian 13 for arm64; devices that have no U-Boot yet need none with boot.bootloader = ",
        ],
    );
    // The way out leads somewhere.
    write(at, "new.bin", u_boot(ARM64, "armv8", &["bcm2712-sdhci"]));
    let said = plan(at, "raspberrypi5-64 -s boot.u-boot=new.bin");
    says(&said, &["u-boot (new.bin)"]);
    for (program, why) in [
        (
            u_boot(ARM, "armv7", &["bcm2711-emmc2"]),
            "is built for armhf, the system for arm64",
        ),
        (
            u_boot([0; 4], "armv8", &[]),
            "begins neither like a program for arm64 nor like one for armhf",
        ),
        (
            b"\x0a\0\0\x14 U-Boot 2023.01\0".to_vec(),
            "does not start on a Raspberry Pi 4",
        ),
        (b"a kernel".to_vec(), "other.bin: not a U-Boot"),
    ] {
        write(at, "other.bin", program);
        says(
            &no_plan(at, "raspberrypi4-64 -s boot.u-boot=other.bin"),
            &[why],
        );
    }
}

#[test]
fn kernel_and_u_boot_of_32_bits_are_those_of_the_model() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, false);
    // Debian for armhf does not run on the first models, Raspberry Pi OS does.
    says(
        &no_plan(at, "raspberrypi0w"),
        &["for armhf needs an ARMv7 processor, a Raspberry Pi Zero W has ARMv6\nhint: "],
    );
    write(
        at,
        "root/usr/lib/os-release",
        "ID=raspbian\nVERSION_ID=12\n",
    );
    write(at, "root/etc/os-release", "ID=raspbian\nVERSION_ID=12\n");
    for (board, flavor, build) in [
        ("raspberrypi0w", "v6", "rpi_0_w"),
        ("raspberrypi0-2w", "v7", "rpi_3_32b"),
        ("raspberrypi3", "v7", "rpi_3_32b"),
        ("raspberrypi4", "v7l", "rpi_4_32b"),
    ] {
        let said = plan(at, board);
        let kernel = format!("/boot/vmlinuz-6.6.51+rpt-rpi-{flavor}\n");
        says(
            &said,
            &[&kernel, &format!("/usr/lib/u-boot/{build}/u-boot.bin")],
        );
    }
    // A fleet that names no model.
    again(at, "pi.img");
    let said = refused(
        at,
        &format!("plan {SMALL} -s board.device-type=x pi.img"),
        1,
    );
    says(
        &said,
        &[
            "kernels for several models of the Raspberry Pi (rpi-v6, rpi-v7, rpi-v7l)",
            "board.pi-models",
        ],
    );

    // Firmware of model 4 prefers a kernel of 64 bits.
    write(at, "boot/kernel8.img", kernel(true));
    write(at, "root/boot/vmlinuz-6.6.51+rpt-rpi-v8", kernel(true));
    says(
        &plan(at, "raspberrypi4"),
        &[
            "starts kernel8.img (the same as /boot/vmlinuz-6.6.51+rpt-rpi-v8, 64-bit); U-Boot starts /boot/vmlinuz-6.6.51+rpt-rpi-v7l; to keep",
        ],
    );
    write(at, "wide.bin", u_boot(ARM64, "armv8", &["bcm2711-emmc2"]));
    let said = plan(at, "raspberrypi4 -s boot.u-boot=wide.bin");
    says(&said, &["/boot/vmlinuz-6.6.51+rpt-rpi-v8\n"]);
}

#[test]
fn a_card_that_starts_otherwise_is_described() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    write(at, "boot/config.txt", "kernel=u-boot.bin\narm_64bit=1\n");
    write(at, "boot/u-boot.bin", u_boot(ARM64, "armv8", &[]));
    write(at, "boot/boot.scr", "setenv bootargs mine");
    says(
        &plan(at, "raspberrypi3-64"),
        &[
            "note: the boot partition has no device tree of its own for Raspberry Pi 3+, Compute Module 3, Compute Module 3+: ",
            "note: /boot.scr of the boot partition: the golden image starts U-Boot, which reads this",
        ],
    );
    write(at, "boot/autoboot.txt", "[all]\nboot_partition=3\n");
    says(
        &no_plan(at, "raspberrypi3-64"),
        &["error: autoboot.txt:2: boot_partition=3"],
    );
}

#[test]
fn a_card_without_the_files_of_its_firmware_is_refused() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    std::fs::remove_file(at.join("boot/start4.elf")).unwrap();
    says(
        &no_plan(at, "raspberrypi4-64"),
        &[
            "error: the boot partition does not have start4.elf: without it the firmware of a Raspberry Pi 4, Raspberry Pi 400, Compute Module 4 starts nothing\n",
            "hint: copy the missing files to the boot partition of the golden image (firmware: package raspi-firmware",
        ],
    );
    // Other models do not need it. The way of the hint works.
    plan(at, "raspberrypi3-64");
    write(at, "more/start4.elf", "firmware");
    write(
        at,
        "more.toml",
        "[[overlay]]\ndir = \"more\"\ntarget = \"boot\"\n",
    );
    plan(at, "raspberrypi4-64 -c more.toml");
    for file in ["bootcode.bin", "bcm2710-rpi-3-b.dtb"] {
        write(at, &format!("boot/{file}"), "");
    }
    says(
        &no_plan(at, "raspberrypi3-64"),
        &[
            "does not have bootcode.bin (the file is empty), bcm2710-*.dtb, bcm2837-*.dtb: without it the firmware of a Raspberry Pi 3, ",
        ],
    );
}

#[test]
fn one_image_serves_the_models_of_two_boards_if_the_configuration_says_so() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    card(at, true);
    again(at, "pi.img");
    let both = "-c raspberrypi3-64 -c raspberrypi4-64";
    let said = refused(at, &format!("plan {SMALL} {both} pi.img"), 1);
    says(&said, &[" set board.pi-models, "]);
    // The way of the hint.
    write(
        at,
        "fleet.toml",
        "extends = [\"raspberrypi3-64\", \"raspberrypi4-64\"]\n[board]\ndevice-type = [\"a\", \"b\"]\npi-models = [\"pi3\", \"pi4\"]\n",
    );
    says(&plan(at, "fleet.toml"), &["rpi_arm64/u-boot.bin", "a, b"]);
}
