//! Boards, conditions, raw bytes and hooks, on golden images of a few files.

use crate::support::images;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What makes every conversion here small.
pub(crate) const SMALL: &str = "-q -n r1 -s client.required=false -s storage.alignment=1MiB -s storage.size=96MiB -s data.size=16MiB -s boot.size=8MiB --output-dir out";

/// Runs goldsmith in `dir`; `line` is split at blanks.
pub(crate) fn run(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(goldsmith());
    command
        .args(line.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .env_remove("SOURCE_DATE_EPOCH");
    command
        .env("HOME", "/secret")
        .output()
        .expect("starting goldsmith")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Runs a line that must succeed; returns what is on its standard output.
pub(crate) fn fine(dir: &Path, line: &str) -> String {
    let output = run(dir, line);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a line that must be refused; returns why.
pub(crate) fn refused(dir: &Path, line: &str, code: i32) -> String {
    let output = run(dir, line);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{line}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stderr)
}

pub(crate) fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Makes the disk of `dir` once more, of what is below `root` now and of a boot partition with the
/// files below `boot`.
pub(crate) fn again(dir: &Path, name: &str) {
    images::ext4(&dir.join("root"), &dir.join("root.ext4"), 16);
    let esp = dir.join("esp.fat");
    for entry in fs::read_dir(dir.join("boot")).into_iter().flatten() {
        must(
            tool("mcopy").unwrap(),
            &[&"-s", &"-o", &"-i", &esp, &entry.unwrap().path(), &"::/"],
        );
    }
    images::disk(
        &dir.join(name),
        &[(images::ESP, &esp), (images::LINUX, &dir.join("root.ext4"))],
    );
}

/// The converted image.
pub(crate) fn image(dir: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(dir.join("out")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|end| end == "img"))
        .unwrap()
}

/// A golden image in a directory of its own; `None`, said aloud, when tools are missing.
pub(crate) fn golden() -> Option<tempfile::TempDir> {
    if !images::can_make() || tool("mcopy").is_none() {
        return None;
    }
    let dir = scratch();
    images::golden(dir.path());
    Some(dir)
}

#[test]
fn the_image_chooses_its_board_or_says_what_it_is() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    let output = run(at, &format!("plan {SMALL} golden.img").replace(" -q ", " "));
    let said = text(&output.stderr);
    let note = "note: using the board generic-x86-64, since the image is Tiny Debian 12 for amd64, started by UEFI firmware \
                (/usr/lib/grub/x86_64-efi-signed); its device type is generic-x86-64; set board.device-type for a fleet of your own\n";
    assert!(said.contains(note), "{said}");
    assert!(text(&output.stdout).contains("Device types    generic-x86-64\n"));
    let shown = fine(at, "plan -q --show-config golden.img");
    assert!(
        shown.contains("device-type = [\"generic-x86-64\"]  # board generic-x86-64:4:15\n"),
        "{shown}"
    );
    assert!(
        fine(
            at,
            "plan -q --show-config -s board.device-type=mine none.img"
        )
        .contains("device-type = \"mine\"")
    );

    for (line, says) in [
        (
            "-c generic-arm64",
            "error: board generic-arm64:6:16: board.architecture: the board is for arm64, the image for amd64\nhint: boards that fit the image: generic-x86-64, qemux86-64\n",
        ),
        (
            "-c qemux86-64 -s board.release=trixie,",
            "error: --set board.release: the board is for trixie, the image is debian 12 ()\n",
        ),
        (
            "-c qemux86-64 -s board.firmware=bios",
            "error: --set board.firmware: the board has a BIOS, the image is started by UEFI firmware (",
        ),
    ] {
        let said = refused(
            at,
            &format!("plan {SMALL} {} golden.img", line.trim_end_matches(',')),
            1,
        );
        assert!(said.starts_with(says), "{line}: {said}");
    }
}

