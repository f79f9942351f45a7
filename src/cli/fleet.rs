//! `goldsmith fleet`.

use super::cache::{CacheArgs, SharedCaches};
use super::input::{epoch, open_golden, package_cache, processors};
use super::log::LogArgs;
use super::{log, message, print, progress, terminal};
use crate::compress::cache::CacheUsage;
use crate::config::{ConfigError, Fleet};
use crate::fleet::actions::{self, ActionList, ActionOptions, Input};
use crate::fleet::remote::{self, Remote};
use crate::fleet::run::{self, FleetRun};
use crate::fleet::{matrix, program};
use crate::units::{counted, human};
use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum, value_parser};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Convert many boards, releases and variants in one run
///
/// A TOML file names boards, releases and variants: each combination of them is a target, which
/// becomes an image, an Artifact and a record in a directory of its name, byte for byte as
/// `convert` makes them.
#[derive(Args, Debug)]
pub(super) struct FleetArgs {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    Convert(FleetConvertArgs),
    Plan(FleetPlanArgs),
    Run(FleetRunArgs),
}

impl FleetArgs {
    /// What is asked of the log.
    pub(super) fn log(&self) -> &LogArgs {
        let targets = match &self.command {
            FleetCommand::Convert(args) => &args.targets,
            FleetCommand::Plan(args) => &args.targets,
            FleetCommand::Run(args) => &args.targets,
        };
        &targets.log
    }
}

/// The arguments of all commands of a fleet
#[derive(Args, Debug)]
struct TargetArgs {
    /// Only the target of this name; may be repeated
    #[arg(short, long, value_name = "NAME")]
    target: Vec<String>,
    /// Directory of the package cache that `fetch` filled [default: goldsmith/packages in the
    /// user's cache directory]
    #[arg(long, value_name = "DIR")]
    package_cache: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    /// The file that names boards, releases and variants
    #[arg(value_name = "FLEET")]
    file: PathBuf,
}

impl TargetArgs {
    fn fleet(&self) -> anyhow::Result<Fleet> {
        let fleet = Fleet::read(&self.file);
        let mut fleet = fleet.map_err(|ConfigError(problems)| problems)?;
        fleet.select(&self.target)?;
        Ok(fleet)
    }
}

/// Convert all targets of a fleet
///
/// Golden images are read once, and what is the same in several targets is done once. Compressed
/// data is kept for the next run, as by `convert`. A target that fails does not stop the others;
/// its reason is in the summary, and the exit code is 1.
#[derive(Args, Debug)]
struct FleetConvertArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Number of threads of all targets together [default: one per processor]; does not affect the
    /// results
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Only read the results back; by default they also have to pass the checks of `verify`
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    cache: CacheArgs,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
}

/// What actions are made of
#[derive(Args, Debug)]
struct ActionArgs {
    /// The program that actions run, a static one [default: this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Property of the machines that may run actions, such as ISA=x86-64; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    platform: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl ActionArgs {
    fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => std::env::current_exe().context("looking for this program"),
        }
    }

    fn actions(&self, targets: &TargetArgs) -> anyhow::Result<ActionList> {
        let program = self.program()?;
        let dir = targets.package_cache.as_deref();
        let options = ActionOptions {
            program: &program,
            package_cache: &|config| package_cache(dir, config),
            epoch: epoch()?,
            platform: self.platform.iter().cloned().collect(),
        };
        actions::actions(&targets.fleet()?, &options)
    }
}

/// Show what would have to be done, as actions that any machine can run
///
/// Each target is one action: the program, its arguments, the files that it reads with their
/// digests, and the files that it writes. Nothing is converted; the list depends on the files
/// alone.
#[derive(Args, Debug)]
struct FleetPlanArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    actions: ActionArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    /// Print one JSON object, as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// The forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    /// A command line for each target
    Text,
    /// The actions, as one JSON object
    Json,
    /// The targets as the matrix of a workflow of GitHub Actions
    Github,
    /// The targets as a pipeline of GitLab, with parallel:matrix
    Gitlab,
}

