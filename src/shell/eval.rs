//! Walking a script's statements.

use super::ast::{Command, Kind, List, Pipeline, Redirect, Statement, Target};
use super::pattern;
use crate::dpkg::commands;
use crate::dpkg::world::World;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Commands that one script may run; every real one stays far below.
const MAX_STEPS: usize = 100_000;
/// Calls of functions within each other; with the depth of the language it bounds the walk's
/// recursion.
const MAX_CALLS: usize = 16;
/// Bytes that one script may make: values and output, all together.
const MAX_BYTES: usize = 128 << 20;

/// What one script may look at: bytes of files, steps of patterns.
const MAX_WORK: u64 = 256 << 20;

/// What a command reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Io {
    /// Standard input and how much of it was read.
    pub(crate) input: String,
    pub(crate) read: usize,
    /// Standard output.
    pub(crate) out: String,
}

impl Io {
    /// All of the input that is left.
    pub(crate) fn rest(&mut self) -> String {
        let rest = self.input.get(self.read..).unwrap_or_default().to_owned();
        self.read = self.input.len();
        rest
    }

    /// The next line of the input without its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let rest = self
            .input
            .get(self.read..)
            .filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        self.read += line.len();
        Some(line.trim_end_matches('\n').to_owned())
    }
}

/// Why walking stops before the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// `exit`, or a failure under `set -e`.
    Exit(i32),
    Return(i32),
    Break(usize),
    Continue(usize),
    /// The script does what the interpreter cannot.
    Broken(String),
}

/// A shell in the middle of a script.
pub(crate) struct Shell<'s, 'w, 't> {
    pub(crate) world: &'s mut World<'w, 't>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) parameters: Vec<String>,
    functions: BTreeMap<String, Rc<Command>>,
    /// Variables to be restored when the function ends, innermost last.
    locals: Vec<Vec<(String, Option<String>)>>,
    pub(crate) errexit: bool,
    pub(crate) status: i32,
    /// The status of the last command substitution: that of an assignment without a command.
    substituted: i32,
    /// The line of the command that runs.
    pub(crate) line: usize,
    steps: usize,
    /// Bytes made so far.
    made: usize,
}

type Walked = Result<i32, Ended>;

