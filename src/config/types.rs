//! The types of value that keys take: how each is read, and its description in the manual.

use super::keys::{
    Choice, Form, Reader, Section, Shape, ValueType, invalid, paragraph, parsed, string,
};
use super::node::{Node, Value, key_text};
use super::text::name;
use crate::nearest::nearest;
use crate::problem::{Problem, Problems};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

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
            // A word with a part left out or added: `grub`, `img.gz`.
            let mut similar = words().filter(|word| {
                text.len() > 1 && (word.starts_with(text) || text.ends_with(&format!(".{word}")))
            });
            let near = nearest(text, words()).or_else(|| similar.next());
            let hint = near.map(|word| format!("did you mean `{word}`?"));
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
