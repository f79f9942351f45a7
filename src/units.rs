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

/// A number with what it counts, such as `1 error` and `2 errors`.
#[must_use]
pub fn counted(count: impl std::fmt::Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let what = if count == "1" { one } else { many };
    format!("{count} {what}")
}

/// A size for messages: exact (`8 GiB`, `66 MiB`, `512 B`) where a binary unit divides it, else
/// rounded to one decimal (`1.4 GiB`).
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    for (at, (unit, name)) in UNITS.into_iter().enumerate() {
        if bytes < unit {
            continue;
        }
        if bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
        let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
        return match at.checked_sub(1).and_then(|larger| UNITS.get(larger)) {
            // Rounded up to the next unit.
            Some((_, larger)) if tenths >= 10_240 => format!("1.0 {larger}"),
            _ => format!("{}.{} {name}", tenths / 10, tenths % 10),
        };
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

/// The number of bytes in a unit of size.
fn scale(unit: &str) -> Result<u64, String> {
    Ok(match unit {
        "" | "B" => 1,
        "KiB" | "K" => KIB,
        "MiB" | "M" => MIB,
        "GiB" | "G" => GIB,
        "TiB" | "T" => TIB,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "%" => {
            return Err(
                "a size has no percentage; write it with a unit, such as `2 GiB`".to_owned(),
            );
        }
        _ if unit.starts_with('-') => {
            return Err(format!("`{unit}` is negative, and a size is not"));
        }
        _ => {
            let meant = meant(unit).map(|unit| format!(": did you mean {unit}?"));
            return Err(format!(
                "`{unit}` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB){}",
                meant.unwrap_or_default()
            ));
        }
    })
}

/// The unit that a text in other letters means: `gib`, `g`, `GBytes`, `mebibytes`.
fn meant(unit: &str) -> Option<&'static str> {
    let lower = unit.to_ascii_lowercase();
    let binary = [
        ("kibibyte", "KiB"),
        ("mebibyte", "MiB"),
        ("gibibyte", "GiB"),
        ("tebibyte", "TiB"),
    ];
    let decimal = [
        ("kilobyte", "kB"),
        ("megabyte", "MB"),
        ("gigabyte", "GB"),
        ("terabyte", "TB"),
    ];
    let word = lower.strip_suffix('s').unwrap_or(&lower);
    let named = binary
        .iter()
        .chain(&decimal)
        .find(|(name, _)| *name == word);
    if let Some((_, unit)) = named {
        return Some(unit);
    }
    let position = "kmgt".find(lower.chars().next()?)?;
    let (_, unit) = match lower.get(1..)? {
        "" | "i" | "ib" | "ibs" | "ibyte" | "ibytes" => binary.get(position)?,
        "b" | "bs" | "byte" | "bytes" => decimal.get(position)?,
        _ => return None,
    };
    Some(unit)
}

