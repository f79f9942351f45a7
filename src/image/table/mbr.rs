//! MBR and its extended partitions. The crate `mbrman` parses and serialises sectors; an extended
//! sector has the form of an MBR, so the same parser reads it; this module follows the chain with
//! checked arithmetic and bounds.

use super::{DiskId, Partition, PartitionTable, PartitionType, TableError, TableWarning, sector};
use crate::bytes::is_zero;
use crate::stream::ReadAt;
use crate::units::{Lba, len_u64};
use mbrman::{CHS, MBRHeader, MBRPartitionEntry};
use std::io::Cursor;

/// Length of the boot code at the start of sector 0 (bytes), which is not part of the table.
pub(super) const BOOT_CODE: usize = 440;

/// Boot code for disks that a BIOS cannot boot: it returns to the firmware (`int 0x18`), or halts.
/// Any boot code would do: if the first byte is zero, parted treats the disk as new and writes boot
/// code and another disk ID, which changes the PARTUUIDs of all partitions.
pub const NO_BIOS: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];
/// Maximum number of links in a chain, that of Linux; more are treated as damage.
const MAX_LINKS: u32 = 256;
/// Heads of the geometry that all tools use since disks no longer have CHS addresses.
const HEADS: u8 = 255;
/// Sectors per track of that geometry.
const TRACK: u8 = 63;
/// The CHS address of all sectors beyond cylinder 1023: the highest one (UEFI 5.2.1).
const CHS_BEYOND: CHS = CHS {
    cylinder: 1023,
    head: 254,
    sector: 63,
};

/// Reads the partitions of `header` (sector 0), and the logical ones.
pub(super) fn read(disk: &dyn ReadAt, header: &MBRHeader) -> Result<PartitionTable, TableError> {
    let (mut partitions, mut warnings) = (Vec::new(), Vec::new());
    let mut extended = None;
    for (number, entry) in (1..)
        .zip(entries(header))
        .filter(|(_, entry)| is_used(entry))
    {
        if entry.is_extended() {
            if extended.replace(entry).is_some() {
                return Err(TableError::Mbr(
                    Lba(0),
                    "more than one extended partition".into(),
                ));
            }
        } else {
            partitions.push(partition(number, entry, Lba(0), false));
        }
    }
    if let Some(extended) = extended {
        let cut = read_chain(disk, extended, &mut partitions, &mut Vec::new())?;
        warnings.extend(cut.map(TableWarning::ChainCut));
    }
    Ok(PartitionTable {
        disk_id: DiskId::Mbr(u32::from_le_bytes(header.disk_signature)),
        partitions,
        warnings,
    })
}

/// The sectors that chain the logical partitions of `header` (sector 0).
pub(super) fn links(disk: &dyn ReadAt, header: &MBRHeader) -> Result<Vec<Lba>, TableError> {
    let mut links = Vec::new();
    let extended = |entry: &&MBRPartitionEntry| is_used(entry) && entry.is_extended();
    if let Some(extended) = entries(header).into_iter().find(extended) {
        read_chain(disk, extended, &mut Vec::new(), &mut links)?;
    }
    Ok(links)
}

/// Follows the chain of extended sectors: the partitions go into `out`, the sectors into `links`.
/// Returns the sector at which it ends because the disk does.
fn read_chain(
    disk: &dyn ReadAt,
    extended: &MBRPartitionEntry,
    out: &mut Vec<Partition>,
    links: &mut Vec<Lba>,
) -> Result<Option<Lba>, TableError> {
    let base = Lba(u64::from(extended.starting_lba));
    let end = Lba(base.0.saturating_add(u64::from(extended.sectors)));
    let mut at = base;
    let mut number = 5;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..MAX_LINKS {
        if at < base || at >= end {
            return Err(TableError::Mbr(
                at,
                format!(
                    "the chain of logical partitions leaves its extended partition ({base} to {end})"
                ),
            ));
        }
        if !seen.insert(at) {
            return Err(TableError::Mbr(
                at,
                "the chain of logical partitions reaches this sector twice".into(),
            ));
        }
        if at >= Lba::from_bytes(disk.len()) {
            return Ok(Some(at));
        }
        links.push(at);
        let bytes = sector(disk, at)?;
        if at == base && is_zero(&bytes) {
            return Ok(None); // an extended partition that never held a logical one
        }
        let record = MBRHeader::read_from(&mut Cursor::new(&bytes))
            .map_err(|e| TableError::Mbr(at, e.to_string()))?;
        let pair = [&record.partition_1, &record.partition_2];
        if let Some(entry) = pair
            .iter()
            .find(|entry| is_used(entry) && !entry.is_extended())
        {
            let logical = partition(number, entry, at, true);
            if logical.start <= at || logical.end() > end {
                return Err(TableError::Beyond {
                    number,
                    start: logical.start,
                    end: logical.end(),
                    from: at,
                    to: end,
                    whole: logical.end().max(end),
                });
            }
            out.push(logical);
            number = number.saturating_add(1);
        }
        let Some(next) = pair
            .iter()
            .find(|entry| is_used(entry) && entry.is_extended())
        else {
            return Ok(None);
        };
        at = Lba(base.0.saturating_add(u64::from(next.starting_lba)));
    }
    Err(TableError::Mbr(
        at,
        format!("the chain of logical partitions has more than {MAX_LINKS} links"),
    ))
}

