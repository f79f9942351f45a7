//! Paths within a tree: resolved as a process with the tree as its root would, so no symlink leads
//! out of it.

use super::{Dir, DirEntry, Leaf, LeafKind, Tree};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many symlinks one path may pass, as in the kernel.
const MAX_LINKS: usize = 40;

/// Bytes of a path or name for people: UTF-8 as it is, the rest and control characters escaped. A
/// backslash is doubled where it would be taken for the beginning of such an escape, so that no two
/// names look the same; `\x2d`, as in names of systemd, is none.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid().chars();
        while let Some(c) = rest.next() {
            let next = rest.as_str();
            let at_invalid = next.is_empty() && !chunk.invalid().is_empty();
            if c.is_control() {
                out.extend(c.escape_default())
            } else {
                out.push(c);
                if c == '\\' && (at_invalid || begins_escape(next)) {
                    out.push(c);
                }
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Whether a backslash before this text would look like one of the escapes of [`show`].
fn begins_escape(text: &str) -> bool {
    let is_high = |digits: &[u8]| match digits {
        [first, second, ..] => {
            matches!(first, b'8' | b'9' | b'a'..=b'f') && second.is_ascii_hexdigit()
        }
        _ => false,
    };
    let byte = text.strip_prefix('x').map(str::as_bytes);
    let letter = text.starts_with(|c: char| matches!(c, '\\' | 'n' | 'r' | 't') || c.is_control());
    letter || text.starts_with("u{") || byte.is_some_and(is_high)
}

/// Why a path could not be walked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// More symlinks than a kernel follows.
    #[error("{0}: too many symbolic links (more than {MAX_LINKS})")]
    Loop(String),
    /// A component other than the last is not a directory.
    #[error("{0}: {1} is not a directory")]
    NotADirectory(String, String),
}

/// Where a path leads once every symlink on the way was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The components of the real path; empty for the root.
    pub real: Vec<Vec<u8>>,
    /// Whether something is there. When false, the components up to some point exist as directories
    /// and the rest does not.
    pub exists: bool,
}

impl Walk {
    /// The real path with a leading `/`.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for name in &self.real {
            out.push(b'/');
            out.extend_from_slice(name);
        }
        if out.is_empty() {
            out.push(b'/');
        }
        out
    }
}

impl Tree {
    /// Follows `path` (absolute or relative to the root) inside the tree: `..` stops at the root,
    /// symlinks are followed inside the root, the last one only with `follow_last`. What does not
    /// exist yet is kept as written.
    ///
    /// # Errors
    /// [`WalkError`] when a symlink loop or a leaf is in the way.
    pub fn walk(&self, path: &[u8], follow_last: bool) -> Result<Walk, WalkError> {
        let mut todo: VecDeque<Vec<u8>> = components(path).collect();
        let mut real: Vec<Vec<u8>> = Vec::new();
        // The directories on the way, beginning with the root; as many as `real` has components and
        // one, as long as all exist.
        let mut dirs: Vec<&Dir> = vec![&self.root];
        let mut links = 0;
        let mut exists = true;
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                real.pop();
                dirs.truncate(real.len() + 1);
                exists = dirs.len() == real.len() + 1;
                continue;
            }
            let here = dirs.last().filter(|_| exists);
            let entry = here
                .and_then(|dir| dir.entries.get(&name))
                .map(|entry| self.node(entry));
            real.push(name);
            if !exists {
                continue;
            }
            match entry {
                None => exists = false,
                Some(Node::Dir(dir)) => dirs.push(dir),
                Some(Node::Leaf(Leaf {
                    kind: LeafKind::Symlink(target),
                    ..
                })) if follow_last || !todo.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(WalkError::Loop(show(path)));
                    }
                    real.pop();
                    if target.first() == Some(&b'/') {
                        real.clear();
                        dirs.truncate(1);
                    }
                    for part in components(target).collect::<Vec<_>>().into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                Some(Node::Leaf(_)) if todo.is_empty() => {}
                Some(Node::Leaf(_)) => {
                    let here = Walk { real, exists };
                    return Err(WalkError::NotADirectory(show(path), show(&here.path())));
                }
            }
        }
        Ok(Walk { real, exists })
    }

    /// The node at real components (no symlink is followed).
    pub(super) fn entry_real(&self, real: &[Vec<u8>]) -> Option<Node<'_>> {
        let mut dir = &self.root;
        let Some((last, parents)) = real.split_last() else {
            return Some(Node::Dir(dir));
        };
        for name in parents {
            match dir.entries.get(name)? {
                DirEntry::Dir(next) => dir = next,
                DirEntry::Leaf(_) => return None,
            }
        }
        Some(self.node(dir.entries.get(last)?))
    }

    pub(super) fn node<'t>(&'t self, entry: &'t DirEntry) -> Node<'t> {
        match entry {
            DirEntry::Dir(dir) => Node::Dir(dir),
            DirEntry::Leaf(id) => Node::Leaf(self.leaf(*id)),
        }
    }

    /// The directory at real components, to change it.
    pub(super) fn dir_real_mut(&mut self, real: &[Vec<u8>]) -> Option<&mut Dir> {
        let mut dir = &mut self.root;
        for name in real {
            match dir.entries.get_mut(name)? {
                DirEntry::Dir(next) => dir = Arc::make_mut(next),
                DirEntry::Leaf(_) => return None,
            }
        }
        Some(dir)
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug)]
pub enum Node<'t> {
    /// A directory, perhaps the root.
    Dir(&'t Dir),
    /// Anything but a directory, also a symlink that was not followed.
    Leaf(&'t Leaf),
}

/// The components of a path, `.` and empty ones dropped.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|b| *b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_two_names_look_the_same() {
        for (name, shown) in [
            (&b"dev-disk-by\\x2duuid"[..], "dev-disk-by\\x2duuid"),
            (b"a\xff", "a\\xff"),
            (b"a\\xff", "a\\\\xff"),
            (b"a\n", "a\\n"),
            (b"a\\n", "a\\\\n"),
            (b"a\\\\n", "a\\\\\\\\n"),
            (b"\\", "\\"),
            (b"\\\xff", "\\\\\\xff"),
            ("\u{85}".as_bytes(), "\\u{85}"),
            (b"\\u{85}", "\\\\u{85}"),
        ] {
            assert_eq!(show(name), shown);
        }
        // All names of few bytes that matter.
        let bytes = b"\\nxf8u{}\n\xff";
        let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut names: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..5 {
            let longer = names
                .iter()
                .flat_map(|name| bytes.iter().map(|byte| [&name[..], &[*byte]].concat()));
            names = longer.collect();
            for name in &names {
                if let Some(other) = seen.insert(show(name), name.clone()) {
                    panic!("{name:?} and {other:?} look the same: {}", show(name));
                }
            }
        }
    }
}
