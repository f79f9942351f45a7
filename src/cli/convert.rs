//! `goldsmith convert`.

use super::cache::CacheArgs;
use super::input::ConversionArgs;
use super::{print, progress};
use crate::compress::cache::CacheUsage;
use crate::convert::{self, Record, WriteOptions};
use clap::Args;
use std::process::ExitCode;

/// Convert a golden image into an A/B image and an update Artifact
///
/// Writes NAME.img, its block map NAME.img.bmap, NAME.mender and NAME.json, where NAME is
/// <image>-<device type>-<artifact name>, and prints their paths. Files appear under these names
/// only once all of them are complete; they replace files of an earlier conversion. With
/// output.image="none" there is no image and no block map.
#[derive(Args, Debug)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    input: ConversionArgs,
    /// Only read the results back; by default they also have to pass the checks of `verify`
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Runs the command.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.input.quiet);
    let (conversion, usage) = args.input.request(true, &*report, |request, input| {
        let cache = args.cache.open(&request.plan.config.cache, &*report)?;
        let options = WriteOptions {
            jobs: args.input.jobs(),
            verify: !args.no_verify,
            cache: cache.as_ref(),
        };
        let conversion = convert::convert(request, input, &args.input.output_dir, options)?;
        if let Some(cache) = &cache {
            cache.report_usage(&*report);
        }
        Ok((conversion, cache.map(|cache| cache.usage())))
    })?;
    drop(report);
    if args.input.json {
        print(&json(&conversion.record, usage)?)?;
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

/// The record, and what came from the cache: the file has none of that, since a cache changes no
/// byte of a result.
fn json(record: &Record, usage: Option<CacheUsage>) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(record)?;
    if let Some(usage) = usage {
        value["cache"] = serde_json::to_value(usage)?;
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}
