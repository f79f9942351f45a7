//! Swap files of the golden image: recognised by content, wherever they are. What was swapped out
//! is left out; every block stays allocated, because `swapon(8)` takes no file with holes.

use super::Workspace;
use crate::golden::fstab::FstabLine;
use crate::stream::{Content, ReadAt};
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{DirEntry, LeafId, LeafKind, Tree, show};
use crate::units::human;
use std::collections::BTreeSet;
use std::io;

/// Where the signature ends: the page sizes of Linux (bytes).
const PAGES: [u64; 4] = [4096, 8192, 16384, 65536];
/// The signature of swap space, and that of swap space with a system that hibernated.
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";
const HIBERNATED: &[u8; 9] = b"S1SUSPEND";
/// The smallest file that is asked for a signature unless something names it: less is not worth it.
const WORTH: u64 = 1 << 20;
/// Blocks of the filesystem (bytes).
const BLOCK: u64 = 4096;
const FSTAB: &str = "/etc/fstab";
const TEXT_LIMIT: u64 = 4 << 20;

/// A swap file.
struct SwapFile {
    path: Vec<u8>,
    id: LeafId,
    content: Content,
}

/// Frees swap files of their content and notes them; notes swap files of `/etc/fstab` that are
/// missing or not made yet.
///
/// # Errors
/// I/O errors of the golden image.
pub(super) fn edit(work: &mut Workspace<'_>) -> Result<(), EditError> {
    let named = named(work.root.tree());
    let found = found(work.root.tree(), &named)?;
    for file in &found {
        let note = replace(&mut work.root, file);
        work.notes.push(note);
    }
    for (line, path) in named {
        if found.iter().any(|file| file.path == path.as_bytes()) {
            continue;
        }
        let what = match work.root.tree().file(&path) {
            None => "is not in the root filesystem: unless the system makes it, there is no swap",
            Some(content) if has_holes(content) => {
                "has no swap signature yet, and holes, with which swapon does not take it"
            }
            Some(_) => "has no swap signature yet",
        };
        work.notes
            .push(format!("{FSTAB}, line {line}: swap file {path} {what}"));
    }
    Ok(())
}

/// The real paths of files that `/etc/fstab` uses as swap space, with the numbers of their lines.
fn named(root: &Tree) -> Vec<(usize, String)> {
    let text = root.read(FSTAB, TEXT_LIMIT).ok().flatten();
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let mut named = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(entry) = FstabLine::parse(line).filter(|entry| entry.kind == "swap") else {
            continue;
        };
        let spec = entry.spec.trim_matches('"');
        if !spec.starts_with('/') || spec.starts_with("/dev/") {
            continue;
        }
        let real = root.walk(spec.as_bytes(), true).map(|walk| walk.path());
        let path = real.unwrap_or_else(|_| spec.as_bytes().to_vec());
        named.push((number, String::from_utf8_lossy(&path).into_owned()));
    }
    named
}

/// All swap files, each once.
fn found(root: &Tree, named: &[(usize, String)]) -> Result<Vec<SwapFile>, EditError> {
    let mut candidates = Vec::new();
    let mut seen = BTreeSet::new();
    root.visit(&mut |path, entry| {
        let DirEntry::Leaf(id) = entry else { return };
        let LeafKind::File(content) = &root.leaf(*id).kind else {
            return;
        };
        let wanted =
            content.len() >= WORTH || named.iter().any(|(_, named)| named.as_bytes() == path);
        if wanted && seen.insert(*id) {
            candidates.push(SwapFile {
                path: path.to_vec(),
                id: *id,
                content: content.clone(),
            });
        }
    });
    let mut found = Vec::new();
    for file in candidates {
        let page = page_size(&file.content).map_err(|e| EditError::Io(show(&file.path), e))?;
        if page.is_some() {
            found.push(file);
        }
    }
    Ok(found)
}

/// The page size of a swap file, and whether a system hibernated into it; `None` for other files.
fn page_size(content: &Content) -> io::Result<Option<(u64, bool)>> {
    for page in PAGES.into_iter().filter(|page| content.len() >= 2 * page) {
        let mut found = [0; 10];
        content.read_exact_at(page - 10, &mut found)?;
        if found == *SIGNATURE {
            return Ok(Some((page, false)));
        }
        if found.starts_with(HIBERNATED) {
            return Ok(Some((page, true)));
        }
    }
    Ok(None)
}

