//! `goldsmith convert`.

use super::input::ConversionArgs;
use super::{print, progress};
use crate::compress::cache::Cache;
use crate::convert::{self, WriteOptions};
use crate::units::parse_large_size;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Convert a golden image into an A/B image and an update Artifact
///
/// Writes NAME.img, its block map NAME.img.bmap, NAME.mender and NAME.json, where NAME is
/// <image>-<device type>-<artifact name>, and prints their paths. Files appear under these names
/// only once all of them are complete; they replace files of an earlier conversion.
#[derive(Args, Debug)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    input: ConversionArgs,
    /// Only read the results back; by default they also have to pass the checks of `verify`
    #[arg(long)]
    no_verify: bool,
    /// Directory that keeps compressed data for the next conversion, which then compresses only
    /// what changed; does not affect the results
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Largest size of the cache; the least recently used data is removed
    #[arg(long, value_name = "SIZE", default_value = "4 GiB", value_parser = parse_large_size)]
    cache_size: u64,
}

/// Runs the command.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.input.quiet);
    let cache = args.cache.as_deref();
    let cache = cache.map(|dir| Cache::open(dir, args.cache_size));
    let cache = cache.transpose()?;
    let options = WriteOptions {
        jobs: args.input.jobs(),
        verify: !args.no_verify,
        cache: cache.as_ref(),
    };
    let conversion = args.input.request(true, &*report, |request, input| {
        convert::convert(request, input, &args.input.output_dir, options)
    })?;
    drop(report);
    if args.input.json {
        print(&conversion.record.json()?)?;
    } else {
        print(
            &conversion
                .files
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect::<String>(),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
