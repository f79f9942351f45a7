//! Who uses whom: the paths of `use` declarations and of code, resolved to the files that they
//! name.

use super::source::{code, in_word};
use std::collections::{BTreeMap, BTreeSet};

/// A path in code: its segments, and the name that a `use` declaration gives it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    name: Option<String>,
}

/// All paths of source code (blanked, without tests) that have more than one segment, those of
/// `use` groups taken apart. Names that a `use` gives are not followed into the code: the
/// declaration counts.
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_' || c == '$') else {
            break;
        };
        at += start;
        let word = word(&code[at..]);
        if word == "use" {
            let end = code[at..].find(';').map_or(code.len(), |end| at + end);
            declared(&code[at + 3..end], &[], &mut out);
            at = end;
        } else if word == "pub" {
            // `pub(in a::b)` names those who may see, not whom this uses.
            at += 3;
            if code[at..].starts_with('(') {
                at += code[at..].find(')').unwrap_or(0);
            }
        } else if code[at..].starts_with('$') {
            // `$crate::..` of a macro is a path of its caller.
            at += 1 + self::word(&code[at + 1..]).len();
        } else {
            let (segments, length) = segments(&code[at..]);
            at += length;
            if segments.len() > 1 {
                out.push(Path {
                    segments,
                    name: None,
                });
            }
        }
    }
    out
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !in_word(c)).unwrap_or(text.len())]
}

/// The segments of the path at the start of `text`, and their length in it.
fn segments(text: &str) -> (Vec<String>, usize) {
    let mut out = vec![word(text).to_owned()];
    let mut at = out[0].len();
    while let Some(rest) = text[at..].strip_prefix("::") {
        let next = word(rest);
        if next.is_empty() {
            break;
        }
        out.push(next.to_owned());
        at += 2 + next.len();
    }
    (out, at)
}

/// The paths of a `use` tree below `prefix`.
fn declared(tree: &str, prefix: &[String], out: &mut Vec<Path>) {
    let tree = tree.trim();
    if let Some(group) = tree.strip_prefix('{') {
        let group = group.strip_suffix('}').unwrap_or(group);
        for member in members(group) {
            declared(member, prefix, out);
        }
        return;
    }
    let (found, length) = segments(tree);
    let mut path = prefix.to_vec();
    path.extend(
        found
            .into_iter()
            .filter(|word| !word.is_empty() && word != "self"),
    );
    if tree.starts_with("self") && prefix.is_empty() {
        path.insert(0, "self".to_owned());
    }
    match tree[length..].strip_prefix("::") {
        Some(rest) if rest.trim_start().starts_with('{') => declared(rest, &path, out),
        rest => {
            let alias = rest.unwrap_or(&tree[length..]).trim().strip_prefix("as ");
            let name = alias.map(|alias| word(alias.trim()).to_owned());
            let name = name.or_else(|| path.last().cloned());
            out.push(Path {
                segments: path,
                name,
            });
        }
    }
}

/// The members of a group, split at the commas that are in no inner one.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&group[start..]);
    out.retain(|member| !member.trim().is_empty());
    out
}