/// Whether blocks of `content` are not allocated.
fn has_holes(content: &Content) -> bool {
    let end = content.len().next_multiple_of(BLOCK);
    let covered: u64 = content
        .covered(BLOCK)
        .iter()
        .map(|range| range.end.min(end) - range.start)
        .sum();
    covered < end
}

/// Replaces all but the header by zeros that have blocks, and returns a note.
fn replace(editor: &mut TreeEditor<'_>, file: &SwapFile) -> String {
    let len = file.content.len();
    let (page, hibernated) = page_size(&file.content)
        .ok()
        .flatten()
        .unwrap_or((BLOCK, false));
    let mut content = Content::hole(0);
    if hibernated {
        content.push_range(0, &file.content, 0, page - 10);
        content.push_bytes(page - 10, *SIGNATURE);
    } else {
        content.push_range(0, &file.content, 0, page);
    }
    content.set_len(len);
    content.cover(std::slice::from_ref(&(0..len)), BLOCK);
    if let LeafKind::File(old) = &mut editor.tree_mut().leaf_mut(file.id).kind {
        *old = content;
    }
    let reason = "a swap file keeps its size, not what was swapped out";
    editor.record(file.path.clone(), Action::Changed, reason);
    let mut note = format!(
        "swap file {} ({}): what was swapped out is left out, its blocks stay allocated in both slots",
        show(&file.path),
        human(len)
    );
    if hibernated {
        note.push_str("; the system that hibernated into it does not wake up again");
    }
    if has_holes(&file.content) {
        note.push_str("; it had holes, with which swapon does not take it, and has none now");
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use crate::tree::{Leaf, Stat};

    /// A swap file of 2 MiB with `signature` at the end of its first page of `page` bytes, a hole
    /// and something that was swapped out.
    fn swap(page: usize, signature: &[u8]) -> Content {
        let mut first = vec![0; page];
        first[1024] = 1;
        first[page - 10..][..signature.len()].copy_from_slice(signature);
        let mut content = Content::bytes(first);
        content.push_bytes(1 << 20, vec![7; 4096]);
        content.set_len(2 << 20);
        content
    }

    fn edited(content: Content) -> (Content, Vec<String>) {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        let leaf = Leaf {
            stat: Stat::root(0o600, Time::default()),
            kind: LeafKind::File(content),
        };
        tree.put("/swapfile", leaf).unwrap();
        let mut editor = TreeEditor::new(&mut tree, Time::default());
        let files = found(editor.tree(), &[]).unwrap();
        let notes = files
            .iter()
            .map(|file| replace(&mut editor, file))
            .collect();
        (tree.file("/swapfile").unwrap().clone(), notes)
    }

    #[test]
    fn a_swap_file_keeps_its_header_and_gets_all_its_blocks() {
        for page in [4096, 16384, 65536] {
            for signature in [&b"SWAPSPACE2"[..], b"S1SUSPEND\0"] {
                let golden = swap(page, signature);
                let (content, notes) = edited(golden.clone());
                assert!(has_holes(&golden) && !has_holes(&content));
                assert_eq!(content.len(), golden.len());
                let bytes = content.read_all(4 << 20).unwrap();
                assert_eq!(bytes[1024], 1);
                assert_eq!(bytes[page - 10..page], *b"SWAPSPACE2");
                assert_eq!(bytes.iter().filter(|byte| **byte == 7).count(), 0);
                let hibernated = notes[0].contains("hibernated");
                assert_eq!(hibernated, signature != SIGNATURE, "{notes:?}");
            }
        }
    }

    #[test]
    fn other_files_stay_as_they_are() {
        for other in [swap(4096, b"SWAP-SPACE"), Content::hole(2 << 20)] {
            let (content, notes) = edited(other.clone());
            assert_eq!(content.data_len(), other.data_len());
            assert!(notes.is_empty(), "{notes:?}");
        }
    }
}
