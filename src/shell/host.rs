//! The world that a script acts on, as the interpreter sees it.

use std::collections::BTreeMap;

/// The status of a command: 0 for success.
pub type ExitStatus = i32;

/// Variables of a script by name.
pub type Variables = BTreeMap<String, String>;

/// Why a host could not do what a script asked for; it ends the script.
pub type HostError = Box<dyn std::error::Error>;

/// Everything outside of the language. The interpreter itself touches no file and starts no
/// program. Paths are looked up from the root, where maintainer scripts run.
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

    /// Takes note of a statement without its effect: its line, counted from 1, and its words.
    fn unknown(&mut self, line: usize, statement: &str);

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

    /// The length of a regular file in bytes; 0 if there is none.
    fn size(&self, path: &str) -> u64;

    /// Whether a directory has an entry at this path, be it a dangling symlink.
    fn has_entry(&self, path: &str) -> bool;

    /// The names in a directory, sorted; `None` if the path is not one.
    fn names(&self, dir: &str) -> Option<Vec<String>>;

    /// Work that the host has done for this script so far, in bytes read or written. The
    /// interpreter ends a script that causes too much.
    fn work(&self) -> u64;
}

/// Standard input and output of a command.
#[derive(Debug, Default)]
pub struct Io {
    input: String,
    /// Bytes of the input that were read.
    read: usize,
    /// Standard output so far.
    pub output: String,
}

impl Io {
    /// A command that reads `input`.
    #[must_use]
    pub fn new(input: String) -> Self {
        Self {
            input,
            ..Self::default()
        }
    }

    /// The unread rest of the input.
    pub fn rest(&mut self) -> String {
        let rest = self.input.get(self.read..).unwrap_or_default().to_owned();
        self.read = self.input.len();
        rest
    }

    /// The next line of the input without its end.
    pub fn line(&mut self) -> Option<String> {
        let rest = self
            .input
            .get(self.read..)
            .filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        self.read += line.len();
        Some(line.trim_end_matches('\n').to_owned())
    }

    /// Appends `text` and a newline to the output.
    pub fn print_line(&mut self, text: &str) {
        self.output.push_str(text);
        self.output.push('\n');
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
