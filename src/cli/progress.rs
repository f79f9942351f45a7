//! Progress on standard error: bars on a terminal, otherwise plain lines, with `--quiet`
//! warnings alone.

use super::annotate::show;
use super::{log, terminal};
use crate::problem::Problem;
use crate::report::Report;
use crate::verify::Severity;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// The report that suits standard error; `--verbose` shows progress of commands that have none.
#[must_use]
pub(super) fn report(quiet: bool) -> Box<dyn Report> {
    if quiet && !log::is_verbose() {
        Box::new(Warnings)
    } else if terminal::is_terminal() {
        Box::new(Terminal {
            bar: Mutex::new(None),
        })
    } else {
        Box::new(Lines)
    }
}

/// Shows a detail, if they are wanted, and writes it to the log. `above` prints a line.
fn detail(prefix: &str, message: &str, above: impl FnOnce(&str)) {
    log::line("detail", &format!("{prefix}{message}"));
    if log::is_verbose() {
        let text = terminal::without_controls(message).into_owned();
        above(&format!("{prefix}  {}", terminal::wrapped(&text, 4)));
    }
}

/// Warnings and nothing else.
#[derive(Debug)]
struct Warnings;

impl Report for Warnings {
    fn step(&self, name: &str, _total: Option<u64>) {
        log::line("stage", name);
    }

    fn advance(&self, _bytes: u64) {}

    fn warn(&self, message: &str) {
        warning("", message);
    }

    fn note(&self, message: &str) {
        log::line("note", message);
    }

    fn detail(&self, message: &str) {
        log::line("detail", message);
    }
}

/// Plain lines: one for each step, warning and note.
#[derive(Debug)]
struct Lines;

impl Report for Lines {
    fn step(&self, name: &str, total: Option<u64>) {
        log::line("stage", name);
        match total {
            Some(total) => line(&format!("{name} ({})", crate::units::human(total))),
            None => line(name),
        }
    }

    fn advance(&self, _bytes: u64) {}

    fn warn(&self, message: &str) {
        warning("", message);
    }

    fn note(&self, message: &str) {
        note("", message);
    }

    fn detail(&self, message: &str) {
        detail("", message, line);
    }
}

fn warning(prefix: &str, message: &str) {
    show(Severity::Warning, prefix, &Problem::new(message));
}

fn note(prefix: &str, message: &str) {
    show(Severity::Note, prefix, &Problem::new(message));
}

/// Prints a line to standard error. Errors are ignored: there is nowhere to report them.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The style of a step, whose length is known or not.
fn style(has_length: bool) -> ProgressStyle {
    let template = match has_length {
        true => "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        false => "{msg}",
    };
    // The templates are constants. If one did not parse, the default style would do.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
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

    /// Runs `print` with the bar out of its way.
    fn above(&self, print: impl Fn()) {
        if !self.with(|bar| bar.suspend(&print)) {
            print();
        }
    }
}

impl Report for Terminal {
    fn step(&self, name: &str, total: Option<u64>) {
        log::line("stage", name);
        // Cleared before the next one is drawn; otherwise it would remain above it.
        if let Some(old) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            old.finish_and_clear();
        }
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_style(style(total.is_some()));
        bar.set_message(name.to_owned());
        bar.tick();
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| bar.inc(bytes));
    }

    fn warn(&self, message: &str) {
        self.above(|| warning("", message));
    }

    fn note(&self, message: &str) {
        self.above(|| note("", message));
    }

    fn detail(&self, message: &str) {
        detail("", message, |text| self.above(|| line(text)));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.with(ProgressBar::finish_and_clear);
    }
}

/// The progress of many conversions at once: every line begins with the name of its conversion, and
/// each has a bar of its own.
#[derive(Debug)]
pub(super) struct Many {
    quiet: bool,
    /// The bars, on a terminal.
    bars: Option<MultiProgress>,
}

impl Many {
    /// The progress that suits standard error.
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = !quiet && terminal::is_terminal();
        Self {
            quiet,
            bars: terminal.then(MultiProgress::new),
        }
    }

    /// The report of the conversion with this name.
    pub(super) fn report(&self, name: &str) -> Box<dyn Report> {
        Box::new(OneOfMany {
            name: name.to_owned(),
            quiet: self.quiet,
            bars: self.bars.clone(),
            bar: Mutex::new(None),
        })
    }
}

/// One of [`Many`].
#[derive(Debug)]
struct OneOfMany {
    name: String,
    quiet: bool,
    bars: Option<MultiProgress>,
    bar: Mutex<Option<ProgressBar>>,
}

impl OneOfMany {
    /// Calls `print` with what its lines begin with, with the bars out of its way.
    fn above(&self, print: impl Fn(&str)) {
        let prefix = format!("{}: ", self.name);
        match &self.bars {
            Some(bars) => bars.suspend(|| print(&prefix)),
            None => print(&prefix),
        }
    }

    /// Replaces the bar of this conversion.
    fn replace(&self, bar: Option<ProgressBar>) {
        let mut own = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(old), Some(bars)) = (own.take(), &self.bars) {
            old.finish_and_clear();
            bars.remove(&old);
        }
        *own = bar;
    }
}

impl Report for OneOfMany {
    fn step(&self, name: &str, total: Option<u64>) {
        log::line("stage", &format!("{}: {name}", self.name));
        let Some(bars) = &self.bars else {
            if !self.quiet {
                self.above(|prefix| line(&format!("{prefix}{name}")));
            }
            return;
        };
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_style(style(total.is_some()));
        self.replace(None);
        let bar = bars.add(bar);
        bar.set_message(format!("{}: {name}", self.name));
        bar.tick();
        self.replace(Some(bar));
    }

    fn advance(&self, bytes: u64) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*bar {
            bar.inc(bytes);
        }
    }

    fn warn(&self, message: &str) {
        self.above(|prefix| warning(prefix, message));
    }

    fn note(&self, message: &str) {
        match self.quiet {
            true => log::line("note", &format!("{}: {message}", self.name)),
            false => self.above(|prefix| note(prefix, message)),
        }
    }

    fn detail(&self, message: &str) {
        let prefix = format!("{}: ", self.name);
        detail(&prefix, message, |text| self.above(|_| line(text)));
    }
}

impl Drop for OneOfMany {
    fn drop(&mut self) {
        self.replace(None);
    }
}
