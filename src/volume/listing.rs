//! The files of a directory as rows, as `ls -l` shows them.

use crate::stream::ReadAt as _;
use crate::tree::{Dir, DirEntry, Leaf, LeafKind, Node, Stat, Tree};

/// A file, directory or other inode by one of its names.
#[derive(Clone, Debug)]
pub struct Row<'t> {
    /// Its path from `/`, or its name.
    pub path: Vec<u8>,
    /// Owner, permission bits and times.
    pub stat: &'t Stat,
    /// What it is, if it is not a directory.
    pub leaf: Option<&'t Leaf>,
}

impl<'t> Row<'t> {
    /// Its length in bytes: of a file its content, of a symbolic link its target, otherwise 0.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.leaf.map(|leaf| &leaf.kind) {
            Some(LeafKind::File(content)) => content.len(),
            Some(LeafKind::Symlink(target)) => crate::units::len_u64(target.len()),
            _ => 0,
        }
    }

    /// The target, if it is a symbolic link.
    #[must_use]
    pub fn target(&self) -> Option<&'t [u8]> {
        match self.leaf.map(|leaf| &leaf.kind) {
            Some(LeafKind::Symlink(target)) => Some(target),
            _ => None,
        }
    }

    fn of(path: Vec<u8>, node: Node<'t>) -> Self {
        let (stat, leaf) = match node {
            Node::Dir(dir) => (&dir.stat, None),
            Node::Leaf(leaf) => (&leaf.stat, Some(leaf)),
        };
        Self { path, stat, leaf }
    }
}

/// What is at `path`: the entries of a directory, with `recursive` all that is below it, or else
/// the one file. Only symbolic links before the last component are followed, and the last if
/// `path` ends with a slash. `None` if nothing is there.
#[must_use]
pub fn list<'t>(tree: &'t Tree, path: &str, recursive: bool) -> Option<Vec<Row<'t>>> {
    let node = match path.ends_with('/') {
        true => tree.find(path)?,
        false => tree.find_nofollow(path)?,
    };
    let Node::Dir(dir) = node else {
        return Some(vec![Row::of(path.as_bytes().to_vec(), node)]);
    };
    let mut rows = Vec::new();
    let base = path.trim_end_matches('/').as_bytes();
    below(
        tree,
        dir,
        if recursive { base } else { b"" },
        recursive,
        &mut rows,
    );
    Some(rows)
}

fn below<'t>(tree: &'t Tree, dir: &'t Dir, base: &[u8], recursive: bool, rows: &mut Vec<Row<'t>>) {
    for (name, entry) in &dir.entries {
        let path = match recursive {
            true => [base, b"/", name].concat(),
            false => name.clone(),
        };
        match entry {
            DirEntry::Leaf(id) => rows.push(Row::of(path, Node::Leaf(tree.leaf(*id)))),
            DirEntry::Dir(dir) => {
                rows.push(Row::of(path.clone(), Node::Dir(dir)));
                if recursive {
                    below(tree, dir, &path, recursive, rows);
                }
            }
        }
    }
}

/// The letter of a kind of inode (POSIX.1-2017, `ls`, "STDOUT").
#[must_use]
pub fn kind_letter(leaf: Option<&Leaf>) -> char {
    match leaf.map(|leaf| &leaf.kind) {
        None => 'd',
        Some(LeafKind::File(_)) => '-',
        Some(LeafKind::Symlink(_)) => 'l',
        Some(LeafKind::CharDevice { .. }) => 'c',
        Some(LeafKind::BlockDevice { .. }) => 'b',
        Some(LeafKind::Fifo) => 'p',
        Some(LeafKind::Socket) => 's',
    }
}

/// Permission bits as nine letters (POSIX.1-2017, `ls`, "STDOUT").
#[must_use]
pub fn mode_text(mode: u16) -> String {
    let special = |bit: u16, executable: bool, letter: char| match (mode & bit != 0, executable) {
        (true, true) => letter,
        (true, false) => letter.to_ascii_uppercase(),
        (false, true) => 'x',
        (false, false) => '-',
    };
    let letter = |bit: u16, letter: char| if mode & bit == 0 { '-' } else { letter };
    [
        letter(0o400, 'r'),
        letter(0o200, 'w'),
        special(0o4000, mode & 0o100 != 0, 's'),
        letter(0o040, 'r'),
        letter(0o020, 'w'),
        special(0o2000, mode & 0o010 != 0, 's'),
        letter(0o004, 'r'),
        letter(0o002, 'w'),
        special(0o1000, mode & 0o001 != 0, 't'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_as_letters() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o1770, "rwxrwx--T"),
            (0, "---------"),
        ] {
            assert_eq!(mode_text(mode), text, "{mode:o}");
        }
    }
}
