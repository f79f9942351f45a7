//! Progress for people: bars on a terminal, plain lines elsewhere, nothing with `--quiet`. All on
//! standard error.

use crate::report::{Report, Silent};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// The report that suits where standard error goes.
#[must_use]
pub(super) fn report(quiet: bool) -> Box<dyn Report> {
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() {
        Box::new(Terminal {
            bar: Mutex::new(None),
        })
    } else {
        Box::new(Lines)
    }
}

/// Plain lines: one for each step, warning and note.
#[derive(Debug)]
struct Lines;

impl Report for Lines {
    fn step(&self, what: &str, total: Option<u64>) {
        match total {
            Some(total) => line(&format!("{what} ({})", crate::units::human(total))),
            None => line(what),
        }
    }

    fn advance(&self, _bytes: u64) {}

    fn warn(&self, message: &str) {
        line(&format!("warning: {message}"));
    }

    fn note(&self, message: &str) {
        line(&format!("note: {message}"));
    }
}

/// A line on standard error; a closed pipe there is nobody's problem.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A bar or a spinner for the current step; warnings and notes stay above it.
#[derive(Debug)]
struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    fn with(&self, f: impl FnOnce(&ProgressBar)) -> bool {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        bar.as_ref().map(f).is_some()
    }

    fn say(&self, text: &str) {
        if !self.with(|bar| bar.suspend(|| line(text))) {
            line(text);
        }
    }
}

impl Report for Terminal {
    fn step(&self, what: &str, total: Option<u64>) {
        let style = match total {
            Some(_) => "{msg} {wide_bar} {bytes:>11} of {total_bytes}",
            None => "{msg}",
        };
        // Cleared before the next one is drawn, or it would stay above it.
        if let Some(old) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            old.finish_and_clear();
        }
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        // The templates above are constants; should one not parse, the default style serves.
        bar.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(what.to_owned());
        bar.tick();
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| bar.inc(bytes));
    }

    fn warn(&self, message: &str) {
        self.say(&format!("warning: {message}"));
    }

    fn note(&self, message: &str) {
        self.say(&format!("note: {message}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.with(ProgressBar::finish_and_clear);
    }
}