#[test]
fn without_a_known_boot_loader_no_board_is_chosen() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    // A BIOS could start the golden image too.
    write(at, "root/boot/grub/i386-pc/normal.mod", "m");
    again(at, "golden.img");
    let output = run(at, &format!("plan {SMALL} golden.img").replace(" -q ", " "));
    let said = text(&output.stderr);
    let note = "note: a BIOS can start the golden image (/boot/grub/i386-pc), but not the converted one: devices need UEFI firmware\n";
    assert!(said.contains(note), "{said}");
    // Only a BIOS can.
    fs::remove_dir_all(at.join("root/usr/lib/grub")).unwrap();
    again(at, "golden.img");
    for board in ["", "-c generic-x86-64"] {
        let said = refused(at, &format!("plan {SMALL} {board} golden.img"), 1);
        assert!(
            said.contains("hint: converted images are started by UEFI firmware, not by a BIOS"),
            "{said}"
        );
    }
    // Nothing does.
    fs::remove_dir_all(at.join("root/boot/grub")).unwrap();
    again(at, "golden.img");
    let said = refused(at, &format!("plan {SMALL} golden.img"), 1);
    assert!(
        said.contains("started by unknown firmware\nhint: select a board"),
        "{said}"
    );
    // Another UEFI program does.
    write(at, "boot/EFI/BOOT/BOOTX64.EFI", "MZ");
    again(at, "golden.img");
    let said = refused(at, &format!("plan {SMALL} golden.img"), 1);
    let hint = "hint: EFI/BOOT/BOOTX64.EFI on the boot partition is not GRUB: install grub-efi-amd64-signed and shim-signed in the golden image\n";
    assert!(said.ends_with(hint), "{said}");
}

#[test]
fn systems_that_are_not_of_debian_are_said() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    fs::remove_file(at.join("root/var/lib/dpkg/status")).unwrap();
    again(at, "golden.img");
    let said = refused(at, &format!("plan {SMALL} golden.img"), 1);
    let init = "error: Tiny Debian 12 has no init program that the kernel starts by itself: no /sbin/init, /etc/init or /bin/init\n";
    assert!(said.starts_with(init), "{said}");
    write(at, "root/usr/sbin/init", elf(62));
    again(at, "golden.img");
    let output = run(at, &format!("plan {SMALL} golden.img").replace(" -q ", " "));
    let said = text(&output.stderr);
    let note = "note: Tiny Debian 12 is not a Debian system (it has no /var/lib/dpkg/status): packages cannot be installed";
    assert!(said.contains(note), "{said}");
    let boot = at.join("root/boot");
    fs::rename(
        boot.join("initrd.img-6.1.0-1"),
        boot.join("initramfs-6.1.0-1.img"),
    )
    .unwrap();
    again(at, "golden.img");
    let said = refused(at, &format!("plan {SMALL} golden.img"), 1);
    assert!(said.contains("/boot/vmlinuz-6.1.0-1 has no /boot/initrd.img-6.1.0-1, but there is /boot/initramfs-6.1.0-1.img\nhint: give it the name"), "{said}");
    for (machine, name) in [(243, "riscv64"), (22, "ELF machine 22")] {
        let mut program = elf(machine);
        program[4..6].copy_from_slice(&[2, 1]);
        for path in ["root/usr/bin/dash", "root/usr/sbin/init"] {
            write(at, path, &program);
        }
        again(at, "golden.img");
        let said = refused(at, &format!("plan {SMALL} golden.img"), 1);
        let expected = format!(
            "error: /bin/sh is a program for {name}; the supported architectures are amd64, i386, arm64, armhf\nhint: "
        );
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn an_image_that_selects_no_board_is_described() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    // A Raspberry Pi's card: several boards fit, or none is near.
    fs::remove_dir_all(at.join("root/usr/lib/grub")).unwrap();
    write(at, "root/usr/bin/dash", elf(183));
    write(
        at,
        "root/etc/rpi-issue",
        "Raspberry Pi reference 2024-11-19\n",
    );
    write(at, "boot/config.txt", "arm_64bit=1\n");
    write(at, "boot/start4.elf", "");
    again(at, "pi.img");
    let said = refused(at, &format!("plan {SMALL} pi.img"), 1);
    assert!(
        said.starts_with(
            "error: no device type is set, and the image selects no board: it is Tiny Debian 12 of Raspberry Pi OS for arm64, started by the Raspberry Pi's \
             firmware (config.txt on the boot partition)\nhint: "
        ),
        "{said}"
    );
    let said = refused(at, &format!("plan {SMALL} -c generic-arm64 pi.img"), 1);
    assert!(
        said.starts_with("error: board generic-arm64:7:12: board.firmware: the board has UEFI firmware, the image is started by"),
        "{said}"
    );

    // One that another client updates.
    write(at, "root/etc/rauc/system.conf", "[system]\n");
    again(at, "turns.img");
    let said = refused(at, &format!("plan {SMALL} turns.img"), 1);
    assert!(
        said.starts_with("error: the image already uses another A/B update scheme: RAUC"),
        "{said}"
    );
}

/// The first bytes of a program for the processor `machine` (`e_machine` of the ELF header).
fn elf(machine: u8) -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[18] = machine;
    elf
}

