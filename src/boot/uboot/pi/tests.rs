//! The firmware's settings in trees: what counts on which model, and what a conversion makes of it.

use super::firmware::{Taken, settings, taken, values};
use super::*;
use crate::stamp::Time;
use crate::tree::Stat;

fn boot(files: &[(&str, &str)]) -> Tree {
    let stat = || Stat::root(0o644, Time::default());
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, text) in files {
        tree.put_file(path, text.as_bytes().to_vec(), stat())
            .unwrap();
    }
    tree
}

/// The values of `x` that count on `model`, the certain one first.
fn x(model: PiModel, files: &[(&str, &str)]) -> Vec<String> {
    let all = values(&settings(&boot(files), model), "x", "none");
    all.into_iter().map(|value| value.text).collect()
}

#[test]
fn sections_count_as_the_firmware_says() {
    use PiModel::{Cm3Plus, Cm4, Pi0W, Pi02, Pi3, Pi3Plus, Pi4, Pi5, Pi400};
    let one = |model, text: &str| x(model, &[("/config.txt", text)]);
    for (model, text, expected) in [
        (Pi3, "x=1\nx=2\n", "2"),
        (Pi3, "x=1\n[pi4]\nx=2\n", "1"),
        (Pi4, "x=1\n[pi4]\nx=2\n", "2"),
        (Cm4, "[pi4]\nx=2\n[cm4]\nx=3\n", "3"),
        (Pi400, "[PI4]\nx=2\n[cm4]\nx=3\n", "2"),
        (Pi3Plus, "[pi3]\nx=2\n", "2"),
        (Pi3, "[pi3+]\nx=2\n", "none"),
        (Cm3Plus, "[cm3]\nx=2\n", "2"),
        (Pi02, "[pi0w]\nx=2\n", "2"),
        (Pi0W, "[pi02]\nx=2\n", "none"),
        (Pi5, "[none]\nx=2\n[all]\ny=1\n", "none"),
        (Pi5, "[tryboot]\nx=2\n[pi5]\nx=3\n[all]\n", "none"),
        (Pi5, "[tryboot]\nx=2\n[all]\nx=3\n", "3"),
        (Pi5, "[pi6]\nx=2\n", "none"),
        (Pi5, "\u{feff}x=1\r\n[pi5]\r\nx=2\r\n", "2"),
        (Pi5, "#x=1\nx=2 # three\n", "2"),
        (Pi5, "[HDMI:1]\nx=2\n", "2"),
    ] {
        assert_eq!(one(model, text), [expected], "{model:?} {text:?}");
    }
    // What only the device knows: both may count.
    for filter in [
        "gpio4=1",
        "0x1234",
        "EDID=VSC",
        "boot_count<3",
        "partition=2",
    ] {
        let text = format!("x=1\n[{filter}]\nx=2\n");
        assert_eq!(one(Pi3, &text), ["1", "2"], "{filter}");
        assert_eq!(one(Pi3, &format!("{text}[all]\nx=3\n")), ["3"], "{filter}");
        let other = format!("x=1\n[{filter}]\n[pi4]\nx=2\n");
        assert_eq!(one(Pi3, &other), ["1"], "{filter}");
    }
    let long = format!("x={}\n", "y".repeat(200));
    assert_eq!(one(Pi3, &long)[0].len(), 96, "a line has 98 characters");
}

#[test]
fn the_type_of_the_board_selects_models() {
    use PiModel::{Cm4, Cm5, Pi3Plus, Pi4};
    let values = |model, filter: &str| {
        let text = format!("x=1\n[{filter}]\nx=2\n[all]\n");
        x(model, &[("/config.txt", &text)])
    };
    for (model, filter, counts) in [
        (Cm4, "board-type=0x14", "2"),
        (Cm4, "board-type=20", "2"),
        (Pi4, "board-type=0x14", "1"),
        (Pi4, "board-type<0x12", "2"),
        (Pi4, "board-type>0x11", "1"),
        (Pi4, "board-type&0xf0=0x10", "2"),
        (Cm5, "board-type&0x10=0", "1"),
    ] {
        assert_eq!(values(model, filter), [counts], "{model:?} {filter}");
    }
    // One of two types of the model, and what nobody can read.
    for (model, filter) in [(Pi3Plus, "board-type=0xd"), (Pi4, "board-type=x")] {
        assert_eq!(values(model, filter), ["1", "2"], "{filter}");
    }
    // It adds to other filters, and replaces one of its kind.
    let text = "x=1\n[pi4]\n[board-type=1]\nx=2\n[board-type=0x11]\nx=3\n[pi3]\nx=4\n";
    assert_eq!(x(Pi4, &[("/config.txt", text)]), ["3"]);
}

