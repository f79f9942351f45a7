//! The relations of an image that starts by U-Boot: one thing is changed, exactly one finding is
//! made.

use super::image::{A, B, BOOT, Build, DATA, put};
use super::relations::{Case, fstab};
use super::{codes, expect, patched};
use goldsmith::boot::uboot::environment::{FILES, SIZE, committed, encode, factory};
use goldsmith::boot::uboot::header;
use goldsmith::stamp::Uuid;
use goldsmith::units::MIB;
use goldsmith::verify::{Request, image};

const SLOT_ENV: &str = "/boot/mender-slot.env";

/// A program for 64 bits, with the variables that are built in.
const U_BOOT: &str =
    "\x0a\0\0\x14 U-Boot 2023.01 \0uboot.env\0bootcmd=run distro\0bootdelay=2\0baudrate=1\0\0";
const COMMAND: &str = "bootcmd=run distro";

/// A stored environment of U-Boot's own.
fn stored(entries: &[&str]) -> Vec<u8> {
    let mut data: Vec<u8> = entries
        .iter()
        .flat_map(|entry| format!("{entry}\0").into_bytes())
        .collect();
    data.resize(0x4000 - 4, 0);
    let checksum = goldsmith::boot::uboot::environment::crc32(&data);
    [&checksum.to_le_bytes()[..], &data].concat()
}

/// The files of the firmware of a Raspberry Pi 3 and 4.
const FIRMWARE: [&str; 7] = [
    "/bootcode.bin",
    "/start.elf",
    "/fixup.dat",
    "/start4.elf",
    "/fixup4.dat",
    "/bcm2710-rpi-3-b.dtb",
    "/bcm2711-rpi-4-b.dtb",
];

/// Makes the image one that starts by U-Boot, as a conversion for a Raspberry Pi leaves it.
fn uboot(build: &mut Build) {
    build.boot.remove("/EFI").unwrap();
    build.boot.remove("/grub-mender-grubenv").unwrap();
    let script = format!("setenv a {}\nsetenv b {}\n", Uuid([2; 16]), Uuid([3; 16]));
    put(&mut build.boot, "/boot.scr", header::wrap(&script));
    for (path, copy) in FILES.iter().zip(factory(2)) {
        put(&mut build.boot, path, copy);
    }
    put(
        &mut build.boot,
        "/config.txt",
        "[pi4]\narm_boost=1\n[all]\nkernel=u-boot.bin\narm_64bit=1\n",
    );
    for path in FIRMWARE {
        put(&mut build.boot, path, path);
    }
    put(&mut build.boot, "/u-boot.bin", U_BOOT);
    put(
        &mut build.boot,
        "/uboot.env",
        stored(&[COMMAND, "bootdelay=-2"]),
    );
    put(
        &mut build.boot,
        "/cmdline.txt",
        "console=serial0,115200 rootwait\n",
    );
    put(
        &mut build.root,
        "/etc/fw_env.config",
        FILES
            .map(|path| format!("/boot/efi{path} 0x0 0x1000\n"))
            .concat(),
    );
    tools(build);
    put(&mut build.root, "/boot/dtbs/board.dtb", "device tree");
    for path in [
        "/boot/trees/board.dtb",
        "/boot/trees/a.dtbo",
        "/boot/trees/b.dtbo",
    ] {
        put(&mut build.root, path, *b"\xd0\x0d\xfe\xedtree");
    }
    put(
        &mut build.root,
        SLOT_ENV,
        "kernel=boot/vmlinuz-6.1.0-1\ninitrd=boot/initrd.img-6.1.0-1\nfdtdir=boot/dtbs\nfdt=boot/trees/board.dtb\n\
         overlays=boot/trees/a.dtbo boot/trees/b.dtbo\nargs=ro\n#####",
    );
}

/// The programs that know the environment.
pub(crate) fn tools(build: &mut Build) {
    for name in ["/usr/bin/fw_printenv", "/usr/bin/fw_setenv"] {
        put(&mut build.root, name, "#!/bin/sh\n");
    }
}