/// The module that the file at `path` (from `src/`) is, as its segments.
fn module(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// All files of a crate, with what each uses of the others.
pub(crate) struct Crate {
    /// The code of each file (from `src/`), without strings, comments and tests.
    pub(crate) code: BTreeMap<String, String>,
    paths: BTreeMap<String, Vec<Path>>,
    files: BTreeMap<Vec<String>, String>,
}

impl Crate {
    /// Of the sources of all files by their paths from `src/`. Files that only tests have
    /// (`tests.rs`) are left out.
    pub(crate) fn new(sources: &BTreeMap<String, String>) -> Self {
        let code: BTreeMap<String, String> = sources
            .iter()
            .filter(|(path, _)| !path.ends_with("tests.rs"))
            .map(|(path, text)| (path.clone(), code(text)))
            .collect();
        Self {
            paths: code
                .iter()
                .map(|(path, code)| (path.clone(), paths(code)))
                .collect(),
            files: code
                .keys()
                .map(|path| (module(path), path.clone()))
                .collect(),
            code,
        }
    }

    /// The absolute paths of modules and items of this crate that `file` names.
    fn absolute(&self, file: &str, path: &Path) -> Option<Vec<String>> {
        let here = module(file);
        let mut rest = &path.segments[..];
        let mut at = match rest.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Vec::new()
            }
            "self" => {
                rest = &rest[1..];
                here
            }
            "super" => here,
            first => {
                let mut child = here.clone();
                child.push(first.to_owned());
                if !self.files.contains_key(&child) {
                    return None;
                }
                here
            }
        };
        while rest.first().is_some_and(|word| word == "super") {
            at.pop();
            rest = &rest[1..];
        }
        at.extend(rest.iter().cloned());
        Some(at)
    }

    /// The file that defines what an absolute path names; re-exports are followed.
    fn file_of(&self, path: &[String], depth: usize) -> Option<&str> {
        let mut length = path.len();
        while !self.files.contains_key(&path[..length]) {
            length = length.checked_sub(1)?;
        }
        let file = self.files[&path[..length]].as_str();
        let Some(name) = path.get(length).filter(|_| depth < 8) else {
            return Some(file);
        };
        for used in &self.paths[file] {
            if used.name.as_ref() == Some(name)
                && let Some(target) = self.absolute(file, used)
                && target != path
            {
                let target = [&target, &path[length + 1..]].concat();
                return self.file_of(&target, depth + 1);
            }
        }
        Some(file)
    }

    /// The files that `file` uses, by its path from `src/`, each with a path that names it.
    pub(crate) fn used(&self, file: &str) -> BTreeMap<&str, String> {
        let mut out = BTreeMap::new();
        for path in &self.paths[file] {
            if let Some(target) = self.absolute(file, path)
                && let Some(used) = self.file_of(&target, 0)
                && used != file
                && used != "lib.rs"
            {
                out.entry(used).or_insert_with(|| path.segments.join("::"));
            }
        }
        out
    }

    /// The circles of files that use each other inside a room: strongly connected sets of more than
    /// one file. A file may use what the `mod.rs` of a directory that it is in defines, since a
    /// room keeps there what its files share; nor do the edges in `meant` count.
    pub(crate) fn circles(&self, meant: &[(&str, &str)]) -> Vec<Vec<&str>> {
        let edges: BTreeMap<&str, BTreeSet<&str>> = self
            .code
            .keys()
            .map(|file| {
                let used = self.used(file).into_keys().filter(|used| {
                    room(used) == room(file)
                        && !holds(used, file)
                        && !meant.contains(&(file.as_str(), used))
                });
                (file.as_str(), used.collect())
            })
            .collect();
        let reach: BTreeMap<&str, BTreeSet<&str>> = edges
            .keys()
            .map(|file| (*file, reached(&edges, file)))
            .collect();
        let mut out: Vec<Vec<&str>> = Vec::new();
        for file in edges.keys() {
            let circle: Vec<&str> = reach[file]
                .iter()
                .filter(|other| reach[*other].contains(file))
                .copied()
                .collect();
            if circle.len() > 1 && !out.contains(&circle) {
                out.push(circle);
            }
        }
        out
    }

    /// A circle with the uses that make it.
    pub(crate) fn describe(&self, circle: &[&str]) -> String {
        let mut out = format!("a circle: {}", circle.join(", "));
        for file in circle {
            for (used, path) in self.used(file) {
                if circle.contains(&used) && !holds(used, file) {
                    out.push_str(&format!("\n    {file} uses {used} ({path})"));
                }
            }
        }
        out
    }
}

/// Whether `parent` is the `mod.rs` of a directory that `file` is in.
pub(crate) fn holds(parent: &str, file: &str) -> bool {
    let path = module(file);
    parent.ends_with("/mod.rs") && path.starts_with(&module(parent))
}

/// The files that one uses, directly or through others.
fn reached<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut out = BTreeSet::new();
    let mut next: Vec<&str> = edges[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if out.insert(file) {
            next.extend(&edges[file]);
        }
    }
    out
}

/// The room that a file is in: the first part of its path.
fn room(path: &str) -> &str {
    path.split('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs")
}

fn example(files: &[(&str, &str)]) -> Crate {
    let sources = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Crate::new(&sources.collect())
}

#[test]
fn paths_of_groups_and_of_code_are_found() {
    let found: Vec<String> = paths(
        "use crate::{units::{KIB, self}, fs::ext4, a::*};\nuse self::x;\n\
             fn f() { crate::b::c(); d::e::<F>() }",
    )
    .iter()
    .map(|path| path.segments.join("::"))
    .collect();
    let expected = [
        "crate::units::KIB",
        "crate::units",
        "crate::fs::ext4",
        "crate::a",
        "self::x",
        "crate::b::c",
        "d::e",
    ];
    assert_eq!(found, expected);
}

#[test]
fn uses_are_resolved_to_files() {
    let all = example(&[
        ("lib.rs", "pub mod a;"),
        ("a/mod.rs", "mod b; mod c; pub use b::B; pub struct A;"),
        ("a/b.rs", "use super::A; use super::c;"),
        ("a/c.rs", "use super::B;"),
        ("d.rs", "fn f() { crate::a::B::new(); }"),
    ]);
    let used = |file| all.used(file).into_keys().collect::<Vec<_>>();
    assert_eq!(used("a/b.rs"), ["a/c.rs", "a/mod.rs"]);
    assert_eq!(used("a/c.rs"), ["a/b.rs"]);
    assert_eq!(used("d.rs"), ["a/b.rs"]);
}

#[test]
fn circles_inside_a_room_are_found_and_can_be_meant() {
    let all = example(&[
        ("a/mod.rs", "mod b; mod c; mod d; pub use b::B;"),
        ("a/b.rs", "use super::c;"),
        ("a/c.rs", "use crate::a::d::D;"),
        ("a/d.rs", "use super::B;"),
        ("e.rs", "use crate::a::d;"),
    ]);
    let none: [Vec<&str>; 0] = [];
    assert_eq!(all.circles(&[("a/d.rs", "a/b.rs")]), none);
    assert_eq!(all.circles(&[]), [["a/b.rs", "a/c.rs", "a/d.rs"]]);
}
