//! Reads the files: evaluates their statements with `shell`, which starts nothing, and collects
//! variables, arrays and functions.

use super::statements::{Statement, StatementKind, statements};
use crate::input_file;
use crate::mender_convert::{BoardFile, HOOKS, TOPICS, board_file};
use crate::problem::{Problem, Problems};
use crate::shell::Variables;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The largest file that is read (bytes).
const MAX_FILE: u64 = 1 << 20;
/// How deep files may read each other.
const MAX_NESTED: usize = 16;
/// How many files are read at most.
const MAX_FILES: usize = 200;
/// How many statements are evaluated at most.
const MAX_STATEMENTS: usize = 10_000;
/// Commands that change variables in ways of their own: where one of them cannot be evaluated,
/// nothing that follows is certain.
const ASSIGNING: [&str; 15] = [
    ".",
    "((",
    "declare",
    "eval",
    "exit",
    "export",
    "getopts",
    "let",
    "mapfile",
    "read",
    "readarray",
    "readonly",
    "source",
    "typeset",
    "unset",
];
/// Commands whose effect is on the converter itself.
const LEFT_OUT: [&str; 3] = ["exec", "trap", "umask"];
/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, as it was named.
    pub(super) file: String,
    /// The line, counted from 1; 0 for the command line.
    pub(super) line: usize,
    /// The configuration of mender-convert that the file is.
    pub(super) board: Option<&'static str>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value and the place of its last assignment.
#[derive(Clone, Debug)]
pub(super) struct Assigned {
    pub(super) value: String,
    pub(super) place: Place,
}

/// The definition of a function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The text as it is in the file.
    pub(super) text: String,
    pub(super) place: Place,
}

/// A statement without a value for the configuration.
#[derive(Clone, Debug)]
pub(super) struct Ignored {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Everything that the files say.
#[derive(Default)]
pub(super) struct Reading {
    /// The files that were read, as they were named.
    pub(super) files: Vec<String>,
    /// The variables that were assigned, by name.
    pub(super) assigned: BTreeMap<String, Assigned>,
    /// The elements of arrays, by name, each with its place.
    pub(super) arrays: BTreeMap<String, Vec<(String, Place)>>,
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) ignored: Vec<Ignored>,
    /// The board configurations of mender-convert that were read or named, in this order.
    pub(super) boards: Vec<BoardFile>,
    /// Files of mender-convert that are missing and whose board is known.
    pub(super) missing: Vec<Ignored>,
    pub(super) problems: Problems,
    /// What is left to do by hand, each with its place.
    pub(super) warnings: Vec<String>,
    variables: Variables,
    /// The variables that were made constants.
    pub(super) constants: BTreeMap<String, Place>,
    /// The directory that paths begin at if nothing else fits.
    current: PathBuf,
    /// The files under way.
    open: Vec<(PathBuf, Place)>,
    /// Statements so far; at the limit, the rest is left out.
    statements: usize,
    /// Commands of the statement under way that have no known effect.
    pub(super) unknown: Vec<String>,
    /// The variables at the end of the statement under way, and whether it was reached in order.
    pub(super) told: Option<(Variables, bool)>,
    /// The variables that the statement under way has set or unset, each with the line.
    pub(super) set: Vec<(String, usize)>,
    /// The variables and parameters that it has read.
    pub(super) read: RefCell<BTreeSet<String>>,
    /// Whether it has asked for files.
    pub(super) asked: Cell<bool>,
    /// Whether the file under way has ended by `return`.
    pub(super) ended: bool,
}

impl Reading {
    /// Reads `files` in order. Variables of `given` (name, value) are set from the start. Paths in
    /// `source` are looked up from the directory of the file and those above it, then from
    /// `current`.
    pub(super) fn new(files: &[PathBuf], given: &[(String, String)], current: &Path) -> Self {
        let current = current
            .canonicalize()
            .unwrap_or_else(|_| current.to_owned());
        let mut reading = Self {
            variables: defaults(),
            current,
            ..Self::default()
        };
        let pwd = reading.current.display().to_string();
        reading.variables.insert("PWD".to_owned(), pwd);
        for hook in HOOKS {
            let function = hook.function.to_owned();
            reading.variables.insert(hook.array.to_owned(), function);
            let first = (hook.function.to_owned(), Place::default());
            reading.arrays.insert(hook.array.to_owned(), vec![first]);
        }
        for (name, value) in given {
            let place = Place {
                file: "--variable".into(),
                ..Place::default()
            };
            reading.variables.insert(name.clone(), value.clone());
            let assigned = Assigned {
                value: value.clone(),
                place,
            };
            reading.assigned.insert(name.clone(), assigned);
        }
        for file in files {
            let mut variables = std::mem::take(&mut reading.variables);
            reading.file(file, &file.display().to_string(), &mut variables);
            reading.variables = variables;
        }
        reading
    }

    /// The place of the statement under way.
    pub(super) fn here(&self) -> Place {
        let place = self.open.last().map(|(_, place)| place.clone());
        place.unwrap_or_default()
    }