/// Parses a size: `8 GiB`, `64MiB`, `4096`, `512 B`, `1.5 GiB`, also decimal `8
/// GB`, `64 MB`, `10 kB`. Only units have fractions.
///
/// # Errors
/// A message that quotes `text` and says what is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let scale = scale(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err(format!(
            "`{text}` is not a size (a number and a unit, such as `64 MiB`)"
        ));
    }
    if scale == 1 && number.contains('.') {
        return Err(format!(
            "`{text}` has a fraction of a byte: write a unit, as in `{number} GiB`"
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

/// The number that `text` is, if it is a whole number without a unit.
#[must_use]
pub fn bare(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Checks a number without a unit: bytes are meant only if it is 0 or at least `smallest`.
///
/// # Errors
/// What it is in bytes, and what may be meant.
pub fn bytes_are_meant(number: u64, smallest: u64) -> Result<(), String> {
    if number == 0 || number >= smallest {
        return Ok(());
    }
    let unit = [("KiB", KIB), ("MiB", MIB), ("GiB", GIB)]
        .into_iter()
        .find(|(_, unit)| number.saturating_mul(*unit) >= smallest)
        .filter(|_| number < TIB);
    // Half of the units that people leave out are MiB.
    let (name, unit) = match unit {
        Some(("KiB", _)) if smallest > KIB && number < MIB => ("MiB", MIB),
        Some(unit) => unit,
        None => ("MiB", MIB),
    };
    let bytes = human(number);
    let exact = if number == 1 {
        "1 byte".to_owned()
    } else if bytes == format!("{number} B") {
        format!("{number} bytes")
    } else {
        format!("{number} bytes ({bytes})")
    };
    let other = format!("{number} {name}");
    let same = human(number.saturating_mul(unit));
    let other = if same == other || number >= TIB {
        format!("`{other}`")
    } else {
        format!("`{other}` ({same})")
    };
    Err(format!(
        "{number} without a unit is {exact}: write {other} if that is meant, or `{number} B`"
    ))
}

/// Parses the size of a disk, partition, filesystem or cache; a number without a unit must be one
/// that can be meant in bytes.
///
/// # Errors
/// As [`parse_size`] and [`bytes_are_meant`].
pub fn parse_large_size(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if let Some(number) = bare(text) {
        bytes_are_meant(number, MIB)?;
    }
    Ok(size)
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
    fn one_is_not_many() {
        let counts = [0, 1, 2].map(|count| counted(count, "entry", "entries"));
        assert_eq!(counts, ["0 entries", "1 entry", "2 entries"]);
    }

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
        assert_eq!(human(2 * GIB - 1), "2.0 GiB");
        assert_eq!(human(GIB - 1), "1.0 GiB");
        assert_eq!(human(MIB + 60 * KIB), "1.1 MiB");
        assert_eq!(human(511), "511 B");
    }

    proptest::proptest! {
        #[test]
        fn a_size_shown_is_the_nearest_in_its_unit(bits in 0_u32..64, low in 0_u64..=u64::MAX) {
            let bytes = low >> bits;
            let shown = human(bytes);
            let (number, unit) = shown.split_once(' ').unwrap();
            let tenths: u128 = match number.split_once('.') {
                Some((whole, tenth)) => format!("{whole}{tenth}").parse().unwrap(),
                None => number.parse::<u128>().unwrap() * 10,
            };
            let unit = u128::from(scale(unit).unwrap());
            let error = (tenths * unit).abs_diff(u128::from(bytes) * 10);
            // Half of a tenth; just below a larger unit, half of a tenth of the smaller one more.
            proptest::prop_assert!(error * 2 <= unit, "{bytes} is shown as {shown}");
            proptest::prop_assert_eq!(!number.contains('.'), error == 0 && !number.contains('.'));
            proptest::prop_assert!(number.split('.').next().unwrap().len() <= 4 || bytes >= 10_000 * TIB);
        }
    }

    #[test]
    fn a_number_that_cannot_be_bytes_is_shown_both_ways() {
        for (number, smallest, expected) in [
            (
                8192,
                64 * MIB,
                "8192 without a unit is 8192 bytes (8 KiB): write `8192 MiB` (8 GiB) if that is meant, or `8192 B`",
            ),
            (
                8,
                64 * MIB,
                "8 without a unit is 8 bytes: write `8 GiB` if that is meant, or `8 B`",
            ),
            (
                128,
                MIB,
                "128 without a unit is 128 bytes: write `128 MiB` if that is meant, or `128 B`",
            ),
            (
                8_388_608,
                64 * MIB,
                "8388608 without a unit is 8388608 bytes (8 MiB): write `8388608 KiB` (8 GiB) if that is meant, or `8388608 B`",
            ),
            (
                16,
                SECTOR,
                "16 without a unit is 16 bytes: write `16 KiB` if that is meant, or `16 B`",
            ),
        ] {
            assert_eq!(bytes_are_meant(number, smallest).unwrap_err(), expected);
        }
        assert!(bytes_are_meant(0, MIB).is_ok());
        assert!(bytes_are_meant(8 * GIB, 64 * MIB).is_ok());
        assert!(bytes_are_meant(16_384, SECTOR).is_ok());
        assert!(parse_large_size("64").is_err() && parse_large_size("64 B").is_ok());
        assert!(parse_size("1.5").is_err() && parse_size("1.5 B").is_err());
    }
}
