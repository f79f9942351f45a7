//! The files of the host that a configuration names, for those who bring them elsewhere.

use super::keys::{Key, Section, Shape, ValueType, join};
use super::node::{Location, Node, Value, key_text};
use super::show::toml_text;
use super::types::{HostPath, List};
use super::{Config, Layer, RawSource};
use std::path::PathBuf;

/// A file or directory of the host that a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReference {
    /// The key, such as `client.packages`.
    pub key: String,
    /// Where it is written.
    pub location: Location,
    /// The path as it is written.
    pub given: String,
    /// The path, resolved against the directory of its origin; it may be a pattern.
    pub path: PathBuf,
}

impl Config {
    /// Every file and directory of the host that a conversion reads because a key names it, in the
    /// order of the manual. Not those of `[[repository]]`, which only `goldsmith lock` reads, and
    /// not the cache.
    #[must_use]
    pub fn host_references(&self) -> Vec<HostReference> {
        let mut out = Vec::new();
        if let Some(source) = &self.source {
            collect("", &Self::keys(), &source.node, &mut out);
        }
        out
    }
}

fn collect(at: &str, keys: &[Key], node: &Node, out: &mut Vec<HostReference>) {
    let one = HostPath::shape();
    let list = List::<HostPath>::shape();
    let is_path = |shape: &Shape| [one.text(), list.text()].contains(&shape.text());
    for key in keys {
        let Some(child) = node.get(&key.name) else {
            continue;
        };
        let path = join(at, &key.name);
        match (&key.shape, &child.value) {
            (Shape::Table(_, keys), _) => collect(&path, keys, child, out),
            (Shape::Tables(_, _), _) if path == "repository" => {}
            // Of the host that converts: no result depends on it.
            _ if path == "cache.dir" => {}
            (Shape::Tables(_, keys), Value::Array(items)) => {
                let of_host = items.iter().filter(|item| !is_in_image(item));
                of_host.for_each(|item| collect(&path, keys, item, out));
            }
            (shape, Value::Array(items)) if is_path(shape) => {
                out.extend(items.iter().filter_map(|item| reference(&path, item)));
            }
            (shape, _) if is_path(shape) => out.extend(reference(&path, child)),
            _ => {}
        }
    }
}

/// Whether a `[[raw]]` names a file of the image.
fn is_in_image(item: &Node) -> bool {
    let from = item.get("from").map(|node| &node.value);
    matches!(from, Some(Value::String(word)) if word == RawSource::Image.word())
}

fn reference(key: &str, node: &Node) -> Option<HostReference> {
    let Value::String(given) = &node.value else {
        return None;
    };
    Some(HostReference {
        key: key.to_owned(),
        location: node.location.clone(),
        given: given.clone(),
        path: node.location.origin.base.join(given),
    })
}

impl Layer {
    /// The values as arguments of `--set`, in the order of their keys.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut out = Vec::new();
        flatten("", &self.0, &mut out);
        out
    }
}

fn flatten(at: &str, node: &Node, out: &mut Vec<String>) {
    match &node.value {
        Value::Table(table) if !table.is_empty() => {
            for (key, (_, child)) in table {
                let key = match at {
                    "" => key_text(key),
                    at => format!("{at}.{}", key_text(key)),
                };
                flatten(&key, child, out);
            }
        }
        Value::Table(_) if at.is_empty() => {}
        _ => out.push(format!("{at}={}", toml_text(node))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_names_files_is_followed() {
        let text = "\
[boot]
u-boot = \"u-boot.bin\"
[data]
overlay = [\"a\", \"/b\"]
[rootfs]
overlays = \"c\"
[[overlay]]
dir = \"d\"
[[raw]]
file = \"e\"
offset = \"64 KiB\"
[[raw]]
file = \"/in/the/image\"
from = \"image\"
offset = \"2 MiB\"
[hooks]
before-edits = \"f\"
after-edits = \"g\"
after-image = \"h\"
[client]
packages = [\"i/*.deb\"]
lock-file = \"j\"
[[repository]]
url = \"http://127.0.0.1\"
key = \"k\"
[[rootfs.edit]]
path = \"/x\"
append = \"{secret}\"
secret-file = \"p\"
[[system.user]]
name = \"x\"
authorized-keys-file = \"q\"
[server]
tenant-token-file = \"r\"
certificate = \"l\"
verify-key = \"m\"
[artifact]
key = \"n\"
scripts = \"o\"
";
        let config = Config::parse(text).unwrap();
        let found = config.host_references();
        let paths: Vec<&str> = found.iter().map(|one| one.path.to_str().unwrap()).collect();
        let mut sorted = paths.clone();
        sorted.sort_unstable();
        let expected = [
            "/b",
            "a",
            "c",
            "d",
            "e",
            "f",
            "g",
            "h",
            "i/*.deb",
            "j",
            "l",
            "m",
            "n",
            "o",
            "p",
            "q",
            "r",
            "u-boot.bin",
        ];
        assert_eq!(sorted, expected);
        assert_eq!(found[0].location.to_string(), "configuration:2:10");
        // A key of this kind that is added later must be in the text above.
        let mut keys = Vec::new();
        path_keys("", &Config::keys(), &mut keys);
        // Of the host that converts, and no input of a conversion.
        keys.retain(|key| !key.starts_with("repository.") && key != "cache.dir");
        for key in &keys {
            let known = found.iter().any(|one| one.key == *key);
            assert!(known, "{key} is not in the text");
        }
        assert_eq!(keys.len(), 17);
    }

    fn path_keys(at: &str, keys: &[Key], out: &mut Vec<String>) {
        for key in keys {
            let path = join(at, &key.name);
            match &key.shape {
                Shape::Table(_, keys) | Shape::Tables(_, keys) => path_keys(&path, keys, out),
                shape if shape.text() == "path" || shape.text().ends_with(": path") => {
                    out.push(path);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn settings_are_arguments_again() {
        let origin = crate::config::Origin {
            kind: crate::config::OriginKind::File,
            name: "x".into(),
            base: PathBuf::new(),
        };
        let text = "artifact.name = \"a b\"\nstorage = {}\nboard.device-type = [\"x\", \"y\"]\n[[raw]]\nfile = \"f\"\noffset = 4096\n";
        let layer = Layer::parse(text, origin).unwrap();
        let arguments = layer.arguments();
        assert_eq!(
            arguments,
            [
                "artifact.name=\"a b\"",
                "board.device-type=[\"x\", \"y\"]",
                "raw=[{ file = \"f\", offset = 4096 }]",
                "storage={}",
            ]
        );
        for argument in arguments {
            Layer::set(&argument, PathBuf::new()).unwrap();
        }
    }
}
