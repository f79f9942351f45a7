//! Directories: entries of 32 bytes, long names in front of the short one.

use super::super::format::{ENTRY, attr};
use super::super::name::{self, Short};
use super::super::time::{from_dos, to_dos};
use super::plan::{NodeKind, Plan, long_len};
use crate::stream::ReadAt as _;
use crate::tree::{Stat, Time};

/// Writes `bytes` at offset `at` of a sector or entry.
pub(super) fn put(sector: &mut [u8], at: usize, bytes: &[u8]) {
    sector[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The entries of directory `index` of the plan, as stored.
pub(super) fn dir_bytes(
    plan: &Plan<'_>,
    index: usize,
    label: Option<[u8; 11]>,
    time: Time,
) -> Vec<u8> {
    let dir = &plan.dirs[index];
    let mut out = Vec::with_capacity(dir.len);
    if index > 0 {
        let parent = &plan.dirs[dir.parent];
        out.extend(entry(
            b".          ",
            dir.stat,
            attr::DIRECTORY,
            dir.first,
            0,
        ));
        // The root is meant by cluster 0, also where it has clusters (fatgen103, "Contents of a
        // directory").
        let above = if dir.parent == 0 { 0 } else { parent.first };
        out.extend(entry(
            b"..         ",
            parent.stat,
            attr::DIRECTORY,
            above,
            0,
        ));
    } else if let Some(label) = label {
        out.extend(entry(
            &label,
            &Stat::root(0o755, time),
            attr::VOLUME_ID,
            0,
            0,
        ));
    }
    for node in &dir.nodes {
        if long_len(node) > 0 {
            out.extend(name::long_parts(node.name, &node.short));
        }
        let read_only = if node.stat.mode & 0o200 == 0 {
            attr::READ_ONLY
        } else {
            0
        };
        let (attributes, size) = match node.kind {
            NodeKind::Dir(_) => (attr::DIRECTORY, 0),
            NodeKind::File(content) => (attr::ARCHIVE, content.len()),
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        out.extend(entry(
            &node.short,
            node.stat,
            attributes | read_only,
            node.first,
            size,
        ));
    }
    out
}

fn entry(short: &Short, stat: &Stat, attributes: u8, first: u32, size: u32) -> [u8; ENTRY] {
    let created = stat.crtime.unwrap_or(stat.mtime);
    let ((day, time), (created_day, created_time)) = (to_dos(stat.mtime), to_dos(created));
    let in_range = from_dos(created_day, created_time)
        .seconds
        .abs_diff(created.seconds)
        < 2;
    let hundredths = if in_range {
        created.seconds.rem_euclid(2) * 100 + i64::from(created.nanos / 10_000_000)
    } else {
        0
    };
    let mut out = [0; ENTRY];
    put(&mut out, 0, short);
    out[11] = attributes;
    out[13] = u8::try_from(hundredths).unwrap_or(0);
    put(&mut out, 14, &created_time.to_le_bytes());
    put(&mut out, 16, &created_day.to_le_bytes());
    put(&mut out, 18, &day.to_le_bytes());
    put(
        &mut out,
        20,
        &u16::try_from(first >> 16).unwrap_or(0).to_le_bytes(),
    );
    put(&mut out, 22, &time.to_le_bytes());
    put(&mut out, 24, &day.to_le_bytes());
    put(&mut out, 26, &first.to_le_bytes()[..2]);
    put(&mut out, 28, &size.to_le_bytes());
    out
}
