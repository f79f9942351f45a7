//! Maintainer scripts, called as Debian Policy 6.6 says, and the triggers that the new files
//! activate.

use super::database::{DIR, Database, LIMIT};
use super::incoming::Incoming;
use super::request::{AcceptedScript, Journal};
use super::script_host::{ScriptContext, ScriptHost};
use super::triggers::{Triggers, file_interests, interested};
use crate::problem::Problem;
use crate::shell::{self, Invocation, Variables};
use crate::tree::editor::TreeEditor;
use crate::tree::show;
use std::collections::{BTreeMap, BTreeSet};

/// Packages whose triggers only update a cache, which the device does without or rebuilds.
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

/// An installation under way: what it changes, and its journal.
pub(super) struct Session<'a, 't> {
    pub(super) editor: &'a mut TreeEditor<'t>,
    pub(super) database: &'a mut Database,
    pub(super) journal: &'a mut Journal,
    pub(super) accept: &'a [AcceptedScript],
    /// Units that stay disabled.
    pub(super) disabled: BTreeSet<String>,
    /// Triggers that scripts activated by name.
    pub(super) activated: Vec<String>,
    /// Which entries of `accept` were needed.
    pub(super) used: BTreeSet<usize>,
}

/// A script to be run.
struct ScriptRun<'a> {
    context: ScriptContext,
    text: &'a [u8],
    arguments: &'a [&'a str],
    /// The package and its version, for messages.
    package: String,
}

impl Session<'_, '_> {
    /// Runs a script of a package that is being installed.
    pub(super) fn run_incoming(&mut self, incoming: &Incoming, script: &str, arguments: &[&str]) {
        let Some(text) = incoming.script(script) else {
            return;
        };
        let templates = incoming.script("templates").unwrap_or_default().to_vec();
        self.run(&ScriptRun {
            context: ScriptContext {
                name: incoming.facts.name.clone(),
                architecture: incoming.facts.architecture.clone(),
                base: incoming.facts.base(),
                script: script.to_owned(),
                templates,
            },
            text,
            arguments,
            package: format!("package {} {}", incoming.facts.name, incoming.facts.version),
        });
    }

    /// Runs a script of a package that is installed in the image.
    pub(super) fn run_installed(&mut self, base: &str, script: &str, arguments: &[&str]) {
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
            Err(e) => return self.journal.problem(Problem::new(e.to_string())),
        };
        let context = ScriptContext {
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
        self.run(&ScriptRun {
            context,
            text: &text,
            arguments,
            package: format!("package {} {} of the image", facts.name, facts.version),
        });
    }

    fn run(&mut self, run: &ScriptRun<'_>) {
        let text = String::from_utf8_lossy(run.text).into_owned();
        let first = text.lines().next().unwrap_or_default();
        if !is_shell_script(first) {
            let shown = show(first.get(..60).unwrap_or(first).as_bytes());
            return self.script_refused(run, &format!("is not a shell script (`{shown}`)"));
        }
        let mut host = ScriptHost::new(
            self.editor,
            self.database,
            run.context.clone(),
            &self.disabled,
        );
        let result = shell::run(&text, run.invocation(), &mut host);
        let (unknown, activated) = (host.unknown, host.activated);
        let complete = unknown.is_empty();
        self.activated.extend(activated);
        self.statements_unknown(run, &unknown, &text.lines().collect::<Vec<_>>());
        match result {
            Err(error) => self.script_refused(run, &format!("is not understood: {error}")),
            Ok(exit) if exit.status == 0 => {}
            // After statements that were left out, a failure may be of their making.
            Ok(exit) if !complete => self.journal.accepted(format!(
                "{}: {} then stops at line {} with status {}",
                run.package, run.context.script, exit.line, exit.status
            )),
            Ok(exit) => self.script_refused(
                run,
                &format!("fails with status {} at line {}", exit.status, exit.line),
            ),
        }
    }

    /// The user's reason to accept unknown effects of a script, if there is one.
    fn accepted(&mut self, run: &ScriptRun<'_>) -> Option<String> {
        let at = self.accept.iter().position(|accept| {
            accept.package == run.context.name && accept.script == run.context.script
        })?;
        self.used.insert(at);
        self.accept.get(at).map(|accept| accept.reason.clone())
    }

