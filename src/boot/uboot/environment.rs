//! U-Boot's redundant environment, and the two files that keep it on the boot partition.
//!
//! ```text
//! 0 CRC-32 of all from byte 5 on, little endian    4 serial number modulo 256    5 name=value NUL ... NUL    then zeros
//! ```
//! (`include/env_internal.h` of U-Boot, `env_t` with `CONFIG_SYS_REDUNDAND_ENVIRONMENT`.) Each file
//! is in a directory of its own, so that damage to one sector of a directory takes no more than
//! one.

use std::collections::BTreeMap;

/// The files on the boot partition.
pub const FILES: [&str; 2] = ["/mender/env1/uboot.env", "/mender/env2/uboot.env"];
/// The length of a copy (bytes).
pub const SIZE: usize = 0x1000;
/// Where the variables begin (bytes).
const HEAD: usize = 5;

/// The variables need this many bytes, more than a copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variables of {0} bytes do not fit into a copy of the boot environment")]
pub struct TooLong(pub usize);

/// CRC-32 as zlib computes it.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A copy of `size` bytes with these variables, in the order of their names.
///
/// # Errors
/// [`TooLong`].
pub fn encode(
    serial: u8,
    variables: &BTreeMap<String, String>,
    size: usize,
) -> Result<Vec<u8>, TooLong> {
    let mut out = vec![0; HEAD - 1];
    out.push(serial);
    for (name, value) in variables {
        out.extend(format!("{name}={value}\0").bytes());
    }
    out.push(0);
    if out.len() > size {
        return Err(TooLong(out.len()));
    }
    out.resize(size, 0);
    let checksum = crc32(&out[HEAD..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// The serial number and the variables of a copy; `None` when its checksum is wrong.
#[must_use]
pub fn decode(copy: &[u8]) -> Option<(u8, BTreeMap<String, String>)> {
    let checksum = u32::from_le_bytes(copy.get(..4)?.try_into().ok()?);
    let data = copy.get(HEAD..).filter(|data| crc32(data) == checksum)?;
    let entries = data
        .split(|byte| *byte == 0)
        .take_while(|entry| !entry.is_empty());
    let variables = entries.filter_map(|entry| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Some((copy[4], variables.collect()))
}

/// The variables of a device that starts partition `part`.
#[must_use]
pub fn committed(part: u32) -> BTreeMap<String, String> {
    let values = [
        ("bootcount", "0".to_owned()),
        ("mender_boot_part", part.to_string()),
        ("mender_boot_part_hex", format!("{part:x}")),
        ("upgrade_available", "0".to_owned()),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Both copies of a new environment that starts partition `part`.
#[must_use]
pub fn factory(part: u32) -> [Vec<u8>; 2] {
    [0, 1].map(|serial| encode(serial, &committed(part), SIZE).expect("a few short variables fit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(&[0]), 0xd202_ef8d);
    }

    #[test]
    fn a_copy_is_laid_out_as_the_format_says() {
        let copy = &factory(10)[1];
        assert_eq!((copy.len(), copy[4]), (SIZE, 1));
        let text =
            b"bootcount=0\0mender_boot_part=10\0mender_boot_part_hex=a\0upgrade_available=0\0\0\0";
        assert_eq!(&copy[5..5 + text.len()], text);
        assert_eq!(decode(copy), Some((1, committed(10))));
        let mut torn = copy.clone();
        torn[SIZE - 1] = 1;
        assert_eq!(decode(&torn), None);
        assert_eq!(decode(&[0; SIZE]), None);
        assert_eq!(decode(b"x"), None);
        let long = [("x".to_owned(), "y".repeat(SIZE))].into();
        assert_eq!(encode(0, &long, SIZE), Err(TooLong(SIZE + 9)));
    }
}
