//! U-Boot on a Raspberry Pi and on a board of another kind, in trees.

use super::*;
use crate::platform::Architecture;
use crate::stamp::Time;
use crate::tree::{Stat, Tree};

fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let stat = || Stat::root(0o644, Time::default());
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, bytes) in files {
        tree.put_file(path, bytes.clone(), stat()).unwrap();
    }
    tree
}

fn options(arch: Architecture) -> UBootOptions<'static> {
    UBootOptions {
        roots: [2, 10],
        partuuids: ["4E639091-02", "4e639091-0a"],
        boot_mount: "/boot/firmware",
        arch,
        more_arguments: "console=ttyS9",
        flavor: None,
        models: &[],
        golden_boot: Some(1),
        program: None,
        storage: EnvStorage::Files,
        golden_root: 2,
        accepted: Vec::new(),
    }
}

/// A kernel for 64 bits.
fn image() -> Vec<u8> {
    let mut out = vec![0; 64];
    out[0x38..0x3c].copy_from_slice(b"ARM\x64");
    out
}

fn text(tree: &Tree, path: &str) -> String {
    let bytes = tree
        .read(path, TEXT_LIMIT)
        .unwrap()
        .unwrap_or_else(|| panic!("{path} is missing"));
    String::from_utf8(bytes).unwrap()
}

/// Whether nothing of the template is left, but where its comment says what it was.
fn is_filled(script: &str) -> bool {
    script
        .lines()
        .all(|line| line.starts_with('#') || !line.contains('@'))
}

const TEXT_LIMIT: u64 = 1 << 20;

/// A U-Boot for arm64.
fn program() -> Vec<u8> {
    b"\x0a\0\0\x14 U-Boot 2023.01 (Jan 1 2023)\0".to_vec()
}

/// A golden Raspberry Pi OS.
fn pi() -> [Tree; 2] {
    let uboot = program();
    let root = tree(&[
        (
            "/boot/vmlinuz-6.6.31+rpt-rpi-v8",
            b"\x1f\x8bpacked".to_vec(),
        ),
        ("/boot/initrd.img-6.6.31+rpt-rpi-v8", b"i".to_vec()),
        (
            "/boot/vmlinuz-6.12.1+rpt-rpi-2712",
            b"\x1f\x8bpacked".to_vec(),
        ),
        ("/boot/initrd.img-6.12.1+rpt-rpi-2712", b"i".to_vec()),
        ("/usr/lib/u-boot/rpi_arm64/u-boot.bin", uboot),
        ("/usr/lib/systemd/systemd", b"x".to_vec()),
        ("/usr/lib/systemd/system/udisks2.service", b"x".to_vec()),
        (
            "/etc/kernel/postinst.d/z50-raspi-firmware",
            b"cat >/boot/firmware/config.txt <<EOF".to_vec(),
        ),
        (
            "/etc/kernel/postrm.d/z50-raspi-firmware",
            b"cp /boot/vmlinuz /boot/firmware/kernel8.img".to_vec(),
        ),
    ]);
    let cmdline = "console=serial0,115200 root=PARTUUID=1-02 rootwait init=/usr/lib/raspberrypi-sys-mods/firstboot\n";
    let boot = tree(&[
        ("/CONFIG.TXT", b"[pi4]\ninclude more.txt\n".to_vec()),
        ("/more.txt", b"kernel=other.img\n".to_vec()),
        ("/cmdline.txt", cmdline.into()),
        ("/start4.elf", b"x".to_vec()),
        ("/fixup4.dat", b"x".to_vec()),
        ("/bcm2711-rpi-4-b.dtb", b"x".to_vec()),
        ("/uboot.env", b"x".to_vec()),
        ("/extlinux/extlinux.conf", b"x".to_vec()),
        ("/efi/boot/bootaa64.efi", b"x".to_vec()),
        ("/efi/debian/grub.cfg", b"x".to_vec()),
        ("/ubootefi.var", b"x".to_vec()),
    ]);
    [root, boot]
}

