//! Evaluates statements by `shell`, which starts nothing: what a value depends on and is not known
//! here is an error, with its line.

use super::declarations::{APPEND_ARRAY, SET_ARRAY, UNSET_FUNCTION};
use super::read::Reading;
use super::statements::Statement;
use super::test::test;
use crate::shell::{
    self, Dialect, ExitStatus, Host, HostError, Invocation, Io, ScriptError, UnknownStatement,
    Variables,
};
use std::collections::BTreeSet;

/// The command at the end of each statement, which tells the variables; it has an argument where
/// the end was reached in order.
const TELL: &str = "variables:";
/// Variables that bash sets, each to something else wherever and whenever it runs.
const OF_BASH: [&str; 29] = [
    "BASH",
    "BASHOPTS",
    "BASHPID",
    "BASH_ARGV",
    "BASH_ARGV0",
    "BASH_COMMAND",
    "BASH_LINENO",
    "BASH_SOURCE",
    "BASH_SUBSHELL",
    "BASH_VERSION",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "HOSTNAME",
    "HOSTTYPE",
    "LINENO",
    "MACHTYPE",
    "OLDPWD",
    "OSTYPE",
    "PATH",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
];

/// Why a statement has no value.
pub(super) struct Refusal {
    pub(super) line: usize,
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

const SIMPLER: &str = "write this statement in simpler words in a copy of the file: only assignments and POSIX shell are read";
const NOT_RUN: &str = "write the value itself in a copy of the file: no command is run";
const CALLED: &str =
    "write the assignments of the function as statements of their own in a copy of the file";
const KNOWN: &str = "write the value itself in a copy of the file, or give it with --variable if it is that of a variable";
const CONSTANT: &str = "bash keeps the first value and goes on, or ends: take one of the two assignments out of a copy of the file";
const EXIT: &str = "take the `exit` out of a copy of the file";
const GIVE: &str = "give its value with --variable NAME=VALUE";

/// What a statement has done.
struct Outcome {
    /// Why it could not be evaluated to its end.
    error: Option<ScriptError>,
    /// Commands that have no known effect.
    unknown: Vec<String>,
    /// The variables that it has set or unset, each with the line of the script.
    set: Vec<(String, usize)>,
    /// The variables and parameters that it has read.
    read: BTreeSet<String>,
    /// Whether it has asked for files.
    asked: bool,
    /// The variables at its end, and whether that was reached in order.
    told: Option<(Variables, bool)>,
}

impl Reading {
    /// Evaluates a statement, whose commands are known. Returns the variables that it has set or
    /// unset, each with its line in the file.
    pub(super) fn run(
        &mut self,
        text: &str,
        statement: &Statement,
        commands: &[String],
        variables: &mut Variables,
    ) -> Result<Vec<(String, usize)>, Refusal> {
        let line = statement.line;
        let refusal = |reason: String, hint| Err(Refusal { line, reason, hint });
        if text.contains("=~") && !variables.contains_key("HOME") {
            let reason = "`~` is the home directory of whoever converts".to_owned();
            return refusal(reason, "give it with --variable HOME=DIRECTORY");
        }
        let outcome = self.outcome(text, variables);
        let lines = statement.original.lines().count().max(1);
        // The line of a text that the statement makes is not one of the file.
        let in_file = |at: usize| line + at.saturating_sub(2).min(lines - 1);
        if let Some(error) = outcome.error {
            return Err(Refusal {
                line: in_file(error.line),
                reason: error.reason,
                hint: SIMPLER,
            });
        }
        if let Some((reason, hint)) = self.unknown_value(&outcome, variables) {
            return refusal(reason, hint);
        }
        let constant = |(name, _): &&(String, usize)| self.constants.contains_key(name);
        if let Some((name, at)) = outcome.set.iter().find(constant) {
            return Err(Refusal {
                line: in_file(*at),
                reason: format!("{name} is constant since {}", self.constants[name]),
                hint: CONSTANT,
            });
        }
        let unset = unset(text, variables);
        match outcome.told {
            Some((told, true)) => *variables = told,
            _ if !unset.is_empty() => {
                let names = unset.join(", ");
                return refusal(
                    format!("{names} is not set by the files that were read"),
                    GIVE,
                );
            }
            Some((told, false)) if commands.iter().any(|name| name == "return") => {
                *variables = told;
                self.ended = true;
            }
            _ => {
                return refusal(
                    "`exit` would end mender-convert itself here".to_owned(),
                    EXIT,
                );
            }
        }
        let set = outcome.set.into_iter();
        Ok(set.map(|(name, at)| (name, in_file(at))).collect())
    }

