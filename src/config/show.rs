//! Every value with its origin.

use super::keys::{Fallback, Key, Section, Shape, join};
use super::node::{Location, Node, Value, key_text, quoted};
use super::schema::Config;
use std::fmt::Write as _;

/// The value of one key and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The full name of the key, such as `storage.size`.
    pub key: String,
    /// The value in TOML; `None` if goldsmith decides. A secret is shown as `"***"`.
    pub value: Option<String>,
    /// `board.toml:3:8`, `--set root.size`, `default`, or how goldsmith decides.
    pub origin: String,
}

/// Whether a value of this key (such as `server`, `rootfs.edit[0].secret`) may have a secret; true
/// for a key that does not exist.
#[must_use]
pub fn may_hold_secret(key: &str) -> bool {
    fn holds(at: &str, keys: &[Key], name: &str) -> Option<bool> {
        keys.iter().find_map(|key| {
            let path = join(at, &key.name);
            let is_own = path == name;
            let is_below = name
                .strip_prefix(&path)
                .is_some_and(|rest| rest.starts_with('.'));
            match &key.shape {
                Shape::Table(_, keys) | Shape::Tables(_, keys) if is_own => Some(secrets(keys)),
                Shape::Table(_, keys) | Shape::Tables(_, keys) if is_below => {
                    holds(&path, keys, name)
                }
                Shape::Plain(_) if is_own || is_below => Some(false),
                _ => None,
            }
        })
    }
    fn secrets(keys: &[Key]) -> bool {
        keys.iter().any(|key| match &key.shape {
            Shape::Table(_, keys) | Shape::Tables(_, keys) => secrets(keys),
            Shape::Secret => true,
            Shape::Plain(_) => false,
        })
    }
    // Without the numbers of tables in lists.
    let parts = key.split('.').map(|part| match part.split_once('[') {
        Some((name, _)) => name,
        None => part,
    });
    let name = parts.collect::<Vec<_>>().join(".");
    holds("", &Config::keys(), &name).unwrap_or(true)
}

impl Config {
    /// Every key with its value and origin, in the order of the manual.
    #[must_use]
    pub fn origins(&self) -> Vec<Setting> {
        let mut out = Vec::new();
        collect(
            "",
            &Self::keys(),
            self.source.as_ref().map(|source| &source.node),
            &mut out,
        );
        out
    }

    /// The location of the value of `key` (such as `storage.size`, `raw[0].file`); `None` if it is
    /// not set.
    #[must_use]
    pub fn location(&self, key: &str) -> Option<&Location> {
        let mut node = &self.source.as_ref()?.node;
        for name in key.split('.') {
            let (name, index) = name
                .strip_suffix(']')
                .and_then(|name| name.split_once('['))
                .map_or((name, None), |(n, i)| (n, Some(i)));
            node = node.get(name)?;
            if let Some(index) = index {
                let Value::Array(items) = &node.value else {
                    return None;
                };
                node = items.get(index.parse::<usize>().ok()?)?;
            }
        }
        Some(&node.location)
    }

    /// All values in TOML, each with its origin as a comment. Reading it again gives the same
    /// configuration, except for secrets and for relative paths in files of other directories.
    #[must_use]
    pub fn show(&self) -> String {
        let mut out = String::new();
        let mut table = "";
        let settings = self.origins();
        for setting in &settings {
            let (parent, name) = split(&setting.key);
            if parent != table {
                let space = if out.is_empty() { "" } else { "\n" };
                let _ = match parent
                    .strip_suffix(']')
                    .and_then(|parent| parent.rsplit_once('['))
                {
                    Some((list, _)) => writeln!(out, "{space}[[{list}]]"),
                    None => writeln!(out, "{space}[{parent}]"),
                };
                table = parent;
            }
            let _ = match &setting.value {
                Some(value) => writeln!(out, "{name} = {value}  # {}", setting.origin),
                None => writeln!(out, "# {name}: {}", setting.origin),
            };
        }
        out
    }
}

/// The table and the name of a key; the name may be quoted.
fn split(key: &str) -> (&str, &str) {
    let end = key.find('"').unwrap_or(key.len());
    match key[..end].trim_end_matches('.').rfind('.') {
        Some(_) if end < key.len() => (key[..end].trim_end_matches('.'), &key[end..]),
        Some(at) => (&key[..at], &key[at + 1..]),
        None => ("", key),
    }
}

fn collect(at: &str, keys: &[Key], table: Option<&Node>, out: &mut Vec<Setting>) {
    // Plain keys first: in TOML they cannot follow a table.
    let (tables, plain): (Vec<&Key>, Vec<&Key>) = keys.iter().partition(|key| is_table(key, table));
    for key in plain {
        let node = table.and_then(|table| table.get(&key.name));
        out.push(setting(join(at, &key.name), key, node));
    }
    for key in tables {
        let node = table.and_then(|table| table.get(&key.name));
        let path = join(at, &key.name);
        match (&key.shape, node.map(|node| &node.value)) {
            (Shape::Table(_, keys), _) => collect(&path, keys, node, out),
            (Shape::Tables(_, keys), Some(Value::Array(items))) => {
                items.iter().enumerate().for_each(|(at, item)| {
                    collect(&format!("{path}[{at}]"), keys, Some(item), out)
                });
            }
            (_, Some(Value::Table(children))) => {
                out.extend(children.iter().map(|(name, (_, node))| Setting {
                    key: join(&path, name),
                    value: Some(toml_text(node)),
                    origin: node.location.to_string(),
                }))
            }
            _ => {}
        }
    }
}

/// Whether a key is shown as a separate table: a table of known keys, a non-empty table with the
/// user's keys, or a non-empty array of tables.
fn is_table(key: &Key, table: Option<&Node>) -> bool {
    let node = table
        .and_then(|table| table.get(&key.name))
        .map(|node| &node.value);
    match (&key.shape, node) {
        (Shape::Table(..), _) => true,
        (Shape::Tables(..), Some(Value::Array(items))) => !items.is_empty(),
        (_, Some(Value::Table(children))) => !children.is_empty(),
        _ => false,
    }
}

fn setting(path: String, key: &Key, node: Option<&Node>) -> Setting {
    let (value, origin) = match (node, key.fallback) {
        (Some(_), _) if matches!(key.shape, Shape::Secret) => (Some("\"***\"".to_owned()), None),
        (Some(node), _) => (Some(toml_text(node)), None),
        (None, Fallback::Default(toml)) => (Some(toml.to_owned()), Some("default".to_owned())),
        (None, Fallback::Unset { meaning, .. }) => (None, Some(meaning.to_owned())),
        (None, Fallback::Required { .. }) => (None, Some("missing".to_owned())),
    };
    let origin = origin
        .or_else(|| node.map(|node| node.location.to_string()))
        .unwrap_or_default();
    Setting {
        key: path,
        value,
        origin,
    }
}

/// A value as TOML on one line.
pub(super) fn toml_text(node: &Node) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match &node.value {
        Value::String(text) => quoted(text),
        // A number or date from `--set` that was read as a string.
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Other(_, text) => quoted(text),
        Value::Array(items) => format!("[{}]", list(items.iter().map(toml_text).collect())),
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let pairs = table
                .iter()
                .map(|(key, (_, node))| format!("{} = {}", key_text(key), toml_text(node)));
            format!("{{ {} }}", list(pairs.collect()))
        }
    }
}