#[test]
fn filters_that_no_documentation_has_are_said() {
    let known = "[all]\n[none]\n[pi3+]\n[pi500+]\n[cm0]\n[tryboot]\n[HDMI:1]\n[EDID=VSC-TD2220]\n\
                 [0x12345678]\n[gpio4=1]\n[board-type=0x14]\n[boot_count<3]\n[customer_otp0&1=1]\n\
                 [partition=2]\n";
    let notes = |text: &str| firmware::unknown_filters(&boot(&[("/config.txt", text)]));
    assert_eq!(notes(known), [""; 0]);
    let notes = notes("x=1\n[p4]\n");
    assert!(
        notes[0].starts_with("config.txt:2: [p4] is not a filter"),
        "{notes:?}"
    );
}

#[test]
fn included_files_count_in_place() {
    let files = [
        (
            "/config.txt",
            "x=1\ninclude one.txt\n[pi4]\ninclude two.txt\n",
        ),
        ("/ONE.TXT", "[none]\nx=2\n"),
        ("/two.txt", "x=3\ninclude two.txt\n"),
    ];
    // A filter of an included file counts after it.
    assert_eq!(x(PiModel::Pi3, &files), ["1"]);
    assert_eq!(x(PiModel::Pi4, &files), ["3"]);
}

/// The files of the firmware of models with a BCM2837 and a BCM2711.
const FIRMWARE: [(&str, &str); 5] = [
    ("/bootcode.bin", "f"),
    ("/start.elf", "f"),
    ("/fixup.dat", "f"),
    ("/START4.ELF", "f"),
    ("/fixup4.dat", "f"),
];

const TREES: [(&str, &str); 4] = [
    ("/bcm2710-rpi-3-b.dtb", "d"),
    ("/bcm2711-rpi-4-b.dtb", "d"),
    ("/kernel8.img", "k"),
    ("/cmdline.txt", "top root=/dev/mmcblk0p2\n"),
];

fn first(model: PiModel, more: &[(&str, &str)]) -> Taken {
    let tree = boot(&[&TREES[..], more].concat());
    taken(&tree, model).remove(0)
}

#[test]
fn a_prefix_counts_where_it_has_a_kernel_and_a_device_tree() {
    let config = ("/config.txt", "arm_64bit=1\nos_prefix=k6/\n");
    let (kernel, tree) = (("/k6/kernel8.img", "k"), ("/k6/bcm2711-rpi-4-b.dtb", "d"));
    let prefix = |model, more: &[(&str, &str)]| first(model, more).prefix.text;
    assert_eq!(prefix(PiModel::Pi4, &[config, kernel, tree]), "k6/");
    assert_eq!(prefix(PiModel::Pi3, &[config, kernel, tree]), "");
    assert_eq!(prefix(PiModel::Pi4, &[config, kernel]), "");
    assert_eq!(prefix(PiModel::Pi4, &[config, tree]), "");
    let named = ("/config.txt", "arm_64bit=1\nos_prefix=k6-\n");
    let files = [("/k6-kernel8.img", "k"), ("/k6-bcm2711-rpi-4-b.dtb", "d")];
    assert_eq!(prefix(PiModel::Pi4, &[named, files[0], files[1]]), "k6-");
    let upstream = ("/config.txt", "arm_64bit=1\nupstream_kernel=1\n");
    let files = [
        ("/upstream/kernel8.img", "k"),
        ("/upstream/bcm2711-rpi-4-b.dtb", "d"),
    ];
    assert_eq!(
        prefix(PiModel::Pi4, &[upstream, files[0], files[1]]),
        "upstream/"
    );
    let other = ("/config.txt", "device_tree=my.dtb\nos_prefix=k6/\n");
    assert_eq!(prefix(PiModel::Pi4, &[other, kernel, tree]), "");
    let own = ("/k6/my.dtb", "d");
    assert_eq!(prefix(PiModel::Pi4, &[other, kernel, own]), "k6/");
}

