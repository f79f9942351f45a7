//! A command of a script, and which of them run.

use std::collections::BTreeSet;

/// When a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Runs {
    /// Each time that the script runs.
    Always,
    /// Under a condition of the script.
    If,
    /// While the script watches something, or an hour or more after its start.
    Later,
    /// At an unknown time: a program that is not a shell script has it.
    Unknown,
}

/// A command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its name and arguments, quotes removed, variables not expanded.
    pub(super) words: Vec<String>,
    /// The files that its output goes to.
    pub(super) outputs: Vec<String>,
    /// When it runs.
    pub(super) runs: Runs,
    /// The directory in which it runs; empty: it is not known.
    pub(super) dir: String,
    /// The file that it is in, if the script reads it with `.`.
    pub(super) file: Option<String>,
    /// The function that it is part of.
    pub(super) function: Option<String>,
}

impl Command {
    /// The command with the files that it writes, for people.
    pub(super) fn text(&self) -> String {
        let is_file = |path: &&String| path.starts_with('/') && !path.starts_with("/dev/null");
        let outputs = self.outputs.iter().filter(is_file);
        let outputs: String = outputs.map(|path| format!(" > {path}")).collect();
        format!("{}{outputs}", self.words.join(" "))
    }
}

/// The commands that run: those of functions only if they are called.
pub(super) fn running(found: Vec<Command>) -> Vec<Command> {
    let mut called: BTreeSet<String> = BTreeSet::new();
    let defined: BTreeSet<String> = found
        .iter()
        .filter_map(|command| command.function.clone())
        .collect();
    loop {
        let before = called.len();
        for command in &found {
            let runs = command
                .function
                .as_ref()
                .is_none_or(|name| called.contains(name));
            let name = command.words.first();
            // A function may be the command of `trap` too.
            let trapped = (name.is_some_and(|name| name == "trap"))
                .then(|| command.words.get(1))
                .flatten();
            for name in name.into_iter().chain(trapped) {
                if runs && defined.contains(name) {
                    called.insert(name.clone());
                }
            }
        }
        if called.len() == before {
            break;
        }
    }
    let conditions: Vec<(String, Runs)> = found
        .iter()
        .filter(|command| command.words.first().is_some_and(|n| called.contains(n)))
        .map(|command| (command.words[0].clone(), command.runs))
        .collect();
    let least = |name: &str| {
        let of = conditions.iter().filter(|(called, _)| called == name);
        of.map(|(_, runs)| *runs).min().unwrap_or(Runs::Always)
    };
    let mut out = Vec::new();
    for mut command in found {
        if let Some(name) = &command.function {
            if !called.contains(name) {
                continue;
            }
            command.runs = command.runs.max(least(name));
        }
        out.push(command);
    }
    out
}