    pub(super) fn refuse(&mut self, place: &Place, what: impl std::fmt::Display, hint: &str) {
        let problem = Problem::new(format!("{place}: {what}"));
        self.problems.push(problem.hint(hint));
    }

    /// Reads a file that was named `name`.
    fn file(&mut self, path: &Path, name: &str, variables: &mut Variables) {
        let known = board_file(&absolute(&self.current, path));
        let text = match read_text(&self.current.join(path)) {
            Ok(text) => text,
            Err(error) => {
                let hint = "name a configuration file of mender-convert";
                if self.open.is_empty() {
                    let problem = Problem::new(format!("reading {name}: {error}"));
                    return self.problems.push(problem.hint(hint));
                }
                let place = self.here();
                return self.refuse(&place, format!("`source {name}`: {error}"), hint);
            }
        };
        let statements = match statements(&text) {
            Ok(statements) => statements,
            Err(error) => {
                let place = Place {
                    file: name.to_owned(),
                    line: error.line,
                    board: None,
                };
                let hint = "check the file with `bash -n`; if bash reads it, write the place in simpler words in a copy";
                return self.refuse(&place, error.reason, hint);
            }
        };
        self.files.push(name.to_owned());
        let place = Place {
            file: name.to_owned(),
            line: 0,
            board: known.map(|file| file.name),
        };
        self.boards.extend(known);
        self.open.push((path.to_owned(), place));
        let mut statements = statements.into_iter();
        for statement in statements.by_ref() {
            self.statement(&statement, variables);
            if std::mem::take(&mut self.ended) {
                break;
            }
        }
        let left = statements.next();
        if let (Some(left), true) = (left, self.problems.0.is_empty()) {
            let place = self.here();
            self.warnings.push(format!(
                "{place}: the file ends here by `return`; what follows in line {} is left out",
                left.line
            ));
        }
        if self.statements >= MAX_STATEMENTS && self.problems.0.is_empty() {
            let place = self.here();
            let what = format!("more than {MAX_STATEMENTS} statements");
            self.refuse(&place, what, "convert the files one by one");
        }
        self.open.pop();
    }

    fn statement(&mut self, statement: &Statement, variables: &mut Variables) {
        if self.statements >= MAX_STATEMENTS {
            return;
        }
        self.statements += 1;
        if let Some((_, place)) = self.open.last_mut() {
            place.line = statement.line;
        }
        let place = self.here();
        match &statement.kind {
            StatementKind::Function(name) => {
                let text = statement.original.clone();
                self.functions
                    .insert(name.clone(), Function { text, place });
            }
            StatementKind::Commands {
                text,
                assigned,
                constants,
                commands,
            } => {
                if text.trim().is_empty() {
                    return;
                }
                let before = variables.clone();
                let problems = self.problems.0.len();
                let result = self.run(text, statement, commands, variables);
                let is =
                    |names: &[&str]| commands.iter().any(|name| names.contains(&name.as_str()));
                let original = || statement.original.clone();
                let matters = !assigned.is_empty()
                    || is(&ASSIGNING)
                    || is(&["printf"]) && statement.original.contains("-v")
                    || statement.original.contains(":=")
                    || self.calls_assigning(commands);
                match result {
                    Ok(set) => {
                        self.note_assignments(&before, variables, &set, &place);
                        if is(&LEFT_OUT) {
                            let text = original();
                            self.ignored.push(Ignored {
                                text,
                                place: place.clone(),
                            });
                        }
                        for name in constants {
                            self.constants.insert(name.clone(), place.clone());
                        }
                    }
                    // A statement that was refused within a file that it reads.
                    Err(_) if self.problems.0.len() > problems => {}
                    Err(refusal) if matters => {
                        let line = refusal.line;
                        let place = Place { line, ..place };
                        self.refuse(&place, refusal.reason, refusal.hint);
                    }
                    Err(_) => {
                        let text = original();
                        self.ignored.push(Ignored { text, place });
                    }
                }
            }
        }
    }

    /// Whether one of the commands is a function of these files that sets variables of
    /// mender-convert, by itself or by others that it calls.
    fn calls_assigning(&self, commands: &[String]) -> bool {
        let mut todo: Vec<&str> = commands.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        let known: Vec<&str> = TOPICS
            .iter()
            .flat_map(|topic| topic.variables)
            .map(|variable| variable.name)
            .chain(HOOKS.iter().map(|hook| hook.array))
            .collect();
        while let Some(name) = todo.pop() {
            let Some(function) = self.functions.get(name).filter(|_| seen.insert(name)) else {
                continue;
            };
            let word = |c: char| !(c.is_ascii_alphanumeric() || "_=+:.".contains(c));
            for text in function.text.split(word) {
                let names = text.split(['=', '+', ':']).next().unwrap_or_default();
                let sets = text.contains('=') && known.contains(&names);
                if sets || ASSIGNING.contains(&text) {
                    return true;
                }
                if let Some((other, _)) = self.functions.get_key_value(text) {
                    todo.push(other);
                }
            }
        }
        false
    }

