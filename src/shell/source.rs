//! Statements from elsewhere: other files, texts that a script composes, and its trap.

use super::error::{Flow, ScriptError};
use super::eval::Shell;
use super::host::{ExitStatus, Io};
use super::parse;

/// Files and texts within each other.
const MAX_SOURCES: usize = 8;

impl Shell<'_> {
    /// `. FILE`: the statements of a file of the host; `None` for a name without a path.
    pub(super) fn source(
        &mut self,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<Option<ExitStatus>, Flow> {
        let Some(path) = arguments.first().filter(|path| path.contains('/')) else {
            return Ok(None);
        };
        let text = match self.host.read(path) {
            Ok(Some(text)) => text,
            // A special built-in utility that fails ends the shell.
            Ok(None) => return Err(Flow::Exit(2)),
            Err(e) => return self.error(e.to_string()),
        };
        let kept = (arguments.len() > 1)
            .then(|| std::mem::replace(&mut self.parameters, arguments[1..].to_vec()));
        let result = self.statements(&text, Some(path), io, tested);
        if let Some(kept) = kept {
            self.parameters = kept;
        }
        match result {
            Err(Flow::Return(status)) => Ok(Some(status)),
            other => other.map(Some),
        }
    }

    /// Runs the statements of a text: of a file, or of the script itself.
    pub(super) fn statements(
        &mut self,
        text: &str,
        file: Option<&str>,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if self.sources.len() >= MAX_SOURCES {
            return self.error(format!(
                "files that read each other deeper than {MAX_SOURCES}"
            ));
        }
        let line = self.line;
        let list = parse::parse(text, self.dialect).map_err(|error| {
            let place = file.map_or_else(|| "its text".to_owned(), str::to_owned);
            Flow::Error(ScriptError {
                line,
                reason: format!("{place} line {}: {}", error.line, error.reason),
            })
        })?;
        self.sources.push((line, file.map(str::to_owned)));
        let result = self.list(&list, io, tested);
        self.sources.pop();
        self.line = line;
        result
    }

    /// A program that is itself a script of a shell: it sees the exported variables alone. `None`
    /// for other programs, and for scripts in a language beyond this one.
    pub(super) fn program(
        &mut self,
        name: &str,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, Flow> {
        let file = match self.host.script(name) {
            Ok(Some(file)) if self.sources.len() < MAX_SOURCES => file,
            Ok(_) => return Ok(None),
            Err(e) => return self.error(e.to_string()),
        };
        let Ok(list) = parse::parse(&file.text, file.dialect) else {
            return Ok(None);
        };
        self.count_work(file.text.len() as u64)?;
        let line = self.line;
        let kept = (
            std::mem::replace(&mut self.name, file.path.clone()),
            std::mem::replace(&mut self.dialect, file.dialect),
            std::mem::take(&mut self.locals),
            std::mem::replace(&mut self.option_at, (1, 1, 1)),
        );
        self.sources.push((line, Some(file.path)));
        let assigned = std::mem::take(&mut self.assigned);
        let result = self.isolated(io, |shell, io| {
            shell.exported.extend(assigned);
            let exported = shell.exported.clone();
            shell.variables.retain(|name, _| exported.contains(name));
            shell.variables.remove("IFS");
            shell.functions.clear();
            shell.parameters = arguments.to_vec();
            (shell.errexit, shell.nounset) = (false, false);
            (shell.noglob, shell.pipefail) = (false, false);
            if !file.options.is_empty() && shell.set(&file.options) != Some(0) {
                shell.unknown(&format!(
                    "the option {} of the shell",
                    file.options.join(" ")
                ));
            }
            shell.list(&list, io, false)
        });
        self.sources.pop();
        (self.name, self.dialect, self.locals, self.option_at) = kept;
        self.line = line;
        result.map(Some)
    }

    /// Passes a statement without its effect to the host, with its place.
    pub(super) fn unknown(&mut self, statement: &str) {
        let Some((outer, _)) = self.sources.first() else {
            return self.host.unknown(self.line, statement);
        };
        let file = self
            .sources
            .iter()
            .rev()
            .find_map(|(_, file)| file.as_ref());
        let text = match file {
            Some(file) => format!("{file} line {}: {statement}", self.line),
            None => statement.to_owned(),
        };
        self.host.unknown(*outer, &text);
    }

    /// `trap [ACTION] SIGNAL...`: that of the end of the shell is remembered. Others are for
    /// scripts that are interrupted, which does not happen here.
    pub(super) fn trap(&mut self, arguments: &[String]) -> Option<ExitStatus> {
        let arguments = match arguments.split_first() {
            Some((first, rest)) if first == "--" => rest,
            _ => arguments,
        };
        let Some((action, signals)) = arguments.split_first() else {
            return Some(0);
        };
        if action.len() > 1 && action.starts_with('-') {
            return None;
        }
        let alone = signals.is_empty();
        let mut signals = signals.iter().chain(alone.then_some(action));
        if signals.any(|signal| matches!(signal.as_str(), "EXIT" | "0")) {
            self.at_exit = (!alone && action != "-").then(|| action.clone());
        }
        Some(0)
    }

    /// The action of the trap at the end of a shell that ends with `status`, and the status after
    /// it.
    pub(super) fn run_exit_trap(
        &mut self,
        status: ExitStatus,
        io: &mut Io,
    ) -> Result<ExitStatus, Flow> {
        let Some(action) = self.at_exit.take() else {
            return Ok(status);
        };
        self.status = status;
        match self.statements(&action, None, io, true) {
            Err(Flow::Exit(status)) => Ok(status),
            Err(Flow::Error(error)) => Err(Flow::Error(error)),
            _ => Ok(status),
        }
    }
}