fn integrated(
    [mut root, mut boot]: [Tree; 2],
    options: &UBootOptions<'_>,
) -> Result<(InstalledUBoot, [Tree; 2]), Problems> {
    let mut editors = [
        TreeEditor::new(&mut root, Time::default()),
        TreeEditor::new(&mut boot, Time::default()),
    ];
    let [root_editor, boot_editor] = &mut editors;
    let installed = integrate(root_editor, boot_editor, options)?;
    Ok((installed, [root, boot]))
}

#[test]
fn a_raspberry_pi_starts_u_boot_and_the_script() {
    let (installed, [_, boot]) = integrated(pi(), &options(Architecture::Arm64)).unwrap();
    assert_eq!(installed.program, "/usr/lib/u-boot/rpi_arm64/u-boot.bin");
    assert_eq!(installed.kernel, "/boot/vmlinuz-6.6.31+rpt-rpi-v8");
    assert!(
        installed.arguments.contains("rootwait") && !installed.arguments.contains("root="),
        "{}",
        installed.arguments
    );
    // Names on the boot partition are found in any case.
    assert!(
        text(&boot, "/CONFIG.TXT")
            .ends_with("kernel=u-boot.bin\narm_64bit=1\nauto_initramfs=0\nenable_uart=1\n")
    );
    assert_eq!(text(&boot, "/more.txt"), "#mender# kernel=other.img\n");
    assert_eq!(
        text(&boot, "/cmdline.txt"),
        "console=serial0,115200 rootwait\n"
    );
    assert!(
        boot.find("/config.txt").is_none()
            && boot.find("/uboot.env").is_none()
            && boot.find("/extlinux").is_none()
    );
    assert!(
        FIRST
            .iter()
            .all(|path| boot.find(boot.path_ignore_case(path)).is_none())
            && boot.find("/efi/debian/grub.cfg").is_some()
    );
    let script = header::unwrap(&boot.read("/boot.scr", TEXT_LIMIT).unwrap().unwrap()).unwrap();
    for part in [
        "4e639091-02",
        "4e639091-0a",
        "mender_slot_hex a;",
        "booti ${kernel_addr_r}",
        "mender_firmware_args",
    ] {
        assert!(script.contains(part), "{part}");
    }
    assert!(is_filled(&script), "{script}");
    for (path, copy) in environment::FILES.iter().zip(environment::factory(2)) {
        assert!(boot.read(path, TEXT_LIMIT).unwrap() == Some(copy));
    }
}

#[test]
fn a_raspberry_pi_gets_kernel_names_and_environment_tools() {
    let (_, [root, _]) = integrated(pi(), &options(Architecture::Arm64)).unwrap();
    let slot = text(&root, "/boot/mender-slot.env");
    let lines = "kernel=boot/vmlinuz-6.6.31+rpt-rpi-v8\ninitrd=boot/initrd.img-6.6.31+rpt-rpi-v8\nargs=console=ttyS9 panic=30\n#";
    assert!(slot.contains(lines), "{slot}");
    assert!(text(&root, "/etc/default/mender-slot").ends_with("FLAVOR=\"rpi-v8\"\n"));
    assert_eq!(
        text(&root, "/etc/fw_env.config"),
        "/boot/firmware/mender/env1/uboot.env 0x0 0x1000\n/boot/firmware/mender/env2/uboot.env 0x0 0x1000\n"
    );
    assert_eq!(
        text(&root, "/etc/mender_ubootenv.config"),
        "ROOT_PARTITIONS = 2 10\n"
    );
    assert_eq!(text(&root, "/usr/bin/fw_printenv"), tools::uboot_env());
    let unit = text(&root, "/etc/systemd/system/mender-ubootenv.service");
    assert!(
        unit.contains("RequiresMountsFor=/boot/firmware\n"),
        "{unit}"
    );
    assert!(
        unit.contains("ExecStart=/usr/lib/goldsmith/uboot-env --finish-boot\n"),
        "{unit}"
    );
}