    /// Takes note of the variables that a statement has set or unset.
    fn note_assignments(
        &mut self,
        before: &Variables,
        after: &Variables,
        set: &[(String, usize)],
        place: &Place,
    ) {
        for (name, line) in set {
            let Some(value) = after.get(name) else {
                continue;
            };
            let value = self.relative(value);
            let place = Place {
                line: *line,
                ..place.clone()
            };
            if let Some(elements) = self.arrays.get_mut(name) {
                // Without an index, the first element is meant.
                elements.truncate(elements.len().max(1));
                match elements.first_mut() {
                    Some(first) if first.0 == value => {}
                    Some(first) => *first = (value.clone(), place.clone()),
                    None => elements.push((value.clone(), place.clone())),
                }
            }
            self.assigned
                .insert(name.clone(), Assigned { value, place });
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            self.assigned.remove(name);
            self.arrays.remove(name);
        }
    }

    /// A value in which a path below the current directory is relative, as configurations of ours
    /// can have it.
    pub(super) fn relative(&self, value: &str) -> String {
        let current = self.current.display().to_string();
        match value.strip_prefix(&current) {
            Some("") => ".".to_owned(),
            Some(rest) if rest.starts_with('/') && current != "/" => format!(".{rest}"),
            _ => value.to_owned(),
        }
    }

    /// `source`: reads a file in place.
    pub(super) fn source(&mut self, name: &str, variables: &mut Variables) {
        let place = self.here();
        // Functions of mender-convert itself, which only hooks call.
        let name = &*self.relative(name);
        let plain = name.strip_prefix("./").unwrap_or(name);
        if plain
            .split_once('/')
            .is_some_and(|(dir, file)| dir == "modules" && !file.contains('/'))
        {
            return;
        }
        if self.open.len() >= MAX_NESTED || self.files.len() >= MAX_FILES {
            let what = format!(
                "`source {name}`: more than {MAX_NESTED} files within each other or {MAX_FILES} in all"
            );
            // The files would repeat this without end.
            self.statements = MAX_STATEMENTS;
            return self.refuse(&place, what, "check that no file reads itself");
        }
        let found = self.look_up(name);
        if let Some(path) = found {
            return self.file(&path, name, variables);
        }
        if let Some(known) = board_file(name) {
            if !known.device_type.is_empty() {
                let value = known.device_type.to_owned();
                variables.insert("MENDER_DEVICE_TYPE".into(), value.clone());
                let place = Place {
                    file: name.to_owned(),
                    line: 0,
                    board: Some(known.name),
                };
                self.assigned
                    .insert("MENDER_DEVICE_TYPE".into(), Assigned { value, place });
            }
            self.boards.push(known);
            self.missing.push(Ignored {
                text: name.to_owned(),
                place,
            });
            return;
        }
        let hint = "run goldsmith in the directory of mender-convert, where its paths begin, or copy the file there";
        self.refuse(
            &place,
            format!("`source {name}`: there is no such file"),
            hint,
        );
    }

    /// The file that `source` names.
    fn look_up(&self, name: &str) -> Option<PathBuf> {
        let file = self.open.last().map(|(path, _)| self.current.join(path));
        let above = file
            .as_deref()
            .map(Path::ancestors)
            .into_iter()
            .flatten()
            .skip(1);
        let mut places = above.chain([self.current.as_path()]);
        places.find_map(|dir| {
            let path = dir.join(name);
            let shown = path.strip_prefix(&self.current).unwrap_or(&path);
            let found = path.exists() && !path.is_dir();
            found.then(|| shown.to_owned())
        })
    }
}

/// The variables that mender-convert sets itself.
pub(super) fn defaults() -> Variables {
    let mut variables = Variables::new();
    let all = TOPICS.iter().flat_map(|topic| topic.variables);
    for variable in all {
        if let Some(default) = variable.default {
            variables.insert(variable.name.to_owned(), default.to_owned());
        }
    }
    // Some defaults are made of others.
    for _ in 0..2 {
        let earlier = variables.clone();
        for value in variables.values_mut() {
            for (name, other) in &earlier {
                if value.contains("${") {
                    *value = value.replace(&format!("${{{name}}}"), other);
                }
            }
        }
    }
    variables
}

/// The functions that a hook calls, each once, with the place that names it. The one that is in the
/// list from the start counts if it is defined.
pub(super) fn hook_functions(reading: &Reading, array: &str) -> Vec<(String, Place)> {
    let listed = reading.arrays.get(array).cloned().unwrap_or_default();
    let words = listed.iter().flat_map(|(text, place)| {
        let words = text.split_whitespace();
        words.map(|word| (word.to_owned(), place.clone()))
    });
    let mut seen = BTreeSet::new();
    let counts =
        |name: &str, place: &Place| !place.file.is_empty() || reading.functions.contains_key(name);
    words
        .filter(|(name, place)| counts(name, place) && seen.insert(name.clone()))
        .collect()
}

/// The path from the root, for comparing its directories.
fn absolute(current: &Path, path: &Path) -> String {
    current.join(path).display().to_string()
}

fn read_text(path: &Path) -> std::io::Result<String> {
    input_file::read_text(path, MAX_FILE, "a configuration")
}