/// Puts links in the place of the kernel that the slot names.
fn links(build: &mut Build) {
    for name in ["/vmlinuz", "/initrd.img"] {
        put(&mut build.root, name, "another");
    }
}

/// The file that names the models of the Raspberry Pi that an image is for.
const MODELS: &str = "/etc/default/mender-slot";

/// Adds lines to what the firmware reads.
fn config(build: &mut Build, more: &str) {
    let text = format!("[all]\nkernel=u-boot.bin\narm_64bit=1\n{more}");
    put(&mut build.boot, "/config.txt", text);
}

/// Makes the image one for `models` without one of the firmware's files, with more settings.
fn lacks(build: &mut Build, models: &str, file: &str, more: &str) {
    let text = format!("PI_MODELS=\"{models}\"\n");
    put(&mut build.root, MODELS, text);
    config(build, more);
    if !file.is_empty() {
        build.boot.remove(file).unwrap();
    }
}

fn copy(build: &mut Build, at: usize, serial: u8, changes: &[(&str, &str)]) {
    let mut variables = committed(2);
    variables.extend(
        changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    put(
        &mut build.boot,
        FILES[at],
        encode(serial, &variables, SIZE).unwrap(),
    );
}

/// Makes the image that of a board with its own U-Boot, whose arguments have so many bytes.
fn long_arguments(build: &mut Build, len: usize) {
    build.boot.remove("/config.txt").unwrap();
    let arguments = format!("{:x<len$}", "ro rootwait ");
    let kernel = "kernel=boot/vmlinuz-6.1.0-1\ninitrd=boot/initrd.img-6.1.0-1\n";
    put(
        &mut build.root,
        SLOT_ENV,
        format!("{kernel}args={arguments}\n"),
    );
}

/// Adds an argument to those of the slot.
fn more_arguments(build: &mut Build, more: &str) {
    let kernel = "kernel=boot/vmlinuz-6.1.0-1\ninitrd=boot/initrd.img-6.1.0-1\n";
    let text = format!("{kernel}args=ro rootwait {more}\n");
    put(&mut build.root, SLOT_ENV, text);
}

const UBOOT_CASES: &[Case] = &[
    ("uboot-script", |b| drop(b.boot.remove("/boot.scr"))),
    ("uboot-script", |b| {
        put(&mut b.boot, "/boot.scr", "echo no image")
    }),
    ("uboot-script", |b| {
        put(&mut b.boot, "/extlinux/extlinux.conf", "default x")
    }),
    ("uboot-script", |b| {
        put(&mut b.boot, "/efi/boot/bootaa64.efi", "GRUB")
    }),
    ("uboot-slots", |b| {
        put(&mut b.boot, "/boot.scr", header::wrap("echo\n"))
    }),
    ("uboot-env", |b| drop(b.boot.remove(FILES[0]))),
    ("uboot-env", |b| put(&mut b.boot, FILES[1], vec![0; SIZE])),
    ("uboot-env", |b| {
        put(
            &mut b.boot,
            FILES[1],
            encode(1, &committed(2), 2 * SIZE).unwrap(),
        )
    }),
    ("uboot-values", |b| copy(b, 0, 0, &[("bootcount", "2")])),
    ("uboot-values", |b| {
        copy(b, 0, 0, &[("mender_boot_part_hex", "3")])
    }),
    ("uboot-slot", |b| {
        copy(
            b,
            1,
            1,
            &[("mender_boot_part", "3"), ("mender_boot_part_hex", "3")],
        )
    }),
    ("uboot-tools", |b| {
        put(
            &mut b.root,
            "/etc/fw_env.config",
            "/dev/mmcblk0 0x400000 0x4000\n",
        )
    }),
    ("uboot-tools", |b| drop(b.root.remove("/usr/bin/fw_setenv"))),
    ("uboot-tools", |b| {
        put(&mut b.root, "/usr/bin/grub-mender-grubenv-print", "x")
    }),
    ("uboot-program", |b| {
        put(&mut b.boot, "/u-boot.bin", "a kernel")
    }),
    ("uboot-program", |b| {
        put(&mut b.boot, "/config.txt", "[all]\n")
    }),
    ("uboot-program", |b| {
        config(b, "[pi4]\nkernel=kernel8.img\n")
    }),
    ("uboot-program", |b| {
        config(b, "[gpio4=1]\nkernel=kernel8.img\n")
    }),
    ("uboot-program", |b| {
        put(&mut b.root, MODELS, "PI_MODELS=\"pi3 pi4\"\n");
        config(b, "[pi4]\nkernel=kernel8.img\n");
    }),
    ("uboot-program", |b| {
        put(&mut b.boot, "/more.txt", "kernel=kernel8.img\n");
        config(b, "[pi0]\ninclude more.txt\n");
    }),
    ("uboot-program", |b| {
        put(&mut b.boot, "/old/u-boot.bin", "a kernel");
        config(b, "[cm4]\nos_prefix=old/\n");
    }),
    ("uboot-program", |b| config(b, "[pi3]\narm_64bit=0\n")),
    ("uboot-firmware", |b| lacks(b, "pi4", "/start4.elf", "")),
    ("uboot-firmware", |b| lacks(b, "pi400", "/fixup4.dat", "")),
    ("uboot-firmware", |b| {
        lacks(b, "pi3 pi4", "/bcm2710-rpi-3-b.dtb", "")
    }),
    ("uboot-firmware", |b| lacks(b, "pi3", "/bootcode.bin", "")),
    ("uboot-firmware", |b| lacks(b, "pi4", "", "gpu_mem=16\n")),
    ("uboot-firmware", |b| lacks(b, "pi3", "", "start_x=1\n")),
    ("uboot-firmware", |b| {
        lacks(b, "cm3", "", "start_file=other.elf\n")
    }),
    ("uboot-firmware", |b| lacks(b, "pi5", "", "")),
    ("uboot-firmware", |b| {
        put(&mut b.boot, "/start4.elf", "");
        lacks(b, "pi4", "", "");
    }),
    ("uboot-firmware", |b| {
        for path in FIRMWARE {
            b.boot.remove(path).unwrap();
        }
    }),
    ("uboot-arguments", |b| {
        put(&mut b.boot, "/old/u-boot.bin", U_BOOT);
        put(&mut b.boot, "/old/cmdline.txt", "quiet root=/dev/sda1\n");
        config(b, "os_prefix=old/\n");
    }),
    ("uboot-arguments", |b| {
        put(&mut b.boot, "/cmdline.txt", "\nrootwait\n")
    }),
    ("uboot-arguments", |b| {
        put(&mut b.boot, "/cmdline.txt", "x ".repeat(1010))
    }),
    ("uboot-delay", |b| {
        put(&mut b.boot, "/uboot.env", [0; 0x4000])
    }),
    ("uboot-delay", |b| {
        put(
            &mut b.boot,
            "/uboot.env",
            &stored(&[COMMAND, "bootdelay=-2"])[..0x2000],
        )
    }),
    ("uboot-delay", |b| {
        put(&mut b.boot, "/uboot.env", stored(&[COMMAND, "bootdelay=2"]))
    }),
    ("uboot-delay", |b| {
        put(
            &mut b.boot,
            "/uboot.env",
            stored(&[COMMAND, "bootdelay=-2", "a=b"]),
        )
    }),
    ("uboot-delay", |b| {
        put(&mut b.boot, "/uboot.env", stored(&["bootdelay=-2"]))
    }),
    ("uboot-arguments", |b| {
        put(
            &mut b.boot,
            "/cmdline.txt",
            "root=/dev/mmcblk0p2 rootwait\n",
        )
    }),
    ("uboot-arguments", |b| {
        put(&mut b.boot, "/cmdline.txt", "rootwait resize\n")
    }),
    ("kernel-missing", |b| {
        b.root.remove("/boot/vmlinuz-6.1.0-1").unwrap();
    }),
    ("uboot-slot-env", |b| drop(b.root.remove(SLOT_ENV))),
    ("initrd-missing", |b| {
        drop(b.root.remove("/boot/initrd.img-6.1.0-1"))
    }),
    ("uboot-slot-env", |b| {
        links(b);
        b.root.remove("/boot/vmlinuz-6.1.0-1").unwrap();
    }),
    ("uboot-slot-env", |b| {
        links(b);
        put(&mut b.root, "/boot/initrd.img-6.1.0-1", "");
    }),
    ("uboot-slot-env", |b| drop(b.root.remove("/boot/dtbs"))),
    ("uboot-slot-env", |b| {
        let long = format!(
            "kernel=boot/vmlinuz-6.1.0-1\nargs=ro\n{}",
            "#".repeat(0x4000)
        );
        put(&mut b.root, SLOT_ENV, long);
    }),
    ("uboot-device-tree", |b| {
        drop(b.root.remove("/boot/trees/board.dtb"))
    }),
    ("uboot-device-tree", |b| {
        drop(b.root.remove("/boot/trees/b.dtbo"))
    }),
    ("uboot-device-tree", |b| {
        put(&mut b.root, "/boot/trees/a.dtbo", "no tree")
    }),
    ("kernel-arguments", |b| long_arguments(b, 1983)),
    ("kernel-arguments", |b| {
        let mut kernel = vec![1; 64];
        kernel[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
        put(&mut b.root, "/boot/vmlinuz-6.1.0-1", kernel);
        long_arguments(b, 959);
    }),
    ("reference-slot", |b| {
        more_arguments(b, "cryptopts=target=x,source=/dev/sda3")
    }),
    ("reference-number", |b| {
        more_arguments(b, "resume=/dev/mmcblk0p9")
    }),
    ("kernel-device", |b| {
        more_arguments(b, "rd.luks.uuid=luks-11-22")
    }),
    ("kernel-device", |b| {
        more_arguments(b, "systemd.mount-extra=LABEL=gone:/srv:ext4")
    }),
    ("kernel-device", |b| {
        let line = "rootwait cryptdevice=UUID=2:x\n";
        put(&mut b.boot, "/cmdline.txt", line)
    }),
    ("kernel-rootwait", |b| {
        put(&mut b.boot, "/cmdline.txt", "console=serial0");
        put(
            &mut b.root,
            SLOT_ENV,
            "kernel=boot/vmlinuz-6.1.0-1\nargs=ro\n",
        );
    }),
    ("fstab-boot", |b| {
        fstab(b, |old| old.replace("/boot/efi", "/boot/none"))
    }),
];

#[test]
fn each_broken_relation_of_u_boot_has_its_own_finding() {
    let mut good = Build::new();
    uboot(&mut good);
    expect(
        &image(&good.make().source(), &Request::default()),
        &[],
        "a good image",
    );
    for (number, (code, change)) in UBOOT_CASES.iter().enumerate() {
        let mut build = Build::new();
        uboot(&mut build);
        change(&mut build);
        let outcome = image(&build.make().source(), &Request::default());
        let found = codes(&outcome);
        assert!(
            found.contains(code),
            "case {number}: no {code} in {found:?}"
        );
        // What is mounted elsewhere is not where the tools look; an update that starts in the
        // factory breaks promises.
        assert!(
            found
                .iter()
                .all(|other| other == code || ["uboot-tools", "boot-state"].contains(other)),
            "case {number}: {found:?}"
        );
    }
}

/// What a slot names is looked for in either slot.
#[test]
fn what_only_slot_b_lacks_is_found_there() {
    let made = |change: fn(&mut Build)| {
        let mut build = Build::new();
        uboot(&mut build);
        links(&mut build);
        change(&mut build);
        build.make().disk
    };
    let (good, other) = (made(|_| ()), made(|b| drop(b.root.remove("/boot/dtbs"))));
    let slot = (B.0 * MIB) as usize..((B.0 + B.1) * MIB) as usize;
    let outcome = image(
        &patched(&good, &[(slot.start as u64, other[slot].to_vec())]),
        &Request::default(),
    );
    expect(
        &outcome,
        &["slot-differs", "uboot-slot-env"],
        "a directory that slot B lacks",
    );
    let found = outcome
        .findings
        .iter()
        .find(|finding| finding.code == "uboot-slot-env")
        .unwrap();
    assert_eq!(found.place.partition, Some(3));
}

/// Behind the last partition.
const FREE: u64 = (DATA.0 + DATA.1) * MIB;

/// An image whose U-Boot keeps its environment at `copies`, each of 16 KiB.
fn raw(copies: &[u64], script: Option<&str>) -> Build {
    let mut build = Build::new();
    build.boot.remove("/EFI").unwrap();
    build.boot.remove("/grub-mender-grubenv").unwrap();
    tools(&mut build);
    let lines: String = copies
        .iter()
        .map(|at| format!("/dev/mmcblk0 {at:#x} 0x4000\n"))
        .collect();
    put(
        &mut build.root,
        "/etc/fw_env.config",
        format!("# MTD device name\n{lines}"),
    );
    if let Some(text) = script {
        put(&mut build.boot, "/boot.scr", header::wrap(text));
    }
    build
}

#[test]
fn an_environment_beside_the_partitions_needs_a_free_place() {
    let found = |copies: &[u64]| {
        codes(&image(
            &raw(copies, None).make().source(),
            &Request::default(),
        ))
    };
    assert_eq!(found(&[FREE, FREE + 0x4000]), ["boot-unchecked"]);
    for copies in [
        [0x400, FREE],
        [A.0 * MIB, FREE],
        [BOOT.0 * MIB - 0x2000, FREE],
        [FREE, FREE + 0x2000],
        [FREE, FREE + 8 * MIB],
        [FREE, FREE + MIB - 0x4000],
    ] {
        assert_eq!(found(&copies), ["uboot-raw"], "{copies:x?}");
    }
    // What cannot be seen in the image is not judged.
    let mut flash = raw(&[], None);
    put(
        &mut flash.root,
        "/etc/fw_env.config",
        "/dev/mtd1 0x0 0x4000\n",
    );
    expect(
        &image(&flash.make().source(), &Request::default()),
        &["boot-unchecked"],
        "in flash memory",
    );
    let mut without = raw(&[FREE], None);
    without.root.remove("/usr/bin/fw_printenv").unwrap();
    expect(
        &image(&without.make().source(), &Request::default()),
        &["boot-unchecked", "uboot-tools"],
        "no tools",
    );
}

#[test]
fn what_is_in_that_place_is_looked_at() {
    let made = raw(&[FREE, FREE + 0x4000], None).make();
    let with = |first: Vec<u8>| {
        let second = encode(1, &committed(2), 0x4000).unwrap();
        image(
            &patched(&made.disk, &[(FREE, first), (FREE + 0x4000, second)]),
            &Request::default(),
        )
    };
    let good = encode(0, &committed(2), 0x4000).unwrap();
    expect(&with(good.clone()), &[], "two copies");
    let mut torn = good;
    torn[100] ^= 1;
    expect(&with(torn), &["uboot-env"], "a copy with a wrong checksum");
}

#[test]
fn a_script_that_asks_such_an_environment_names_slots_and_kernels() {
    let script = format!(
        "run mender_setup\nsetenv a {}\nsetenv b {}\n",
        Uuid([2; 16]),
        Uuid([3; 16])
    );
    let made = |script: &str, slot_env: &str| {
        let mut build = raw(&[FREE], Some(script));
        put(&mut build.root, SLOT_ENV, slot_env);
        image(&build.make().source(), &Request::default())
    };
    let kernel = "kernel=boot/vmlinuz-6.1.0-1\n";
    expect(&made(&script, kernel), &["boot-unchecked"], "a good script");
    expect(
        &made("run mender_setup\n", kernel),
        &["boot-unchecked", "uboot-slots"],
        "a script without slots",
    );
    expect(
        &made(&script, "kernel=boot/none\n"),
        &["boot-unchecked", "uboot-slot-env"],
        "a kernel that is not there",
    );
}

#[test]
fn sections_of_models_that_the_image_is_not_for_do_not_count() {
    let mut build = Build::new();
    uboot(&mut build);
    put(&mut build.root, MODELS, "PI_MODELS=\"pi3 pi3+\"\n");
    config(&mut build, "[pi4]\nkernel=kernel8.img\n");
    let outcome = image(&build.make().source(), &Request::default());
    expect(&outcome, &[], "another model's kernel");
}