#[test]
fn services_of_raspberry_pi_os_that_conflict_are_disabled() {
    let (_, [root, _]) = integrated(pi(), &options(Architecture::Arm64)).unwrap();
    assert_eq!(
        facts::symlink(&root, "/etc/systemd/system/udisks2.service").as_deref(),
        Some("/dev/null")
    );
    // Only the hook that writes config.txt is diverted.
    assert!(
        text(&root, "/etc/kernel/postinst.d/z50-raspi-firmware").contains("nothing is installed")
    );
    assert!(text(&root, "/etc/kernel/postrm.d/z50-raspi-firmware").starts_with("cp "));
    let hook = "/etc/kernel/postinst.d/z50-raspi-firmware";
    assert_eq!(
        text(&root, "/var/lib/dpkg/diversions"),
        format!("{hook}\n{hook}.distrib\n:\n")
    );
}

#[test]
fn what_a_raspberry_pi_lacks_is_said() {
    let mut without = pi();
    without[0].remove("/usr/lib/u-boot").unwrap();
    let problems = integrated(without, &options(Architecture::Arm64)).unwrap_err();
    assert!(problems.0[0].message.starts_with("no U-Boot"), "{problems}");
    let given = UBootOptions {
        program: Some(("mine.bin".into(), b"no".to_vec())),
        ..options(Architecture::Arm64)
    };
    assert!(
        integrated(pi(), &given).unwrap_err().0[0]
            .message
            .starts_with("mine.bin: not a U-Boot")
    );
    let flavor = UBootOptions {
        flavor: Some("rpi-v9"),
        ..options(Architecture::Arm64)
    };
    assert!(
        integrated(pi(), &flavor).unwrap_err().0[0]
            .message
            .contains("vmlinuz-*-rpi-v9")
    );
    let mut zboot = pi();
    zboot[0]
        .put_file(
            "/boot/vmlinuz-6.6.31+rpt-rpi-v8",
            "MZ\0\0zimg",
            Stat::root(0o644, Time::default()),
        )
        .unwrap();
    assert!(
        integrated(zboot, &options(Architecture::Arm64))
            .unwrap_err()
            .0[0]
            .message
            .contains("CONFIG_EFI_ZBOOT")
    );
}

#[test]
fn a_kernel_that_only_the_firmware_has_is_copied_into_the_root() {
    let [mut root, mut boot] = pi();
    root.remove("/boot").unwrap();
    let stat = || Stat::root(0o644, Time::default());
    boot.put_file("/kernel8.img", b"\x1f\x8bk".to_vec(), stat())
        .unwrap();
    boot.put_file("/initramfs8", "i", stat()).unwrap();
    let (installed, [root, _]) = integrated([root, boot], &options(Architecture::Arm64)).unwrap();
    assert_eq!(installed.kernel, "/boot/kernel8.img");
    assert!(root.file("/boot/kernel8.img").is_some() && root.file("/boot/initramfs8").is_some());
    assert!(
        text(&root, "/boot/mender-slot.env")
            .contains("kernel=boot/kernel8.img\ninitrd=boot/initramfs8\n")
    );
    assert!(text(&root, "/etc/default/mender-slot").ends_with("FLAVOR=\"\"\n"));
}

