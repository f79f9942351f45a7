//! The definition of a key: its name, documentation, type and default, from which the reader, the
//! manual and the example are derived.

use super::node::{Location, Node, Origin, OriginKind, Table, Value, key_text, parse};
use crate::mender_convert;
use crate::nearest::nearest;
use crate::problem::{Problem, Problems};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// A key with its documentation.
pub(super) struct Key {
    /// The name, in kebab case.
    pub(super) name: String,
    /// An older name that is still read but not documented, in kebab case.
    pub(super) alias: Option<&'static str>,
    /// The documentation, in Markdown.
    pub(super) doc: &'static str,
    /// The values that it takes.
    pub(super) shape: Shape,
    /// The same as editors check them.
    pub(super) form: Form,
    /// The value when it is not set.
    pub(super) fallback: Fallback,
}

/// A type of value. Its implementors are never constructed.
pub(super) trait ValueType {
    /// The Rust type of the value.
    type Output;

    /// The values that a key of this type takes.
    fn shape() -> Shape;

    /// The form of these values; that of a table is in its shape.
    fn form() -> Form {
        Form::Text
    }

    /// Reads the value of the key `at`, or adds a problem for each error.
    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output>;
}

/// The form of a value in TOML, as far as an editor can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string.
    Text,
    /// A string, or a whole number.
    TextOrNumber,
    /// `true` or `false`.
    Flag,
    /// A whole number of this range.
    Number(u32, u32),
    /// One of these words, each with its meaning.
    Words(Vec<(&'static str, String)>),
    /// A list of these, or one of them without brackets.
    List(Box<Form>),
    /// A table with any keys and values of this form.
    Map(Box<Form>),
    /// A table with any keys and values.
    Table,
}

/// The values that a key takes.
pub(super) enum Shape {
    /// A value, described by this text.
    Plain(String),
    /// A string that is never shown.
    Secret,
    /// A table of known keys.
    Table(&'static str, Vec<Key>),
    /// Any number of tables of known keys.
    Tables(&'static str, Vec<Key>),
}

impl Shape {
    /// The kind of value, as the manual shows it.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret => "secret string",
            Self::Table(..) | Self::Tables(..) => "table",
        }
    }
}

/// An enumeration; see the macro `choices`.
pub(super) trait Choice: Copy + 'static {
    /// Every member with its meaning.
    const ALL: &'static [(Self, &'static str)];

    /// The word for a member.
    fn word(self) -> &'static str;
}

/// The value of a key that is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// It must be set.
    Required {
        /// A value for the manual, in TOML.
        example: &'static str,
    },
    /// This value, in TOML.
    Default(&'static str),
    /// The key stays unset.
    Unset {
        /// The behavior without a value.
        meaning: &'static str,
        /// A value for the manual, in TOML.
        example: &'static str,
    },
}

/// A table of known keys; the macro `keys` implements it.
pub(super) trait Section: Sized {
    /// The documentation of the table, in Markdown.
    const DOC: &'static str;

    /// Its keys in the order of the manual.
    fn keys() -> Vec<Key>;

    /// Reads all keys. Adds a problem for each error and returns `None` if there are any.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// The origin of default values.
pub(super) static DEFAULT: LazyLock<Arc<Origin>> = LazyLock::new(|| {
    Arc::new(Origin {
        kind: OriginKind::Default,
        name: "default".into(),
        base: PathBuf::new(),
    })
});

/// Reads the keys of one table.
pub(super) struct Reader<'r> {
    location: &'r Location,
    table: &'r Table,
    at: &'r str,
    problems: &'r mut Problems,
}

impl<'r> Reader<'r> {
    /// A reader of `table` at `location`, whose name is `at` (empty for the root).
    pub(super) fn new(
        location: &'r Location,
        table: &'r Table,
        at: &'r str,
        problems: &'r mut Problems,
    ) -> Self {
        Self {
            location,
            table,
            at,
            problems,
        }
    }

    /// Adds a problem for every key that is not in `keys`.
    pub(super) fn refuse_unknown(&mut self, keys: &[Key]) {
        for (name, (location, _)) in self.table {
            if keys.iter().all(|key| key.name != *name) {
                let problem =
                    Problem::new(format!("{location}: unknown key `{}`", join(self.at, name)));
                self.problems
                    .push(problem.hint(advice(self.at, name, keys)));
            }
        }
    }

