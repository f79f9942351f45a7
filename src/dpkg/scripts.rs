//! Maintainer scripts at their moments (Debian Policy 6.6), and the triggers that the new files set
//! off.

use super::database::{DIR, Database, LIMIT};
use super::incoming::Incoming;
use super::register::Triggers;
use super::world::{Context, World};
use super::{Accept, Installed};
use crate::problem::{Problem, Problems};
use crate::shell::{Io, Shell, parse};
use crate::tree::editor::TreeEditor;
use crate::tree::show;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Triggers whose work the device does by itself or that only keep a cache for comfort.
const SKIPPED: [&str; 9] = [
    "man-db",
    "hicolor-icon-theme",
    "desktop-file-utils",
    "gnome-menus",
    "mailcap",
    "mime-support",
    "install-info",
    "doc-base",
    "menu",
];

/// An installation under way: what it changes, and what it has to tell.
pub(super) struct Session<'a, 't> {
    pub(super) editor: &'a mut TreeEditor<'t>,
    pub(super) database: &'a mut Database,
    pub(super) out: &'a mut Installed,
    pub(super) problems: &'a mut Problems,
    pub(super) accept: &'a [Accept],
    pub(super) disabled: BTreeSet<String>,
    pub(super) activated: Vec<String>,
    /// Which entries of `accept` were of use.
    pub(super) used: BTreeSet<usize>,
}

/// A script to be run.
pub(super) struct Run<'a> {
    pub(super) context: Context,
    pub(super) text: &'a [u8],
    pub(super) arguments: Vec<String>,
    /// Where the script comes from, for messages.
    pub(super) place: String,
}

impl Session<'_, '_> {
    /// Runs a script of a package that comes in.
    pub(super) fn incoming(&mut self, incoming: &Incoming, script: &str, arguments: &[&str]) {
        let Some(text) = incoming.script(script) else {
            return;
        };
        let templates = incoming.script("templates").unwrap_or_default().to_vec();
        let run = Run {
            context: Context {
                name: incoming.facts.name.clone(),
                architecture: incoming.facts.architecture.clone(),
                base: incoming.facts.base(),
                script: script.to_owned(),
                templates,
            },
            text,
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            place: format!("package {} {}", incoming.facts.name, incoming.facts.version),
        };
        self.run(&run);
    }

