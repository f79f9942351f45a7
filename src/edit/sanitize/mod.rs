//! Takes away what the golden machine left behind, as far as the plan says. It comes before the
//! user's overlays, which are meant; what they bring of these kinds is listed as kept. What devices
//! make instead comes after them, as they may bring the server that needs it.

mod host_keys;

use super::Workspace;
use super::accepting::Used;
use crate::golden::traces::{Removal, Trace, TraceKind, gather, unsearched};
use crate::plan::Plan;
use crate::plan::overlays::Target;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
pub(super) use host_keys::HostKey;
use std::collections::{BTreeMap, BTreeSet};

/// The list of kinds that were taken away, for whoever checks the image: a kind in each line, or a
/// kind, a tab and a path that stays.
const LIST: &str = "/usr/lib/goldsmith/sanitized";

/// Takes the traces away; returns the paths of the host keys that the root filesystem had, for
/// [`host_keys`].
pub(super) fn clean(work: &mut Workspace<'_>, plan: &Plan) -> Result<Vec<String>, EditError> {
    let mut counts: BTreeMap<TraceKind, usize> = BTreeMap::new();
    let mut keys = Vec::new();
    let mut too_large = Vec::new();
    for target in Target::ALL {
        let editor = work.editor(target);
        for (path, _) in unsearched(editor.tree()) {
            too_large.push(format!(
                "{}{path} is too large to be searched for what [sanitize] takes away",
                mount_point(target, plan)
            ));
        }
        for trace in gather(editor.tree()) {
            if !plan.sanitize.has(trace.kind) {
                continue;
            }
            take_away(editor, &trace)?;
            *counts.entry(trace.kind).or_default() += 1;
            if trace.kind == TraceKind::SshHostKeys && target == Target::Root {
                keys.push(trace.shown());
            }
        }
    }
    if plan.sanitize.kinds().next().is_some() {
        work.warnings.extend(too_large);
    }
    if plan.sanitize.has(TraceKind::MachineId) {
        empty_id(&mut work.root)?;
    }
    for (kind, count) in counts {
        let name = kind.name();
        work.notes.push(format!(
            "sanitize.{name}: {count} of the golden machine's files removed, emptied or changed"
        ));
    }
    Ok(keys)
}

/// Has devices make the SSH host keys that the servers of the finished system read, whatever
/// brought the server; `removed` were in the golden image. Returns the keys with those of
/// `earlier`, which are arranged already.
pub(super) fn host_keys(
    work: &mut Workspace<'_>,
    plan: &Plan,
    removed: &[String],
    earlier: &BTreeSet<HostKey>,
) -> Result<BTreeSet<HostKey>, EditError> {
    match plan.sanitize.has(TraceKind::SshHostKeys) {
        true => host_keys::arrange(work, removed, earlier),
        false => Ok(BTreeSet::new()),
    }
}

fn take_away(editor: &mut TreeEditor<'_>, trace: &Trace) -> Result<(), EditError> {
    let reason = format!("sanitize.{}", trace.kind.name());
    match &trace.removal {
        Removal::Remove => drop(editor.remove(&trace.path, &reason)?),
        Removal::Empty => editor.rewrite(&trace.path, "", 0o644, &reason)?,
        Removal::Rewrite(text) => {
            editor.rewrite(&trace.path, text.as_str(), 0o644, &reason)?;
        }
    }
    Ok(())
}

/// Makes sure that the file for the machine ID is there and empty (`machine-id(5)`): systemd makes
/// an ID at the start, and an image that lacks the file would have a first boot with each update.
fn empty_id(root: &mut TreeEditor<'_>) -> Result<(), EditError> {
    const PATH: &str = "/etc/machine-id";
    let is_link = root.tree().find_nofollow(PATH).is_some() && root.tree().file(PATH).is_none();
    let has_text = root.read(PATH, 64)?.is_some_and(|text| !text.is_empty());
    if is_link || has_text {
        root.remove(PATH, "sanitize.machine-id")?;
    }
    if root.tree().find_nofollow(PATH).is_none() {
        root.file(PATH, "", 0o444, "sanitize.machine-id")?;
    }
    Ok(())
}

/// Counts the entries of the configuration as needed that accept a trace, of which there is a
/// warning otherwise.
pub(super) fn accepted(work: &mut Workspace<'_>, plan: &Plan, used: &Used) {
    for target in Target::ALL {
        let dir = mount_point(target, plan);
        for trace in gather(work.editor(target).tree()) {
            used.accepts(&plan.accepted, &format!("{dir}{}", trace.shown()));
        }
    }
}

/// The directory of the device that a filesystem is mounted on, without a slash at the end.
fn mount_point(target: Target, plan: &Plan) -> &str {
    match target {
        Target::Root => "",
        Target::Boot => plan.boot.mount.trim_end_matches('/'),
        Target::Data => "/data",
    }
}

/// Lists the kinds that were taken away, and the paths of these kinds that the user's overlays and
/// hooks brought since.
pub(super) fn list(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let mut text = String::new();
    for kind in plan.sanitize.kinds() {
        text.push_str(&format!("{}\n", kind.name()));
    }
    if text.is_empty() {
        return Ok(());
    }
    for target in Target::ALL {
        let dir = mount_point(target, plan);
        for trace in gather(work.editor(target).tree()) {
            if plan.sanitize.has(trace.kind) {
                let path = format!("{dir}{}", trace.shown());
                text.push_str(&format!("{}\t{path}\n", trace.kind.name()));
                work.notes.push(format!(
                    "sanitize.{}: {path} stays: an overlay or a hook brought it",
                    trace.kind.name()
                ));
            }
        }
    }
    let reason = "traces of the golden machine that were taken away";
    work.root.file(LIST, text, 0o644, reason)
}
