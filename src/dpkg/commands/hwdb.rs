//! `systemd-hwdb update`: the compiled hardware database, in the form and with the bytes of
//! systemd (`hwdb(7)`; the form is that of its `hwdb-internal.h`).

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::tree::edit::EditError;
use std::collections::BTreeMap;

const SIGNATURE: &[u8; 8] = b"KSLPHHRH";
const HEADER: u64 = 80;
const NODE: u64 = 24;
const CHILD: u64 = 16;
const VALUE: u64 = 32;

/// The directories of sources; of several files of a name, the first counts.
const SOURCES: [&str; 2] = ["/etc/udev/hwdb.d", "/usr/lib/udev/hwdb.d"];

pub(super) fn update(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut words: Vec<&str> = args.to_vec();
    words.sort_unstable();
    let dir = match words.as_slice() {
        ["--usr", "update"] => "/usr/lib/udev",
        ["update"] => "/etc/udev",
        _ => return Ok(None),
    };
    let Some(version) = version(host) else {
        return Ok(None);
    };
    let bytes = compile(host)?.store(version);
    let path = format!("{dir}/hwdb.bin");
    let reason = host.reason();
    host.editor.file(&path, bytes, 0o444, &reason)?;
    Ok(Some(0))
}

/// The version that udev writes into the file.
fn version(host: &ScriptHost<'_, '_>) -> Option<u64> {
    let version = host.database.named("udev")?.facts.version.to_string();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn compile(host: &ScriptHost<'_, '_>) -> Result<Database, EditError> {
    let mut files = BTreeMap::new();
    for dir in SOURCES {
        let names = host.editor.tree().dir(dir);
        for name in names.into_iter().flat_map(|dir| dir.entries.keys()) {
            let name = String::from_utf8_lossy(name).into_owned();
            if name.ends_with(".hwdb") {
                files.entry(name).or_insert(dir);
            }
        }
    }
    let mut database = Database::default();
    for (priority, (name, dir)) in (1..).zip(files) {
        let path = format!("{dir}/{name}");
        let limit = 256 << 20;
        let bytes = host.editor.tree().read(&path, limit)?.unwrap_or_default();
        database.import(&bytes, path.as_bytes(), priority);
    }
    Ok(database)
}

/// Strings one after another; one that is the end of another may share its place.
#[derive(Debug)]
struct Strings {
    bytes: Vec<u8>,
    /// A tree of the strings by their letters from the last one on.
    nodes: Vec<StringNode>,
}

#[derive(Debug, Default)]
struct StringNode {
    offset: usize,
    len: usize,
    children: BTreeMap<u8, usize>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            bytes: vec![0],
            nodes: vec![StringNode::default()],
        }
    }
}

impl Strings {
    /// Where the string is; it is added unless it is met on the way to its place in the tree.
    fn add(&mut self, text: &[u8]) -> usize {
        if text.is_empty() {
            return 0;
        }
        let mut at = 0;
        let mut rest = text;
        loop {
            let node = &self.nodes[at];
            if node.len >= text.len() {
                let offset = node.offset + node.len - text.len();
                if rest.is_empty() || self.bytes[offset..].starts_with(text) {
                    return offset;
                }
            }
            let Some((last, before)) = rest.split_last() else {
                return 0;
            };
            match node.children.get(last) {
                Some(child) => (at, rest) = (*child, before),
                None => {
                    let (offset, new) = (self.bytes.len(), self.nodes.len());
                    self.nodes[at].children.insert(*last, new);
                    self.nodes.push(StringNode {
                        offset,
                        len: text.len(),
                        children: BTreeMap::new(),
                    });
                    self.bytes.extend_from_slice(text);
                    self.bytes.push(0);
                    return offset;
                }
            }
        }
    }

    /// The string at a place.
    fn at(&self, offset: usize) -> &[u8] {
        let rest = &self.bytes[offset..];
        let end = rest.iter().position(|byte| *byte == 0);
        &rest[..end.unwrap_or(rest.len())]
    }
}

