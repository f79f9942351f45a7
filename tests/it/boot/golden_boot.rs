//! The golden images themselves: what is to be converted must be worth it.

use crate::support::golden::golden;
use crate::support::qemu::{Board, Firmware};

/// Boots the image `variant` and looks around.
fn boots(variant: &str, firmware: Firmware) {
    let Some(image) = golden(variant) else { return };
    let Some(board) = Board::new(
        &format!("golden-{variant}-{firmware:?}"),
        &image,
        None,
        firmware,
    ) else {
        return;
    };
    let mut machine = board.power_on();
    machine.shell();
    assert_eq!(machine.must("cat /etc/release-marker"), "1\n");
    assert_eq!(machine.must("systemctl --failed --no-legend"), "");
    let secure = machine.must("od -An -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    assert_eq!(secure.trim() == "1", firmware.is_secure());
    machine.power_off();
}

/// The golden image `mini-trixie` starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_mini() {
    boots("mini-trixie", Firmware::Uefi);
}

/// The golden image `mini-trixie` starts under Secure Boot.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_mini_under_secure_boot() {
    boots("mini-trixie", Firmware::SecureBoot);
}

/// The golden image `cloud-trixie` starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_cloud() {
    boots("cloud-trixie", Firmware::Uefi);
}

/// The golden image `mini` of Debian 12 starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_mini_of_debian_12() {
    boots("mini", Firmware::Uefi);
}

/// The golden image `mini` of Debian 12 starts under Secure Boot.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_mini_of_debian_12_under_secure_boot() {
    boots("mini", Firmware::SecureBoot);
}

/// The golden image `cloud` of Debian 12 starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_cloud_of_debian_12() {
    boots("cloud", Firmware::Uefi);
}

/// The golden image `mbr` starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_mbr() {
    boots("mbr", Firmware::Uefi);
}

/// The golden image `arm64` starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_arm64() {
    boots("arm64", Firmware::ArmUefi);
}

/// The golden image `rich` starts unchanged.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_golden_rich() {
    boots("rich", Firmware::Uefi);
}
