//! The net effect of all edits: the journals of the editors, compared with the golden trees.

use crate::tree::editor::Change;
use crate::tree::{Tree, show};
use serde::Serialize;
use std::collections::BTreeMap;

/// One path that differs from the golden image, for the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NetChange {
    /// `root`, `boot` or `data`.
    pub filesystem: &'static str,
    /// The path; bytes that are not UTF-8 and control characters are escaped as `\xNN`, `\n`.
    pub path: String,
    /// `added`, `changed` or `removed` (with all below it).
    pub action: &'static str,
    /// The reason for the change, for users.
    pub reason: String,
}

impl NetChange {
    /// Whether an overlay, a hook, a package or an edit of the configuration brought the file,
    /// rather than goldsmith.
    #[must_use]
    pub fn is_brought(&self) -> bool {
        is_brought(&self.reason)
    }
}

/// Whether a change with this reason is one of an overlay, a hook, a package or an edit of the
/// configuration.
pub(super) fn is_brought(reason: &str) -> bool {
    let brings = [
        "overlay ",
        "hook ",
        "package ",
        "rootfs.edit ",
        "systemd.",
        "system.",
    ];
    brings.iter().any(|start| reason.starts_with(start))
}

/// The net effect of `changes`: paths that were added and removed again are left out, the last
/// reason wins; in bytewise order of paths.
#[must_use]
pub fn net_changes(
    filesystem: &'static str,
    golden: &Tree,
    after: &Tree,
    changes: &[Change],
) -> Vec<NetChange> {
    let mut last: BTreeMap<&[u8], &Change> = BTreeMap::new();
    for change in changes {
        last.insert(&change.path, change);
    }
    let mut out = Vec::new();
    for (path, change) in last {
        let before = golden.find_nofollow(path).is_some();
        let action = match (before, after.find_nofollow(path).is_some()) {
            (false, false) => continue,
            (false, true) => "added",
            (true, false) => "removed",
            (true, true) => "changed",
        };
        out.push(NetChange {
            filesystem,
            path: show(path),
            action,
            reason: change.reason.clone(),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::editor::TreeEditor;
    use crate::tree::{Stat, Time};

    #[test]
    fn only_what_is_left_counts() {
        let mut golden = Tree::new(Stat::root(0o755, Time::default()));
        golden
            .put_file("/old", "1", Stat::root(0o644, Time::default()))
            .unwrap();
        golden
            .put_file("/gone", "1", Stat::root(0o644, Time::default()))
            .unwrap();
        let mut after = golden.clone();
        let mut editor = TreeEditor::new(&mut after, Time::default());
        editor.file("/new", "", 0o644, "first").unwrap();
        editor.file("/new", "x", 0o644, "last").unwrap();
        editor.file("/brief", "", 0o644, "r").unwrap();
        editor.remove("/brief", "r").unwrap();
        editor.rewrite("/old", "2", 0o644, "r").unwrap();
        editor.remove("/gone", "r").unwrap();
        let changes = editor.finish();
        let changes = net_changes("root", &golden, &after, &changes);
        let short: Vec<_> = changes
            .iter()
            .map(|e| (e.path.as_str(), e.action, e.reason.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                ("/gone", "removed", "r"),
                ("/new", "added", "last"),
                ("/old", "changed", "r")
            ]
        );
    }
}
