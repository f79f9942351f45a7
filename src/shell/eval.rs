//! Walking the statements of a script.

use super::ast::{Command, CommandKind, List, Pipeline, Statement, Word, WordPart};
use super::error::{Flow, ScriptError};
use super::host::{ExitStatus, Host, Input, Io, Variables};
use super::place::{Function, Reading};
use super::{Dialect, Exit, Invocation, pattern};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Calls of functions within each other.
const MAX_CALLS: usize = 16;
/// Commands within each other, over functions, subshells, texts and programs: the recursion of the
/// interpreter, which would else end its stack.
const MAX_NESTING: usize = 120;

/// Words that bash has built in and that are not supported.
const BASH_ONLY: [&str; 22] = [
    "((",
    "[[",
    "bind",
    "builtin",
    "caller",
    "compgen",
    "complete",
    "coproc",
    "declare",
    "dirs",
    "enable",
    "function",
    "let",
    "logout",
    "mapfile",
    "popd",
    "pushd",
    "readarray",
    "select",
    "shopt",
    "time",
    "typeset",
];

/// The special built-in utilities (POSIX.1-2024, 2.15).
const SPECIAL: [&str; 15] = [
    ":", ".", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set",
    "shift", "times", "trap", "unset",
];

/// Commands that fail without a message.
const SILENT: [&str; 13] = [
    "[",
    "test",
    "true",
    "false",
    "grep",
    "cmp",
    "which",
    "command",
    "getent",
    "dpkg",
    "deb-systemd-helper",
    "ischroot",
    "dpkg-statoverride",
];

/// A command in its words.
pub(super) fn statement(name: &str, arguments: &[String]) -> String {
    [&[name.to_owned()], arguments].concat().join(" ")
}

impl Pipeline {
    /// Whether its failure ends the shell under `set -e`. The failure of a compound command does
    /// not: it is that of a command within, which was looked at already.
    fn may_end_shell(&self) -> bool {
        let alone = match self.commands.as_slice() {
            [only] => matches!(
                only.kind,
                CommandKind::Simple { .. } | CommandKind::Subshell(_)
            ),
            _ => true,
        };
        alone && !self.negated
    }
}

impl Command {
    /// `exec` without a command: its redirections hold for all that follows.
    fn is_bare_exec(&self) -> bool {
        match &self.kind {
            CommandKind::Simple { assigns, words } => {
                let [word] = words.as_slice() else {
                    return false;
                };
                assigns.is_empty()
                    && matches!(word.as_slice(), [WordPart::Text(name)] if name == "exec")
            }
            _ => false,
        }
    }
}

/// A script under way.
pub(super) struct Shell<'h> {
    pub(super) host: &'h mut dyn Host,
    /// `$0`, the same in functions.
    pub(super) name: String,
    pub(super) variables: Variables,
    pub(super) parameters: Vec<String>,
    pub(super) dialect: Dialect,
    /// Options of the first line of the script.
    options: Vec<String>,
    pub(super) functions: BTreeMap<String, Function>,
    /// Names of the variables that programs get.
    pub(super) exported: BTreeSet<String>,
    /// Names of the variables that are set for the command that runs alone.
    pub(super) assigned: Vec<String>,
    /// Variables to be restored when the function ends, innermost last.
    pub(super) locals: Vec<Vec<(String, Option<String>)>>,
    pub(super) errexit: bool,
    /// `set -u`: an unset variable ends the shell.
    pub(super) nounset: bool,
    /// `set -f`: no file names in place of patterns.
    pub(super) noglob: bool,
    /// `set -o pipefail`: a pipeline fails if any of its commands does.
    pub(super) pipefail: bool,
    /// `set -C`: `>` does not write to a file that is there.
    pub(super) noclobber: bool,
    /// What commands read now.
    pub(super) stdin: Input,
    /// The texts that are read now, each within the one before it.
    pub(super) sources: Vec<Reading>,
    /// How many of them are files, texts and programs.
    pub(super) texts: usize,
    /// The action of `trap` at the end of the shell.
    pub(super) at_exit: Option<String>,
    pub(super) status: ExitStatus,
    /// The status of the last command substitution: that of an assignment without a command.
    pub(super) substituted: ExitStatus,
    /// Where `getopts` is: `OPTIND` as it left it, the parameter, and the letter in it.
    pub(super) option_at: (usize, usize, usize),
    /// The working directory as the script went there, and its real path.
    pub(super) pwd: String,
    pub(super) dir: String,
    /// The permissions that new files do not get.
    pub(super) umask: u16,
    /// Lines of commands in the background that nothing has waited for.
    pub(super) background: Vec<usize>,
    /// The line of the command that runs.
    pub(super) line: usize,
    /// Subshells within each other now.
    pub(super) subshells: usize,
    /// Commands within each other now.
    nesting: usize,
    /// Commands and rounds of loops so far.
    pub(super) steps: usize,
    /// Bytes made so far.
    pub(super) made: usize,
    /// Bytes that shells around the one that runs keep for later.
    pub(super) held: usize,
    /// Work of the interpreter so far; that of the host is counted by the host.
    pub(super) work: u64,
}

