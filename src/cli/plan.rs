//! `goldsmith plan`: shows what a conversion would do.

use super::input::{ConversionArgs, UNNAMED};
use super::{golden_partitions, print, progress};
use crate::bundle;
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
    if prepared.plan.artifact.name == UNNAMED {
        report.note("the release has no name yet; convert needs one: --artifact-name release-1");
    }
    drop(report);
    prepared.check_outputs(&args.input.output_dir)?;
    let record = Record::new(&prepared);
    if args.input.json {
        print(&record.json()?)?
    } else {
        print(&text(&prepared, &record))?
    }
    Ok(ExitCode::SUCCESS)
}

/// The output without `--json`.
fn text(prepared: &Prepared, record: &Record) -> String {
    let mut out = String::new();
    system_text(&mut out, prepared, record);
    golden_partitions::table(&mut out, &record.input.partitions, &record.input.areas);
    disk_text(&mut out, record);
    let _ = writeln!(out, "\nEdits ({})", record.edits.len());
    for edit in &record.edits {
        let _ = writeln!(
            out,
            "  {:<5} {:<8} {}  ({})",
            edit.filesystem, edit.action, edit.path, edit.reason
        );
    }
    references_text(&mut out, record);
    let extensions = prepared.plan.output.extensions();
    let files: Vec<String> = extensions
        .map(|extension| format!("{}.{extension}", prepared.plan.name))
        .collect();
    let _ = writeln!(out, "\nWould write {}", files.join(", "));
    out
}

/// The update client and the bundle that it belongs to.
fn client(version: Option<&str>) -> String {
    let Some(version) = version else {
        return "none that a package tells of".to_owned();
    };
    let bundle = version.parse().ok().and_then(bundle::of_client);
    match bundle {
        Some(bundle) => format!("{version} (bundle {})", bundle.name),
        None => format!("{version} (of no bundle that goldsmith knows)"),
    }
}

/// The golden image, the release, and how it boots.
fn system_text(out: &mut String, prepared: &Prepared, record: &Record) {
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<15} {value}");
    };
    let input = &record.input;
    let size = human(input.size);
    row("Image", &format!("{} ({}, {size})", input.file, input.form));
    let maker = input
        .maker
        .as_ref()
        .map(|maker| format!(" ({maker})"))
        .unwrap_or_default();
    let system = format!("{}, {}{maker}", input.system, input.architecture);
    row("System", &system);
    if !record.boards.is_empty() {
        row("Boards", &record.boards.join(", "));
    }
    row("Device types", &record.device_types.join(", "));
    row("Artifact", &record.artifact_name);
    let boot = &record.boot;
    let signed = if boot.secure_boot {
        ", Secure Boot"
    } else {
        ""
    };
    let loader = format!("{} ({}{signed})", boot.loader, boot.program);
    row("Boot loader", &loader);
    row("Kernel", &boot.kernel);
    let loader = &prepared.edited.boot;
    let from = loader.arguments_from();
    row("Arguments", &format!("{} (from {from})", boot.arguments));
    let (tree, overlays) = loader.device_tree();
    if let Some(tree) = tree {
        row("Device tree", tree);
    }
    for overlay in overlays {
        row("Overlay", overlay);
    }
    row("Update client", &client(record.family.client.as_deref()));
    for package in &record.packages {
        let text = format!(
            "{} {} ({})",
            package.name, package.version, package.architecture
        );
        row("Package", &text);
    }
    for hook in &record.hooks {
        let text = format!(
            "{} {} (would run; this plan does not include what it stages)",
            hook.stage.name(),
            hook.program
        );
        row("Hook", &text);
    }
}

/// The partitions, and the data outside them.
fn disk_text(out: &mut String, record: &Record) {
    let disk = &record.disk;
    let size = human(disk.size);
    let _ = writeln!(out, "\nDisk of {size} ({})", disk.table.to_uppercase());
    let _ = writeln!(
        out,
        "  {:<3} {:<7} {:>12} {:>12}  PARTUUID",
        "#", "part", "start", "size"
    );
    for part in &disk.partitions {
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
    for raw in &disk.raw {
        let _ = writeln!(
            out,
            "  raw {:>20} {:>12}  {}",
            human(raw.offset),
            human(raw.size),
            raw.file
        );
    }
    let size = human(record.root.size);
    let _ = writeln!(out, "  The root filesystem takes {size} of each slot.");
}

/// The references of the system to devices and mount points.
fn references_text(out: &mut String, record: &Record) {
    if record.references.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nReferences to disks ({})", record.references.len());
    for row in &record.references {
        let golden = match row.golden.as_str() {
            "" => "not on the golden disk",
            golden => golden,
        };
        let _ = writeln!(
            out,
            "  {:<9} {} {}: {}  ({golden} -> {})",
            row.action.name(),
            row.kind,
            row.place(),
            row.what,
            row.converted
        );
    }
}
