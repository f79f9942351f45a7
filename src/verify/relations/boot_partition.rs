//! The files of the boot partition.

use super::super::disk::read;
use super::super::finding::Location;
use crate::stream::ReadAt as _;
use crate::tree::{Tree, show};

/// The boot partition. Names on FAT are case-insensitive, so look-ups here are, too.
pub(super) struct BootPartition<'d> {
    pub(super) tree: &'d Tree,
    /// Its number in the table.
    pub(super) number: u32,
}

impl BootPartition<'_> {
    /// The content of a small file, by its path in any case.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        read(self.tree, &self.real(path)?)
    }

    /// The location of a file.
    pub(super) fn place(&self, path: &str) -> Location {
        Location::partition(self.number).path(path)
    }

    /// The path with the case of its names on the partition; `None` if it does not exist.
    fn real(&self, path: &str) -> Option<String> {
        let (real, _) = self.tree.find_ignore_case(path)?;
        Some(show(&real))
    }

    /// Whether a path exists, in any case.
    pub(super) fn has(&self, path: &str) -> bool {
        self.real(path).is_some()
    }

    /// Whether a path is a regular file that is not empty.
    pub(super) fn has_content(&self, path: &str) -> bool {
        let file = self.real(path).and_then(|real| self.tree.file(&real));
        file.is_some_and(|content| content.len() > 0)
    }

    /// The names in a directory; none if it does not exist.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let dir = self.real(path).and_then(|real| self.tree.dir(&real));
        dir.map_or_else(Vec::new, |dir| {
            dir.entries.keys().map(|name| show(name)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use crate::tree::Stat;

    #[test]
    fn names_are_found_in_any_case() {
        let stat = || Stat::root(0o755, Time::default());
        let mut tree = Tree::new(stat());
        tree.mkdir("/EFI/BOOT", &stat()).unwrap();
        tree.put_file("/EFI/BOOT/grub.cfg", *b"text", stat())
            .unwrap();
        let boot = BootPartition {
            tree: &tree,
            number: 1,
        };
        assert_eq!(boot.read("/efi/Boot/GRUB.CFG").unwrap(), b"text");
        assert!(boot.has("/efi") && boot.has("/efi/boot/grub.cfg"));
        assert!(!boot.has("/efi/boot/grub.cfg/x") && !boot.has("/efi/grub.cfg"));
        assert!(boot.has_content("/efi/boot/grub.cfg") && !boot.has_content("/efi"));
        assert_eq!(boot.names("/efi/boot"), ["grub.cfg"]);
        assert!(boot.names("/none").is_empty());
    }
}