#[test]
fn another_board_keeps_its_own_u_boot() {
    let menu = "default l0\nlabel l1\n linux /no\nlabel l0\n\tlinux /boot/vmlinuz-6.1.0-21-arm64\n\tinitrd /boot/initrd.img-6.1.0-21-arm64\n\tfdtdir /usr/lib/linux-image-6.1.0-21-arm64/\n\tappend root=/dev/mmcblk0p1 ro rootwait earlycon\n";
    let root = tree(&[
        ("/boot/vmlinuz-6.1.0-21-arm64", image()),
        ("/boot/initrd.img-6.1.0-21-arm64", b"i".to_vec()),
        ("/boot/vmlinuz-6.1.0-9-arm64", image()),
        ("/usr/lib/linux-image-6.1.0-21-arm64/x.dtb", b"d".to_vec()),
        ("/boot/extlinux/extlinux.conf", menu.into()),
        ("/usr/sbin/flash-kernel", b"x".to_vec()),
        ("/usr/bin/fw_printenv", b"theirs".to_vec()),
        ("/usr/bin/fw_setenv", b"theirs".to_vec()),
    ]);
    let (installed, [root, boot]) =
        integrated([root, tree(&[])], &options(Architecture::Arm64)).unwrap();
    assert_eq!(
        installed.arguments,
        "ro rootwait earlycon console=ttyS9 panic=30"
    );
    let lines = "kernel=boot/vmlinuz-6.1.0-21-arm64\ninitrd=boot/initrd.img-6.1.0-21-arm64\nfdtdir=usr/lib/linux-image-6.1.0-21-arm64\nargs=ro rootwait earlycon console=ttyS9 panic=30\n#";
    assert!(text(&root, "/boot/mender-slot.env").contains(lines));
    assert_eq!(text(&root, "/usr/bin/fw_printenv"), "theirs");
    assert!(installed.notes.iter().any(|note| note.starts_with(
        "kernel arguments: from /boot/extlinux/extlinux.conf, which is read no more"
    )));
    assert!(text(&root, "/usr/sbin/flash-kernel").contains("nothing is installed"));
    let script = header::unwrap(&boot.read("/boot.scr", TEXT_LIMIT).unwrap().unwrap()).unwrap();
    assert!(
        script.contains("setexpr mender_memory ${scriptaddr} + 20000")
            && !script.contains("firmware_args")
    );
    // What the board's U-Boot does not say about kernels that gzip packed.
    assert!(
        script.contains("if test -z \"${kernel_comp_addr_r}\"; then setexpr kernel_comp_addr_r ${ramdisk_addr_r} + 8000000; fi")
    );
    assert!(
        script.contains(
            "if test -z \"${kernel_comp_size}\"; then setenv kernel_comp_size 4000000; fi"
        )
    );
    assert!(boot.find("/config.txt").is_none());
}

#[test]
fn an_environment_of_u_boots_own_is_left_empty() {
    let storage = EnvStorage::Raw {
        disk: "/dev/mmcblk0".into(),
        offsets: [4 << 20, 8 << 20],
        size: 0x4000,
    };
    let raw = UBootOptions {
        storage,
        ..options(Architecture::Arm64)
    };
    let (_, [root, boot]) = integrated(pi(), &raw).unwrap();
    assert_eq!(
        text(&root, "/etc/fw_env.config"),
        "/dev/mmcblk0 0x400000 0x4000\n/dev/mmcblk0 0x800000 0x4000\n"
    );
    assert!(boot.find("/mender").is_none() && root.find("/etc/mender_ubootenv.config").is_none());
    assert!(
        root.find("/etc/systemd/system/mender-ubootenv.service")
            .is_none()
    );
    let script = header::unwrap(&boot.read("/boot.scr", TEXT_LIMIT).unwrap().unwrap()).unwrap();
    assert!(
        script.contains("run mender_setup") && is_filled(&script),
        "{script}"
    );
}

/// The result for an image whose boot partition has these files besides those of the root.
fn with(
    root: &[(&str, Vec<u8>)],
    boot: &[(&str, Vec<u8>)],
    more: UBootOptions<'static>,
) -> Result<(InstalledUBoot, [Tree; 2]), Problems> {
    integrated([tree(root), tree(boot)], &more)
}

#[test]
fn kernels_without_a_version_are_taken_where_it_is_clear() {
    let arm64 = || options(Architecture::Arm64);
    let names = |installed: &InstalledUBoot, root: &Tree| {
        let slot = text(root, "/boot/mender-slot.env");
        let initrd = slot.lines().find(|line| line.starts_with("initrd="));
        format!("{} {}", installed.kernel, initrd.unwrap_or("no initrd"))
    };
    let (installed, [root, _]) = with(&[("/boot/Image", image())], &[], arm64()).unwrap();
    assert_eq!(names(&installed, &root), "/boot/Image no initrd");
    assert!(installed.arguments.ends_with("rootwait panic=30"));
    let boot = [
        ("/Image", image()),
        ("/vmlinuz-6.6.9-x", image()),
        ("/vmlinuz-6.6.62-x", image()),
        ("/initrd.img-6.6.62-x", b"i".to_vec()),
    ];
    let (installed, [root, _]) = with(&[], &boot, arm64()).unwrap();
    assert_eq!(
        names(&installed, &root),
        "/boot/vmlinuz-6.6.62-x initrd=boot/initrd.img-6.6.62-x"
    );
    assert!(text(&root, "/etc/default/mender-slot").ends_with("FLAVOR=\"x\"\n"));
    let (installed, [root, _]) = with(&[], &boot[..1], arm64()).unwrap();
    assert_eq!(names(&installed, &root), "/boot/Image no initrd");
    assert!(root.file("/boot/Image").is_some());
    let problems = with(
        &[("/boot/uImage.bin", image())],
        &[("/image.ub", image())],
        arm64(),
    );
    let message = &problems.unwrap_err().0[0].message;
    assert!(
        message.contains("seen: /boot/uImage.bin, /image.ub of the boot partition"),
        "{message}"
    );
}