    /// The value of an optional key.
    pub(super) fn optional<K: ValueType>(&mut self, field: &str) -> Option<Option<K::Output>> {
        let name = kebab(field);
        let at = join(self.at, &name);
        match self.table.get(&name) {
            Some((_, node)) => K::read(node, &at, self.problems).map(Some),
            None => Some(None),
        }
    }

    /// The value of a key, or `default` (in TOML).
    pub(super) fn or_default<K: ValueType>(
        &mut self,
        field: &str,
        default: &str,
    ) -> Option<K::Output> {
        if let Some(value) = self.optional::<K>(field)? {
            return Some(value);
        }
        let at = join(self.at, &kebab(field));
        let node = literal(default)
            .map_err(|problems| self.problems.0.extend(problems.0))
            .ok()?;
        K::read(&node, &at, self.problems)
    }

    /// The value of a required key.
    pub(super) fn required<K: ValueType>(&mut self, field: &str) -> Option<K::Output> {
        let value = self.optional::<K>(field)?;
        if value.is_none() {
            let at = join(self.at, &kebab(field));
            self.problems
                .push(Problem::new(format!("{}: {at} is missing", self.location)));
        }
        value
    }
}

/// Gives every key of `node` its present name. A table that has a key under both names is refused.
pub(super) fn resolve_aliases(node: &mut Node, at: &str, keys: &[Key], problems: &mut Problems) {
    let Value::Table(table) = &mut node.value else {
        return;
    };
    for key in keys {
        if let Some((alias, (location, value))) =
            key.alias.and_then(|alias| table.remove_entry(alias))
        {
            if table.contains_key(&key.name) {
                let problem = Problem::new(format!(
                    "{location}: `{}` is an older name of `{}`, which is set too",
                    join(at, &alias),
                    join(at, &key.name)
                ));
                problems.push(problem.hint("remove one of them"));
            } else {
                table.insert(key.name.clone(), (location, value));
            }
        }
        let Some((_, child)) = table.get_mut(&key.name) else {
            continue;
        };
        let path = join(at, &key.name);
        match (&key.shape, &mut child.value) {
            (Shape::Table(_, keys), _) => resolve_aliases(child, &path, keys, problems),
            (Shape::Tables(_, keys), Value::Array(items)) => items
                .iter_mut()
                .for_each(|item| resolve_aliases(item, &path, keys, problems)),
            _ => {}
        }
    }
}

/// Parses a default value.
fn literal(text: &str) -> Result<Node, Problems> {
    let root = parse(&format!("value = {text}"), &DEFAULT)?;
    root.get("value")
        .cloned()
        .ok_or_else(|| Problem::new(format!("default: no value: {text}")).into())
}

/// The hint for an unknown key.
fn advice(at: &str, name: &str, keys: &[Key]) -> String {
    if let Some(hint) = mender_convert::hint(name) {
        return hint;
    }
    if let Some(near) = nearest(name, keys.iter().map(|key| key.name.as_str())) {
        return format!("did you mean `{}`?", join(at, near));
    }
    let elsewhere: Vec<String> = super::all_keys()
        .into_iter()
        .filter(|path| path.rsplit('.').next() == Some(name))
        .collect();
    match elsewhere.first() {
        Some(path) => format!("there is a key `{path}`"),
        None => {
            let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            format!("the keys of this table are {}", names.join(", "))
        }
    }
}

/// Adds a problem of the value at `node`.
pub(super) fn invalid(
    node: &Node,
    at: &str,
    what: &str,
    hint: Option<String>,
    problems: &mut Problems,
) {
    let problem = Problem::new(format!("{}: {what}", node.location.with_key(at)));
    problems.push(Problem { hint, ..problem });
}

/// The string at `node`. A value from `--set` is a string even if TOML parses a number.
pub(super) fn string<'n>(
    node: &'n Node,
    at: &str,
    expected: &str,
    problems: &mut Problems,
) -> Option<&'n str> {
    match (&node.value, &node.typed) {
        (Value::String(text), _) => return Some(text),
        (Value::Integer(_) | Value::Boolean(_) | Value::Other(..), Some(typed)) => {
            return Some(typed);
        }
        _ => invalid(
            node,
            at,
            &format!("expected {expected}, found {}", node.what()),
            None,
            problems,
        ),
    }
    None
}