fn entries(header: &MBRHeader) -> [&MBRPartitionEntry; 4] {
    [
        &header.partition_1,
        &header.partition_2,
        &header.partition_3,
        &header.partition_4,
    ]
}

/// Whether an entry has a type and sectors.
fn is_used(entry: &MBRPartitionEntry) -> bool {
    entry.sys != 0 && entry.sectors != 0
}

fn partition(number: u32, entry: &MBRPartitionEntry, base: Lba, logical: bool) -> Partition {
    let start = Lba(base.0.saturating_add(u64::from(entry.starting_lba)));
    let plain = Partition::new(
        number,
        start,
        u64::from(entry.sectors),
        PartitionType::Mbr(entry.sys),
        None,
    );
    Partition {
        active: entry.is_active(),
        logical,
        ..plain
    }
}

/// Disk ID, entries and signature: bytes 440 to 512 (exclusive) of sector 0.
pub(super) fn encode(
    disk: u32,
    partitions: &[Partition],
) -> Result<Vec<(u64, Vec<u8>)>, TableError> {
    let mut header = MBRHeader::new(disk.to_le_bytes());
    for partition in partitions {
        let number = partition.number;
        let refuse = |why: &str| TableError::Unwritable(number, why.to_owned());
        if partition.logical {
            return Err(refuse("logical partitions cannot be written"));
        }
        let slot = usize::try_from(number)
            .ok()
            .and_then(|index| header.get_mut(index));
        *slot.ok_or_else(|| refuse("its number is not in the range 1 to 4"))? = entry(partition)?;
    }
    let mut bytes = Cursor::new(Vec::new());
    header
        .write_into(&mut bytes)
        .map_err(|e| TableError::Mbr(Lba(0), e.to_string()))?;
    Ok(vec![(
        len_u64(BOOT_CODE),
        bytes.into_inner().split_off(BOOT_CODE),
    )])
}

fn entry(partition: &Partition) -> Result<MBRPartitionEntry, TableError> {
    let refuse = |why: &str| TableError::Unwritable(partition.number, why.to_owned());
    let PartitionType::Mbr(sys) = partition.kind else {
        return Err(refuse("it has a type of a GPT, but the table is an MBR"));
    };
    if matches!(sys, 0 | 0x05 | 0x0f | 0x85)
        || partition.id.is_some()
        || !partition.name.is_empty()
        || partition.attributes != 0
    {
        return Err(refuse(
            "an MBR cannot store its type, GUID, name or attributes",
        ));
    }
    let narrow =
        |sector: u64| u32::try_from(sector).map_err(|_| refuse("it ends after sector 4294967295"));
    let (starting_lba, sectors) = (narrow(partition.start.0)?, narrow(partition.sectors)?);
    let last = narrow(partition.end().0.saturating_sub(1))?;
    let boot = if partition.active { 0x80 } else { 0 };
    Ok(MBRPartitionEntry {
        boot,
        first_chs: chs(starting_lba),
        sys,
        last_chs: chs(last),
        starting_lba,
        sectors,
    })
}

fn chs(sector: u32) -> CHS {
    CHS::from_lba_exact(sector, 1023, HEADS, TRACK).unwrap_or(CHS_BEYOND)
}
