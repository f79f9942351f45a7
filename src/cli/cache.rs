//! The cache of compressed frames that a conversion uses.

use crate::compress::cache::{Cache, CacheUsage};
use crate::config;
use crate::convert::outputs::Scratch;
use crate::problem::Problem;
use crate::report::Report;
use crate::repository::default_cache_dir;
use crate::units::parse_large_size;
use anyhow::Context;
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The caches of conversions in one run, each opened once. Conversions whose configuration wants
/// none share a temporary one, since they share frames in any case.
pub(super) struct SharedCaches<'a> {
    args: &'a CacheArgs,
    /// Where a temporary cache is made.
    results: &'a Path,
    report: &'a dyn Report,
    opened: Mutex<Vec<SharedCache>>,
}

struct SharedCache {
    /// The keys that ask for it.
    config: config::Cache,
    cache: Arc<Cache>,
    /// Its directory, if it is temporary.
    scratch: Option<Scratch>,
}

impl<'a> SharedCaches<'a> {
    pub(super) fn new(args: &'a CacheArgs, results: &'a Path, report: &'a dyn Report) -> Self {
        Self {
            args,
            results,
            report,
            opened: Mutex::default(),
        }
    }

    /// The cache that a configuration asks for.
    ///
    /// # Errors
    /// That a directory that was named cannot be used; I/O errors of a temporary one.
    pub(super) fn open(&self, config: &config::Cache) -> anyhow::Result<Arc<Cache>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.iter().find(|known| known.config == *config) {
            return Ok(Arc::clone(&known.cache));
        }
        let (cache, scratch) = match self.args.open(config, self.report)? {
            Some(cache) => (cache, None),
            None => {
                let dir = Scratch::below(self.results);
                let results = self.results.display();
                let dir = dir.with_context(|| format!("creating a directory in {results}"))?;
                (Cache::open(dir.path(), u64::MAX)?, Some(dir))
            }
        };
        let cache = Arc::new(cache);
        opened.push(SharedCache {
            config: config.clone(),
            cache: Arc::clone(&cache),
            scratch,
        });
        Ok(cache)
    }

    /// Reports what was taken from caches and added to them, and returns it for those that stay.
    pub(super) fn finish(self) -> BTreeMap<PathBuf, CacheUsage> {
        let opened = self.opened.into_inner();
        let mut usage = BTreeMap::new();
        for SharedCache { cache, scratch, .. } in opened.unwrap_or_else(PoisonError::into_inner) {
            if scratch.is_some() {
                cache.report_faults(self.report);
            } else {
                cache.report_usage(self.report);
                usage.insert(cache.dir().to_owned(), cache.usage());
            }
        }
        usage
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
