//! `goldsmith init`.

use super::input::ImageArgs;
use super::{message, new_file, print, progress};
use crate::bundle;
use crate::config::{self, Config};
use crate::convert::{self, Prepared, Record, Request};
use crate::golden::{Golden, facts};
use crate::init::{self, Beginning, Client, Sizes};
use crate::plan::host::HostFiles;
use crate::plan::{self, PlanRequest};
use crate::report::{Report, Silent};
use clap::Args;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Write a configuration for a golden image, to begin with
///
/// Looks at the image and writes a commented configuration with the board, the sizes and the update
/// client that suit it. What the image does not decide, and what a conversion would refuse, are
/// comments that say what to decide. The image is only read, and no file is replaced.
#[derive(Args, Debug)]
pub(super) struct InitArgs {
    /// The configuration to write; - for standard output
    #[arg(long, value_name = "FILE", default_value = "device.toml")]
    output: PathBuf,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    input: ImageArgs,
}

/// How another file is named.
const ANOTHER: &str = "name another file with --output, or - for standard output";
/// A disk that is large enough for any image (bytes), to find out how much of it is needed.
const AMPLE: &str = "storage.size=\"1 TiB\"";
/// What a client and the libraries that it brings take of a root filesystem (bytes): 30 MiB, with
/// room for later ones.
const CLIENT: u64 = 64 << 20;
/// A client may still come.
const CLIENTLESS: &str = "client.required=false";
/// A release that is never made.
const RELEASE: &str = "artifact.name=\"release-1\"";

/// Runs the command.
pub(super) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let to_file = args.output != Path::new("-");
    if to_file {
        new_file::check(&args.output, ANOTHER)?;
    }
    let report = progress::report(args.quiet);
    let beginning = look(args, &*report)?;
    drop(report);
    let text = init::text(&beginning);
    if !to_file {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    new_file::write(&args.output, &text, ANOTHER)?;
    if !args.quiet {
        let _ = io::stderr().write_all(next(args, &beginning).as_bytes());
    }
    print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What the image shows.
fn look(args: &InitArgs, report: &dyn Report) -> anyhow::Result<Beginning> {
    let config = config::load_over(&[RELEASE, AMPLE, CLIENTLESS], &[], &[]);
    let config = config.map_err(|config::ConfigError(problems)| problems)?;
    let golden = Golden::read(args.input.open(report)?, plan::selection(&config), report)?;
    let architecture = golden
        .facts
        .architecture
        .map_or("unknown architecture", |one| one.name());
    let name = args.input.image.file_name().unwrap_or_default();
    let mut beginning = Beginning {
        image: name.to_string_lossy().into_owned(),
        system: format!("{}, {architecture}", golden.facts.os.pretty),
        client: match facts::client(&golden.root.tree)? {
            Some((_, version)) => Client::Installed(version),
            None => newest_bundle(&golden),
        },
        board: board(&config, &golden),
        ..Beginning::default()
    };
    match prepare(args, &config, golden) {
        Ok(prepared) => {
            let record = Record::new(&prepared);
            let mut sizes = sizes(&prepared, &record);
            if matches!(beginning.client, Client::Bundle(_)) {
                sizes.root = sizes.root.saturating_add(CLIENT);
                sizes.least = sizes.least.saturating_add(2 * CLIENT);
            }
            beginning.sizes = Some(sizes);
        }
        Err(error) => beginning.decisions = message::problems(&error),
    }
    Ok(beginning)
}

/// The board that the image selects, and its first device type: what a conversion refuses besides
/// changes nothing of it.
fn board(config: &Config, golden: &Golden) -> Option<(String, String)> {
    let config = plan::with_board(config, golden).ok()?;
    let device_type = config.board.device_type.as_ref()?.first()?;
    Some((config.built_upon().last()?.clone(), device_type.clone()))
}

/// Everything up to the first byte that would be written; its notes are for later.
fn prepare(args: &InitArgs, config: &Config, golden: Golden) -> anyhow::Result<Prepared> {
    let request = Request {
        plan: PlanRequest {
            config,
            host: HostFiles {
                disk: &args.input.image,
                overlays: &[],
                preserve_layout: None,
                modes: Arc::default(),
                package_cache: Path::new(""),
                epoch: None,
            },
        },
        run_hooks: false,
        upgrade_from: None,
        strict: false,
        shared: None,
        report: &Silent,
    };
    convert::prepare_golden(&request, golden)
}

/// The sizes of the disk on which the slots are as large as the root filesystem.
fn sizes(prepared: &Prepared, record: &Record) -> Sizes {
    let alignment = prepared.plan.disk.alignment;
    let slot = record.root.size.next_multiple_of(alignment);
    let parts = record.disk.partitions.iter();
    let of_slots = parts.filter(|part| part.role.starts_with("root"));
    let spare: u64 = of_slots
        .map(|part| part.size.saturating_sub(slot))
        .fold(0, u64::saturating_add);
    Sizes {
        // Slots are rounded up where the disk is shared out.
        least: record
            .disk
            .size
            .saturating_sub(spare)
            .saturating_add(alignment),
        root: slot,
        golden: record.input.size,
    }
}

/// The newest bundle whose packages the image can have.
fn newest_bundle(golden: &Golden) -> Client {
    let known = ["debian", "ubuntu", "raspbian"];
    let newest = bundle::bundles()
        .iter()
        .rev()
        .find(|one| one.repository.is_some());
    match newest {
        Some(bundle) if golden.facts.dpkg && known.contains(&golden.facts.os.id.as_str()) => {
            Client::Bundle(bundle.name.clone())
        }
        _ => Client::Unknown,
    }
}

/// The commands that follow.
fn next(args: &InitArgs, beginning: &Beginning) -> String {
    let (file, image) = (args.output.display(), args.input.image.display());
    let mut out = String::new();
    if !beginning.decisions.is_empty() {
        out.push_str("The image needs decisions; they are at the end of the file.\n");
    }
    out.push_str("Next:\n");
    let board = beginning.board.is_none();
    let client = beginning.client == Client::Unknown;
    if board || client {
        out.push_str(&format!("  edit {file}"));
        out.push_str(match (board, client) {
            (true, true) => ": name the board (`goldsmith boards`), the packages of the client\n",
            (true, false) => ": name the board; `goldsmith boards` lists them\n",
            _ => ": name the packages of the client\n",
        });
    }
    if matches!(beginning.client, Client::Bundle(_)) {
        out.push_str(&format!(
            "  goldsmith lock -c {file} {image}\n  goldsmith fetch -c {file}\n"
        ));
    }
    out.push_str(&format!(
        "  goldsmith plan -c {file} -n release-1 {image}\n"
    ));
    out
}
