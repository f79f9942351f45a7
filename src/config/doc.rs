//! The manual of the configuration and an example file, both generated from the definitions of the
//! keys.

use super::boards::boards;
use super::keys::{Fallback, Key, Section, Shape, join, paragraph};
use super::schema::Config;
use std::fmt::Write as _;

/// The text of the manual before the keys.
const INTRODUCTION: &str = "\
<!-- Generated from the definitions of the keys; a test fails if this file differs. GOLDSMITH_BLESS=1 rewrites it. -->
# Configuration

goldsmith is configured by TOML files (`--config`, any number of them) and by `--set` arguments. Later files override earlier ones, and
`--set` arguments override all files. `goldsmith plan --show-config` prints the merged configuration with the origin of every value.

How configurations are merged:

- Tables are merged key by key.
- Arrays of tables (`[[overlay]]`, `[[raw]]` and so on) are concatenated, those of earlier files first. An empty array such as
  `overlay = []` discards all earlier tables.
- The lists of `[systemd]` add up, and the last file that names a unit decides about it.
- Any other value, including other lists, replaces the earlier one.
- Unknown keys are errors. Every value is checked, even one that a later file overrides.

Editors with a language server for TOML complete keys, show what they mean and mark mistakes with the JSON Schema
[goldsmith.schema.json](../configs/goldsmith.schema.json): write `#:schema PATH/goldsmith.schema.json` as the first line of a file.

If no device type is set, it is detected: if the golden image matches a built-in board, that board is used as the base of the
configuration. See [boards.md](boards.md).

How values are written:

- `--set key.path=value` sets one key. The value is TOML. Anything that is not valid TOML is taken as a string, so
  `--set \"root.size=2 GiB\"` needs no further quotes.
- A file can extend built-in boards and other files: see [`extends`](#extends).
- *Paths* are paths on the host. Relative paths are resolved against the config file's directory; in `--set`, against the current
  directory.
- A *size* is a number of bytes, or a string with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (or `K`, `M`, `G`), `kB`, `MB`, `GB`, `TB`,
  such as `\"8 GiB\"` or `\"1.5 GiB\"`. A *percentage* is a string such as `\"50 %\"`.
- A *list* with a single item can be written without brackets.
- A *name* contains no white space and has at most 256 bytes.
";

/// The manual of all keys, in Markdown.
#[must_use]
pub fn manual() -> String {
    let mut out = INTRODUCTION.to_owned();
    let names: Vec<String> = boards().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(out, "\nThe built-in boards are {}.", names.join(", "));
    out.push_str("\n## All keys\n\n| table | keys |\n| --- | --- |\n");
    contents("", &Config::keys(), &mut out);
    manual_table("", &Config::keys(), &mut out);
    out
}

/// A row for each table, with links to what the manual says of it and of its keys.
fn contents(at: &str, keys: &[Key], out: &mut String) {
    // The name of a heading has no punctuation.
    let link = |name: &str, path: &str| format!("[`{name}`](#{})", path.replace('.', ""));
    let is_table = |key: &&Key| matches!(key.shape, Shape::Table(..) | Shape::Tables(..));
    let plain = keys.iter().filter(|key| !is_table(key));
    let plain: Vec<String> = plain
        .map(|key| link(&key.name, &join(at, &key.name)))
        .collect();
    if !plain.is_empty() {
        let table = if at.is_empty() {
            String::new()
        } else {
            link(at, at)
        };
        let _ = writeln!(out, "| {table} | {} |", plain.join(", "));
    }
    for key in keys {
        if let Shape::Table(_, below) | Shape::Tables(_, below) = &key.shape {
            contents(&join(at, &key.name), below, out);
        }
    }
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
                    "\n## `[[{path}]]`\n\n{} Any number of these tables can be given.",
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
    let _ = writeln!(out, "- Type: {}", key.shape.text());
    let _ = match key.fallback {
        Fallback::Default(toml) => writeln!(out, "- Default: `{toml}`"),
        Fallback::Unset { meaning, example } => writeln!(
            out,
            "- If not set: {meaning}\n- Example: `{} = {example}`",
            key.name
        ),
        Fallback::Required { example } => {
            writeln!(out, "- Required\n- Example: `{} = {example}`", key.name)
        }
    };
}

/// What the manual says of the key or table `path`, as plain text; `None` if there is no such key.
#[must_use]
pub fn help(path: &str) -> Option<String> {
    let mut keys = Config::keys();
    let mut names = path.split('.').peekable();
    loop {
        let name = names.next()?;
        let at = keys
            .iter()
            .position(|key| key.name == name || key.alias == Some(name))?;
        let key = keys.swap_remove(at);
        match key.shape {
            Shape::Table(_, below) | Shape::Tables(_, below) if names.peek().is_some() => {
                keys = below;
            }
            _ if names.peek().is_some() => return None,
            Shape::Table(doc, ref below) => return Some(table_help(path, doc, false, below)),
            Shape::Tables(doc, ref below) => return Some(table_help(path, doc, true, below)),
            Shape::Plain(_) | Shape::Secret => {
                let mut out = String::new();
                manual_key(path, &key, &mut out);
                return Some(plain_text(out.trim_start_matches(['#', ' ', '\n'])));
            }
        }
    }
}

/// The help of a table: what it is, and its keys with the first sentence about each.
fn table_help(path: &str, doc: &str, is_list: bool, keys: &[Key]) -> String {
    let title = if is_list {
        format!("[[{path}]]")
    } else {
        format!("[{path}]")
    };
    let mut out = format!("{title}\n\n{}\n\n", paragraph(doc));
    for key in plain_first(keys) {
        let doc = match &key.shape {
            Shape::Table(doc, _) | Shape::Tables(doc, _) => doc,
            Shape::Plain(_) | Shape::Secret => key.doc,
        };
        let doc = paragraph(doc);
        let end = doc.find(". ").map_or(doc.len(), |at| at + 1);
        let first = doc.get(..end).unwrap_or(&doc);
        let _ = writeln!(out, "- {}: {first}", join(path, &key.name));
    }
    plain_text(&out)
}

/// Markdown as plain text: links are their names and where they lead, marks of code go.
fn plain_text(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (Some(open), Some((target, behind))) = (before.rfind('['), after.split_once(')'))
        else {
            break;
        };
        out.push_str(before.get(..open).unwrap_or_default());
        let name = before.get(open + 1..).unwrap_or_default();
        out.push_str(name);
        if !name.contains(target) && !target.starts_with('#') {
            out.push_str(&format!(" (docs/{target})"));
        }
        rest = behind;
    }
    out.push_str(rest);
    out.replace('`', "")
}

