//! `read`: a line of standard input into variables.

use super::error::Flow;
use super::eval::Shell;
use super::host::{ExitStatus, Io};
use super::split;

impl Shell<'_> {
    /// `read [-r] NAME...`; `None` for other options.
    pub(super) fn read(
        &mut self,
        arguments: &[String],
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, Flow> {
        let mut raw = false;
        let mut names = arguments;
        while let Some((option, rest)) = names.split_first().filter(|(o, _)| o.starts_with('-')) {
            match option.as_str() {
                "-r" => raw = true,
                "--" => {}
                _ => return Ok(None),
            }
            names = rest;
        }
        let mut line = Vec::new();
        let mut ended = false;
        while let Some((text, whole)) = io.whole_line() {
            self.count_work(text.len() as u64)?;
            ended = whole;
            let mut chars = text.chars();
            let mut continued = false;
            while let Some(c) = chars.next() {
                if raw || c != '\\' {
                    line.push((c, false));
                } else if let Some(c) = chars.next() {
                    line.push((c, true));
                } else {
                    continued = whole;
                }
            }
            if !continued {
                break;
            }
        }
        let ifs = self.ifs();
        let values = split::for_read(&line, &ifs, names.len().max(1));
        if names.is_empty() {
            self.assign("REPLY", values.concat());
        }
        for (name, value) in names.iter().zip(values) {
            self.assign(name, value);
        }
        Ok(Some(i32::from(!ended)))
    }
}
