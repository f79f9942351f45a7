//! A converted card: what the conversion writes is what the tools of the device would write, and
//! `verify` finds each damage.

use super::device::Device;
use crate::boot::env_tools::SHELLS;
use crate::plan::boards::{SMALL, again, fine, golden, image, refused, run, text, write};
use crate::plan::raspberry_pi::card;
use crate::support::{images, must, tool};
use goldsmith::boot::common::tools::tryboot_env;
use std::fs;
use std::path::Path;

const ARGUMENTS: &str = "-c raspberrypi4-64 -s boot.bootloader=rpi-tryboot";

/// A card of Raspberry Pi OS with what this boot loader needs.
pub(super) fn tryboot_card(at: &Path) {
    card(at, true);
    for name in ["usr/bin/vcmailbox", "usr/sbin/fsck.vfat"] {
        write(at, &format!("root/{name}"), "program");
    }
    let kernel = fs::read(at.join("boot/kernel8.img")).unwrap();
    write(at, "root/boot/vmlinuz-6.6.51+rpt-rpi-v8", kernel);
    write(at, "boot/initramfs8", "initrd");
    write(at, "boot/overlays/README", "about overlays");
    write(at, "boot/overlays/vc4-kms-v3d.dtbo", "overlay");
    write(
        at,
        "boot/config.txt",
        "auto_initramfs=1\ndtoverlay=vc4-kms-v3d\narm_64bit=1\n",
    );
}

/// Runs an mtools program on the boot partition, which begins after the first mebibyte.
fn on_boot(image: &Path, program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) {
    let place = format!("{}@@1M", image.display());
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-i", &place];
    all.extend(args);
    must(tool(program).unwrap(), &all);
}

#[test]
fn a_converted_card_is_what_its_tools_would_make() {
    let (Some(dir), Some(debugfs)) = (golden(), tool("debugfs")) else {
        return;
    };
    let at = dir.path();
    tryboot_card(at);
    again(at, "pi.img");
    let said = run(
        at,
        &format!("plan {SMALL} {ARGUMENTS} pi.img").replace(" -q ", " "),
    );
    let said = format!("{}{}", text(&said.stderr), text(&said.stdout));
    for part in [
        "rpi-tryboot",
        "the boot files of a slot take",
        "kernel_watchdog_timeout=60",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    fine(at, &format!("convert {SMALL} {ARGUMENTS} pi.img"));
    let image = image(at);
    fine(at, &format!("verify {}", image.display()));
    // The record of what the slot was made of is the one that the tool makes.
    let Some(device) = Device::new(SHELLS[0], &tryboot_env()) else {
        return;
    };
    let place = |name: &str| device.path(name);
    for name in ["boot", "run", "bytes"] {
        fs::create_dir(place(name)).unwrap();
    }
    fs::create_dir(place("root")).unwrap();
    on_boot(&image, "mcopy", &[&"-s", &"::/", &place("boot")]);
    let root = at.join("root.part");
    let bytes = fs::read(&image).unwrap();
    fs::write(&root, &bytes[9 << 20..]).unwrap();
    let set = place("root/usr/lib/goldsmith");
    fs::create_dir_all(&set).unwrap();
    let dump = |path: &str, to: &Path| {
        let command = format!("rdump {path} {}", to.display());
        must(&debugfs, &[&"-R", &command, &root]);
    };
    dump("/usr/lib/goldsmith/boot", &set);
    dump("/boot", &place("root"));
    dump("/etc/mender_tryboot.config", at);
    let config = fs::read_to_string(at.join("mender_tryboot.config")).unwrap();
    let lines: String = config
        .lines()
        .map(|line| match line.strip_prefix("BOOT = ") {
            Some(_) => format!("BOOT = {}\n", place("boot").display()),
            None => format!("{line}\n"),
        })
        .collect();
    fs::write(place("config"), lines).unwrap();
    fs::write(place("cmdline"), "mender.slot=2\n").unwrap();
    fs::write(place("log"), "").unwrap();
    let answer = device.call("fw_setenv", &["--finish-boot"], "", None);
    assert_eq!(answer.status, Some(0), "{answer:?}");
    assert_eq!(
        fs::read_to_string(place("log")).unwrap(),
        "",
        "nothing to do"
    );
}

#[test]
fn verify_finds_each_damage_of_a_card_for_tryboot() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    tryboot_card(at);
    again(at, "pi.img");
    fine(at, &format!("convert {SMALL} {ARGUMENTS} pi.img"));
    let image = image(at);
    let sound = fs::read(&image).unwrap();
    write(at, "other", "os_prefix=slot-b0/\nkernel=kernel8.img\n");
    write(at, "two", "os_prefix=slot-a0/\nos_prefix=x/\n");
    write(at, "line", "root=PARTUUID=00000000-09 mender.slot=2\n");
    let big = vec![b'x'; (8 << 20) - (262 << 10)];
    write(at, "big", big);
    let other = at.join("other");
    let two = at.join("two");
    let line = at.join("line");
    let big = at.join("big");
    type Damage<'d> = (&'d str, &'d str, Vec<&'d dyn AsRef<std::ffi::OsStr>>);
    let damages: [Damage<'_>; 7] = [
        (
            "tryboot-config",
            "mcopy",
            vec![&"-o", &other, &"::/config.txt"],
        ),
        (
            "tryboot-config",
            "mcopy",
            vec![&"-o", &other, &"::/tryboot.txt"],
        ),
        (
            "tryboot-config",
            "mcopy",
            vec![&"-o", &two, &"::/config.txt"],
        ),
        (
            "tryboot-arguments",
            "mcopy",
            vec![&"-o", &line, &"::/slot-a0/cmdline.txt"],
        ),
        ("tryboot-files", "mdel", vec![&"::/slot-b0/kernel8.img"]),
        (
            "tryboot-files",
            "mcopy",
            vec![&"-o", &line, &"::/slot-a0/initramfs8"],
        ),
        ("tryboot-room", "mcopy", vec![&"-o", &big, &"::/big"]),
    ];
    let finds = |code: &str| {
        let output = run(at, &format!("verify --json {}", image.display()));
        let said = text(&output.stdout);
        assert!(
            !output.status.success() && said.contains(code),
            "{code}: {said}"
        );
    };
    for (code, program, args) in damages {
        fs::write(&image, &sound).unwrap();
        on_boot(&image, program, &args);
        finds(code);
    }
    // The first slot begins after the boot partition.
    let slot = format!("{}?offset={}", image.display(), 9 << 20);
    for path in ["/etc/mender_tryboot.config", "/usr/bin/fw_setenv"] {
        fs::write(&image, &sound).unwrap();
        let command = format!("rm {path}");
        must(tool("debugfs").unwrap(), &[&"-w", &"-R", &command, &slot]);
        finds("tryboot-tools");
    }
}

