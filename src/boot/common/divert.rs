//! Diversions: a package's file is kept under another name, whatever version of it is installed
//! later, and a stand-in takes its path.

use super::TEXT_LIMIT;
use crate::tree::DirEntry;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// Where dpkg keeps diversions: three lines for each, the path, where it goes, and for whom.
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
/// The stand-in: a program that does nothing.
const STAND_IN: &str = include_str!("../../../configs/device/common/stand-in.sh");

/// Diverts the program at `path`, as `dpkg-divert` does, and puts the stand-in in its place.
/// Returns a note for the user when another diversion is there already.
pub(in crate::boot) fn divert(
    root: &mut TreeEditor<'_>,
    path: &str,
    reason: &str,
) -> Result<Option<String>, EditError> {
    let known = root.text(DIVERSIONS, TEXT_LIMIT)?.unwrap_or_default();
    if known.lines().step_by(3).any(|diverted| diverted == path) {
        let ours = root
            .read(path, TEXT_LIMIT)?
            .is_some_and(|bytes| bytes == STAND_IN.as_bytes());
        return Ok((!ours).then(|| format!("{path} is diverted already: what stands there now must not touch the boot partition")));
    }
    let moved = format!("{path}.distrib");
    if let Some(DirEntry::Leaf(id)) = root.remove(path, reason)? {
        let leaf = root.tree().leaf(id).clone();
        root.put(&moved, leaf, reason)?;
    }
    root.file(path, STAND_IN, 0o755, reason)?;
    root.rewrite(
        DIVERSIONS,
        format!("{known}{path}\n{moved}\n:\n"),
        0o644,
        reason,
    )?;
    Ok(None)
}
