//! The world that a script acts on, as the interpreter sees it.

use super::Dialect;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The status of a command: 0 for success.
pub type ExitStatus = i32;

/// Variables of a script by name.
pub type Variables = BTreeMap<String, String>;

/// Why a host could not do what a script asked for; it ends the script.
pub type HostError = Box<dyn std::error::Error>;

/// Everything outside of the language. The interpreter itself touches no file and starts no
/// program. Relative paths are looked up from the working directory, which is the root until
/// [`set_dir`](Self::set_dir) changes it.
pub trait Host {
    /// Runs a command that is neither a function of the script nor built into the shell, and
    /// returns its status; `None` if the host does not know its effect, which is then left out and
    /// passed to [`unknown`](Self::unknown).
    ///
    /// # Errors
    /// Anything that keeps the host from having the effect of the command.
    fn run(
        &mut self,
        name: &str,
        arguments: &[String],
        variables: &mut Variables,
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, HostError>;

    /// The program that a command names, if that is a script of a shell.
    ///
    /// # Errors
    /// I/O errors.
    fn script(&self, _name: &str) -> Result<Option<ScriptFile>, HostError> {
        Ok(None)
    }

    /// Takes note of a statement that has no effect here, as success without output.
    fn unknown(&mut self, statement: UnknownStatement);

    /// Whether the statement at a line of the script, counted from 1, is to be left out if it
    /// reads another text or calls a program that is a script.
    fn left_out(&mut self, _line: usize) -> bool {
        false
    }

    /// Takes note that the script sets or unsets a variable, at a line of the text that it reads;
    /// not in a subshell, which the value does not leave.
    fn assigns(&mut self, _name: &str, _line: usize) {}

    /// Takes note that the script reads a variable, or a parameter such as `?`.
    fn reads(&self, _name: &str) {}

    /// The text of a file, symlinks followed; `None` if there is none.
    ///
    /// # Errors
    /// I/O errors, and files that are too large to be text.
    fn read(&self, path: &str) -> Result<Option<String>, HostError>;

    /// Writes a file, or appends to it, as `>` and `>>` do.
    ///
    /// # Errors
    /// I/O errors, and paths at which no file can be.
    fn write(&mut self, path: &str, text: &str, append: bool) -> Result<(), HostError>;

    /// Whether there is a regular file at a path, symlinks followed.
    fn is_file(&self, path: &str) -> bool;

    /// The length of a regular file in bytes; 0 if there is none.
    fn size(&self, path: &str) -> u64;

    /// Whether a directory has an entry at this path, be it a dangling symlink.
    fn has_entry(&self, path: &str) -> bool;

    /// The names in a directory, sorted; `None` if the path is not one.
    fn names(&self, dir: &str) -> Option<Vec<String>>;

    /// Whether there is a directory at a path, symlinks followed.
    fn is_dir(&self, path: &str) -> bool {
        self.names(path).is_some()
    }

    /// The real path of the directory at a path, symlinks followed; `None` if there is none.
    fn real_dir(&self, _path: &str) -> Option<String> {
        None
    }

    /// Makes a directory, by its real path, the working directory.
    fn set_dir(&mut self, _real: &str) {}

    /// Sets the permissions that new files do not get.
    fn set_umask(&mut self, _mask: u16) {}

    /// The home directory of a user; `None` if there is no such user.
    ///
    /// # Errors
    /// I/O errors of the list of users.
    fn home(&self, _user: &str) -> Result<Option<String>, HostError> {
        Ok(None)
    }

    /// Work that the host has done for this script so far, in bytes read or written. The
    /// interpreter ends a script that causes too much.
    fn work(&self) -> u64;
}

/// A statement without its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStatement {
    /// The line of the script, counted from 1. For a statement of another text it is that of the
    /// statement of the script that reads the text or calls the program.
    pub line: usize,
    /// Its words, or what it does, as a clause.
    pub words: String,
    /// The place and the source of a statement of another text; `None` for the script itself.
    pub place: Option<String>,
    /// Whether the script reads what the statement at `line` prints, and goes on with it.
    pub read: bool,
}

/// A program that is a script of a shell.
#[derive(Clone, Debug)]
pub struct ScriptFile {
    /// Its path, which is its `$0`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The shell that reads it.
    pub dialect: Dialect,
    /// Options of the shell in its first line.
    pub options: Vec<String>,
}

/// Input that several commands read one after the other: the text, and the bytes of it that were
/// read.
#[derive(Clone, Debug, Default)]
pub(super) struct Input(Rc<RefCell<(String, usize)>>);

impl Input {
    pub(super) fn new(text: String) -> Self {
        Self(Rc::new(RefCell::new((text, 0))))
    }
}

/// Standard input and output of a command.
#[derive(Debug, Default)]
pub struct Io {
    pub(super) input: Input,
    /// Standard output so far.
    pub output: String,
    /// What the script itself wrote to standard error so far.
    pub(super) errors: String,
    /// Whether standard error goes where standard output goes.
    pub(super) joined: bool,
    /// Whether standard output is read or written to a file by the script.
    pub(super) kept: bool,
    /// The same of standard error.
    pub(super) errors_kept: bool,
    /// Whether the script reads standard output, in a substitution or pipeline.
    pub(super) read: bool,
}

impl Io {
    /// A command that reads `input`.
    #[must_use]
    pub fn new(input: String) -> Self {
        Self::sharing(Input::new(input))
    }

    /// A command that goes on to read what others have left.
    pub(super) fn sharing(input: Input) -> Self {
        Self {
            input,
            ..Self::default()
        }
    }

    /// The unread rest of the input.
    pub fn rest(&mut self) -> String {
        let mut input = self.input.0.borrow_mut();
        let rest = input.0.get(input.1..).unwrap_or_default().to_owned();
        input.1 = input.0.len();
        rest
    }

    /// The next line of the input without its end.
    pub fn line(&mut self) -> Option<String> {
        self.whole_line().map(|(line, _)| line)
    }

    /// The next line of the input, and whether it had an end.
    pub(super) fn whole_line(&mut self) -> Option<(String, bool)> {
        let mut input = self.input.0.borrow_mut();
        let rest = input.0.get(input.1..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let (len, ended) = (line.len(), line.ends_with('\n'));
        let text = line.strip_suffix('\n').unwrap_or(line).to_owned();
        input.1 += len;
        Some((text, ended))
    }

    /// Appends `text` and a newline to the output.
    pub fn print_line(&mut self, text: &str) {
        self.output.push_str(text);
        self.output.push('\n');
    }

    /// Appends text of the script to standard error.
    pub(super) fn push_errors(&mut self, text: &str) {
        if self.joined {
            self.output.push_str(text);
        } else {
            self.errors.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_read_by_lines_and_then_whole() {
        let mut io = Io::new("a\n\nb\nc".into());
        assert_eq!(io.line().as_deref(), Some("a"));
        assert_eq!(io.line().as_deref(), Some(""));
        assert_eq!(io.rest(), "b\nc");
        assert_eq!((io.line(), io.rest()), (None, String::new()));
    }
}
