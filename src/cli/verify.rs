//! `goldsmith verify`: whether an image may be shipped.

use super::{print, progress};
use crate::config::Config;
use crate::units::human;
use crate::verify::{self, Outcome, Severity};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check everything in a finished image that a device relies on
///
/// Reads the image back and holds everything against everything else: the partition table, each filesystem down to its last bit,
/// and what files say about partitions, boot loader, update client and Artifact. Images of other converters are judged the same
/// way. Exits with 0 when there is no error, else with 1.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The image: raw, compressed, qcow2, a block device, or - for standard input
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(true);
    let config = Config::parse("").map_err(|error| anyhow::anyhow!(error))?;
    let input = super::convert::open(&args.image, Path::new("."), &config, &*report)?;
    let outcome = verify::image(&input.source);
    let good = outcome.is_good();
    if args.json {
        let text = serde_json::to_string_pretty(&Shown { good, size: input.source.len(), outcome: &outcome })?;
        print(&format!("{text}\n"))?;
    } else {
        print(&text(&args.image, input.source.len(), &outcome))?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    good: bool,
    size: u64,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// The checks by group, then the findings, then the verdict.
fn text(path: &Path, size: u64, outcome: &Outcome) -> String {
    let mut out = String::new();
    let width = outcome.groups.iter().map(|group| group.name.len()).max().unwrap_or(0);
    for group in &outcome.groups {
        let failed = if group.failed == 0 { String::new() } else { format!(", {} failed", group.failed) };
        let _ = writeln!(out, "{:width$}  {:>9} passed{failed}", group.name, group.passed);
    }
    for finding in &outcome.findings {
        let _ = writeln!(out, "{finding}");
    }
    if outcome.omitted > 0 {
        let _ = writeln!(out, "{} more findings like these were left out", outcome.omitted);
    }
    let count = |severity| outcome.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = if outcome.is_good() { "good" } else { "not good" };
    let _ = writeln!(out, "{} ({}): {verdict}, {errors} errors, {warnings} warnings", path.display(), human(size));
    out
}
