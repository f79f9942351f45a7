//! The environment tools of the device: one shell script for each way to keep the environment, and
//! a part that both share.

use super::fill_template;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The part that both scripts share.
const COMMON: &str = include_str!("../../../configs/device/common/bootenv-common.sh");

/// The script that is `grub-mender-grubenv-print` and `grub-mender-grubenv-set`.
#[must_use]
pub fn grubenv() -> String {
    with_common(include_str!("../../../configs/device/grub/grubenv-tool.sh"))
}

/// The script that is `fw_printenv` and `fw_setenv`.
#[must_use]
pub fn uboot_env() -> String {
    with_common(include_str!("../../../configs/device/u-boot/fw-env.sh"))
}

/// The script that is `fw_printenv` and `fw_setenv` where the firmware of a Raspberry Pi chooses
/// the slot.
#[must_use]
pub fn tryboot_env() -> String {
    with_common(include_str!(
        "../../../configs/device/tryboot/tryboot-env.sh"
    ))
}

/// The script with the common part inlined; the first lines of that are for shellcheck.
fn with_common(script: &str) -> String {
    let body = COMMON.split_once("\n\n").map_or(COMMON, |(_, body)| body);
    let here = "# shellcheck source=configs/device/common/bootenv-common.sh\n. \"${0%/*}/../common/bootenv-common.sh\"\n";
    script.replace(here, body)
}

/// Installs the unit `name`, which runs `program --finish-boot` once for each boot. Without systemd
/// nothing is installed.
pub(in crate::boot) fn finish_on_boot(
    root: &mut TreeEditor<'_>,
    name: &str,
    program: &str,
    mount: &str,
) -> Result<(), EditError> {
    if !["/lib/systemd/systemd", "/usr/lib/systemd/systemd"]
        .iter()
        .any(|path| root.tree().file(path).is_some())
    {
        return Ok(());
    }
    let reason = "mends the boot environment once for each boot";
    let unit = include_str!("../../../configs/device/common/mender-bootenv.service");
    let path = format!("/etc/systemd/system/{name}.service");
    root.file(
        &path,
        fill_template(unit, &[("@BOOT_MOUNT@", mount), ("@PROGRAM@", program)]),
        0o644,
        reason,
    )?;
    root.symlink(
        format!("/etc/systemd/system/multi-user.target.wants/{name}.service"),
        path,
        reason,
    )?;
    Ok(())
}