/// Parses the string at `node` with `parse`, whose error becomes the problem.
pub(super) fn parsed<T>(
    node: &Node,
    at: &str,
    expected: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = string(node, at, expected, problems)?;
    parse(text)
        .map_err(|what| invalid(node, at, &what, None, problems))
        .ok()
}

/// The full name of the key `name` in the table `at`.
pub(super) fn join(at: &str, name: &str) -> String {
    let name = key_text(name);
    if at.is_empty() {
        name
    } else {
        format!("{at}.{name}")
    }
}

/// The name of the key of the field `field`, which may be a raw identifier.
pub(super) fn kebab(field: &str) -> String {
    field.trim_start_matches("r#").replace('_', "-")
}

/// A doc comment as one paragraph.
pub(super) fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Defines tables of keys: a struct with a field for each, and its [`Section`].
///
/// A field reads `name: type => ValueType { fallback }`. The fallback is one of `default "TOML"`,
/// `unset "meaning", like "TOML"` (the type is then an `Option`) and `required like "TOML"`. An
/// older name of the key follows as `formerly "name"`. A final `plus name: type;` adds a field that
/// is not a key.
macro_rules! keys {
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@fallback default $toml:literal) => { Fallback::Default($toml) };
    (@fallback unset $meaning:literal, like $toml:literal) => {
        Fallback::Unset { meaning: $meaning, example: $toml }
    };
    (@fallback required like $toml:literal) => { Fallback::Required { example: $toml } };
    (@read $reader:ident, $field:ident, $kind:ty, default $toml:literal) => {
        $reader.or_default::<$kind>(stringify!($field), $toml)
    };
    (@read $reader:ident, $field:ident, $kind:ty, unset $meaning:literal, like $toml:literal) => {
        $reader.optional::<$kind>(stringify!($field))
    };
    (@read $reader:ident, $field:ident, $kind:ty, required like $toml:literal) => {
        $reader.required::<$kind>(stringify!($field))
    };
    ($(
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty => $kind:ty { $($fallback:tt)+ } $(formerly $alias:literal)?
            )+
            $(plus $extra:ident: $extra_type:ty;)?
        }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
            $(pub(super) $extra: $extra_type,)?
        }

        impl Section for $name {
            const DOC: &'static str = concat!($($about, "\n"),+);

            fn keys() -> Vec<Key> {
                vec![$(Key {
                    name: kebab(stringify!($field)),
                    alias: keys!(@alias $($alias)?),
                    doc: concat!($($doc, "\n"),+),
                    shape: <$kind>::shape(),
                    form: <$kind>::form(),
                    fallback: keys!(@fallback $($fallback)+),
                }),+]
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                reader.refuse_unknown(&Self::keys());
                $(let $field = keys!(@read reader, $field, $kind, $($fallback)+);)+
                Some(Self { $($field: $field?,)+ $($extra: <$extra_type>::default(),)? })
            }
        }
    )+};
}

/// Defines a closed set of words: an enum, its [`Choice`], and `word()`.
macro_rules! choices {
    ($(
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $member:ident = $word:literal,
            )+
        }
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(
                $(#[doc = $doc])+
                $member,
            )+
        }

        impl $name {
            /// The word for it in the configuration.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)+
                }
            }

            /// Every word with its meaning.
            pub fn meanings() -> impl Iterator<Item = (&'static str, String)> {
                <Self as Choice>::ALL
                    .iter()
                    .map(|(member, doc)| (member.word(), crate::config::keys::paragraph(doc)))
            }
        }

        impl Choice for $name {
            const ALL: &'static [(Self, &'static str)] = &[
                $((Self::$member, concat!($($doc, "\n"),+))),+
            ];

            fn word(self) -> &'static str {
                $name::word(self)
            }
        }
    )+};
}

/// Makes enums of [`crate::platform`] closed sets of words: their meanings for the manual; the
/// words are their names.
macro_rules! choices_of {
    ($(
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $member:ident,
            )+
        }
    )+) => {$(
        impl Choice for $name {
            const ALL: &'static [(Self, &'static str)] = &[
                $(($name::$member, concat!($($doc, "\n"),+))),+
            ];

            fn word(self) -> &'static str {
                self.name()
            }
        }
    )+};
}

pub(super) use {choices, choices_of, keys};
