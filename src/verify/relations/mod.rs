//! Relations between partitions: slots, client, mounts, boot loader, Artifact.

mod arguments;
mod artifact;
mod autoboot;
mod binds;
mod boot;
mod boot_partition;
mod client;
mod elf;
mod fstab;
mod grubenv;
mod identity;
mod kernel_config;
mod kernels;
mod mount_options;
mod raspberry_config;
mod raspberry_firmware;
mod raspberry_pi;
mod references;
mod simulation;
mod slot_env;
mod startup;
mod trust;
mod tryboot;
mod tryboot_partitions;
mod uboot;
mod uboot_raw;

use super::disk::{Disk, Roles};
use super::finding::{Location, Log, Severity};
use super::request::{PendingReport, Request};
use super::slots;

use crate::artifact::Offer;
use crate::side_by_side::joined;
use crate::tree::Tree;

pub(super) use artifact::examine;
pub use elf::missing as missing_libraries;
pub(super) use fstab::boot_mount;
pub use trust::key_files;

/// Files that the owner of the image accepted, a path and a reason in each line.
const ACCEPTED: &str = "/usr/lib/goldsmith/accepted";

/// Checks all relations, and returns the device types that the Artifact or the client names, and
/// the Artifact's properties that decide whether devices install it.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    request: &Request<'_>,
    report: PendingReport<'_>,
    log: &mut Log,
) -> (Vec<String>, Option<Offer>) {
    log.group("slots");
    let digest = check_slots(disk, roles, request.root_sha256, log);
    log.group("update client");
    let own = client::check(disk, roles, digest, log);
    if request.judged_except_bootstrap.is_none() {
        check_files(disk, roles, request, log);
    }
    if let Some(report) = report() {
        log.group("Artifact");
        let input = artifact::ArtifactInput {
            report,
            slot_sha256: digest,
        };
        if let Some((types, offer)) = artifact::check(disk, roles, input, own.as_deref(), log) {
            return (types, Some(offer));
        }
    }
    (own.into_iter().collect(), None)
}

/// Checks the files of the system: private keys, for which all of them are read, next to all else.
fn check_files(disk: &Disk, roles: &Roles, request: &Request<'_>, log: &mut Log) {
    trust::client_files(disk, roles, log);
    let mut system = Log::default();
    let keys = std::thread::scope(|scope| {
        let keys = scope.spawn(|| {
            let mut log = Log::default();
            log.group("private keys");
            trust::private_keys(disk, roles, request, &mut log);
            log
        });
        check_system(disk, roles, &mut system);
        joined(keys)
    });
    log.append(keys);
    log.append(system);
}

/// Checks what the files of the system say about it.
fn check_system(disk: &Disk, roles: &Roles, log: &mut Log) {
    log.group("identity");
    identity::check(disk, roles, log);
    log.group("mounts");
    fstab::check(disk, roles, log);
    binds::check(disk, roles, log);
    mount_options::check(disk, roles, log);
    log.group("references to disks");
    references::check(disk, roles, log);
    log.group("startup");
    startup::check(disk, roles, log);
    log.group("boot");
    boot::check(disk, roles, log);
    kernel_config::check(disk, roles, log);
}

/// The directories below `/data` that lines of `/etc/fstab` mount elsewhere and that the system
/// cannot start without.
#[must_use]
pub fn required_on_data(root: &Tree) -> Vec<String> {
    let lines = fstab::lines(root);
    let required = lines.iter().filter(|line| binds::is_bind(line));
    required
        .filter(|line| line.spec.starts_with("/data/"))
        .map(|line| line.spec.clone())
        .collect()
}

/// Slot B equals slot A or is empty; returns the digest of slot A over the length of its
/// filesystem, which may be `known`.
fn check_slots(
    disk: &Disk,
    roles: &Roles,
    known: Option<[u8; 32]>,
    log: &mut Log,
) -> Option<[u8; 32]> {
    let (a, b) = (disk.part(roles.a)?, disk.part(roles.b)?);
    let Some(size) = a.files.as_ref().map(|files| files.size) else {
        log.error(
            "root-missing",
            Location::partition(roles.a),
            "slot A has no filesystem that can be read",
        );
        return None;
    };
    let fits = log.check(b.source.len() >= size, "slot-size", || {
        (
            Location::partition(roles.b),
            format!(
                "slot B has {} bytes, the root filesystem {size}",
                b.source.len()
            ),
        )
    });
    if b.same_as == Some(a.number) || a.same_as == Some(b.number) {
        log.passed(1);
    } else if fits {
        match slots::difference(&*a.source, &*b.source, size) {
            Ok(None) => log.passed(1),
            Ok(Some(_)) if slots::is_empty(&*b.source, size).unwrap_or(false) => {
                let text =
                    "slot B is empty: until the first update fills it, no rollback is possible";
                log.add(
                    Severity::Note,
                    "slot-empty",
                    Location::partition(roles.b),
                    text,
                );
            }
            Ok(Some(at)) => {
                let text = format!(
                    "slot B differs from slot A (partition {}) from this byte on, within {size} bytes",
                    roles.a
                );
                log.error(
                    "slot-differs",
                    Location::partition(roles.b).offset(at),
                    text,
                );
            }
            Err(e) => log.error(
                "slot-unreadable",
                Location::partition(roles.b),
                e.to_string(),
            ),
        }
    }
    if known.is_some() {
        return known;
    }
    slots::digest(&*a.source, size)
        .map_err(|e| {
            log.error(
                "slot-unreadable",
                Location::partition(roles.a),
                e.to_string(),
            )
        })
        .ok()
}
