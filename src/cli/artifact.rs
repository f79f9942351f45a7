//! `goldsmith artifact`: what an Artifact says, and whether devices will take it.

use crate::artifact::{
    self, Artifact, ArtifactFinding, ArtifactReport, Severity, Verifier, visible,
};
use crate::digest::hex;
use crate::units::human;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Look at update Artifacts
#[derive(Args, Debug)]
pub struct ArtifactArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show what an Artifact says: name, device types, provides, files
    Show {
        /// The Artifact
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every checksum of an Artifact and every rule that clients hold it against
    ///
    /// Exits with 0 when devices will take it, with 1 when some client will refuse it.
    Validate {
        /// The Artifact
        file: PathBuf,
        /// Public key in PEM form that must have signed it
        #[arg(short = 'k', long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command; the exit code is 0, or 1 for an Artifact that is not valid.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &ArtifactArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Show { file, json } => show(file, *json),
        Command::Validate { file, key, json } => validate(file, key.as_deref(), *json),
    }
}

fn show(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let examined = read(path, artifact::show)?;
    if !examined.complete {
        let reason = examined
            .findings
            .last()
            .map_or_else(String::new, |finding| finding.text.clone());
        anyhow::bail!("reading {}: {reason}", path.display());
    }
    let text = if json {
        to_json(&Shown::from(&examined.artifact))?
    } else {
        table(&examined.artifact)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn validate(path: &Path, key: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let key = match key {
        Some(path) => Some(
            Verifier::open(path)
                .with_context(|| format!("reading the public key {}", path.display()))?,
        ),
        None => None,
    };
    let examined = read(path, |reader| artifact::validate(reader, key.as_ref()))?;
    let text = if json {
        to_json(&Verdict::from(&examined))?
    } else {
        verdict(path, &examined)
    };
    print(&text)?;
    Ok(if examined.is_valid() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(
    path: &Path,
    how: impl FnOnce(&mut dyn io::Read) -> io::Result<ArtifactReport>,
) -> anyhow::Result<ArtifactReport> {
    let examined = File::open(path).and_then(|mut file| how(&mut file));
    examined.with_context(|| format!("reading {}", path.display()))
}

/// Prints to standard output, which may have been closed by the reader of a pipe: no error then.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// An Artifact as two columns: what, and its values one below the other.
fn table(artifact: &Artifact) -> String {
    let pairs = |map: &BTreeMap<String, String>| {
        let width = map
            .keys()
            .map(|key| visible(key).chars().count())
            .max()
            .unwrap_or(0)
            .min(40);
        map.iter()
            .map(|(key, value)| format!("{:width$}  {}", visible(key), visible(value)))
            .collect::<Vec<_>>()
    };
    let lines = |values: &[String]| {
        values
            .iter()
            .map(|value| visible(value))
            .collect::<Vec<_>>()
    };
    let rows = [
        ("Artifact", vec![visible(&artifact.name)]),
        ("Group", lines(artifact.group.as_slice())),
        ("Device types", lines(&artifact.device_types)),
        (
            "Payload",
            vec![
                artifact
                    .payload_type
                    .as_ref()
                    .map_or("none".into(), |kind| visible(kind)),
            ],
        ),
        ("Files", files(artifact)),
        ("Provides", pairs(&artifact.provides)),
        ("Clears", clears(artifact)),
        ("Needs", pairs(&artifact.depends)),
        ("Needs Artifact", lines(&artifact.depends_names)),
        ("Needs group", lines(&artifact.depends_groups)),
        ("State scripts", lines(&artifact.scripts)),
        ("Compression", vec![artifact.compression.to_string()]),
        ("Signature", vec![signature(artifact)]),
    ];
    let mut out = String::new();
    for (what, values) in rows {
        for (at, value) in values.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{:14}  {value}", if at == 0 { what } else { "" });
        }
    }
    out
}

fn files(artifact: &Artifact) -> Vec<String> {
    let size = |bytes: u64| match human(bytes) {
        text if text.ends_with(" B") => text,
        text => format!("{text} ({bytes} bytes)"),
    };
    let file = |file: &artifact::PayloadFile| {
        let sum = file.sha256.map(|sum| format!("sha256 {}", hex(&sum)));
        [
            Some(format!("{}  {}", visible(&file.name), size(file.size))),
            sum,
        ]
    };
    artifact.files.iter().flat_map(file).flatten().collect()
}

fn clears(artifact: &Artifact) -> Vec<String> {
    match &artifact.clears {
        Some(patterns) => patterns.iter().map(|pattern| visible(pattern)).collect(),
        None if artifact.provides.is_empty() => Vec::new(),
        None => vec!["everything (no pattern is given)".into()],
    }
}

fn signature(artifact: &Artifact) -> String {
    match &artifact.signature {
        None => "none".into(),
        Some(signature) => match &signature.verified {
            Some(kind) => format!("verified with this {kind} key"),
            None => format!("{} bytes, not checked", signature.len),
        },
    }
}

/// The findings, the worst first, and the verdict.
fn verdict(path: &Path, examined: &ArtifactReport) -> String {
    let mut findings: Vec<&ArtifactFinding> = examined.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut out = String::new();
    for finding in &findings {
        let _ = writeln!(
            out,
            "{}[{}]: {}",
            finding.severity,
            finding.code,
            visible(&finding.text)
        );
    }
    let path = path.display();
    let _ = match (examined.is_valid(), examined.complete) {
        (true, _) => writeln!(out, "{path}: valid{}", trust(&examined.artifact)),
        (false, true) => writeln!(out, "{path}: not valid"),
        (false, false) => writeln!(
            out,
            "{path}: not valid; what follows the last error was not checked"
        ),
    };
    out
}

fn trust(artifact: &Artifact) -> String {
    match &artifact.signature {
        None => ", not signed".into(),
        Some(_) => format!(", signature {}", signature(artifact)),
    }
}

fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// What `show --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    group: Option<&'a str>,
    device_types: &'a [String],
    payload_type: Option<&'a str>,
    files: Vec<FileShown<'a>>,
    provides: &'a BTreeMap<String, String>,
    clears: Option<&'a [String]>,
    depends: &'a BTreeMap<String, String>,
    depends_artifacts: &'a [String],
    depends_groups: &'a [String],
    state_scripts: &'a [String],
    compression: &'a str,
    format_version: Option<u64>,
    signed: bool,
}

#[derive(Serialize)]
struct FileShown<'a> {
    name: &'a str,
    size: u64,
    sha256: Option<String>,
}

impl<'a> From<&'a Artifact> for Shown<'a> {
    fn from(artifact: &'a Artifact) -> Self {
        let file = |file: &'a artifact::PayloadFile| FileShown {
            name: &file.name,
            size: file.size,
            sha256: file.sha256.map(|sum| hex(&sum)),
        };
        Self {
            name: &artifact.name,
            group: artifact.group.as_deref(),
            device_types: &artifact.device_types,
            payload_type: artifact.payload_type.as_deref(),
            files: artifact.files.iter().map(file).collect(),
            provides: &artifact.provides,
            clears: artifact.clears.as_deref(),
            depends: &artifact.depends,
            depends_artifacts: &artifact.depends_names,
            depends_groups: &artifact.depends_groups,
            state_scripts: &artifact.scripts,
            compression: artifact.compression.name(),
            format_version: artifact.version,
            signed: artifact.signature.is_some(),
        }
    }
}

/// What `validate --json` prints.
#[derive(Serialize)]
struct Verdict<'a> {
    valid: bool,
    complete: bool,
    signed: bool,
    verified_with: Option<&'a str>,
    findings: Vec<FindingShown<'a>>,
}

#[derive(Serialize)]
struct FindingShown<'a> {
    severity: &'static str,
    code: &'a str,
    text: &'a str,
}

impl<'a> From<&'a ArtifactReport> for Verdict<'a> {
    fn from(examined: &'a ArtifactReport) -> Self {
        let severity = |severity| match severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let finding = |finding: &'a ArtifactFinding| FindingShown {
            severity: severity(finding.severity),
            code: finding.code,
            text: &finding.text,
        };
        let signature = examined.artifact.signature.as_ref();
        Self {
            valid: examined.is_valid(),
            complete: examined.complete,
            signed: signature.is_some(),
            verified_with: signature.and_then(|signature| signature.verified.as_deref()),
            findings: examined.findings.iter().map(finding).collect(),
        }
    }
}
