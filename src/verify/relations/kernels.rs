//! The kernels that a boot loader looks for in a slot.

use super::super::disk::read;
use super::super::finding::{Location, Log};
use crate::stream::ReadAt;
use crate::tree::{Tree, show};

/// A kernel and its initrd, by their paths.
pub(super) type KernelPair = (String, Option<String>);

/// Checks that a kernel that GRUB looks for exists, with its initrd. `own` says whether our first
/// stage looks. True if one can start.
pub(super) fn check_grub(root: &Tree, number: u32, own: bool, log: &mut Log) -> bool {
    let menu = read(root, "/boot/grub-mender-grubenv.cfg")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let pairs = match menu {
        _ if own => own_pairs(root),
        Some(menu) => menu_pairs(&menu),
        None => vec![(
            "/boot/kernel".to_owned(),
            root.find_nofollow("/boot/initrd")
                .map(|_| "/boot/initrd".to_owned()),
        )],
    };
    check(root, number, &pairs, log)
}

/// Whether a file exists and is not empty.
pub(super) fn has_content(root: &Tree, path: &str) -> bool {
    root.file(path).is_some_and(|content| content.len() > 0)
}

/// Checks that one of the kernels exists, with its initrd if it has one. True if one can start.
pub(super) fn check(root: &Tree, number: u32, pairs: &[KernelPair], log: &mut Log) -> bool {
    let there = |path: &str| has_content(root, path);
    let bootable = pairs
        .iter()
        .any(|(kernel, initrd)| there(kernel) && initrd.as_deref().is_none_or(there));
    let kernel = pairs.iter().find(|(kernel, _)| there(kernel));
    let list = || {
        pairs
            .iter()
            .map(|(kernel, _)| kernel.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if log.check(kernel.is_some(), "kernel-missing", || {
        (
            Location::partition(number),
            format!(
                "none of the kernels that the boot loader looks for exists: {}",
                list()
            ),
        )
    }) {
        let (kernel, initrd) = kernel.cloned().unwrap_or_default();
        log.check(bootable, "initrd-missing", || {
            (
                Location::partition(number).path(kernel),
                format!("its initrd {} does not exist", initrd.unwrap_or_default()),
            )
        });
    }
    bootable
}

/// The kernels that our first stage tries, in its order.
fn own_pairs(root: &Tree) -> Vec<KernelPair> {
    let pair = |kernel: &str, initrd: &str| (kernel.to_owned(), Some(initrd.to_owned()));
    let mut out = Vec::new();
    let slot = read(root, "/boot/mender-slot.env")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let value = |name: &str| {
        slot.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    if let Some(kernel) = value("kernel") {
        out.push((
            format!("/{kernel}"),
            value("initrd").map(|initrd| format!("/{initrd}")),
        ));
    }
    out.push(pair("/vmlinuz", "/initrd.img"));
    out.push(pair("/boot/vmlinuz", "/boot/initrd.img"));
    out.push(pair("/vmlinuz.old", "/initrd.img.old"));
    let boot = root
        .dir("/boot")
        .map(|dir| {
            dir.entries
                .keys()
                .map(|name| show(name))
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    for version in boot.iter().filter_map(|name| name.strip_prefix("vmlinuz-")) {
        out.push(pair(
            &format!("/boot/vmlinuz-{version}"),
            &format!("/boot/initrd.img-{version}"),
        ));
    }
    out
}

/// The kernels of a GRUB menu.
fn menu_pairs(menu: &str) -> Vec<KernelPair> {
    let mut out: Vec<KernelPair> = Vec::new();
    for line in menu.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("linux" | "linuxefi"), Some(path)) => out.push((path.to_owned(), None)),
            (Some("initrd" | "initrdefi"), Some(path)) => {
                if let Some(last) = out.last_mut() {
                    last.1 = Some(path.to_owned());
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_lists_its_kernels_with_their_initrds() {
        let menu = "menuentry 'a' {\n linux /k1 root=x\n initrd /i1\n}\nmenuentry 'b' {\n linuxefi /k2\n}\n";
        let found = menu_pairs(menu);
        let expected = [("/k1", Some("/i1")), ("/k2", None)];
        let expected = expected.map(|(kernel, initrd)| (kernel.into(), initrd.map(Into::into)));
        assert_eq!(found, expected);
        assert!(menu_pairs("initrd /alone\n").is_empty());
    }
}
