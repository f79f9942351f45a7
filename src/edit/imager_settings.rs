//! Settings that an imager leaves for the first start as a script: each root filesystem applies
//! them once, so that an update has the users and networks of the device.

use super::Workspace;
use crate::boot::common::tools;
use crate::golden::bootloader::is_raspberry_pi;
use crate::golden::facts;
use crate::tree::edit::EditError;

const REASON: &str = "what an imager sets at the first start counts in each root filesystem";
const SCRIPT: &str = "/usr/lib/goldsmith/imager-settings";
const UNIT: &str = "/etc/systemd/system/mender-imager-settings.service";
const LINK: &str = "/etc/systemd/system/multi-user.target.wants/mender-imager-settings.service";

/// Has each root filesystem run the script, where the system is made for one.
pub(super) fn arrange(work: &mut Workspace<'_>, boot_mount: &str) -> Result<(), EditError> {
    let is_for_one =
        is_raspberry_pi(work.boot.tree()) && facts::takes_imager_script(work.root.tree())?;
    if !is_for_one {
        return Ok(());
    }
    let unit = include_str!("../../configs/device/common/mender-imager-settings.service")
        .replace("@BOOT_MOUNT@", boot_mount)
        .replace("@PROGRAM@", SCRIPT);
    let root = &mut work.root;
    root.file(SCRIPT, tools::imager_settings(), 0o755, REASON)?;
    root.file(UNIT, unit, 0o644, REASON)?;
    root.symlink(LINK, "../mender-imager-settings.service", REASON)?;
    work.notes.push(format!(
        "settings of Raspberry Pi Imager ({boot_mount}/firstrun.sh): each root filesystem applies them once; \
         the script is kept in /data/imager"
    ));
    Ok(())
}
