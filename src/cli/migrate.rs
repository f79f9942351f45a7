//! `goldsmith migrate`.

use super::{print, progress};
use crate::migrate::{self, MigrationRequest};
use crate::problem::{Problem, Usage};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Convert configurations of mender-convert into one for goldsmith
///
/// Reads configuration files of mender-convert (bash scripts of assignments) in the order of its
/// --config arguments and prints TOML. Files that they `source` are read too. Nothing is run:
/// functions and commands become comments that say what takes their place.
#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    /// Overlay directory of mender-convert; may be repeated
    #[arg(short, long, value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// Variable that the environment of mender-convert sets, such as
    /// MENDER_ARTIFACT_NAME=release-1; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    variable: Vec<String>,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    /// Configuration of mender-convert
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|one| one == "toml");
    if let Some(path) = args.files.iter().find(is_toml) {
        let problem = Problem::new(format!("{} is TOML already", path.display()));
        let hint = "name configurations of mender-convert, which are shell scripts";
        return Err(problem.hint(hint).into());
    }
    let report = progress::report(args.quiet);
    let variables = args.variable.iter().map(|text| variable(text));
    let request = MigrationRequest {
        files: args.files.clone(),
        overlays: args.overlay.clone(),
        variables: variables
            .collect::<Result<_, Problem>>()
            .map_err(Usage::from)?,
    };
    let migration = migrate::migrate(&request, Path::new("."))?;
    for warning in &migration.warnings {
        report.warn(warning);
    }
    drop(report);
    print(&migration.text)?;
    Ok(ExitCode::SUCCESS)
}

fn variable(text: &str) -> Result<(String, String), Problem> {
    let name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match text
        .split_once('=')
        .filter(|(before, _)| !before.is_empty() && name(before))
    {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Problem::new(format!(
            "--variable {text}: not of the form NAME=VALUE"
        ))),
    }
}