impl<'s, 'w, 't> Shell<'s, 'w, 't> {
    pub(crate) fn new(world: &'s mut World<'w, 't>, parameters: Vec<String>) -> Self {
        let package = world.package.clone();
        let variables = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("DPKG_MAINTSCRIPT_PACKAGE", &package.name),
            ("DPKG_MAINTSCRIPT_ARCH", &package.architecture),
            ("DPKG_MAINTSCRIPT_NAME", &package.script),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_ROOT", ""),
        ];
        let variables = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        Self {
            world,
            variables,
            parameters,
            functions: BTreeMap::new(),
            locals: Vec::new(),
            errexit: false,
            status: 0,
            substituted: 0,
            line: 0,
            steps: 0,
            made: 0,
        }
    }

    /// Counts bytes that the script makes.
    pub(super) fn makes(&mut self, bytes: usize) -> Result<(), Ended> {
        self.made = self.made.saturating_add(bytes);
        if self.made > MAX_BYTES {
            Err(Ended::Broken(format!(
                "line {}: more than {MAX_BYTES} bytes",
                self.line
            )))
        } else {
            Ok(())
        }
    }

    /// Counts work that is about to be done, and ends the script when there was too much.
    pub(super) fn works(&self, units: u64) -> Result<(), Ended> {
        self.world.works(units);
        let over = self.world.work.get() > MAX_WORK;
        if over {
            Err(Ended::Broken(format!(
                "line {}: more than any script has to do",
                self.line
            )))
        } else {
            Ok(())
        }
    }

    /// Runs a whole script and returns its status, or what broke.
    pub(crate) fn script(&mut self, list: &List, io: &mut Io) -> Result<i32, String> {
        match self.list(list, io, false) {
            Ok(status) | Err(Ended::Exit(status) | Ended::Return(status)) => Ok(status),
            Err(Ended::Break(_) | Ended::Continue(_)) => Ok(0),
            Err(Ended::Broken(what)) => Err(what),
        }
    }

    /// Statements in a row; under `tested` a failure does not end the script.
    fn list(&mut self, list: &List, io: &mut Io, tested: bool) -> Walked {
        let mut status = 0;
        for statement in list {
            status = self.statement(statement, io, tested)?;
        }
        Ok(status)
    }

    fn statement(&mut self, statement: &Statement, io: &mut Io, tested: bool) -> Walked {
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
            return Err(Ended::Exit(status));
        }
        Ok(status)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, io: &mut Io, tested: bool) -> Walked {
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
    fn pipe(&mut self, commands: &[Command], io: &mut Io) -> Walked {
        let mut input = io.rest();
        let mut status = 0;
        for (at, command) in commands.iter().enumerate() {
            let mut own = Io {
                input: std::mem::take(&mut input),
                ..Io::default()
            };
            status = self.isolated(&mut own, |shell, io| shell.command(command, io, true))?;
            if at + 1 == commands.len() {
                io.out.push_str(&own.out)
            } else {
                input = own.out
            }
        }
        Ok(status)
    }

    /// Runs something whose variables and `exit` stay its own.
    fn isolated(&mut self, io: &mut Io, f: impl FnOnce(&mut Self, &mut Io) -> Walked) -> Walked {
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
            Err(Ended::Broken(what)) => Err(Ended::Broken(what)),
            Err(Ended::Exit(status) | Ended::Return(status)) | Ok(status) => Ok(status),
            Err(Ended::Break(_) | Ended::Continue(_)) => Ok(0),
        }
    }

    /// The list of a command substitution; its status is left in `substituted`.
    pub(super) fn subshell(&mut self, list: &List, io: &mut Io) -> Walked {
        let status = self.isolated(io, |shell, io| shell.list(list, io, false))?;
        self.substituted = status;
        Ok(status)
    }

    fn command(&mut self, command: &Command, io: &mut Io, tested: bool) -> Walked {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Ended::Broken(format!(
                "line {}: more than {MAX_STEPS} commands",
                command.line
            )));
        }
        self.line = command.line;
        self.works(1)?;
        if command.redirects.is_empty() {
            return self.kind(&command.kind, io, tested);
        }
        self.redirected(&command.redirects, io, |shell, io| {
            shell.kind(&command.kind, io, tested)
        })
    }

    fn redirected(
        &mut self,
        redirects: &[Redirect],
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Walked,
    ) -> Walked {
        let mut input = None;
        let mut sink = Sink::Same;
        for redirect in redirects {
            match (&redirect.to, redirect.fd) {
                (Target::Here(body), 0) => {
                    input = Some(
                        body.get()
                            .map(|word| self.text(word))
                            .transpose()?
                            .unwrap_or_default(),
                    );
                }
                (Target::Read(word), 0) => {
                    let path = self.text(word)?;
                    let text = self
                        .world
                        .text(&path)
                        .map_err(|e| Ended::Broken(e.to_string()))?;
                    let Some(text) = text else { return Ok(1) };
                    input = Some(text);
                }
                (Target::Write(word), 1) => sink = Sink::of(self.text(word)?, false),
                (Target::Append(word), 1) => sink = Sink::of(self.text(word)?, true),
                (Target::Duplicate(word), 1) => {
                    let to = self.text(word)?;
                    sink = if to == "1" { sink } else { Sink::Nowhere };
                }
                (Target::Write(word) | Target::Append(word), _) => {
                    let path = self.text(word)?;
                    if !path.starts_with("/dev/") {
                        self.world
                            .unknown(self.line, "standard error is kept in a file");
                    }
                }
                _ => {}
            }
        }
        let mut own = Io::default();
        match input {
            Some(input) => own.input = input,
            None => own.input = io.rest(),
        }
        let status = f(self, &mut own)?;
        match sink {
            Sink::Same => io.out.push_str(&own.out),
            Sink::Nowhere => {}
            Sink::File { path, append } => {
                let line = self.line;
                self.makes(usize::try_from(self.world.size(&path)).unwrap_or(usize::MAX))?;
                let written = self.world.write(&path, own.out.as_bytes(), append);
                written.map_err(|e| Ended::Broken(format!("line {line}: {e}")))?;
            }
        }
        Ok(status)
    }

    fn kind(&mut self, kind: &Kind, io: &mut Io, tested: bool) -> Walked {
        match kind {
            Kind::Simple { assigns, words } => self.simple(assigns, words, io, tested),
            Kind::Group(list) => self.list(list, io, tested),
            Kind::Subshell(list) => self.isolated(io, |shell, io| shell.list(list, io, tested)),
            Kind::If {
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
            Kind::For { name, words, body } => {
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
            Kind::While {
                until,
                condition,
                body,
            } => self.repeat(body, io, tested, |shell, io| {
                Ok((shell.list(condition, io, true)? == 0) != *until)
            }),
            Kind::Case { word, arms } => {
                let text: Vec<char> = self.text(word)?.chars().collect();
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let pattern = self.pattern(pattern)?;
                        self.works(pattern::cost(&pattern, text.len()))?;
                        if pattern::matches(&pattern, &text) {
                            return self.list(body, io, tested);
                        }
                    }
                }
                Ok(0)
            }
            Kind::Function { name, body } => {
                self.functions.insert(name.clone(), body.clone());
                Ok(0)
            }
        }
    }

    /// A loop; `again` says whether another round follows.
    fn repeat(
        &mut self,
        body: &List,
        io: &mut Io,
        tested: bool,
        mut again: impl FnMut(&mut Self, &mut Io) -> Result<bool, Ended>,
    ) -> Walked {
        let mut status = 0;
        while again(self, io)? {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Ended::Broken(format!(
                    "line {}: more than {MAX_STEPS} commands",
                    self.line
                )));
            }
            match self.list(body, io, tested) {
                Ok(last) => status = last,
                Err(Ended::Break(1)) => return Ok(0),
                Err(Ended::Break(n)) => return Err(Ended::Break(n - 1)),
                Err(Ended::Continue(1)) => {}
                Err(Ended::Continue(n)) => return Err(Ended::Continue(n - 1)),
                Err(other) => return Err(other),
            }
        }
        Ok(status)
    }

    fn simple(
        &mut self,
        assigns: &[(String, super::ast::Word)],
        words: &[super::ast::Word],
        io: &mut Io,
        tested: bool,
    ) -> Walked {
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
        for (name, old) in values.into_iter().rev() {
            match old {
                Some(old) => self.variables.insert(name, old),
                None => self.variables.remove(&name),
            };
        }
        status
    }

    fn call(&mut self, name: &str, arguments: &[String], io: &mut Io, tested: bool) -> Walked {
        if let Some(body) = self.functions.get(name).cloned() {
            return self.function(&body, arguments, io, tested);
        }
        if let Some(status) = self.special(name, arguments, io)? {
            return Ok(status);
        }
        let line = self.line;
        let before = io.out.len();
        let ran = commands::run(self, name, arguments, io);
        self.makes(io.out.len().saturating_sub(before))?;
        match ran {
            Ok(Some(status)) => Ok(status),
            Ok(None) => {
                self.world.unknown(
                    line,
                    &[&[name.to_owned()][..], arguments].concat().join(" "),
                );
                Ok(0)
            }
            Err(e) => Err(Ended::Broken(format!("line {line}: {e}"))),
        }
    }

    fn function(
        &mut self,
        body: &Command,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Walked {
        if self.locals.len() >= MAX_CALLS {
            return Err(Ended::Broken(format!(
                "line {}: functions call each other deeper than {MAX_CALLS}",
                self.line
            )));
        }
        let parameters = std::mem::replace(&mut self.parameters, arguments.to_vec());
        self.locals.push(Vec::new());
        let result = self.command(body, io, tested);
        for (name, old) in self.locals.pop().unwrap_or_default().into_iter().rev() {
            match old {
                Some(old) => self.variables.insert(name, old),
                None => self.variables.remove(&name),
            };
        }
        self.parameters = parameters;
        match result {
            Err(Ended::Return(status)) => Ok(status),
            other => other,
        }
    }

    /// Commands that change the shell itself.
    fn special(
        &mut self,
        word: &str,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<i32>, Ended> {
        let number = arguments.first().and_then(|n| n.parse::<i32>().ok());
        let levels = usize::try_from(number.unwrap_or(1)).unwrap_or(1).max(1);
        Ok(Some(match word {
            "exit" => return Err(Ended::Exit(number.unwrap_or(self.status))),
            "return" => return Err(Ended::Return(number.unwrap_or(self.status))),
            "break" => return Err(Ended::Break(levels)),
            "continue" => return Err(Ended::Continue(levels)),
            "set" => return Ok(self.set(arguments)),
            "shift" => {
                let count = usize::try_from(number.unwrap_or(1))
                    .unwrap_or(0)
                    .min(self.parameters.len());
                self.parameters.drain(..count);
                0
            }
            "export" | "readonly" | "local" => {
                for argument in arguments {
                    let (name, value) = argument
                        .split_once('=')
                        .map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
                    if let Some(scope) = self.locals.last_mut().filter(|_| word == "local") {
                        scope.push((name.to_owned(), self.variables.get(name).cloned()));
                    }
                    if let Some(value) = value {
                        self.variables.insert(name.to_owned(), value.to_owned());
                    }
                }
                0
            }
            "unset" => {
                for name in arguments {
                    self.variables.remove(name);
                }
                0
            }
            "read" => {
                let Some(line) = io.line() else {
                    return Ok(Some(1));
                };
                let names: Vec<&String> = arguments
                    .iter()
                    .filter(|name| !name.starts_with('-'))
                    .collect();
                let mut words = line.splitn(names.len().max(1), ' ').map(str::trim);
                for name in names {
                    self.variables
                        .insert(name.clone(), words.next().unwrap_or_default().to_owned());
                }
                0
            }
            // What is to happen when a script ends early does not happen here: it does not end
            // early.
            "trap" | "umask" | "wait" | "cd"
                if word == "trap"
                    || arguments
                        .iter()
                        .all(|a| matches!(a.as_str(), "022" | "0022" | "/")) =>
            {
                0
            }
            "exec" if arguments.is_empty() => 0,
            _ => return Ok(None),
        }))
    }

    fn set(&mut self, arguments: &[String]) -> Option<i32> {
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let on = argument.starts_with('-');
            match argument.as_str() {
                "--" => {
                    self.parameters = rest.cloned().collect();
                    return Some(0);
                }
                "-o" | "+o" => match rest.next().map(String::as_str) {
                    Some("errexit") => self.errexit = on,
                    Some("nounset" | "pipefail" | "noglob") => {}
                    _ => return None,
                },
                _ if argument.len() > 1 && (on || argument.starts_with('+')) => {
                    if !argument.chars().skip(1).all(|c| "eux".contains(c)) {
                        return None;
                    }
                    if argument.contains('e') {
                        self.errexit = on;
                    }
                }
                _ => return None,
            }
        }
        Some(0)
    }
}

/// Where standard output goes.
enum Sink {
    Same,
    Nowhere,
    File { path: String, append: bool },
}

impl Sink {
    fn of(path: String, append: bool) -> Self {
        match path.as_str() {
            "/dev/null" | "/dev/stderr" | "/dev/tty" | "/dev/console" => Self::Nowhere,
            "/dev/stdout" => Self::Same,
            _ => Self::File { path, append },
        }
    }
}
