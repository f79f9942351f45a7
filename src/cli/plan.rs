//! `goldsmith plan`: shows what a conversion would do.

use super::input::{ConversionArgs, UNNAMED};
use super::{golden_partitions, new_file, picture, print, progress, terminal};
use crate::bundle;
use crate::compare;
use crate::convert::{self, Prepared, Record};
use crate::edit::changes::NetChange;
use crate::golden::Golden;
use crate::plan::output::ImageForm;
use crate::stream::Content;
use crate::tree::{Leaf, LeafKind, Node, Tree};
use crate::units::human;
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// How another file is named.
const ANOTHER: &str = "name another file with --svg";

/// Show what convert would do, without writing anything
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) input: ConversionArgs,
    /// Show only the merged configuration and where each value comes from
    #[arg(long)]
    show_config: bool,
    /// Draw the disk before and after to this new file (SVG)
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// List every file that changes; otherwise they are counted by reason
    #[arg(long, conflicts_with = "json")]
    edits: bool,
    /// Show the lines that change in text files of the golden image; secrets are ***
    #[arg(long, conflicts_with_all = ["json", "show_config"])]
    diff: bool,
}

/// Runs the command.
pub(super) fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.svg {
        new_file::check(path, ANOTHER)?;
    }
    let report = progress::report(args.input.quiet);
    if args.show_config {
        let config = args.input.with_board(args.input.config()?, &*report)?;
        drop(report);
        print(&config.show())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (prepared, before) = args.input.request(false, &*report, |request, input| {
        let golden = Golden::read(input, request.plan.selection(), request.report)?;
        let before = args.diff.then(|| {
            let boot = golden.boot.as_ref().map(|boot| boot.tree.clone());
            (golden.root.tree.clone(), boot)
        });
        Ok((convert::prepare_golden(request, golden)?, before))
    })?;
    if prepared.plan.artifact.name == UNNAMED {
        report.note("the release has no name yet; convert needs one: --artifact-name release-1");
    }
    if let Some(warning) = prepared.check_outputs(&args.input.output_dir)? {
        report.warn(&warning);
    }
    drop(report);
    let record = Record::new(&prepared);
    if let Some(path) = &args.svg {
        let picture = picture::svg(&picture::disks(&prepared, &record));
        new_file::write(path, &picture, ANOTHER)?;
    }
    if args.input.json {
        print(&record.json()?)?
    } else {
        print(&terminal::listed(&text(&prepared, &record, args.edits)))?;
        if let Some((root, boot)) = &before {
            print(&diff(&prepared, root, boot.as_ref())?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The output without `--json`.
fn text(prepared: &Prepared, record: &Record, all: bool) -> String {
    let mut out = String::new();
    system_text(&mut out, prepared, record);
    golden_partitions::table(&mut out, &record.input.partitions, &record.input.areas);
    disk_text(&mut out, record);
    picture::text(&mut out, &picture::disks(prepared, record));
    edits_text(&mut out, &record.edits, all);
    references_text(&mut out, record);
    let extensions = prepared.plan.output.extensions();
    let files: Vec<String> = extensions
        .map(|extension| format!("{}.{extension}", prepared.plan.name))
        .collect();
    let _ = writeln!(out, "\nWould write {}", files.join(", "));
    out.push_str(&summary(prepared, record));
    out
}

/// What would be made, in a sentence: the sizes that matter, and that nothing is refused.
fn summary(prepared: &Prepared, record: &Record) -> String {
    let part = |role: &str| {
        let mut parts = record.disk.partitions.iter();
        let part = parts.find(|part| part.role == role);
        human(part.map_or(0, |part| part.size))
    };
    let image = match prepared.plan.output.image {
        ImageForm::None => String::new(),
        _ => format!("a disk of {} and ", human(record.disk.size)),
    };
    let grows = match prepared.plan.data.grow {
        true => ", which grows at the first start",
        false => "",
    };
    format!(
        "Nothing is refused: {image}an Artifact of a root filesystem of {} ({} of files) for slots of {}; the data \
         partition has {}{grows}.\n",
        human(record.root.size),
        human(prepared.used().root),
        part("root-a"),
        part("data"),
    )
}

/// The edits: all of them, or how many there are for each reason.
fn edits_text(out: &mut String, edits: &[NetChange], all: bool) {
    let more = if all || edits.is_empty() {
        ""
    } else {
        "; --edits lists every file, --diff shows changed lines"
    };
    let _ = writeln!(out, "\nEdits ({}{more})", edits.len());
    if all {
        for edit in edits {
            let _ = writeln!(
                out,
                "  {:<5} {:<8} {}  ({})",
                edit.filesystem, edit.action, edit.path, edit.reason
            );
        }
        return;
    }
    let mut reasons: Vec<(&str, Vec<&NetChange>)> = Vec::new();
    for edit in edits {
        match reasons
            .iter_mut()
            .find(|(reason, _)| *reason == edit.reason)
        {
            Some((_, edits)) => edits.push(edit),
            None => reasons.push((&edit.reason, vec![edit])),
        }
    }
    for (reason, edits) in reasons {
        let _ = writeln!(out, "  {reason}: {}", counted(&edits));
    }
}

/// The edits of one reason: a single one by its path, several by their numbers and a few paths.
fn counted(edits: &[&NetChange]) -> String {
    let place = |edit: &NetChange| match edit.filesystem {
        "root" => edit.path.clone(),
        other => format!("{other}:{}", edit.path),
    };
    if let [one] = edits {
        return format!("{} {}", one.action, place(one));
    }
    let numbers = ["added", "changed", "removed"]
        .into_iter()
        .filter_map(|action| {
            let count = edits.iter().filter(|edit| edit.action == action).count();
            (count > 0).then(|| format!("{count} {action}"))
        });
    let numbers = numbers.collect::<Vec<_>>().join(", ");
    let named: Vec<String> = edits.iter().take(2).map(|edit| place(edit)).collect();
    let rest = match edits.len() - named.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{numbers}: {}{rest}", named.join(", "))
}

/// The content of a regular file; a symbolic link is none.
fn file<'t>(tree: &'t Tree, path: &str) -> Option<&'t Content> {
    match tree.find_nofollow(path)? {
        Node::Leaf(Leaf {
            kind: LeafKind::File(content),
            ..
        }) => Some(content),
        _ => None,
    }
}

/// The lines that differ in the text files of the golden image that are changed.
fn diff(prepared: &Prepared, root: &Tree, boot: Option<&Tree>) -> anyhow::Result<String> {
    let secrets = prepared.plan.secrets();
    let mut out = String::new();
    let trees = &prepared.edited.trees;
    for edit in &prepared.edited.changes {
        let (before, after) = match edit.filesystem {
            "root" => (Some(root), &trees.root),
            "boot" => (boot, &trees.boot),
            _ => continue,
        };
        let Some(before) = before.filter(|_| edit.action == "changed") else {
            continue;
        };
        let (Some(old), Some(new)) = (file(before, &edit.path), file(after, &edit.path)) else {
            continue;
        };
        let Some(mut lines) = compare::patch(old, new)? else {
            continue;
        };
        for secret in &secrets {
            lines = lines.replace(secret, "***");
        }
        if !lines.is_empty() {
            let (filesystem, path) = (edit.filesystem, &edit.path);
            let _ = write!(
                out,
                "\n--- golden {filesystem}:{path}\n+++ {filesystem}:{path}  ({})\n{lines}",
                edit.reason
            );
        }
    }
    Ok(out)
}

/// The update client and the bundle that it belongs to.
fn client(version: Option<&str>) -> String {
    let Some(version) = version else {
        return "not from a package".to_owned();
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
