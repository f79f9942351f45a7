//! Redirections of standard input and output.

use super::ast::{Redirect, RedirectTarget};
use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Input, Io};

/// Where a descriptor leads.
#[derive(Clone, PartialEq, Eq)]
enum Sink {
    /// Where standard output of the surrounding command goes.
    Output,
    /// Where its standard error goes.
    Errors,
    Nowhere,
    File(String),
}

/// Where the descriptors of a command lead.
struct Streams {
    /// `None`: it reads on what the surrounding command reads.
    input: Option<String>,
    output: Sink,
    errors: Sink,
}

impl Shell<'_> {
    /// Runs `f` with its standard input and output redirected.
    pub(super) fn redirected(
        &mut self,
        redirects: &[Redirect],
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let mut streams = Streams {
            input: None,
            output: Sink::Output,
            errors: Sink::Errors,
        };
        for redirect in redirects {
            if !self.redirect(redirect, &mut streams)? {
                return Ok(2);
            }
        }
        let Streams {
            input,
            output,
            errors,
        } = streams;
        let input = input.map_or_else(|| io.input.clone(), Input::new);
        let kept = |sink: &Sink| match sink {
            Sink::Output => io.kept,
            Sink::Errors => io.errors_kept,
            Sink::Nowhere => false,
            Sink::File(_) => true,
        };
        let mut own = Io::sharing(input.clone());
        own.kept = kept(&output);
        own.errors_kept = kept(&errors);
        own.read = io.read && (output == Sink::Output || errors == Sink::Output);
        own.joined =
            output == errors || io.joined && output == Sink::Output && errors == Sink::Errors;
        let stdin = std::mem::replace(&mut self.stdin, input);
        // What was written until then stays, however the command ends.
        let result = f(self, &mut own);
        self.stdin = stdin;
        self.flush(&output, &own.output, io)?;
        self.flush(&errors, &own.errors, io)?;
        result
    }

    fn flush(&mut self, sink: &Sink, text: &str, io: &mut Io) -> Result<(), Flow> {
        match sink {
            Sink::Output => io.output.push_str(text),
            Sink::Errors => io.push_errors(text),
            Sink::Nowhere => {}
            Sink::File(path) if text.is_empty() => {
                let _ = path;
            }
            Sink::File(path) => self.write(path, text, true)?,
        }
        Ok(())
    }

    fn write(&mut self, path: &str, text: &str, append: bool) -> Result<(), Flow> {
        let size = usize::try_from(self.host.size(path));
        self.count_bytes(size.unwrap_or(usize::MAX))?;
        if let Err(e) = self.host.write(path, text, append) {
            return self.error(e.to_string());
        }
        Ok(())
    }

    /// Applies one redirection; `false` if its file cannot be opened.
    fn redirect(&mut self, redirect: &Redirect, streams: &mut Streams) -> Result<bool, Flow> {
        match (&redirect.to, redirect.fd) {
            (RedirectTarget::Here(body), 0) => {
                let text = body.get().map(|word| self.text(word)).transpose()?;
                streams.input = Some(text.unwrap_or_default());
            }
            (RedirectTarget::Read(word), 0) => {
                let path = self.text(word)?;
                match self.host.read(&path) {
                    Ok(Some(text)) => streams.input = Some(text),
                    Ok(None) => return Ok(false),
                    Err(e) => return self.error(e.to_string()),
                }
            }
            (
                RedirectTarget::Write(word)
                | RedirectTarget::Overwrite(word)
                | RedirectTarget::Append(word),
                fd @ (1 | 2),
            ) => {
                let append = matches!(redirect.to, RedirectTarget::Append(_));
                let careful = matches!(redirect.to, RedirectTarget::Write(_)) && self.noclobber;
                let path = self.text(word)?;
                if careful && self.host.is_file(&path) {
                    return Ok(false);
                }
                let Some(sink) = self.open(path, append)? else {
                    return Ok(false);
                };
                if fd == 1 {
                    streams.output = sink;
                } else {
                    streams.errors = sink;
                }
            }
            (RedirectTarget::Duplicate(word), fd) => {
                let to = self.text(word)?;
                match (fd, to.as_str()) {
                    (1, "2") => streams.output = streams.errors.clone(),
                    (2, "1") => streams.errors = streams.output.clone(),
                    (1, "-") => streams.output = Sink::Nowhere,
                    (2, "-") => streams.errors = Sink::Nowhere,
                    (0, "-") => streams.input = Some(String::new()),
                    (0, "0") | (1, "1") | (2, "2") => {}
                    // A descriptor that nothing uses.
                    (3.., "-") => {}
                    _ => self.unknown(&format!("descriptor {fd} is made one of {to}"), false),
                }
            }
            (_, fd) => self.unknown(&format!("descriptor {fd} is opened"), false),
        }
        Ok(true)
    }

    /// Opens a file to be written; `None` if that fails.
    fn open(&mut self, path: String, append: bool) -> Result<Option<Sink>, Flow> {
        match path.as_str() {
            "/dev/null" | "/dev/tty" | "/dev/console" => return Ok(Some(Sink::Nowhere)),
            "/dev/stderr" => return Ok(Some(Sink::Errors)),
            "/dev/stdout" => return Ok(Some(Sink::Output)),
            _ => {}
        }
        if ["/dev/", "/proc/", "/sys/"]
            .iter()
            .any(|dir| path.starts_with(dir))
        {
            self.unknown(&format!("something is written to {path}"), false);
            return Ok(Some(Sink::Nowhere));
        }
        let parent = match path.rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((parent, _)) => parent,
        };
        if path.is_empty() || !self.host.is_dir(parent) || self.host.is_dir(&path) {
            return Ok(None);
        }
        // The file is there, and empty, before the command begins.
        self.write(&path, "", append)?;
        Ok(Some(Sink::File(path)))
    }

    /// The redirections of `exec`, which hold for all that follows: those of what goes to the
    /// terminal have no effect on files.
    pub(super) fn redirected_for_good(
        &mut self,
        redirects: &[Redirect],
    ) -> Result<ExitStatus, Flow> {
        for redirect in redirects {
            let fine = match (&redirect.to, redirect.fd) {
                (RedirectTarget::Duplicate(word), fd) => {
                    let to = self.text(word)?;
                    matches!((fd, to.as_str()), (1, "2") | (2, "1") | (3.., "-"))
                }
                (
                    RedirectTarget::Write(word)
                    | RedirectTarget::Overwrite(word)
                    | RedirectTarget::Append(word),
                    2,
                ) => self.text(word)?.starts_with("/dev/"),
                (RedirectTarget::Read(word), 0) => self.text(word)? == "/dev/null",
                _ => false,
            };
            if !fine {
                self.unknown("exec with redirections of all that follows", false);
            }
        }
        Ok(0)
    }
}
