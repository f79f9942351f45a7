//! The built-in boards.

/// The text of each board of this list, under its name.
macro_rules! boards {
    ($($name:literal)+) => {
        /// Name and text of each, sorted by name.
        const BOARDS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../configs/boards/", $name, ".toml")))),+];
    };
}

boards! {
    "beaglebone"
    "comfile-pi"
    "generic-arm64"
    "generic-armhf"
    "generic-u-boot-arm64"
    "generic-u-boot-armhf"
    "generic-x86"
    "generic-x86-64"
    "qemuarm-uefi"
    "qemuarm64-uboot"
    "qemuarm64-uefi"
    "qemux86"
    "qemux86-64"
    "raspberrypi0-2w"
    "raspberrypi0-2w-64"
    "raspberrypi0w"
    "raspberrypi3"
    "raspberrypi3-64"
    "raspberrypi4"
    "raspberrypi4-64"
    "raspberrypi5-64"
    "rock64"
    "rockpro64"
}

/// The names of all built-in boards, sorted.
pub fn boards() -> impl Iterator<Item = &'static str> {
    BOARDS.iter().map(|(name, _)| *name)
}

/// The configuration of the built-in board `name`, as TOML.
#[must_use]
pub fn board(name: &str) -> Option<&'static str> {
    BOARDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}