impl<'h> Shell<'h> {
    pub(super) fn new(host: &'h mut dyn Host, call: Invocation) -> Self {
        let mut variables = call.variables;
        let pwd = variables.entry("PWD".into()).or_insert("/".into());
        let pwd = pwd.clone();
        Self {
            host,
            name: call.name,
            exported: variables.keys().cloned().collect(),
            assigned: Vec::new(),
            variables,
            parameters: call.arguments,
            dialect: call.dialect,
            options: call.options,
            functions: BTreeMap::new(),
            locals: Vec::new(),
            errexit: false,
            nounset: false,
            noglob: false,
            pipefail: false,
            noclobber: false,
            stdin: Input::default(),
            sources: Vec::new(),
            texts: 0,
            at_exit: None,
            status: 0,
            substituted: 0,
            option_at: (1, 1, 1),
            dir: pwd.clone(),
            pwd,
            umask: 0o022,
            background: Vec::new(),
            line: 0,
            subshells: 0,
            nesting: 0,
            steps: 0,
            made: 0,
            held: 0,
            work: 0,
        }
    }

    /// An error at the line of the command that runs.
    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, Flow> {
        Err(Flow::Error(self.error_now(reason.into())))
    }

    /// Runs a whole script.
    pub(super) fn script(mut self, list: &List) -> Result<Exit, ScriptError> {
        let options = std::mem::take(&mut self.options);
        if !options.is_empty() && self.set(&options) != Some(0) {
            return Err(ScriptError {
                line: 1,
                reason: format!(
                    "the option {} of the shell is not supported",
                    options.join(" ")
                ),
            });
        }
        let mut io = Io::default();
        let result = self.list(list, &mut io, false);
        let line = self.line;
        let status = match self.ended(result, &mut io) {
            Ok(status) => status,
            Err(Flow::Error(error)) => return Err(error),
            Err(_) => 0,
        };
        self.line = line;
        Ok(Exit {
            status,
            line: self.line,
        })
    }

    /// The status of a shell whose statements ended so, after its trap.
    pub(super) fn ended(
        &mut self,
        result: Result<ExitStatus, Flow>,
        io: &mut Io,
    ) -> Result<ExitStatus, Flow> {
        let status = match result {
            Err(Flow::Error(error)) => return Err(Flow::Error(error)),
            Err(Flow::Exit(status) | Flow::Return(status)) | Ok(status) => status,
            Err(Flow::Break(_) | Flow::Continue(_)) => 0,
        };
        let status = self.run_exit_trap(status, io)?;
        for line in std::mem::take(&mut self.background) {
            self.line = line;
            self.unknown("a command in the background that nothing waits for", false);
        }
        Ok(status)
    }

    /// Statements one after the other; if `tested`, a failure does not end the script (`set -e`).
    pub(super) fn list(
        &mut self,
        list: &List,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        let mut status = 0;
        for statement in list {
            status = if statement.background {
                self.in_background(statement)?
            } else {
                self.statement(statement, io, tested)?
            };
        }
        Ok(status)
    }

    pub(super) fn statement(
        &mut self,
        statement: &Statement,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        let last = statement.rest.len();
        let mut status = self.pipeline(&statement.first, io, tested || last > 0)?;
        let mut final_ran = last == 0;
        for (at, (and, pipeline)) in statement.rest.iter().enumerate() {
            if (status == 0) == *and {
                final_ran = at + 1 == last;
                status = self.pipeline(pipeline, io, tested || !final_ran)?;
            } else {
                final_ran = false;
            }
        }
        let ran = statement
            .rest
            .last()
            .map_or(&statement.first, |(_, pipeline)| pipeline);
        if status != 0 && self.errexit && !tested && final_ran && ran.may_end_shell() {
            return Err(Flow::Exit(status));
        }
        Ok(status)
    }

    fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        let tested = tested || pipeline.negated;
        let status = match pipeline.commands.as_slice() {
            [only] => self.command(only, io, tested)?,
            commands => self.pipe(commands, io, tested)?,
        };
        let status = if pipeline.negated {
            i32::from(status == 0)
        } else {
            status
        };
        self.status = status;
        Ok(status)
    }

    pub(super) fn command(
        &mut self,
        command: &Command,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        self.line = command.line;
        self.count_step()?;
        self.count_work(1)?;
        if self.nesting >= MAX_NESTING {
            return self.error(format!(
                "commands within each other deeper than {MAX_NESTING}"
            ));
        }
        self.nesting += 1;
        let result = self.command_within(command, io, tested);
        self.nesting -= 1;
        result
    }

    fn command_within(
        &mut self,
        command: &Command,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if command.redirects.is_empty() {
            return self.kind(&command.kind, io, tested);
        }
        if command.is_bare_exec() {
            return self.redirected_for_good(&command.redirects);
        }
        self.redirected(&command.redirects, io, |shell, io| {
            shell.kind(&command.kind, io, tested)
        })
    }

    fn kind(&mut self, kind: &CommandKind, io: &mut Io, tested: bool) -> Result<ExitStatus, Flow> {
        match kind {
            CommandKind::Simple { assigns, words } => self.simple(assigns, words, io, tested),
            CommandKind::Group(list) => self.list(list, io, tested),
            CommandKind::Subshell(list) => {
                self.isolated(io, |shell, io| shell.list(list, io, tested))
            }
            CommandKind::If {
                branches,
                otherwise,
            } => {
                for (condition, body) in branches {
                    if self.list(condition, io, true)? == 0 {
                        return self.list(body, io, tested);
                    }
                }
                self.list(otherwise, io, tested)
            }
            CommandKind::For { name, words, body } => {
                let values = match words {
                    Some(words) => self.fields(words)?,
                    None => {
                        self.host.reads("@");
                        self.parameters.clone()
                    }
                };
                let mut values = values.into_iter();
                self.repeat(body, io, tested, |shell, _| {
                    let Some(value) = values.next() else {
                        return Ok(false);
                    };
                    shell.assign(name, value);
                    Ok(true)
                })
            }
            CommandKind::While {
                until,
                condition,
                body,
            } => self.repeat(body, io, tested, |shell, io| {
                Ok((shell.list(condition, io, true)? == 0) != *until)
            }),
            CommandKind::Case { word, arms } => {
                let text: Vec<char> = self.text(word)?.chars().collect();
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let pattern = self.pattern(pattern)?;
                        self.count_work(pattern::cost(&pattern, text.len()))?;
                        if pattern::matches(&pattern, &text) {
                            return self.list(body, io, tested);
                        }
                    }
                }
                Ok(0)
            }
            CommandKind::Function { name, body } => {
                let function = Function {
                    body: body.clone(),
                    source: self.source_now().cloned(),
                };
                self.functions.insert(name.clone(), function);
                Ok(0)
            }
        }
    }

    /// A loop; `next` says whether another round follows.
    fn repeat(
        &mut self,
        body: &List,
        io: &mut Io,
        tested: bool,
        mut next: impl FnMut(&mut Self, &mut Io) -> Result<bool, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let mut status = 0;
        while next(self, io)? {
            self.count_step()?;
            match self.list(body, io, tested) {
                Ok(last) => status = last,
                Err(Flow::Break(1)) => return Ok(0),
                Err(Flow::Break(n)) => return Err(Flow::Break(n - 1)),
                Err(Flow::Continue(1)) => {}
                Err(Flow::Continue(n)) => return Err(Flow::Continue(n - 1)),
                Err(other) => return Err(other),
            }
        }
        Ok(status)
    }

    fn simple(
        &mut self,
        assigns: &[(String, Word)],
        words: &[Word],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        // Expansion may run commands, whose lines must not stick.
        let line = self.line;
        self.substituted = 0;
        let fields = self.fields(words)?;
        let mut values = Vec::new();
        for (name, word) in assigns {
            let value = self.text(word)?;
            let old = self.variables.insert(name.clone(), value);
            values.push((name.clone(), old));
        }
        self.line = line;
        let Some((name, arguments)) = fields.split_first() else {
            values.iter().for_each(|(name, _)| self.note(name));
            return Ok(self.substituted);
        };
        self.assigned = values.iter().map(|(name, _)| name.clone()).collect();
        let kept = self.outlives(name, arguments);
        let status = self.call(name, arguments, io, tested);
        let (kept, values): (Vec<_>, Vec<_>) = values.into_iter().partition(|(name, _)| kept(name));
        kept.iter().for_each(|(name, _)| self.note(name));
        self.restore(values);
        status
    }

    /// Which variables that are set in front of a command stay set after it: in dash those of a
    /// special built-in utility (POSIX.1-2024, 2.9.1), in bash those that `export` and `readonly`
    /// name.
    fn outlives<'w>(&self, word: &'w str, arguments: &'w [String]) -> impl Fn(&str) -> bool + 'w {
        let dash = self.dialect == Dialect::Dash;
        let own = self.functions.contains_key(word);
        move |name| match (dash, word) {
            _ if own => false,
            (true, _) => SPECIAL.contains(&word),
            (false, "export" | "readonly") => arguments
                .iter()
                .any(|word| word.split('=').next() == Some(name)),
            _ => false,
        }
    }

    /// Sets a variable.
    pub(super) fn assign(&mut self, name: &str, value: impl Into<String>) {
        self.note(name);
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Tells the host that a variable is set or unset.
    pub(super) fn note(&mut self, name: &str) {
        if self.subshells == 0 {
            self.host.assigns(name, self.line);
        }
    }

    /// Calls a command by its name: a function, what is built in, or a command of the host.
    pub(super) fn call(
        &mut self,
        name: &str,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if let Some(function) = self.functions.get(name).cloned() {
            return self.function(&function, name, arguments, io, tested);
        }
        if let Some(status) = self.builtin(name, arguments, io, tested)? {
            return Ok(status);
        }
        if self.dialect == Dialect::Bash && BASH_ONLY.contains(&name) || name.contains("+=") {
            self.unknown(&statement(name, arguments), io.read);
            return Ok(0);
        }
        let before = io.output.len();
        let result = self.host.run(name, arguments, &mut self.variables, io);
        self.count_bytes(io.output.len().saturating_sub(before))?;
        match result {
            Ok(Some(status)) => {
                // The texts of messages are not modelled.
                if status != 0 && io.errors_kept && !SILENT.contains(&name) {
                    let words = statement(name, arguments);
                    let text = format!("{words}, whose error message is written or read");
                    self.unknown(&text, io.read);
                }
                Ok(status)
            }
            Ok(None) => match self.program(name, arguments, io)? {
                Some(status) => Ok(status),
                None => {
                    self.unknown(&statement(name, arguments), io.read);
                    Ok(0)
                }
            },
            Err(e) => self.error(e.to_string()),
        }
    }

    fn function(
        &mut self,
        function: &Function,
        name: &str,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if self.locals.len() >= MAX_CALLS {
            return self.error(format!("functions call each other deeper than {MAX_CALLS}"));
        }
        let parameters = std::mem::replace(&mut self.parameters, arguments.to_vec());
        self.locals.push(Vec::new());
        let place = |source: Option<&super::place::Source>| {
            source.map(|source| Rc::as_ptr(&source.text).cast::<u8>())
        };
        let result = if place(function.source.as_ref()) == place(self.source_now()) {
            self.command(&function.body, io, tested)
        } else {
            let words = statement(name, arguments);
            self.function_elsewhere(function, &words, io, tested)
        };
        let locals = self.locals.pop().unwrap_or_default();
        self.restore(locals);
        self.parameters = parameters;
        match result {
            Err(Flow::Return(status)) => Ok(status),
            other => other,
        }
    }

    /// What the name of a command is to the shell: a function of the script or a built-in one.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    /// Gives variables the values that they had, the last one first.
    fn restore(&mut self, values: Vec<(String, Option<String>)>) {
        for (name, old) in values.into_iter().rev() {
            match old {
                Some(old) => self.variables.insert(name, old),
                None => self.variables.remove(&name),
            };
        }
    }
}
