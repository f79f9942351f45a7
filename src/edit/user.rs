//! Directories that the user adds: overlays, and what hooks staged.

use super::{StagedDir, Workspace, overlay};
use crate::plan::Plan;
use crate::plan::overlays::{self, OwnerRule, Target};
use crate::problem::Problem;
use crate::tree::editor::{Change, TreeEditor};
use crate::tree::host::Modes;
use crate::tree::{Dir, DirEntry, Tree, host, show};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The paths that the integration wrote in each filesystem, in the order of [`Target::ALL`].
#[derive(Debug, Default)]
pub(super) struct Guarded([BTreeSet<Vec<u8>>; 3]);

impl Guarded {
    /// The paths of `changes` from the numbers `from` on.
    pub(super) fn new(changes: &[Vec<Change>; 3], from: [usize; 3]) -> Self {
        let mut guarded = Self::default();
        for ((paths, changes), from) in guarded.0.iter_mut().zip(changes).zip(from) {
            let written = changes.get(from..).unwrap_or_default();
            paths.extend(written.iter().map(|change| change.path.clone()));
        }
        guarded
    }

    fn of(&self, target: Target) -> &BTreeSet<Vec<u8>> {
        let [root, boot, data] = &self.0;
        match target {
            Target::Root => root,
            Target::Boot => boot,
            Target::Data => data,
        }
    }
}

/// Copies the overlays of the plan over the filesystems.
pub(super) fn overlays(work: &mut Workspace<'_>, plan: &Plan) {
    work.notes.extend(plan.overlays.left_out.iter().cloned());
    for target in Target::ALL {
        let overlays = plan.overlays.of(target);
        let mut trees = Vec::new();
        for dir in &overlays.dirs {
            let reason = overlays::shown(dir);
            let guarded = BTreeSet::new();
            let from = HostDir {
                dir,
                modes: &plan.overlays.modes,
            };
            trees.extend(copy(
                work,
                target,
                from,
                &overlays.owners,
                &reason,
                &guarded,
            ));
        }
        for rule in overlay::unused(&trees, &overlays.owners) {
            let key = target.staging_name();
            work.warnings.push(format!(
                "{key}.owner: no path in an overlay matches {}",
                rule.path
            ));
        }
    }
}

/// Copies what hooks staged over the filesystems, except over `guarded` paths.
pub(super) fn staged(
    work: &mut Workspace<'_>,
    staged: &[StagedDir],
    plan: &Plan,
    guarded: &Guarded,
) {
    for staged in staged {
        let reason = format!("hook {}", staged.hook);
        for target in Target::ALL {
            let dir = staged.dir.join(target.staging_name());
            let owners = &plan.overlays.of(target).owners;
            let from = HostDir {
                dir: &dir,
                modes: &Modes::default(),
            };
            copy(work, target, from, owners, &reason, guarded.of(target));
        }
    }
}

/// A directory of the host, and permission bits that are not those of the host.
#[derive(Clone, Copy)]
struct HostDir<'h> {
    dir: &'h Path,
    modes: &'h Modes,
}

/// Copies the directory `from` over one filesystem, and returns it as a tree; `None` when it cannot
/// be read.
fn copy(
    work: &mut Workspace<'_>,
    target: Target,
    from: HostDir<'_>,
    owners: &[OwnerRule],
    reason: &str,
    guarded: &BTreeSet<Vec<u8>>,
) -> Option<Tree> {
    let editor = work.editor(target);
    let mut tree = match host::read(from.dir, editor.time()) {
        Ok(mut tree) => {
            from.modes.apply(from.dir, &mut tree);
            tree
        }
        Err(e) => {
            work.problems
                .push(Problem::new(format!("reading an overlay: {e}")));
            return None;
        }
    };
    if target == Target::Boot {
        as_named(&mut tree.root, &editor.tree().root);
    }
    let replaced = replaced(&tree, editor, guarded);
    if replaced.is_empty() {
        let result = overlay::graft(editor, &tree, owners, reason);
        work.keep(result);
    }
    for path in replaced {
        let message = format!(
            "{reason}: {} was written by the integration and cannot be replaced",
            show(&path)
        );
        work.problems.push(
            Problem::new(message)
                .hint("stage it before the edits, or set what it says by the configuration"),
        );
    }
    Some(tree)
}

/// The paths of the overlay `tree` that would replace one of the `guarded` paths.
fn replaced(tree: &Tree, editor: &TreeEditor, guarded: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    tree.visit(&mut |path, entry| {
        let real = editor
            .tree()
            .walk(path, false)
            .map(|walk| walk.path())
            .unwrap_or_else(|_| path.to_vec());
        if matches!(entry, DirEntry::Leaf(_)) && guarded.contains(&real) {
            out.push(path.to_vec());
        }
    });
    out
}

/// Gives the entries of an overlay's directory the names that the directory `there` of the boot
/// partition has already: names on FAT differ in more than case.
fn as_named(brought: &mut Dir, there: &Dir) {
    let entries = std::mem::take(&mut brought.entries);
    for (name, mut entry) in entries {
        let known = there.get_ignore_case(&name);
        if let (DirEntry::Dir(dir), Some((_, DirEntry::Dir(below)))) = (&mut entry, known) {
            as_named(Arc::make_mut(dir), below);
        }
        let name = known.map_or(name, |(known, _)| known.clone());
        brought.entries.insert(name, entry);
    }
}
