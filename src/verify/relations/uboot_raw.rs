//! Devices whose U-Boot keeps its environment outside of all partitions: the ranges that
//! `/etc/fw_env.config` names must be free.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::super::slots;
use super::boot_partition::BootPartition;
use super::{slot_env, uboot};
use crate::boot::uboot::environment::decode;
use crate::boot::uboot::header;
use crate::image::table::DiskId;
use crate::stream::{ReadAt as _, Slice};
use crate::tree::Tree;
use crate::units::Lba;
use std::ops::Range;
use std::sync::Arc;

const CONFIG: &str = "/etc/fw_env.config";
/// The longest copy that is read (bytes).
const LIMIT: u64 = 1 << 20;

/// Checks the ranges of the environment, their content, and the files that the script loads if the
/// image has one.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    root: &Tree,
    log: &mut Log,
) {
    uboot::programs(roles, root, log);
    let copies = copies(disk, root);
    let mut empty = !copies.is_empty();
    for (at, copy) in copies.iter().enumerate() {
        let others = copies.get(..at).unwrap_or_default();
        let obstacle = obstacle(disk, copy, others);
        let free = log.check(obstacle.is_none(), "uboot-raw", || {
            let what = obstacle.unwrap_or_default();
            (
                place(roles),
                format!(
                    "the environment at {:#x}, {:#x} bytes, is {what}",
                    copy.start,
                    len_of(copy)
                ),
            )
        });
        empty &= free && content(disk, copy, log);
    }
    if boot.read("/boot.scr").is_some_and(|image| {
        header::unwrap(&image).is_ok_and(|text| text.contains("run mender_setup"))
    }) {
        uboot::script(disk, roles, boot, log);
        slot_env::check(disk, roles, boot, log);
    }
    if empty || copies.is_empty() {
        let text = "it boots with U-Boot and an environment that is created on the first boot: its values cannot be checked";
        log.add(Severity::Note, "boot-unchecked", boot.place("/"), text);
    }
}

/// The location of the configuration file in slot A.
fn place(roles: &Roles) -> Location {
    Location::partition(roles.a).path(CONFIG)
}

/// The byte ranges of the copies on the disk itself.
fn copies(disk: &Disk, root: &Tree) -> Vec<Range<u64>> {
    let text = String::from_utf8_lossy(&read(root, CONFIG).unwrap_or_default()).into_owned();
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    // Flash memory and the boot areas of an eMMC are not part of the image.
    let elsewhere = |device: &str| {
        device.starts_with("/dev/mtd") || device.ends_with("boot0") || device.ends_with("boot1")
    };
    let copy = |line: &str| {
        let mut words = line.split_whitespace();
        let device = words.next()?;
        let (start, len) = (number(words.next()?)?, number(words.next()?)?);
        let whole =
            device.starts_with("/dev/") && !elsewhere(device) && disk.resolve(device).is_none();
        whole.then(|| start..start.saturating_add(len))
    };
    text.lines().filter_map(copy).collect()
}

/// The length of a range.
fn len_of(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// What a copy overlaps, if anything.
fn obstacle(disk: &Disk, copy: &Range<u64>, others: &[Range<u64>]) -> Option<String> {
    let end = disk.source.len();
    // Sectors at either end: the MBR; the header and the usual 128 entries of a GPT.
    let [first, last] = if matches!(disk.table.disk_id, DiskId::Gpt(_)) {
        [34, 33]
    } else {
        [1, 0]
    };
    let meets = |other: &Range<u64>| copy.start < other.end && other.start < copy.end;
    let partition = disk
        .table
        .partitions
        .iter()
        .find(|partition| meets(&partition.bytes()));
    if copy.end > end {
        Some(format!("beyond the end of the disk, which has {end} bytes"))
    } else if copy.start < Lba(first).bytes() || copy.end > end.saturating_sub(Lba(last).bytes()) {
        Some("within the partition table".to_owned())
    } else if let Some(partition) = partition {
        Some(format!("within partition {}", partition.number))
    } else {
        others
            .iter()
            .find(|other| meets(other))
            .map(|_| "where the other copy is".to_owned())
    }
}

/// Checks the content of a copy; true if nothing was written there yet.
fn content(disk: &Disk, copy: &Range<u64>, log: &mut Log) -> bool {
    let len = len_of(copy);
    let place = || Location::whole().offset(copy.start);
    let part = Slice::new(Arc::clone(&disk.source), copy.start, len);
    if matches!(slots::is_empty(&part, len), Ok(true)) {
        return true;
    }
    let bytes = usize::try_from(len.min(LIMIT)).map(|len| vec![0; len]);
    let read = bytes
        .ok()
        .filter(|_| len <= LIMIT)
        .and_then(|mut bytes| part.read_exact_at(0, &mut bytes).ok().map(|()| bytes));
    log.check(read.as_deref().and_then(decode).is_some(), "uboot-env", || {
        (place(), format!("it is neither empty nor a copy of the environment of {len} bytes with a right checksum"))
    });
    false
}