#[test]
fn every_architecture_with_uefi_firmware_has_a_board_of_its_own() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    for (machine, platform, board) in [
        (3, "i386-efi", "generic-x86"),
        (40, "arm-efi", "generic-armhf"),
        (183, "arm64-efi", "generic-arm64"),
    ] {
        fs::remove_dir_all(at.join("root/usr/lib/grub")).unwrap();
        write(at, "root/usr/bin/dash", elf(machine));
        write(at, &format!("root/usr/lib/grub/{platform}/modinfo.sh"), "");
        again(at, "golden.img");
        let shown = fine(at, "plan -q --show-config golden.img");
        assert!(
            shown.contains(&format!("device-type = [\"{board}\"]  # board {board}:")),
            "{shown}"
        );
    }
}

#[test]
fn overlays_are_laid_where_their_conditions_hold() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    for name in [
        "all",
        "board",
        "arch",
        "release",
        "not-board",
        "not-arch",
        "not-release",
    ] {
        write(at, &format!("o/{name}/etc/from-{name}"), name);
    }
    write(at, "boot/EFI/Vendor/Note.txt", "old");
    again(at, "golden.img");
    write(
        at,
        "o/boot/efi/vendor/NOTE.TXT",
        "FAT does not tell cases apart",
    );
    write(at, "o/boot/efi/vendor/more.txt", "on the boot partition");
    write(at, "o/data/kept", "on the data partition");
    let entry = |dir: &str, more: &str| format!("[[overlay]]\ndir = \"{dir}\"\n{more}\n");
    let toml = [
        "extends = [\"qemux86-64\"]\n[[rootfs.owner]]\npath = \"/etc/from-arch\"\nuid = 7\n"
            .to_owned(),
        entry("all", ""),
        entry("board", "board = [\"other\", \"generic-x86-64\"]"),
        entry("arch", "arch = \"amd64\""),
        entry("release", "release = [\"11\", \"debian-12\"]"),
        entry("not-board", "board = \"raspberrypi4-64\""),
        entry("not-arch", "arch = [\"arm64\", \"armhf\"]"),
        entry("not-release", "arch = \"amd64\"\nrelease = \"trixie\""),
        entry("boot", "target = \"boot\""),
        entry("data", "target = \"data\""),
    ];
    write(at, "o/top.toml", toml.concat());
    only_overlays_that_apply_are_planned(at);
}

