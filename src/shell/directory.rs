//! The working directory and the umask: `cd`, `pwd`, `umask`.

use super::Dialect;
use super::eval::Shell;
use super::host::{ExitStatus, Io};

impl Shell<'_> {
    /// `cd [DIR | -]`; `None` for its options and for an empty name.
    pub(super) fn cd(&mut self, arguments: &[String], io: &mut Io) -> Option<ExitStatus> {
        let arguments = match arguments.split_first() {
            Some((first, rest)) if first == "--" => rest,
            _ => arguments,
        };
        let to = match arguments {
            [] => self.variable("HOME")?,
            [back] if back == "-" => self.variable("OLDPWD")?,
            [dir] if !dir.starts_with('-') => dir.clone(),
            _ => return None,
        };
        if to.is_empty() || self.variables.contains_key("CDPATH") {
            return None;
        }
        let path = if to.starts_with('/') {
            to.clone()
        } else {
            format!("{}/{to}", self.pwd)
        };
        let path = plain(&path);
        let Some(real) = self.host.real_dir(&path) else {
            return Some(if self.dialect == Dialect::Bash { 1 } else { 2 });
        };
        self.host.set_dir(&real);
        self.dir = real;
        let old = std::mem::replace(&mut self.pwd, path);
        self.variables.insert("OLDPWD".into(), old);
        self.variables.insert("PWD".into(), self.pwd.clone());
        if matches!(arguments, [back] if back == "-") {
            io.print_line(&self.pwd);
        }
        Some(0)
    }

    /// `pwd [-L | -P]`.
    pub(super) fn print_dir(&self, arguments: &[String], io: &mut Io) -> Option<ExitStatus> {
        let options: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match options.as_slice() {
            [] | ["-L"] => io.print_line(&self.pwd),
            ["-P"] => io.print_line(&self.dir),
            _ => return None,
        }
        Some(0)
    }

    /// `umask [MASK]` with an octal mask.
    pub(super) fn set_umask(&mut self, arguments: &[String], io: &mut Io) -> Option<ExitStatus> {
        match arguments {
            [] => io.print_line(&format!("{:04o}", self.umask)),
            [mask] => {
                let octal = mask.bytes().all(|b| b.is_ascii_digit());
                let mask = u16::from_str_radix(mask, 8).ok().filter(|_| octal)?;
                self.umask = mask & 0o777;
                self.host.set_umask(self.umask);
            }
            _ => return None,
        }
        Some(0)
    }
}

/// An absolute path without `.` and `..`, as the shell counts them: by the names alone.
fn plain(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = out.pop(),
            name => out.push(name),
        }
    }
    format!("/{}", out.join("/"))
}
