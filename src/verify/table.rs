//! The partition table: both GPTs and their checksums, the protective MBR, bounds, overlaps.
//!
//! Source: UEFI Specification 2.10, section 5.3 (table 5.5 for the header, 5.6 for entries, 5.2 for
//! the protective MBR).

use super::finding::{Location, Log, Severity};
use super::numbers::{index, widen};
use crate::bytes;
use crate::image::table::{Partition, PartitionTable, TableError, TableWarning};
use crate::platform::TableKind;
use crate::stream::ReadAt;
use crate::units::{Lba, MIB, SECTOR, counted, human};
use std::collections::BTreeSet;

/// The bytes of a header that its checksum covers at least.
const HEADER: usize = 92;
/// The offset of the header's own checksum.
const CHECKSUM_AT: usize = 16;
/// A header with more entries is considered damaged.
const MAX_ENTRIES: u32 = 4096;
/// `OSType` of the protective partition.
const PROTECTIVE: u8 = 0xEE;

/// A GPT header. Positions are in sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    /// `MyLBA`: the sector of this header.
    own: u64,
    /// `AlternateLBA`: the sector of the other header.
    other: u64,
    /// `FirstUsableLBA` and `LastUsableLBA`, both inclusive.
    first: u64,
    last: u64,
    /// `DiskGUID`, in the order of its bytes on disk.
    disk: [u8; 16],
    /// `PartitionEntryLBA`: the first sector of the entries.
    entries: u64,
    /// `NumberOfPartitionEntries`, unused ones included.
    count: u32,
    /// `SizeOfPartitionEntry`: bytes of an entry.
    size: u32,
    /// `PartitionEntryArrayCRC32`: the CRC-32 of all entries.
    entries_checksum: u32,
}

impl Header {
    /// The header in `sector`, which has 512 bytes.
    fn new(sector: &[u8]) -> Self {
        Self {
            own: le64(sector, 24),
            other: le64(sector, 32),
            first: le64(sector, 40),
            last: le64(sector, 48),
            disk: sector
                .get(56..72)
                .and_then(|id| id.try_into().ok())
                .unwrap_or_default(),
            entries: le64(sector, 72),
            count: le32(sector, 80),
            size: le32(sector, 84),
            entries_checksum: le32(sector, 88),
        }
    }

    /// The length of all entries in bytes.
    fn entries_len(&self) -> u64 {
        u64::from(self.count).saturating_mul(self.size.into())
    }
}

/// A field of a buffer that is long enough for it.
fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes::le32(bytes, at).unwrap_or(0)
}

/// A field of a buffer that is long enough for it.
fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes::le64(bytes, at).unwrap_or(0)
}

/// Checks the table of `disk` and returns it when it can be read.
pub(super) fn check(disk: &dyn ReadAt, log: &mut Log) -> Option<PartitionTable> {
    let table = match PartitionTable::read(disk) {
        Ok(table) => Some(table),
        Err(error) => {
            log.error(code(&error), Location::whole(), error.to_string());
            None
        }
    };
    let gpt = table
        .as_ref()
        .is_none_or(|table| table.kind() == TableKind::Gpt);
    if gpt && (table.is_some() || has_header(disk)) {
        check_gpt(disk, log, table.is_some());
    }
    let table = table?;
    log.passed(widen(table.partitions.len()).saturating_mul(2));
    if table.kind() == TableKind::Mbr {
        for warning in &table.warnings {
            let (severity, code) = match warning {
                TableWarning::Cut { .. } | TableWarning::ChainCut(_) => {
                    (Severity::Error, "table-range")
                }
                _ => (Severity::Warning, "table-warning"),
            };
            log.add(severity, code, Location::whole(), warning.to_string());
        }
    }
    check_partitions(&table, log);
    Some(table)
}

/// The code of an error of the reader of tables.
fn code(error: &TableError) -> &'static str {
    match error {
        TableError::Io(..) => "table-unreadable",
        TableError::Overlap(..) => "table-overlap",
        TableError::Backwards(..) | TableError::Beyond { .. } => "table-range",
        TableError::Mbr(..) => "table-mbr",
        _ => "table-missing",
    }
}

