//! The cache of compressed frames that a conversion uses.

use crate::compress::cache::Cache;
use crate::config;
use crate::problem::Problem;
use crate::report::Report;
use crate::repository::default_cache_dir;
use crate::units::parse_large_size;
use clap::Args;
use std::path::PathBuf;

/// The directory of the cache, next to that of packages.
const DIR: &str = "frames";

/// The arguments about the cache
#[derive(Args, Debug)]
pub(super) struct CacheArgs {
    /// Directory that keeps compressed data for the next conversion, which then compresses only
    /// what changed; does not affect the results [default: goldsmith/frames in the user's cache
    /// directory]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Use no compressed data of earlier conversions, and keep none
    #[arg(long)]
    no_cache: bool,
    /// Largest size of the cache; the least recently used data is removed [default: 4 GiB, for the
    /// default directory at most a quarter of the free space]
    #[arg(long, value_name = "SIZE", value_parser = parse_large_size)]
    cache_size: Option<u64>,
}

impl CacheArgs {
    /// The cache that arguments and configuration ask for. Without any, it is that of the user, and
    /// a note says why if it cannot be used.
    ///
    /// # Errors
    /// A [`Problem`] if a directory that was named cannot be used.
    pub(super) fn open(
        &self,
        config: &config::Cache,
        report: &dyn Report,
    ) -> Result<Option<Cache>, Problem> {
        let size = self.cache_size.unwrap_or(config.size);
        let named = self.cache.as_ref();
        if let Some(dir) = named {
            return Cache::open(dir, size).map(Some);
        }
        if self.no_cache || !config.enabled {
            return Ok(None);
        }
        if let Some(dir) = &config.dir {
            return Cache::open(dir, size).map(Some);
        }
        let opened = user_dir().and_then(|dir| Cache::open_own(&dir, size));
        Ok(opened
            .map_err(|problem| {
                let hint = problem.hint.unwrap_or_default();
                report.note(&format!(
                    "nothing is kept for the next conversion: {} ({hint})",
                    problem.message
                ));
            })
            .ok())
    }
}

/// The directory of the user's cache.
///
/// # Errors
/// That the user has none.
fn user_dir() -> Result<PathBuf, Problem> {
    let packages = default_cache_dir(|name| std::env::var_os(name));
    let dir = packages.map(|dir| dir.with_file_name(DIR));
    dir.ok_or_else(|| {
        Problem::new("neither XDG_CACHE_HOME nor HOME names a directory")
            .hint("choose a directory with --cache, or use none with --no-cache")
    })
}
