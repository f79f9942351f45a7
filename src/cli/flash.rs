//! `goldsmith flash`: writes an image to a device.

use super::log::LogArgs;
use super::progress;
use crate::flash::{FlashImage, FlashTarget};
use crate::problem::{Problem, Usage};
use crate::units::human;
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a device is being written to: an interrupt then leaves part of the image on it.
pub(super) static WRITING: AtomicBool = AtomicBool::new(false);

/// Write an image to a card or disk, and verify it by reading it back
///
/// Writes only the blocks that the block map lists; without a block map, writes everything. By
/// default the block map is the file next to the image: disk.img.bmap for disk.img and
/// disk.img.gz. Refuses devices that are mounted or otherwise in use.
#[derive(Args, Debug)]
pub(super) struct FlashArgs {
    /// Block map [default: the one next to the image]
    #[arg(short, long, value_name = "FILE")]
    bmap: Option<PathBuf>,
    /// Overwrite without asking
    #[arg(short, long)]
    yes: bool,
    /// Do not read back the written data
    #[arg(long)]
    no_verify: bool,
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(super) log: LogArgs,
    /// Disk image: raw, gzip, xz, Zstandard, qcow2 or Android sparse
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Block device, or a file that is large enough
    #[arg(value_name = "DEVICE")]
    device: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &FlashArgs) -> anyhow::Result<ExitCode> {
    if args.image == Path::new("-") {
        let problem =
            Problem::new("an image is not flashed from standard input: it would have no block map");
        return Err(Usage::from(problem.hint("write it to a file, and name that")).into());
    }
    let image = FlashImage::open(&args.image, args.bmap.as_deref())?;
    let target = FlashTarget::open(&args.device)?;
    image.check_fits(&target)?;
    if !args.yes {
        ask(&image, &target)?;
    }
    let report = progress::report(args.quiet);
    match image.map() {
        Some(map) => report.note(&format!("using the block map {}", map.display())),
        None => report.note("no block map: writing every byte"),
    }
    WRITING.store(true, Ordering::Relaxed);
    let written = image.write(&target, !args.no_verify, &*report)?;
    WRITING.store(false, Ordering::Relaxed);
    let verified = if args.no_verify {
        "not verified"
    } else {
        "verified"
    };
    report.note(&format!(
        "{}: {} written, {verified}",
        target.path.display(),
        human(written)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Shows the device and asks for confirmation.
fn ask(image: &FlashImage, target: &FlashTarget) -> anyhow::Result<()> {
    let shown = target.path.display();
    if !io::stdin().is_terminal() {
        let problem = Problem::new(format!(
            "refusing to overwrite {shown}: standard input is not a terminal"
        ));
        return Err(Usage(problem.hint("confirm with --yes").into()).into());
    }
    let model = target
        .model
        .clone()
        .unwrap_or_else(|| if target.device { "a device" } else { "a file" }.into());
    let mut text = format!("{shown}: {model}, {}\n", human(target.size));
    if target.holds.is_empty() {
        text.push_str("  no partitions\n");
    }
    target
        .holds
        .iter()
        .for_each(|line| text.push_str(&format!("  {line}\n")));
    let size = image.size().map_or_else(
        || "of unknown size".into(),
        |size| format!("of {}", human(size)),
    );
    text.push_str(&format!(
        "All data on it will be overwritten by an image {size}. Type `yes` to continue: "
    ));
    io::stderr().write_all(text.as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Problem::new(format!("not confirmed; {shown} is unchanged")).into())
    }
}
