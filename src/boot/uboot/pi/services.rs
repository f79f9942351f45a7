//! Services and hooks of Raspberry Pi OS and of Debian's firmware package that conflict with A/B.

use crate::boot::common::TEXT_LIMIT;
use crate::boot::common::divert::divert;
use crate::boot::uboot::options::UBootOptions;
use crate::tree::Node;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The mount point of the boot partition in Raspberry Pi OS, which its scripts expect.
const FIRMWARE: &str = "/boot/firmware";
/// The hooks by which Debian's `raspi-firmware` writes the boot partition anew, `config.txt` and
/// `cmdline.txt` too.
const HOOKS: [&str; 3] = [
    "/etc/kernel/postinst.d/z50-raspi-firmware",
    "/etc/kernel/postrm.d/z50-raspi-firmware",
    "/etc/initramfs/post-update.d/z50-raspi-firmware",
];

/// Disables [`HOOKS`] and automatic mounts, as far as the image has them.
pub(super) fn disable(
    root: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    if ["/lib", "/usr/lib"].iter().any(|dir| {
        root.tree()
            .find(format!("{dir}/systemd/system/udisks2.service"))
            .is_some()
    }) {
        root.symlink(
            "/etc/systemd/system/udisks2.service",
            "/dev/null",
            "it would mount the slot that does not run",
        )?;
    }
    for hook in HOOKS {
        let text = root.read(hook, TEXT_LIMIT)?.unwrap_or_default();
        // The one of Raspberry Pi OS copies kernels and device trees only, which harms nothing.
        if String::from_utf8_lossy(&text).contains(">/boot/firmware/config.txt") {
            let reason =
                "it would write config.txt anew, without U-Boot: diverted as dpkg-divert does";
            notes.extend(divert(root, hook, reason)?);
        }
    }
    let firmware = root.tree().find_nofollow(FIRMWARE);
    let is_empty_dir = matches!(firmware, Some(Node::Dir(dir)) if dir.entries.is_empty());
    if options.boot_mount != FIRMWARE && is_empty_dir {
        root.remove(
            FIRMWARE,
            "scripts of the image expect the boot partition here",
        )?;
        root.symlink(
            FIRMWARE,
            options.boot_mount,
            "scripts of the image expect the boot partition here",
        )?;
    }
    Ok(())
}
