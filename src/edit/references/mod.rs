//! References to disks: every line of the golden system that names a block device, a partition, a
//! filesystem or a mount point is resolved against the golden disk and the converted one. What is
//! gone or another thing is rewritten or taken out with a note, or is a problem; it never stays
//! without a word.

mod lines;
mod mount_units;
pub mod names;
pub mod row;
mod units;

use super::Workspace;
use crate::golden::references::device::Device;
use crate::golden::references::{Reference, Removal, TEXT_LIMIT, gather, units as golden_units};
use crate::plan::accepted::AcceptedFiles;
use crate::problem::Problem;
use lines::LineEdits;
use names::{Names, Resolution, Verdict};
use row::{Row, Treatment};
use std::collections::BTreeSet;

/// What the edits of references depend on.
pub(super) struct References<'a> {
    /// The names of both disks.
    pub(super) names: &'a mut Names,
    /// The mount points of our own mounts.
    pub(super) ours: [&'a str; 3],
    /// Files whose references the user accepts.
    pub(super) accepted: &'a AcceptedFiles,
}

/// The references that were edited, in the order of their files.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// The table.
    pub(super) rows: Vec<Row>,
    /// Mount points that nothing mounts any more.
    pub(super) gone: Vec<String>,
}

/// Edits `/etc/crypttab` and the units of mounts, on which lines of `/etc/fstab` depend. `listed`
/// are the mount points of `/etc/fstab`.
pub(super) fn before_fstab(
    work: &mut Workspace<'_>,
    references: &mut References<'_>,
    listed: &[String],
) -> Edited {
    let mut edits = LineEdits::default();
    let mut rows = crypttab(work, references, &mut edits);
    let units = mount_units::edit(work, &mut edits, references.names, &references.ours, listed);
    rows.extend(units.rows);
    edits.apply(work);
    Edited {
        rows,
        gone: units.gone,
    }
}

/// Edits all other references; `gone` are mount points that nothing mounts any more, and devices of
/// swap space that is gone.
pub(super) fn after_fstab(
    work: &mut Workspace<'_>,
    references: &References<'_>,
    gone: &[String],
) -> Vec<Row> {
    let mut edits = LineEdits::default();
    let mut rows = Vec::new();
    let mut told = BTreeSet::new();
    let found = gather(work.root.tree(), work.boot.tree());
    for one in found.iter().filter(|one| one.kind != "crypttab") {
        let file = display(one, &references.ours);
        let row = one_reference(work, references, &mut edits, one, &file, &mut told);
        rows.extend(row);
    }
    rows.extend(units::edit(work, &mut edits, gone, references.accepted));
    edits.apply(work);
    rows.extend(repart(work, references.accepted));
    rows
}

/// The path of a reference's file on the device.
fn display(one: &Reference, [boot, ..]: &[&str; 3]) -> String {
    match one.on_boot {
        true => format!("{boot}{}", one.file),
        false => one.file.clone(),
    }
}

/// Lines of `/etc/crypttab`: those that stay decrypt something under a name, which lines of
/// `/etc/fstab` may mount.
fn crypttab(
    work: &mut Workspace<'_>,
    references: &mut References<'_>,
    edits: &mut LineEdits,
) -> Vec<Row> {
    let found = gather(work.root.tree(), work.boot.tree());
    let found: Vec<&Reference> = found.iter().filter(|one| one.kind == "crypttab").collect();
    let mut rows = Vec::new();
    let mut removed = BTreeSet::new();
    for one in &found {
        let resolution = references.names.resolve(&one.device);
        let row = Row::new(&one.file, one.line, one.kind, &one.text, &resolution);
        let why = resolution
            .objection(&one.text, &one.device, one.needed)
            .or_else(|| boot_or_disk(one, &resolution));
        let Some(why) = why else {
            rows.push(row);
            continue;
        };
        rows.push(row.action(Treatment::Removed));
        if removed.insert(one.line) {
            edits.comment(&(false, one.file.clone()), one.line, one.last, &why);
            work.notes.push(format!(
                "{}: {} is commented out: {why}",
                one.place(),
                one.text
            ));
        }
    }
    let text = work.root.text("/etc/crypttab", TEXT_LIMIT);
    let text = text.ok().flatten().unwrap_or_default();
    for (number, line) in (1..).zip(text.lines()) {
        if !removed.contains(&number)
            && let Some(name) = line.split_whitespace().next()
        {
            references.names.decrypts(name);
        }
    }
    rows
}

/// The reason why a line of `/etc/crypttab` would destroy the boot partition or the whole disk.
fn boot_or_disk(one: &Reference, resolution: &Resolution) -> Option<String> {
    let ours = matches!(resolution.verdict, Verdict::Same | Verdict::Moved(_));
    let volume = matches!(one.device, Device::Mapped(_));
    (ours && !volume).then(|| format!("{} is {}", one.text, resolution.converted))
}

