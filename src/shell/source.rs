//! Statements from elsewhere: other files, texts that a script composes, and its trap.

use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Io, ScriptFile};
use super::parse;
use super::place::{Function, Reading, Source};

/// Files and texts within each other.
const MAX_TEXTS: usize = 8;

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
        if self.left_out(&format!(". {path}"), io.read) {
            return Ok(Some(0));
        }
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
        if self.texts >= MAX_TEXTS {
            return self.error(format!(
                "files that read each other deeper than {MAX_TEXTS}"
            ));
        }
        self.count_work(text.len() as u64)?;
        let list = match parse::parse(text, self.dialect) {
            Ok(list) => list,
            Err(error) => {
                let place = file.map_or_else(|| "its text".to_owned(), str::to_owned);
                return self.error(format!("{place} line {}: {}", error.line, error.reason));
            }
        };
        let source = Source {
            file: file.map(str::to_owned),
            text: text.into(),
        };
        self.within(Some(source), io, |shell, io| shell.list(&list, io, tested))
    }

    /// Runs statements of another text, within the one that is read now.
    fn within(
        &mut self,
        source: Option<Source>,
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let line = self.line;
        self.sources.push(Reading {
            line,
            source,
            read: io.read,
        });
        self.texts += 1;
        let result = f(self, io);
        self.texts -= 1;
        self.sources.pop();
        self.line = line;
        result
    }

    /// A program that is itself a script of a shell: it sees the exported variables alone. `None`
    /// for other programs. A script in a language beyond this one is passed to the host as unknown,
    /// with what is not understood.
    pub(super) fn program(
        &mut self,
        name: &str,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, Flow> {
        let file = match self.host.script(name) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(e) => return self.error(e.to_string()),
        };
        let words = super::eval::statement(name, arguments);
        if self.left_out(&words, io.read) {
            return Ok(Some(0));
        }
        if self.texts >= MAX_TEXTS {
            return self.error(format!(
                "programs that call each other deeper than {MAX_TEXTS}, the last of them {}",
                file.path
            ));
        }
        self.count_work(file.text.len() as u64)?;
        let list = match parse::parse(&file.text, file.dialect) {
            Ok(list) => list,
            Err(error) => {
                let place = format!("{} {error}", file.path);
                self.unknown_at(&words, Some(place), io.read);
                return Ok(Some(0));
            }
        };
        let kept = (
            std::mem::replace(&mut self.name, file.path.clone()),
            std::mem::replace(&mut self.dialect, file.dialect),
            std::mem::take(&mut self.locals),
            std::mem::replace(&mut self.option_at, (1, 1, 1)),
        );
        let source = Source {
            file: Some(file.path.clone()),
            text: file.text.as_str().into(),
        };
        let assigned = std::mem::take(&mut self.assigned);
        let result = self.within(Some(source), io, |shell, io| {
            shell.isolated(io, |shell, io| {
                shell.begin_program(assigned, arguments, &file);
                shell.list(&list, io, false)
            })
        });
        (self.name, self.dialect, self.locals, self.option_at) = kept;
        result.map(Some)
    }

    /// The state in which a program begins.
    fn begin_program(&mut self, assigned: Vec<String>, arguments: &[String], file: &ScriptFile) {
        self.exported.extend(assigned);
        let exported = self.exported.clone();
        self.variables.retain(|name, _| exported.contains(name));
        self.variables.remove("IFS");
        self.functions.clear();
        self.parameters = arguments.to_vec();
        self.set_options([false; 5]);
        if !file.options.is_empty() && self.set(&file.options) != Some(0) {
            let options = file.options.join(" ");
            self.unknown(&format!("the option {options} of the shell"), false);
        }
    }

    /// A function of another text than the one that is read now.
    pub(super) fn function_elsewhere(
        &mut self,
        function: &Function,
        words: &str,
        io: &mut Io,
        tested: bool,
    ) -> Result<ExitStatus, Flow> {
        if function.source.is_some() && self.left_out(words, io.read) {
            return Ok(0);
        }
        self.sources.push(Reading {
            line: self.line,
            source: function.source.clone(),
            read: io.read,
        });
        let result = self.command(&function.body, io, tested);
        self.sources.pop();
        result
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
