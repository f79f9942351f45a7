//! Odd systems, disks and files around them.

use super::Numbers;
use crate::fs::ext4;
use crate::golden::example_tests::{TIME, add, empty, esp, ext};
use crate::image::output::qcow2;
use crate::image::source::{self, InputImage, OpenOptions};
use crate::image::table::{PartitionType, types};
use crate::report::Silent;
use crate::stamp::Uuid;
use crate::stream::{Content, ReadAt as _, Source};
use crate::tree::Tree;
use crate::units::MIB;
use std::path::Path;

/// Lines of GRUB's menu.
const MENU: &[&str] = &[
    "set default=\"0\"",
    "set root='hd0,gpt2'",
    "search --no-floppy --label golden --set=root",
    "menuentry 'Debian' --class debian {",
    "submenu 'More' {",
    "  linux /boot/vmlinuz-6.1.0-1 root=/dev/sda2 ro quiet",
    "  linux /boot/vmlinuz-6.1.0-1 root=LABEL=golden rootflags=data=journal resume=/dev/sda3",
    "  linux /vmlinuz root=UUID=1 cryptdevice=/dev/sda3:x init=/bin/bash",
    "  linux /boot/vmlinuz-9 systemd.mount-extra=/dev/sda3:/mnt:ext4 overlayroot=tmpfs",
    "  initrd /boot/initrd.img-6.1.0-1",
    "  chainloader /EFI/other.efi",
    "}",
    "}",
    "if [ x = x ]; then",
    "fi",
    "source /boot/grub/custom.cfg",
];
/// Lines of `config.txt`.
const CONFIG: &[&str] = &[
    "arm_64bit=1",
    "arm_64bit=0",
    "kernel=kernel8.img",
    "kernel=vmlinuz",
    "os_prefix=old/",
    "cmdline=other.txt",
    "device_tree=",
    "device_tree=none.dtb",
    "enable_uart=0",
    "include more.txt",
    "include config.txt",
    "[pi4]",
    "[pi3]",
    "[all]",
    "[none]",
    "[gpio4=1]",
    "[board-type=0x14]",
    "[0x12345678]",
    "[EDID=x]",
    "[unknown",
    "upstream_kernel=1",
    "initramfs initrd.img followkernel",
    "dtoverlay=vc4-kms-v3d",
    "# a comment",
];
/// Texts of `cmdline.txt`.
const CMDLINE: &[&str] = &[
    "console=serial0,115200 root=PARTUUID=1-02 rootwait quiet\n",
    "root=/dev/mmcblk0p2 rootfstype=ext3 init=/usr/lib/raspberrypi-sys-mods/firstboot\n",
    "\n root=x\n",
    "\u{feff}quiet\r\nmore\r\n",
    "overlayroot=tmpfs boot=overlay resume=/dev/sda3\n",
    "",
    "a\0b",
];

/// A menu of random lines.
pub(super) fn menu(root: &mut Tree, numbers: &mut Numbers) {
    let lines = (0..numbers.below(12)).map(|_| numbers.of(MENU));
    let text = lines.collect::<Vec<_>>().join("\n");
    add(root, "/boot/grub/grub.cfg", text.as_bytes());
}

/// Makes the system one for a Raspberry Pi; returns what the configuration says of the board.
pub(super) fn raspberry_pi(
    root: &mut Tree,
    boot: &mut Tree,
    numbers: &mut Numbers,
) -> Vec<(&'static str, String)> {
    let mut shell = vec![0; 64];
    shell[..4].copy_from_slice(b"\x7fELF");
    shell[18] = 183;
    let mut kernel = vec![0; 64];
    kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
    let u_boot = b"\x0a\0\0\x14 U-Boot 2023.01 (Jan 1 2023)\0\0bcm2711\0";
    for path in ["/bin/sh", "/sbin/init", "/usr/sbin/sfdisk"] {
        let _ = root.remove(path);
        add(root, path, &shell);
    }
    add(root, "/boot/vmlinuz-6.1.0+rpt-rpi-v8", &kernel);
    add(root, "/usr/lib/u-boot/rpi_arm64/u-boot.bin", u_boot);
    let mut lines = String::new();
    for _ in 0..numbers.below(7) {
        lines += numbers.of(CONFIG);
        lines += numbers.of(&["\n", "\n", "\r\n"]);
    }
    add(boot, "/config.txt", lines.as_bytes());
    add(boot, "/cmdline.txt", numbers.of(CMDLINE).as_bytes());
    for path in ["/start4.elf", "/fixup4.dat", "/bcm2711-rpi-4-b.dtb"] {
        if !numbers.often(8) {
            add(boot, path, b"firmware");
        }
    }
    for path in [
        "/bootcode.bin",
        "/start.elf",
        "/fixup.dat",
        "/bcm2710-rpi-3-b.dtb",
        "/bcm2712-rpi-5-b.dtb",
        "/old/bcm2711-rpi-4-b.dtb",
        "/old/kernel8.img",
        "/more.txt",
    ] {
        if numbers.often(2) {
            add(boot, path, b"[all]\nkernel=x\n");
        }
    }
    let models = numbers.of(&["[\"pi4\"]", "[\"pi3\"]", "[\"pi4\", \"pi5\"]", "[]"]);
    vec![
        ("board.device-type", "[\"pi\"]".to_owned()),
        ("board.pi-models", models.to_owned()),
        ("storage.table", "\"mbr\"".to_owned()),
    ]
}

