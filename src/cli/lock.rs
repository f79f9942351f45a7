//! `goldsmith lock` and `goldsmith fetch`: the only commands that use the network.

use super::input::{ImageArgs, package_cache};
use super::{print, progress};
use crate::config::{self, Config};
use crate::golden::Golden;
use crate::lock::{self, LockFile, LockInputs};
use crate::plan::packages::lock_request;
use crate::plan::{self};
use crate::problem::{Problem, Problems};
use crate::repository::{Client, ClientOptions, Download, FetchError, PackageCache};
use crate::units::{counted, human};
use clap::{Args, value_parser};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Choose the packages of client.bundle and client.install
///
/// Reads the signed indices of the repositories, chooses the newest packages that fit each other
/// and those of the golden image, and writes them into the lock file (goldsmith.lock next to the
/// configuration, or client.lock-file) with their digests. The golden image is only read.
#[derive(Args, Debug)]
pub(super) struct LockArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    input: ImageArgs,
}

/// Download the packages of the lock file
///
/// Fills the package cache, from which `plan` and `convert` take them without a network. Continues
/// downloads that were interrupted.
#[derive(Args, Debug)]
pub(super) struct FetchArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Directory of the package cache [default: goldsmith/packages in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    package_cache: Option<PathBuf>,
    /// Number of downloads at a time
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
}

/// The configuration, for commands that need no more of it.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// Configuration file, or the name of a built-in board; may be repeated, later ones override
    /// earlier ones
    #[arg(short, long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Set one key, as in client.bundle="6.0"; may be repeated, overrides all files
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    pub(super) fn load(&self) -> anyhow::Result<Config> {
        let loaded = config::load(&self.config, &self.set);
        loaded.map_err(|config::ConfigError(problems)| problems.into())
    }
}

/// Runs `goldsmith lock`.
pub(super) fn run(args: &LockArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.quiet);
    let config = args.config.load()?;
    let input = args.input.open(&*report)?;
    let golden = Golden::read(input, plan::selection(&config), &*report)?;
    let config = match config.board.device_type {
        Some(_) => config,
        None => plan::with_board(&config, &golden)?,
    };
    let request = lock_request(&config)?.ok_or_else(nothing)?;
    let path = config.lock_file();
    let earlier = path.exists().then(|| LockFile::read(&path));
    let earlier = earlier.transpose().unwrap_or_else(|problem| {
        report.warn(&format!("{}; it is made anew", problem.message));
        None
    });
    let locked = lock::choose(&LockInputs {
        request: &request,
        golden: &golden,
        earlier: earlier.as_ref(),
        transport: &client(),
        now: now()?,
        report: &*report,
    })?;
    for note in &locked.notes {
        report.note(note);
    }
    locked.file.write(&path).map_err(|error| {
        let message = format!("writing the lock file {}: {error}", path.display());
        Problem::new(message).hint("name another file with client.lock-file")
    })?;
    drop(report);
    print(&text(&locked.file, earlier.as_ref()))?;
    print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The present time (seconds since 1970).
#[expect(
    clippy::disallowed_methods,
    reason = "what a repository signed may have expired; a lock file has no time of this host"
)]
fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// The error of a configuration that wants nothing of repositories.
fn nothing() -> anyhow::Error {
    let problem = Problem::new("neither client.bundle nor client.install is set");
    let hint = "write bundle = \"6.0\" under [client], or add -s client.bundle=6.0";
    problem.hint(hint).into()
}

/// The packages, each with why it is needed and what it was in the earlier lock file.
fn text(lock: &LockFile, earlier: Option<&LockFile>) -> String {
    let mut out = String::new();
    let before = |name: &str, architecture: &str| {
        let of = earlier.into_iter().flat_map(|lock| &lock.packages);
        let mut of = of.filter(|one| one.name == name && one.architecture == architecture);
        of.next().map(|one| one.version.as_str())
    };
    let mut size = 0;
    for package in &lock.packages {
        let was = match (earlier, before(&package.name, &package.architecture)) {
            (None, _) => String::new(),
            (Some(_), None) => " [new]".to_owned(),
            (Some(_), Some(version)) if version == package.version => String::new(),
            (Some(_), Some(version)) => format!(" [was {version}]"),
        };
        let _ = writeln!(
            out,
            "{} {} ({}){was}: {}",
            package.name, package.version, package.architecture, package.why
        );
        size += package.size;
    }
    let _ = writeln!(
        out,
        "{}, {}",
        counted(lock.packages.len(), "package", "packages"),
        human(size)
    );
    out
}

/// Runs `goldsmith fetch`.
pub(super) fn fetch(args: &FetchArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.quiet);
    let config = args.config.load()?;
    let request = lock_request(&config)?.ok_or_else(nothing)?;
    let path = config.lock_file();
    let lock = LockFile::read(&path)?;
    // The golden image is not known here: `plan` compares its architecture.
    lock.check(&path, &request, &lock.architecture, &lock.system)?;
    let cache = PackageCache::open(&package_cache(args.package_cache.as_deref(), &config)?);
    let downloads = lock.packages.iter().filter_map(|package| {
        Some(Download {
            url: package.url.clone(),
            sha256: package.digest()?,
            size: package.size,
        })
    });
    let downloads: Vec<Download> = downloads.collect();
    let fetched = cache.fetch(&downloads, &client(), args.jobs.into(), &*report);
    let summary =
        fetched.map_err(|errors| Problems(errors.iter().map(FetchError::problem).collect()))?;
    drop(report);
    print(&format!(
        "{} packages: {} downloaded ({}), {} in the cache\n",
        downloads.len(),
        summary.fetched,
        human(summary.bytes),
        summary.present
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The way to repositories, with the proxies of the environment.
fn client() -> Client {
    Client::new(ClientOptions::from_environment(|name| {
        std::env::var(name).ok()
    }))
}