/// The plan for `o/top.toml` below `at` has the overlays whose conditions are met, and a note for
/// each of the others.
fn only_overlays_that_apply_are_planned(at: &Path) {
    let plan = fine(at, &format!("plan {SMALL} --json -c o/top.toml golden.img"));
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let edits: Vec<(&str, &str)> = plan["edits"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|edit| edit["reason"].as_str().unwrap().starts_with("overlay "))
        .map(|edit| {
            (
                edit["filesystem"].as_str().unwrap(),
                edit["path"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("root", "/etc/from-all"),
        ("root", "/etc/from-arch"),
        ("root", "/etc/from-board"),
        ("root", "/etc/from-release"),
        ("boot", "/EFI/Vendor/Note.txt"),
        ("boot", "/EFI/Vendor/more.txt"),
        ("data", "/kept"),
    ];
    assert!(
        expected.iter().all(|edit| edits.contains(edit)),
        "{edits:?}"
    );
    assert!(
        !edits.iter().any(|(_, path)| path.contains("not-")),
        "{edits:?}"
    );
    let notes: Vec<&str> = plan["notes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|note| note.as_str())
        .collect();
    for why in [
        "for board raspberrypi4-64",
        "for architecture arm64 or armhf",
        "for release trixie",
    ] {
        assert!(
            notes.iter().any(|note| note.starts_with("overlay ")
                && note.ends_with(&format!("is left out: {why}"))),
            "{notes:?}"
        );
    }
}

#[test]
fn raw_bytes_are_in_every_form_of_image_and_in_the_record() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    write(
        at,
        "blobs/first.bin",
        [vec![0xa5; 5000], vec![0; 9000], vec![0x5a; 700]].concat(),
    );
    write(at, "root/usr/lib/loader.bin", [0xc3; 3000]);
    again(at, "golden.img");
    let last = (96 << 20) - 40 * 512;
    let toml = format!(
        "extends = [\"qemux86-64\"]\n[[raw]]\nfile = \"first.bin\"\noffset = \"64 s\"\n[[raw]]\nfile = \"none.bin\"\noffset = 0\nboard = \
         \"other\"\n[[raw]]\nfile = \"/usr/lib/loader.bin\"\nfrom = \"image\"\noffset = {last}\n"
    );
    write(at, "blobs/top.toml", toml);
    let plan = fine(at, &format!("plan {SMALL} -c blobs/top.toml golden.img"));
    assert!(
        plan.contains("      32 KiB     14.4 KiB  first.bin\n"),
        "{plan}"
    );
    fine(at, &format!("convert {SMALL} -c blobs/top.toml golden.img"));
    let image = fs::read(at.join("out/golden-qemux86-64-r1.img")).unwrap();
    let first = fs::read(at.join("blobs/first.bin")).unwrap();
    assert!(image[64 * 512..64 * 512 + first.len()] == first[..]);
    assert!(image[last..last + 3000] == [0xc3; 3000]);
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(at.join("out/golden-qemux86-64-r1.json")).unwrap())
            .unwrap();
    assert_eq!(
        (
            &record["disk"]["raw"][0]["offset"],
            &record["disk"]["raw"][0]["size"]
        ),
        (&32768.into(), &14700.into())
    );
    assert_eq!(record["disk"]["raw"][1]["file"], "/usr/lib/loader.bin");
    assert_eq!(record["disk"]["raw"].as_array().unwrap().len(), 2);
    every_form_has_the_same_bytes(at, &image);
}

/// The block map and every form of the image for `blobs/top.toml` below `at` give these bytes.
fn every_form_has_the_same_bytes(at: &Path, image: &[u8]) {
    fs::write(at.join("card"), vec![0; image.len()]).unwrap();
    if let Some(bmaptool) = tool("bmaptool") {
        must(
            bmaptool,
            &[
                &"-q",
                &"copy",
                &at.join("out/golden-qemux86-64-r1.img"),
                &at.join("card"),
            ],
        );
        assert!(fs::read(at.join("card")).unwrap() == *image);
    }
    for (form, file, unpack) in [("gz", "img.gz", "gzip"), ("zst", "img.zst", "zstd")] {
        fine(
            at,
            &format!("convert {SMALL} -s output.image={form} -c blobs/top.toml golden.img"),
        );
        let Some(unpack) = tool(unpack) else { continue };
        let packed = at.join(format!("out/golden-qemux86-64-r1.{file}"));
        let plain = Command::new(unpack)
            .arg("-dc")
            .arg(packed)
            .output()
            .unwrap()
            .stdout;
        assert!(plain == *image, "{form}");
    }
    if let Some(qemu_img) = tool("qemu-img") {
        fine(
            at,
            &format!("convert {SMALL} -s output.image=qcow2 -c blobs/top.toml golden.img"),
        );
        must(
            qemu_img,
            &[
                &"convert",
                &"-O",
                &"raw",
                &at.join("out/golden-qemux86-64-r1.qcow2"),
                &at.join("plain"),
            ],
        );
        assert!(fs::read(at.join("plain")).unwrap() == *image);
    }
}

#[test]
fn raw_bytes_that_have_no_place_are_refused() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    write(at, "loader", [1; 4096]);
    write(at, "nothing", "");
    let with = |entries: &str| {
        refused(
            at,
            &format!("plan {SMALL} -c qemux86-64 -s raw=[{entries}] golden.img"),
            1,
        )
    };
    for (entries, says) in [
        (
            "{file=\"loader\",offset=0}",
            "error: raw: loader at bytes 0 to 4095 overlaps the partition table at bytes 440 to ",
        ),
        (
            "{file=\"loader\",offset=\"1020KiB\"},{file=\"loader\",offset=\"1023KiB\"}",
            "error: raw: loader at bytes 1047552 to 1051647 overlaps partition boot at bytes 1048576 to 9437183\n",
        ),
        (
            "{file=\"loader\",offset=\"512KiB\"},{file=\"loader\",offset=\"515KiB\"}",
            "error: raw: loader at bytes 527360 to 531455 overlaps loader at bytes 524288 to 528383\nhint: choose another offset\n",
        ),
        (
            "{file=\"loader\",offset=\"96MiB\"}",
            "error: raw: loader at bytes 100663296 to 100667391 extends past the end of the disk at byte 100663296\n",
        ),
        (
            "{file=\"none\",offset=513}",
            "error: raw: reading none: No such file or directory",
        ),
        (
            "{file=\"nothing\",offset=513}",
            "error: raw: nothing is empty\n",
        ),
        (
            "{file=\"/none\",from=\"image\",offset=513}",
            "error: raw: the image has no file /none\n",
        ),
    ] {
        let said = with(entries);
        assert!(said.contains(says), "{entries}: {said}");
    }
}
