//! The secrets of a configuration, for those who would take it elsewhere.

use super::Config;
use super::keys::{Key, Section, Shape, join};
use super::node::{Location, Node, Value};
use std::path::PathBuf;

/// A secret that a configuration has or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// The key that has or names it, such as `server.tenant-token-file`.
    pub key: String,
    /// Where it is written.
    pub location: Location,
    /// Where the secret itself is.
    pub place: SecretPlace,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In the configuration.
    Configuration,
    /// In the environment variable of this name.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

impl Config {
    /// The secrets that the configuration has or names, in the order of the manual: strings that
    /// are never shown, and the `-file` forms of their keys. Private keys that sign are none of
    /// them: no result has those.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretReference> {
        let mut out = Vec::new();
        if let Some(source) = &self.source {
            collect("", &Self::keys(), &source.node, &mut out);
        }
        out
    }
}

/// Collects the secrets of `node`, whose keys are `keys`.
pub(super) fn collect(at: &str, keys: &[Key], node: &Node, out: &mut Vec<SecretReference>) {
    for key in keys {
        let Some(child) = node.get(&key.name) else {
            continue;
        };
        let path = join(at, &key.name);
        match (&key.shape, &child.value) {
            (Shape::Table(_, keys) | Shape::Tables(_, keys), Value::Array(items)) => {
                items
                    .iter()
                    .for_each(|item| collect(&path, keys, item, out));
            }
            (Shape::Table(_, keys) | Shape::Tables(_, keys), _) => collect(&path, keys, child, out),
            (Shape::Secret, Value::String(text)) => out.push(SecretReference {
                key: path,
                location: child.location.clone(),
                place: match text.strip_prefix("env:") {
                    Some(name) => SecretPlace::Variable(name.to_owned()),
                    None => SecretPlace::Configuration,
                },
            }),
            (Shape::Plain(_), Value::String(given)) if has_secret(keys, &key.name) => {
                out.push(SecretReference {
                    key: path,
                    location: child.location.clone(),
                    place: SecretPlace::File(child.location.origin.base.join(given)),
                });
            }
            _ => {}
        }
    }
}

/// Whether `name` is the `-file` form of a secret among `keys`.
fn has_secret(keys: &[Key], name: &str) -> bool {
    name.strip_suffix("-file").is_some_and(|secret| {
        let mut keys = keys.iter();
        keys.any(|key| key.name == secret && matches!(key.shape, Shape::Secret))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_variables_and_files_are_secrets() {
        let text = "\
[server]
tenant-token-file = \"token\"
certificate = \"server.crt\"
[[rootfs.edit]]
path = \"/a\"
append = \"{secret}\"
secret = \"env:WIFI\"
[[rootfs.edit]]
path = \"/b\"
append = \"{secret}\"
secret = \"x\"
[artifact]
key = \"artifact.key\"
";
        let found = Config::parse(text).unwrap().secrets();
        let found: Vec<(&str, usize, &SecretPlace)> = found
            .iter()
            .map(|one| (&*one.key, one.location.line, &one.place))
            .collect();
        let expected = [
            (
                "rootfs.edit.secret",
                7,
                &SecretPlace::Variable("WIFI".to_owned()),
            ),
            ("rootfs.edit.secret", 11, &SecretPlace::Configuration),
            (
                "server.tenant-token-file",
                2,
                &SecretPlace::File("token".into()),
            ),
        ];
        let sorted = |mut list: Vec<(&str, usize, &SecretPlace)>| {
            list.sort_by_key(|one| (one.0.to_owned(), one.1));
            list.iter()
                .map(|one| format!("{one:?}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(sorted(found), sorted(expected.to_vec()));
    }
}
