//! `goldsmith check`.

use super::lock::ConfigArgs;
use super::{print, terminal};
use crate::config::{self, Config, HostReference};
use crate::problem::{Problem, Problems};
use crate::units::counted;
use clap::Args;
use std::process::ExitCode;

/// Check a configuration without an image
///
/// Reads the configuration with everything that it extends, and looks for the files that it names.
/// What depends on the golden image is checked by `plan`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let mut references = config.host_references();
    // The lines of each file in their order, as an editor shows them.
    references.sort_by_key(|one| {
        let place = &one.location;
        (place.origin.name.clone(), place.line, place.column)
    });
    let mut problems = Problems::default();
    for reference in &references {
        problems.0.extend(missing(reference));
    }
    problems.check()?;
    if !args.quiet {
        print(&terminal::listed(&text(&config, references.len())))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The problem of a file that is not there.
fn missing(reference: &HostReference) -> Option<Problem> {
    let HostReference {
        key,
        location,
        given,
        path,
    } = reference;
    // Made by `goldsmith lock`, from an image.
    if key == "client.lock-file" {
        return None;
    }
    let what = match config::expand(path) {
        Ok(found) if found.iter().any(|one| one.exists()) => return None,
        Ok(_) if path.to_string_lossy().contains(['*', '?']) => "matches no file".to_owned(),
        Ok(_) => "does not exist".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    let place = location.with_key(key);
    let problem = Problem::new(format!("{place}: `{given}` {what}"));
    // A relative path begins in the directory of the file that names it.
    let shown = path.display().to_string();
    Some(match shown == *given {
        true => problem,
        false => problem.hint(format!("the path is {shown}")),
    })
}

/// What was found, and what only an image decides.
fn text(config: &Config, files: usize) -> String {
    let mut out = String::from("no problems found");
    if files > 0 {
        out.push_str(&format!(
            "; {} that the configuration names {} there",
            counted(files, "file", "files"),
            if files == 1 { "is" } else { "are" }
        ));
    }
    out.push('\n');
    let mut open = Vec::new();
    if config.board.device_type.is_none() {
        open.push("the board (board.device-type is not set)");
    }
    if config.artifact.name.is_none() {
        open.push("the name of the release (--artifact-name)");
    }
    if config.client.bundle.is_some() || !config.client.install.is_empty() {
        open.push("the packages of client.bundle and client.install (`goldsmith lock`)");
    }
    for what in open {
        out.push_str(&format!("to be decided: {what}\n"));
    }
    out
}
