//! `goldsmith convert`, and the arguments that it shares with `plan`.

use super::{print, progress};
use crate::compress::cache::Cache;
use crate::config::{self, Config};
use crate::convert::{self, Prepared, Request};
use crate::image::source;
use crate::problem::{Problem, Usage};
use crate::report::Report;
use crate::units::{human, parse_size};
use anyhow::Context;
use clap::{Args, value_parser};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What to convert, and how
#[derive(Args, Debug)]
pub(super) struct Input {
    /// Configuration file, or the name of a built-in board; may repeat, later ones win
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Directory laid over the root filesystem; may repeat
    #[arg(short, long, value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// One setting, such as storage.size="8 GiB"; may repeat, wins over all files
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Name of the release
    #[arg(short = 'n', long, value_name = "NAME", value_parser = config::name)]
    artifact_name: Option<String>,
    /// Record (.json) of an earlier release whose devices shall take this one
    #[arg(long, value_name = "FILE")]
    field: Option<PathBuf>,
    /// Earlier release (its .img, .ext4, or .json when it has a list of places) whose files stay
    /// where they are in the root filesystem, for small deltas
    #[arg(long, value_name = "OLDER")]
    like: Option<PathBuf>,
    /// Directory for the results, also for what a compressed image is unpacked to
    #[arg(long, value_name = "DIR", default_value = "deploy")]
    pub(super) output_dir: PathBuf,
    /// Threads [default: one for each processor]; never changes a byte of the result
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// The golden image: raw, compressed, qcow2, a block device, or - for standard input
    #[arg(value_name = "DISK")]
    disk: PathBuf,
}

/// Convert a golden image into an A/B image and an update Artifact
///
/// Writes <name>.img, <name>.mender and <name>.json, where <name> is <image>-<device
/// type>-<artifact name>, and prints their paths. A file gets its name only when everything is
/// complete.
#[derive(Args, Debug)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    input: Input,
    /// Only read the results back; by default they are checked as `verify` does before they get
    /// their names
    #[arg(long)]
    no_verify: bool,
    /// Directory that keeps compressed pieces for the next conversion, which then compresses only
    /// what is new; never changes a byte
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The most that the cache may take; what was not used for the longest time goes
    #[arg(long, value_name = "SIZE", default_value = "4 GiB", value_parser = parse_size)]
    cache_size: u64,
}

/// Runs the command.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.input.quiet);
    let config = args.input.config()?;
    let prepared = args.input.prepare(&config, true, &*report)?;
    let cache = args
        .cache
        .as_deref()
        .map(|dir| Cache::open(dir, args.cache_size))
        .transpose()?;
    let how = convert::How {
        jobs: args.input.jobs(),
        verify: !args.no_verify,
        cache: cache.as_ref(),
    };
    let made = convert::write(
        prepared,
        args.input.file_name(),
        &args.input.output_dir,
        how,
        &*report,
    )?;
    drop(report);
    if args.input.json {
        print(&made.record.json()?)?;
    } else {
        print(
            &made
                .files
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect::<String>(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Input {
    /// The merged configuration.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let mut sets = self.set.clone();
        // Uppermost: the shorter way to say the same, so it means the same.
        sets.extend(
            self.artifact_name
                .as_ref()
                .map(|name| format!("artifact.name={}", config::quoted(name))),
        );
        config::load(&self.config, &sets).map_err(|config::Error(problems)| Usage(problems).into())
    }

    /// The configuration with the board beneath it that the image is for; the image is opened only
    /// where none is named.
    pub(super) fn settled(&self, config: Config, report: &dyn Report) -> anyhow::Result<Config> {
        if config.board.device_type.is_some() {
            return Ok(config);
        }
        convert::settled(&config, report, &self.open(&config, report)?)
    }

    /// Opens the image and does everything but writing; `hooks` says whether these run.
    pub(super) fn prepare(
        &self,
        config: &Config,
        hooks: bool,
        report: &dyn Report,
    ) -> anyhow::Result<Prepared> {
        let epoch = epoch()?;
        let like = self
            .like
            .as_deref()
            .map(crate::plan::file_layout::places)
            .transpose()?
            .map(Arc::new);
        let request = Request {
            config,
            disk: &self.disk,
            overlays: &self.overlay,
            like,
            epoch,
            hooks,
            report,
        };
        let prepared = convert::prepare(&request, self.open(config, report)?)?;
        if let Some(path) = &self.field {
            let record = convert::Record::new(&prepared, self.file_name());
            record
                .fits(&super::verify::record(path)?)
                .with_context(|| format!("comparing with {}", path.display()))?;
        }
        for note in &prepared.notes {
            report.note(note);
        }
        Ok(prepared)
    }

    fn open(&self, config: &Config, report: &dyn Report) -> anyhow::Result<source::Input> {
        open(&self.disk, &self.output_dir, config, self.jobs(), report)
    }

    /// How many threads may work.
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(processors, usize::from)
    }

    /// The image's name without its directory: no path of the build machine reaches an output.
    pub(super) fn file_name(&self) -> String {
        self.disk
            .file_name()
            .map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// How many threads work where nobody said it.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Opens a disk image; one that must be unpacked goes, by `jobs` threads, to a temporary file in
/// `spool`, or in its nearest parent that exists.
pub(super) fn open(
    disk: &Path,
    spool: &Path,
    config: &Config,
    jobs: usize,
    report: &dyn Report,
) -> anyhow::Result<source::Input> {
    let spool = spool
        .ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("."));
    // What is unpacked. A golden card may be larger than the new one; eight times is no longer the
    // same card, but an archive made to fill the disk.
    let max_size = config.storage.size.saturating_mul(8);
    let threads = u32::try_from(jobs).unwrap_or(u32::MAX);
    let options = source::Options {
        spool_dir: spool,
        max_size,
        report,
        threads,
    };
    source::open(disk, &options).map_err(|error| refused(disk, error))
}

fn refused(disk: &Path, error: source::Error) -> anyhow::Error {
    let name = disk.display();
    match error {
        source::Error::TooLarge(most) => Problem::new(format!(
            "{name} is larger than {}, the most that is taken",
            human(most)
        ))
        .hint("raise storage.size: what an image unpacks to may have up to eight times that")
        .into(),
        // Some of these errors name the file already.
        error if error.to_string().contains(&name.to_string()) => error.into(),
        error => anyhow::Error::from(error).context(format!("opening {name}")),
    }
}

/// `SOURCE_DATE_EPOCH`, see reproducible-builds.org.
fn epoch() -> anyhow::Result<Option<i64>> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let parsed = value
        .to_str()
        .and_then(|text| text.trim().parse::<u32>().ok());
    let problem = || {
        Problem::new(format!(
            "SOURCE_DATE_EPOCH is `{}`, not a number of seconds since 1970",
            value.to_string_lossy()
        ))
    };
    Ok(Some(i64::from(
        parsed.ok_or_else(|| Usage::from(problem()))?,
    )))
}