#[test]
fn device_tree_and_overlays_of_the_boot_partition_are_copied_into_the_slot() {
    let menu = "label a\n linux /vmlinuz\n fdtdir /\n fdtoverlays /overlays/a.dtbo\n append x\n";
    let boot = [
        ("/extlinux/extlinux.conf", menu.as_bytes().to_vec()),
        ("/vmlinuz", image()),
        ("/vendor/board.dtb", b"d".to_vec()),
        ("/overlays/a.dtbo", b"o".to_vec()),
    ];
    let (installed, [root, _]) = with(&[], &boot, options(Architecture::Arm64)).unwrap();
    let slot = text(&root, "/boot/mender-slot.env");
    let lines = "kernel=boot/vmlinuz\nfdtdir=boot/mender-dtb\noverlays=boot/mender-dtb/overlays/a.dtbo\nargs=";
    assert!(slot.contains(lines), "{slot}");
    assert!(root.file("/boot/mender-dtb/vendor/board.dtb").is_some());
    assert!(root.file("/boot/mender-dtb/overlays/a.dtbo").is_some());
    assert_eq!(
        installed.arguments_from,
        "/extlinux/extlinux.conf of the boot partition and root.kernel-args"
    );
}

#[test]
fn where_arguments_are_from_is_said_as_it_is() {
    let kernel = [("/boot/vmlinuz-6.1.0-21-arm64", image())];
    let with = |more, files: &[(&str, Vec<u8>)]| {
        let root = tree(&[&kernel, files].concat());
        let mut options = options(Architecture::Arm64);
        options.more_arguments = more;
        integrated([root, tree(&[])], &options).unwrap().0
    };
    let empty = with("", &[]);
    let warning = "no file of the image has kernel arguments, so U-Boot's own environment";
    assert!(empty.warnings[0].starts_with(warning), "{empty:?}");
    assert!(empty.warnings[0].contains("the kernel gets `ro rootwait panic=30`"));
    let configured = with("console=ttyS1", &[]);
    assert_eq!(configured.arguments_from, "root.kernel-args");
    assert_eq!(configured.warnings, [""; 0]);
    let flash = "LINUX_KERNEL_CMDLINE=\"quiet panic=0\"\n".into();
    let both = with("console=ttyS1", &[("/etc/default/flash-kernel", flash)]);
    let from = "/etc/default/flash-kernel and root.kernel-args";
    assert_eq!(both.arguments_from, from);
    assert!(
        both.notes
            .contains(&format!("kernel arguments: from {from}")),
        "{both:?}"
    );
    assert_eq!(both.arguments, "ro quiet console=ttyS1 rootwait panic=30");
    assert!(
        both.notes
            .iter()
            .any(|note| note.contains("panic=0 (a kernel that gives up"))
    );
}

