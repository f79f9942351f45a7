//! `goldsmith convert`.

use super::cache::CacheArgs;
use super::input::ConversionArgs;
use super::{print, progress, terminal};
use crate::compress::cache::CacheUsage;
use crate::convert::{self, Conversion, Record, WriteOptions};
use crate::units::human;
use clap::Args;
use serde::Serialize;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Convert a golden image into an A/B image and an update Artifact
///
/// Writes NAME.img, its block map NAME.img.bmap, NAME.mender and NAME.json, where NAME is
/// <image>-<device type>-<artifact name>, and prints their paths. Files appear under these names
/// only once all of them are complete; they replace files of an earlier conversion. With
/// output.image="none" there is no image and no block map.
#[derive(Args, Debug)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    pub(super) input: ConversionArgs,
    /// Only read the results back; by default they also have to pass the checks of `verify`
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Runs the command.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
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
        let output = JsonOutput {
            record: &conversion.record,
            cache: usage,
        };
        print(&format!("{}\n", serde_json::to_string_pretty(&output)?))?;
    } else {
        print(
            &conversion
                .files
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect::<String>(),
        )?;
        if !args.input.quiet && terminal::is_terminal() {
            let text = summary(&conversion, usage, begin.elapsed());
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, for people at a terminal, and what can be done with it.
fn summary(conversion: &Conversion, usage: Option<CacheUsage>, time: Duration) -> String {
    let mut parts = Vec::new();
    let mut next = Vec::new();
    let outputs = conversion.record.outputs.iter();
    for (output, path) in outputs.filter_map(|one| {
        let mut files = conversion.files.iter();
        let path = files.find(|path| path.ends_with(&one.file))?;
        Some((one, path.display()))
    }) {
        match output.kind {
            "image" => {
                parts.push(format!("image {}", human(output.size)));
                next.push(format!("goldsmith boot {path}"));
                next.push(format!("goldsmith flash {path} DEVICE"));
            }
            "artifact" => {
                parts.push(format!("Artifact {}", human(output.size)));
                next.push(format!("goldsmith diff EARLIER.mender {path}"));
            }
            _ => {}
        }
    }
    if let Some(usage) = usage {
        let all = usage.reused_frames + usage.compressed_frames;
        parts.push(format!(
            "{} of {all} frames from the cache",
            usage.reused_frames
        ));
    }
    let seconds = time.as_secs_f32();
    let next: String = next.iter().map(|line| format!("  {line}\n")).collect();
    format!(
        "done in {seconds:.1} s: {}\nnext:\n{next}",
        parts.join(", ")
    )
}

/// The record, and what came from the cache: the file has none of that, since a cache changes no
/// byte of a result.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct JsonOutput<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// What was taken from the cache, and added to it; missing without a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheUsage>,
}
