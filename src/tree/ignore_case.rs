//! Look-up by name in any case, for the trees of FAT filesystems: FAT keeps the case of a name but
//! does not tell names apart by it.
//!
//! Only ASCII letters are folded: the names that boot programs look for have no others. Where a
//! tree has several names that differ by case alone, the bytewise first counts.

use super::path::components;
use super::{Dir, DirEntry, Name, Node, Tree, show};

impl Dir {
    /// The child called `name` in any case, with its name as it is.
    #[must_use]
    pub fn get_ignore_case(&self, name: impl AsRef<[u8]>) -> Option<(&Name, &DirEntry)> {
        let name = name.as_ref();
        self.entries
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The names of all children in lower case, for people and for comparison: see [`show`].
    #[must_use]
    pub fn lowercase_names(&self) -> Vec<String> {
        self.entries
            .keys()
            .map(|name| show(name).to_lowercase())
            .collect()
    }
}

impl Tree {
    /// The real path of the file or directory at `path` (each component in any case) and what is
    /// there. Symlinks are not followed: FAT has none.
    #[must_use]
    pub fn find_ignore_case(&self, path: impl AsRef<[u8]>) -> Option<(Vec<u8>, Node<'_>)> {
        let mut real = Vec::new();
        let mut node = Node::Dir(&self.root);
        for component in components(path.as_ref()) {
            let Node::Dir(dir) = node else { return None };
            let (name, entry) = dir.get_ignore_case(component)?;
            real.push(b'/');
            real.extend_from_slice(name);
            node = self.node(entry);
        }
        Some((real, node))
    }

    /// `path`, with a leading `/`, each component in the case in which the tree already has it;
    /// components that do not exist stay as written.
    #[must_use]
    pub fn path_ignore_case(&self, path: impl AsRef<[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut dir = Some(&self.root);
        for component in components(path.as_ref()) {
            let known = dir.and_then(|dir| dir.get_ignore_case(&component));
            out.push(b'/');
            out.extend_from_slice(known.map_or(&component, |(name, _)| name));
            dir = known.and_then(|(_, entry)| entry.as_dir());
        }
        out
    }

    /// The directory at `path`, each component in any case.
    #[must_use]
    pub fn dir_ignore_case(&self, path: impl AsRef<[u8]>) -> Option<&Dir> {
        match self.find_ignore_case(path)? {
            (_, Node::Dir(dir)) => Some(dir),
            (_, Node::Leaf(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stat, Time};
    use super::*;

    fn tree() -> Tree {
        let stat = |mode| Stat::root(mode, Time::default());
        let mut tree = Tree::new(stat(0o755));
        tree.put_file("/EFI/Boot/BOOTX64.EFI", "x", stat(0o644))
            .unwrap();
        tree.put_file("/cmdline.TXT", "y", stat(0o644)).unwrap();
        tree
    }

    #[test]
    fn any_case_finds_what_is_there_by_its_own_name() {
        let tree = tree();
        let (path, node) = tree.find_ignore_case("efi/BOOT//bootx64.efi").unwrap();
        assert_eq!(path, b"/EFI/Boot/BOOTX64.EFI");
        assert!(matches!(node, Node::Leaf(_)));
        assert!(tree.find_ignore_case("/efi/boot/none").is_none());
        assert!(tree.find_ignore_case("/CMDLINE.txt/below").is_none());
        assert!(matches!(
            tree.find_ignore_case("/"),
            Some((path, Node::Dir(_))) if path.is_empty()
        ));
        assert!(tree.dir_ignore_case("/efi/boot").is_some());
        assert!(tree.dir_ignore_case("/cmdline.txt").is_none());
        let (name, _) = tree.root.get_ignore_case("CMDLINE.txt").unwrap();
        assert_eq!(name, b"cmdline.TXT");
        assert_eq!(tree.root.lowercase_names(), ["efi", "cmdline.txt"]);
    }

    #[test]
    fn what_does_not_exist_stays_as_written() {
        let tree = tree();
        for (asked, real) in [
            ("/efi/boot/GRUBX64.efi", "/EFI/Boot/GRUBX64.efi"),
            ("New/efi/boot", "/New/efi/boot"),
            ("/Cmdline.txt/Below", "/cmdline.TXT/Below"),
            ("", ""),
        ] {
            assert_eq!(show(&tree.path_ignore_case(asked)), real);
        }
    }

    #[test]
    fn the_bytewise_first_of_two_counts() {
        let mut tree = tree();
        tree.put_file("/efi/boot/other", "", Stat::root(0o644, Time::default()))
            .unwrap();
        let (path, _) = tree.find_ignore_case("/eFi").unwrap();
        assert_eq!(path, b"/EFI");
    }
}
