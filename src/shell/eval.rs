//! Walking the statements of a script.

use super::ast::{Command, CommandKind, List, Pipeline, Statement, Word};
use super::error::{Flow, ScriptError};
use super::host::{ExitStatus, Host, Io, Variables};
use super::{Exit, Invocation, pattern};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Commands that one script may run; every real one stays far below.
const MAX_STEPS: usize = 100_000;
/// Calls of functions within each other; with the depth of the language it bounds the recursion of
/// the interpreter.
const MAX_CALLS: usize = 16;
/// Bytes that one script may make: values and output, all together.
const MAX_BYTES: usize = 128 << 20;
/// Work that one script may cause: bytes of files, steps of patterns.
const MAX_WORK: u64 = 256 << 20;

/// A script under way.
pub(super) struct Shell<'h> {
    pub(super) host: &'h mut dyn Host,
    /// `$0`, the same in functions.
    pub(super) name: String,
    pub(super) variables: Variables,
    pub(super) parameters: Vec<String>,
    functions: BTreeMap<String, Rc<Command>>,
    /// Variables to be restored when the function ends, innermost last.
    pub(super) locals: Vec<Vec<(String, Option<String>)>>,
    pub(super) errexit: bool,
    pub(super) status: ExitStatus,
    /// The status of the last command substitution: that of an assignment without a command.
    substituted: ExitStatus,
    /// The line of the command that runs.
    pub(super) line: usize,
    steps: usize,
    /// Bytes made so far.
    made: usize,
    /// Work of the interpreter so far; that of the host is counted by the host.
    work: u64,
}

impl<'h> Shell<'h> {
    pub(super) fn new(host: &'h mut dyn Host, call: Invocation) -> Self {
        Self {
            host,
            name: call.name,
            variables: call.variables,
            parameters: call.arguments,
            functions: BTreeMap::new(),
            locals: Vec::new(),
            errexit: false,
            status: 0,
            substituted: 0,
            line: 0,
            steps: 0,
            made: 0,
            work: 0,
        }
    }

    /// An error at the line of the command that runs.
    pub(super) fn error<T>(&self, reason: impl Into<String>) -> Result<T, Flow> {
        Err(Flow::Error(ScriptError {
            line: self.line,
            reason: reason.into(),
        }))
    }

    /// Counts bytes that the script makes.
    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<(), Flow> {
        self.made = self.made.saturating_add(bytes);
        if self.made > MAX_BYTES {
            return self.error(format!("more than {MAX_BYTES} bytes"));
        }
        Ok(())
    }

    /// Counts work that is about to be done.
    pub(super) fn count_work(&mut self, units: u64) -> Result<(), Flow> {
        self.work = self.work.saturating_add(units);
        if self.work.saturating_add(self.host.work()) > MAX_WORK {
            return self.error("more than any script has to do");
        }
        Ok(())
    }

    /// Counts a command or a round of a loop.
    fn count_step(&mut self) -> Result<(), Flow> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.error(format!("more than {MAX_STEPS} commands"));
        }
        Ok(())
    }

    /// Runs a whole script.
    pub(super) fn script(mut self, list: &List) -> Result<Exit, ScriptError> {
        let status = match self.list(list, &mut Io::default(), false) {
            Ok(status) | Err(Flow::Exit(status) | Flow::Return(status)) => status,
            Err(Flow::Break(_) | Flow::Continue(_)) => 0,
            Err(Flow::Error(error)) => return Err(error),
        };
        Ok(Exit {
            status,
            line: self.line,
        })
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
            status = self.statement(statement, io, tested)?;
        }
        Ok(status)
    }

    fn statement(
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
        let negated = statement
            .rest
            .last()
            .map_or(&statement.first, |(_, pipeline)| pipeline)
            .negated;
        if status != 0 && self.errexit && !tested && final_ran && !negated {
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
            commands => self.pipe(commands, io)?,
        };
        let status = if pipeline.negated {
            i32::from(status == 0)
        } else {
            status
        };
        self.status = status;
        Ok(status)
    }

    /// Each command in a subshell, the output of one the input of the next.
    fn pipe(&mut self, commands: &[Command], io: &mut Io) -> Result<ExitStatus, Flow> {
        let mut input = io.rest();
        let mut status = 0;
        for (at, command) in commands.iter().enumerate() {
            let mut own = Io::new(std::mem::take(&mut input));
            status = self.isolated(&mut own, |shell, io| shell.command(command, io, true))?;
            if at + 1 == commands.len() {
                io.output.push_str(&own.output)
            } else {
                input = own.output
            }
        }
        Ok(status)
    }

    /// Runs something as a subshell does: changes of variables and `exit` do not leave it.
    fn isolated(
        &mut self,
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let kept = (
            self.variables.clone(),
            self.parameters.clone(),
            self.functions.clone(),
            self.errexit,
        );
        let result = f(self, io);
        (
            self.variables,
            self.parameters,
            self.functions,
            self.errexit,
        ) = kept;
        match result {
            Err(Flow::Error(error)) => Err(Flow::Error(error)),
            Err(Flow::Exit(status) | Flow::Return(status)) | Ok(status) => Ok(status),
            Err(Flow::Break(_) | Flow::Continue(_)) => Ok(0),
        }
    }

    /// The list of a command substitution; its status is left in `substituted`.
    pub(super) fn subshell(&mut self, list: &List, io: &mut Io) -> Result<ExitStatus, Flow> {
        let status = self.isolated(io, |shell, io| shell.list(list, io, false))?;
        self.substituted = status;
        Ok(status)
    }

    fn command(
        &mut self,
        command: &Command,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        self.line = command.line;
        self.count_step()?;
        self.count_work(1)?;
        if command.redirects.is_empty() {
            return self.kind(&command.kind, io, tested);
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
                    None => self.parameters.clone(),
                };
                let mut values = values.into_iter();
                self.repeat(body, io, tested, |shell, _| {
                    let Some(value) = values.next() else {
                        return Ok(false);
                    };
                    shell.variables.insert(name.clone(), value);
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
                self.functions.insert(name.clone(), body.clone());
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
            return Ok(self.substituted);
        };
        let status = self.call(name, arguments, io, tested);
        self.restore(values);
        status
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if let Some(body) = self.functions.get(name).cloned() {
            return self.function(&body, arguments, io, tested);
        }
        if let Some(status) = self.builtin(name, arguments, io)? {
            return Ok(status);
        }
        let line = self.line;
        let before = io.output.len();
        let result = self.host.run(name, arguments, &mut self.variables, io);
        self.count_bytes(io.output.len().saturating_sub(before))?;
        match result {
            Ok(Some(status)) => Ok(status),
            Ok(None) => {
                let statement = [&[name.to_owned()], arguments].concat().join(" ");
                self.host.unknown(line, &statement);
                Ok(0)
            }
            Err(e) => self.error(e.to_string()),
        }
    }

    fn function(
        &mut self,
        body: &Command,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if self.locals.len() >= MAX_CALLS {
            return self.error(format!("functions call each other deeper than {MAX_CALLS}"));
        }
        let parameters = std::mem::replace(&mut self.parameters, arguments.to_vec());
        self.locals.push(Vec::new());
        let result = self.command(body, io, tested);
        let locals = self.locals.pop().unwrap_or_default();
        self.restore(locals);
        self.parameters = parameters;
        match result {
            Err(Flow::Return(status)) => Ok(status),
            other => other,
        }
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
