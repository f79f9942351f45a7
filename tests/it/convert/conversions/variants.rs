//! What each golden image is converted for: its family of devices, and what its conversion needs.

use crate::support::golden::any_release;
use goldsmith::platform::Architecture;

/// The family of devices that the golden images are converted for.
const CONFIGURATION: &str = r#"
[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "2 GiB"

[boot]
size = "64 MiB"

[root]
headroom = "50 %"

[data]
size = "128 MiB"

[client]
packages = ["client/*.deb"]
managed = false

[artifact]
compression = "gzip"

[output]
image = "raw"

[[overlay]]
dir = "patient"
"#;

/// What makes its systems wait for disks as long as it takes: emulated ones come late when the host
/// is busy.
pub(super) const PATIENT: [&str; 2] = [
    "patient/etc/systemd/system.conf.d/patient.conf",
    "[Manager]\nDefaultDeviceTimeoutSec=15min\n",
];

/// Between a system and its parted: udev looks at the data partition again and again while it
/// grows. The lock, descriptor 9, is not held any longer for that.
pub(super) const BUSY: [&str; 2] = [
    "patient/usr/local/sbin/parted",
    "#!/bin/sh
(
  n=0
  while [ $n -lt 60 ]; do
    /usr/bin/udevadm trigger --action=change /sys/class/block/vda4
    /usr/bin/sleep 0.05
    n=$((n + 1))
  done
) </dev/null >/dev/null 2>&1 9<&- &
exec /usr/sbin/parted \"$@\"
",
];

/// The configuration for the Raspberry Pi, whose golden image has the client already.
const PI_CONFIGURATION: &str = r#"
[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "1 GiB"
alignment = "4 MiB"
device = "/dev/mmcblk0"
"#;

/// The same for a board with a U-Boot of its own, whose golden image has no boot partition.
const U_BOOT_CONFIGURATION: &str = r#"
extends = ["DEVICE_TYPE"]

[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "768 MiB"
"#;

/// What both have besides: they start as far as the initial RAM disk.
const START_ONLY: &str = r#"
[root]
headroom = "10 %"
kernel-args = ["panic=-1"]

[data]
grow = false

[client]
managed = false
"#;

/// The device type of conversions of the golden image `variant`: that of a built-in board.
pub(crate) fn device_type(variant: &str) -> &'static str {
    match any_release(variant) {
        "arm64" => "qemuarm64-uefi",
        "arm64-u-boot" => "qemuarm64-uboot",
        "armhf" => "qemuarm-uefi",
        "i386" => "qemux86",
        "pi" => "raspberrypi3_64",
        "pi-system" => "raspberrypi3-64",
        "pi-armhf" => "raspberrypi3",
        "extlinux" | "extlinux-gpt" | "extlinux-raw" => "generic-u-boot-arm64",
        "extlinux-armhf" => "generic-u-boot-armhf",
        _ => "qemux86-64",
    }
}

/// The architecture of the golden image `variant`, one of those that hold a whole system.
pub(crate) fn architecture(variant: &str) -> Architecture {
    let name = match any_release(variant) {
        "pi-system" => "arm64",
        name => name.trim_end_matches("-u-boot"),
    };
    Architecture::ALL
        .into_iter()
        .find(|arch| arch.name() == name)
        .unwrap_or(Architecture::Amd64)
}

/// Whether its golden image has no more than what starting needs, and the client.
pub(super) fn is_small(variant: &str) -> bool {
    ["pi", "pi-armhf"].contains(&variant) || variant.starts_with("extlinux")
}

/// The configuration for it.
pub(super) fn configuration(variant: &str) -> String {
    match any_release(variant) {
        "pi" | "pi-armhf" => [PI_CONFIGURATION, START_ONLY].concat(),
        "arm64-u-boot" | "pi-system" => ["extends = [\"DEVICE_TYPE\"]\n", CONFIGURATION].concat(),
        "extlinux" | "extlinux-gpt" | "extlinux-raw" | "extlinux-armhf" => {
            [U_BOOT_CONFIGURATION, START_ONLY].concat()
        }
        _ => CONFIGURATION.into(),
    }
}

/// Settings that a variant needs besides its configuration.
pub(super) fn settings(variant: &str) -> &'static [&'static str] {
    match any_release(variant) {
        "rich" => &["--set", "storage.size=\"4 GiB\""],
        // Room for a kernel beside the old one, and for Artifacts on the data partition.
        "pi-system" => &[
            "--set",
            "boot.bootloader=\"u-boot\"",
            "--set",
            "storage.size=\"4 GiB\"",
            "--set",
            "boot.size=\"192 MiB\"",
            "--set",
            "root.headroom=\"90 %\"",
            "--set",
            "data.size=\"512 MiB\"",
        ],
        "extlinux-gpt" => &["--set", "storage.table=\"gpt\""],
        "extlinux-raw" => &[
            "--set",
            "boot.environment=\"raw\"",
            "--set",
            "storage.device=\"/dev/mmcblk0\"",
        ],
        _ => &[],
    }
}

/// The number of the root partition of a golden image.
pub(super) fn golden_root(variant: &str) -> u32 {
    match any_release(variant) {
        "cloud" | "extlinux" => 1,
        "mbr" => 5,
        _ => 2,
    }
}
