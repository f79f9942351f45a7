//! Golden images of a few files, made within a second: enough of a Debian for a conversion, nothing
//! that would boot.
#![allow(dead_code)]

use crate::support::{must, program, tool};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

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
