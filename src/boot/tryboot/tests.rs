//! What a conversion makes of the trees of a Raspberry Pi.

use super::*;
use crate::platform::Architecture;
use crate::stamp::Time;
use crate::stream::ReadAt as _;
use crate::tree::Stat;

fn tree(files: &[(&str, &str)]) -> Tree {
    let stat = || Stat::root(0o755, Time::default());
    let mut tree = Tree::new(stat());
    for (path, text) in files {
        tree.put_file(path, text.as_bytes().to_vec(), stat())
            .unwrap();
    }
    tree
}

const ROOT: [(&str, &str); 8] = [
    ("/usr/bin/vcmailbox", "x"),
    ("/usr/sbin/fsck.vfat", "x"),
    ("/boot/vmlinuz-6.6.51+rpt-rpi-v8", "kernel 8"),
    ("/boot/initrd.img-6.6.51+rpt-rpi-v8", "ram 8"),
    ("/boot/vmlinuz-6.6.51+rpt-rpi-2712", "kernel 2712"),
    (
        "/etc/kernel/postinst.d/z50-raspi-firmware",
        "cp x /boot/firmware\n",
    ),
    ("/usr/lib/systemd/systemd", "x"),
    ("/usr/lib/systemd/system/rpi-eeprom-update.service", "x"),
];

const BOOT: [(&str, &str); 16] = [
    (
        "/config.txt",
        "auto_initramfs=1\ndtoverlay=vc4-kms-v3d\n[cm4]\notg_mode=1\n[all]\n",
    ),
    (
        "/cmdline.txt",
        "console=tty1 root=PARTUUID=1-02 rootwait quiet\n",
    ),
    ("/bootcode.bin", "x"),
    ("/start.elf", "x"),
    ("/fixup.dat", "x"),
    ("/start4.elf", "x"),
    ("/fixup4.dat", "x"),
    ("/kernel8.img", "kernel 8"),
    ("/initramfs8", "ram 8"),
    ("/kernel_2712.img", "kernel 2712"),
    ("/initramfs_2712", "ram 2712"),
    ("/bcm2710-rpi-3-b.dtb", "t3"),
    ("/bcm2711-rpi-4-b.dtb", "t4"),
    ("/bcm2712-rpi-5-b.dtb", "t5"),
    ("/overlays/README", "x"),
    ("/overlays/vc4-kms-v3d.dtbo", "overlay"),
];

/// The boot files of a root filesystem.
const FILES: &str = "/usr/lib/goldsmith/boot";

fn options(models: &[PiModel]) -> TrybootOptions<'_> {
    TrybootOptions {
        roots: [2, 3],
        partuuids: ["4e639091-02", "4e639091-03"],
        boot_mount: "/boot/firmware",
        arch: Architecture::Arm64,
        more_arguments: "",
        golden_boot: Some(1),
        partitions: None,
        models,
    }
}

fn converted(
    boot: &[(&str, &str)],
    models: &[PiModel],
) -> Result<(Tree, Tree, InstalledTryboot), Problems> {
    let mut root = tree(&ROOT);
    let mut boot = tree(boot);
    let mut root_editor = TreeEditor::new(&mut root, Time::default());
    let mut boot_editor = TreeEditor::new(&mut boot, Time::default());
    let installed = integrate(&mut root_editor, &mut boot_editor, &options(models))?;
    Ok((root, boot, installed))
}

fn text(tree: &Tree, path: &str) -> String {
    let bytes = tree.read(path, TEXT_LIMIT).unwrap();
    String::from_utf8(bytes.unwrap_or_else(|| panic!("{path}"))).unwrap()
}

#[test]
fn the_checksum_is_that_of_cksum() {
    assert_eq!(set::cksum(b""), 4_294_967_295);
    assert_eq!(set::cksum(b"123456789"), 930_766_865);
    assert_eq!(set::cksum(&[0; 300]), set::cksum(&[0; 300]));
}

