//! Sizes and positions: rounding, overflow, and sizes as text.
//!
//! A plain `u64` named `offset`, `len` or `size` is in bytes everywhere in this crate; positions in
//! sectors have a type of their own, [`Lba`], which counts 512-byte sectors.

use std::fmt;

/// Bytes in a sector, the unit of partition tables (this program writes 512-byte-sector disks
/// only).
pub const SECTOR: u64 = 512;
/// Bytes in a kibibyte.
pub const KIB: u64 = 1 << 10;
/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;
/// Bytes in a gibibyte.
pub const GIB: u64 = 1 << 30;

/// Bytes in a tebibyte.
pub const TIB: u64 = 1 << 40;

/// A position or length on a disk in 512-byte sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl Lba {
    /// The sector that starts at `offset` bytes; a part of a sector is dropped.
    #[must_use]
    pub fn from_bytes(offset: u64) -> Self {
        Self(offset / SECTOR)
    }

    /// The position in bytes; saturates at `u64::MAX`, which no disk reaches.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(SECTOR)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `value` rounded up to a multiple of `step` (`step` > 0); saturates at the largest multiple.
#[must_use]
pub fn align_up(value: u64, step: u64) -> u64 {
    let rest = value % step;
    if rest == 0 {
        value
    } else {
        value
            .checked_add(step - rest)
            .unwrap_or(u64::MAX - u64::MAX % step)
    }
}

/// `value` rounded down to a multiple of `step` (`step` > 0).
#[must_use]
pub fn align_down(value: u64, step: u64) -> u64 {
    value - value % step
}

/// A size for messages: exact (`8 GiB`, `66 MiB`, `512 B`) where a binary unit divides it, else one
/// decimal (`1.4 GiB`).
#[must_use]
pub fn human(bytes: u64) -> String {
    for (unit, name) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit {
            let whole = bytes / unit;
            if bytes.is_multiple_of(unit) {
                return format!("{whole} {name}");
            }
            let tenths = (u128::from(bytes) * 10 / u128::from(unit)) % 10;
            return format!("{whole}.{tenths} {name}");
        }
    }
    format!("{bytes} B")
}

/// A short size for hints: at least `bytes`, rounded up to whole MiB, and accepted by
/// [`parse_size`].
#[must_use]
pub fn enough(bytes: u64) -> String {
    let rounded = align_up(bytes, MIB);
    if rounded >= GIB && rounded.is_multiple_of(GIB) {
        format!("{} GiB", rounded / GIB)
    } else {
        format!("{} MiB", rounded / MIB)
    }
}

/// Parses a size: `8 GiB`, `64MiB`, `4096`, `512 B`, `1.5 GiB`, also decimal `8
/// GB`, `64 MB`, `10 kB`.
///
/// # Errors
/// A message that quotes `text` and says what is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" => KIB,
        "MiB" | "M" => MIB,
        "GiB" | "G" => GIB,
        "TiB" | "T" => GIB << 10,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => {
            return Err(format!(
                "`{unit}` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"
            ));
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err(format!(
            "`{text}` is not a size (a number and a unit, such as `64 MiB`)"
        ));
    }
    let too_large = || format!("`{text}` is too large");
    let mut bytes = whole
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(too_large)?;
    if !fraction.is_empty() {
        let parts: u128 = fraction
            .parse()
            .map_err(|_| format!("`{text}` is not a size"))?;
        let add =
            parts * u128::from(scale) / 10u128.pow(u32::try_from(fraction.len()).unwrap_or(9));
        bytes = u64::try_from(add)
            .ok()
            .and_then(|add| bytes.checked_add(add))
            .ok_or_else(too_large)?;
    }
    Ok(bytes)
}

/// A length in memory as a 64-bit number; lossless, because `usize` has at most 64 bits.
#[must_use]
pub const fn len_u64(len: usize) -> u64 {
    len as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_enough_is_enough() {
        for bytes in [
            0,
            1,
            MIB,
            MIB + 1,
            GIB - 1,
            GIB,
            8 * GIB + 16 * MIB,
            5 * GIB + 1,
        ] {
            let said = parse_size(&enough(bytes)).unwrap();
            assert!(said >= bytes && said - bytes < MIB, "{bytes}");
        }
        assert_eq!(
            (enough(8200 * MIB), enough(9 * GIB)),
            ("8200 MiB".into(), "9 GiB".into())
        );
    }

    #[test]
    fn rounding() {
        assert_eq!(align_up(0, 8), 0);
        assert_eq!(align_up(1, 8), 8);
        assert_eq!(align_up(u64::MAX, 8), u64::MAX - 7);
        assert_eq!(align_down(15, 8), 8);
    }

    #[test]
    fn sizes_read_and_shown() {
        assert_eq!(parse_size("8 GiB"), Ok(8 * GIB));
        assert_eq!(parse_size("64MiB"), Ok(64 * MIB));
        assert_eq!(parse_size("1.5 GiB"), Ok(GIB + GIB / 2));
        assert_eq!(parse_size("16 MB"), Ok(16_000_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        for bad in ["", "x", "8 GiBs", "1.2.3 MiB", "99999999999 TiB", "-1 MiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(human(8 * GIB), "8 GiB");
        assert_eq!(human(GIB + 410 * MIB), "1.4 GiB");
        assert_eq!(human(511), "511 B");
    }
}