/// A configuration file with every key commented out, with its default or with an example.
#[must_use]
pub fn example() -> String {
    let mut out = String::from(
        "# Every key, commented out: with its default, or with an example if goldsmith decides by itself.\n\
         # Generated from the definitions of the keys; see `docs/configuration.md` for details.\n",
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
        Fallback::Unset { meaning, example } => (format!(" If not set: {meaning}."), example),
        Fallback::Required { example } => (" Required.".to_owned(), example),
    };
    let _ = writeln!(
        out,
        "\n{}#{} = {value}",
        comment(&format!("{}{note}", paragraph(key.doc))),
        key.name
    );
}

/// Plain keys before tables, as TOML requires.
fn plain_first(keys: &[Key]) -> impl Iterator<Item = &Key> {
    let is_table = |key: &&Key| matches!(key.shape, Shape::Table(..) | Shape::Tables(..));
    keys.iter()
        .filter(move |key| !is_table(key))
        .chain(keys.iter().filter(is_table))
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
        // Keys of `[[rootfs.edit]]` that exclude those before them.
        let others = ["append", "set", "value", "section", "secret", "secret-file"];
        let is_other = |line: &String| {
            others
                .iter()
                .any(|key| line.starts_with(&format!("{key} = ")))
        };
        let lines = text.lines().map(code).filter(|line| !is_other(line));
        let uncommented: String = lines.map(|line| line + "\n").collect();
        let all = Config::parse(&uncommented).unwrap_or_else(|e| panic!("{e}"));
        let excluded = others.map(|key| format!("rootfs.edit.{key}"));
        for key in all_keys().into_iter().filter(|key| !excluded.contains(key)) {
            let in_list = [
                "rootfs.owner",
                "rootfs.remove",
                "rootfs.edit",
                "system.user",
                "data.owner",
                "client.accept",
                "overlay",
                "raw",
                "partition",
                "accept",
                "repository",
            ]
            .into_iter()
            .find_map(|list| {
                key.strip_prefix(list)?
                    .strip_prefix('.')
                    .map(|name| format!("{list}[0].{name}"))
            });
            assert!(
                all.location(in_list.as_deref().unwrap_or(&key)).is_some(),
                "{key}"
            );
        }
        let lists = [
            all.rootfs.owner.len(),
            all.data.owner.len(),
            all.client.accept.len(),
            all.overlay.len(),
            all.raw.len(),
            all.partition.len(),
            all.accept.len(),
            all.repository.len(),
            all.rootfs.remove.map_or(0, |list| list.len()),
            all.rootfs.edit.map_or(0, |list| list.len()),
            all.system.user.map_or(0, |list| list.len()),
        ];
        assert_eq!(lists, [1; 11]);
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
