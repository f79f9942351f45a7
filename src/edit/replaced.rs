//! Files that overlays, hooks and packages bring and that the integration writes too: what becomes
//! of them is said, since the device has another file than the one that was brought.
//!
//! | the file in the end                   | for an overlay or a hook | for a package |
//! |---------------------------------------|--------------------------|---------------|
//! | keeps a line, or a key of JSON        | note                     | nothing       |
//! | keeps nothing, or is gone             | warning                  | note          |

use super::Workspace;
use super::changes::is_brought;
use crate::plan::overlays::Target;
use crate::tree::editor::{Action, Change};
use crate::tree::{Leaf, LeafKind, Node, Tree, show};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The size limit of files that are compared by lines (bytes).
const LIMIT: u64 = 1 << 20;

/// What was added to the golden image before the integration began.
#[derive(Debug)]
pub(super) struct Brought {
    trees: [Tree; 3],
    /// The paths of each filesystem, with the reasons of their changes.
    files: [BTreeMap<Vec<u8>, String>; 3],
    /// The number of changes of each filesystem when the integration began.
    until: [usize; 3],
}

impl Brought {
    /// What the changes from the numbers `from` on have brought so far.
    pub(super) fn new(work: &Workspace<'_>, from: [usize; 3]) -> Self {
        let editors = [&work.root, &work.boot, &work.data];
        let mut files: [BTreeMap<Vec<u8>, String>; 3] = Default::default();
        for ((files, editor), from) in files.iter_mut().zip(editors).zip(from) {
            for change in editor.changes().get(from..).unwrap_or_default() {
                if is_brought(&change.reason) {
                    files.insert(change.path.clone(), change.reason.clone());
                }
            }
        }
        Self {
            trees: editors.map(|editor| editor.tree().clone()),
            files,
            until: work.change_counts(),
        }
    }

    /// Says what became of the files that are not as they were brought.
    pub(super) fn say(&self, work: &mut Workspace<'_>) {
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
        let all = Target::ALL.into_iter().zip(&self.trees).zip(&self.files);
        for ((target, tree), files) in all {
            for (path, reason) in files {
                let Some(Node::Leaf(before)) = tree.find_nofollow(path) else {
                    continue;
                };
                let Some((fate, why)) = self.fate(work, target, path, reason, before) else {
                    continue;
                };
                let is_package = reason.starts_with("package ");
                let on = match target {
                    Target::Root => "",
                    Target::Boot => " of the boot partition",
                    Target::Data => " of the data partition",
                };
                let text = format!("{reason}: {}{on} {}: {why}", show(path), fate.text());
                match (fate, is_package) {
                    (Fate::Edited, true) => {}
                    (Fate::Edited, false) | (_, true) => notes.push(text),
                    _ => warnings.push(text),
                }
            }
        }
        work.notes.extend(notes);
        work.warnings.extend(warnings);
    }

    /// What became of a file, and why; `None` if it is as it was, or was moved elsewhere.
    fn fate(
        &self,
        work: &Workspace<'_>,
        target: Target,
        path: &[u8],
        reason: &str,
        before: &Leaf,
    ) -> Option<(Fate, String)> {
        let (target, path) = place(work, target, path);
        let (editor, from) = match target {
            Target::Root => (&work.root, self.until[0]),
            Target::Boot => (&work.boot, self.until[1]),
            Target::Data => (&work.data, self.until[2]),
        };
        let after = match editor.tree().find_nofollow(&path) {
            Some(Node::Leaf(leaf)) => Some(leaf),
            _ => None,
        };
        let is_it = |change: &&Change| {
            let removed = change.action == Action::Removed;
            match after {
                Some(_) => change.path == path && !removed,
                None => removed && (path == change.path || is_below(&path, &change.path)),
            }
        };
        let changes = editor.changes().get(from..).unwrap_or_default();
        let change = changes.iter().rev().find(is_it)?;
        let moved = change.reason == reason || change.reason.contains("the data partition");
        if after.is_none() && moved {
            return None;
        }
        Some((Fate::of(before, after)?, change.reason.clone()))
    }
}

/// Where a file is in the end that was brought to this path: below `/data` or a link to it, it is
/// on the data partition.
fn place(work: &Workspace<'_>, target: Target, path: &[u8]) -> (Target, Vec<u8>) {
    let walk = work.root.tree().walk(path, false);
    let Some(real) = walk.ok().filter(|_| target == Target::Root) else {
        return (target, path.to_vec());
    };
    let real = real.path();
    match real.strip_prefix(b"/data") {
        Some(below) if below.starts_with(b"/") => (Target::Data, below.to_vec()),
        _ => (target, real),
    }
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    let rest = path.strip_prefix(dir);
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Edited,
    Replaced,
    Removed,
}

