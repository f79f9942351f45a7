//! What the commands that read images share: the arguments of a conversion, and how an image is
//! opened.

use super::log::LogArgs;
use super::{log, message};
use crate::config::{self, Config};
use crate::convert::Request;
pub(super) use crate::convert::read_record;
use crate::golden::Golden;
use crate::image::source;
use crate::input_file;
use crate::nearest::nearest_file;
use crate::plan::host::HostFiles;
use crate::plan::{self, PlanRequest, file_layout};
use crate::problem::{Problem, Problems, Usage};
use crate::report::Report;
use crate::repository::default_cache_dir;
use crate::tree::host::Modes;
use crate::units::{human, parse_large_size};
use crate::volume::{self, Opened};
use anyhow::Context;
use clap::{Args, value_parser};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest list of permission bits that is read (bytes).
const MODES_MAX: u64 = 64 << 20;

/// The name of a release that has none yet.
pub(super) const UNNAMED: &str = "unnamed";

/// The arguments of `convert` and `plan`
#[derive(Args, Debug)]
pub(super) struct ConversionArgs {
    /// Configuration file, or the name of a built-in board; may be repeated, later ones override
    /// earlier ones
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Directory to copy over the root filesystem; may be repeated
    #[arg(long, value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// Set one key, as in storage.size="8 GiB"; may be repeated, overrides all files
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Name of the release; `plan` shows `unnamed` without one
    #[arg(short = 'n', long, value_name = "NAME", value_parser = config::name)]
    artifact_name: Option<String>,
    /// Check that devices running this earlier release (its .json) can install the new one
    #[arg(long, value_name = "RECORD", alias = "field")]
    upgrade_from: Option<PathBuf>,
    /// Reuse the block layout of this release (its .img or .ext4, or its .json if it has a file
    /// layout), to keep deltas small
    #[arg(long, value_name = "OLDER", alias = "like")]
    preserve_layout: Option<PathBuf>,
    /// Permission bits of the overlays' files, as `fleet plan` lists them for stores that keep none
    #[arg(long, value_name = "FILE")]
    file_modes: Option<PathBuf>,
    /// Directory of the package cache that `fetch` filled [default: goldsmith/packages in the
    /// user's cache directory]
    #[arg(long, value_name = "DIR")]
    package_cache: Option<PathBuf>,
    /// Directory for the results, and for temporary files when the image is compressed
    #[arg(short, long, value_name = "DIR", default_value = "deploy")]
    pub(super) output_dir: PathBuf,
    /// Number of threads [default: one per processor]; does not affect the results
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Print warnings and errors only
    #[arg(short, long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) log: LogArgs,
    /// Golden image: raw, compressed, qcow2, a block device, or - for standard input
    #[arg(value_name = "IMAGE")]
    disk: PathBuf,
}

/// The arguments of commands that only read an image
#[derive(Args, Debug)]
pub(super) struct ImageArgs {
    /// Largest size that a compressed image may unpack to
    #[arg(long, value_name = "SIZE", default_value = "64 GiB", value_parser = parse_large_size)]
    max_size: u64,
    /// Disk image: raw, compressed, qcow2, a block device, or - for standard input
    #[arg(value_name = "IMAGE")]
    pub(super) image: PathBuf,
}

/// The arguments of commands that read the files of images, filesystems and Artifacts
#[derive(Args, Debug)]
pub(super) struct ContentArgs {
    /// Largest size that a compressed file may unpack to
    #[arg(long, value_name = "SIZE", default_value = "64 GiB", value_parser = parse_large_size)]
    max_size: u64,
}

impl ImageArgs {
    /// Opens the image. If it is compressed, it is unpacked to a temporary file in the current
    /// directory.
    pub(super) fn open(&self, report: &dyn Report) -> anyhow::Result<source::InputImage> {
        self.other(&self.image, report)
    }

    /// Opens another image by the same limits.
    pub(super) fn other(
        &self,
        image: &Path,
        report: &dyn Report,
    ) -> anyhow::Result<source::InputImage> {
        let limit = SizeLimit {
            bytes: self.max_size,
            hint: "allow more with --max-size",
        };
        open(image, Path::new("."), limit, processors(), report)
    }
}

impl ContentArgs {
    /// Calls `read` with the options by which `file` is opened; what has to be unpacked goes to a
    /// temporary file in the current directory.
    pub(super) fn open(&self, file: &Path, report: &dyn Report) -> anyhow::Result<Opened> {
        let options = source::OpenOptions {
            spool_dir: Path::new("."),
            max_size: self.max_size,
            report,
            threads: u32::try_from(processors()).unwrap_or(u32::MAX),
        };
        volume::open(file, &options).map_err(|error| match whole_file(file) {
            Some(hint) => {
                let found = message::problems(&error).into_iter();
                Problems(found.map(|one| one.hint(&*hint)).collect()).into()
            }
            None => error,
        })
    }
}

