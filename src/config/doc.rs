//! The manual of the configuration and an example, both from the definitions of the keys.

use super::boards::boards;
use super::keys::{Fallback, Key, Section, join};
use super::kind::Shape;
use super::schema::Config;
use std::fmt::Write as _;

/// What the manual says before it comes to the keys.
const INTRODUCTION: &str = "\
<!-- Generated from the definitions of the keys; a test fails when this file differs. GOLDSMITH_BLESS=1 writes it anew. -->
# Configuration

goldsmith is configured by TOML files (`--config`, any number of them) and by `--set` arguments. All of them are laid one on top of
the other, the later over the earlier, the `--set` arguments last. `goldsmith plan --show-config` prints the result with the origin of
every value. The rules:

- Tables are merged key by key.
- Lists of tables (`[[overlay]]`, `[[raw]]` and the like) are joined, those of the lower file first. An empty list such as
  `overlay = []` drops all that is below it.
- Every other value, other lists included, is replaced.
- A key that is not known is an error, and so is a value that would be hidden by a later one but is wrong.

Where no device type is set, the golden image decides: when it fits a built-in board, that board is laid beneath all of this.
See [boards.md](boards.md).

- `--set key.path=value` sets one key. The value is TOML; what is no TOML is taken as a string, so
  `--set \"root.size=2 GiB\"` needs no further quotes.
- A file may extend built-in boards and other files: see [`extends`](#extends).
- *Paths* are those of the host. A relative one stands under the directory of the file that it is written in; in `--set`, under the
  current directory.
- A *size* is a number of bytes, or a string with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (or `K`, `M`, `G`), `kB`, `MB`, `GB`, `TB`,
  such as `\"8 GiB\"` or `\"1.5 GiB\"`. A *percentage* is a string such as `\"50 %\"`.
- A *list* of one may be written without its brackets.
- A *name* has no white space and at most 256 bytes.
";

/// The manual of all keys, in Markdown.
#[must_use]
pub fn manual() -> String {
    let mut out = INTRODUCTION.to_owned();
    let names: Vec<String> = boards().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(out, "\nThe built-in boards are {}.", names.join(", "));
    manual_table("", &Config::keys(), &mut out);
    out
}

fn manual_table(at: &str, keys: &[Key], out: &mut String) {
    for key in plain_first(keys) {
        let path = join(at, &key.name);
        match &key.shape {
            Shape::Table(doc, keys) => {
                let _ = writeln!(out, "\n## `[{path}]`\n\n{}", paragraph(doc));
                manual_table(&path, keys, out);
            }
            Shape::Tables(doc, keys) => {
                let _ = writeln!(
                    out,
                    "\n## `[[{path}]]`\n\n{} There may be any number of these tables.",
                    paragraph(doc)
                );
                manual_table(&path, keys, out);
            }
            Shape::Plain(_) | Shape::Secret => manual_key(&path, key, out),
        }
    }
}

fn manual_key(path: &str, key: &Key, out: &mut String) {
    let level = if path == key.name { "##" } else { "###" };
    let _ = writeln!(out, "\n{level} `{path}`\n\n{}\n", paragraph(key.doc));
    let _ = writeln!(out, "- Takes: {}", key.shape.text());
    let _ = match key.fallback {
        Fallback::Default(toml) => writeln!(out, "- Default: `{toml}`"),
        Fallback::Unset { meaning, example } => writeln!(
            out,
            "- Not set: {meaning}\n- Example: `{} = {example}`",
            key.name
        ),
        Fallback::Required { example } => {
            writeln!(out, "- Must be set\n- Example: `{} = {example}`", key.name)
        }
    };
}

/// A configuration file with every key commented out: at its default, or with an example.
#[must_use]
pub fn example() -> String {
    let mut out = String::from(
        "# Every key that there is, commented out: with its default, or with an example where the program decides by itself.\n\
         # Generated from the definitions of the keys; `docs/configuration.md` says more.\n",
    );
    example_table("", &Config::keys(), &mut out);
    out
}

fn example_table(at: &str, keys: &[Key], out: &mut String) {
    for key in plain_first(keys) {
        let path = join(at, &key.name);
        match &key.shape {
            Shape::Table(doc, keys) => {
                let _ = writeln!(out, "\n\n{}[{path}]", comment(doc));
                example_table(&path, keys, out);
            }
            Shape::Tables(doc, keys) => {
                let _ = writeln!(out, "\n{}#[[{path}]]", comment(doc));
                example_table(&path, keys, out);
            }
            Shape::Plain(_) | Shape::Secret => example_key(key, out),
        }
    }
}

fn example_key(key: &Key, out: &mut String) {
    let (note, value) = match key.fallback {
        Fallback::Default(toml) => (String::new(), toml),
        Fallback::Unset { meaning, example } => (format!(" Not set: {meaning}."), example),
        Fallback::Required { example } => (" Must be set.".to_owned(), example),
    };
    let _ = writeln!(
        out,
        "\n{}#{} = {value}",
        comment(&format!("{}{note}", paragraph(key.doc))),
        key.name
    );
}

/// Plain keys before tables, as TOML needs them.
fn plain_first(keys: &[Key]) -> impl Iterator<Item = &Key> {
    let is_table = |key: &&Key| matches!(key.shape, Shape::Table(..) | Shape::Tables(..));
    keys.iter()
        .filter(move |key| !is_table(key))
        .chain(keys.iter().filter(is_table))
}

/// A doc comment as one paragraph.
pub(super) fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A doc comment as TOML comments of at most 100 columns.
fn comment(doc: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
    out
}

#[cfg(test)]
mod tests {
    use super::super::{all_keys, keys::kebab};
    use super::*;

    #[test]
    fn the_example_and_the_example_uncommented_are_configurations() {
        let text = example();
        let plain = Config::parse(&text).unwrap();
        assert!(
            plain
                .origins()
                .iter()
                .all(|setting| setting.origin != "configuration")
        );
        let code = |line: &str| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
                .to_owned()
        };
        let uncommented: String = text.lines().map(|line| code(line) + "\n").collect();
        let all = Config::parse(&uncommented).unwrap_or_else(|e| panic!("{e}"));
        for key in all_keys() {
            let in_list = [
                "rootfs.owner",
                "data.owner",
                "client.accept",
                "overlay",
                "raw",
            ]
            .into_iter()
            .find_map(|list| {
                key.strip_prefix(list)?
                    .strip_prefix('.')
                    .map(|name| format!("{list}[0].{name}"))
            });
            assert!(
                all.place(in_list.as_deref().unwrap_or(&key)).is_some(),
                "{key}"
            );
        }
        let lists = [
            all.rootfs.owner.len(),
            all.data.owner.len(),
            all.client.accept.len(),
            all.overlay.len(),
            all.raw.len(),
        ];
        assert_eq!(lists, [1; 5]);
    }

    #[test]
    fn every_key_is_documented() {
        let manual = manual();
        for key in all_keys() {
            assert!(manual.contains(&format!("# `{key}`\n")), "{key}");
        }
        assert!(
            Config::keys()
                .iter()
                .all(|key| !paragraph(key.doc).is_empty() && key.name == kebab(&key.name))
        );
    }
}
