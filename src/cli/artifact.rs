//! `goldsmith artifact`: shows and validates Artifacts.

use super::print;
use crate::artifact::{
    self, Artifact, ArtifactFinding, ArtifactReport, ClientVersion, Severity, Verifier, visible,
};
use crate::digest::hex;
use crate::image::source::{SequentialImage, SourceError, open_forwards};
use crate::problem::{Problem, Usage};
use crate::units::human;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show and validate update Artifacts
#[derive(Args, Debug)]
pub struct ArtifactArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show the content of an Artifact: name, device types, provides, files
    Show {
        /// Artifact, or - for standard input
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check the checksums of an Artifact, and that clients will accept it
    ///
    /// Exits with 0 if devices will accept it, with 1 if some client will refuse it.
    Validate {
        /// Artifact, or - for standard input
        file: PathBuf,
        /// Public key (PEM) that the Artifact must be signed with
        #[arg(short = 'k', long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Check that this version of the update client reads it, as in 3.4 or 5.0.1
        #[arg(long, value_name = "VERSION")]
        for_client: Option<ClientVersion>,
        /// Architecture of the device, by Debian's name
        #[arg(long, value_name = "ARCH", requires = "for_client")]
        architecture: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command; the exit code is 0, or 1 for an Artifact that is not valid.
///
/// # Errors
/// I/O errors of the files.
pub fn run(args: &ArtifactArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Show { file, json } => show(file, *json),
        Command::Validate {
            file,
            key,
            for_client,
            architecture,
            json,
        } => {
            let is_32_bit = architecture.as_deref().map(is_32_bit).transpose()?;
            let client = for_client.map(|version| (version, is_32_bit));
            validate(file, key.as_deref(), client, *json)
        }
    }
}

fn show(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let examined = read(path, artifact::show)?;
    if !examined.complete {
        return Err(incomplete(path, &examined).into());
    }
    let text = if json {
        to_json(&Shown::from(&examined.artifact))?
    } else {
        table(&examined.artifact)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an architecture has 32 bits.
fn is_32_bit(name: &str) -> anyhow::Result<bool> {
    match name {
        "armhf" | "armel" | "i386" => Ok(true),
        "amd64" | "arm64" | "riscv64" => Ok(false),
        _ => {
            let message =
                format!("`{name}` is not one of armhf, armel, i386, amd64, arm64, riscv64");
            Err(Usage::from(Problem::new(message)).into())
        }
    }
}

fn validate(
    path: &Path,
    key: Option<&Path>,
    client: Option<(ClientVersion, Option<bool>)>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let key = match key {
        Some(path) => Some(
            Verifier::open(path)
                .with_context(|| format!("reading the public key {}", path.display()))?,
        ),
        None => None,
    };
    let mut examined = read(path, |reader| artifact::validate(reader, key.as_ref()))?;
    if let Some((version, is_32_bit)) = client.filter(|_| examined.complete) {
        let demands = examined.artifact.demands();
        examined
            .findings
            .extend(artifact::unreadable(version, is_32_bit, demands));
    }
    if !json && !examined.complete && is_disk_image(path) {
        return Err(incomplete(path, &examined).into());
    }
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
    examine: impl FnOnce(&mut dyn io::Read) -> io::Result<ArtifactReport>,
) -> anyhow::Result<ArtifactReport> {
    let examined = match path == Path::new("-") {
        true => examine(&mut io::stdin().lock()),
        false => File::open(path).and_then(|mut file| examine(&mut file)),
    };
    examined.with_context(|| format!("reading {}", path.display()))
}

/// The problem of a file that could not be read to its end.
fn incomplete(path: &Path, examined: &ArtifactReport) -> Problem {
    let reason = examined
        .findings
        .last()
        .map_or_else(String::new, |finding| finding.text.clone());
    let problem = Problem::new(format!("reading {}: {reason}", path.display()));
    match is_disk_image(path) {
        true => problem
            .hint("an Artifact is a file NAME.mender; `goldsmith inspect` shows a disk image"),
        false => problem,
    }
}

/// Whether the file is the image of a disk in any format: its first sector has the end of a boot
/// sector, which the header of an Artifact cannot have: tar fills what follows its fields with
/// zeros.
fn is_disk_image(path: &Path) -> bool {
    let mut sector = [0; 512];
    let read = match open_forwards(path) {
        Ok(SequentialImage::InPlace(source)) => source.read_exact_at(0, &mut sector),
        Ok(SequentialImage::Stream(mut stream)) => stream.read_exact(&mut sector),
        // It is compressed in a way that an Artifact is not.
        Err(error) => return matches!(error, SourceError::Refused { .. }),
    };
    read.is_ok() && sector.ends_with(&[0x55, 0xaa])
}

/// An Artifact as a table of two columns: the name of a property, and its values, one per line.
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
    for (title, values) in rows {
        for (at, value) in values.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{:14}  {value}", if at == 0 { title } else { "" });
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
        let digest = file.sha256.map(|digest| format!("sha256 {}", hex(&digest)));
        [
            Some(format!("{}  {}", visible(&file.name), size(file.size))),
            digest,
        ]
    };
    artifact.files.iter().flat_map(file).flatten().collect()
}

fn clears(artifact: &Artifact) -> Vec<String> {
    match &artifact.clears {
        Some(patterns) => patterns.iter().map(|pattern| visible(pattern)).collect(),
        None if artifact.provides.is_empty() => Vec::new(),
        None => vec!["everything (no patterns given)".into()],
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

/// The findings, errors first, and the verdict.
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
            "{path}: not valid; the rest after the last error was not checked"
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

/// The output of `show --json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Shown<'a> {
    /// The name of the release.
    name: &'a str,
    /// The group that devices have afterwards.
    group: Option<&'a str>,
    /// The device types that it is for.
    device_types: &'a [String],
    /// The type of its payload, such as `rootfs-image`; none if it only changes what is provided.
    payload_type: Option<&'a str>,
    /// The files of its payload.
    files: Vec<FileShown<'a>>,
    /// What a device provides afterwards.
    provides: &'a BTreeMap<String, String>,
    /// The patterns of what a device does not provide any more.
    clears: Option<&'a [String]>,
    /// What a device must provide.
    depends: &'a BTreeMap<String, String>,
    /// The releases of which a device must have one.
    depends_artifacts: &'a [String],
    /// The groups of which a device must be in one.
    depends_groups: &'a [String],
    /// The names of its state scripts.
    state_scripts: &'a [String],
    /// The compression of header and payload.
    compression: &'a str,
    /// The version of the format of the Artifact.
    format_version: Option<u64>,
    /// Whether it has a signature.
    signed: bool,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FileShown<'a> {
    /// The name.
    name: &'a str,
    /// The length (bytes).
    size: u64,
    /// The digest that the manifest has of it, in hexadecimal.
    sha256: Option<String>,
}

impl<'a> From<&'a Artifact> for Shown<'a> {
    fn from(artifact: &'a Artifact) -> Self {
        let file = |file: &'a artifact::PayloadFile| FileShown {
            name: &file.name,
            size: file.size,
            sha256: file.sha256.map(|digest| hex(&digest)),
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

/// The output of `validate --json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Verdict<'a> {
    /// Whether there is no finding of the severity `error`.
    valid: bool,
    /// Whether all of it was read.
    complete: bool,
    /// Whether it has a signature.
    signed: bool,
    /// The kind of the key that fits the signature, if one was given.
    verified_with: Option<&'a str>,
    /// What is wrong or remarkable.
    findings: Vec<FindingShown<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FindingShown<'a> {
    /// `error` or `warning`.
    severity: &'static str,
    /// The stable code.
    code: &'a str,
    /// What was found, in one sentence.
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
