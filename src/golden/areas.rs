//! The bytes of a golden image outside its partitions and its partition table.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use super::disk::GoldenDisk;
use crate::bytes::is_zero;
use crate::stream::ReadAt;
use crate::units::{MIB, SECTOR};
use anyhow::Context;
use std::io;
use std::ops::Range;

/// How much of an area is read to find whether it holds anything (bytes); holes of a sparse image
/// are not read.
const LIMIT: u64 = 1024 * MIB;

/// Where an area is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front of the first partition.
    Front,
    /// Between two partitions.
    Between,
    /// After the last partition.
    End,
}

/// A range outside partitions and table that holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Where it is.
    pub position: Position,
    /// All of it (bytes).
    pub range: Range<u64>,
    /// The first sector that is not zero (bytes); `None`: no more than the first part of the area
    /// was read, and all of that is zero.
    pub first: Option<u64>,
}

/// The result of looking for bytes other than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// There are none.
    Zeros,
    /// The sector with the first one begins here.
    Data(u64),
    /// There are none in the part that was read.
    Unread,
}

/// Looks for bytes other than zero in `range`.
///
/// # Errors
/// I/O errors of the source.
pub(super) fn scan(source: &dyn ReadAt, range: Range<u64>) -> io::Result<Scan> {
    let mut at = range.start;
    let mut left = LIMIT;
    while at < range.end {
        let Some(data) = source.next_data(at)? else {
            return Ok(Scan::Zeros);
        };
        at = at.max(data.start);
        let end = data.end.min(range.end);
        while at < end {
            if left == 0 {
                return Ok(Scan::Unread);
            }
            let len = end.saturating_sub(at).min(MIB);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            source.read_exact_at(at, &mut bytes)?;
            if !is_zero(&bytes) {
                let sector = usize::try_from(SECTOR).unwrap_or(1);
                let clean = bytes.chunks(sector).take_while(|sector| is_zero(sector));
                let clean = u64::try_from(clean.count()).unwrap_or(0);
                let first = at.saturating_add(clean.saturating_mul(SECTOR));
                return Ok(Scan::Data(first));
            }
            at = at.saturating_add(len);
            left = left.saturating_sub(len);
        }
    }
    Ok(Scan::Zeros)
}

/// The ranges outside partitions and table, in order, whatever they hold.
///
/// # Errors
/// I/O errors of the image.
pub fn outside(disk: &GoldenDisk) -> anyhow::Result<Vec<(Position, Range<u64>)>> {
    let mut taken = disk
        .table
        .own_ranges(&*disk.source)
        .context("reading the partition table")?;
    let partitions = || disk.partitions.iter();
    let bytes = |start: u64, len: u64| start..start.saturating_add(len);
    taken.extend(partitions().map(|partition| bytes(partition.start, partition.len)));
    taken.sort_by_key(|range| range.start);
    let first = partitions().map(|partition| partition.start).min();
    let last = partitions().map(|partition| partition.start.saturating_add(partition.len));
    let last = last.max();
    let position = |start: u64| match (first, last) {
        (Some(first), _) if start < first => Position::Front,
        (_, Some(last)) if start >= last => Position::End,
        _ => Position::Between,
    };
    let mut areas = Vec::new();
    let mut at = 0;
    for range in taken {
        if range.start > at {
            areas.push((position(at), at..range.start));
        }
        at = at.max(range.end);
    }
    if at < disk.source.len() {
        areas.push((position(at), at..disk.source.len()));
    }
    Ok(areas)
}

/// The areas that hold something, in order.
///
/// # Errors
/// I/O errors of the image.
pub fn areas(disk: &GoldenDisk) -> anyhow::Result<Vec<Area>> {
    let mut areas = Vec::new();
    for (position, range) in outside(disk)? {
        let first = match scan(&*disk.source, range.clone())
            .context("reading the bytes outside the partitions")?
        {
            Scan::Zeros => continue,
            Scan::Data(first) => Some(first),
            Scan::Unread => None,
        };
        areas.push(Area {
            position,
            range,
            first,
        });
    }
    Ok(areas)
}
