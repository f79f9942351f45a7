//! A converted card with a boot partition for each slot: the firmware starts both, and `verify`
//! finds each damage.

use super::super::converted::tryboot_card;
use super::super::firmware::{PI4, PI5, start};
use super::super::pi_os::fill;
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::convert::conversions::partitions;
use crate::plan::boards::{SMALL, again, fine, golden, image, refused, run, text, write};
use crate::support::{must, tool};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const ARGUMENTS: &str = "-c raspberrypi4-64 -s boot.bootloader=rpi-tryboot -s boot.tryboot=partitions \
                         -s storage.table=gpt -s storage.size=160MiB";

/// The card that is converted.
fn golden_card(at: &Path) {
    tryboot_card(at);
    for name in ["usr/sbin/mkfs.vfat", "usr/lib/systemd/systemd-udevd"] {
        write(at, &format!("root/{name}"), "program");
    }
    write(at, "root/usr/lib/raspi-firmware/start4.elf", "start4.elf");
    write(at, "boot/user-data", "#cloud-config\n");
    again(at, "pi.img");
}

/// A partition of an image as the model of the firmware reads it.
fn partition(image: &Path, number: u32, to: &Path) -> Disk {
    let place = format!("{}@@{}", image.display(), partitions(image)[&number].start);
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    let mcopy = tool("mcopy").unwrap();
    must(mcopy, &[&"-s", &"-n", &"-Q", &"-i", &place, &"::/", &to]);
    let mut driver = Driver::new(Disk::format(), true);
    fill(&mut driver, to, "");
    driver.now
}

/// Writes a file of the host to a partition.
fn put(image: &Path, number: u32, from: &Path, to: &str) {
    let place = format!("{}@@{}", image.display(), partitions(image)[&number].start);
    must(tool("mcopy").unwrap(), &[&"-o", &"-i", &place, &from, &to]);
}

#[test]
fn the_firmware_starts_both_slots_from_their_partitions() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    golden_card(at);
    let said = run(
        at,
        &format!("plan {SMALL} {ARGUMENTS} pi.img").replace(" -q ", " "),
    );
    let said = format!("{}{}", text(&said.stderr), text(&said.stdout));
    for part in [
        "autoboot",
        "boot-b",
        "[tryboot] in config.txt sets",
        "come with each update",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    fine(at, &format!("convert {SMALL} {ARGUMENTS} pi.img"));
    let image = image(at);
    fine(at, &format!("verify {}", image.display()));
    let all = partitions(&image);
    assert_eq!(all.len(), 6);
    let parts = at.join("files");
    let [auto, a, b] = [1, 2, 3].map(|number| partition(&image, number, &parts));
    for board in [PI4, PI5] {
        for (text, flag, number) in [
            (None, false, 2),
            // Nothing waits for a trial: a flag that somebody sets starts the same slot.
            (None, true, 2),
            (Some(super::autoboot(2, 3)), false, 2),
            (Some(super::autoboot(2, 3)), true, 3),
            (Some(super::autoboot(3, 3)), false, 3),
        ] {
            let mut driver = Driver::new(auto.clone(), true);
            if let Some(text) = &text {
                driver.overwrite("autoboot.txt", text.as_bytes());
            }
            let disks = [Some(&driver.now), Some(&a), Some(&b), None, None, None];
            let started = start(&board, &disks, &mut flag.clone()).unwrap();
            assert_eq!(started.partition, number, "{text:?} {flag}");
            let letter = if number == 2 { 'a' } else { 'b' };
            assert_eq!(started.prefix, format!("slot-{letter}0/"));
            let slot = format!(" mender.slot={}", number + 2);
            assert!(started.cmdline.ends_with(&slot), "{}", started.cmdline);
            let guid = started.cmdline.split_whitespace().next().unwrap();
            assert_eq!(guid.len(), "root=PARTUUID=".len() + 36, "{guid}");
            assert!(started.initramfs.is_some() && started.overlays.len() == 1);
            assert_eq!(started.settings, "config.txt");
            let watchdog = started
                .others
                .iter()
                .any(|line| line == "dtparam=watchdog=on");
            assert_eq!(watchdog, flag);
        }
    }
    assert_eq!(b.read("user-data"), a.read("user-data"));
    // Both partitions are whole for the tool: its own check of a set.
    for (number, name) in [(2, "slot-a0"), (3, "slot-b0")] {
        partition(&image, number, &parts);
        let check = "while read -r sum size name; do [ \"$(cksum <\"$name\")\" = \"$sum $size\" ] || exit 1; done <set.txt";
        let command = format!("cd {}/{name} && {check}", parts.display());
        must("sh", &[&"-c", &command]);
    }
}