#[test]
fn each_slot_has_its_boot_files_and_its_root() {
    let models = [PiModel::Pi4, PiModel::Pi5];
    let (root, boot, installed) = converted(&BOOT, &models).unwrap();
    let config = text(&boot, "/config.txt");
    assert!(config.starts_with("os_prefix=slot-a0/\n"), "{config}");
    assert!(config.contains("[pi4]\nkernel=kernel8.img\ninitramfs initramfs8 followkernel\n"));
    assert!(
        config.contains(
            "[pi5]\nkernel=kernel_2712.img\ninitramfs initramfs_2712 followkernel\n[all]\n"
        )
    );
    assert!(config.ends_with(
        "\n#mender# auto_initramfs=1\ndtoverlay=vc4-kms-v3d\n[cm4]\notg_mode=1\n[all]\n"
    ));
    assert_eq!(text(&boot, "/tryboot.txt"), config);
    assert_eq!(text(&boot, "/cmdline.txt"), "console=tty1 rootwait quiet\n");
    for (dir, id, number) in [("slot-a0", "4e639091-02", 2), ("slot-b0", "4e639091-03", 3)] {
        let line = text(&boot, &format!("/{dir}/cmdline.txt"));
        let expected = format!(
            "root=PARTUUID={id} console=tty1 rootwait quiet panic=30 mender.slot={number}\n"
        );
        assert_eq!(line, expected);
        assert_eq!(text(&boot, &format!("/{dir}/kernel8.img")), "kernel 8");
        assert_eq!(
            text(&boot, &format!("/{dir}/overlays/vc4-kms-v3d.dtbo")),
            "overlay"
        );
        assert_eq!(text(&boot, &format!("/{dir}/set.txt")).lines().count(), 10);
    }
    for gone in [
        "/kernel8.img",
        "/initramfs8",
        "/overlays",
        "/bcm2711-rpi-4-b.dtb",
    ] {
        assert!(boot.find(gone).is_none(), "{gone}");
    }
    assert!(boot.dir("/slot-a1/overlays").is_some() && boot.dir("/slot-b1/overlays").is_some());
    assert_eq!(text(&root, &format!("{FILES}/kernel8.img")), "kernel 8");
    assert_eq!(
        facts::symlink(&root, &format!("{FILES}/kernel8.img")).as_deref(),
        Some("../../../../boot/vmlinuz-6.6.51+rpt-rpi-v8")
    );
    assert!(
        text(&root, &format!("{FILES}/kernels.txt")).ends_with(
            "\nrpi-v8 kernel8.img initramfs8\nrpi-2712 kernel_2712.img initramfs_2712\n"
        )
    );
    assert_eq!(
        facts::symlink(&root, "/usr/bin/fw_setenv").as_deref(),
        Some(TOOL)
    );
    assert!(
        root.file("/etc/kernel/postinst.d/z50-raspi-firmware.distrib")
            .is_some()
    );
    assert!(
        installed
            .notes
            .iter()
            .any(|note| note.contains("rpi-eeprom-update.service is masked"))
    );
    assert!(
        installed
            .notes
            .iter()
            .any(|note| note.contains("kernel_watchdog_timeout"))
    );
    assert!(
        root.file("/etc/systemd/system.conf.d/50-mender-watchdog.conf")
            .is_some()
    );
    assert_eq!(in_flight(&boot), 11 * 4096 * 5 / 4);
    assert_eq!(boot.file("/slot-a0/kernel8.img").unwrap().len(), 8);
}

#[test]
fn a_kernel_without_the_mailbox_is_refused() {
    let config = "/boot/config-6.6.51+rpt-rpi-v8";
    let refused = |text: &str| {
        let mut files = ROOT.to_vec();
        files.push((config, text));
        let (mut root, mut boot) = (tree(&files), tree(&BOOT));
        let mut root_editor = TreeEditor::new(&mut root, Time::default());
        let mut boot_editor = TreeEditor::new(&mut boot, Time::default());
        let options = options(&[PiModel::Pi4]);
        integrate(&mut root_editor, &mut boot_editor, &options).err()
    };
    let problems = refused("CONFIG_RASPBERRYPI_FIRMWARE=y\n").unwrap();
    let said = problems.to_string();
    assert!(
        said.contains("6.6.51+rpt-rpi-v8 has no /dev/vcio"),
        "{said}"
    );
    assert!(refused("CONFIG_RASPBERRYPI_FIRMWARE=y\nCONFIG_BCM_VCIO=y\n").is_none());
    assert!(refused("CONFIG_FHANDLE=y\n").is_none());
}

#[test]
fn kernels_that_apt_does_not_replace_are_said() {
    let (_, _, installed) = converted(&BOOT, &[PiModel::Pi4]).unwrap();
    let said = |installed: &InstalledTryboot| {
        let mut notes = installed.notes.iter();
        notes.any(|note| note.contains("not the kernel of a package"))
    };
    assert!(!said(&installed));
    let mut files = BOOT.to_vec();
    files[0] = ("/config.txt", "kernel=kernel-own.img\n");
    files.push(("/kernel-own.img", "own"));
    let (_, _, installed) = converted(&files, &[PiModel::Pi4]).unwrap();
    assert!(said(&installed), "{:?}", installed.notes);
}

