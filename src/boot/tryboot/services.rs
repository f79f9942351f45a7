//! Services and hooks of Raspberry Pi OS and of Debian's firmware package that conflict with A/B.

use super::options::TrybootOptions;
use crate::boot::common::TEXT_LIMIT;
use crate::boot::common::divert::divert;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The hooks that copy kernels to the top of the boot partition, where nothing starts from.
const HOOKS: [&str; 3] = [
    "/etc/kernel/postinst.d/z50-raspi-firmware",
    "/etc/kernel/postrm.d/z50-raspi-firmware",
    "/etc/initramfs/post-update.d/z50-raspi-firmware",
];

/// Makes the system leave disk and boot partition alone, and watch itself.
pub(super) fn arrange(
    root: &mut TreeEditor<'_>,
    options: &TrybootOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let has_unit = |root: &TreeEditor<'_>, name: &str| {
        ["/lib", "/usr/lib"].iter().any(|dir| {
            let path = format!("{dir}/systemd/system/{name}");
            root.tree().find(path).is_some()
        })
    };
    if has_unit(root, "udisks2.service") {
        root.symlink(
            "/etc/systemd/system/udisks2.service",
            "/dev/null",
            "it would mount the slot that does not run",
        )?;
    }
    if has_unit(root, "rpi-eeprom-update.service") {
        let reason = "the boot loader in the board's memory has no second copy to go back to";
        root.symlink(
            "/etc/systemd/system/rpi-eeprom-update.service",
            "/dev/null",
            reason,
        )?;
        notes.push(format!(
            "rpi-eeprom-update.service is masked: {reason}; its update would also take the place of \
             a trial. Run rpi-eeprom-update -a where that is wanted"
        ));
    }
    let mut diverted = false;
    for hook in HOOKS {
        let text = root.read(hook, TEXT_LIMIT)?.unwrap_or_default();
        if !text.is_empty() {
            let reason = "it would fill the boot partition with files that nothing starts: \
                          diverted as dpkg-divert does";
            notes.extend(divert(root, hook, reason)?);
            diverted = true;
        }
    }
    if diverted {
        notes.push(
            "hooks of raspi-firmware are diverted: zz-mender copies new kernels to a directory of \
             the running slot instead"
                .into(),
        );
    }
    if root.tree().file("/usr/bin/rpi-update").is_some() {
        notes.push(
            "rpi-update is in the image: it writes kernels to the top of the boot partition, where \
             nothing starts from; use packages"
                .into(),
        );
    }
    let firmware = match options.partitions {
        Some(_) => "come with each update",
        None => "shared by both slots; packages replace them as before",
    };
    let verb = if options.partitions.is_some() {
        ""
    } else {
        "are "
    };
    notes.push(format!(
        "config.txt and cmdline.txt in {} are the device's own: updates keep them. A change of \
         cmdline.txt counts from the second start on. start*.elf, fixup*.dat and bootcode.bin \
         {verb}{firmware}",
        options.boot_mount
    ));
    watchdog(root)
}

/// Systemd resets a system that hangs, unless the image says something of it.
fn watchdog(root: &mut TreeEditor<'_>) -> Result<(), EditError> {
    let mut files = vec!["/etc/systemd/system.conf".to_owned()];
    for dir in [
        "/etc/systemd/system.conf.d",
        "/usr/lib/systemd/system.conf.d",
        "/lib/systemd/system.conf.d",
    ] {
        let names = crate::boot::common::file_names(root.tree(), dir);
        files.extend(names.iter().map(|name| format!("{dir}/{name}")));
    }
    for file in files {
        let text = root.read(&file, TEXT_LIMIT)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        if text
            .lines()
            .any(|line| line.trim_start().starts_with("RuntimeWatchdogSec="))
        {
            return Ok(());
        }
    }
    root.file(
        "/etc/systemd/system.conf.d/50-mender-watchdog.conf",
        "# A system that hangs is reset; during the trial of an update the committed slot starts \
         then.\n[Manager]\nRuntimeWatchdogSec=1min\n",
        0o644,
        "a system that hangs is reset, so that the trial of an update ends",
    )
}

/// Diverts a program of a package, and makes its path a link to ours.
pub(super) fn divert_to(
    root: &mut TreeEditor<'_>,
    path: &str,
    target: &str,
) -> Result<(), EditError> {
    if root.tree().find_nofollow(path).is_some() {
        let reason = "the update client would use it instead of ours: diverted as dpkg-divert does";
        divert(root, path, reason)?;
        root.symlink(path, target, reason)?;
    }
    Ok(())
}