impl ConversionArgs {
    /// The merged configuration.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        self.config_over(&[])
    }

    /// The merged configuration; `defaults` (each `key.path=value`) hold where nothing else sets a
    /// key.
    fn config_over(&self, defaults: &[&str]) -> anyhow::Result<Config> {
        let mut sets = self.set.clone();
        // `--artifact-name` is short for `--set artifact.name=`, and overrides it.
        sets.extend(
            self.artifact_name
                .as_ref()
                .map(|name| format!("artifact.name={}", config::quoted(name))),
        );
        config::load_over(defaults, &self.config, &sets)
            .map_err(|config::ConfigError(problems)| problems.into())
    }

    /// The configuration on top of the board that the golden image selects; the image is opened
    /// only if the configuration names no device type.
    pub(super) fn with_board(&self, config: Config, report: &dyn Report) -> anyhow::Result<Config> {
        if config.board.device_type.is_some() {
            return Ok(config);
        }
        let input = self.open(&config, report)?;
        let golden = Golden::read(input, plan::selection(&config), report)?;
        plan::with_board(&config, &golden)
    }

    /// Calls `convert` with the conversion that the arguments ask for. If `make`, results will be
    /// made of it: it needs the name of a release, and hooks run.
    pub(super) fn request<T>(
        &self,
        make: bool,
        report: &dyn Report,
        convert: impl FnOnce(&Request, source::InputImage) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        refuse_overlay(&self.output_dir)?;
        // A plan needs no name yet.
        let unnamed = format!("artifact.name=\"{UNNAMED}\"");
        let defaults = [unnamed.as_str()].into_iter().filter(|_| !make);
        let config = self.config_over(&defaults.collect::<Vec<_>>())?;
        details(&config, report);
        let package_cache = package_cache(self.package_cache.as_deref(), &config)?;
        let layout = self.preserve_layout.as_deref().map(file_layout::read);
        let modes = self.file_modes.as_deref().map(file_modes);
        let earlier = self.upgrade_from.as_deref();
        let earlier = earlier
            .map(|path| read_record(path).map(|record| (path, record)))
            .transpose()?;
        let request = Request {
            plan: PlanRequest {
                config: &config,
                host: HostFiles {
                    disk: &self.disk,
                    overlays: &self.overlay,
                    preserve_layout: layout.transpose()?.map(Arc::new),
                    modes: Arc::new(modes.transpose()?.unwrap_or_default()),
                    package_cache: &package_cache,
                    epoch: epoch()?,
                },
            },
            run_hooks: make,
            upgrade_from: earlier.as_ref().map(|(path, record)| (*path, record)),
            shared: None,
            strict: self.strict,
            report,
        };
        let input = self.open(&config, report)?;
        convert(&request, input).map_err(|error| message::with_places(error, &config))
    }

    fn open(&self, config: &Config, report: &dyn Report) -> anyhow::Result<source::InputImage> {
        open_golden(&self.disk, &self.output_dir, config, self.jobs(), report)
    }

    /// The number of threads to use.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.map_or_else(processors, usize::from)
    }
}

/// Tells each value that something sets, with its place.
fn details(config: &Config, report: &dyn Report) {
    if !log::wants_details() {
        return;
    }
    for setting in config.origins() {
        if let Some(value) = setting.value.filter(|_| setting.origin != "default") {
            report.detail(&format!("{} = {value}  # {}", setting.key, setting.origin));
        }
    }
}

/// Directories that overlays have at their top.
const OVERLAY_TOPS: [&str; 8] = ["etc", "usr", "opt", "var", "home", "root", "lib", "boot"];

/// Whether a directory has such directories and nothing else.
fn has_overlay_tops_alone(dir: &Path) -> bool {
    let Ok(entries) = dir.read_dir() else {
        return false;
    };
    let mut entries = entries.flatten().peekable();
    entries.peek().is_some()
        && entries.all(|entry| {
            let name = entry.file_name();
            entry.path().is_dir() && OVERLAY_TOPS.iter().any(|top| name == *top)
        })
}

/// Refuses an output directory that is an overlay: `-o` named one in earlier versions.
fn refuse_overlay(dir: &Path) -> anyhow::Result<()> {
    if !has_overlay_tops_alone(dir) {
        return Ok(());
    }
    let name = dir.display();
    let message = format!(
        "-o (--output-dir) is the directory of the results, but {name} is that of a root filesystem"
    );
    let hint = format!("to copy it over the root filesystem, write --overlay {name}");
    Err(Usage::from(Problem::new(message).hint(hint)).into())
}