#[test]
fn a_prefix_of_the_golden_image_is_followed_and_replaced() {
    let mut files = BOOT.to_vec();
    files[0] = ("/config.txt", "[all]\nos_prefix=old/\nkernel=mine.img\n");
    files.extend([
        ("/old/mine.img", "mine"),
        ("/old/bcm2711-rpi-4-b.dtb", "own tree"),
        ("/old/cmdline.txt", "root=x own=1\n"),
    ]);
    let (_, boot, installed) = converted(&files, &[PiModel::Pi4]).unwrap();
    assert_eq!(text(&boot, "/slot-a0/mine.img"), "mine");
    assert_eq!(text(&boot, "/slot-b0/bcm2711-rpi-4-b.dtb"), "own tree");
    assert_eq!(text(&boot, "/slot-a0/overlays/vc4-kms-v3d.dtbo"), "overlay");
    assert_eq!(text(&boot, "/cmdline.txt"), "own=1\n");
    let config = text(&boot, "/config.txt");
    assert!(config.ends_with("\n[all]\n#mender# os_prefix=old/\n#mender# kernel=mine.img\n"));
    let said = |part: &str| installed.notes.iter().any(|note| note.contains(part));
    assert!(said("config.txt:2: `os_prefix=old/` is commented out"));
}

#[test]
fn lines_that_two_slots_cannot_keep_are_refused_by_name() {
    for (line, why) in [
        (
            "[tryboot]\nos_prefix=new/",
            "config.txt:2: `os_prefix=new/`: it is in the section [tryboot]",
        ),
        ("kernel=/kernel8.img", "begins with a slash"),
        ("overlay_prefix=more/", "each slot has its overlays"),
        ("[gpio4=1]\ncmdline=other.txt", "what only the device knows"),
        ("[pi5]\ncmdline=other.txt", "one directory for all models"),
    ] {
        let mut files = BOOT.to_vec();
        files[0] = ("/config.txt", line);
        files.push(("/other.txt", "x\n"));
        let problems = converted(&files, &[PiModel::Pi4, PiModel::Pi5]).unwrap_err();
        assert!(problems.to_string().contains(why), "{line}: {problems}");
    }
    let problems = converted(&BOOT, &[PiModel::Pi0W]).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("not supported on a Raspberry Pi Zero W")
    );
}

/// Ubuntu from 25.10 on: boot files in a directory, another one for its own trials.
#[test]
fn the_slots_take_the_place_of_trials_of_ubuntu() {
    let unit = "/usr/lib/systemd/system/piboot-try-validate.service";
    let mut root = tree(&ROOT);
    for (path, text) in [(unit, "x"), ("/usr/sbin/flash-kernel", "theirs")] {
        let stat = Stat::root(0o755, Time::default());
        root.put_file(path, text.to_owned(), stat).unwrap();
    }
    let config = "[all]\nkernel=vmlinuz\ncmdline=cmdline.txt\ninitramfs initrd.img followkernel\n\
                  os_prefix=current/\n[tryboot]\nos_prefix=new/\n[all]\ndtoverlay=vc4-kms-v3d\n";
    let files = [
        ("/config.txt", config),
        ("/autoboot.txt", "[all]\ntryboot_a_b=1\n"),
        ("/start4.elf", "x"),
        ("/fixup4.dat", "x"),
        ("/current/state", "good"),
        ("/current/vmlinuz", "kernel 8"),
        ("/current/initrd.img", "ram 8"),
        ("/current/bcm2711-rpi-4-b.dtb", "t4"),
        ("/current/cmdline.txt", "root=LABEL=writable rootwait\n"),
        ("/current/overlays/vc4-kms-v3d.dtbo", "overlay"),
        ("/current/overlays/README", "x"),
        ("/new/state", "bad"),
        ("/new/vmlinuz", "kernel 9"),
    ];
    let convert = |root: &Tree| {
        let (mut root, mut boot) = (root.clone(), tree(&files));
        let mut root_editor = TreeEditor::new(&mut root, Time::default());
        let mut boot_editor = TreeEditor::new(&mut boot, Time::default());
        let models = [PiModel::Pi4];
        let installed = integrate(&mut root_editor, &mut boot_editor, &options(&models))?;
        Ok::<_, Problems>((root, boot, installed))
    };
    let (converted, boot, installed) = convert(&root).unwrap();
    for (name, content) in [
        ("vmlinuz", "kernel 8"),
        ("initrd.img", "ram 8"),
        ("overlays/vc4-kms-v3d.dtbo", "overlay"),
    ] {
        for slot in ["slot-a0", "slot-b0"] {
            assert_eq!(text(&boot, &format!("/{slot}/{name}")), content);
        }
    }
    let config = text(&boot, "/config.txt");
    assert!(config.starts_with("os_prefix=slot-a0/\n"), "{config}");
    assert!(config.contains("#mender# os_prefix=new/\n"), "{config}");
    assert_eq!(text(&boot, "/cmdline.txt"), "rootwait\n");
    for gone in ["/current", "/new", "/autoboot.txt"] {
        assert!(boot.find_nofollow(gone).is_none(), "{gone}");
    }
    for unit in ["piboot-try-reboot", "piboot-try-validate"] {
        let path = format!("/etc/systemd/system/{unit}.service");
        assert_eq!(
            facts::symlink(&converted, &path).as_deref(),
            Some("/dev/null")
        );
    }
    assert_eq!(text(&converted, "/usr/sbin/flash-kernel.distrib"), "theirs");
    let mut notes = installed.notes.iter();
    let said = notes.any(|note| note.starts_with("Ubuntu's piboot-try: "));
    assert!(said, "{:?}", installed.notes);
    // Without it, somebody tries something there that the slots would not keep.
    root.remove(unit).unwrap();
    let problems = convert(&root).unwrap_err().to_string();
    assert!(
        problems.contains("it is in the section [tryboot]"),
        "{problems}"
    );
}