#[test]
fn what_the_golden_card_lacks_is_named() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    tryboot_card(at);
    fs::remove_file(at.join("root/usr/bin/vcmailbox")).unwrap();
    again(at, "pi.img");
    let said = refused(at, &format!("plan {SMALL} {ARGUMENTS} pi.img"), 1);
    assert!(said.contains("the image has no vcmailbox"), "{said}");
}

/// An image that other tools made for two boot partitions, between which `autoboot.txt` of the
/// first FAT chooses. The hint is a way out.
#[test]
fn two_boot_partitions_are_refused_with_a_way_out() {
    let Some(dir) = golden() else { return };
    let at = dir.path();
    tryboot_card(at);
    again(at, "pi.img");
    let first = at.join("first.fat");
    let turns = |auto: &str| {
        fs::File::create(&first).unwrap().set_len(1 << 20).unwrap();
        must("mkfs.vfat", &[&first]);
        write(at, "auto", auto);
        let from = at.join("auto");
        must("mcopy", &[&"-i", &first, &from, &"::/autoboot.txt"]);
        let (boot, root) = (at.join("esp.fat"), at.join("root.ext4"));
        let parts: [(&str, &Path); 4] = [
            (images::ESP, &first),
            (images::ESP, &boot),
            (images::ESP, &boot),
            (images::LINUX, &root),
        ];
        images::disk(&at.join("turns.img"), &parts);
    };
    let line = format!("{SMALL} {ARGUMENTS} -s boot.partition=2 turns.img");
    turns("[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n");
    let said = refused(at, &format!("plan {line}"), 1);
    for part in [
        "another A/B update scheme: the Raspberry Pi firmware's tryboot with two boot partitions",
        "autoboot.txt of partition 1: the firmware starts partition 2, and for a trial partition 3",
        "hint: convert the image that this one was made of; or keep one system of it",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    turns("[all]\nboot_partition=2\n");
    write(
        at,
        "more.toml",
        "[[partition]]\nnumber = 1\ndo = \"drop\"\n",
    );
    let line = format!("-c more.toml {line}");
    fine(at, &format!("convert {line}"));
    let image = image(at);
    fine(at, &format!("verify {}", image.display()));
    let place = format!("{}@@1M", image.display());
    let listing = must("mdir", &[&"-b", &"-i", &place, &"::/"]);
    assert!(!listing.contains("autoboot.txt"), "{listing}");
    // One that comes later, by hand or by a hook, is found.
    for (text, effect) in [
        (
            "[all]\nboot_partition=2\n",
            "starts from that partition, not from 1",
        ),
        (
            "[tryboot]\nboot_partition=3\n",
            "starts from that partition, not from 1",
        ),
        ("tryboot_a_b=1\nboot_partition=1\n", "no tryboot.txt"),
    ] {
        write(at, "auto", text);
        on_boot(
            &image,
            "mcopy",
            &[&"-o", &at.join("auto"), &"::/AUTOBOOT.TXT"],
        );
        let output = run(at, &format!("verify {}", image.display()));
        let said = self::text(&output.stdout);
        let found = !output.status.success() && said.contains("boot-autoboot");
        assert!(found && said.contains(effect), "{text}: {said}");
    }
    // On the boot partition itself it must name that one.
    write(at, "boot/autoboot.txt", "[all]\nboot_partition=3\n");
    again(at, "other.img");
    let said = refused(at, &format!("plan {SMALL} {ARGUMENTS} other.img"), 1);
    let part = "autoboot.txt:2: boot_partition=3: the firmware starts from partition 3";
    assert!(
        said.contains(part) && said.contains("hint: set boot.partition to 3"),
        "{said}"
    );
}
