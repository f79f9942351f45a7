//! The boot loader that starts a golden image, as far as its files show.

use crate::platform::{Architecture, Bootloader};
use crate::tree::Tree;

/// Whether the boot partition has the files that the firmware of a Raspberry Pi reads: its
/// settings, and any of its programs, a device tree, a kernel or the arguments of one. Whether they
/// are complete is another question. Ubuntu keeps device trees in a directory of their own.
#[must_use]
pub fn has_raspberry_firmware(boot: &Tree) -> bool {
    let names = boot.root.lowercase_names();
    let firmware = |name: &String| {
        let is = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
        ["bootcode.bin", "cmdline.txt"].contains(&name.as_str())
            || is("start", ".elf")
            || is("fixup", ".dat")
            || is("bcm27", ".dtb")
            || is("bcm283", ".dtb")
            || is("kernel", ".img")
    };
    names.iter().any(|name| name == "config.txt") && names.iter().any(firmware)
}

/// Whether the boot partition is that of a Raspberry Pi that starts without UEFI.
#[must_use]
pub fn is_raspberry_pi(boot: &Tree) -> bool {
    has_raspberry_firmware(boot) && boot.root.get_ignore_case("rpi_efi.fd").is_none()
}

/// The boot loader of the image. With `u_boot` it is U-Boot, whatever else is installed; otherwise
/// it never is on PCs, where `extlinux` belongs to SYSLINUX.
#[must_use]
pub fn guess(
    root: &Tree,
    boot: Option<&Tree>,
    architecture: Option<Architecture>,
    u_boot: bool,
) -> Bootloader {
    if boot.is_some_and(is_raspberry_pi) {
        return Bootloader::UBootOnRaspberryPi;
    }
    if architecture.is_some_and(Architecture::is_pc) && !u_boot {
        return Bootloader::GrubEfi;
    }
    let names = boot
        .map(|boot| boot.root.lowercase_names())
        .unwrap_or_default();
    let on_boot = |wanted: &[&str]| names.iter().any(|name| wanted.contains(&name.as_str()));
    let on_root = |paths: &[&str]| paths.iter().any(|path| root.find(path).is_some());
    let grub = on_boot(&["efi"]) && on_root(&["/boot/grub/grub.cfg", "/usr/sbin/grub-install"]);
    let signs = on_boot(&[
        "boot.scr",
        "boot.scr.uimg",
        "extlinux",
        "u-boot.bin",
        "uenv.txt",
    ]) || on_root(&[
        "/boot/boot.scr",
        "/boot/extlinux/extlinux.conf",
        "/usr/sbin/flash-kernel",
        "/usr/sbin/u-boot-update",
    ]);
    if u_boot || (signs && !grub) {
        Bootloader::UBoot
    } else {
        Bootloader::GrubEfi
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    fn tree(paths: &[&str]) -> Tree {
        let stat = || Stat::root(0o644, Time::default());
        let mut tree = Tree::new(stat());
        for path in paths {
            tree.put_file(path, "x", stat()).unwrap();
        }
        tree
    }

    #[test]
    fn a_loader_is_told_by_its_files() {
        type Case = (
            &'static [&'static str],
            Option<&'static [&'static str]>,
            Bootloader,
        );
        let cases: [Case; 8] = [
            (
                &["/boot/grub/grub.cfg"],
                Some(&["/config.txt", "/cmdline.txt", "/bcm2835-rpi-zero-w.dtb"]),
                Bootloader::UBootOnRaspberryPi,
            ),
            (
                &[],
                Some(&["/config.txt", "/start4.elf"]),
                Bootloader::UBootOnRaspberryPi,
            ),
            (
                &[],
                Some(&["/CONFIG.TXT", "/bcm2712-rpi-5-b.dtb"]),
                Bootloader::UBootOnRaspberryPi,
            ),
            (
                &["/boot/grub/grub.cfg"],
                Some(&[
                    "/config.txt",
                    "/start4.elf",
                    "/RPI_EFI.fd",
                    "/EFI/BOOT/BOOTAA64.EFI",
                ]),
                Bootloader::GrubEfi,
            ),
            (&[], Some(&["/boot.scr"]), Bootloader::UBoot),
            (&["/boot/extlinux/extlinux.conf"], None, Bootloader::UBoot),
            (
                &["/boot/extlinux/extlinux.conf", "/boot/grub/grub.cfg"],
                Some(&["/EFI/debian/grubx64.efi"]),
                Bootloader::GrubEfi,
            ),
            (&[], None, Bootloader::GrubEfi),
        ];
        for (root, boot, loader) in cases {
            assert_eq!(
                guess(&tree(root), boot.map(tree).as_ref(), None, false),
                loader,
                "{root:?} {boot:?}"
            );
        }
        let on_pc = |u_boot| {
            let root = tree(&["/boot/extlinux/extlinux.conf"]);
            guess(&root, None, Some(Architecture::Amd64), u_boot)
        };
        assert_eq!(on_pc(false), Bootloader::GrubEfi);
        assert_eq!(on_pc(true), Bootloader::UBoot);
        assert_eq!(guess(&tree(&[]), None, None, true), Bootloader::UBoot);
    }
}
