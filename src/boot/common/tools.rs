//! The scripts of the device that write what a start depends on: the environment tools, one for
//! each way to keep the environment, and others, with the parts that they share.

use super::fill_template;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The parts that scripts share, by their names.
const PARTS: [(&str, &str); 2] = [
    (
        "bootenv-common.sh",
        include_str!("../../../configs/device/common/bootenv-common.sh"),
    ),
    (
        "flush.sh",
        include_str!("../../../configs/device/common/flush.sh"),
    ),
];

/// The script that is `grub-mender-grubenv-print` and `grub-mender-grubenv-set`.
#[must_use]
pub fn grubenv() -> String {
    with_parts(include_str!("../../../configs/device/grub/grubenv-tool.sh"))
}

/// The script that is `fw_printenv` and `fw_setenv`.
#[must_use]
pub fn uboot_env() -> String {
    with_parts(include_str!("../../../configs/device/u-boot/fw-env.sh"))
}

/// The script that is `fw_printenv` and `fw_setenv` where the firmware of a Raspberry Pi chooses
/// the slot.
#[must_use]
pub fn tryboot_env() -> String {
    with_parts(include_str!(
        "../../../configs/device/tryboot/tryboot-env.sh"
    ))
}

/// The same where each slot has a boot partition: functions of the script are replaced.
#[must_use]
pub fn tryboot_partitions_env() -> String {
    let script = tryboot_env();
    let part = include_str!("../../../configs/device/tryboot/partitions.sh");
    let body = part.split_once("\n\n").map_or(part, |(_, body)| body);
    let (functions, wanted) = script.split_once(WANTED).unwrap_or((&script, ""));
    format!("{functions}{body}\n{WANTED}{wanted}")
}

/// The line of a script from which on it does what is wanted of it.
const WANTED: &str = "case $me${1-} in\n";

/// The hook of kernel packages that keeps the names of the kernel current, for U-Boot.
#[must_use]
pub fn slot_env() -> String {
    with_parts(include_str!("../../../configs/device/u-boot/slot-env.sh"))
}

/// The part of `update-grub` that passes kernel arguments to the boot script.
#[must_use]
pub fn grub_hook() -> String {
    with_parts(include_str!("../../../configs/device/grub/42_mender"))
}

/// The script that makes SSH host keys.
#[must_use]
pub fn host_keys() -> String {
    with_parts(include_str!("../../../configs/device/common/host-keys.sh"))
}

/// The script that applies an imager's settings.
#[must_use]
pub fn imager_settings() -> String {
    with_parts(include_str!(
        "../../../configs/device/common/imager-settings.sh"
    ))
}

/// The script with the parts inlined that it names; the first lines of a part are for shellcheck.
fn with_parts(script: &str) -> String {
    PARTS.iter().fold(script.to_owned(), |text, (name, part)| {
        let body = part.split_once("\n\n").map_or(*part, |(_, body)| body);
        let here = format!(
            "# shellcheck source=configs/device/common/{name}\n. \"${{0%/*}}/../common/{name}\"\n"
        );
        text.replace(&here, body)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_replaced_before_anything_is_done() {
        let (script, text) = (tryboot_env(), tryboot_partitions_env());
        assert_eq!(script.matches(WANTED).count(), 1);
        let (functions, wanted) = script.split_once(WANTED).unwrap();
        assert!(text.starts_with(functions) && text.ends_with(wanted));
        assert!(text.len() > script.len() + 1000);
    }
}