#[test]
fn each_model_has_its_kernel() {
    let kernel = |model, config| first(model, &[("/config.txt", config)]).kernel;
    assert_eq!(kernel(PiModel::Pi0W, ""), "kernel.img");
    assert_eq!(kernel(PiModel::Pi3, ""), "kernel7.img");
    assert_eq!(kernel(PiModel::Pi3, "arm_64bit=1\n"), "kernel8.img");
    // Firmware prefers 64 bits on model 4, if it can.
    assert_eq!(kernel(PiModel::Pi4, ""), "kernel8.img");
    assert_eq!(kernel(PiModel::Pi4, "arm_64bit=0\n"), "kernel7l.img");
    assert_eq!(kernel(PiModel::Pi5, "arm_64bit=0\n"), "kernel8.img");
    let files = [("/kernel_2712.img", "k")];
    assert_eq!(first(PiModel::Pi5, &files).kernel, "kernel_2712.img");
    assert_eq!(kernel(PiModel::Pi5, "[pi5]\nkernel=my.img\n"), "my.img");
}

fn options(models: &'static [PiModel]) -> UBootOptions<'static> {
    UBootOptions {
        roots: [2, 3],
        partuuids: ["4e639091-02", "4e639091-03"],
        boot_mount: "/boot/firmware",
        arch: Architecture::Arm64,
        more_arguments: "",
        flavor: None,
        models,
        golden_boot: Some(1),
        program: None,
        storage: EnvStorage::Files,
        golden_root: 2,
        accepted: Vec::new(),
    }
}

const PROGRAM: &[u8] = b"\x0a\0\0\x14 U-Boot 2025.01 (date)\0brcm,bcm2711-emmc2\0";

/// The boot partition and the notes after a conversion for `models`.
fn integrated(
    models: &'static [PiModel],
    more: &[(&str, &str)],
) -> Result<(Tree, Vec<String>), Problems> {
    let mut root = boot(&[]);
    let stat = Stat::root(0o644, Time::default());
    root.put_file(
        "/usr/lib/u-boot/rpi_arm64/u-boot.bin",
        PROGRAM.to_vec(),
        stat,
    )
    .unwrap();
    let mut tree = boot(&[&TREES[..], &FIRMWARE, more].concat());
    let mut editors = [
        TreeEditor::new(&mut root, Time::default()),
        TreeEditor::new(&mut tree, Time::default()),
    ];
    let [root_editor, boot_editor] = &mut editors;
    let kernel = Kernel::default();
    let (_, notes) = integrate(
        root_editor,
        boot_editor,
        &options(models),
        &kernel,
        "panic=30",
    )?;
    Ok((tree, notes))
}

fn has_note(notes: &[String], part: &str) -> bool {
    notes.iter().any(|note| note.contains(part))
}

#[test]
fn u_boot_is_where_the_kernel_was_and_arguments_stay() {
    let files = [
        (
            "/config.txt",
            "arm_64bit=1\n[pi4]\nos_prefix=k6/\n[gpio4=1]\ncmdline=extra.txt\n",
        ),
        ("/K6/kernel8.img", "k"),
        ("/K6/bcm2711-rpi-4-b.dtb", "d"),
        ("/K6/cmdline.txt", "below root=/dev/mmcblk0p2\n"),
        ("/K6/extra.txt", "extra root=/dev/mmcblk0p2\n"),
    ];
    let (tree, notes) = integrated(&[PiModel::Pi3, PiModel::Pi4], &files).unwrap();
    let text = |name| firmware::text(&tree, name).unwrap();
    assert_eq!(tree.read("/K6/u-boot.bin", 100).unwrap().unwrap(), PROGRAM);
    assert_eq!(tree.read("/u-boot.bin", 100).unwrap().unwrap(), PROGRAM);
    assert_eq!(text("K6/cmdline.txt"), "below\n");
    assert_eq!(text("K6/extra.txt"), "extra\n");
    assert_eq!(text("cmdline.txt"), "top\n");
    assert!(text("config.txt").contains("os_prefix=k6/\n"));
    for part in [
        "config.txt:3: os_prefix=k6/ counts: the firmware takes U-Boot",
        "config.txt:5: cmdline=extra.txt counts where [gpio4=1] applies",
        "depends on the device: cmdline.txt (Raspberry Pi 3), k6/cmdline.txt (Raspberry Pi 4)",
    ] {
        assert!(has_note(&notes, part), "{part}: {notes:?}");
    }
    // A prefix that does not count must not begin to.
    let (tree, _) = integrated(&[PiModel::Pi3], &files).unwrap();
    assert!(tree.file("/K6/u-boot.bin").is_none());
}

#[test]
fn other_files_of_the_firmware_start_u_boot_too() {
    let files = [
        ("/config.txt", "include usercfg.txt\n"),
        ("/usercfg.txt", "[pi3]\nkernel=old.img\ninclude deep.txt\n"),
        ("/deep.txt", "initramfs x followkernel\n"),
        ("/tryboot.txt", "kernel=try.img\n"),
        ("/autoboot.txt", "[all]\r\nboot_partition=1\r\n"),
    ];
    let (tree, _) = integrated(&[PiModel::Pi3], &files).unwrap();
    let text = |name| firmware::text(&tree, name).unwrap();
    assert_eq!(
        text("usercfg.txt"),
        "[pi3]\n#mender# kernel=old.img\ninclude deep.txt\n"
    );
    assert_eq!(text("deep.txt"), "#mender# initramfs x followkernel\n");
    assert!(text("tryboot.txt").ends_with(&text("config.txt")["include usercfg.txt\n".len()..]));
    assert_eq!(text("autoboot.txt"), "[all]\r\nboot_partition=1\r\n");
}

#[test]
fn settings_that_cannot_be_kept_are_refused() {
    for (file, content, part) in [
        (
            "/config.txt",
            "device_tree=\n",
            "config.txt:1: device_tree= without a file",
        ),
        (
            "/autoboot.txt",
            "[all]\nboot_partition=2\n",
            "autoboot.txt:2: boot_partition=2",
        ),
        ("/cmdline.txt", "a\0b\0", "is not plain text"),
    ] {
        let problems = integrated(&[PiModel::Pi3], &[(file, content)]).unwrap_err();
        assert!(problems.to_string().contains(part), "{problems}");
        assert!(problems.0[0].hint.is_some());
    }
}

#[test]
fn the_kernel_reads_no_more_than_its_limit() {
    let with = |len: usize| {
        let text = "x".repeat(len);
        integrated(&[PiModel::Pi3], &[("/cmdline.txt", &text)])
    };
    let ours = " root=PARTUUID=4e639091-02 mender.slot=10 panic=30".len();
    assert!(!has_note(&with(1000).unwrap().1, "the kernel takes"));
    let (_, notes) = with(2047 - ours).unwrap();
    assert!(
        has_note(&notes, "are 2047; the kernel takes 2047"),
        "{notes:?}"
    );
    let problems = with(2048 - ours).unwrap_err().to_string();
    assert!(
        problems.contains("are 2048; the kernel takes 2047"),
        "{problems}"
    );
}

/// What is said of a card that has all but the file `without`, `more` added.
fn without(without: &str, models: &'static [PiModel], more: &[(&str, &str)]) -> String {
    let all = [&TREES[..], &FIRMWARE, more].concat();
    let files: Vec<_> = all
        .into_iter()
        .filter(|(path, _)| !path.eq_ignore_ascii_case(without))
        .collect();
    let root = boot(&[("/usr/lib/raspi-firmware/start4.elf", "f")]);
    let checked = boot_files::check(&root, &boot(&files), models, Architecture::Arm64);
    checked.map_or_else(|problems| problems.to_string(), |()| String::new())
}

#[test]
fn each_model_has_the_files_of_its_firmware() {
    use PiModel::{Cm4, Pi0W, Pi3, Pi4, Pi5, Pi400};
    for (model, missing) in [
        (&[Pi3][..], "/bootcode.bin"),
        (&[Pi3], "/start.elf"),
        (&[Pi3], "/fixup.dat"),
        (&[Pi4], "/start4.elf"),
        (&[Pi4], "/fixup4.dat"),
        (&[Pi3, Pi4], "/start4.elf"),
        (&[Pi3, Pi4], "/bcm2710-rpi-3-b.dtb"),
        (&[Pi4], "/bcm2711-rpi-4-b.dtb"),
    ] {
        let said = without(missing, model, &[]);
        let name = missing.trim_start_matches('/').split("-rpi").next();
        assert!(said.contains(name.unwrap()), "{model:?} {missing} {said}");
    }
    for (model, missing) in [
        (&[Pi4][..], "/bootcode.bin"),
        (&[Pi4], "/start.elf"),
        (&[Pi3], "/start4.elf"),
        (&[Pi3, Pi4], "/none"),
        (&[], "/start4.elf"),
    ] {
        assert_eq!(without(missing, model, &[]), "", "{model:?} {missing}");
    }
    // All that is in the memory of a board is not on its card.
    assert!(without("", &[Pi5], &[]).contains("bcm2712*.dtb"));
    let tree = [("/bcm2712-rpi-5-b.dtb", "d")];
    assert_eq!(without("", &[Pi5], &tree), "");
    // Models that lack the same are one problem; an empty file is none.
    let said = without("", &[Pi4, Pi400, Cm4], &[("/START4.ELF", "")]);
    assert!(
        said.contains(
            "does not have start4.elf (the file is empty): without it the firmware of a Raspberry \
             Pi 4, Raspberry Pi 400, Compute Module 4 starts nothing"
        ) && said.contains("(/usr/lib/raspi-firmware of the root filesystem has them)"),
        "{said}"
    );
    let said = without("/start.elf", &[Pi0W], &[]);
    assert!(
        said.contains("start.elf, bcm2708-*.dtb, bcm2835-*.dtb: without it"),
        "{said}"
    );
}

#[test]
fn settings_select_the_build_of_the_firmware() {
    use PiModel::{Pi3, Pi4};
    for (model, config, missing) in [
        (
            &[Pi3][..],
            "start_x=1\n",
            "start_x.elf (config.txt:1: start_x=1), fixup_x.dat",
        ),
        (
            &[Pi4],
            "[pi4]\nstart_x=1\n",
            "start4x.elf (config.txt:2: start_x=1), fixup4x.dat",
        ),
        (
            &[Pi3],
            "start_debug=1\n",
            "start_db.elf (config.txt:1: start_debug=1), fixup_db.dat",
        ),
        (
            &[Pi3],
            "gpu_mem=16\n",
            "start_cd.elf (config.txt:1: gpu_mem=16), fixup_cd.dat",
        ),
        (
            &[Pi4],
            "gpu_mem_1024=16\n",
            "start4cd.elf (config.txt:1: gpu_mem_1024=16), fixup4cd.dat",
        ),
        (
            &[Pi4],
            "start_file=my.elf\n",
            "my.elf (config.txt:1: start_file=my.elf): ",
        ),
        (
            &[Pi4],
            "fixup_file=my.dat\n",
            "my.dat (config.txt:1: fixup_file=my.dat): ",
        ),
        (
            &[Pi4],
            "[gpio4=1]\nstart_file=my.elf\n",
            "my.elf (config.txt:2: ",
        ),
        (
            &[Pi4],
            "device_tree=my.dtb\n",
            "my.dtb (config.txt:1: device_tree=my.dtb): ",
        ),
    ] {
        let said = without("", model, &[("/config.txt", config)]);
        assert!(said.contains(missing), "{config} {said}");
        assert!(
            !said.contains("start.elf,") && !said.contains("start4.elf,"),
            "{said}"
        );
        assert!(
            said.contains("; or remove the line of config.txt"),
            "{said}"
        );
    }
}

#[test]
fn settings_that_do_not_count_select_no_build() {
    use PiModel::{Pi1, Pi3, Pi4};
    for (model, config) in [
        (&[Pi4][..], "start_debug=1\n"),
        (&[Pi3], "[pi4]\nstart_x=1\n"),
        (&[Pi3], "gpu_mem=16\ngpu_mem_1024=64\n"),
        (&[Pi3], "gpu_mem_256=16\nstart_x=0\n"),
        (&[Pi3], "include more.txt\n"),
    ] {
        let more = [
            ("/config.txt", config),
            ("/more.txt", "start_file=my.elf\n"),
        ];
        assert_eq!(without("", model, &more), "", "{config}");
    }
    // Of two sizes of memory one selects another build: both are needed.
    let half = [
        ("/config.txt", "gpu_mem_256=16\n"),
        ("/bcm2708-rpi-b.dtb", "d"),
    ];
    assert!(without("", &[Pi1], &half).contains("start_cd.elf"));
    assert!(without("/start.elf", &[Pi1], &half).contains("start.elf,"));
    let files = [
        ("/config.txt", "include more.txt\n"),
        ("/more.txt", "start_x=1\n"),
    ];
    let (_, notes) = integrated(&[Pi4], &files).unwrap();
    assert!(
        has_note(&notes, "more.txt:1: start_x=1 does not count"),
        "{notes:?}"
    );
}

#[test]
fn a_device_tree_of_a_relative_is_said() {
    let notes = integrated(&[PiModel::Pi4, PiModel::Cm4], &[]).unwrap().1;
    assert!(
        has_note(&notes, "no device tree of its own for Compute Module 4: "),
        "{notes:?}"
    );
    let own = [("/bcm2711-rpi-cm4.dtb", "d")];
    let notes = integrated(&[PiModel::Pi4, PiModel::Cm4], &own).unwrap().1;
    assert!(!has_note(&notes, "of its own"), "{notes:?}");
}

#[test]
fn lines_that_start_something_else_are_said_when_they_go() {
    let files = [
        (
            "/config.txt",
            "arm_64bit=1\nauto_initramfs=1\ninitramfs initrd.img followkernel\ninclude a.txt\n",
        ),
        ("/a.txt", "[pi3]\nkernel=mine.img\n"),
    ];
    let notes = integrated(&[PiModel::Pi3], &files).unwrap().1;
    for part in [
        "config.txt:3: `initramfs initrd.img followkernel` is commented out: the firmware starts U-Boot",
        "a.txt:2: `kernel=mine.img` is commented out",
    ] {
        assert!(has_note(&notes, part), "{part}: {notes:?}");
    }
    assert!(
        !has_note(&notes, "auto_initramfs") && !has_note(&notes, "arm_64bit"),
        "{notes:?}"
    );
}

#[test]
fn another_initial_ram_disk_is_said() {
    let config = ("/config.txt", "arm_64bit=1\nauto_initramfs=1\n");
    let tree = |initrd| boot(&[&TREES[..], &[config, ("/initramfs8", initrd)]].concat());
    let root = boot(&[("/boot/initrd.img-6", "i")]);
    let kernel = |initrd: Option<&str>| Kernel {
        path: "/boot/vmlinuz-6".to_owned(),
        initrd: initrd.map(str::to_owned),
        ..Kernel::default()
    };
    let said = |boot: &Tree, kernel: &Kernel| {
        GoldenStart::new(boot, &options(&[PiModel::Pi3])).other_initrd(&root, boot, kernel)
    };
    let same = kernel(Some("/boot/initrd.img-6"));
    assert_eq!(said(&tree("i"), &same), None);
    let other = said(&tree("j"), &same).unwrap();
    assert!(
        other.contains("loads initramfs8; U-Boot loads /boot/initrd.img-6, whose"),
        "{other}"
    );
    let none = said(&tree("i"), &kernel(None)).unwrap();
    assert!(none.contains("U-Boot loads no initial RAM disk"), "{none}");
}
