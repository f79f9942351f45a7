//! U-Boot's boot delay: while it waits, any byte on the serial line is a key for it, and it stops
//! at its prompt. A device that talks there (a modem, a receiver of positions) would keep it from
//! starting. A stored environment with `bootdelay=-2` makes it look for no key.
//!
//! ```text
//! 0 CRC-32 of all from byte 4 on, little endian    4 name=value NUL ... NUL    then zeros
//! ```
//! (`env_t` of U-Boot without redundancy.) U-Boot takes a stored environment in place of the one
//! that is built in, so all of that is in it. If the checksum or the size is not what U-Boot
//! expects, it takes its own, with the delay.

use crate::boot::uboot::environment::crc32;
use crate::boot::uboot::examine::{UBoot, examine};

/// The file of the boot partition.
pub(super) const PATH: &str = "/uboot.env";
/// The size of the environment in all builds for Raspberry Pis (`CONFIG_ENV_SIZE`).
const SIZE: usize = 0x4000;
/// No delay, and no look for a key.
const NONE: &str = "-2";

/// The environment of a U-Boot without the delay; `None` if the program does not show the one that
/// is built in, or that it reads the file.
pub(super) fn environment(uboot: &UBoot) -> Option<Vec<u8>> {
    if !uboot.stores_file || uboot.environment.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    for (name, value) in &uboot.environment {
        let value = if name == "bootdelay" { NONE } else { value };
        data.extend(format!("{name}={value}\0").bytes());
    }
    data.push(0);
    if data.len() > SIZE - 4 {
        return None;
    }
    data.resize(SIZE - 4, 0);
    Some([&crc32(&data).to_le_bytes()[..], &data].concat())
}

/// The file that makes the U-Boot in `program` look for no key.
#[must_use]
pub fn without_delay(program: &[u8]) -> Option<Vec<u8>> {
    environment(&examine(program)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\x0a\0\0\x14\0 U-Boot 2023.01 (date)\0uboot.env\0in 0x%lx. size()\0";
    const ENV: &[u8] = b"bootcmd=run x\0bootdelay=2\0baudrate=115200\0cpu=armv8\0x=a=b;\0\0\0%s";

    #[test]
    fn the_delay_is_the_only_difference() {
        let file = without_delay(&[HEAD, ENV].concat()).unwrap();
        assert_eq!(file.len(), SIZE);
        assert_eq!(file[..4], crc32(&file[4..]).to_le_bytes());
        let text = b"bootcmd=run x\0bootdelay=-2\0baudrate=115200\0cpu=armv8\0x=a=b;\0\0\0";
        assert_eq!(&file[4..4 + text.len()], text);
    }

    #[test]
    fn an_environment_that_is_not_certain_is_not_stored() {
        let without_file = [b"\x0a\0\0\x14\0 U-Boot 2023.01 (date)\0", ENV].concat();
        assert_eq!(without_delay(&without_file), None);
        assert_eq!(without_delay(HEAD), None);
        for other in [
            &b"bootdelay=2\0baudrate=115200\0\0"[..],
            b"bootcmd=run x\0bootdelay=2\0no entry\0baudrate=1\0\0",
            b"bootcmd=run x\0bootdelay=2\0baudrate=1\0",
            b"bootcmd=run x\0bootdelay=2\0\0baudrate=1\0\0",
        ] {
            assert_eq!(without_delay(&[HEAD, other].concat()), None, "{other:?}");
        }
        let long = format!(
            "bootcmd=a\0bootdelay=2\0baudrate=1\0x={}\0\0",
            "y".repeat(SIZE)
        );
        assert_eq!(without_delay(&[HEAD, long.as_bytes()].concat()), None);
    }
}
