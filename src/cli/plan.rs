//! `goldsmith plan`: everything but writing.

use super::input::ConversionArgs;
use super::{print, progress};
use crate::convert::{self, Prepared, Record};
use crate::units::human;
use clap::Args;
use std::fmt::Write;
use std::process::ExitCode;

/// Show what convert would do, without writing anything
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    input: ConversionArgs,
    /// Show only the merged configuration and where each value comes from
    #[arg(long)]
    show_config: bool,
}

/// Runs the command.
pub(super) fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(args.input.quiet);
    if args.show_config {
        let config = args.input.with_board(args.input.config()?, &*report)?;
        drop(report);
        print(&config.show())?;
        return Ok(ExitCode::SUCCESS);
    }
    let prepared = args.input.request(false, &*report, convert::prepare)?;
    drop(report);
    let record = Record::new(&prepared);
    if args.input.json {
        print(&record.json()?)?
    } else {
        print(&text(&prepared, &record))?
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan for people.
fn text(prepared: &Prepared, record: &Record) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<15} {value}");
    };
    row(
        "Image",
        &format!(
            "{} ({}, {})",
            record.input.file,
            record.input.form,
            human(record.input.size)
        ),
    );
    let maker = record
        .input
        .maker
        .as_ref()
        .map(|maker| format!(" ({maker})"))
        .unwrap_or_default();
    row(
        "System",
        &format!(
            "{}, {}{maker}",
            record.input.system, record.input.architecture
        ),
    );
    if !record.boards.is_empty() {
        row("Boards", &record.boards.join(", "));
    }
    row("Device types", &record.device_types.join(", "));
    row("Artifact", &record.artifact_name);
    let signed = if record.boot.secure_boot {
        ", Secure Boot"
    } else {
        ""
    };
    row(
        "Boot loader",
        &format!("{} ({}{signed})", record.boot.loader, record.boot.program),
    );
    row("Kernel", &record.boot.kernel);
    row("Arguments", &record.boot.arguments);
    for package in &record.packages {
        row(
            "Package",
            &format!(
                "{} {} ({})",
                package.name, package.version, package.architecture
            ),
        );
    }
    for hook in &record.hooks {
        row(
            "Hook",
            &format!(
                "{} {} (would run; what it stages is not in this plan)",
                hook.stage.name(),
                hook.program
            ),
        );
    }
    let _ = writeln!(
        out,
        "\nDisk of {} ({})",
        human(record.disk.size),
        record.disk.table.to_uppercase()
    );
    let _ = writeln!(
        out,
        "  {:<3} {:<7} {:>12} {:>12}  PARTUUID",
        "#", "part", "start", "size"
    );
    for part in &record.disk.partitions {
        let _ = writeln!(
            out,
            "  {:<3} {:<7} {:>12} {:>12}  {}",
            part.number,
            part.role,
            human(part.start),
            human(part.size),
            part.partuuid
        );
    }
    for raw in &record.disk.raw {
        let _ = writeln!(
            out,
            "  raw {:>20} {:>12}  {}",
            human(raw.offset),
            human(raw.size),
            raw.file
        );
    }
    let _ = writeln!(
        out,
        "  The root filesystem takes {} of each slot.",
        human(record.root.size)
    );
    let _ = writeln!(out, "\nEdits ({})", record.edits.len());
    for edit in &record.edits {
        let _ = writeln!(
            out,
            "  {:<5} {:<8} {}  ({})",
            edit.filesystem, edit.action, edit.path, edit.reason
        );
    }
    let _ = writeln!(
        out,
        "\nWould write {0}.{1}, {0}.mender, {0}.json",
        prepared.plan.name, prepared.plan.output.extension
    );
    out
}
