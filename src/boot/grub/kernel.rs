//! The kernels of a root filesystem in the order in which the boot script tries them, and the
//! arguments they start with.

use super::binary::{Binary, HEAD};
use crate::boot::common::arguments::{Arguments, PassedBy};
use crate::boot::common::env_block::{BLOCK, TooLong, block_of};
use crate::boot::common::grub_menu::image_arguments;
use crate::boot::common::version::by_version;
use crate::boot::common::{TEXT_LIMIT, file_names};
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::Tree;
use crate::tree::editor::TreeEditor;

/// The pairs of names that the boot script tries, but for the newest `/boot/vmlinuz-*`, which comes
/// last.
const PAIRS: [[&str; 2]; 3] = [
    ["/vmlinuz", "/initrd.img"],
    ["/boot/vmlinuz", "/boot/initrd.img"],
    ["/vmlinuz.old", "/initrd.img.old"],
];

/// The kernel that starts first, and how the boot script finds it.
#[derive(Debug)]
pub(super) struct Kernels {
    /// The path of the kernel that starts first.
    pub(super) first: String,
    /// The initial RAM disk that goes with it.
    pub(super) initrd: Option<String>,
    /// The kernel is signed.
    pub(super) signed: bool,
    /// Links to make: path and target.
    pub(super) links: Vec<(&'static str, String)>,
    /// Notes for the user, which the report lists.
    pub(super) notes: Vec<String>,
}

impl Kernels {
    /// Looks for the kernel that the boot script will start, and checks that GRUB can.
    pub(super) fn find(root: &Tree, arch: Architecture) -> Result<Self, Problem> {
        let pair = PAIRS
            .iter()
            .find(|pair| pair.iter().all(|path| root.file(path).is_some()));
        let mut versions: Vec<String> = file_names(root, "/boot")
            .iter()
            .filter_map(|name| name.strip_prefix("vmlinuz-"))
            .map(str::to_owned)
            .collect();
        versions.sort_by(|a, b| by_version(a, b).reverse());
        let has_initrd =
            |version: &&String| root.file(format!("/boot/initrd.img-{version}")).is_some();
        let mut found = Self {
            first: String::new(),
            initrd: None,
            signed: false,
            links: Vec::new(),
            notes: Vec::new(),
        };
        if let Some([kernel, initrd]) = pair {
            (found.first, found.initrd) = ((*kernel).into(), Some((*initrd).into()));
        } else if let Some(version) = versions.iter().find(has_initrd) {
            (found.first, found.initrd) = (
                format!("/boot/vmlinuz-{version}"),
                Some(format!("/boot/initrd.img-{version}")),
            );
            if keeps_links(root) {
                found.links = vec![
                    ("/vmlinuz", format!("boot/vmlinuz-{version}")),
                    ("/initrd.img", format!("boot/initrd.img-{version}")),
                ];
            }
        } else if let Some(version) = versions.first() {
            refuse_foreign_initrd(root, version)?;
            found.first = format!("/boot/vmlinuz-{version}");
            found.notes.push(format!(
                "{}: has no initrd, so this kernel alone starts, whatever is installed later",
                found.first
            ));
        } else {
            let hint = "install a kernel package of the distribution in the golden image";
            return Err(Problem::new(
                "no kernel: the image has neither /vmlinuz nor /boot/vmlinuz-*",
            )
            .hint(hint));
        }
        let content = root
            .file(&found.first)
            .ok_or_else(|| Problem::new(format!("{}: not a regular file", found.first)))?;
        found.signed = check(&found.first, content, arch)?;
        Ok(found)
    }

    /// The block with the slot's kernel arguments: read by GRUB and by U-Boot.
    pub(super) fn slot_env(&self, arguments: &str) -> Result<Vec<u8>, TooLong> {
        let kernel = self.first.trim_start_matches('/');
        let mut variables = vec![("args", arguments)];
        if self.initrd.is_none() {
            variables.insert(0, ("kernel", kernel));
        }
        let least = block_of(&variables, BLOCK);
        least.or_else(|TooLong(needed)| block_of(&variables, needed))
    }

