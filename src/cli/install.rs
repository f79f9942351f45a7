//! `goldsmith completions` and `goldsmith man`: what a package of goldsmith installs with it.

use super::{Cli, print};
use crate::problem::Problem;
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the completions of a shell
///
/// For one user and bash: goldsmith completions bash
/// >~/.local/share/bash-completion/completions/goldsmith
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the manual pages
///
/// Writes goldsmith.1 and a page for each command into a directory, such as
/// ~/.local/share/man/man1, and prints their paths.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Directory for the pages; created if it is missing
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs `goldsmith completions`.
pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "goldsmith", &mut text);
    print(&String::from_utf8(text)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `goldsmith man`.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.display();
    fs::create_dir_all(&args.dir).with_context(|| format!("creating {dir}"))?;
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    pages_of(&command, "goldsmith", &mut pages);
    let mut paths = String::new();
    for (name, command) in pages {
        let mut text = Vec::new();
        clap_mangen::Man::new(command.display_name(name.clone()))
            .title(name.to_uppercase())
            .render(&mut text)
            .with_context(|| format!("making the page {name}.1"))?;
        let path = args.dir.join(format!("{name}.1"));
        fs::write(&path, text).map_err(|e| {
            // The half of a page would be another one.
            let _ = fs::remove_file(&path);
            Problem::new(format!("writing {}: {e}", path.display()))
        })?;
        paths.push_str(&format!("{}\n", path.display()));
    }
    print(&paths)?;
    Ok(ExitCode::SUCCESS)
}

/// The pages of a command and of those below it, by their names, such as `goldsmith-artifact-show`.
fn pages_of(command: &clap::Command, name: &str, out: &mut Vec<(String, clap::Command)>) {
    out.push((name.to_owned(), command.clone()));
    for child in command.get_subcommands() {
        // Where clap adds it, `help` is not a page of its own.
        if child.get_name() != "help" || name == "goldsmith" {
            pages_of(child, &format!("{name}-{}", child.get_name()), out);
        }
    }
}
