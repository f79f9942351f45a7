//! Reads the files: evaluates their statements with `shell`, which starts nothing, and collects
//! variables, arrays and functions.

use super::statements::{APPEND_ARRAY, SET_ARRAY, Statement, StatementKind, statements};
use super::test::test;
use crate::mender_convert::{BoardFile, HOOKS, TOPICS, board_file};
use crate::problem::{Problem, Problems};
use crate::shell::{
    self, Dialect, ExitStatus, Host, HostError, Invocation, Io, UnknownStatement, Variables,
};
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
/// The command at the end of each statement, which tells the variables.
const TELL: &str = "variables:";

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
    variables: Variables,
    /// The directory that paths begin at if nothing else fits.
    current: PathBuf,
    /// The files under way.
    open: Vec<(PathBuf, Place)>,
    /// Statements so far; at the limit, the rest is left out.
    statements: usize,
    /// Commands of the statement under way that have no known effect.
    unknown: Vec<String>,
    /// The variables at the end of the statement under way.
    told: Option<Variables>,
}

impl Reading {
    /// Reads `files` in order. Variables of `given` (name, value) are set from the start. Paths in
    /// `source` are looked up from the directory of the file and those above it, then from
    /// `current`.
    pub(super) fn new(files: &[PathBuf], given: &[(String, String)], current: &Path) -> Self {
        let mut reading = Self {
            variables: defaults(),
            current: current.to_owned(),
            ..Self::default()
        };
        for hook in HOOKS {
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
    fn here(&self) -> Place {
        let place = self.open.last().map(|(_, place)| place.clone());
        place.unwrap_or_default()
    }

    fn refuse(&mut self, place: &Place, what: impl std::fmt::Display, hint: &str) {
        let problem = Problem::new(format!("{place}: {what}"));
        self.problems.push(problem.hint(hint));
    }

    /// Reads a file that was named `name`.
    fn file(&mut self, path: &Path, name: &str, variables: &mut Variables) {
        let known = board_file(&absolute(&self.current, path));
        let text = match read_text(&self.current.join(path)) {
            Ok(text) => text,
            Err(error) => {
                let problem = Problem::new(format!("reading {name}: {error}"));
                self.problems
                    .push(problem.hint("name a configuration file of mender-convert"));
                return;
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
        for statement in statements {
            self.statement(&statement, variables);
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
                only_assigns,
            } => {
                if text.trim().is_empty() {
                    return;
                }
                let before = variables.clone();
                let problems = self.problems.0.len();
                let result = self.run(text, statement.line, variables);
                let reads = ["source ", ". "]
                    .iter()
                    .any(|word| statement.original.contains(word));
                let matters = !assigned.is_empty() || reads;
                match result {
                    Ok(()) => {
                        self.note_assignments(&before, variables, assigned, *only_assigns, &place)
                    }
                    // A statement that was refused within a file that it reads.
                    Err(_) if self.problems.0.len() > problems => {}
                    Err(refusal) if matters => {
                        let place = Place {
                            line: refusal.line,
                            ..place
                        };
                        self.refuse(&place, refusal.reason, refusal.hint);
                    }
                    Err(_) => {
                        let text = statement.original.clone();
                        self.ignored.push(Ignored { text, place });
                    }
                }
            }
        }
    }

    /// Evaluates a statement that begins at `line`.
    fn run(&mut self, text: &str, line: usize, variables: &mut Variables) -> Result<(), Refusal> {
        let text = text.replace("$(pwd)", "${PWD}").replace("`pwd`", "${PWD}");
        if text.contains("=~") && !variables.contains_key("HOME") {
            let reason = "`~` is the home directory of whoever converts".to_owned();
            return Err(Refusal {
                line,
                reason,
                hint: "give it with --variable HOME=DIRECTORY",
            });
        }
        let script = format!("{}\n{TELL}\n", text.trim_end());
        let call = Invocation {
            dialect: Dialect::Bash,
            options: vec!["-u".into(), "-f".into()],
            name: "migrate".into(),
            variables: variables.clone(),
            ..Invocation::default()
        };
        let unknown = std::mem::take(&mut self.unknown);
        self.told = None;
        let result = shell::run(&script, call, self);
        let unknown = std::mem::replace(&mut self.unknown, unknown);
        let told = self.told.take();
        if let Err(error) = result {
            let line = line + error.line.saturating_sub(1);
            return Err(Refusal {
                line,
                reason: error.reason,
                hint: SIMPLER,
            });
        }
        if let Some(command) = unknown.into_iter().next() {
            let reason = format!("`{command}` is not run");
            return Err(Refusal {
                line,
                reason,
                hint: NOT_RUN,
            });
        }
        let Some(told) = told else {
            let unset = unset(&text, variables);
            if unset.is_empty() {
                let reason = "the file ends here by itself".to_owned();
                return Err(Refusal {
                    line,
                    reason,
                    hint: SIMPLER,
                });
            }
            let reason = format!(
                "{} is not set by the files that were read",
                unset.join(", ")
            );
            return Err(Refusal {
                line,
                reason,
                hint: GIVE,
            });
        };
        *variables = told;
        Ok(())
    }

    fn note_assignments(
        &mut self,
        before: &Variables,
        after: &Variables,
        assigned: &[String],
        for_certain: bool,
        place: &Place,
    ) {
        for (name, value) in after {
            let named = assigned.contains(name);
            // A file that the statement has read notes its own assignments.
            if named && (for_certain || before.get(name) != Some(value)) {
                let assigned = Assigned {
                    value: value.clone(),
                    place: place.clone(),
                };
                self.assigned.insert(name.clone(), assigned);
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            self.assigned.remove(name);
        }
    }

    /// `source`: reads a file in place.
    fn source(&mut self, name: &str, variables: &mut Variables) {
        let place = self.here();
        // Functions of mender-convert itself, which only hooks call.
        if name.split('/').rev().nth(1) == Some("modules") {
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
            path.is_file().then(|| shown.to_owned())
        })
    }
}

/// Why a statement has no value.
struct Refusal {
    line: usize,
    reason: String,
    hint: &'static str,
}

const SIMPLER: &str = "write this statement in simpler words in a copy of the file: only assignments and POSIX shell are read";
const NOT_RUN: &str = "write the value itself in a copy of the file: no command is run";
const GIVE: &str = "give its value with --variable NAME=VALUE";

impl Host for Reading {
    fn run(
        &mut self,
        name: &str,
        arguments: &[String],
        variables: &mut Variables,
        _io: &mut Io,
    ) -> Result<Option<ExitStatus>, HostError> {
        let place = self.here();
        match (name, arguments) {
            (TELL, _) => {
                variables.remove("OPTIND");
                self.told = Some(variables.clone());
            }
            (SET_ARRAY | APPEND_ARRAY, [array, elements @ ..]) => {
                let elements = elements.iter().map(|text| (text.clone(), place.clone()));
                let entry = self.arrays.entry(array.clone()).or_default();
                if name == SET_ARRAY {
                    entry.clear();
                }
                entry.extend(elements);
            }
            ("." | "source", [file, ..]) => {
                let told = self.told.take();
                self.source(file, variables);
                self.told = told;
            }
            ("true" | ":", _) => {}
            ("false", _) => return Ok(Some(1)),
            ("test", arguments) => return Ok(test(arguments)),
            ("[", [arguments @ .., last]) if last == "]" => return Ok(test(arguments)),
            _ => return Ok(None),
        }
        Ok(Some(0))
    }

    fn unknown(&mut self, statement: UnknownStatement) {
        self.unknown.push(statement.words);
    }

    fn is_file(&self, _path: &str) -> bool {
        false
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        Err(format!("{path} is not read").into())
    }

    fn write(&mut self, path: &str, _text: &str, _append: bool) -> Result<(), HostError> {
        Err(format!("{path} is not written").into())
    }

    fn size(&self, _path: &str) -> u64 {
        0
    }

    fn has_entry(&self, _path: &str) -> bool {
        false
    }

    fn names(&self, _dir: &str) -> Option<Vec<String>> {
        None
    }

    fn work(&self) -> u64 {
        0
    }
}

/// The variables that mender-convert sets itself.
pub(super) fn defaults() -> Variables {
    let mut variables = Variables::from([("PWD".to_owned(), ".".to_owned())]);
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
    let text = reading.assigned.get(array);
    let words = text.into_iter().flat_map(|text| {
        let words = text.value.split_whitespace();
        words.map(|word| (word.to_owned(), text.place.clone()))
    });
    let listed = reading.arrays.get(array).cloned().unwrap_or_default();
    let mut seen = BTreeSet::new();
    let counts =
        |name: &str, place: &Place| !place.file.is_empty() || reading.functions.contains_key(name);
    let all = listed.into_iter().chain(words);
    all.filter(|(name, place)| counts(name, place) && seen.insert(name.clone()))
        .collect()
}

/// The names after `$` in a text that have no value.
fn unset(text: &str, variables: &Variables) -> Vec<String> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices('$') {
        let rest = text[at + 1..].trim_start_matches('{');
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let optional = after.starts_with([':', '-', '+', '=']) && text[at + 1..].starts_with('{');
        let name = format!("`{name}`");
        if !optional
            && name.len() > 2
            && !variables.contains_key(name.trim_matches('`'))
            && !out.contains(&name)
        {
            out.push(name);
        }
    }
    out
}

/// The path from the root, for comparing its directories.
fn absolute(current: &Path, path: &Path) -> String {
    current.join(path).display().to_string()
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("more than {MAX_FILE} bytes, the limit for a configuration");
        return Err(std::io::Error::other(what));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("not text in UTF-8"))
}
