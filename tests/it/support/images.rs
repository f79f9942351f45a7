//! Golden images of a few files, made within a second: enough of a Debian for a conversion, nothing
//! that would boot. [`golden`] makes one in a directory, of parts that tests may replace; [`small`]
//! is one for all tests of a run, with data that do not compress.
#![allow(dead_code)]

use crate::support::{goldsmith, must, noise, program, tool};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Types of partitions in a GPT, as sfdisk names them.
pub(crate) const ESP: &str = "U";
pub(crate) const LINUX: &str = "L";

/// Whether all programs that make images are there; says which is not.
pub(crate) fn can_make() -> bool {
    ["mke2fs", "mkfs.vfat", "sfdisk"]
        .iter()
        .all(|name| tool(name).is_some())
}

/// The regular files of a small Debian; its GRUB has `grub` bytes.
pub(crate) fn files(grub: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut elf = vec![0; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[18] = 62;
    let files: [(&str, &[u8]); 10] = [
        ("usr/bin/dash", &elf),
        (
            "etc/os-release",
            b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Tiny Debian 12\"\n",
        ),
        (
            "etc/fstab",
            b"UUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n",
        ),
        ("etc/default/grub", b"GRUB_CMDLINE_LINUX=\"quiet\"\n"),
        ("var/lib/dpkg/status", b""),
        ("usr/sbin/sfdisk", &elf),
        ("usr/sbin/chronyd", &elf),
        ("boot/vmlinuz-6.1.0-1", &program(None, 5000)),
        ("boot/initrd.img-6.1.0-1", b"initrd"),
        (
            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
            &program(Some("/EFI/debian"), grub),
        ),
    ];
    files.map(|(path, bytes)| (path, bytes.to_vec())).to_vec()
}

/// The files of a small Debian below `dir`; its GRUB has `grub` bytes.
pub(crate) fn debian(dir: &Path, grub: usize) {
    for (path, bytes) in files(grub) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    symlink("dash", dir.join("usr/bin/sh")).unwrap();
    for name in ["bin", "sbin"] {
        symlink(format!("usr/{name}"), dir.join(name)).unwrap();
    }
    fs::hard_link(
        dir.join("usr/sbin/sfdisk"),
        dir.join("usr/sbin/sfdisk.link"),
    )
    .unwrap();
}

/// A filesystem of `mib` MiB with the files of `tree`; `kind` is `ext2`, `ext3` or `ext4`.
pub(crate) fn filesystem(kind: &str, tree: &Path, image: &Path, mib: u64) {
    let mke2fs = tool("mke2fs").expect("looked for before");
    must(
        mke2fs,
        &[
            &"-q",
            &"-F",
            &"-t",
            &kind,
            &"-d",
            &tree,
            &image,
            &format!("{mib}M"),
        ],
    );
}

/// An ext4 filesystem of `mib` MiB with the files of `tree`.
pub(crate) fn ext4(tree: &Path, image: &Path, mib: u64) {
    filesystem("ext4", tree, image, mib);
}

/// A disk with a GPT and these partitions, each of a type and with the bytes of a file.
pub(crate) fn disk(image: &Path, partitions: &[(&str, &Path)]) {
    const START: u64 = 1 << 20;
    let mut script = String::from("label: gpt\n");
    let mut at = START;
    for (kind, file) in partitions {
        let len = fs::metadata(file).unwrap().len();
        script.push_str(&format!(
            "start={}, size={}, type={kind}\n",
            at / 512,
            len / 512
        ));
        at += len;
    }
    let out = fs::File::create(image).unwrap();
    out.set_len(at + START).unwrap();
    let script_file = image.with_extension("sfdisk");
    fs::write(&script_file, script).unwrap();
    must(
        "sh",
        &[
            &"-c",
            &"sfdisk --quiet --no-reread --no-tell-kernel \"$1\" <\"$2\"",
            &"sh",
            &image,
            &script_file,
        ],
    );
    let mut at = START;
    for (_, file) in partitions {
        let bytes = fs::read(file).unwrap();
        out.write_all_at(&bytes, at).unwrap();
        at += bytes.len() as u64;
    }
}

/// A disk in `dir` with all that packages are chosen for, and nothing else: a program of a machine
/// (`e_machine` of the ELF header), `os-release` and dpkg's `status`.
pub(crate) fn database_disk(dir: &Path, machine: u8, os_release: &[u8], status: &[u8]) -> PathBuf {
    let (root, filesystem) = (dir.join("root"), dir.join("root.ext4"));
    let mut elf = vec![0; 64];
    elf[..4].copy_from_slice(b"\x7fELF");
    elf[18] = machine;
    let files: [(&str, &[u8]); 3] = [
        ("bin/sh", &elf),
        ("etc/os-release", os_release),
        ("var/lib/dpkg/status", status),
    ];
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    ext4(&root, &filesystem, 8);
    let image = dir.join("golden.img");
    disk(&image, &[(LINUX, &filesystem)]);
    image
}

/// A golden image `golden.img` in `dir`, and what it is made of: `root/`, `root.ext4`, `esp.fat`.
pub(crate) fn golden(dir: &Path) {
    let (root, filesystem, esp) = (dir.join("root"), dir.join("root.ext4"), dir.join("esp.fat"));
    debian(&root, 3 << 20);
    ext4(&root, &filesystem, 16);
    fs::File::create(&esp).unwrap().set_len(8 << 20).unwrap();
    must(
        tool("mkfs.vfat").expect("looked for before"),
        &[&"-n", &"ESP", &"-i", &"12345678", &esp],
    );
    disk(
        &dir.join("golden.img"),
        &[(ESP, &esp), (LINUX, &filesystem)],
    );
}

/// The bytes of its files' data that cannot be compressed.
const NOISE: usize = 6 << 20;
/// Where its root partition begins and how long it is (MiB).
pub(crate) const ROOT: (u64, u64) = (9, 48);
/// Where its boot partition begins and how long it is (MiB).
pub(crate) const BOOT: (u64, u64) = (1, 8);
/// The settings that fit its size.
pub(crate) const SETTINGS: [&str; 6] = [
    "client.required=false",
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
