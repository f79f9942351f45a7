//! A golden image as small as the integration takes one: 64 MiB with a boot partition, a root
//! filesystem and nothing that could really start. Made by the tools of their owners once for all
//! tests of a run.
#![allow(dead_code)]

use crate::support::{goldsmith, must, noise, program, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The bytes of its files' data that cannot be compressed.
const NOISE: usize = 6 << 20;
/// Where its root partition begins and how long it is (MiB).
pub(crate) const ROOT: (u64, u64) = (9, 48);
/// Where its boot partition begins and how long it is (MiB).
pub(crate) const BOOT: (u64, u64) = (1, 8);
/// The settings that fit its size.
pub(crate) const SETTINGS: [&str; 5] = [
    "storage.size=256 MiB",
    "boot.size=8 MiB",
    "data.size=32 MiB",
    "data.grow=false",
    "artifact.compression=gzip",
];

/// The files of the root filesystem.
fn plant(root: &Path) {
    let mut elf = vec![0; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[18] = 62;
    let release =
        "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"A small Debian\"\n";
    let paragraph = |name: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nVersion: 12.4\nArchitecture: amd64\nMaintainer: x\nDescription: x\n\n"
        )
    };
    let status = paragraph("base-files") + &paragraph("dpkg");
    let grub = program(Some("/EFI/debian"), 0);
    let menu = "menuentry x {\nlinux /vmlinuz root=UUID=1234 ro quiet\n}\n";
    let files: [(&str, &[u8]); 11] = [
        ("bin/sh", &elf),
        ("boot/vmlinuz-6.1.0-1", &program(None, 0)),
        ("boot/initrd.img-6.1.0-1", b"initrd"),
        ("boot/grub/grub.cfg", menu.as_bytes()),
        ("etc/os-release", release.as_bytes()),
        ("etc/fstab", b"UUID=1234 / ext4 rw 0 1\n"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", &grub),
        ("usr/sbin/grub-install", b"#!/bin/sh\n"),
        ("usr/share/noise", &noise(NOISE, 1)),
        ("var/lib/dpkg/status", status.as_bytes()),
        ("var/lib/dpkg/info/base-files.list", b"/.\n/etc\n"),
    ];
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
    for number in 0..300 {
        let dir = root.join(format!("usr/share/many/{}", number % 7));
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(
            dir.join(format!("a-file-with-number-{number}")),
            noise(number * 40, 2),
        )
        .expect("a file");
    }
    std::os::unix::fs::symlink("../share/noise", root.join("usr/lib/link")).expect("a link");
}

/// The image; `None`, said aloud, when tools are missing.
pub(crate) fn small() -> Option<&'static Path> {
    static IMAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    IMAGE
        .get_or_init(|| make("small.img", "metadata_csum"))
        .as_deref()
}

/// The same without checksums of metadata, so that damage is met by what reads and not by the sums.
pub(crate) fn unchecked() -> Option<&'static Path> {
    static IMAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    IMAGE
        .get_or_init(|| make("unchecked.img", "^metadata_csum"))
        .as_deref()
}

/// Puts `esp.fat` and `root.ext4` in `dir` into a GPT on `small.img`.
fn assemble(dir: &Path, sfdisk: &Path) {
    let table = format!(
        "label: gpt\n1: start={}MiB, size={}MiB, type=uefi\n2: start={}MiB, size={}MiB, type=linux\n",
        BOOT.0, BOOT.1, ROOT.0, ROOT.1
    );
    fs::write(dir.join("table"), table).expect("a file");
    must(
        "sh",
        &[
            &"-c",
            &"\"$0\" -q \"$1\" <\"$2\"",
            &sfdisk,
            &dir.join("small.img"),
            &dir.join("table"),
        ],
    );
    for (file, (start, _)) in [("esp.fat", BOOT), ("root.ext4", ROOT)] {
        let [from, to] = [
            format!("if={}", dir.join(file).display()),
            format!("of={}", dir.join("small.img").display()),
        ];
        must(
            "dd",
            &[
                &from,
                &to,
                &"bs=1M",
                &format!("seek={start}"),
                &"conv=notrunc,sparse",
                &"status=none",
            ],
        );
    }
}

fn make(name: &str, features: &str) -> Option<PathBuf> {
    let tools = ["sfdisk", "mke2fs", "mkfs.vfat", "mmd", "mcopy"].map(tool);
    let [
        Some(sfdisk),
        Some(mke2fs),
        Some(mkfs_vfat),
        Some(mmd),
        Some(mcopy),
    ] = tools
    else {
        return None;
    };
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory");
    let at = |name: &str| work.path().join(name);
    let blank = |name: &str, mib: u64| {
        fs::File::create(at(name))
            .and_then(|file| file.set_len(mib << 20))
            .expect("a file")
    };
    fs::create_dir(at("root")).expect("a directory");
    plant(&at("root"));
    let size = format!("{}M", ROOT.1);
    must(
        mke2fs,
        &[
            &"-q",
            &"-t",
            &"ext4",
            &"-O",
            &features,
            &"-E",
            &"root_owner=0:0",
            &"-d",
            &at("root"),
            &at("root.ext4"),
            &size,
        ],
    );
    blank("esp.fat", BOOT.1);
    must(mkfs_vfat, &[&"-n", &"ESP", &at("esp.fat")]);
    fs::write(at("grubx64.efi"), program(Some("/EFI/debian"), 0)).expect("a file");
    must(mmd, &[&"-i", &at("esp.fat"), &"::/EFI", &"::/EFI/debian"]);
    must(
        mcopy,
        &[
            &"-i",
            &at("esp.fat"),
            &at("grubx64.efi"),
            &"::/EFI/debian/grubx64.efi",
        ],
    );
    blank("small.img", 64);
    assemble(work.path(), &sfdisk);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::rename(at("small.img"), &kept).expect("keeping the image");
    Some(kept)
}

/// `goldsmith convert` of `disk` into `out` with the settings that fit, as release `r1`.
pub(crate) fn convert(disk: &Path, out: &Path) -> Command {
    let mut command = Command::new(goldsmith());
    command.args(["convert", "--config", "qemux86-64", "--artifact-name", "r1"]);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    command.arg("--output-dir").arg(out).arg(disk);
    command
}
