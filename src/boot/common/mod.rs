//! Shared by several boot loaders: kernel arguments, the GRUB environment block, diversions, the
//! environment tools of the device. No loader uses another's module.

pub(in crate::boot) mod arguments;
pub(in crate::boot) mod divert;
pub mod env_block;
pub(in crate::boot) mod grub_menu;
pub(in crate::boot) mod limits;
pub(in crate::boot) mod pi;
pub(in crate::boot) mod shell_words;
pub mod tools;
pub(in crate::boot) mod version;

use crate::problem::{Problem, Problems};
use crate::tree::{DirEntry, LeafKind, Tree, show};

/// The longest text file that is read whole (bytes).
pub(in crate::boot) const TEXT_LIMIT: u64 = 4 << 20;

/// The program that package scripts run to install GRUB.
pub(in crate::boot) const GRUB_INSTALL: &str = "/usr/sbin/grub-install";

/// The block of a root filesystem with its kernel and its kernel arguments, which the boot script
/// reads.
pub(in crate::boot) const SLOT_ENV: &str = "/boot/mender-slot.env";

/// The value of `Ok`; the problem of `Err` is added to `problems`.
pub(in crate::boot) fn ok_or_push<T>(
    problems: &mut Problems,
    result: Result<T, Problem>,
) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

/// The template with each name, such as `@TABLE@`, replaced by its value.
pub(in crate::boot) fn fill_template(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
}

/// The names of the regular files in a directory; none for a missing directory.
pub(in crate::boot) fn file_names(tree: &Tree, dir: &str) -> Vec<String> {
    let Some(found) = tree.dir(dir) else {
        return Vec::new();
    };
    let files = found.entries.iter().filter(|(_, entry)| match entry {
        DirEntry::Leaf(id) => matches!(tree.leaf(*id).kind, LeafKind::File(_)),
        DirEntry::Dir(_) => false,
    });
    files.map(|(name, _)| show(name)).collect()
}