fn plan(args: &FleetPlanArgs) -> anyhow::Result<ExitCode> {
    let format = if args.json {
        PlanFormat::Json
    } else {
        args.format
    };
    let text = match format {
        PlanFormat::Text => {
            let text = plan_text(&args.actions.actions(&args.targets)?);
            terminal::listed(&text).into_owned()
        }
        PlanFormat::Json => {
            let actions = args.actions.actions(&args.targets)?;
            format!("{}\n", serde_json::to_string_pretty(&actions)?)
        }
        // On one line, as the output of a job must be.
        PlanFormat::Github => format!("{}\n", matrix::github(&args.targets.fleet()?)?),
        PlanFormat::Gitlab => {
            let file = args.targets.file.to_string_lossy();
            let pipeline = matrix::gitlab(&args.targets.fleet()?, &file)?;
            format!("{}\n", serde_json::to_string_pretty(&pipeline)?)
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The actions for a reader: command lines, numbers of files, results.
fn plan_text(list: &ActionList) -> String {
    let mut out = String::new();
    for action in &list.actions {
        let size: u64 = action.inputs.iter().map(Input::size).sum();
        let _ = writeln!(
            out,
            "{}\n  {}\n  reads   {} ({})",
            action.target,
            command_line(&action.arguments),
            counted(action.inputs.len(), "file", "files"),
            human(size)
        );
        let names = action
            .outputs
            .iter()
            .map(|path| match path.rsplit_once('/') {
                Some((_, name)) => name,
                None => path,
            });
        let names = names.collect::<Vec<_>>().join(", ");
        let directory = action.directory().display();
        let _ = writeln!(out, "  writes  {directory}: {names}\n");
    }
    let targets = counted(list.actions.len(), "target", "targets");
    let _ = writeln!(out, "{targets}");
    out
}

/// A command line for a shell, with an option on each line.
fn command_line(arguments: &[String]) -> String {
    let mut out = String::new();
    for (at, word) in arguments.iter().enumerate() {
        let separator = match at {
            0 => "",
            _ if word.starts_with("--") => " \\\n      ",
            _ => " ",
        };
        out.push_str(separator);
        out.push_str(&matrix::quoted(word));
    }
    out
}

/// Convert all targets on a server of the Remote Execution API
///
/// Each target is an action that the server runs on one of its machines, or has run before. The
/// results are compared with their digests. Needs `bgd`, the client of BuildGrid, and a static
/// build of goldsmith.
#[derive(Args, Debug)]
struct FleetRunArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    actions: ActionArgs,
    /// URL of the server, such as grpc://127.0.0.1:50051
    #[arg(long, value_name = "URL")]
    remote: String,
    /// Instance of the server
    #[arg(long, value_name = "NAME", default_value = "")]
    instance: String,
    /// The client
    #[arg(long, value_name = "PROGRAM", default_value = "bgd")]
    client: PathBuf,
    /// Number of actions at once
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// How often an action is sent if a worker or the connection is lost
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=20))]
    attempts: u32,
    /// Let the server store the secrets of configurations, such as server.tenant-token-file
    #[arg(long)]
    send_secrets: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
}

fn remote(args: &FleetRunArgs) -> anyhow::Result<ExitCode> {
    program::check(&args.actions.program()?)?;
    let list = args.actions.actions(&args.targets)?;
    let progress = progress::Many::new(args.quiet);
    let outcomes = remote::run(
        &list.actions,
        &Remote {
            client: &args.client,
            url: &args.remote,
            instance: &args.instance,
            jobs: usize::from(args.jobs),
            attempts: args.attempts,
            send_secrets: args.send_secrets,
            report: &|name| progress.report(name),
        },
    );
    drop(progress);
    let outcomes = list.actions.iter().zip(&outcomes);
    let targets = outcomes.map(|(action, outcome)| TargetSummary {
        cached: outcome.as_ref().ok().map(|result| result.cached),
        ..TargetSummary::new(
            &action.target,
            action.directory(),
            outcome.as_ref().map(|result| &result.files[..]),
        )
    });
    finish(Summary::new(targets.collect()), args.json)
}

