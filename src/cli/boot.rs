//! `goldsmith boot`: an image in QEMU.

use super::boot_check::{self, CheckArgs, Demands};
use super::input::ContentArgs;
use super::{new_file, print, progress};
use crate::emulate::{self, Computer, DiskFormat, Machine, Settings, Verdict};
use crate::image::source::InputFormat;
use crate::problem::Problem;
use crate::units::parse_size;
use anyhow::Context as _;
use clap::{Args, value_parser};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How another file is named.
const ANOTHER: &str = "name another file with --log";

/// Start an image in QEMU, or check that it starts
///
/// Chooses the machine and the firmware that the image is for (UEFI, BIOS, or U-Boot), and starts
/// it on an overlay that goes away: the image is never written. The serial line is the terminal;
/// Ctrl-A x ends the machine. With --check, nothing is typed: the command succeeds once the system
/// shows a login prompt on its serial line or its SSH server answers, and fails with the reason and
/// the last lines of the serial line if it stops before.
///
/// With --update, the started system then installs the Artifact with its own client, starts it,
/// commits it and starts again; it must roll back an update that is not committed, and survive
/// power cuts. With --rules, it must also have what a file of rules asks for. Each step gets a
/// verdict. Without KVM a start takes 1 to 3 minutes.
#[derive(Args, Debug)]
pub(super) struct BootArgs {
    /// Wait until the system has started, say so, and switch it off
    #[arg(long)]
    check: bool,
    /// Firmware that starts only what Microsoft's keys vouch for
    #[arg(long)]
    secure_boot: bool,
    /// Port of this machine that leads to one of the system, as in 2222:22; may be repeated
    #[arg(long, value_name = "HOST:GUEST", value_parser = forward)]
    forward: Vec<(u16, u16)>,
    /// Size of the disk, if it is larger than the image, as in "16 GiB"
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk_size: Option<u64>,
    /// Memory of the machine (MiB)
    #[arg(long, value_name = "MIB", default_value = "1024", value_parser = value_parser!(u32).range(128..))]
    memory: u32,
    /// Processors of the machine
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u32).range(1..=64))]
    processors: u32,
    /// QEMU's accelerator, as in tcg [default: kvm if it works, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    accelerator: Option<String>,
    /// With --check: an Artifact that the system installs, commits and rolls back
    #[arg(long, value_name = "ARTIFACT", requires = "check")]
    update: Option<PathBuf>,
    /// With --check: rules in TOML: files, packages, sizes, units, commands
    #[arg(long, value_name = "FILE", requires = "check")]
    rules: Option<PathBuf>,
    /// With --check: how long a start may take (seconds); writing an update may take three times
    /// as long
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "600",
        value_parser = clap::value_parser!(u64).range(1..),
        requires = "check"
    )]
    timeout: u64,
    /// With --check: a new file for all that the serial line says
    #[arg(long, value_name = "FILE", requires = "check")]
    log: Option<PathBuf>,
    /// With --check: print one JSON object
    #[arg(long, requires = "check")]
    json: bool,
    #[command(flatten)]
    input: ContentArgs,
    /// Disk image: raw, compressed, qcow2, or a block device
    image: PathBuf,
}

fn forward(text: &str) -> Result<(u16, u16), String> {
    let ports = text.split_once(':');
    let ports = ports.and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)));
    ports.ok_or_else(|| "two ports are expected, as in 2222:22".to_owned())
}

/// Runs the command.
pub(super) fn run(args: &BootArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.log {
        new_file::check(path, ANOTHER)?;
    }
    let check = CheckArgs {
        update: args.update.as_deref(),
        rules: args.rules.as_deref(),
        limit: Duration::from_secs(args.timeout),
        json: args.json,
        input: &args.input,
    };
    let demands = Demands::read(check)?;
    let report = progress::report(true);
    let opened = args.input.open(&args.image, &*report)?;
    let machine = Machine::of(&opened, args.secure_boot)?;
    let mut settings = Settings {
        memory: args.memory,
        processors: args.processors,
        disk_size: args.disk_size,
        forward: args.forward.clone(),
        accelerator: args.accelerator.clone(),
    };
    let larger = args.disk_size.is_none_or(|size| size >= opened.len);
    if !larger {
        let problem = Problem::new(format!(
            "--disk-size is smaller than the image ({} bytes)",
            opened.len
        ));
        return Err(problem
            .hint("leave it out, or give at least as many")
            .into());
    }
    let ssh = match args.check && !demands.drive() {
        true => Some(free_port()?),
        false => None,
    };
    settings.forward.extend(ssh.map(|port| (port, 22)));
    // What is compressed is unpacked; QEMU opens files by their names.
    let plain;
    let disk = match opened.input {
        Some(InputFormat::Raw | InputFormat::BlockDevice) => {
            (args.image.as_path(), DiskFormat::Raw)
        }
        Some(InputFormat::Qcow2) => (args.image.as_path(), DiskFormat::Qcow2),
        _ => {
            plain = tempfile::NamedTempFile::new_in(".").context("creating a temporary file")?;
            emulate::remember(plain.path());
            opened
                .save(plain.as_file())
                .context("unpacking the image")?;
            (plain.path(), DiskFormat::Raw)
        }
    };
    let mut computer = Computer::new(machine, disk, &settings)?;
    drop(report);
    let notes = progress::report(args.json);
    let speed = match computer.is_fast() {
        true => "",
        false => ", without KVM: a start takes 1 to 3 minutes",
    };
    notes.note(&format!("{}{speed}", machine.described()));
    drop(notes);
    if !args.check {
        return Ok(match computer.run()? {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let mut log: Box<dyn io::Write> = match &args.log {
        Some(path) => Box::new(
            File::create_new(path).with_context(|| format!("creating {}", path.display()))?,
        ),
        None => Box::new(io::sink()),
    };
    if demands.have_steps() {
        return boot_check::run(check, &demands, &opened, (&mut computer, ssh), &mut *log);
    }
    let verdict = emulate::watch(&computer, check.limit, ssh, &mut *log)?;
    said(args.json, &verdict)
}

/// A port of this machine that nobody listens at.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// The output of `--json`.
#[derive(Serialize)]
struct Said<'a> {
    good: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    what: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    console: &'a [String],
}

fn said(json: bool, verdict: &Verdict) -> anyhow::Result<ExitCode> {
    let said = match verdict {
        Verdict::Started(how, time) => Said {
            good: true,
            seconds: Some(time.as_secs()),
            what: how.described().to_owned(),
            console: &[],
        },
        Verdict::Failed(reason, lines) => Said {
            good: false,
            seconds: None,
            what: reason.clone(),
            console: lines,
        },
    };
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&said)?))?;
    } else if let Some(seconds) = said.seconds {
        print(&format!("started after {seconds} s: {}\n", said.what))?;
    } else {
        let lines: String = said
            .console
            .iter()
            .map(|line| format!("  | {line}\n"))
            .collect();
        print(&format!("not started: {}\n{lines}", said.what))?;
    }
    Ok(if said.good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
