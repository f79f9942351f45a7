//! TOML text as a tree of values with their locations, and the merging of such trees.

use crate::problem::{Problem, Problems};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::{DeString, DeTable, DeValue};

/// The deepest nesting of tables and arrays; the keys need four levels.
const MAX_DEPTH: usize = 16;

/// The kind of an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginKind {
    /// The default value of a key.
    Default,
    /// A board that the program contains.
    Board,
    /// A file of the user.
    File,
    /// `--set` on the command line.
    Set,
}

/// A source of configuration: a file, a built-in board, or an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The kind of source.
    pub kind: OriginKind,
    /// The name in messages: the path as the user wrote it, `board qemux86-64`, `--set root.size`.
    pub name: String,
    /// The directory that relative paths are resolved against.
    pub base: PathBuf,
}

impl Origin {
    /// The name of the built-in board, if this is one.
    pub(super) fn board(&self) -> Option<String> {
        let name = self
            .name
            .strip_prefix("board ")
            .filter(|_| self.kind == OriginKind::Board);
        name.map(ToOwned::to_owned)
    }
}

/// The location of a value or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file or argument.
    pub origin: Arc<Origin>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Location {
    /// The start of an origin.
    pub(super) fn start(origin: &Arc<Origin>) -> Self {
        Self {
            origin: Arc::clone(origin),
            line: 1,
            column: 1,
        }
    }
}

impl Location {
    /// The location followed by the key; only the location if it is `--set` and names the key
    /// already.
    #[must_use]
    pub fn with_key(&self, key: &str) -> String {
        match self.origin.kind {
            OriginKind::Set if self.origin.name.ends_with(&format!(" {key}")) => self.to_string(),
            _ => format!("{self}: {key}"),
        }
    }
}

impl Location {
    /// The location for outputs: the file without its directories, and the line.
    #[must_use]
    pub fn short(&self) -> String {
        let name = &self.origin.name;
        match self.origin.kind {
            OriginKind::File => {
                let file = name.rsplit('/').next().unwrap_or(name);
                format!("{file}:{}", self.line)
            }
            OriginKind::Board => format!("{name}:{}", self.line),
            OriginKind::Set | OriginKind::Default => name.clone(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin.kind {
            OriginKind::File | OriginKind::Board => {
                write!(f, "{}:{}:{}", self.origin.name, self.line, self.column)
            }
            OriginKind::Set | OriginKind::Default => f.write_str(&self.origin.name),
        }
    }
}

/// A value with its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) location: Location,
    pub(super) value: Value,
    /// The text of a value from `--set`: in `artifact.name=1.0` the value is a name, although TOML
    /// parses a number.
    pub(super) typed: Option<String>,
}

/// A TOML value, whose children know their location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Boolean(bool),
    /// A float or a date, which no key takes: its description and its text.
    Other(&'static str, String),
    Array(Vec<Node>),
    Table(Table),
}

/// The children of a table by key, with the location of the key.
pub(super) type Table = BTreeMap<String, (Location, Node)>;

impl Node {
    /// A value at a location.
    pub(super) fn new(location: Location, value: Value) -> Self {
        Self {
            location,
            value,
            typed: None,
        }
    }

    /// An empty table at the start of `origin`.
    pub(super) fn empty(origin: &Arc<Origin>) -> Self {
        Self::new(Location::start(origin), Value::Table(Table::new()))
    }

    /// The kind of value, with its article.
    pub(super) fn what(&self) -> &'static str {
        match &self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Other(what, _) => what,
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The child with the key `key`, if this is a table that has one.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Merges `over` into this value: tables key by key, arrays of tables by concatenation;
    /// anything else is replaced. A table that is already in an array, from the same location, is
    /// not added again.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.value, over) {
            (
                Value::Table(below),
                Self {
                    value: Value::Table(above),
                    ..
                },
            ) => {
                for (key, (location, node)) in above {
                    match below.get_mut(&key) {
                        Some((_, old)) => old.merge(node),
                        None => drop(below.insert(key, (location, node))),
                    }
                }
            }
            (
                Value::Array(below),
                Self {
                    value: Value::Array(above),
                    ..
                },
            ) if tables(below) && tables(&above) => {
                let new: Vec<Self> = above
                    .into_iter()
                    .filter(|item| below.iter().all(|there| there.location != item.location))
                    .collect();
                below.extend(new);
            }
            (_, over) => *self = over,
        }
    }
}

/// Whether this is a non-empty array of tables, `[[…]]`.
fn tables(items: &[Node]) -> bool {
    !items.is_empty()
        && items
            .iter()
            .all(|item| matches!(item.value, Value::Table(_)))
}

/// The lines of a text, to turn offsets into locations.
struct Lines<'t> {
    text: &'t str,
    origin: &'t Arc<Origin>,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, origin: &'t Arc<Origin>) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            origin,
            starts,
        }
    }

    fn location(&self, span: &Range<usize>) -> Location {
        let line = self
            .starts
            .partition_point(|start| *start <= span.start)
            .max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..span.start)
            .map_or(0, |text| text.chars().count())
            + 1;
        Location {
            origin: Arc::clone(self.origin),
            line,
            column,
        }
    }
}

