//! A device whose U-Boot keeps its environment outside of all partitions: where
//! `/etc/fw_env.config` says that it is must be free.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::super::slots;
use super::boot::Boot;
use super::{slot_env, uboot};
use crate::boot::uboot::environment::decode;
use crate::boot::uboot::header;
use crate::image::table::DiskId;
use crate::stream::{ReadAt as _, Slice};
use crate::tree::Tree;
use std::ops::Range;
use std::sync::Arc;

const CONFIG: &str = "/etc/fw_env.config";
/// The longest copy that is looked at (bytes).
const LIMIT: u64 = 1 << 20;

/// Checks the places of the environment, what is in them, and what the script loads where the image
/// has one.
pub(super) fn check(disk: &Disk, roles: &Roles, boot: &Boot<'_>, root: &Tree, log: &mut Log) {
    uboot::programs(roles, root, log);
    let copies = copies(disk, root);
    let mut empty = !copies.is_empty();
    for (at, copy) in copies.iter().enumerate() {
        let obstacle = obstacle(disk, copy, &copies[..at]);
        let free = log.check(obstacle.is_none(), "uboot-raw", || {
            let what = obstacle.unwrap_or_default();
            (
                place(roles),
                format!(
                    "the environment at {:#x}, {:#x} bytes, is {what}",
                    copy.start,
                    copy.end - copy.start
                ),
            )
        });
        empty &= free && content(disk, copy, log);
    }
    if boot.read("/boot.scr").is_some_and(|image| {
        header::unwrap(&image).is_ok_and(|text| text.contains("run mender_setup"))
    }) {
        uboot::script(disk, roles, boot, log);
        slot_env::check(disk, roles, log);
    }
    if empty || copies.is_empty() {
        let text = "it starts by U-Boot with an environment of its own, which is made on the first boot: its values cannot be checked";
        log.add(Severity::Note, "boot-unchecked", boot.place("/"), text);
    }
}

fn place(roles: &Roles) -> Location {
    Location::partition(roles.a).path(CONFIG)
}

/// The places of copies on the disk itself, in bytes.
fn copies(disk: &Disk, root: &Tree) -> Vec<Range<u64>> {
    let text = String::from_utf8_lossy(&read(root, CONFIG).unwrap_or_default()).into_owned();
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    // Flash memory and the boot areas of an eMMC are no part of the image.
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

/// What is in the way of a copy.
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
    } else if copy.start < first * 512 || copy.end > end.saturating_sub(last * 512) {
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

/// Looks at a copy; true when nothing was written there yet.
fn content(disk: &Disk, copy: &Range<u64>, log: &mut Log) -> bool {
    let len = copy.end - copy.start;
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