#[test]
fn device_trees_that_nothing_names_are_copied_or_said() {
    let arm64 = || options(Architecture::Arm64);
    let slot = |boot: &[(&str, Vec<u8>)]| {
        let root = [("/boot/Image", image())];
        let (installed, [root, _]) = with(&root, boot, arm64()).unwrap();
        (
            text(&root, "/boot/mender-slot.env"),
            installed.notes.join("\n"),
        )
    };
    let dtb = || b"d".to_vec();
    let (env, notes) = slot(&[("/imx8mm-board.dtb", dtb())]);
    assert!(
        env.contains("fdt=boot/mender-dtb/imx8mm-board.dtb\n"),
        "{env}"
    );
    assert!(notes.contains("it is the only device tree"), "{notes}");
    let two = [
        ("/a.dtb", dtb()),
        ("/B.DTB", dtb()),
        ("/overlays/c.dtbo", dtb()),
    ];
    let (env, notes) = slot(&two);
    assert!(env.contains("fdtdir=boot/mender-dtb\n"), "{env}");
    assert!(
        notes.contains("the 2 device trees there are copied to /boot/mender-dtb"),
        "{notes}"
    );
    assert!(
        notes.contains("/overlays/c.dtbo of the boot partition: nothing in the image"),
        "{notes}"
    );
    let vendors = [("/dtb/nxp/a.dtb", dtb()), ("/dtb/nxp/b.dtb", dtb())];
    assert!(slot(&vendors).0.contains("fdtdir=boot/mender-dtb/dtb\n"));
    // Those of /boot stay where they are.
    let root = [
        ("/boot/Image", image()),
        ("/boot/a.dtb", dtb()),
        ("/boot/b.dtb", dtb()),
    ];
    let (_, [root, _]) = with(&root, &[], arm64()).unwrap();
    assert!(text(&root, "/boot/mender-slot.env").contains("fdtdir=boot\n"));
    // The kernel has its own; one of the boot partition is not among them.
    let root = [
        ("/boot/vmlinuz-6.1-arm64", image()),
        ("/usr/lib/linux-image-6.1-arm64/nxp/a.dtb", dtb()),
    ];
    let boot = [("/a.dtb", dtb()), ("/other.dtb", dtb())];
    let (installed, _) = with(&root, &boot, arm64()).unwrap();
    let notes = installed.notes.join("\n");
    assert!(
        notes.contains("/other.dtb of the boot partition: 1 device trees"),
        "{notes}"
    );
}

#[test]
fn barebox_does_not_run_the_script() {
    let root = [("/boot/Image", image())];
    let boot = [("/barebox.bin", b"x".to_vec())];
    let problems = with(&root, &boot, options(Architecture::Arm64)).unwrap_err();
    let hint = problems.0[0].hint.clone().unwrap_or_default();
    assert!(
        hint.contains("file = \"/boot/firmware/barebox.bin\""),
        "{hint}"
    );
    let mut accepting = options(Architecture::Arm64);
    accepting.accepted = vec!["/boot/firmware/barebox.bin"];
    with(&root, &boot, accepting).unwrap();
}

#[test]
fn a_script_that_cannot_be_followed_is_refused_until_the_user_knows() {
    let root = [("/boot/vmlinuz-6.1-x", image())];
    let boot = [("/boot.scr", header::wrap("run vendor_boot"))];
    let refusing = || UBootOptions {
        more_arguments: "",
        ..options(Architecture::Arm64)
    };
    let problems = with(&root, &boot, refusing()).unwrap_err();
    assert!(
        problems.0[0]
            .message
            .starts_with("/boot.scr of the boot partition: sets no")
    );
    assert!(
        problems
            .to_string()
            .contains("file = \"/boot/firmware/boot.scr\"")
    );
    let noted = |options: UBootOptions<'static>| {
        let notes = with(&root, &boot, options).unwrap().0.notes;
        notes
            .iter()
            .any(|note| note.starts_with("/boot.scr of the boot partition: sets no"))
    };
    assert!(noted(options(Architecture::Arm64)));
    assert!(noted(UBootOptions {
        accepted: vec!["/boot/firmware/boot.scr"],
        ..refusing()
    }));
    let menu = "label a\n linux /boot/vmlinuz-6.1-x\n fdt /none.dtb\n append a\n";
    let root = [
        &root[..],
        &[("/boot/extlinux/extlinux.conf", menu.as_bytes().to_vec())],
    ]
    .concat();
    let problems = with(&root, &[], refusing()).unwrap_err();
    assert!(
        problems.0[0]
            .message
            .contains("names /none.dtb, which does not exist")
    );
}

