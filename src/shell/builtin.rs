//! The commands built into the shell: those that change the shell itself.

use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Io};

impl Shell<'_> {
    /// Runs a command that changes the shell itself; `None` if `word` is not one, or is called in
    /// a way that is not supported.
    pub(super) fn builtin(
        &mut self,
        word: &str,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, Flow> {
        let number = arguments.first().and_then(|n| n.parse::<i32>().ok());
        let levels = usize::try_from(number.unwrap_or(1)).unwrap_or(1).max(1);
        Ok(Some(match word {
            "exit" => return Err(Flow::Exit(number.unwrap_or(self.status))),
            "return" => return Err(Flow::Return(number.unwrap_or(self.status))),
            "break" => return Err(Flow::Break(levels)),
            "continue" => return Err(Flow::Continue(levels)),
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
            // Traps are for scripts that are interrupted, which does not happen here.
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

    fn set(&mut self, arguments: &[String]) -> Option<ExitStatus> {
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