/// The number of processors, or 1 if it cannot be determined.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Reads the permission bits of overlays.
fn file_modes(path: &Path) -> anyhow::Result<Modes> {
    let text = input_file::read_text(path, MODES_MAX, "a list of permission bits");
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    let problem = |what| Problem::new(format!("{}, {what}", path.display()));
    Ok(Modes::parse(&text).map_err(problem)?)
}

/// Opens the golden image of a conversion by `config`; if it has to be unpacked, `jobs` threads
/// write it to a temporary file in `spool`.
pub(super) fn open_golden(
    image: &Path,
    spool: &Path,
    config: &Config,
    jobs: usize,
    report: &dyn Report,
) -> anyhow::Result<source::InputImage> {
    // A golden image may come from a larger disk than the new one; eight times its size is an
    // archive made to fill the disk.
    let limit = SizeLimit {
        bytes: config.storage.size.unwrap_or(8 << 30).saturating_mul(8),
        hint: "raise storage.size: an image may unpack to eight times that size",
    };
    open(image, spool, limit, jobs, report)
}

/// How large a compressed image may become.
#[derive(Clone, Copy)]
struct SizeLimit {
    /// The largest size (bytes).
    bytes: u64,
    /// How the user can raise it.
    hint: &'static str,
}

/// Opens a disk image. If it has to be unpacked, `jobs` threads write it to a temporary file in
/// `spool`, or in the nearest parent of `spool` that exists.
fn open(
    image: &Path,
    spool: &Path,
    limit: SizeLimit,
    jobs: usize,
    report: &dyn Report,
) -> anyhow::Result<source::InputImage> {
    let is_text = image.extension().is_some_and(|one| one == "toml");
    if is_text && image.is_file() {
        let name = image.display();
        let problem = Problem::new(format!("{name} is a configuration, not an image"));
        let hint = format!("write -c {name}, and the golden image as the last argument");
        return Err(problem.hint(hint).into());
    }
    let spool = spool
        .ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("."));
    let options = source::OpenOptions {
        spool_dir: spool,
        max_size: limit.bytes,
        report,
        threads: u32::try_from(jobs).unwrap_or(u32::MAX),
    };
    let opened = source::open(image, &options).map_err(|error| explain(image, error, limit))?;
    report.detail(&format!(
        "{} has {}",
        image.display(),
        human(opened.source.len())
    ));
    Ok(opened)
}

/// The advice for a file that is not there, if it is an address for `ls`, as in `IMAGE:PART`.
fn whole_file(path: &Path) -> Option<String> {
    if path.exists() {
        return None;
    }
    let address = volume::Address::parse(path.to_str()?, &Path::is_file);
    address.file.is_file().then(|| {
        format!(
            "did you mean {}? Only `ls`, `cat` and `extract` take a partition or path after a colon",
            address.file.display()
        )
    })
}

/// The error with the name of the image, and with a hint that suits the command.
fn explain(image: &Path, error: source::SourceError, limit: SizeLimit) -> anyhow::Error {
    let name = image.display();
    if let Some(hint) = whole_file(image) {
        return Problem::new(error.to_string()).hint(hint).into();
    }
    match error {
        source::SourceError::TooLarge(bytes) => Problem::new(format!(
            "{name} unpacks to more than the limit of {}",
            human(bytes)
        ))
        .hint(limit.hint)
        .into(),
        _ if !image.exists() && nearest_file(image).is_some() => {
            let near = nearest_file(image).unwrap_or_default();
            // The error names the file.
            Problem::new(error.to_string())
                .hint(format!("did you mean {}?", near.display()))
                .into()
        }
        // Some of these errors already name the file.
        error if error.to_string().contains(&name.to_string()) => error.into(),
        error => anyhow::Error::from(error).context(format!("opening {name}")),
    }
}

/// The directory of the package cache: `given`, or that of the user. Empty if `config` needs none.
///
/// # Errors
/// [`Usage`] if the user has none.
pub(super) fn package_cache(given: Option<&Path>, config: &Config) -> anyhow::Result<PathBuf> {
    let needed = config.client.bundle.is_some() || !config.client.install.is_empty();
    match given
        .map(Path::to_owned)
        .or_else(|| default_cache_dir(|name| std::env::var_os(name)))
    {
        Some(dir) => Ok(dir),
        None if !needed => Ok(PathBuf::new()),
        None => {
            let problem = Problem::new("neither XDG_CACHE_HOME nor HOME is set");
            Err(Usage(
                problem
                    .hint("name the package cache with --package-cache")
                    .into(),
            )
            .into())
        }
    }
}

/// `SOURCE_DATE_EPOCH`, see reproducible-builds.org.
pub(super) fn epoch() -> anyhow::Result<Option<i64>> {
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