#[test]
fn verify_finds_each_damage_of_a_card_with_boot_partitions() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    golden_card(at);
    fine(at, &format!("convert {SMALL} {ARGUMENTS} pi.img"));
    let image = image(at);
    let sound = fs::read(&image).unwrap();
    let swapped = super::autoboot(3, 3);
    let trial = super::autoboot(2, 3);
    let long = super::autoboot(2, 2) + &"#".repeat(512);
    for (code, number, to, bytes) in [
        ("tryboot-autoboot", 1, "::/autoboot.txt", swapped.as_str()),
        ("tryboot-autoboot", 1, "::/autoboot.txt", &trial),
        ("tryboot-autoboot", 1, "::/autoboot.txt", &long),
        (
            "tryboot-autoboot",
            1,
            "::/autoboot.txt",
            "[all]\nboot_partition=2\n",
        ),
        ("tryboot-config", 3, "::/config.txt", "os_prefix=slot-a0/\n"),
        (
            "tryboot-config",
            2,
            "::/tryboot.txt",
            "os_prefix=slot-a0/\n",
        ),
        ("tryboot-files", 3, "::/slot-b0/kernel8.img", "another"),
        (
            "tryboot-arguments",
            3,
            "::/slot-b0/cmdline.txt",
            "root=x mender.slot=4\n",
        ),
        ("tryboot-firmware", 3, "::/start4.elf", "another"),
    ] {
        fs::write(&image, &sound).unwrap();
        write(at, "bad", bytes);
        put(&image, number, &at.join("bad"), to);
        found(at, &image, code);
    }
    // The root filesystem of slot A.
    let slot = format!(
        "{}?offset={}",
        image.display(),
        partitions(&image)[&4].start
    );
    for (path, code) in [
        ("/etc/mender_tryboot.config", "tryboot"),
        ("/etc/udev/rules.d/90-mender-boot.rules", "tryboot-link"),
    ] {
        fs::write(&image, &sound).unwrap();
        let command = format!("rm {path}");
        must(tool("debugfs").unwrap(), &[&"-w", &"-R", &command, &slot]);
        found(at, &image, code);
    }
    // The settings name the boot partitions in another order.
    fs::write(&image, &sound).unwrap();
    let edit = |command: &str| must(tool("debugfs").unwrap(), &[&"-w", &"-R", &command, &slot]);
    let (config, file) = ("/etc/mender_tryboot.config", at.join("settings"));
    edit(&format!("dump {config} {}", file.display()));
    let settings = fs::read_to_string(&file).unwrap();
    let other = settings.replace("BOOT_PARTITIONS = 2 3", "BOOT_PARTITIONS = 3 2");
    assert_ne!(other, settings);
    fs::write(&file, other).unwrap();
    edit(&format!("rm {config}"));
    edit(&format!("write {} {config}", file.display()));
    found(at, &image, "tryboot-partitions");
    // The second boot partition has no filesystem.
    fs::write(&image, &sound).unwrap();
    let at_boot_b = partitions(&image)[&3].start;
    let disk = fs::OpenOptions::new().write(true).open(&image).unwrap();
    disk.write_all_at(&[0; 512], at_boot_b).unwrap();
    found(at, &image, "tryboot-partitions");
}

/// `verify` fails with this code among its findings.
fn found(at: &Path, image: &Path, code: &str) {
    let output = run(at, &format!("verify --json {}", image.display()));
    let said = text(&output.stdout);
    assert!(
        !output.status.success() && said.contains(code),
        "{code}: {said}"
    );
}

#[test]
fn what_boot_partitions_need_is_named() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    golden_card(at);
    let plan = |more: &str| format!("plan {SMALL} {ARGUMENTS} {more} pi.img");
    let said = refused(at, &plan("-s storage.table=mbr"), 1);
    assert!(
        said.contains("an MBR has 4") && said.contains("hint: set storage.table to \"gpt\""),
        "{said}"
    );
    let three = plan("").replace("raspberrypi4-64", "raspberrypi3-64");
    let said = refused(at, &three, 1);
    assert!(said.contains("starts from an MBR alone"), "{said}");
    let said = refused(at, &plan("-s boot.bootloader=u-boot"), 1);
    assert!(
        said.contains("does not choose the slot of this image"),
        "{said}"
    );
    for (path, part) in [
        ("usr/lib/systemd/systemd-udevd", "the image has no udev"),
        ("usr/sbin/mkfs.vfat", "the image has no mkfs.vfat"),
    ] {
        let program = fs::read(at.join("root").join(path)).unwrap();
        fs::remove_file(at.join("root").join(path)).unwrap();
        again(at, "pi.img");
        let said = refused(at, &plan(""), 1);
        write(at, &format!("root/{path}"), program);
        assert!(
            said.contains(part) && said.contains("boot.tryboot to \"files\""),
            "{said}"
        );
    }
}