/// Parses the text of one file.
///
/// # Errors
/// Every location where the text is not valid TOML.
pub(super) fn parse(text: &str, origin: &Arc<Origin>) -> Result<Node, Problems> {
    let lines = Lines::new(text, origin);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::default();
    for error in errors {
        let location = lines.location(&error.span().unwrap_or(0..0));
        let message = one_line(error.message());
        // The parser does not say which.
        let key = error.span().and_then(|span| text.get(span));
        let message = match key.filter(|_| message == "duplicate key") {
            Some(key) => format!("duplicate key `{key}`"),
            None => message,
        };
        problems.push(Problem::new(format!("{location}: {message}")));
    }
    problems.check()?;
    let value = table(root.get_ref(), &lines, 0)?;
    Ok(Node::new(Location::start(origin), value))
}

/// Parses `key.path=value`. A value that is not valid TOML is a string, unless it begins as a list
/// or a table does.
///
/// # Errors
/// If the `=` is missing or the key is invalid; a list or a table that is none.
pub(super) fn parse_set(argument: &str, base: PathBuf) -> Result<Node, Problems> {
    let (key, text) = argument.split_once('=').unwrap_or((argument, ""));
    // The name does not contain the value, which may be secret.
    let origin = Arc::new(Origin {
        kind: OriginKind::Set,
        name: format!("--set {}", key.trim()),
        base,
    });
    let form = || {
        let problem = Problem::new(format!("{}: expected KEY=VALUE", origin.name));
        Problems::from(problem.hint("for example `--set root.size=2GiB`"))
    };
    if key.len() == argument.len() {
        return Err(form());
    }
    let mut path = key_path(key).ok_or_else(form)?;
    let location = Location::start(&origin);
    let text = text.trim();
    let value = match DeValue::parse(text) {
        Ok(parsed) => value(parsed.get_ref(), &location, &Lines::new(text, &origin), 0)?,
        Err(_) if text.starts_with(['[', '{']) => {
            // The message does not contain the value, which may be secret.
            let begin = text.chars().next().unwrap_or_default();
            let message = format!(
                "{}: the value begins with `{begin}`, but is not TOML",
                origin.name
            );
            let example = match begin {
                '[' => {
                    "a list is written `KEY=[\"one\", \"two\"]`, and in a shell in single quotes"
                }
                _ => {
                    "a table is written `KEY={ a = \"one\", b = 2 }`, and in a shell in single quotes"
                }
            };
            return Err(Problem::new(message).hint(example).into());
        }
        Err(_) => Value::String(text.to_owned()),
    };
    let mut node = Node {
        location: location.clone(),
        value,
        typed: Some(text.to_owned()),
    };
    while let Some(name) = path.pop() {
        node = Node::new(
            location.clone(),
            Value::Table(Table::from([(name, (location.clone(), node))])),
        );
    }
    Ok(node)
}

/// The parts of a dotted key, parsed by TOML's rules (parts may be quoted).
fn key_path(key: &str) -> Option<Vec<String>> {
    let text = format!("{} = 0", key.trim());
    let root = DeTable::parse(&text).ok()?;
    let mut table = root.get_ref();
    let mut path = Vec::new();
    loop {
        let (name, value) = table.iter().next().filter(|_| table.len() == 1)?;
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(next) => table = next,
            _ => return Some(path),
        }
    }
}

/// A message of the TOML parser on one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn table(from: &DeTable<'_>, lines: &Lines<'_>, depth: usize) -> Result<Value, Problems> {
    let mut out = Table::new();
    for (key, child) in from {
        let key_location = lines.location(&key.span());
        let location = lines.location(&child.span());
        let name: &DeString<'_> = key.get_ref();
        let value = value(child.get_ref(), &location, lines, depth + 1)?;
        out.insert(name.to_string(), (key_location, Node::new(location, value)));
    }
    Ok(Value::Table(out))
}

