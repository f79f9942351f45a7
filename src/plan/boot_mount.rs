//! The mount point of the boot partition.

use crate::golden::fstab;
use crate::platform::Bootloader;
use crate::tree::Tree;
use crate::units::MIB;

/// The mount point of the Raspberry Pi's firmware partition in Debian and Raspberry Pi OS.
const FIRMWARE: &str = "/boot/firmware";

/// The mount point of the boot partition in the golden image's `/etc/fstab`, or else the usual one
/// of systems that `loader` starts. An older Raspberry Pi OS, which mounts it on `/boot`, is
/// refused when its `fstab` is merged: its kernels would be gone.
pub(crate) fn boot_mount(root: &Tree, loader: Bootloader) -> String {
    let text = root
        .read("/etc/fstab", MIB)
        .ok()
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let listed = ["/boot/efi", FIRMWARE, "/efi", "/uboot"]
        .into_iter()
        .find(|dir| fstab::mounts(&text, dir));
    let usual = match loader {
        Bootloader::GrubEfi => "/boot/efi",
        Bootloader::UBootOnRaspberryPi | Bootloader::RpiTryboot => FIRMWARE,
        Bootloader::UBoot if root.dir(FIRMWARE).is_some() => FIRMWARE,
        Bootloader::UBoot => "/uboot",
    };
    listed.unwrap_or(usual).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    fn mount(fstab: Option<&str>, dirs: &[&str], loader: Bootloader) -> String {
        let stat = || Stat::root(0o755, Time::default());
        let mut root = Tree::new(stat());
        for dir in dirs {
            root.mkdir(dir, &stat()).unwrap();
        }
        if let Some(text) = fstab {
            root.put_file("/etc/fstab", text, stat()).unwrap();
        }
        boot_mount(&root, loader)
    }

    #[test]
    fn the_golden_fstab_says_it() {
        for dir in ["/boot/efi", "/boot/firmware", "/efi", "/uboot"] {
            for loader in [
                Bootloader::GrubEfi,
                Bootloader::UBoot,
                Bootloader::UBootOnRaspberryPi,
            ] {
                assert_eq!(
                    mount(
                        Some(&format!("LABEL=x {dir} vfat defaults 0 0\n")),
                        &[],
                        loader
                    ),
                    dir
                );
            }
        }
    }

    #[test]
    fn else_each_loader_has_its_own_place() {
        let commented = "# LABEL=x /uboot vfat defaults 0 0\nLABEL=y / ext4 defaults 0 1\n";
        for text in [None, Some(commented)] {
            assert_eq!(mount(text, &[], Bootloader::GrubEfi), "/boot/efi");
            assert_eq!(mount(text, &[], Bootloader::UBoot), "/uboot");
            assert_eq!(
                mount(text, &[], Bootloader::UBootOnRaspberryPi),
                "/boot/firmware"
            );
        }
        assert_eq!(
            mount(None, &["/boot/firmware"], Bootloader::UBoot),
            "/boot/firmware"
        );
        assert_eq!(
            mount(None, &["/boot/firmware"], Bootloader::GrubEfi),
            "/boot/efi"
        );
    }
}
