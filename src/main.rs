//! The command `goldsmith`.

use clap::{Parser, Subcommand};
use goldsmith::cli::artifact;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Artifact(artifact::ArtifactArgs),
}

fn main() -> ExitCode {
    let Command::Artifact(args) = Cli::parse().command;
    artifact::run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
