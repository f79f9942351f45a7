//! `goldsmith doctor`: examines a golden image before a fleet has it.

use super::input::{ImageArgs, package_cache};
use super::{annotate, print, progress, terminal};
use crate::config;
use crate::convert::{self, Request};
use crate::doctor::Finding;
use crate::plan::PlanRequest;
use crate::plan::host::HostFiles;
use crate::problem::Problem;
use crate::units::counted;
use crate::verify::Severity;
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Examine a golden image before a fleet of devices has it
///
/// Looks for identities and secrets that all devices would share, accounts that anyone can log in
/// to, what the update client needs, and what would act by itself or be gone on the converted disk.
/// docs/doctor.md lists the findings. Changes nothing. Exits with 0 if it finds no errors,
/// otherwise with 1.
#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Configuration file, or the name of a built-in board; may be repeated, later ones override
    /// earlier ones
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Set one key, as in storage.size="8 GiB"; may be repeated, overrides all files
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: ImageArgs,
}

/// Runs the command.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(true);
    // The release is nobody's; that there is no client is a finding.
    let defaults = ["artifact.name=\"golden\"", "client.required=false"];
    let loaded = config::load_over(&defaults, &args.config, &args.set);
    let config = loaded.map_err(|config::ConfigError(problems)| problems)?;
    let package_cache = package_cache(None, &config)?;
    let request = Request {
        plan: PlanRequest {
            config: &config,
            host: HostFiles {
                disk: &args.input.image,
                overlays: &[],
                preserve_layout: None,
                modes: Default::default(),
                package_cache: &package_cache,
                epoch: None,
            },
        },
        run_hooks: false,
        upgrade_from: None,
        shared: None,
        strict: false,
        report: &*report,
    };
    let findings = convert::examine(&request, args.input.open(&*report)?)?;
    for finding in &findings {
        let place = finding.evidence.first().map(|one| one.path.as_str());
        let text = match place {
            Some(path) if !path.is_empty() => format!("{path}: {}", finding.text),
            _ => finding.text.clone(),
        };
        let problem = Problem::new(text).hint(&finding.remedy);
        annotate::finding(finding.severity, finding.code, &problem);
    }
    let good = findings.iter().all(|one| one.severity != Severity::Error);
    let text = match args.json {
        true => {
            let findings = &findings;
            let output = JsonOutput { good, findings };
            format!("{}\n", serde_json::to_string_pretty(&output)?)
        }
        false => terminal::listed(&text(&args.input.image, &findings)).into_owned(),
    };
    print(&text)?;
    Ok(match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The output of `--json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct JsonOutput<'a> {
    /// Whether the exit code is 0.
    good: bool,
    /// The findings, the worst first.
    findings: &'a [Finding],
}

/// The findings with their places and remedies, then their number.
fn text(path: &Path, findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let _ = writeln!(
            out,
            "{}[{}]: {}",
            finding.severity, finding.code, finding.text
        );
        for one in &finding.evidence {
            let _ = match one.path.as_str() {
                "" => writeln!(out, "    {}", one.value),
                path if one.value.is_empty() => writeln!(out, "    {path}"),
                path => writeln!(out, "    {path}: {}", one.value),
            };
        }
        if finding.omitted > 0 {
            let _ = writeln!(out, "    and {} more", finding.omitted);
        }
        let remedy = finding.remedy.replace('\n', "\n    ");
        let _ = writeln!(out, "    remedy: {remedy}\n");
    }
    let count = |severity| {
        let of = findings.iter().filter(|one| one.severity == severity);
        of.count()
    };
    let _ = writeln!(
        out,
        "{}: {}, {}, {}",
        path.display(),
        counted(count(Severity::Error), "error", "errors"),
        counted(count(Severity::Warning), "warning", "warnings"),
        counted(count(Severity::Note), "note", "notes")
    );
    out
}
