//! The command line: parses arguments, prints results, sets the exit code. Decides nothing.

mod annotate;
pub mod artifact;
pub mod boards;
mod boot;
mod boot_check;
mod cache;
mod check;
mod convert;
mod diff;
mod doctor;
mod files;
mod flash;
mod fleet;
mod golden_partitions;
mod help;
mod init;
mod input;
mod inspect;
mod install;
mod lock;
mod log;
pub mod message;
mod migrate;
mod mistake;
mod new_file;
mod picture;
mod plan;
mod progress;
#[cfg(test)]
mod schema_tests;
mod terminal;
mod verify;

use crate::problem::{Problem, Usage};
use crate::verify::Severity;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Convert a golden disk image into an A/B image with over-the-air updates
///
/// Converts the disk image of one hand-configured Debian system into an A/B image to flash and a
/// Mender Artifact to update with. Needs no privileges.
///
/// Exit codes: 0 if the command is done; 1 if it is refused or fails, because of the configuration
/// (files and --set), an input, or this machine, or if a check finds errors; 2 if the command line
/// itself is wrong; 128 + N if signal N ends it.
#[derive(Debug, Parser)]
#[command(
    name = "goldsmith",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Make annotations of messages: `github` prints workflow commands, `gitlab=FILE` writes a
    /// code quality report
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        help_heading = "Continuous integration"
    )]
    annotate: Option<annotate::Annotations>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Check(check::CheckArgs),
    Convert(convert::ConvertArgs),
    Plan(plan::PlanArgs),
    Flash(flash::FlashArgs),
    Fleet(fleet::FleetArgs),
    Lock(lock::LockArgs),
    Fetch(lock::FetchArgs),
    Doctor(doctor::DoctorArgs),
    Inspect(inspect::InspectArgs),
    Ls(files::LsArgs),
    Cat(files::CatArgs),
    Extract(files::ExtractArgs),
    Diff(diff::DiffArgs),
    Boot(boot::BootArgs),
    Verify(verify::VerifyArgs),
    Artifact(artifact::ArtifactArgs),
    Boards(boards::BoardsArgs),
    Migrate(migrate::MigrateArgs),
    Completions(install::CompletionsArgs),
    Man(install::ManArgs),
    Help(help::HelpArgs),
}

/// Every command as it is typed after `goldsmith`, such as `artifact show`. The first one is empty:
/// the program itself.
#[must_use]
pub fn commands() -> Vec<String> {
    fn collect(path: &str, command: &clap::Command, out: &mut Vec<String>) {
        out.push(path.to_owned());
        for child in command.get_subcommands() {
            collect(
                format!("{path} {}", child.get_name()).trim_start(),
                child,
                out,
            );
        }
    }
    let mut out = Vec::new();
    collect("", &Cli::command(), &mut out);
    out
}

/// Parses the command line, runs the command and reports its error.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|mut matches| {
        let json = has_flag(&matches, "json");
        let both = has_flag(&matches, "quiet") && has_flag(&matches, "verbose");
        Ok((Cli::from_arg_matches_mut(&mut matches)?, json, both))
    });
    let (cli, json, both) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return mistake::report(&error),
    };
    on_signals(cli.command.left());
    let begun = annotate::start(cli.annotate.as_ref());
    let begun = begun.and_then(|()| match both {
        true => Err(Usage::from(Problem::new("--quiet and --verbose exclude each other")).into()),
        false => cli.command.log().map_or(Ok(()), log::start),
    });
    let result = begun.and_then(|()| random_numbers());
    let result = result.and_then(|()| run(&cli.command));
    if let Err(error) = &result {
        show(error);
    }
    let code = match &result {
        Ok(code) => u8::from(*code != ExitCode::SUCCESS),
        Err(error) => message::exit_code(error),
    };
    let written = annotate::finish().and(log::finish(code));
    if let Err(error) = &written {
        show(error);
    }
    match result.and_then(|code| written.map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            // A program that reads standard output gets an object in any case.
            if json {
                let _ = print(&message::json(&error));
            }
            ExitCode::from(message::exit_code(&error))
        }
    }
}

