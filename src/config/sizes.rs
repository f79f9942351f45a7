//! The types of value that are sizes: numbers of bytes with a unit, percentages, and words.

use super::keys::{Form, Shape, ValueType, invalid, parsed};
use super::node::{Node, Value};
use crate::problem::Problems;
use crate::units;

/// A size in bytes. A number without a unit must be one that can be meant in bytes: at least
/// `SMALLEST`.
pub(super) struct Size<const SMALLEST: u64>;

impl<const SMALLEST: u64> ValueType for Size<SMALLEST> {
    type Output = u64;

    fn shape() -> Shape {
        Shape::Plain("size".into())
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u64> {
        let size = match &node.value {
            Value::Integer(bytes) => {
                let size = u64::try_from(*bytes);
                size.map_err(|_| invalid(node, at, &format!("{bytes} is negative"), None, problems))
                    .ok()?
            }
            _ => parsed(node, at, "a size", problems, units::parse_size)?,
        };
        if let Some(number) = bare(node)
            && let Err(what) = units::bytes_are_meant(number, SMALLEST)
        {
            invalid(node, at, &what, None, problems);
            return None;
        }
        Some(size)
    }
}

/// The number that is written without a unit, as a number or as a string.
fn bare(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => units::bare(text),
        _ => None,
    }
}

/// An offset on the disk in bytes.
pub(super) struct Offset;

impl ValueType for Offset {
    type Output = u64;

    fn shape() -> Shape {
        Shape::Plain("size, or a number of sectors of 512 bytes such as `\"64 s\"`".into())
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u64> {
        let sectors = match &node.value {
            Value::String(text) => text
                .trim()
                .strip_suffix('s')
                .map(str::trim)
                .filter(|n| n.bytes().all(|b| b.is_ascii_digit())),
            _ => None,
        };
        let Some(number) = sectors else {
            let within_first = |number: &u64| (1..units::SECTOR).contains(number);
            if let Some(number) = bare(node).filter(within_first) {
                let what = format!(
                    "{number} without a unit is byte {number} of the first sector: write \
                     `{number} s` for sectors, `{number} KiB`, or `{number} B` if that is meant"
                );
                invalid(node, at, &what, None, problems);
                return None;
            }
            return Size::<0>::read(node, at, problems);
        };
        let offset = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(units::SECTOR));
        if offset.is_none() {
            invalid(
                node,
                at,
                &format!("`{number} s` is not a number of sectors"),
                None,
                problems,
            );
        }
        offset
    }
}

/// How much larger a filesystem is than its files require.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// A percentage of the size of the files.
    Percent(u32),
    /// A number of bytes.
    Bytes(u64),
}

impl Headroom {
    /// `used` bytes and the headroom; saturates.
    #[must_use]
    pub fn above(self, used: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => used.saturating_add(bytes),
            Self::Percent(percent) => {
                let more = u128::from(used) * u128::from(percent) / 100;
                used.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
            }
        }
    }
}

/// A size, or a word instead of it, which is `None`. `WORD` selects it from [`WORDS`].
pub(super) struct SizeOr<const WORD: usize, const SMALLEST: u64>;

/// Words instead of a size, each with its meaning.
const WORDS: [(&str, &str); 2] = [
    ("least", "as small as everything fits"),
    ("rest", "what the others leave"),
];
/// The indices of [`WORDS`].
pub(super) const LEAST: usize = 0;
pub(super) const REST: usize = 1;

impl<const WORD: usize, const SMALLEST: u64> ValueType for SizeOr<WORD, SMALLEST> {
    type Output = Option<u64>;

    fn shape() -> Shape {
        let (word, meaning) = WORDS[WORD];
        Shape::Plain(format!("size, or `\"{word}\"`: {meaning}"))
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Option<u64>> {
        match &node.value {
            Value::String(text) if text == WORDS[WORD].0 => Some(None),
            _ => Size::<SMALLEST>::read(node, at, problems).map(Some),
        }
    }
}

/// The size of a disk: of memory cards, as it is printed on them.
pub(super) struct DiskSize<const SMALLEST: u64>;

/// The share of its nominal size that a memory card has at least, in percent: cards of one nominal
/// size differ by a few.
const CARD_PERCENT: u64 = 95;

impl<const SMALLEST: u64> ValueType for DiskSize<SMALLEST> {
    type Output = Option<u64>;