    /// A menu with one entry, until the device's `update-grub` writes its own.
    pub(super) fn menu(&self, arguments: &str) -> String {
        let (kernel, initrd) = match self.links.as_slice() {
            [(kernel, _), (initrd, _)] => (*kernel, Some(*initrd)),
            _ => (self.first.as_str(), self.initrd.as_deref()),
        };
        let initrd = initrd
            .map(|initrd| format!("\tinitrd {initrd}\n"))
            .unwrap_or_default();
        format!(
            "# Shown on request of the boot partition's script, which says where the root is. update-grub writes it anew.\n\
             set timeout=5\nmenuentry 'Linux' {{\n\tlinux {kernel} root=${{mender_kernel_root}} {arguments}\n{initrd}}}\n"
        )
    }
}

/// Fails when the kernel of `version` has an initial RAM disk under a name that Debian's tools and
/// the boot script do not know: without it the kernel would find no root filesystem.
fn refuse_foreign_initrd(root: &Tree, version: &str) -> Result<(), Problem> {
    let names = file_names(root, "/boot");
    let is_initrd = |name: &&String| {
        let starts = ["initramfs", "initrd"]
            .iter()
            .any(|start| name.starts_with(start));
        starts && !name.contains("rescue") && !name.contains("kdump")
    };
    let found: Vec<&String> = names.iter().filter(is_initrd).collect();
    let of_version = found.iter().find(|name| name.contains(version));
    let Some(name) = of_version.or(found.first()) else {
        return Ok(());
    };
    let wanted = format!("/boot/initrd.img-{version}");
    let message = format!("/boot/vmlinuz-{version} has no {wanted}, but there is /boot/{name}");
    let hint = format!(
        "give it the name that Debian's tools use: ln -s {name} {wanted} in the golden image"
    );
    Err(Problem::new(message).hint(hint))
}

/// Whether the kernel packages keep the links in `/` (`kernel-img.conf(5)`): otherwise new ones
/// would go stale.
fn keeps_links(root: &Tree) -> bool {
    let text = root
        .read("/etc/kernel-img.conf", TEXT_LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    !String::from_utf8_lossy(&text).lines().any(|line| {
        let line: String = line.to_lowercase().split_whitespace().collect();
        matches!(
            line.as_str(),
            "do_symlinks=no" | "do_symlinks=0" | "do_symlinks=false" | "link_in_boot=yes"
        )
    })
}

/// Checks that GRUB can start the kernel on UEFI; returns whether it is signed.
fn check(path: &str, content: &Content, arch: Architecture) -> Result<bool, Problem> {
    let mut head = vec![0; usize::try_from(content.len().min(HEAD)).unwrap_or(0)];
    content
        .read_exact_at(0, &mut head)
        .map_err(|e| Problem::new(format!("reading {path}: {e}")))?;
    // GRUB unpacks what it loads.
    if head.starts_with(&[0x1f, 0x8b]) && arch == Architecture::Arm64 {
        return Ok(false);
    }
    let hint = "install a kernel that was built with CONFIG_EFI_STUB=y";
    let binary = Binary::parse(&head)
        .map_err(|e| Problem::new(format!("{path}: cannot be started on UEFI: {e}")).hint(hint))?;
    Ok(binary.signed)
}

/// The arguments that the image boots with, and `more`: those of its default menu entry, else of
/// `/etc/default/grub`. With `waits` the kernel starts without an initial RAM disk.
pub(super) fn arguments(
    root: &TreeEditor<'_>,
    more: &str,
    waits: bool,
) -> Result<Arguments, Problem> {
    let (origin, mut words) =
        image_arguments(root.tree()).map_err(|e| Problem::new(e.to_string()))?;
    // Arguments that an earlier conversion added are decided anew.
    for word in ours(
        &root
            .text(SETTINGS, TEXT_LIMIT)
            .map_err(|e| Problem::new(e.to_string()))?
            .unwrap_or_default(),
    ) {
        if let Some(at) = words.iter().rposition(|there| *there == word) {
            words.remove(at);
        }
    }
    let by = if waits {
        PassedBy::Script
    } else {
        PassedBy::Menu
    };
    Arguments::new(root.tree(), origin.as_deref(), words, more, by)
}

/// The settings that make `update-grub` write a menu that fits both slots.
pub(super) const SETTINGS: &str = "/etc/default/grub.d/zz-mender.cfg";
/// The start of their line with kernel arguments.
const ADDED: &str = "GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX-} ";

/// The text of these settings.
pub(super) fn settings(added: &[String]) -> String {
    let mut text = include_str!("../../../configs/device/grub/zz-mender.cfg").to_owned();
    if !added.is_empty() {
        text.push_str(&format!("{ADDED}{}\"\n", added.join(" ")));
    }
    text
}

/// The arguments that such settings add.
fn ours(settings: &str) -> Vec<String> {
    let line = settings
        .lines()
        .find_map(|line| line.strip_prefix(ADDED)?.strip_suffix('"'))
        .unwrap_or_default();
    line.split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_arguments_are_known_again() {
        let added = ["noresume", "panic=30"].map(String::from);
        assert_eq!(ours(&settings(&added)), added);
        assert_eq!(ours(&settings(&[])), [""; 0]);
    }
}
