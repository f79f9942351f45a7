//! The command line: parses, prints, exits; decides nothing.

pub mod artifact;
pub mod boards;
mod convert;
mod flash;
mod input;
mod inspect;
pub mod message;
mod plan;
mod progress;
mod verify;

use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Turn a golden disk image into an A/B image with over-the-air updates
///
/// Reads one hand-tuned Debian system and makes of it what a fleet can be flashed with and updated
/// by: a disk image with two root slots, and an update Artifact for the Mender client. Needs no
/// privilege of any kind.
///
/// Exit codes: 0 done; 1 could not do it; 2 the arguments or the configuration are wrong or
/// incomplete; 128 + N ended by signal N.
#[derive(Debug, Parser)]
#[command(
    name = "goldsmith",
    version,
    max_term_width = 80,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Convert(convert::ConvertArgs),
    Plan(plan::PlanArgs),
    Flash(flash::FlashArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Artifact(artifact::ArtifactArgs),
    Boards(boards::BoardsArgs),
}

/// Runs a command line and reports its error.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What cannot be printed (a closed pipe) cannot be reported either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    on_signals();
    match run(&cli.command) {
        Ok(code) => code,
        Err(error) => {
            let _ = io::stderr().write_all(message::render(&error).as_bytes());
            ExitCode::from(message::exit_code(&error))
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Convert(args) => convert::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Flash(args) => flash::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Artifact(args) => artifact::run(args),
        Command::Boards(args) => boards::run(args),
    }
}

/// SIGINT, SIGTERM and SIGHUP take the temporary files away and end the program with 128 + their
/// number, as shells expect.
fn on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let published = crate::convert::outputs::abandon();
            let half = flash::UNDERWAY.load(std::sync::atomic::Ordering::Relaxed);
            let state = match (half, published) {
                (true, _) => "the device holds part of the image",
                (false, true) => "everything was written",
                (false, false) => "nothing was written",
            };
            let _ = io::stderr().write_all(format!("\nerror: interrupted; {state}\n").as_bytes());
            std::process::exit(128 + signal);
        }
    });
}

/// Prints to standard output, which may have been closed by the reader of a pipe: no error then.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
