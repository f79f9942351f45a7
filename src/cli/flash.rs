//! `goldsmith flash`: an image onto a device.

use super::progress;
use crate::flash::{Image, Target};
use crate::problem::{Problem, Usage};
use crate::units::human;
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a device is being overwritten: what is said when the program is interrupted.
pub(super) static UNDERWAY: AtomicBool = AtomicBool::new(false);

/// Write an image to a card or disk, and read it back
///
/// Writes what the image's block map names, or else everything. The map is looked for beside the
/// image (disk.img.bmap for disk.img and disk.img.gz). Whatever is mounted or in use otherwise is
/// refused.
#[derive(Args, Debug)]
pub(super) struct FlashArgs {
    /// Block map [default: the one beside the image]
    #[arg(short, long, value_name = "FILE")]
    bmap: Option<PathBuf>,
    /// Overwrite without asking
    #[arg(short, long)]
    yes: bool,
    /// Do not read back what was written
    #[arg(long)]
    no_verify: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// The image: raw, gzip, xz, Zstandard, qcow2 or Android sparse
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The block device, or a file that is large enough
    #[arg(value_name = "DEVICE")]
    device: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &FlashArgs) -> anyhow::Result<ExitCode> {
    let image = Image::open(&args.image, args.bmap.as_deref())?;
    let target = Target::open(&args.device)?;
    image.check_fits(&target)?;
    if !args.yes {
        ask(&image, &target)?;
    }
    let report = progress::report(args.quiet);
    match image.map() {
        Some(map) => report.note(&format!("by the block map {}", map.display())),
        None => report.note("no block map: every byte is written"),
    }
    UNDERWAY.store(true, Ordering::Relaxed);
    let written = image.write(&target, !args.no_verify, &*report)?;
    UNDERWAY.store(false, Ordering::Relaxed);
    let how = if args.no_verify {
        "not read back"
    } else {
        "read back and equal"
    };
    report.note(&format!(
        "{}: {} written, {how}",
        target.path.display(),
        human(written)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Asks whether the device is the right one.
fn ask(image: &Image, target: &Target) -> anyhow::Result<()> {
    let shown = target.path.display();
    if !io::stdin().is_terminal() {
        let message = format!(
            "nobody can be asked whether to overwrite {shown}: standard input is no terminal"
        );
        return Err(Usage(
            Problem::new(message)
                .hint("say --yes if it is the right one")
                .into(),
        )
        .into());
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
        "Everything on it will be lost, for an image {size}. Type `yes` to go on: "
    ));
    io::stderr().write_all(text.as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Problem::new(format!("{shown} was left as it is")).into())
    }
}
