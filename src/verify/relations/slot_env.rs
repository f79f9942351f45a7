//! The files that the boot script of U-Boot loads from each slot: those that
//! `/boot/mender-slot.env` names, else the usual links.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::kernels::{self, KernelPair};
use crate::tree::Tree;
use std::rc::Rc;

const PATH: &str = "/boot/mender-slot.env";
/// The number of bytes of it that the script reads.
const LIMIT: usize = 0x4000;

/// Whether slot A and slot B contain a kernel. The files that a slot names must exist.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) -> [bool; 2] {
    let Some(a) = disk.files(roles.a) else {
        return [false; 2];
    };
    let a_loads = slot(&a.tree, roles.a, log);
    let b_loads = match disk.files(roles.b) {
        None => false,
        Some(b) if Rc::ptr_eq(&a.tree, &b.tree) => a_loads,
        Some(b) => slot(&b.tree, roles.b, log),
    };
    [a_loads, b_loads]
}

/// Checks the file of the slot in partition `number`.
fn slot(root: &Tree, number: u32, log: &mut Log) -> bool {
    let place = || Location::partition(number).path(PATH);
    let bytes = read(root, PATH).unwrap_or_default();
    log.check(bytes.len() <= LIMIT, "uboot-slot-env", || {
        (
            place(),
            format!(
                "it has {} bytes, the boot script reads {LIMIT}",
                bytes.len()
            ),
        )
    });
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let value = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value
            .filter(|value| !value.is_empty())
            .map(|value| format!("/{value}"))
    };
    let named = value("kernel").map(|kernel| (kernel, value("initrd")));
    let links = [("", ""), ("/boot", ""), ("", ".old"), ("/boot", ".old")];
    let links = links.map(|(dir, end)| {
        (
            format!("{dir}/vmlinuz{end}"),
            Some(format!("{dir}/initrd.img{end}")),
        )
    });
    let pairs: Vec<KernelPair> = named.clone().into_iter().chain(links).collect();
    if !kernels::check(root, number, &pairs, log) {
        return false;
    }
    log.check(!bytes.is_empty(), "uboot-slot-env", || {
        (
            place(),
            "it does not exist: links can name the kernel, but not its arguments".into(),
        )
    });
    // If the named kernel is missing, another one starts instead, which is not the intended one.
    let (kernel, initrd) = named.unzip();
    for path in [kernel, initrd.flatten()].into_iter().flatten() {
        log.check(kernels::has_content(root, &path), "uboot-slot-env", || {
            (place(), format!("it names {path}, which does not exist"))
        });
    }
    if let Some(dir) = value("fdtdir") {
        log.check(root.dir(&dir).is_some(), "uboot-slot-env", || {
            (
                place(),
                format!("it names the device trees in {dir}, which is not a directory"),
            )
        });
    }
    true
}