fn value(
    from: &DeValue<'_>,
    location: &Location,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Value, Problems> {
    if depth > MAX_DEPTH {
        return Err(
            Problem::new(format!("{location}: nested deeper than {MAX_DEPTH} levels")).into(),
        );
    }
    Ok(match from {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Value::Integer(
                parsed.map_err(|_| Problem::new(format!("{location}: {number} is too large")))?,
            )
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Float(number) => Value::Other("a fraction", number.as_str().to_owned()),
        DeValue::Datetime(date) => Value::Other("a date", date.to_string()),
        DeValue::Array(items) => {
            let mut out = Vec::new();
            for item in items {
                let location = lines.location(&item.span());
                out.push(Node::new(
                    location.clone(),
                    value(item.get_ref(), &location, lines, depth + 1)?,
                ));
            }
            Value::Array(out)
        }
        DeValue::Table(children) => table(children, lines, depth)?,
    })
}

/// A string in TOML syntax.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A key in TOML syntax, without quotes if possible.
pub(super) fn key_text(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Node {
        let origin = Arc::new(Origin {
            kind: OriginKind::File,
            name: name.into(),
            base: PathBuf::new(),
        });
        parse(text, &origin).unwrap()
    }

    #[test]
    fn values_know_their_place() {
        let node = file(
            "a.toml",
            "# é\n[root]\nsize = \"1\"\n  list = [\n 1, 'ü', 2]\n",
        );
        let root = node.get("root").unwrap();
        assert_eq!(root.get("size").unwrap().location.to_string(), "a.toml:3:8");
        let Value::Array(items) = &root.get("list").unwrap().value else {
            panic!("no list")
        };
        assert_eq!(items[2].location.to_string(), "a.toml:5:10");
    }

    #[test]
    fn tables_merge_and_the_rest_is_replaced() {
        let mut below = file("a", "x = 1\ny = [1, 2]\n[t]\na = 1\nb = {c = 1}\n");
        below.merge(file("b", "y = [3]\n[t]\nb = {d = 2}\n[t.e]\nf = 1\n"));
        below.merge(parse_set("t.a=7", PathBuf::new()).unwrap());
        let merged = file(
            "c",
            "x = 1\ny = [3]\n[t]\na = 7\nb = {c = 1, d = 2}\ne = {f = 1}\n",
        );
        assert_eq!(plain(&below), plain(&merged));
        below.merge(file("d", "t = 1\n"));
        assert_eq!(below.get("t").unwrap().value, Value::Integer(1));
    }

    #[test]
    fn lists_of_tables_are_joined_and_emptied() {
        let mut below = file("a", "[[x]]\na = 1\n");
        below.merge(file("b", "[[x]]\na = 2\n[[x]]\na = 3\n"));
        assert_eq!(
            plain(&below),
            plain(&file("c", "x = [{a = 1}, {a = 2}, {a = 3}]\n"))
        );
        // A file that is laid down once more brings nothing new.
        below.merge(file("a", "[[x]]\na = 1\n"));
        assert_eq!(
            plain(&below),
            plain(&file("c", "x = [{a = 1}, {a = 2}, {a = 3}]\n"))
        );
        below.merge(file("d", "x = []\n"));
        assert_eq!(plain(&below), plain(&file("c", "x = []\n")));
        below.merge(file("e", "[[x]]\na = 4\n"));
        assert_eq!(plain(&below), plain(&file("c", "x = [{a = 4}]\n")));
    }

    fn plain(node: &Node) -> String {
        match &node.value {
            Value::Array(items) => format!("{:?}", items.iter().map(plain).collect::<Vec<_>>()),
            Value::Table(table) => format!(
                "{:?}",
                table
                    .iter()
                    .map(|(k, (_, v))| (k, plain(v)))
                    .collect::<Vec<_>>()
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let origin = Arc::new(Origin {
            kind: OriginKind::File,
            name: "a.toml".into(),
            base: PathBuf::new(),
        });
        let problems = parse("[client]\nx = 1\nx = 2\n", &origin).unwrap_err();
        let messages: Vec<&str> = problems.0.iter().map(|one| &*one.message).collect();
        assert_eq!(messages, ["a.toml:3:1: duplicate key `x`"]);
    }

    #[test]
    fn set_takes_toml_or_text() {
        let set = |text: &str| parse_set(text, PathBuf::new());
        let at = |node: &Node, path: &[&str]| {
            path.iter()
                .fold(node.clone(), |node, key| node.get(key).unwrap().clone())
                .value
        };
        assert_eq!(
            at(&set("root.size=2 GiB").unwrap(), &["root", "size"]),
            Value::String("2 GiB".into())
        );
        assert_eq!(
            at(&set("a = \"x = y\"").unwrap(), &["a"]),
            Value::String("x = y".into())
        );
        assert_eq!(
            at(&set("a.\"b.c\".d=true").unwrap(), &["a", "b.c", "d"]),
            Value::Boolean(true)
        );
        assert_eq!(
            at(&set("a=").unwrap(), &["a"]),
            Value::String(String::new())
        );
        assert_eq!(
            at(&set("a=1\nb=2").unwrap(), &["a"]),
            Value::String("1\nb=2".into())
        );
        for bad in [
            "",
            "a",
            "=1",
            "a b=1",
            "a\nb=1",
            "a.=1",
            "[a]=1",
            "a = 1 # \nb=1",
            "# a=1",
        ] {
            let ok = set(bad);
            assert!(ok.is_err() || bad.starts_with("a = 1"), "{bad:?}: {ok:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let origin = Arc::new(Origin {
            kind: OriginKind::File,
            name: "a".into(),
            base: PathBuf::new(),
        });
        let dotted = format!("{} = 1", vec!["a"; 5000].join("."));
        let tables = format!("[{}]\nx = 1", vec!["a"; 40].join("."));
        let inline = format!("a = {}1{}", "[".repeat(60), "]".repeat(60));
        for text in [
            dotted,
            tables,
            inline,
            format!("a = {}", "[".repeat(100_000)),
        ] {
            assert!(parse(&text, &origin).is_err());
        }
    }
}
