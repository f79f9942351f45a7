//! The commands built into the shell: those that change the shell itself.

use super::Dialect;
use super::echo::echo;
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
        tested: bool,
    ) -> Result<Option<ExitStatus>, Flow> {
        let number = arguments.first().and_then(|n| n.parse::<i32>().ok());
        let levels = usize::try_from(number.unwrap_or(1)).unwrap_or(1).max(1);
        Ok(Some(match word {
            "exit" => return Err(Flow::Exit(number.unwrap_or(self.status))),
            "return" => return Err(Flow::Return(number.unwrap_or(self.status))),
            "break" => return Err(Flow::Break(levels)),
            "continue" => return Err(Flow::Continue(levels)),
            "set" => return Ok(self.set(arguments)),
            "shift" => return self.shift(number.unwrap_or(1)),
            "export" | "readonly" | "local" => return Ok(self.declare(word, arguments)),
            "unset" => return Ok(self.unset(arguments)),
            "read" => return self.read(arguments, io),
            "echo" => {
                let text = echo(arguments, self.dialect);
                self.count_bytes(text.len())?;
                io.output.push_str(&text);
                0
            }
            "getopts" => return Ok(self.getopts(arguments)),
            "pwd" => return Ok(self.print_dir(arguments, io)),
            "trap" => return Ok(self.trap(arguments)),
            "umask" => return Ok(self.set_umask(arguments, io)),
            "cd" => return Ok(self.cd(arguments, io)),
            "wait" if arguments.is_empty() => {
                self.background.clear();
                0
            }
            "." => return self.dot(arguments, io, tested),
            "source" if self.dialect == Dialect::Bash => return self.dot(arguments, io, tested),
            "eval" => {
                if self.left_out("eval", io.read) {
                    return Ok(Some(0));
                }
                return self
                    .statements(&arguments.join(" "), None, io, tested)
                    .map(Some);
            }
            "exec" => match arguments.split_first() {
                None => 0,
                Some((name, _)) if name.starts_with('-') || again(arguments) => return Ok(None),
                Some((name, rest)) => {
                    let status = self.call(name, rest, io, tested)?;
                    return Err(Flow::Exit(status));
                }
            },
            "command" => return self.command_builtin(arguments, io),
            _ => return Ok(None),
        }))
    }

    fn shift(&mut self, count: i32) -> Result<Option<ExitStatus>, Flow> {
        match usize::try_from(count) {
            Ok(count) if count <= self.parameters.len() => {
                self.parameters.drain(..count);
                Ok(Some(0))
            }
            _ if self.dialect == Dialect::Bash => Ok(Some(1)),
            // In dash, a special built-in utility that fails ends the shell.
            _ => Err(Flow::Exit(2)),
        }
    }

    /// `export`, `readonly` and `local`; `None` for their options.
    fn declare(&mut self, word: &str, arguments: &[String]) -> Option<ExitStatus> {
        let arguments = match arguments.split_first() {
            // A constant differs where it is assigned again alone, which ends the script.
            Some((first, rest)) if first == "-r" && self.dialect == Dialect::Bash => rest,
            _ => arguments,
        };
        if arguments.iter().any(|argument| argument.starts_with('-')) {
            return None;
        }
        for argument in arguments {
            let (name, value) = argument
                .split_once('=')
                .map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
            if !is_name(name) {
                return None;
            }
            if let Some(scope) = self.locals.last_mut().filter(|_| word == "local") {
                scope.push((name.to_owned(), self.variables.get(name).cloned()));
                // In dash, a local variable begins with the value outside of the function.
                if value.is_none() && self.dialect == Dialect::Bash {
                    self.variables.remove(name);
                }
            }
            if word == "export" {
                self.exported.insert(name.to_owned());
            }
            if let Some(value) = value {
                self.assign(name, value);
            }
        }
        Some(0)
    }

    fn unset(&mut self, arguments: &[String]) -> Option<ExitStatus> {
        let functions = match arguments.first().map(String::as_str) {
            Some("-f") => true,
            Some("-v") => false,
            Some(option) if option.starts_with('-') => return None,
            _ => return self.unset_variables(arguments),
        };
        let names = arguments.get(1..).unwrap_or_default();
        if !functions {
            return self.unset_variables(names);
        }
        for name in names {
            self.functions.remove(name);
        }
        Some(0)
    }

    /// `None` for what is not a name, such as an element of an array.
    fn unset_variables(&mut self, names: &[String]) -> Option<ExitStatus> {
        if !names.iter().all(|name| is_name(name)) {
            return None;
        }
        for name in names {
            self.note(name);
            self.variables.remove(name);
            self.exported.remove(name);
        }
        Some(0)
    }

    /// `. FILE`: files that the host has its own model of are its matter.
    fn dot(
        &mut self,
        arguments: &[String],
        io: &mut Io,
        tested: bool,
    ) -> Result<Option<ExitStatus>, Flow> {
        match self.host.run(".", arguments, &mut self.variables, io) {
            Ok(Some(status)) => Ok(Some(status)),
            Ok(None) => self.source(arguments, io, tested),
            Err(e) => self.error(e.to_string()),
        }
    }

    /// `command -v NAME`, and `command NAME ...`, which passes over functions.
    fn command_builtin(
        &mut self,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, Flow> {
        match arguments.split_first() {
            Some((option, names)) if option == "-v" => {
                if let [name] = names
                    && self.is_own(name)
                {
                    io.print_line(name);
                    return Ok(Some(0));
                }
                Ok(None)
            }
            Some((name, rest)) if !name.starts_with('-') && !again(arguments) => {
                let function = self.functions.remove(name);
                let status = self.call(name, rest, io, true);
                if let Some(function) = function {
                    self.functions.insert(name.clone(), function);
                }
                status.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `set`; `None` for options that are not supported.
    pub(super) fn set(&mut self, arguments: &[String]) -> Option<ExitStatus> {
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let on = argument.starts_with('-');
            match argument.as_str() {
                "--" => {
                    self.parameters = rest.cloned().collect();
                    return Some(0);
                }
                "-o" | "+o" => self.option(rest.next()?, on)?,
                _ if argument.len() > 1 && (on || argument.starts_with('+')) => {
                    let letters: Vec<char> = argument.chars().skip(1).collect();
                    for (at, letter) in letters.iter().enumerate() {
                        match letter {
                            'e' => self.errexit = on,
                            'u' => self.nounset = on,
                            'f' => self.noglob = on,
                            'C' => self.noclobber = on,
                            'x' | 'v' => {}
                            // `-eo pipefail`
                            'o' if at + 1 == letters.len() => self.option(rest.next()?, on)?,
                            _ => return None,
                        }
                    }
                }
                first => {
                    if first == "-" || first == "+" {
                        return None;
                    }
                    self.parameters = std::iter::once(argument).chain(rest).cloned().collect();
                    return Some(0);
                }
            }
        }
        Some(0)
    }

    /// The options that are on, for [`set_options`](Self::set_options).
    pub(super) fn options(&self) -> [bool; 5] {
        let (errexit, nounset, noglob) = (self.errexit, self.nounset, self.noglob);
        [errexit, nounset, noglob, self.pipefail, self.noclobber]
    }

    pub(super) fn set_options(&mut self, options: [bool; 5]) {
        [
            self.errexit,
            self.nounset,
            self.noglob,
            self.pipefail,
            self.noclobber,
        ] = options;
    }

    /// An option by its name.
    fn option(&mut self, name: &str, on: bool) -> Option<()> {
        match name {
            "errexit" => self.errexit = on,
            "nounset" => self.nounset = on,
            "noglob" => self.noglob = on,
            "noclobber" => self.noclobber = on,
            "pipefail" if self.dialect == Dialect::Bash => self.pipefail = on,
            "xtrace" | "verbose" => {}
            _ => return None,
        }
        Some(())
    }
}

/// Whether a word is the name of a variable.
fn is_name(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_digit())
        && !word.is_empty()
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a command passes on what it calls, which is not followed without end.
fn again(words: &[String]) -> bool {
    let first = words.first().map(String::as_str);
    matches!(first, Some("command" | "exec" | "eval"))
}