    /// Evaluates the text of a statement in the words of sh.
    fn outcome(&mut self, text: &str, variables: &Variables) -> Outcome {
        // The first line tells the variables of a file that ends by `return`.
        let script = format!("trap {TELL} EXIT\n{}\n{TELL} end\n", text.trim_end());
        let call = Invocation {
            dialect: Dialect::Bash,
            options: vec!["-u".into()],
            name: "migrate".into(),
            variables: variables.clone(),
            ..Invocation::default()
        };
        // A statement may read a file, whose statements are evaluated meanwhile.
        let unknown = std::mem::take(&mut self.unknown);
        let set = std::mem::take(&mut self.set);
        let (read, asked) = (self.read.take(), self.asked.take());
        self.told = None;
        let result = shell::run(&script, call, self);
        Outcome {
            error: result.err(),
            unknown: std::mem::replace(&mut self.unknown, unknown),
            set: std::mem::replace(&mut self.set, set),
            read: self.read.replace(read),
            asked: self.asked.replace(asked),
            told: self.told.take(),
        }
    }

    /// Why nobody knows the values of a statement yet, and what to do about it.
    fn unknown_value(
        &self,
        outcome: &Outcome,
        variables: &Variables,
    ) -> Option<(String, &'static str)> {
        if let Some(command) = outcome.unknown.first() {
            let function = command.split(' ').next().unwrap_or_default();
            if self.functions.contains_key(function) {
                return Some((format!("the function {function} is not called"), CALLED));
            }
            return Some((format!("`{command}` is not run"), NOT_RUN));
        }
        if outcome.asked {
            let reason = "its value depends on files of whoever converts".to_owned();
            return Some((reason, NOT_RUN));
        }
        let mut read = outcome.read.iter();
        let name = read.find(|name| is_of_bash(name, variables))?;
        let reason = format!("the value of `${name}` is not known before mender-convert runs");
        Some((reason, KNOWN))
    }
}

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
            (TELL, arguments) => {
                variables.remove("OPTIND");
                let in_order = !arguments.is_empty();
                // The trap comes after the end.
                if in_order || self.told.is_none() {
                    self.told = Some((variables.clone(), in_order));
                }
            }
            (SET_ARRAY | APPEND_ARRAY, [array, elements @ ..]) => {
                let elements: Vec<String> =
                    elements.iter().map(|text| self.relative(text)).collect();
                let scalar = variables
                    .get(array)
                    .filter(|_| !self.arrays.contains_key(array));
                let scalar = scalar.map(|first| (first.clone(), place.clone()));
                let entry = self.arrays.entry(array.clone()).or_default();
                entry.extend(scalar);
                if name == SET_ARRAY {
                    entry.clear();
                }
                entry.extend(elements.into_iter().map(|text| (text, place.clone())));
                // Without an index, the name means the first element.
                match entry.first() {
                    Some((first, _)) => variables.insert(array.clone(), first.clone()),
                    None => variables.remove(array),
                };
                self.set.push((array.clone(), 0));
            }
            (UNSET_FUNCTION, names) => {
                for name in names {
                    self.functions.remove(name);
                }
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

    fn assigns(&mut self, name: &str, line: usize) {
        self.set.push((name.to_owned(), line));
    }

    fn reads(&self, name: &str) {
        self.read.borrow_mut().insert(name.to_owned());
    }

    fn is_file(&self, _path: &str) -> bool {
        self.asked.set(true);
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
        self.asked.set(true);
        false
    }

    fn names(&self, _dir: &str) -> Option<Vec<String>> {
        self.asked.set(true);
        None
    }

    fn real_dir(&self, _path: &str) -> Option<String> {
        self.asked.set(true);
        None
    }

    fn work(&self) -> u64 {
        0
    }
}

/// Whether nobody but bash knows the value of what was read: a parameter, or a variable that it
/// sets and no file has.
fn is_of_bash(name: &str, variables: &Variables) -> bool {
    let parameter = !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let own = name == "_" || OF_BASH.contains(&name) && !variables.contains_key(name);
    parameter || own
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
