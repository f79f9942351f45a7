//! `goldsmith diff`: what differs between two images, filesystems or Artifacts.

use super::input::ContentArgs;
use super::{new_file, print, progress};
use crate::compare::{self, Depth};
use crate::problem::{Problem, Usage};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How another file is named.
const ANOTHER: &str = "name another file with --html";

/// Show what differs between two images, filesystems or Artifacts
///
/// Compares partitions, packages, and files with their modes, owners, attributes and content; times
/// are counted. --patch shows the lines that differ; --html always has them. Filesystems are
/// compared with those that are for the same: boot, root (slot A), root-b and data. An Artifact, or
/// a file with a bare root filesystem, can be compared with a disk image.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// Show the lines that differ in text files that everybody may read
    #[arg(short, long)]
    patch: bool,
    /// Count the blocks that differ
    #[arg(long)]
    blocks: bool,
    /// List all files, those of packages that differ too
    #[arg(long)]
    all: bool,
    /// Write a page with everything to this new file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 1 if there are differences
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: ContentArgs,
    /// Disk image, filesystem or Artifact
    old: PathBuf,
    /// Disk image, filesystem or Artifact
    new: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    if [&args.old, &args.new]
        .iter()
        .all(|path| **path == Path::new("-"))
    {
        let problem = Problem::new("only one of the two can be standard input");
        return Err(Usage::from(problem).into());
    }
    if let Some(path) = &args.html {
        new_file::check(path, ANOTHER)?;
    }
    let report = progress::report(true);
    let open = |path: &Path| args.input.open(path, &*report);
    let (old, new) = (open(&args.old)?, open(&args.new)?);
    let depth = Depth {
        patches: args.patch || args.html.is_some(),
        blocks: args.blocks,
    };
    let found = compare::compare(&old, &new, depth)?;
    drop(report);
    let (old, new) = (
        args.old.display().to_string(),
        args.new.display().to_string(),
    );
    if let Some(path) = &args.html {
        let page = compare::page(&old, &new, &found);
        new_file::write(path, &page, ANOTHER)?;
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?;
    } else {
        print(&compare::text(&old, &new, &found, args.all))?;
    }
    Ok(match args.exit_code && !found.is_equal() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