fn has_header(disk: &dyn ReadAt) -> bool {
    let mut magic = [0; 8];
    disk.read_exact_at(SECTOR, &mut magic).is_ok() && &magic == b"EFI PART"
}

fn check_gpt(disk: &dyn ReadAt, log: &mut Log, readable: bool) {
    check_protective(disk, log);
    let last = Lba::from_bytes(disk.len()).0.saturating_sub(1);
    let first = copy(
        disk,
        Lba(1),
        "first",
        ["table-header", "table-entries"],
        log,
    );
    let backup = copy(
        disk,
        Lba(last),
        "backup",
        ["table-backup-header", "table-backup-entries"],
        log,
    );
    let (Some((first, entries)), Some((backup, backup_entries))) = (first, backup) else {
        return;
    };
    let agree = (
        first.own,
        first.other,
        first.first,
        first.last,
        first.disk,
        first.count,
        first.size,
    ) == (
        backup.other,
        backup.own,
        backup.first,
        backup.last,
        backup.disk,
        backup.count,
        backup.size,
    );
    log.check(agree && entries == backup_entries, "table-copies", || {
        let what = if agree {
            "their entries differ"
        } else {
            "their headers differ"
        };
        (
            Location::whole(),
            format!(
                "the GPT at sector {} and the one at sector {} are not copies: {what}",
                first.own, backup.own
            ),
        )
    });
    let after = first
        .entries
        .saturating_add(first.entries_len().div_ceil(SECTOR));
    let usable = first.first >= after && first.last < backup.entries && first.first <= first.last;
    log.check(usable, "table-usable", || {
        let text = format!(
            "sectors {} to {} are usable by the header, {after} to {} are between the entries of both copies",
            first.first,
            first.last,
            backup.entries.saturating_sub(1)
        );
        (Location::whole().offset(SECTOR), text)
    });
    if readable {
        check_entries(&first, &entries, log);
    }
}

/// Sector 0 holds one partition of the type 0xEE that begins at sector 1 and covers the disk.
fn check_protective(disk: &dyn ReadAt, log: &mut Log) {
    let mut mbr = [0; 512];
    if let Err(e) = disk.read_exact_at(0, &mut mbr) {
        return log.error(
            "table-unreadable",
            Location::whole().offset(0),
            format!("reading sector 0: {e}"),
        );
    }
    let last = Lba::from_bytes(disk.len()).0.saturating_sub(1);
    let due = u32::try_from(last).unwrap_or(u32::MAX);
    let slots = mbr.get(446..510).unwrap_or_default();
    let slots: Vec<&[u8]> = slots.chunks_exact(16).collect();
    let kind = |slot: &[u8]| slot.get(4).copied().unwrap_or(0);
    let protective = slots.iter().find(|slot| kind(slot) == PROTECTIVE);
    let range = protective.map(|slot| (le32(slot, 8), le32(slot, 12)));
    log.check(
        range.is_some_and(|(start, len)| start == 1 && (len == due || len == u32::MAX)),
        "table-protective",
        || {
            let found = range.map_or_else(
                || "has no partition of type 0xee".to_owned(),
                |(start, len)| format!("protects {len} sectors from {start}"),
            );
            (
                Location::whole().offset(446),
                format!("the MBR {found}, expected are {due} sectors from 1"),
            )
        },
    );
    let others = slots
        .iter()
        .filter(|slot| ![PROTECTIVE, 0].contains(&kind(slot)))
        .count();
    log.check(others == 0, "table-protective", || {
        (
            Location::whole().offset(446),
            format!(
                "the MBR has {} besides the protective one",
                counted(others, "partition", "partitions")
            ),
        )
    });
}

