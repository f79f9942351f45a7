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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use crate::tree::{Stat, Tree};

    const TOOL: &str = "/usr/sbin/tool";

    fn tree(diversions: &str) -> Tree {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for (path, text) in [(TOOL, "theirs"), (DIVERSIONS, diversions)] {
            let stat = Stat::root(0o755, Time::default());
            tree.put_file(path, text.to_owned(), stat).unwrap();
        }
        tree
    }

    fn text(tree: &Tree, path: &str) -> Option<String> {
        let bytes = tree.read(path, TEXT_LIMIT).unwrap()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_diverted_program_is_kept_and_registered_once() {
        let mut tree = tree("/a\n/a.distrib\ndash\n");
        for _ in 0..2 {
            let mut editor = TreeEditor::new(&mut tree, Time::default());
            assert_eq!(divert(&mut editor, TOOL, "why").unwrap(), None);
        }
        assert_eq!(text(&tree, TOOL).as_deref(), Some(STAND_IN));
        assert_eq!(
            text(&tree, "/usr/sbin/tool.distrib").as_deref(),
            Some("theirs")
        );
        assert_eq!(
            text(&tree, DIVERSIONS).unwrap(),
            format!("/a\n/a.distrib\ndash\n{TOOL}\n{TOOL}.distrib\n:\n")
        );
    }

    #[test]
    fn a_diversion_of_someone_else_stays_and_is_noted() {
        let others = format!("{TOOL}\n{TOOL}.old\nother\n");
        let mut tree = tree(&others);
        let mut editor = TreeEditor::new(&mut tree, Time::default());
        let note = divert(&mut editor, TOOL, "why").unwrap().unwrap();
        assert!(note.starts_with("/usr/sbin/tool is diverted already"));
        assert!(editor.finish().is_empty());
        assert_eq!(text(&tree, TOOL).as_deref(), Some("theirs"));
        assert_eq!(text(&tree, DIVERSIONS), Some(others));
        // The path that another diversion leads to is not diverted itself.
        assert_eq!(text(&tree, "/usr/sbin/tool.distrib"), None);
    }
}