/// Edits one reference; `None` if it names nothing of either disk and concerns nobody.
fn one_reference(
    work: &mut Workspace<'_>,
    references: &References<'_>,
    edits: &mut LineEdits,
    one: &Reference,
    file: &str,
    told: &mut BTreeSet<(String, usize)>,
) -> Option<Row> {
    let resolution = references.names.resolve(&one.device);
    let row = Row::new(file, one.line, one.kind, &one.text, &resolution);
    let repartitions = one.kind == "cloud-init"
        && matches!(one.device, Device::Disk(_))
        && resolution.verdict == Verdict::Same;
    let why = match repartitions {
        true => Some(format!(
            "{} is the disk with both root filesystems",
            one.text
        )),
        false => resolution.objection(&one.text, &one.device, one.needed),
    };
    if one.removal == Removal::Menu {
        return Some(row.action(Treatment::Removed));
    }
    let Some(why) = why else {
        let silent = resolution.verdict == Verdict::Foreign && one.removal == Removal::Tell;
        return (!silent).then_some(row);
    };
    let first = told.insert((file.to_owned(), one.line));
    let another = matches!(resolution.verdict, Verdict::Another(_)) || repartitions;
    let another = another && !resolution.assumed;
    if !matches!(one.removal, Removal::Refuse | Removal::Tell) {
        let done = take_out(work, edits, one, &why);
        if first {
            let what = match one.removal {
                Removal::File => row.place(),
                _ => format!("{}: {}", row.place(), one.text),
            };
            work.notes.push(format!("{what} {done}: {why}"));
        }
        return Some(row.action(Treatment::Removed));
    }
    if work.used.accepts(references.accepted, file) {
        return Some(row.action(Treatment::Accepted));
    }
    if first && one.removal == Removal::Refuse && another {
        let message = format!(
            "{}: {why}, and this {} would change it",
            row.place(),
            one.kind
        );
        let hint = format!(
            "take it out in the golden image; {}",
            AcceptedFiles::hint(file)
        );
        work.problems.push(Problem::new(message).hint(hint));
    } else if first {
        let place = row.place();
        work.notes
            .push(format!("{place}: {why}; change it in the golden image"));
    }
    Some(row.action(Treatment::Noted))
}

/// Takes a reference out, and returns what was done, for a note.
fn take_out(
    work: &mut Workspace<'_>,
    edits: &mut LineEdits,
    one: &Reference,
    why: &str,
) -> &'static str {
    let key = (one.on_boot, one.file.clone());
    match one.removal {
        Removal::Word => {
            edits.replace(work, &key, one.line..=one.last, [&one.text, ""]);
            "is taken out"
        }
        Removal::None => {
            edits.because(&key, "the swap partition of the golden image is gone");
            edits.replace(work, &key, one.line..=one.last, [&one.text, "none"]);
            "is replaced by none, so hibernation is off"
        }
        Removal::File => {
            if let Err(error) = work.root.remove(&one.file, why) {
                work.problems.push(Problem::new(error.to_string()));
            }
            "is removed"
        }
        Removal::Comment | Removal::Refuse | Removal::Tell | Removal::Menu => {
            edits.comment(&key, one.line, one.last, why);
            "is commented out"
        }
    }
}

/// Masks systemd-repart if there are definitions of partitions, which it would make on our disk.
fn repart(work: &mut Workspace<'_>, accepted: &AcceptedFiles) -> Vec<Row> {
    const UNIT: &str = "/etc/systemd/system/systemd-repart.service";
    let found = golden_units::repart_definitions(work.root.tree());
    let mut masked = false;
    let mut rows = Vec::new();
    for file in found {
        let resolution = Resolution {
            verdict: Verdict::Same,
            golden: "the disk".to_owned(),
            converted: "the disk".to_owned(),
            assumed: false,
        };
        let row = Row::new(&file, 0, "systemd-repart", "a partition", &resolution);
        if work.used.accepts(accepted, &file) {
            rows.push(row.action(Treatment::Accepted));
            continue;
        }
        rows.push(row.action(Treatment::Removed));
        work.notes.push(format!(
            "{file}: systemd-repart.service is masked: it would change the partitions of the A/B \
             layout"
        ));
        if !masked {
            masked = true;
            let reason = "systemd-repart would change the partitions of the A/B layout";
            if let Err(error) = work.root.symlink(UNIT, "/dev/null", reason) {
                work.problems.push(Problem::new(error.to_string()));
            }
        }
    }
    rows
}