    fn shape() -> Shape {
        Shape::Plain(
            "size; `\"least\"`: as small as everything fits; or the nominal size of a memory card, \
             `\"32 GB card\"`: 95 % of it, since cards differ"
                .into(),
        )
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Option<u64>> {
        let card = match &node.value {
            Value::String(text) => text.trim().strip_suffix("card").map(str::trim),
            _ => None,
        };
        let Some(card) = card else {
            return SizeOr::<LEAST, SMALLEST>::read(node, at, problems);
        };
        let size = match units::parse_size(card) {
            Ok(size) if size >= units::MIB && units::bare(card).is_none() => size,
            Ok(_) => {
                let what = format!("`{card} card` has no unit: write `32 GB card`");
                invalid(node, at, &what, None, problems);
                return None;
            }
            Err(what) => {
                invalid(node, at, &what, None, problems);
                return None;
            }
        };
        let least = size / 100 * CARD_PERCENT;
        Some(Some(least / units::MIB * units::MIB))
    }
}

/// The size of the root filesystem, as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootFilesystemSize {
    /// A number of bytes.
    Bytes(u64),
    /// As large as its partition.
    Max,
}

/// A size, or `max`.
pub(super) struct SizeOrMax<const SMALLEST: u64>;

impl<const SMALLEST: u64> ValueType for SizeOrMax<SMALLEST> {
    type Output = RootFilesystemSize;

    fn shape() -> Shape {
        Shape::Plain("size, or `\"max\"`: as large as its partition".into())
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<RootFilesystemSize> {
        match &node.value {
            Value::String(text) if text == "max" => Some(RootFilesystemSize::Max),
            _ => Size::<SMALLEST>::read(node, at, problems).map(RootFilesystemSize::Bytes),
        }
    }
}

/// A percentage or a size.
pub(super) struct SizeOrPercent;

/// The largest percentage: ten times the size of the files.
const MAX_PERCENT: u32 = 1000;

impl ValueType for SizeOrPercent {
    type Output = Headroom;

    fn shape() -> Shape {
        Shape::Plain("size or percentage".into())
    }

    fn form() -> Form {
        Form::TextOrNumber
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Headroom> {
        let percentage = match &node.value {
            Value::String(text) => text
                .trim()
                .strip_suffix('%')
                .map(|number| (text, number.trim())),
            _ => None,
        };
        let Some((text, number)) = percentage else {
            if let Some(what) = unclear(node) {
                invalid(node, at, &what, None, problems);
                return None;
            }
            return Size::<{ units::MIB }>::read(node, at, problems).map(Headroom::Bytes);
        };
        let percent = number
            .parse()
            .ok()
            .filter(|percent| *percent <= MAX_PERCENT);
        if percent.is_none() {
            invalid(
                node,
                at,
                &format!("`{text}` is not a percentage from 0 % to {MAX_PERCENT} %"),
                None,
                problems,
            );
        }
        percent.map(Headroom::Percent)
    }
}

/// The error of a number without a unit that cannot be meant in bytes: a percentage or a factor.
fn unclear(node: &Node) -> Option<String> {
    let text = match (&node.value, &node.typed) {
        (Value::String(text), _) | (Value::Other(_, text), None) => text.trim().to_owned(),
        (_, Some(typed)) => typed.trim().to_owned(),
        (Value::Integer(number), None) => number.to_string(),
        _ => return None,
    };
    if let Some(number) = units::bare(&text) {
        units::bytes_are_meant(number, units::MIB).err()?;
        return Some(format!(
            "{number} without a unit is {number} bytes: write `{number} %` or `{number} MiB`, or \
             `{number} B` if that is meant"
        ));
    }
    let factor: f64 = text.parse().ok().filter(|factor: &f64| *factor >= 0.0)?;
    let more = if factor >= 1.0 { factor - 1.0 } else { factor };
    let percent = (more * 100.0).round();
    Some(format!(
        "{text} is neither a size nor a percentage: write `{percent} %` for a filesystem of {} \
         times the size of its files, or a size such as `{text} GiB`",
        1.0 + more
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_is_relative_or_absolute() {
        assert_eq!(
            (
                Headroom::Percent(50).above(100),
                Headroom::Bytes(7).above(u64::MAX)
            ),
            (150, u64::MAX)
        );
    }
}
