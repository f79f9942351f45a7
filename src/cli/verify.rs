//! `goldsmith verify`: checks a finished image.

use super::input::{ImageArgs, read_record};
use super::log::LogArgs;
use super::{annotate, print, progress, terminal};
use crate::artifact::Verifier;
use crate::golden::{Golden, Selection};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{FileSource, Source};
use crate::units::{counted, human};
use crate::verify::{self, Outcome, Request, Severity};
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Check everything in a finished image that a device relies on
///
/// Checks the partition table, every structure of each filesystem, and that the boot loader, the
/// update client, `fstab` and the Artifact agree with them. Works on images of other converters
/// too. Exits with 0 if it finds no errors, otherwise with 1.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Artifact that belongs to the image
    #[arg(short, long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Public key (PEM) that the Artifact must be signed with
    #[arg(short, long, value_name = "FILE", requires = "artifact")]
    key: Option<PathBuf>,
    /// Check that devices running this earlier release (its .json) can install this one
    #[arg(long, value_name = "RECORD", alias = "field")]
    upgrade_from: Option<PathBuf>,
    /// Record (.json) of the conversion that made the image: its partitions and edits must be there
    #[arg(long, value_name = "RECORD")]
    record: Option<PathBuf>,
    /// Golden image that the image was made from: private keys that it does not have are errors
    #[arg(long, value_name = "IMAGE")]
    golden: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) log: LogArgs,
    #[command(flatten)]
    input: ImageArgs,
}

/// Runs the command.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(true);
    let input = args.input.open(&*report)?;
    let key = args.key.as_deref().map(key).transpose()?;
    let earlier = args.upgrade_from.as_deref().map(read_record).transpose()?;
    let record = args.record.as_deref().map(read_record).transpose()?;
    let artifact = args.artifact.as_deref().map(artifact).transpose()?;
    let golden = args.golden.as_deref();
    let golden_keys = golden
        .map(|path| args.golden_keys(path, &*report))
        .transpose()?;
    let outcome = verify::image(
        &input.source,
        &Request {
            artifact,
            key: key.as_ref(),
            earlier_record: earlier.as_ref(),
            record: record.as_ref(),
            golden_keys,
            ..Request::default()
        },
    );
    for group in &outcome.groups {
        report.detail(&group.to_string());
    }
    for finding in &outcome.findings {
        let text = format!("{}: {}", finding.place, finding.text);
        let problem = Problem::new(text.trim_start_matches(": "));
        annotate::finding(finding.severity, finding.code, &problem);
    }
    let good = outcome.is_good();
    if args.json {
        let text = serde_json::to_string_pretty(&JsonOutput {
            good,
            size: input.source.len(),
            outcome: &outcome,
        })?;
        print(&format!("{text}\n"))?;
    } else {
        let text = text(&args.input.image, input.source.len(), &outcome);
        print(&terminal::listed(&text))?;
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl VerifyArgs {
    /// The files with private keys in the golden image at `path`.
    fn golden_keys(&self, path: &Path, report: &dyn Report) -> anyhow::Result<BTreeSet<[u8; 32]>> {
        let golden = Golden::read(
            self.input.other(path, report)?,
            Selection::default(),
            report,
        )?;
        let boot = golden.boot.as_ref().map(|boot| &boot.tree);
        let mut out = BTreeSet::new();
        for tree in [Some(&golden.root.tree), boot].into_iter().flatten() {
            let keys = verify::key_files(tree).context("reading the golden image")?;
            out.extend(keys);
        }
        Ok(out)
    }
}

fn key(path: &Path) -> anyhow::Result<Verifier> {
    Verifier::open(path).with_context(|| format!("reading the public key {}", path.display()))
}

fn artifact(path: &Path) -> anyhow::Result<Source> {
    if path == Path::new("-") {
        let problem =
            Problem::new("the Artifact is read more than once, so it cannot be standard input");
        return Err(problem.hint("write it to a file").into());
    }
    let file = FileSource::open(path)
        .with_context(|| format!("opening the Artifact {}", path.display()))?;
    Ok(Arc::new(file))
}

/// The output of `--json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct JsonOutput<'a> {
    /// Whether there is no finding of the severity `error`.
    good: bool,
    /// The length of the disk (bytes).
    size: u64,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// The number of checks in each group, then the findings, then the verdict.
fn text(path: &Path, size: u64, outcome: &Outcome) -> String {
    let mut out = String::new();
    let width = outcome
        .groups
        .iter()
        .map(|group| group.name.len())
        .max()
        .unwrap_or(0);
    for group in &outcome.groups {
        let failed = if group.failed == 0 {
            String::new()
        } else {
            format!(", {} failed", group.failed)
        };
        let _ = writeln!(
            out,
            "{:width$}  {:>9} passed{failed}",
            group.name, group.passed
        );
    }
    for finding in &outcome.findings {
        let _ = writeln!(out, "{finding}");
    }
    if outcome.omitted > 0 {
        let omitted = counted(outcome.omitted, "more finding", "more findings");
        let _ = writeln!(out, "{omitted} omitted");
    }
    let count = |severity| {
        outcome
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let verdict = if outcome.is_good() {
        "passed"
    } else {
        "failed"
    };
    let _ = writeln!(
        out,
        "{} ({}): {verdict}, {}, {}",
        path.display(),
        human(size),
        counted(count(Severity::Error), "error", "errors"),
        counted(count(Severity::Warning), "warning", "warnings")
    );
    out
}
