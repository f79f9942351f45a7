//! `--log` and `--verbose`: what a command did, for people who look for the reason of something.

use super::new_file;
use crate::config;
use crate::problem::Problem;
use crate::stamp::rfc3339;
use clap::Args;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How another file is named.
const ANOTHER: &str = "name another file with --log";

/// The arguments of commands that take long
#[derive(Args, Debug, Default)]
pub(super) struct LogArgs {
    /// Print more: the configuration, what was read, edits with their reasons, cached data
    #[arg(short, long)]
    verbose: bool,
    /// Write stages, messages of all levels and all that --verbose prints to this new file; secrets
    /// are ***
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// The log of this run.
struct Log {
    path: PathBuf,
    begin: Instant,
    state: Mutex<State>,
}

/// The file, and why it could not be written.
struct State {
    file: File,
    fault: Option<io::Error>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Whether details are printed.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Begins the log that the arguments ask for, with the version and the command line.
///
/// # Errors
/// That the file exists or cannot be made.
pub(super) fn start(args: &LogArgs) -> anyhow::Result<()> {
    VERBOSE.store(args.verbose, Ordering::Relaxed);
    let Some(path) = &args.log else {
        return Ok(());
    };
    new_file::check(path, ANOTHER)?;
    let failed = |e| Problem::new(format!("writing the log {}: {e}", path.display()));
    let file = File::create_new(path).map_err(failed)?;
    let log = Log {
        path: path.clone(),
        begin: Instant::now(),
        state: Mutex::new(State { file, fault: None }),
    };
    let _ = LOG.set(log);
    line("begin", &now());
    line("version", &version());
    let arguments: Vec<OsString> = std::env::args_os().collect();
    line("command", &command_line(&arguments));
    Ok(())
}

/// The version of the program, and what it runs on.
fn version() -> String {
    format!(
        "goldsmith {} ({}, {})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log tells when something happened; no result has it"
)]
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    rfc3339(since.map_or(0, |time| time.as_secs().cast_signed()))
}

/// Ends the log, with the exit code of the command.
///
/// # Errors
/// That the file could not be written to its end.
pub(super) fn finish(code: u8) -> anyhow::Result<()> {
    line("exit code", &code.to_string());
    let Some(log) = LOG.get() else {
        return Ok(());
    };
    let mut state = log.state.lock().unwrap_or_else(PoisonError::into_inner);
    match state.fault.take() {
        Some(fault) => {
            let text = format!("writing the log {}: {fault}", log.path.display());
            Err(Problem::new(text).into())
        }
        None => Ok(()),
    }
}

/// Whether details are printed.
pub(super) fn is_verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// Whether anybody will see details.
pub(super) fn wants_details() -> bool {
    is_verbose() || LOG.get().is_some()
}

/// Writes a line of the log: the seconds since its begin, what kind of line it is, and a text,
/// whose further lines are indented.
pub(super) fn line(kind: &str, text: &str) {
    let Some(log) = LOG.get() else { return };
    let seconds = log.begin.elapsed().as_secs_f64();
    let text = text.trim_end().replace('\n', "\n            ");
    let mut state = log.state.lock().unwrap_or_else(PoisonError::into_inner);
    if state.fault.is_none() {
        let written = writeln!(state.file, "{seconds:10.3}  {kind}: {text}");
        state.fault = written.err();
    }
}

/// The command line as a shell reads it, without secrets.
fn command_line(arguments: &[OsString]) -> String {
    let mut out = Vec::new();
    let mut is_setting = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        let shown = match (is_setting, text.split_once('=')) {
            (true, _) => shown_setting(&text),
            (_, Some((option @ "--set", setting))) => {
                format!("{option}={}", shown_setting(setting))
            }
            // As in `-sKEY=VALUE`.
            (_, Some(_)) if text.starts_with('-') && !text.starts_with("--") => {
                match text.split_once('s') {
                    Some((options, setting)) => format!("{options}s{}", shown_setting(setting)),
                    None => text.clone().into_owned(),
                }
            }
            _ => text.clone().into_owned(),
        };
        is_setting = !is_setting && is_set_option(&text);
        out.push(quoted(&shown));
    }
    out.join(" ")
}

/// Whether the next argument is a setting: `--set`, `-s`, or short options that end with it.
fn is_set_option(text: &str) -> bool {
    let is_short = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_alphabetic());
    let short = text.strip_prefix('-').filter(|rest| is_short(rest));
    text == "--set" || short.is_some_and(|rest| rest.ends_with('s'))
}

/// `KEY=VALUE` without its value, if that may hold a secret.
fn shown_setting(setting: &str) -> String {
    let Some((key, value)) = setting.split_once('=') else {
        return "***".to_owned();
    };
    let credentials = value.contains("://") && value.contains('@');
    match config::may_hold_secret(key.trim()) || credentials {
        true => format!("{key}=***"),
        false => setting.to_owned(),
    }
}

/// A word of a command line, in quotes if it needs some.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_show_no_secret() {
        for (line, expected) in [
            ("goldsmith plan a.img", "goldsmith plan a.img"),
            (
                "goldsmith plan -s root.size=1 a",
                "goldsmith plan -s root.size=1 a",
            ),
            (
                "g plan -s server.tenant-token=hush",
                "g plan -s 'server.tenant-token=***'",
            ),
            (
                "g plan -sserver.tenant-token=hush",
                "g plan '-sserver.tenant-token=***'",
            ),
            (
                "g plan -qsserver.tenant-token=hush",
                "g plan '-qsserver.tenant-token=***'",
            ),
            (
                "g plan --set=server.tenant-token=hush",
                "g plan '--set=server.tenant-token=***'",
            ),
            (
                "g plan --set server={tenant-token=\"hush\"}",
                "g plan --set 'server=***'",
            ),
            (
                "g plan -qs rootfs.edit=[{secret=\"hush\"}]",
                "g plan -qs 'rootfs.edit=***'",
            ),
            (
                "g plan -s rootfs.edit[0].secret=hush",
                "g plan -s 'rootfs.edit[0].secret=***'",
            ),
            ("g plan -s hush", "g plan -s '***'"),
            ("g plan -s nonsense=hush", "g plan -s 'nonsense=***'"),
            (
                "g plan -s server.url=https://a:hush@b",
                "g plan -s 'server.url=***'",
            ),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(command_line(&arguments), expected, "{line}");
        }
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
