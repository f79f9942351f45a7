//! References of a system to disks: every line of its configuration that names a block device, a
//! partition, the label or UUID of a filesystem, or a mount point.
//!
//! [`gather`] reads the files of a tree and returns plain values; `/etc/fstab` is not among them,
//! whose lines are [`fstab`](super::fstab)'s. Nothing is resolved here.

pub mod device;
mod files;
mod links;
mod others;
mod scripts;
mod udev;
pub mod unit_names;
pub mod units;

use crate::tree::{DirEntry, Tree};
use device::Device;

/// The size limit of files that are read (bytes).
pub const TEXT_LIMIT: u64 = 4 << 20;

/// What has to be done to take a reference out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its lines are commented out.
    Comment,
    /// Its word is taken out of the line.
    Word,
    /// `none` takes its place.
    None,
    /// The file or symlink is removed.
    File,
    /// It can only be accepted by the user, because it destroys what it names.
    Refuse,
    /// It is a kernel argument that the integration of the boot loader leaves out.
    Menu,
    /// It cannot be taken out: the user is told.
    Tell,
}

/// A reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The path of the file, absolute.
    pub file: String,
    /// Whether the file is on the boot partition; otherwise it is in the root filesystem.
    pub on_boot: bool,
    /// The first line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The last line.
    pub last: usize,
    /// What kind of setting it is, such as `crypttab`.
    pub kind: &'static str,
    /// The name as it is written.
    pub text: String,
    /// The name, read.
    pub device: Device,
    /// Whether the system waits for the device or fails without it.
    pub needed: bool,
    /// How it is taken out.
    pub removal: Removal,
}

impl Reference {
    /// File and line, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}", self.file),
        }
    }
}

/// All references of the system with these filesystems, but for `/etc/fstab` and units of mounts
/// and swap space.
#[must_use]
pub fn gather(root: &Tree, boot: &Tree) -> Vec<Reference> {
    let mut out = files::gather(root, boot);
    out.extend(links::gather(root));
    out.extend(units::gather(root));
    out.extend(scripts::gather(root));
    let seen = out.iter().map(|one| one.file.clone()).collect();
    out.extend(others::gather(root, &seen));
    out
}

/// The text of a file; `None` if it is missing, too large or not a regular file. Bytes that are not
/// UTF-8 are replaced.
#[must_use]
pub fn text(tree: &Tree, path: &str) -> Option<String> {
    let bytes = tree.read(path, TEXT_LIMIT).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The paths of the entries of a directory, sorted.
#[must_use]
pub fn entries(tree: &Tree, dir: &str) -> Vec<String> {
    let names = tree.dir(dir).into_iter().flat_map(|dir| dir.entries.iter());
    let names = names.filter_map(|(name, _)| std::str::from_utf8(name).ok());
    names.map(|name| format!("{dir}/{name}")).collect()
}

/// The paths of the files directly in a directory that end in `end`, sorted.
fn files_of(tree: &Tree, dir: &str, end: &str) -> Vec<String> {
    let mut paths = entries(tree, dir);
    paths.retain(|path| path.ends_with(end) && tree.file(path).is_some());
    paths
}

/// Whether an entry of a tree is a symlink, and its target.
fn symlink_target<'t>(tree: &'t Tree, entry: &'t DirEntry) -> Option<&'t [u8]> {
    match entry {
        DirEntry::Leaf(id) => match &tree.leaf(*id).kind {
            crate::tree::LeafKind::Symlink(target) => Some(target),
            _ => None,
        },
        DirEntry::Dir(_) => None,
    }
}
