//! `/etc/rc.local`, which runs at the end of each start, and tools that put one of theirs there for
//! the first start.

use super::follow::{Files, Found};
use super::note::StartupNote;
use super::units::is_executable;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Leaf, Node, show};

/// The script.
pub(super) const PATH: &str = "/etc/rc.local";
/// Where tools keep the one that they replaced.
const KEPT: [&str; 3] = [
    "/etc/rc.local.bak",
    "/etc/rc.local.orig",
    "/etc/rc.local.old",
];

/// Puts back what a tool replaced for the time of the first start. Returns a note if it did.
pub(super) fn restore(
    root: &mut TreeEditor<'_>,
    files: &impl Fn(&TreeEditor<'_>) -> Found,
) -> Result<Option<StartupNote>, EditError> {
    if !is_executable(root.tree(), PATH) {
        return Ok(None);
    }
    let bytes = root.read(PATH, super::TEXT_LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_pishrink = text.to_lowercase().contains("pishrink");
    let restores = KEPT.iter().any(|kept| text.contains(kept));
    if !is_pishrink && (!restores || files(root).findings.is_empty()) {
        return Ok(None);
    }
    let kept = KEPT.iter().find(|kept| root.tree().file(kept).is_some());
    let tool = if is_pishrink {
        "PiShrink's"
    } else {
        "a one-time script, as PiShrink writes it"
    };
    let reason = format!(
        "{tool}: it would enlarge the root partition and restart on the first start of each slot"
    );
    let Some(kept) = kept else {
        root.remove(PATH, &reason)?;
        let note = format!("{PATH} is removed, {reason}");
        return Ok(Some(StartupNote::of(PATH, 0, note)));
    };
    let real = show(&root.tree().walk(kept.as_bytes(), true)?.path());
    let Some(Node::Leaf(leaf)) = root.tree().find(&real) else {
        return Ok(None);
    };
    let leaf: Leaf = leaf.clone();
    root.put(PATH, leaf, &reason)?;
    root.remove(kept, &reason)?;
    let note = format!("{PATH} is restored from {kept}; what was there is {reason}");
    Ok(Some(StartupNote::of(PATH, 0, note)))
}

/// What the script does.
pub(super) fn found(files: &Files<'_>) -> Found {
    if !is_executable(files.root, PATH) {
        return Found::default();
    }
    files.script(PATH, &["start".to_owned()])
}
