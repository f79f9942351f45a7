//! Values of variables as values of keys.

use crate::config::quoted;
use crate::mender_convert::{Rule, Unit};

/// A value for a key, in TOML; `None` where the empty value means "not set"; or why the value is
/// not one that mender-convert understands: a lower-case fact.
pub(super) type Converted = Result<Option<String>, String>;

/// Converts a value by a rule with one key.
pub(super) fn convert(rule: &Rule, value: &str) -> Converted {
    let value = value.trim();
    match rule {
        _ if value.is_empty() => Ok(None),
        Rule::Size(_, unit) => number(value).map(|number| Some(quoted(&size(number, *unit)))),
        Rule::YesNo(_) => Ok(Some((value == "y").to_string())),
        Rule::Text(_) => Ok(Some(quoted(value))),
        Rule::Words(_) => {
            let words: Vec<String> = value.split_whitespace().map(quoted).collect();
            Ok(Some(format!("[{}]", words.join(", "))))
        }
        Rule::Number(_) => number(value).map(|number| Some(number.to_string())),
        Rule::Choice(_, words) => match words.iter().find(|(from, _)| *from == value) {
            Some((_, to)) => Ok(Some(quoted(to))),
            None => {
                let known: Vec<&str> = words.iter().map(|(from, _)| *from).collect();
                Err(format!("`{value}` is not one of {}", known.join(", ")))
            }
        },
        Rule::Combined(_) | Rule::Automatic | Rule::Nothing => Ok(None),
    }
}

/// A whole number.
pub(super) fn number(value: &str) -> Result<u64, String> {
    let digits = value.trim();
    digits
        .parse()
        .map_err(|_| format!("`{value}` is not a whole number"))
}

/// A size with the largest unit that needs no fraction.
pub(super) fn size(number: u64, unit: Unit) -> String {
    let factor = match unit {
        Unit::Bytes => 1,
        Unit::Kib => 1 << 10,
        Unit::Mib => 1 << 20,
    };
    let Some(bytes) = number.checked_mul(factor).filter(|bytes| *bytes > 0) else {
        return match unit {
            Unit::Bytes => format!("{number} B"),
            Unit::Kib => format!("{number} KiB"),
            Unit::Mib => format!("{number} MiB"),
        };
    };
    let units = [
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1, "B"),
    ];
    let fits = units.iter().find(|(size, _)| bytes.is_multiple_of(*size));
    let (size, name) = fits.copied().unwrap_or((1, "B"));
    format!("{} {name}", bytes / size)
}

/// The percentage of headroom for a factor of the size of the files; 0 for factors up to 1.
pub(super) fn percent(factor: &str) -> Result<u64, String> {
    let wrong = || format!("`{factor}` is not a factor such as 1.5");
    let text = factor.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || text == "." || fraction.len() > 9 {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| wrong())?
    };
    let digits = format!("{fraction:0<3}");
    let hundredths: u64 = digits[..2].parse().map_err(|_| wrong())?;
    let more = u64::from(digits[2..].bytes().any(|digit| digit != b'0'));
    let all = whole
        .checked_mul(100)
        .and_then(|all| all.checked_add(hundredths + more));
    Ok(all.ok_or_else(wrong)?.saturating_sub(100))
}

/// A partition of a Linux device: the disk, and the number; `None` for other paths.
pub(super) fn partition(path: &str) -> Option<(String, u32)> {
    let stem = path.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = path[stem.len()..].parse().ok()?;
    Some((disk(stem), number))
}

/// The disk of a device path without its number: `/dev/mmcblk0p` is `/dev/mmcblk0`.
pub(super) fn disk(base: &str) -> String {
    let without = base
        .strip_suffix('p')
        .filter(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
    without.unwrap_or(base).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_get_units() {
        assert_eq!(size(8192, Unit::Mib), "8 GiB");
        assert_eq!(size(7534, Unit::Mib), "7534 MiB");
        assert_eq!(size(4_194_304, Unit::Bytes), "4 MiB");
        assert_eq!(size(1_048_577, Unit::Bytes), "1048577 B");
        assert_eq!(size(512_000, Unit::Kib), "500 MiB");
        assert_eq!(size(u64::MAX, Unit::Mib), "18446744073709551615 MiB");
        assert_eq!(size(0, Unit::Mib), "0 MiB");
    }

    #[test]
    fn factors_become_percentages_that_are_not_smaller() {
        for (factor, expected) in [
            ("1.5", 50),
            ("1.0", 0),
            ("1", 0),
            ("0.5", 0),
            ("2", 100),
            ("1.255", 26),
            ("1.001", 1),
            (".5", 0),
        ] {
            assert_eq!(percent(factor), Ok(expected), "{factor}");
        }
        for wrong in ["x", "", "1,5", ".", "-1", "1.5.5"] {
            assert!(percent(wrong).is_err() || wrong.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn partitions_have_a_disk_and_a_number() {
        let found = |path| partition(path).map(|(disk, number)| format!("{disk} {number}"));
        assert_eq!(found("/dev/mmcblk0p2").as_deref(), Some("/dev/mmcblk0 2"));
        assert_eq!(found("/dev/sda12").as_deref(), Some("/dev/sda 12"));
        assert_eq!(found("/dev/nvme0n1p3").as_deref(), Some("/dev/nvme0n1 3"));
        assert_eq!(found("/dev/sda"), None);
        assert_eq!(disk("/dev/sda"), "/dev/sda");
        assert_eq!(disk("/dev/mmcblk1p"), "/dev/mmcblk1");
    }

    #[test]
    fn words_are_converted_and_unknown_ones_named() {
        let rule = Rule::Choice("output.image", &[("gzip", "gz"), ("none", "raw")]);
        assert_eq!(convert(&rule, "gzip"), Ok(Some("\"gz\"".into())));
        assert_eq!(convert(&rule, ""), Ok(None));
        assert_eq!(
            convert(&rule, "7z"),
            Err("`7z` is not one of gzip, none".into())
        );
        assert_eq!(
            convert(&Rule::Words("x"), " a  \"b "),
            Ok(Some("[\"a\", '\"b']".into()))
        );
        assert_eq!(convert(&Rule::YesNo("x"), "yes"), Ok(Some("false".into())));
        assert_eq!(
            convert(&Rule::Number("x"), "1x"),
            Err("`1x` is not a whole number".into())
        );
    }
}