impl Command {
    /// What is left if it is interrupted, after `interrupted`.
    fn left(&self) -> &'static str {
        match self {
            // All files or none.
            Self::Init(_) | Self::Convert(_) | Self::Fleet(_) | Self::Lock(_) | Self::Flash(_) => {
                "; nothing was written"
            }
            Self::Fetch(_) => "; the next run goes on with what was downloaded until now",
            // These only read.
            _ => "",
        }
    }

    /// What is asked of the log, with the commands that have one.
    fn log(&self) -> Option<&log::LogArgs> {
        match self {
            Self::Convert(args) => Some(&args.input.log),
            Self::Plan(args) => Some(&args.input.log),
            Self::Flash(args) => Some(&args.log),
            Self::Verify(args) => Some(&args.log),
            Self::Fleet(args) => Some(args.log()),
            _ => None,
        }
    }
}

/// Whether the command of these arguments, or one below it, has this option without a value.
fn has_flag(matches: &ArgMatches, name: &str) -> bool {
    let own = matches.try_get_one::<bool>(name).ok().flatten().copied();
    let below = matches.subcommand();
    let below = below.map(|(_, below)| has_flag(below, name));
    own == Some(true) || below == Some(true)
}

/// Shows the problems of an error.
fn show(error: &anyhow::Error) {
    for problem in message::problems(error) {
        annotate::show(Severity::Error, "", &problem);
    }
}

/// Fails if the system has no random numbers: hash tables of the standard library and of crates
/// need one, which affects no result, and panic without it.
fn random_numbers() -> anyhow::Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let works = std::panic::catch_unwind(std::collections::hash_map::RandomState::new).is_ok();
    std::panic::set_hook(hook);
    if works {
        return Ok(());
    }
    let message =
        "the system provides no random numbers: neither getrandom(2) nor /dev/urandom works";
    let hint = "allow the system call getrandom, or mount /dev";
    Err(Problem::new(message).hint(hint).into())
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Flash(args) => flash::run(args),
        Command::Fleet(args) => fleet::run(args),
        Command::Lock(args) => lock::run(args),
        Command::Fetch(args) => lock::fetch(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Ls(args) => files::ls(args),
        Command::Cat(args) => files::cat(args),
        Command::Extract(args) => files::extract(args),
        Command::Diff(args) => diff::run(args),
        Command::Boot(args) => boot::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Artifact(args) => artifact::run(args),
        Command::Boards(args) => boards::run(args),
        Command::Migrate(args) => migrate::run(args),
        Command::Completions(args) => install::completions(args),
        Command::Man(args) => install::man(args),
        Command::Help(args) => help::run(args),
    }
}

/// Makes SIGINT, SIGTERM and SIGHUP remove the temporary files and exit with 128 + their number, as
/// shells expect. `left` says what is there then, if nothing else is known.
fn on_signals(left: &'static str) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let published = crate::convert::outputs::abandon();
            crate::emulate::abandon();
            let writing = flash::WRITING.load(std::sync::atomic::Ordering::Relaxed);
            let extracting = crate::volume::EXTRACTING.load(std::sync::atomic::Ordering::Relaxed);
            let state = match (writing, published) {
                _ if extracting => "; what was copied until now is there",
                (true, _) => "; the device holds part of the image",
                (false, true) => "; everything was written",
                (false, false) => left,
            };
            let text = format!("interrupted{state}");
            log::line("error", &text);
            let _ = io::stderr().write_all(format!("\nerror: {text}\n").as_bytes());
            std::process::exit(128 + signal);
        }
    });
}

/// Prints to standard output. A closed pipe is not an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(terminal::without_controls(text).as_bytes());
    match printed.and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(not_printed),
    }
}

/// The error of standard output, with its place.
fn not_printed(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing to standard output: {error}"))
}
