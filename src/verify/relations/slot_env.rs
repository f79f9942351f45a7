//! The files that the boot script of U-Boot loads from each slot: those that
//! `/boot/mender-slot.env` names, else the usual links.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::arguments;
use super::boot_partition::BootPartition;
use super::kernels::{self, KernelPair};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use std::sync::Arc;

const PATH: &str = "/boot/mender-slot.env";
/// The number of bytes of it that the script reads.
const LIMIT: usize = 0x4000;
/// The first bytes of a flattened device tree (Devicetree Specification, section 5.2).
const TREE_MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();

/// Whether slot A and slot B contain a kernel. The files that a slot names must exist.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    log: &mut Log,
) -> [bool; 2] {
    let Some(a) = disk.files(roles.a) else {
        return [false; 2];
    };
    let a_loads = slot(&a.tree, roles.a, boot, log);
    let b_loads = match disk.files(roles.b) {
        None => false,
        Some(b) if Arc::ptr_eq(&a.tree, &b.tree) => a_loads,
        Some(b) => slot(&b.tree, roles.b, boot, log),
    };
    [a_loads, b_loads]
}

/// Checks the file of the slot in partition `number`.
fn slot(root: &Tree, number: u32, boot: &BootPartition<'_>, log: &mut Log) -> bool {
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
    let overlays = value("overlays").unwrap_or_default();
    let overlays = overlays.trim_start_matches('/').split_whitespace();
    let trees = value("fdt")
        .into_iter()
        .chain(overlays.map(|path| format!("/{path}")));
    for path in trees {
        device_tree(root, number, &path, log);
    }
    arguments::check(root, number, boot, log);
    true
}

/// Checks that a named device tree or overlay exists and begins like one.
fn device_tree(root: &Tree, number: u32, path: &str, log: &mut Log) {
    let mut magic = [0; 4];
    let reason = match root.file(path) {
        None => Some("does not exist"),
        Some(content) => {
            let read = content.len() >= 4 && content.read_exact_at(0, &mut magic).is_ok();
            (!read || magic != TREE_MAGIC).then_some("is not a device tree")
        }
    };
    log.check(reason.is_none(), "uboot-device-tree", || {
        (
            Location::partition(number).path(PATH),
            format!("it names {path}, which {}", reason.unwrap_or_default()),
        )
    });
}