/// Runs the command.
pub(super) fn run(args: &FleetArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        FleetCommand::Convert(args) => convert(args),
        FleetCommand::Plan(args) => plan(args),
        FleetCommand::Run(args) => remote(args),
    }
}

fn convert(args: &FleetConvertArgs) -> anyhow::Result<ExitCode> {
    let fleet = args.targets.fleet()?;
    let results = fleet
        .targets
        .first()
        .and_then(|one| one.output_dir.parent());
    let results = results.unwrap_or(Path::new("."));
    let report = progress::report(args.quiet);
    let caches = SharedCaches::new(&args.cache, results, &*report);
    let jobs = args.jobs.map_or_else(processors, usize::from);
    let package_dir = args.targets.package_cache.as_deref();
    let progress = progress::Many::new(args.quiet);
    let outcomes = run::convert(
        &fleet.targets,
        &FleetRun {
            jobs,
            verify: !args.no_verify,
            strict: args.strict,
            cache: &|config| caches.open(&config.cache),
            epoch: epoch()?,
            package_cache: &|config| package_cache(package_dir, config),
            open: &|target, config, report| {
                open_golden(&target.golden_image, results, config, jobs, report)
            },
            report: &|name| progress.report(name),
        },
    );
    drop(progress);
    let caches = caches.finish();
    let outcomes = fleet.targets.iter().zip(&outcomes);
    let targets = outcomes.map(|(target, outcome)| {
        let files = outcome.as_ref().map(|conversion| &conversion.files[..]);
        TargetSummary::new(
            &target.name,
            &target.output_dir,
            files.map_err(|error| &**error),
        )
    });
    let targets = targets.collect();
    finish(
        Summary {
            caches,
            ..Summary::new(targets)
        },
        args.json,
    )
}

/// Prints the summary; the exit code says whether all targets were converted.
fn finish(summary: Summary, json: bool) -> anyhow::Result<ExitCode> {
    for one in &summary.targets {
        let error = one.error.as_deref().unwrap_or_default();
        log::line(one.status, &format!("{} {error}", one.target));
    }
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
    } else {
        print(&summary.text())?;
    }
    Ok(match summary.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What became of a fleet, as `--json` prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Summary {
    /// The number of targets that were converted.
    converted: usize,
    /// The number of targets that were not.
    failed: usize,
    /// The targets, in the order of the fleet.
    targets: Vec<TargetSummary>,
    /// What was taken from caches that stay, and added to them; by directory.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    caches: BTreeMap<PathBuf, CacheUsage>,
}

/// What became of a target.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TargetSummary {
    /// Its name in the fleet.
    target: String,
    /// `converted` or `failed`.
    status: &'static str,
    /// The directory of its results.
    directory: PathBuf,
    /// The results; none if it failed.
    files: Vec<PathBuf>,
    /// Whether a server had the results already.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
    /// The lines that `convert` would print.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl TargetSummary {
    fn new(target: &str, directory: &Path, files: Result<&[PathBuf], &anyhow::Error>) -> Self {
        Self {
            target: target.to_owned(),
            status: if files.is_ok() { "converted" } else { "failed" },
            directory: directory.to_owned(),
            files: files.map(<[PathBuf]>::to_vec).unwrap_or_default(),
            cached: None,
            error: files
                .err()
                .map(|error| message::render(error).trim_end().to_owned()),
        }
    }
}

impl Summary {
    fn new(targets: Vec<TargetSummary>) -> Self {
        let failed = targets.iter().filter(|one| one.error.is_some()).count();
        Self {
            converted: targets.len() - failed,
            failed,
            targets,
            caches: BTreeMap::new(),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for one in &self.targets {
            let _ = writeln!(out, "{:<9}  {}", one.status, one.target);
            let files = one.files.iter().map(|file| file.display().to_string());
            let error = one.error.iter().flat_map(|text| text.lines());
            for line in files.chain(error.map(str::to_owned)) {
                let _ = writeln!(out, "  {line}");
            }
        }
        let all = self.targets.len();
        let _ = writeln!(out, "{} of {all} targets were converted", self.converted);
        out
    }
}