/// Reads one copy: header, checksums, entries.
fn copy(
    disk: &dyn ReadAt,
    at: Lba,
    which: &str,
    codes: [&'static str; 2],
    log: &mut Log,
) -> Option<(Header, Vec<u8>)> {
    let place = || Location::whole().offset(at.bytes());
    let mut sector = vec![0; 512];
    if let Err(e) = disk.read_exact_at(at.bytes(), &mut sector) {
        log.error(
            "table-unreadable",
            place(),
            format!("reading the {which} GPT header: {e}"),
        );
        return None;
    }
    let size = index(le32(&sector, 12));
    let mut plain = sector
        .get(..size.clamp(HEADER, 512))
        .unwrap_or_default()
        .to_vec();
    plain
        .iter_mut()
        .skip(CHECKSUM_AT)
        .take(4)
        .for_each(|byte| *byte = 0);
    let (stored, computed) = (le32(&sector, CHECKSUM_AT), crc32fast::hash(&plain));
    let header = Header::new(&sector);
    let facts = [
        (
            sector.starts_with(b"EFI PART"),
            format!("sector {at} does not contain the {which} GPT header"),
        ),
        (
            (HEADER..=512).contains(&size),
            format!("the {which} GPT header has {size} bytes, not {HEADER} to 512"),
        ),
        (
            stored == computed,
            format!(
                "the {which} GPT header has the checksum {stored:#010x}, computed {computed:#010x}"
            ),
        ),
        (
            header.own == at.0,
            format!(
                "the {which} GPT header has its own position as sector {}, it is at {at}",
                header.own
            ),
        ),
        (
            header.count <= MAX_ENTRIES
                && header.size >= 128
                && header.size.is_power_of_two()
                && header.size <= 4096,
            format!(
                "the {which} GPT header has {} entries of {} bytes",
                header.count, header.size
            ),
        ),
    ];
    for (holds, text) in facts {
        if !log.check(holds, codes[0], || (place(), text)) {
            return None;
        }
    }
    let entries = read_entries(disk, &header, which, codes[1], log)?;
    Some((header, entries))
}

fn read_entries(
    disk: &dyn ReadAt,
    header: &Header,
    which: &str,
    code: &'static str,
    log: &mut Log,
) -> Option<Vec<u8>> {
    let place = Location::whole().offset(Lba(header.entries).bytes());
    let mut bytes = vec![0; usize::try_from(header.entries_len()).ok()?];
    if let Err(e) = disk.read_exact_at(Lba(header.entries).bytes(), &mut bytes) {
        log.error(
            code,
            place,
            format!(
                "reading the entries of the {which} GPT at sector {}: {e}",
                header.entries
            ),
        );
        return None;
    }
    let (stored, computed) = (header.entries_checksum, crc32fast::hash(&bytes));
    let good = log.check(stored == computed, code, || {
        (place, format!("the entries of the {which} GPT have the checksum {stored:#010x}, computed {computed:#010x}"))
    });
    good.then_some(bytes)
}

/// Partitions are in the usable range and have different GUIDs.
fn check_entries(header: &Header, entries: &[u8], log: &mut Log) {
    let mut ids = BTreeSet::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(index(header.size))) {
        if entry.get(..16).is_none_or(bytes::is_zero) {
            continue;
        }
        let (start, end) = (le64(entry, 32), le64(entry, 40));
        log.check(
            start >= header.first && end <= header.last,
            "table-range",
            || {
                let text = format!(
                    "sectors {start} to {end} are outside the usable sectors {} to {}",
                    header.first, header.last
                );
                (Location::partition(number), text)
            },
        );
        let fresh = ids.insert(entry.get(16..32).unwrap_or_default().to_vec());
        log.check(fresh, "table-duplicate", || {
            (
                Location::partition(number),
                "another partition has the same unique GUID".into(),
            )
        });
    }
}

/// Partitions that are valid but slow.
fn check_partitions(table: &PartitionTable, log: &mut Log) {
    let odd = |partition: &&Partition| !partition.start.bytes().is_multiple_of(MIB);
    for partition in table.partitions.iter().filter(odd) {
        let text = format!(
            "starts at sector {}, not at a multiple of {}: writes will be slow",
            partition.start,
            human(MIB)
        );
        log.add(
            Severity::Note,
            "table-alignment",
            Location::partition(partition.number),
            text,
        );
    }
}
