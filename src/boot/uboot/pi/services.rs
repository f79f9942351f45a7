//! Services and hooks of Raspberry Pi OS and of Debian's firmware package that conflict with A/B.

use crate::boot::common::TEXT_LIMIT;
use crate::boot::common::divert::divert;
use crate::boot::uboot::options::UBootOptions;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Node, show};

/// The mount point of the boot partition in Raspberry Pi OS, which its scripts expect.
const FIRMWARE: &str = "/boot/firmware";
/// Services of the first start that resize the root filesystem, and would restart in the time that
/// an update has to prove itself.
const RESIZERS: [&str; 4] = [
    "rpi-resize.service",
    "resize2fs_once.service",
    "raspi-resize.service",
    "rpi-set-sysconf.service",
];
/// The hooks by which Debian's `raspi-firmware` writes the boot partition anew, `config.txt` and
/// `cmdline.txt` too.
const HOOKS: [&str; 3] = [
    "/etc/kernel/postinst.d/z50-raspi-firmware",
    "/etc/kernel/postrm.d/z50-raspi-firmware",
    "/etc/initramfs/post-update.d/z50-raspi-firmware",
];

/// Disables [`RESIZERS`], [`HOOKS`] and automatic mounts, as far as the image has them.
pub(super) fn disable(
    root: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    remove_resizers(root)?;
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
    let wizard = "/etc/systemd/system/multi-user.target.wants/userconfig.service";
    if root.tree().find_nofollow(wizard).is_some() {
        notes.push("userconfig.service is enabled: each root filesystem asks for a user on its first start".into());
    }
    Ok(())
}

/// Removes the services of the first start that resize, whatever enables them.
fn remove_resizers(root: &mut TreeEditor<'_>) -> Result<(), EditError> {
    let reason = "it would resize the root filesystem on the first start of each slot";
    root.remove("/etc/init.d/resize2fs_once", reason)?;
    let mut links = Vec::new();
    let mut add_links = |dir: &str, wanted: &dyn Fn(&str) -> bool| {
        let Some(found) = root.tree().dir(dir) else {
            return;
        };
        let names = found.entries.keys().map(|name| show(name));
        links.extend(
            names
                .filter(|name| wanted(name))
                .map(|name| format!("{dir}/{name}")),
        );
    };
    for level in ["0", "1", "2", "3", "4", "5", "6", "S"] {
        add_links(&format!("/etc/rc{level}.d"), &|name| {
            name.ends_with("resize2fs_once")
        });
    }
    for target in [
        "multi-user",
        "sysinit",
        "basic",
        "local-fs",
        "first-boot-complete",
    ] {
        add_links(
            &format!("/etc/systemd/system/{target}.target.wants"),
            &|name| RESIZERS.contains(&name),
        );
    }
    for link in links {
        root.remove(link, reason)?;
    }
    Ok(())
}