#[test]
fn modules_of_another_kernel_are_said() {
    let notes = |kernel: Vec<u8>, name: &str| {
        let root = [
            (name, kernel),
            ("/usr/lib/modules/6.6.1/kernel/x.ko", b"m".to_vec()),
        ];
        let options = options(Architecture::Arm64);
        with(&root, &[], options).unwrap().0.notes.join("\n")
    };
    let banner = |version: &str| {
        let text = format!("Linux version {version} (build)");
        [image(), text.into_bytes(), vec![0; 200]].concat()
    };
    assert!(notes(image(), "/boot/vmlinuz-6.6.2").contains("6.6.2 has no modules"));
    assert!(!notes(image(), "/boot/vmlinuz-6.6.1").contains("modules"));
    assert!(notes(banner("6.6.2"), "/boot/Image").contains("6.6.2 has no modules"));
    assert!(!notes(banner("6.6.1"), "/boot/Image").contains("modules"));
}

#[test]
fn flavors_are_what_is_not_counted() {
    for (version, flavor) in [
        ("6.6.31+rpt-rpi-v8", "rpi-v8"),
        ("6.1.0-rpi4-rpi-v7l", "rpi-v7l"),
        ("6.1.0-21-arm64", "arm64"),
        ("6.1.0-0.deb11.21-cloud-arm64", "cloud-arm64"),
        ("6.12.9+bpo-arm64", "arm64"),
        ("5.15.84-v8+", "v8+"),
        ("6.1", ""),
        ("5.10.168-ti-r72", "ti"),
        ("6.1.83-ti-arm64-r68", "ti-arm64"),
        ("4.19.94-bone25", "bone"),
        ("5.10.100-bone-rt-r62", "bone-rt"),
        ("4.4.194-1-rockchip-g2e4f12ab", "rockchip"),
        ("6.6.62-current-rockchip64", "current-rockchip64"),
        ("6.6.23-lts-next+g2e4f-dirty", "lts-next"),
        ("5.15.71-1.0.0+g2e4f", ""),
        ("6.1.0-kali9-arm64", "kali-arm64"),
        ("5.15.148-tegra", "tegra"),
    ] {
        assert_eq!(kernel::flavor_of(version), flavor, "{version}");
    }
}

#[test]
fn settings_of_flash_kernel_are_taken() {
    let root = tree(&[(
        "/etc/default/flash-kernel",
        b"LINUX_KERNEL_CMDLINE=\"quiet\"\nLINUX_KERNEL_CMDLINE_DEFAULTS=\"a b\"\n".to_vec(),
    )]);
    let (origin, words) = settings::arguments(&root, &tree(&[]), None, None).unwrap();
    assert_eq!(
        (origin.as_deref(), words.join(" ").as_str()),
        (Some("/etc/default/flash-kernel"), "quiet a b")
    );
}

#[test]
fn an_image_that_grub_starts_keeps_its_arguments_and_its_grub_install_away() {
    let menu = "menuentry 'Debian' {\n\tlinux /boot/vmlinuz-6.1.0-21-arm64 root=UUID=1 ro console=ttyAMA0\n}\n";
    let root = tree(&[
        ("/boot/vmlinuz-6.1.0-21-arm64", image()),
        ("/boot/grub/grub.cfg", menu.into()),
        ("/usr/sbin/grub-install", b"x".to_vec()),
    ]);
    let (installed, [root, _]) =
        integrated([root, tree(&[])], &options(Architecture::Arm64)).unwrap();
    assert_eq!(
        installed.arguments,
        "ro console=ttyAMA0 console=ttyS9 rootwait panic=30"
    );
    assert!(
        installed.notes.iter().any(|note| note
            .starts_with("kernel arguments: from /boot/grub/grub.cfg, which is read no more")),
        "{:?}",
        installed.notes
    );
    assert!(text(&root, "/usr/sbin/grub-install").contains("nothing is installed"));
    assert_eq!(text(&root, "/usr/sbin/grub-install.distrib"), "x");
}