    /// A script that is refused as a whole: a problem unless it is accepted.
    fn script_refused(&mut self, run: &ScriptRun<'_>, fact: &str) {
        let text = format!("{}: {} {fact}", run.package, run.context.script);
        match self.accepted(run) {
            Some(reason) => self.journal.accepted(format!("{text}; accepted: {reason}")),
            None => self.journal.problem(Problem::new(text).hint(run.hint())),
        }
    }

    /// Statements outside of the model: one problem with all of their lines unless the script is
    /// accepted.
    fn statements_unknown(
        &mut self,
        run: &ScriptRun<'_>,
        unknown: &[(usize, String)],
        lines: &[&str],
    ) {
        if unknown.is_empty() {
            return;
        }
        let (package, script) = (&run.package, &run.context.script);
        let statements: Vec<(usize, String)> = unknown
            .iter()
            .map(|(line, words)| {
                let source = lines.get(line.saturating_sub(1));
                let source = source.map_or(words.as_str(), |source| source.trim());
                (*line, show(source.as_bytes()))
            })
            .collect();
        if let Some(reason) = self.accepted(run) {
            for (line, statement) in &statements {
                self.journal.accepted(format!(
                    "{package}: {script} line {line} left out: `{statement}`; accepted: {reason}"
                ));
            }
            return;
        }
        let statements: BTreeMap<usize, String> = statements.into_iter().collect();
        let listed: String = statements
            .iter()
            .map(|(line, statement)| format!("\n  line {line}: {statement}"))
            .collect();
        let text = format!("{package}: {script} has statements whose effects are unknown:{listed}");
        self.journal.problem(Problem::new(text).hint(run.hint()));
    }

    /// Runs the triggers of packages that are interested in new files or in what the new packages
    /// activate.
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
                self.journal.note(format!(
                    "trigger of {name} ({names}) is left to the device: it keeps a cache"
                ));
            } else {
                self.run_installed(&base, "postinst", &["triggered", &names]);
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
            self.journal.note(format!(
                "accept entry {} ({} {}) was not needed",
                at + 1,
                accept.package,
                accept.script
            ));
        }
    }
}

impl ScriptRun<'_> {
    /// The arguments, and the variables that dpkg sets.
    fn invocation(&self) -> Invocation {
        let context = &self.context;
        let variables = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("DPKG_MAINTSCRIPT_PACKAGE", &context.name),
            ("DPKG_MAINTSCRIPT_ARCH", &context.architecture),
            ("DPKG_MAINTSCRIPT_NAME", &context.script),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_ADMINDIR", DIR),
            ("DPKG_ROOT", ""),
        ];
        let owned = |text: &&str| (*text).to_owned();
        Invocation {
            name: format!("{DIR}/info/{}.{}", context.base, context.script),
            arguments: self.arguments.iter().map(owned).collect(),
            variables: Variables::from_iter(
                variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
        }
    }

    fn hint(&self) -> String {
        format!(
            "to install the package without these effects, accept that they are left out:\n\
             [[client.accept]]\npackage = \"{}\"\nscript = \"{}\"\nreason = \"...\"",
            self.context.name, self.context.script
        )
    }
}

/// Whether the first line of a script names a shell that is interpreted.
fn is_shell_script(first_line: &str) -> bool {
    let interpreter = first_line
        .strip_prefix("#!")
        .unwrap_or_default()
        .split_whitespace()
        .next()
        .unwrap_or_default();
    matches!(interpreter.rsplit('/').next(), Some("sh" | "bash" | "dash"))
}

#[cfg(test)]
mod tests {
    use super::is_shell_script;

    #[test]
    fn shell_scripts_are_told_by_their_first_line() {
        for first in [
            "#!/bin/sh",
            "#! /bin/sh -e",
            "#!/usr/bin/dash",
            "#!/bin/bash",
        ] {
            assert!(is_shell_script(first), "{first}");
        }
        for first in [
            "",
            "/bin/sh",
            "#!",
            "#!/usr/bin/perl -w",
            "#!/usr/bin/env sh",
        ] {
            assert!(!is_shell_script(first), "{first}");
        }
    }
}
