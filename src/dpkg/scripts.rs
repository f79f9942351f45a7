//! Maintainer scripts, called as Debian Policy 6.6 says, and the triggers that the new files
//! activate.

use super::database::{DIR, Database, LIMIT};
use super::incoming::Incoming;
use super::interpreter::interpreter;
use super::request::{AcceptedScript, Journal};
use super::script_host::{ScriptContext, ScriptHost};
use super::triggers::{Triggers, file_interests, interested};
use super::unknown::{self, Unknown};
use crate::problem::Problem;
use crate::shell::{self, Dialect, Invocation, Variables};
use crate::tree::editor::TreeEditor;
use crate::tree::show;
use std::collections::{BTreeMap, BTreeSet};

/// Packages whose triggers only update a cache, which stays as it is.
const SKIPPED: [&str; 13] = [
    "man-db",
    "hicolor-icon-theme",
    "desktop-file-utils",
    "gnome-menus",
    "mailcap",
    "mime-support",
    "install-info",
    "doc-base",
    "menu",
    "fontconfig",
    "shared-mime-info",
    "initramfs-tools",
    "xml-core",
];

/// Rounds of triggers that activate others.
const MAX_ROUNDS: usize = 20;

/// An installation under way: what it changes, and its journal.
pub(super) struct Session<'a, 't> {
    pub(super) editor: &'a mut TreeEditor<'t>,
    pub(super) database: &'a mut Database,
    pub(super) journal: &'a mut Journal,
    pub(super) accept: &'a [AcceptedScript],
    /// Units that stay disabled.
    pub(super) disabled: BTreeSet<String>,
    /// Triggers that were activated by name, in this order.
    pub(super) activated: Vec<String>,
    /// How many of these there were when a package was configured, which took care of them.
    pub(super) configured: BTreeMap<String, usize>,
    /// Files of older versions that were removed.
    pub(super) removed: BTreeSet<Vec<u8>>,
    /// Answers to debconf's questions, by scripts.
    pub(super) answers: BTreeMap<String, String>,
    /// Which entries of `accept` were needed.
    pub(super) used: BTreeSet<usize>,
    /// New packages that lack something: problems of their scripts may be due to that, and are
    /// not reported.
    pub(super) incomplete: BTreeSet<String>,
}

/// The library of debconf that scripts read.
const CONFMODULE: &[u8] = b"debconf/confmodule";

/// A script to be run.
struct ScriptRun<'a> {
    context: ScriptContext,
    text: &'a [u8],
    arguments: &'a [&'a str],
    /// The package and its version, for messages.
    package: String,
}

