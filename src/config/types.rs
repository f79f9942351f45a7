//! The types of value that keys take: how each is read, and its description in the manual.

use super::keys::{
    Choice, Form, Reader, Section, Shape, ValueType, invalid, paragraph, parsed, string,
};
use super::node::{Node, Value, key_text};
use super::text::name;
use crate::nearest::nearest;
use crate::problem::{Problem, Problems};
use crate::units;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

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

/// A TOML boolean, never a string.
pub(super) struct Flag;

impl ValueType for Flag {
    type Output = bool;

    fn shape() -> Shape {
        Shape::Plain("`true` or `false`".into())
    }

    fn form() -> Form {
        Form::Flag
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<bool> {
        let Value::Boolean(flag) = node.value else {
            invalid(
                node,
                at,
                &format!("expected true or false, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        Some(flag)
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) struct Number<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> ValueType for Number<MIN, MAX> {
    type Output = u32;

    fn shape() -> Shape {
        Shape::Plain(format!("number from {MIN} to {MAX}"))
    }

    fn form() -> Form {
        Form::Number(MIN, MAX)
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u32> {
        let Value::Integer(number) = node.value else {
            invalid(
                node,
                at,
                &format!(
                    "expected a number from {MIN} to {MAX}, found {}",
                    node.what()
                ),
                None,
                problems,
            );
            return None;
        };
        let inside = u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number));
        if inside.is_none() {
            invalid(
                node,
                at,
                &format!("{number} is not between {MIN} and {MAX}"),
                None,
                problems,
            );
        }
        inside
    }
}

/// A path on the host. A relative one is resolved against the directory of its origin.
pub(super) struct HostPath;

impl ValueType for HostPath {
    type Output = PathBuf;

    fn shape() -> Shape {
        Shape::Plain("path".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<PathBuf> {
        let path = parsed(node, at, "a path", problems, |value| {
            if value.is_empty() || value.contains('\0') {
                Err("an empty path".to_owned())
            } else {
                Ok(PathBuf::from(value))
            }
        })?;
        Some(node.location.origin.base.join(path))
    }
}

/// A file on the host or in the image, as another key decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// The path as it is written.
    pub given: String,
    /// The path on the host, if it is there.
    pub host: PathBuf,
}

/// The path of a file on the host or in the image.
pub(super) struct EitherPath;

impl ValueType for EitherPath {
    type Output = FilePath;

    fn shape() -> Shape {
        HostPath::shape()
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<FilePath> {
        let host = HostPath::read(node, at, problems)?;
        string(node, at, "a path", problems).map(|given| FilePath {
            given: given.to_owned(),
            host,
        })
    }
}

/// A list. A list with a single item may be written without brackets.
pub(super) struct List<K>(PhantomData<K>);

impl<K: ValueType> ValueType for List<K> {
    type Output = Vec<K::Output>;

    fn shape() -> Shape {
        Shape::Plain(format!("list of: {}", K::shape().text()))
    }

    fn form() -> Form {
        Form::List(Box::new(K::form()))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let Value::Array(items) = &node.value else {
            return K::read(node, at, problems).map(|item| vec![item]);
        };
        // Reads all items, to find all problems.
        let read: Vec<Option<K::Output>> = items
            .iter()
            .map(|item| K::read(item, at, problems))
            .collect();
        read.into_iter().collect()
    }
}

/// A list that must not be empty.
pub(super) struct Some1<K>(PhantomData<K>);

impl<K: ValueType> ValueType for Some1<K> {
    type Output = Vec<K::Output>;

    fn shape() -> Shape {
        List::<K>::shape()
    }

    fn form() -> Form {
        List::<K>::form()
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let list = List::<K>::read(node, at, problems)?;
        if list.is_empty() {
            invalid(node, at, "an empty list", None, problems);
            return None;
        }
        Some(list)
    }
}

/// A table with keys of the user.
pub(super) struct Map<K>(PhantomData<K>);

impl<K: ValueType> ValueType for Map<K> {
    type Output = BTreeMap<String, K::Output>;

    fn shape() -> Shape {
        Shape::Plain(format!("table of: {}", K::shape().text()))
    }

    fn form() -> Form {
        Form::Map(Box::new(K::form()))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let Value::Table(table) = &node.value else {
            invalid(
                node,
                at,
                &format!("expected a table, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        let mut read: Vec<Option<(String, K::Output)>> = Vec::new();
        for (key, (location, child)) in table {
            let child_at = format!("{at}.{}", key_text(key));
            if let Err(what) = name(key) {
                problems.push(Problem::new(format!("{location}: {child_at}: {what}")));
            }
            read.push(K::read(child, &child_at, problems).map(|value| (key.clone(), value)));
        }
        read.into_iter().collect()
    }
}

/// A word of an enumeration.
pub(super) struct OneOf<C>(PhantomData<C>);

impl<C: Choice> ValueType for OneOf<C> {
    type Output = C;

    fn shape() -> Shape {
        let words: Vec<String> = C::ALL
            .iter()
            .map(|(member, doc)| format!("`\"{}\"` ({})", member.word(), paragraph(doc)))
            .collect();
        Shape::Plain(words.join(", "))
    }

    fn form() -> Form {
        let words = C::ALL
            .iter()
            .map(|(member, doc)| (member.word(), paragraph(doc)));
        Form::Words(words.collect())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<C> {
        let words = || C::ALL.iter().map(|(member, _)| member.word());
        let quoted: Vec<String> = words().map(|word| format!("`{word}`")).collect();
        let expected = format!("one of {}", quoted.join(", "));
        let text = string(node, at, &expected, problems)?;
        let found = C::ALL
            .iter()
            .find(|(member, _)| member.word() == text)
            .map(|(choice, _)| *choice);
        if found.is_none() {
            let hint = nearest(text, words()).map(|word| format!("did you mean `{word}`?"));
            invalid(
                node,
                at,
                &format!("`{text}` is not {expected}"),
                hint,
                problems,
            );
        }
        found
    }
}

/// A table of known keys.
pub(super) struct Sub<S>(PhantomData<S>);

impl<S: Section> ValueType for Sub<S> {
    type Output = S;

    fn shape() -> Shape {
        Shape::Table(S::DOC, S::keys())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<S> {
        let Value::Table(table) = &node.value else {
            invalid(
                node,
                at,
                &format!("expected a table, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        S::read(&mut Reader::new(&node.location, table, at, problems))
    }
}

/// Any number of tables of known keys, `[[…]]`.
pub(super) struct Subs<S>(PhantomData<S>);

impl<S: Section> ValueType for Subs<S> {
    type Output = Vec<S>;

    fn shape() -> Shape {
        Shape::Tables(S::DOC, S::keys())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Vec<S>> {
        let Value::Array(items) = &node.value else {
            let what = format!("expected tables (`[[{at}]]`), found {}", node.what());
            let hint = matches!(node.value, Value::Table(_))
                .then(|| format!("write `[[{at}]]`, with two brackets: there may be several"));
            invalid(node, at, &what, hint, problems);
            return None;
        };
        let read: Vec<Option<S>> = items
            .iter()
            .map(|item| Sub::<S>::read(item, at, problems))
            .collect();
        read.into_iter().collect()
    }
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