/// A property: where its value is, and where it is from.
#[derive(Clone, Copy, Debug)]
struct Value {
    key: usize,
    value: usize,
    file: usize,
    line: u32,
    priority: u16,
}

/// A node of the tree of what is matched.
#[derive(Debug, Default)]
struct Node {
    prefix: usize,
    children: BTreeMap<u8, usize>,
    /// By key.
    values: BTreeMap<Vec<u8>, Value>,
}

/// A property of a record, as a source has it.
struct Property<'s> {
    key: &'s [u8],
    value: &'s [u8],
    file: &'s [u8],
    line: u32,
    priority: u16,
}

#[derive(Debug)]
struct Database {
    strings: Strings,
    nodes: Vec<Node>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            strings: Strings::default(),
            nodes: vec![Node::default()],
        }
    }
}

impl Database {
    /// Reads a source: records of lines that match and of properties, which begin with a blank.
    fn import(&mut self, text: &[u8], file: &[u8], priority: u16) {
        let mut matches: Vec<&[u8]> = Vec::new();
        let mut data = false;
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if line.starts_with(b"#") {
                continue;
            }
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let line = line.trim_ascii_end();
            let property = line.first() == Some(&b' ');
            if line.is_empty() || property && matches.is_empty() || data && !property {
                // The end of a record, or a line in the wrong place.
                matches.clear();
                data = false;
            } else if !property {
                matches.push(line);
            } else {
                data = true;
                let Some(at) = line.iter().position(|byte| *byte == b'=') else {
                    continue;
                };
                let mut key = &line[..at];
                while let [b' ' | b'\t', b' ' | b'\t', ..] = key {
                    key = &key[1..];
                }
                if key.len() < 2 {
                    continue;
                }
                let property = Property {
                    key,
                    value: &line[at + 1..],
                    file,
                    line: number,
                    priority,
                };
                for found in &matches {
                    self.insert(found, &property);
                }
            }
        }
    }

    fn insert(&mut self, text: &[u8], property: &Property<'_>) {
        let (mut node, mut rest) = (0, text);
        loop {
            let prefix = self.strings.at(self.nodes[node].prefix);
            let common = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < prefix.len() {
                self.split(node, common);
            }
            let Some((first, after)) = rest[common..].split_first() else {
                return self.add_value(node, property);
            };
            match self.nodes[node].children.get(first) {
                Some(child) => (node, rest) = (*child, after),
                None => {
                    let new = self.nodes.len();
                    let prefix = self.strings.add(after);
                    self.nodes.push(Node {
                        prefix,
                        ..Node::default()
                    });
                    self.nodes[node].children.insert(*first, new);
                    return self.add_value(new, property);
                }
            }
        }
    }

    /// Splits a node after so many letters of its prefix.
    fn split(&mut self, node: usize, common: usize) {
        let new = self.nodes.len();
        let old = &mut self.nodes[node];
        let child = Node {
            prefix: old.prefix + common + 1,
            children: std::mem::take(&mut old.children),
            values: std::mem::take(&mut old.values),
        };
        let prefix = self.strings.at(old.prefix);
        let (letter, start) = (prefix[common], prefix[..common].to_vec());
        self.nodes.push(child);
        let prefix = self.strings.add(&start);
        let old = &mut self.nodes[node];
        old.prefix = prefix;
        old.children.insert(letter, new);
    }

    fn add_value(&mut self, node: usize, property: &Property<'_>) {
        let value = Value {
            key: self.strings.add(property.key),
            value: self.strings.add(property.value),
            file: self.strings.add(property.file),
            line: property.line,
            priority: property.priority,
        };
        let values = &mut self.nodes[node].values;
        // A later value takes the place of an earlier one.
        values.insert(property.key.to_vec(), value);
    }

    /// The nodes, each after those below it.
    fn order(&self) -> Vec<usize> {
        let (mut out, mut todo) = (Vec::new(), vec![0]);
        while let Some(node) = todo.pop() {
            out.push(node);
            todo.extend(self.nodes[node].children.values());
        }
        out.reverse();
        out
    }

    fn store(&self, version: u64) -> Vec<u8> {
        let size = |node: &Node| {
            NODE + CHILD * node.children.len() as u64 + VALUE * node.values.len() as u64
        };
        let nodes: u64 = self.nodes.iter().map(size).sum();
        let (strings, string_bytes) = (HEADER + nodes, self.strings.bytes.len() as u64);
        let at = |offset: usize| (strings + offset as u64).to_le_bytes();
        let mut places = vec![0_u64; self.nodes.len()];
        let mut out = vec![0; 80];
        for number in self.order() {
            let node = &self.nodes[number];
            places[number] = out.len() as u64;
            out.extend(at(node.prefix));
            out.extend([node.children.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
            out.extend((node.values.len() as u64).to_le_bytes());
            for (letter, child) in &node.children {
                out.extend([*letter, 0, 0, 0, 0, 0, 0, 0]);
                out.extend(places[*child].to_le_bytes());
            }
            for value in node.values.values() {
                out.extend([at(value.key), at(value.value), at(value.file)].concat());
                out.extend(value.line.to_le_bytes());
                out.extend(value.priority.to_le_bytes());
                out.extend([0; 2]);
            }
        }
        out.extend(&self.strings.bytes);
        let len = out.len() as u64;
        let sizes = [version, len, HEADER, NODE, CHILD, VALUE];
        let header = sizes.into_iter().chain([places[0], nodes, string_bytes]);
        let header: Vec<u8> = header.flat_map(u64::to_le_bytes).collect();
        out[..80].copy_from_slice(&[&SIGNATURE[..], &header].concat());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> usize {
        usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    }

    /// All properties of the node at `at`, and of those below it, by what they match.
    fn read(bytes: &[u8], at: usize, before: &str, out: &mut Vec<String>) {
        let text = |at: usize| {
            let end = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8_lossy(&bytes[at..at + end]).into_owned()
        };
        let here = before.to_owned() + &text(number(bytes, at));
        let (children, values) = (usize::from(bytes[at + 8]), number(bytes, at + 16));
        for child in 0..children {
            let child = at + 24 + 16 * child;
            let letter = char::from(bytes[child]);
            read(
                bytes,
                number(bytes, child + 8),
                &format!("{here}{letter}"),
                out,
            );
        }
        for value in 0..values {
            let value = at + 24 + 16 * children + 32 * value;
            let line = u32::from_le_bytes(bytes[value + 24..value + 28].try_into().unwrap());
            let (key, text) = (text(number(bytes, value)), text(number(bytes, value + 8)));
            out.push(format!("{here}{key}={text} {line}"));
        }
    }

    #[test]
    fn records_are_found_again() {
        let text = "# x\nusb:v1*\nusb:v12*\n  B=2 # more\n A=1\n\n indented=1\nbad:*\n\n\
                    usb:v1*\n B=3\n =x\n no value\nusb:cut\n C=4\n";
        let mut database = Database::default();
        database.import(text.as_bytes(), b"/f.hwdb", 1);
        let bytes = database.store(252);
        assert_eq!(&bytes[..8], SIGNATURE);
        assert_eq!((number(&bytes, 8), number(&bytes, 16)), (252, bytes.len()));
        let mut found = Vec::new();
        read(&bytes, number(&bytes, 56), "", &mut found);
        found.sort();
        assert_eq!(
            found,
            [
                "usb:v1* A=1 5",
                "usb:v1* B=3 11",
                "usb:v12* A=1 5",
                "usb:v12* B=2 4"
            ]
        );
    }

    #[test]
    fn a_string_shares_the_end_of_one_on_its_way() {
        let mut strings = Strings::default();
        let long = strings.add(b"abcd");
        assert_eq!((long, strings.add(b"cd")), (1, 3));
        assert_eq!((strings.add(b""), strings.add(b"d")), (0, 4));
        let other = strings.add(b"xd");
        assert_eq!((strings.add(b"xd"), strings.at(other)), (other, &b"xd"[..]));
    }
}
