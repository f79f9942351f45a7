//! Redirections of standard input and output.

use super::ast::{Redirect, RedirectTarget};
use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Io};

/// Where standard output goes.
enum Sink {
    /// Where the output of the surrounding command goes.
    Same,
    Nowhere,
    File {
        path: String,
        append: bool,
    },
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

impl Shell<'_> {
    /// Runs `f` with its standard input and output redirected.
    pub(super) fn redirected(
        &mut self,
        redirects: &[Redirect],
        io: &mut Io,
        f: impl FnOnce(&mut Self, &mut Io) -> Result<ExitStatus, Flow>,
    ) -> Result<ExitStatus, Flow> {
        let mut input = None;
        let mut sink = Sink::Same;
        for redirect in redirects {
            match (&redirect.to, redirect.fd) {
                (RedirectTarget::Here(body), 0) => {
                    input = Some(
                        body.get()
                            .map(|word| self.text(word))
                            .transpose()?
                            .unwrap_or_default(),
                    );
                }
                (RedirectTarget::Read(word), 0) => {
                    let path = self.text(word)?;
                    match self.host.read(&path) {
                        Ok(Some(text)) => input = Some(text),
                        Ok(None) => return Ok(1),
                        Err(e) => return self.error(e.to_string()),
                    }
                }
                (RedirectTarget::Write(word), 1) => sink = Sink::of(self.text(word)?, false),
                (RedirectTarget::Append(word), 1) => sink = Sink::of(self.text(word)?, true),
                (RedirectTarget::Duplicate(word), 1) => {
                    let to = self.text(word)?;
                    sink = if to == "1" { sink } else { Sink::Nowhere };
                }
                (RedirectTarget::Write(word) | RedirectTarget::Append(word), _) => {
                    let path = self.text(word)?;
                    if !path.starts_with("/dev/") {
                        self.host
                            .unknown(self.line, "standard error goes to a file");
                    }
                }
                _ => {}
            }
        }
        let mut own = Io::new(input.unwrap_or_else(|| io.rest()));
        let status = f(self, &mut own)?;
        match sink {
            Sink::Same => io.output.push_str(&own.output),
            Sink::Nowhere => {}
            Sink::File { path, append } => {
                let size = usize::try_from(self.host.size(&path));
                self.count_bytes(size.unwrap_or(usize::MAX))?;
                if let Err(e) = self.host.write(&path, &own.output, append) {
                    return self.error(e.to_string());
                }
            }
        }
        Ok(status)
    }
}