    /// Runs a script of a package that is installed.
    pub(super) fn installed(&mut self, base: &str, script: &str, arguments: &[&str]) {
        let Some(facts) = self
            .database
            .by_base(base)
            .map(|stanza| stanza.facts.clone())
        else {
            return;
        };
        let path = format!("{DIR}/info/{base}.{script}");
        let text = match self.editor.read(&path, LIMIT) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(e) => return self.problems.push(Problem::new(e.to_string())),
        };
        let context = Context {
            name: facts.name.clone(),
            architecture: facts.architecture.clone(),
            base: base.to_owned(),
            script: script.to_owned(),
            templates: self
                .editor
                .read(format!("{DIR}/info/{base}.templates"), LIMIT)
                .ok()
                .flatten()
                .unwrap_or_default(),
        };
        let arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let place = format!("package {} {} of the image", facts.name, facts.version);
        self.run(&Run {
            context,
            text: &text,
            arguments,
            place,
        });
    }

    fn run(&mut self, run: &Run<'_>) {
        let text = String::from_utf8_lossy(run.text).into_owned();
        let first = text.lines().next().unwrap_or_default().to_owned();
        let interpreter = first
            .strip_prefix("#!")
            .unwrap_or_default()
            .split_whitespace()
            .next()
            .unwrap_or_default();
        if !matches!(interpreter.rsplit('/').next(), Some("sh" | "bash" | "dash")) {
            let what = format!(
                "is no shell script (`{}`)",
                show(first.get(..60).unwrap_or(&first).as_bytes())
            );
            return self.whole(run, &what);
        }
        let list = match parse::parse(&text) {
            Ok(list) => list,
            Err(e) => return self.whole(run, &format!("is not understood: {e}")),
        };
        let mut world = World {
            editor: self.editor,
            database: self.database,
            package: run.context.clone(),
            disabled: &self.disabled,
            unknown: Vec::new(),
            log: Vec::new(),
            logged: BTreeSet::new(),
            work: Cell::new(0),
            activated: Vec::new(),
            answers: BTreeMap::new(),
        };
        let mut shell = Shell::new(&mut world, run.arguments.clone());
        let result = shell.script(&list, &mut Io::default());
        let line = shell.line;
        let (unknown, log, activated) = (world.unknown, world.log, world.activated);
        let clean = unknown.is_empty();
        self.activated.extend(activated);
        let name = format!("{} {}", run.context.name, run.context.script);
        self.out
            .modelled
            .extend(log.into_iter().map(|line| format!("{name}: {line}")));
        let lines: Vec<&str> = text.lines().collect();
        self.unknown(run, &unknown, &lines);
        match result {
            Err(what) => self.whole(run, &format!("is not understood: {what}")),
            Ok(0) => {}
            // After statements that were left out, a failure may be of their making.
            Ok(status) if !clean => {
                self.out.accepted.push(format!(
                    "{}: {} then stops at line {line} with status {status}",
                    run.place, run.context.script
                ));
            }
            Ok(status) => self.whole(run, &format!("fails with status {status} at line {line}")),
        }
    }

    /// The entry of the configuration that accepts a statement.
    fn accepted(&mut self, run: &Run<'_>, source: &str) -> Option<String> {
        let fits = |accept: &Accept| {
            accept.package == run.context.name
                && accept.script == run.context.script
                && accept
                    .statement
                    .as_ref()
                    .is_none_or(|statement| source.contains(statement.as_str()))
        };
        let at = self.accept.iter().position(fits)?;
        self.used.insert(at);
        self.accept.get(at).map(|accept| accept.reason.clone())
    }

    /// A script that is refused as a whole.
    fn whole(&mut self, run: &Run<'_>, what: &str) {
        let script = &run.context.script;
        match self.accepted(run, what) {
            Some(reason) => self.out.accepted.push(format!(
                "{}: {script} {what}; accepted: {reason}",
                run.place
            )),
            None => {
                let problem = Problem::new(format!("{}: {script} {what}", run.place));
                self.problems.push(problem.hint(hint(run)));
            }
        }
    }

    /// Statements outside of the model: one problem with all of their lines.
    fn unknown(&mut self, run: &Run<'_>, unknown: &[(usize, String)], lines: &[&str]) {
        let mut refused = BTreeMap::new();
        for (line, what) in unknown {
            let source = lines
                .get(line.saturating_sub(1))
                .map_or(what.as_str(), |line| line.trim());
            match self.accepted(run, source) {
                Some(reason) => {
                    let text = format!(
                        "{}: {} line {line} left out: `{}`; accepted: {reason}",
                        run.place,
                        run.context.script,
                        show(source.as_bytes())
                    );
                    if !self.out.accepted.contains(&text) {
                        self.out.accepted.push(text);
                    }
                }
                None => _ = refused.insert(*line, show(source.as_bytes())),
            }
        }
        if refused.is_empty() {
            return;
        }
        let listed: Vec<String> = refused
            .iter()
            .map(|(line, source)| format!("\n  line {line}: {source}"))
            .collect();
        let text = format!(
            "{}: {} has statements whose effect is not known:{}",
            run.place,
            run.context.script,
            listed.concat()
        );
        self.problems.push(Problem::new(text).hint(hint(run)));
    }

    /// Sets off the triggers of new files and of what packages activate, as far as packages are
    /// interested.
    pub(super) fn triggers(&mut self, incoming: &[&Incoming]) {
        let mut pending: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut names: Vec<String> = self.activated.clone();
        for package in incoming {
            names.extend(
                package
                    .script("triggers")
                    .map(Triggers::read)
                    .unwrap_or_default()
                    .activates,
            );
        }
        for name in names {
            for base in interested(self.editor, &name) {
                pending.entry(base).or_default().insert(name.clone());
            }
        }
        for (path, base) in file_interests(self.editor) {
            let below = |entry: &[u8]| {
                entry
                    .strip_prefix(path.as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            };
            let own = |package: &&&Incoming| package.facts.base() == base;
            let touched = incoming
                .iter()
                .filter(|package| !own(package))
                .any(|package| package.package.entries.iter().any(|e| below(&e.path)));
            if touched {
                pending.entry(base).or_default().insert(path);
            }
        }
        for (base, names) in pending {
            let names = names.into_iter().collect::<Vec<_>>().join(" ");
            let name = base.split(':').next().unwrap_or(&base);
            if SKIPPED.contains(&name) {
                self.out.notes.push(format!(
                    "trigger of {name} ({names}) is left to the device: it keeps a cache"
                ));
            } else {
                self.installed(&base, "postinst", &["triggered", &names]);
            }
        }
    }

    /// Entries of `accept` that nothing needed.
    pub(super) fn unused(&mut self) {
        for (at, accept) in self
            .accept
            .iter()
            .enumerate()
            .filter(|(at, _)| !self.used.contains(at))
        {
            self.out.notes.push(format!(
                "accept entry {} ({} {}) was not needed",
                at + 1,
                accept.package,
                accept.script
            ));
        }
    }
}

fn hint(run: &Run<'_>) -> String {
    format!(
        "if the image does without them, accept that they are left out:\n[[client.accept]]\npackage = \"{}\"\nscript = \"{}\"\nreason = \"...\"",
        run.context.name, run.context.script
    )
}

/// The packages interested in a trigger that is activated by name.
fn interested(editor: &TreeEditor<'_>, name: &str) -> Vec<String> {
    if name.starts_with('/') {
        return file_interests(editor)
            .into_iter()
            .filter(|(path, _)| path == name)
            .map(|(_, base)| base)
            .collect();
    }
    let text = editor
        .read(format!("{DIR}/triggers/{name}"), LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim_end_matches("/noawait").to_owned())
        .collect()
}

/// Paths and the packages that want to hear of files there.
fn file_interests(editor: &TreeEditor<'_>) -> Vec<(String, String)> {
    let text = editor
        .read(format!("{DIR}/triggers/File"), LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = |line: &str| {
        line.rsplit_once(' ').map(|(path, base)| {
            (
                path.to_owned(),
                base.trim_end_matches("/noawait").to_owned(),
            )
        })
    };
    text.lines().filter_map(line).collect()
}