impl Session<'_, '_> {
    /// Configures a package: its `config` script, where `postinst` would run it, and `postinst`.
    pub(super) fn configure(&mut self, incoming: &Incoming) {
        let version = incoming.configured.as_deref().unwrap_or_default();
        let base = incoming.facts.base();
        let postinst = incoming.script("postinst").unwrap_or_default();
        let asks = postinst
            .windows(CONFMODULE.len())
            .any(|window| window == CONFMODULE);
        if asks {
            self.run_incoming(incoming, "config", &["configure", version]);
        }
        self.database
            .under_way
            .insert(base.clone(), "half-configured");
        // What the script itself activates comes after.
        self.configured.insert(base.clone(), self.activated.len());
        self.run_incoming(incoming, "postinst", &["configure", version]);
        self.database.under_way.remove(&base);
        let triggers = incoming.script("triggers").map(Triggers::read);
        self.activated
            .extend(triggers.unwrap_or_default().activates);
    }

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
        let Some((dialect, options)) = interpreter(self.editor.tree(), first) else {
            let shown: String = first.chars().take(60).collect();
            let shown = show(shown.as_bytes());
            return self.script_refused(run, &format!("is not a shell script (`{shown}`)"));
        };
        let running = self
            .database
            .named("dpkg")
            .map(|s| s.facts.version.to_string());
        let left_out = self.lines_left_out(run, &text);
        let mut host = ScriptHost::new(
            self.editor,
            self.database,
            run.context.clone(),
            &self.disabled,
        );
        host.answers = std::mem::take(&mut self.answers);
        host.left_out = left_out;
        let invocation = Invocation {
            dialect,
            options,
            ..run.invocation(&running.unwrap_or_default())
        };
        let result = shell::run(&text, invocation, &mut host);
        let (unknown, activated) = (host.unknown, host.activated);
        let (notes, refused, impossible) = (host.notes, host.refused, host.impossible);
        self.answers = host.answers;
        for note in notes {
            self.journal.note(note);
        }
        for fact in refused {
            self.script_refused(run, &fact);
        }
        let complete = unknown.is_empty();
        self.activated.extend(activated);
        let statements = unknown::gather(&text, &unknown, &impossible);
        let refused = self.statements_unknown(run, statements);
        match result {
            Err(error) => self.script_refused(run, &format!("is not understood: {error}")),
            Ok(exit) if exit.status == 0 => {}
            // After statements that were left out, a failure may be of their making.
            Ok(_) if refused => {}
            Ok(exit) if !complete && self.accepted(run, None).is_some() => {
                self.journal.accepted(format!(
                    "{}: {} then stops at line {} with status {}",
                    run.package, run.context.script, exit.line, exit.status
                ))
            }
            Ok(exit) => self.script_refused(
                run,
                &format!("fails with status {} at line {}", exit.status, exit.line),
            ),
        }
    }

    /// The user's reason to accept a script's unknown effects, or one statement of it.
    fn accepted(&mut self, run: &ScriptRun<'_>, statement: Option<&str>) -> Option<String> {
        let at = self.accept.iter().position(|accept| {
            accept.package == run.context.name
                && accept.script == run.context.script
                && (accept.statement.is_none() || accept.statement.as_deref() == statement)
        })?;
        self.used.insert(at);
        self.accept.get(at).map(|accept| accept.reason.clone())
    }

    /// A script that is refused as a whole: a problem unless it is accepted.
    fn script_refused(&mut self, run: &ScriptRun<'_>, fact: &str) {
        let text = format!("{}: {} {fact}", run.package, run.context.script);
        match self.accepted(run, None) {
            Some(reason) => self.journal.accepted(format!("{text}; accepted: {reason}")),
            None => self.problem(run, Problem::new(text).hint(run.hint())),
        }
    }

    /// The lines of the script whose statements the user accepts by name to be left out.
    fn lines_left_out(&self, run: &ScriptRun<'_>, text: &str) -> BTreeSet<usize> {
        let accepted = self.accept.iter().filter(|accept| {
            accept.package == run.context.name && accept.script == run.context.script
        });
        let named: BTreeSet<&str> = accepted
            .filter_map(|accept| accept.statement.as_deref())
            .collect();
        if named.is_empty() {
            return BTreeSet::new();
        }
        let lines = 1..=text.lines().count();
        lines
            .filter(|line| named.contains(unknown::shown(text, *line).as_str()))
            .collect()
    }

    /// Statements outside of the model: one problem with all of them, but for those that are
    /// accepted. Whether there is one.
    fn statements_unknown(&mut self, run: &ScriptRun<'_>, statements: Vec<Unknown>) -> bool {
        let (package, script) = (&run.package, &run.context.script);
        let mut refused = Vec::new();
        for statement in statements {
            // The rest of the script would go on with what was not printed.
            let alone = Some(statement.text.as_str()).filter(|_| !statement.read);
            match self.accepted(run, alone) {
                Some(reason) => self.journal.accepted(format!(
                    "{package}: {script} line {} left out: `{}`; accepted: {reason}",
                    statement.line, statement.text
                )),
                None => refused.push(statement),
            }
        }
        if refused.is_empty() {
            return false;
        }
        let listed: String = refused.iter().map(Unknown::to_string).collect();
        let text = format!("{package}: {script} has statements whose effects are unknown:{listed}");
        let hint = unknown::hint(&run.context.name, script, &refused);
        self.problem(run, Problem::new(text).hint(hint));
        true
    }

    /// A problem of a script, unless its package lacks what it depends on, which is one itself.
    fn problem(&mut self, run: &ScriptRun<'_>, problem: Problem) {
        if !self.incomplete.contains(&run.context.name) {
            self.journal.problem(problem);
        }
    }

    /// Runs the triggers of packages that are interested in new files or in what the new packages
    /// activate, and then those that these scripts activate.
    pub(super) fn triggers(&mut self, incoming: &[&Incoming]) {
        let mut pending = self.pending(0);
        self.pending_by_files(incoming, &mut pending);
        for round in 0.. {
            if pending.is_empty() {
                return;
            }
            if round == MAX_ROUNDS {
                let names: Vec<String> = pending.into_keys().collect();
                let text = format!(
                    "triggers of {} activate each other after {MAX_ROUNDS} rounds",
                    names.join(", ")
                );
                return self.journal.problem(Problem::new(text).hint(
                    "dpkg would not end either: leave one of the packages out, or install them in \
                     the golden image",
                ));
            }
            let done = self.activated.len();
            for (base, names) in pending {
                self.trigger(&base, &names);
            }
            pending = self.pending(done);
        }
    }

    /// The packages that wait for what was activated by name, from a position on.
    fn pending(&self, from: usize) -> BTreeMap<String, BTreeSet<String>> {
        let mut pending: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (at, name) in self.activated.iter().enumerate().skip(from) {
            for base in interested(self.editor, name) {
                // Configuring a package takes care of what was activated before.
                if self
                    .configured
                    .get(&base)
                    .is_none_or(|configured| at >= *configured)
                {
                    pending.entry(base).or_default().insert(name.clone());
                }
            }
        }
        pending
    }

    /// The packages that wait for files that are new or were removed.
    fn pending_by_files(
        &self,
        incoming: &[&Incoming],
        pending: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        for (path, base) in file_interests(self.editor) {
            let below = |entry: &[u8]| {
                entry
                    .strip_prefix(path.as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            };
            // A package that was configured afterwards took care of all new files.
            let touched = !self.configured.contains_key(&base)
                && (self.removed.iter().any(|path| below(path))
                    || incoming
                        .iter()
                        .any(|package| package.package.entries.iter().any(|e| below(&e.path))));
            if touched {
                pending.entry(base).or_default().insert(path);
            }
        }
    }

    /// Runs the script of a package for the triggers that it waited for.
    fn trigger(&mut self, base: &str, names: &BTreeSet<String>) {
        let names = names.iter().cloned().collect::<Vec<_>>().join(" ");
        let name = base.split(':').next().unwrap_or(base);
        if SKIPPED.contains(&name) {
            self.journal.note(format!(
                "trigger of {name} ({names}) is left out: the cache that it keeps stays that of the golden image"
            ));
        } else {
            self.run_installed(base, "postinst", &["triggered", &names]);
        }
    }

    /// Entries of `accept` that nothing needed.
    pub(super) fn unused(&mut self) {
        let unused = (0..self.accept.len()).filter(|at| !self.used.contains(at));
        for at in unused {
            self.journal.unused(at);
        }
    }
}

impl ScriptRun<'_> {
    /// The arguments, and the variables that dpkg sets.
    fn invocation(&self, running: &str) -> Invocation {
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
            ("DPKG_RUNNING_VERSION", running),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("HOME", "/root"),
        ];
        let owned = |text: &&str| (*text).to_owned();
        Invocation {
            name: format!("{DIR}/info/{}.{}", context.base, context.script),
            arguments: self.arguments.iter().map(owned).collect(),
            dialect: Dialect::default(),
            options: Vec::new(),
            variables: Variables::from_iter(
                variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
            ),
        }
    }

    fn hint(&self) -> String {
        format!(
            "to install the package without any effect of this script that is unknown, accept it as \
             a whole:\n[[client.accept]]\npackage = \"{}\"\nscript = \"{}\"\nreason = \"...\"",
            self.context.name, self.context.script
        )
    }
}
