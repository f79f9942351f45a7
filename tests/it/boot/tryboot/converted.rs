//! A converted card: what the conversion writes is what the tools of the device would write, and
//! `verify` finds each damage.

use super::device::Device;
use crate::boot::env_tools::SHELLS;
use crate::plan::boards::{SMALL, again, fine, golden, image, refused, run, text, write};
use crate::plan::raspberry_pi::card;
use crate::support::{must, tool};
use goldsmith::boot::common::tools::tryboot_env;
use std::fs;
use std::path::Path;

const ARGUMENTS: &str = "-c raspberrypi4-64 -s boot.bootloader=rpi-tryboot";

/// A card of Raspberry Pi OS with what this boot loader needs.
fn tryboot_card(at: &Path) {
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