#[test]
fn slots_with_a_boot_partition_have_their_firmware_and_a_name_for_it() {
    let with = |more: &[(&str, &str)]| {
        let mut root = tree(&[&ROOT[..], more].concat());
        let mut boot = tree(&[&BOOT[..], &[("/tryboot.txt", "x")]].concat());
        let options = TrybootOptions {
            roots: [4, 5],
            partitions: Some(BootPartitions {
                numbers: [2, 3],
                partuuids: ["id-2".into(), "id-3".into()],
                autoboot: "id-1".into(),
                link: "/dev/mender-boot",
            }),
            ..options(&[PiModel::Pi4])
        };
        let mut root_editor = TreeEditor::new(&mut root, Time::default());
        let mut boot_editor = TreeEditor::new(&mut boot, Time::default());
        let installed = integrate(&mut root_editor, &mut boot_editor, &options);
        installed.map(|installed| (root, boot, installed))
    };
    let needs = with(&[]).unwrap_err().to_string();
    assert!(
        needs.contains("no udev") && needs.contains("no mkfs.vfat"),
        "{needs}"
    );
    let (root, boot, installed) = with(&[
        ("/usr/lib/systemd/systemd-udevd", "x"),
        ("/usr/sbin/mkfs.vfat", "x"),
        ("/usr/lib/raspi-firmware/start4.elf", "x"),
    ])
    .unwrap();
    assert_eq!(installed.state, "/autoboot.txt");
    let files = "/usr/lib/goldsmith/boot-partition";
    assert!(root.find(FILES).is_none());
    assert_eq!(text(&root, &format!("{files}/firmware/fixup4.dat")), "x");
    assert_eq!(
        facts::symlink(&root, &format!("{files}/firmware/start4.elf")).as_deref(),
        Some("../../../../../usr/lib/raspi-firmware/start4.elf")
    );
    assert_eq!(text(&root, &format!("{files}/firmware/start4.elf")), "x");
    let rule = text(&root, "/etc/udev/rules.d/90-mender-boot.rules");
    for (slot, id) in [(4, "id-2"), (5, "id-3")] {
        let line = format!(
            "ENV{{mender.slot}}==\"{slot}\", ENV{{ID_PART_ENTRY_UUID}}==\"{id}\", SYMLINK+=\"mender-boot\"\n"
        );
        assert!(rule.contains(&line), "{rule}");
    }
    let config = text(&boot, "/config.txt");
    assert!(config.contains("[tryboot]\ndtparam=watchdog=on\nkernel_watchdog_timeout=60\n[all]\n"));
    assert!(boot.find("/tryboot.txt").is_none() && boot.find("/slot-b0").is_none());
    let ids = ["4e639091-02", "4e639091-03"].map(str::to_owned);
    let second = second_partition(&boot, [4, 5], ids).unwrap();
    assert_eq!(
        text(&second, "/config.txt"),
        config.replacen("os_prefix=slot-a0/", "os_prefix=slot-b0/", 1)
    );
    let line = text(&second, "/slot-b0/cmdline.txt");
    let due = "root=PARTUUID=4e639091-03 console=tty1 rootwait quiet panic=30 mender.slot=5\n";
    assert_eq!(line, due);
    let list = text(&second, "/slot-b0/set.txt");
    let own = format!("{} {} cmdline.txt\n", set::cksum(due.as_bytes()), due.len());
    assert!(list.ends_with(&own) && list.lines().count() == 8, "{list}");
    assert!(second.dir("/slot-b1/overlays").is_some() && second.find("/slot-a0").is_none());
    let auto = autoboot_partition([2, 3], Stat::root(0o644, Time::default())).unwrap();
    let auto = text(&auto, "/autoboot.txt");
    assert_eq!(
        auto,
        "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n"
    );
}