impl Fate {
    fn of(before: &Leaf, after: Option<&Leaf>) -> Option<Self> {
        let Some(after) = after else {
            return Some(Self::Removed);
        };
        let (old, new) = match (&before.kind, &after.kind) {
            (LeafKind::File(old), LeafKind::File(new)) => {
                (old.read_all(LIMIT).ok(), new.read_all(LIMIT).ok())
            }
            (LeafKind::Symlink(old), LeafKind::Symlink(new)) if old == new => return None,
            _ => return Some(Self::Replaced),
        };
        match (old, new) {
            (Some(old), Some(new)) if old == new => None,
            (Some(old), Some(new)) if keeps(&old, &new) => Some(Self::Edited),
            _ => Some(Self::Replaced),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Edited => "is edited",
            Self::Replaced => "is replaced",
            Self::Removed => "is removed",
        }
    }
}

/// Whether a text keeps a line of the one before it, or JSON all of its keys.
fn keeps(old: &[u8], new: &[u8]) -> bool {
    let json = |text: &[u8]| serde_json::from_slice::<Map<String, Value>>(text).ok();
    if let (Some(old), Some(new)) = (json(old), json(new)) {
        return old.keys().all(|key| new.contains_key(key));
    }
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return false;
    };
    let mut lines = old.lines().map(str::trim).filter(|line| line.len() > 2);
    lines.any(|line| new.lines().any(|other| other.trim() == line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Trees;
    use crate::stamp::Time;
    use crate::tree::Stat;

    const OURS: &str = "the device's type";

    /// What the integration makes of the files that were brought.
    fn integrate(work: &mut Workspace<'_>) {
        work.root
            .rewrite("/etc/fstab", "theirs\nours\n", 0o644, "mounts")
            .unwrap();
        let json = "{\n\"a\": 2, \"b\": 3}";
        work.root
            .rewrite("/etc/conf.json", json, 0o644, "settings")
            .unwrap();
        for (path, text, reason) in [
            ("/etc/same", "theirs\n", OURS),
            ("/etc/info", "ours\n", OURS),
            ("/bin/tool", "ours", "stand-in"),
            ("/etc/package-edited", "theirs\nours\n", OURS),
        ] {
            work.root.file(path, text, 0o644, reason).unwrap();
        }
        work.root.remove("/etc/gone", "not needed").unwrap();
        let (data, boot) = (&mut work.data, &mut work.boot);
        data.file("/mender/device_type", "ours", 0o644, OURS)
            .unwrap();
        boot.file("/boot.scr", "ours", 0o644, "script").unwrap();
        work.root
            .remove("/data/mender/x", "moved to the data partition")
            .unwrap();
        work.data
            .file("/mender/x", "theirs", 0o644, "moved to the data partition")
            .unwrap();
        work.data
            .file("/mender/x", "ours", 0o644, "identity")
            .unwrap();
    }

    #[test]
    fn what_was_brought_and_is_another_file_now_is_said() {
        let tree = || Tree::new(Stat::root(0o755, Time::default()));
        let mut trees = Trees {
            root: tree(),
            boot: tree(),
            data: tree(),
        };
        let mut work = Workspace::new(&mut trees, Time::default());
        let link = work
            .root
            .symlink("/var/lib/mender", "/data/mender", "before");
        link.unwrap();
        let from = work.change_counts();
        let (overlay, package) = ("overlay mine", "package p");
        for (path, reason) in [
            ("/etc/fstab", overlay),
            ("/etc/same", overlay),
            ("/etc/conf.json", overlay),
            ("/etc/info", overlay),
            ("/etc/gone", overlay),
            ("/bin/tool", package),
            ("/etc/package-edited", package),
        ] {
            let text = match path {
                "/etc/conf.json" => "{\"a\": 1}",
                _ => "theirs\n",
            };
            work.root.file(path, text, 0o644, reason).unwrap();
        }
        work.data
            .file("/mender/device_type", "theirs", 0o644, overlay)
            .unwrap();
        work.boot
            .file("/boot.scr", "theirs", 0o644, "hook h")
            .unwrap();
        work.root
            .file("/data/mender/x", "theirs", 0o644, overlay)
            .unwrap();
        let brought = Brought::new(&work, from);
        integrate(&mut work);
        brought.say(&mut work);
        let (_, notes, warnings) = work.finish().unwrap();
        assert_eq!(
            notes,
            [
                "package p: /bin/tool is replaced: stand-in",
                "overlay mine: /etc/conf.json is edited: settings",
                "overlay mine: /etc/fstab is edited: mounts",
            ]
        );
        assert_eq!(
            warnings,
            [
                "overlay mine: /data/mender/x is replaced: identity",
                "overlay mine: /etc/gone is removed: not needed",
                "overlay mine: /etc/info is replaced: the device's type",
                "hook h: /boot.scr of the boot partition is replaced: script",
                "overlay mine: /mender/device_type of the data partition is replaced: the device's type",
            ]
        );
    }
}