/// Further partitions, and the entries of the configuration about them.
pub(super) fn partitions(numbers: &mut Numbers) -> (Vec<(PartitionType, Content)>, String) {
    let (mut out, mut entries) = (Vec::new(), String::new());
    for number in 3..3 + numbers.below(3) {
        let kind = numbers.of(&[
            types::GPT_LINUX,
            types::GPT_LINUX,
            types::GPT_ESP,
            types::GPT_BIOS_BOOT,
            types::GPT_BASIC_DATA,
            PartitionType::Gpt(Uuid([7; 16])),
        ]);
        let mut files = empty();
        for path in ["/a", "/dir/b"] {
            if numbers.often(2) {
                add(&mut files, path, b"text");
            }
        }
        let raw = |at: u64, bytes: &'static [u8]| {
            let mut content = Content::hole(0);
            content.push_bytes(at, bytes.to_vec());
            content.set_len(8 * MIB);
            content
        };
        let content = match numbers.below(9) {
            0 => raw(4086, b"SWAPSPACE2"),
            1 => raw(0, b"ANDROID!"),
            2 => raw(0, b"XFSB"),
            3 => raw(100, b"something"),
            4 => Content::hole(8 * MIB),
            5 => esp(&files),
            6 => {
                let mut options = ext4::write::Options::new(Uuid([3; 16]), Uuid([4; 16]), TIME);
                options.label = numbers.of(&[&b"home"[..], b"data", b"usr", b""]).to_vec();
                ext4::write::write(&files, 8 * MIB, &options).unwrap()
            }
            _ => ext(&files),
        };
        out.push((kind, content));
        if numbers.often(2) {
            let action = numbers.of(&["merge", "data", "copy", "drop"]);
            entries += &format!("[[partition]]\nnumber = {number}\ndo = \"{action}\"\n");
            let path = numbers.of(&["/srv/files", "/data", "/opt", "/proc", "/etc", ""]);
            if numbers.often(2) {
                entries += &format!("path = \"{path}\"\n");
            }
        }
    }
    (out, entries)
}

/// A package of the update client's kind, as a file of the host.
pub(super) fn package(dir: &Path, numbers: &mut Numbers) -> String {
    let depends = numbers.of(&[
        "",
        "Depends: libc6\n",
        "Depends: none (>= 2)\n",
        "Pre-Depends: x\n",
    ]);
    let architecture = numbers.of(&["amd64", "all", "arm64"]);
    let control = format!(
        "Package: thing\nVersion: 1.0-1\nArchitecture: {architecture}\nMaintainer: a <a@b.c>\n{depends}Description: x\n"
    );
    let script = numbers.of(&[
        "#!/bin/sh\nset -e\nexit 0\n",
        "#!/bin/sh\nset -e\ntouch /etc/made\n",
        "#!/bin/sh\nfalse\nexit 1\n",
        "#!/bin/sh\nsystemctl enable thing || true\n",
        "#!/bin/sh\nif [ \"$1\" = configure ]; then rm -f /etc/fstab; fi\n",
        "#!/usr/bin/perl\n1;\n",
    ]);
    let file = numbers.of(&[
        "./usr/bin/thing",
        "./etc/fstab",
        "./data/thing",
        "./../x",
        "./boot/vmlinuz-9",
    ]);
    let control = tar(&[
        ("./control", control.as_bytes()),
        ("./postinst", script.as_bytes()),
    ]);
    let data = tar(&[(file, b"content")]);
    let mut deb = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", control),
        ("data.tar", data),
    ] {
        let len = bytes.len();
        deb.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{len:<10}`\n",
                0, 0, 0, "100644"
            )
            .bytes(),
        );
        deb.extend(bytes);
        deb.resize(deb.len().next_multiple_of(2), b'\n');
    }
    let path = dir.join("thing.deb");
    std::fs::write(&path, deb).unwrap();
    path.display().to_string()
}

/// A tar archive of executable files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        let mut head = [0; 512];
        let mut put =
            |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", bytes.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(head);
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// The disk as a qcow2 file whose tables may be damaged.
pub(super) fn qcow2_file(dir: &Path, disk: &Source, numbers: &mut Numbers) {
    let content = qcow2(disk).unwrap();
    let mut bytes = content.read_all(content.len()).unwrap();
    // Header, reference counts, L1 and L2: the first five clusters.
    for _ in 0..numbers.below(3) {
        let places: Vec<usize> = (0..5 << 16).filter(|at| bytes[*at] != 0).collect();
        bytes[numbers.of(&places)] ^= 1 << numbers.below(8);
    }
    if numbers.often(4) {
        let len = bytes.len();
        bytes.truncate(len - numbers.below(len / 2));
    }
    std::fs::write(dir.join("disk.qcow2"), bytes).unwrap();
}

/// The file, opened.
pub(super) fn open(dir: &Path) -> Result<InputImage, source::SourceError> {
    let options = OpenOptions {
        spool_dir: dir,
        max_size: 64 * MIB,
        threads: 1,
        report: &Silent,
    };
    source::open(&dir.join("disk.qcow2"), &options)
}
