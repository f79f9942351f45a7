//! What runs in a shell of its own: pipelines, substitutions, commands in the background.

use super::ast::{Command, List, Statement};
use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Input, Io};

impl Shell<'_> {
    /// Each command in a subshell, the output of one the input of the next.
    pub(super) fn pipe(
        &mut self,
        commands: &[Command],
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        let mut input = io.input.clone();
        let mut status = 0;
        let mut failed = 0;
        for (at, command) in commands.iter().enumerate() {
            let last = at + 1 == commands.len();
            let mut own = Io::sharing(input.clone());
            own.kept = !last || io.kept;
            own.errors_kept = io.errors_kept;
            own.read = !last || io.read;
            own.joined = last && io.joined;
            status = self.isolated(&mut own, |shell, io| shell.command(command, io, tested))?;
            if status != 0 {
                failed = status;
            }
            io.push_errors(&own.errors);
            if last {
                io.output.push_str(&own.output)
            } else {
                input = Input::new(own.output)
            }
        }
        Ok(if self.pipefail { failed } else { status })
    }

    /// Runs something as a subshell does: changes of variables and `exit` do not leave it.
    pub(super) fn isolated(
        &mut self,
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        self.holding(|shell| shell.alone(io, f))
    }

    fn alone(
        &mut self,
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let kept = (
            self.variables.clone(),
            self.parameters.clone(),
            self.functions.clone(),
            self.exported.clone(),
            self.options(),
            self.at_exit.take(),
        );
        let place = (self.pwd.clone(), self.dir.clone(), self.umask);
        let background = std::mem::take(&mut self.background);
        let stdin = std::mem::replace(&mut self.stdin, io.input.clone());
        self.subshells += 1;
        let result = f(self, io);
        let result = self.ended(result, io);
        self.subshells -= 1;
        self.stdin = stdin;
        self.background = background;
        (self.pwd, self.dir, self.umask) = place;
        self.host.set_dir(&self.dir);
        self.host.set_umask(self.umask);
        let options;
        (
            self.variables,
            self.parameters,
            self.functions,
            self.exported,
            options,
            self.at_exit,
        ) = kept;
        self.set_options(options);
        result
    }

    /// The list of a command substitution; its status is left in `substituted`.
    pub(super) fn subshell(&mut self, list: &List, io: &mut Io) -> Result<ExitStatus, Flow> {
        let status = self.isolated(io, |shell, io| shell.list(list, io, false))?;
        self.substituted = status;
        Ok(status)
    }

    /// A command in the background: done at once, as if it were quick. What it prints is read by
    /// nothing that could wait for it.
    pub(super) fn in_background(&mut self, statement: &Statement) -> Result<ExitStatus, Flow> {
        let line = statement
            .first
            .commands
            .first()
            .map_or(self.line, |c| c.line);
        let mut own = Io {
            kept: true,
            ..Io::default()
        };
        self.isolated(&mut own, |shell, io| shell.statement(statement, io, true))?;
        if !own.output.is_empty() {
            self.line = line;
            self.unknown("a command in the background that prints something", false);
        }
        self.background.push(line);
        self.status = 0;
        Ok(0)
    }
}
