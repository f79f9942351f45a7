//! Partition tables, GPT and MBR, as one value that is read and written.
//!
//! ```text
//! GPT   sector 0: protective MBR | 1: header | 2..34: 128 entries of 128 bytes
//!       partitions | last 33 sectors: entries, header
//! MBR   sector 0: boot code (440 bytes), disk ID (4), 2 bytes, 4 entries of 16 bytes, 55 aa
//!       extended partition: a chain of sectors of the same form, each with one logical
//!       partition and the link to the next
//! ```
//!
//! Sources: UEFI Specification 2.10, section 5 (GPT, protective MBR); `block/partitions/msdos.c` of
//! Linux for extended chains. Sectors have 512 bytes. The crates `gpt` and `mbrman` are used
//! only here, to parse and serialise sectors; chains, bounds and checks are implemented here
//! (`docs/decisions/0007-partition-tables.md` has the reasons).

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod gpt;
mod mbr;
mod probe;

use crate::platform::TableKind;
use crate::stamp::Uuid;
use crate::stream::ReadAt;
use crate::units::{Lba, MIB, SECTOR};
pub use mbr::NO_BIOS;
pub use probe::UnpartitionedContent;
use std::fmt;
use std::io;
use std::ops::Range;

/// The sectors of the backup GPT, after the last partition.
const BACKUP_GPT: u64 = 33;

/// Type GUIDs and type bytes that goldsmith writes or looks for.
pub mod types {
    use super::PartitionType;
    use crate::stamp::Uuid;

    /// EFI system partition, `C12A7328-F81F-11D2-BA4B-00A0C93EC93B` (UEFI 5.3.3).
    pub const GPT_ESP: PartitionType = PartitionType::Gpt(Uuid([
        0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9,
        0x3b,
    ]));
    /// Linux filesystem data, `0FC63DAF-8483-4772-8E79-3D69D8477DE4` (Discoverable Partitions
    /// Specification).
    pub const GPT_LINUX: PartitionType = PartitionType::Gpt(Uuid([
        0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,
        0xe4,
    ]));
    /// GRUB's BIOS boot partition, `21686148-6449-6E6F-744E-656564454649` (GRUB manual, "BIOS
    /// installation").
    pub const GPT_BIOS_BOOT: PartitionType = PartitionType::Gpt(Uuid([
        0x21, 0x68, 0x61, 0x48, 0x64, 0x49, 0x6e, 0x6f, 0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46,
        0x49,
    ]));
    /// Linux LVM, `E6D6D379-F507-44C2-A23C-238F2A3DF928`.
    pub const GPT_LVM: PartitionType = PartitionType::Gpt(Uuid([
        0xe6, 0xd6, 0xd3, 0x79, 0xf5, 0x07, 0x44, 0xc2, 0xa2, 0x3c, 0x23, 0x8f, 0x2a, 0x3d, 0xf9,
        0x28,
    ]));
    /// Microsoft basic data, `EBD0A0A2-B9E5-4433-87C0-68B6B72699C7`: FAT data partitions, firmware
    /// partitions of some boards.
    pub const GPT_BASIC_DATA: PartitionType = PartitionType::Gpt(Uuid([
        0xeb, 0xd0, 0xa0, 0xa2, 0xb9, 0xe5, 0x44, 0x33, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99,
        0xc7,
    ]));
    /// FAT32 with LBA addressing.
    pub const MBR_FAT32_LBA: PartitionType = PartitionType::Mbr(0x0c);
    /// FAT16 with LBA addressing.
    pub const MBR_FAT16_LBA: PartitionType = PartitionType::Mbr(0x0e);
    /// Linux filesystem.
    pub const MBR_LINUX: PartitionType = PartitionType::Mbr(0x83);
    /// Linux LVM.
    pub const MBR_LVM: PartitionType = PartitionType::Mbr(0x8e);
    /// EFI system partition (UEFI 5.2.2).
    pub const MBR_ESP: PartitionType = PartitionType::Mbr(0xef);
}

/// The identifier of a disk; its variant is the kind of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskId {
    /// The disk GUID.
    Gpt(Uuid),
    /// The disk signature, at byte 440 of sector 0.
    Mbr(u32),
}

/// The type of a partition, which names its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// A type GUID.
    Gpt(Uuid),
    /// A type byte.
    Mbr(u8),
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpt(uuid) => write!(f, "{uuid}"),
            Self::Mbr(byte) => write!(f, "0x{byte:02x}"),
        }
    }
}

/// Attribute of a GPT partition that legacy boot loaders start from (UEFI 5.3.3, bit 2).
pub const BIOS_BOOTABLE: u64 = 1 << 2;

/// A partition: a range of sectors with type and identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number in device names (`sda14`): the index of its GPT entry + 1; in an MBR 1 to 4 for
    /// primary partitions, from 5 on for logical ones.
    pub number: u32,
    /// First sector.
    pub start: Lba,
    /// Length in 512-byte sectors, never 0.
    pub sectors: u64,
    /// Type GUID or type byte.
    pub kind: PartitionType,
    /// Unique GUID; `None` in an MBR.
    pub id: Option<Uuid>,
    /// Label, at most 36 UTF-16 units; empty in an MBR.
    pub name: String,
    /// Attribute bits (UEFI 5.3.3, table 5.8); 0 in an MBR.
    pub attributes: u64,
    /// Active flag; always false in a GPT.
    pub active: bool,
    /// Whether it is in an extended partition; always false in a GPT.
    pub logical: bool,
}

impl Partition {
    /// A partition without label, attributes and flags.
    #[must_use]
    pub fn new(
        number: u32,
        start: Lba,
        sectors: u64,
        kind: PartitionType,
        id: Option<Uuid>,
    ) -> Self {
        Self {
            number,
            start,
            sectors,
            kind,
            id,
            name: String::new(),
            attributes: 0,
            active: false,
            logical: false,
        }
    }

    /// The first sector after the partition.
    #[must_use]
    pub fn end(&self) -> Lba {
        Lba(self.start.0.saturating_add(self.sectors))
    }

    /// The range on the disk (bytes).
    #[must_use]
    pub fn bytes(&self) -> Range<u64> {
        self.start.bytes()..self.end().bytes()
    }
}

/// A partition table of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// Identifier of the disk, and with it the kind of the table.
    pub disk_id: DiskId,
    /// Partitions, sorted by number. Logical partitions are included, extended partitions are not.
    pub partitions: Vec<Partition>,
    /// Irregularities of the table that was read.
    pub warnings: Vec<TableWarning>,
}

/// An irregularity of a table that could be read nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableWarning {
    /// The first GPT is damaged, for this reason; the backup at the end of the disk was used.
    PrimaryDamaged(String),
    /// The backup GPT at the end of the disk is damaged, for this reason; the first one was used.
    BackupDamaged(String),
    /// Sector 0 contains partitions in addition to the protective one; they were ignored.
    Hybrid,
    /// Sector 0 has no protective partition, so most systems see no partitions on this disk.
    NoProtective,
    /// The image ends before this partition of an MBR does; Linux uses what is there.
    Cut {
        /// Number of the partition.
        number: u32,
        /// Bytes at its end that are missing.
        missing: u64,
        /// Nothing of it is there, so it is left out.
        whole: bool,
    },
    /// The image ends before this sector, which chains the next logical partition.
    ChainCut(Lba),
    /// Sector 0 contains an MBR and is followed by a GPT without protection; the MBR was used, as
    /// Linux does.
    StaleGpt,
}

impl fmt::Display for TableWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryDamaged(why) => write!(
                f,
                "the GPT at the start of the disk is damaged ({why}); using the backup at its end"
            ),
            Self::BackupDamaged(why) => write!(
                f,
                "the backup GPT at the end of the disk is damaged ({why}); using the one at its start"
            ),
            Self::Hybrid => f.write_str("the hybrid MBR has partitions of its own; using the GPT"),
            Self::Cut {
                number,
                missing,
                whole,
            } => {
                let part = if *whole { "all" } else { "the last" };
                write!(
                    f,
                    "the image ends too early: {part} {missing} bytes of partition {number} are missing"
                )
            }
            Self::ChainCut(at) => write!(
                f,
                "the image ends too early: logical partitions from sector {at} on are missing"
            ),
            Self::NoProtective => f.write_str("the GPT has no protective MBR"),
            Self::StaleGpt => f.write_str("the MBR is followed by an old GPT; using the MBR"),
        }
    }
}

/// The reason why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Reading the disk failed at this sector.
    #[error("reading sector {0}: {1}")]
    Io(Lba, #[source] io::Error),
    /// The disk has no partition table, but this content.
    #[error("no partition table: the image contains {0}")]
    NoTable(UnpartitionedContent),
    /// A GPT for disks with 4096-byte sectors.
    #[error("the GPT is for a disk with 4096-byte sectors (supported: 512)")]
    SectorSize,
    /// Both GPTs are damaged.
    #[error("both GPTs are damaged: at the start of the disk: {primary}; at its end: {backup}")]
    BothDamaged {
        /// Damage of the one at the start of the disk.
        primary: String,
        /// Damage of the one at the end of the disk.
        backup: String,
    },
    /// The MBR or a sector of its extended partition is damaged, for this reason.
    #[error("sector {0}: {1}")]
    Mbr(Lba, String),
    /// A partition that ends before it begins or has no sector: number, end and start.
    #[error("partition {0} ends before sector {1}, but starts at sector {2}")]
    Backwards(u32, Lba, Lba),
    /// A partition exceeds the disk, or its part that is not taken by the table.
    #[error(
        "partition {number}: sectors {start} to {end} (exclusive) exceed the usable sectors {from} to {to} (exclusive)"
    )]
    Beyond {
        /// Number of the partition.
        number: u32,
        /// First sector of the partition.
        start: Lba,
        /// First sector after the partition.
        end: Lba,
        /// First usable sector.
        from: Lba,
        /// First sector after the usable ones.
        to: Lba,
        /// First sector after all that the table names, the backup GPT included.
        whole: Lba,
    },
    /// Two partitions share sectors: their numbers, the end of the first, the start of the second.
    #[error("partitions {0} and {1} overlap: {0} ends before sector {2}, {1} starts at sector {3}")]
    Overlap(u32, u32, Lba, Lba),
    /// Two partitions have this number.
    #[error("two partitions have the number {0}")]
    Twice(u32),
    /// A property of this partition that a table of this kind cannot store.
    #[error("partition {0}: {1}")]
    Unwritable(u32, String),
    /// A disk of this length (bytes) that is too small or ends within a sector.
    #[error("a disk of {0} bytes cannot hold a partition table: {1}")]
    Disk(u64, &'static str),
}

impl TableError {
    /// Advice for someone who has an image with this error, where there is any.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let whole = "the image of a whole disk, as read from /dev/sda or /dev/mmcblk0";
        match self {
            Self::NoTable(UnpartitionedContent::Iso) => Some(format!(
                "install the system on a disk, and convert {whole}"
            )),
            Self::NoTable(_) => Some(format!("convert {whole}, not from one of its partitions")),
            Self::SectorSize => Some(
                "images have 512-byte sectors here: install the system on a disk, or a virtual one, \
                 that has such sectors"
                    .into(),
            ),
            Self::Beyond { to, whole, .. } => {
                let mib = whole.bytes().div_ceil(MIB);
                let missing = whole.bytes().saturating_sub(to.bytes());
                Some(format!(
                    "the image is {missing} bytes shorter than its disk: copy at least the first {mib} MiB of it, as \
                     with dd if=DISK of=disk.img bs=1M count={mib}; if \
                     the image was split, join the pieces with cat"
                ))
            }
            Self::BothDamaged { .. } => Some(
                "read the disk again, or repair the table in a copy of the image with the recovery \
                 commands of gdisk"
                    .into(),
            ),
            Self::Mbr(..) | Self::Backwards(..) | Self::Overlap(..) | Self::Twice(_) => {
                Some("`sfdisk --verify` and `sfdisk --dump` show the table of the image".into())
            }
            Self::Io(..) | Self::Unwritable(..) | Self::Disk(..) => None,
        }
    }
}

impl PartitionTable {
    /// The kind of the table.
    #[must_use]
    pub fn kind(&self) -> TableKind {
        match self.disk_id {
            DiskId::Gpt(_) => TableKind::Gpt,
            DiskId::Mbr(_) => TableKind::Mbr,
        }
    }

    /// Reads the table of `disk`, GPT or MBR, and checks it: checksums, bounds, overlaps.
    ///
    /// # Errors
    /// I/O errors of the disk; a damaged or unsupported table; [`TableError::NoTable`] with the
    /// content of a disk without table.
    pub fn read(disk: &dyn ReadAt) -> Result<Self, TableError> {
        let first = match probe::first_sector(disk)? {
            probe::FirstSector::Table(first) => first,
            probe::FirstSector::Unpartitioned(UnpartitionedContent::Unknown) => {
                return gpt::read_unprotected(disk);
            }
            probe::FirstSector::Unpartitioned(instead) => return Err(TableError::NoTable(instead)),
        };
        let mut table = if first.protective {
            gpt::read(disk)?
        } else {
            mbr::read(disk, &first.header)?
        };
        match table.kind() {
            TableKind::Gpt if first.others => table.warnings.push(TableWarning::Hybrid),
            TableKind::Mbr if gpt::is_there(disk) => table.warnings.push(TableWarning::StaleGpt),
            _ => {}
        }
        table.partitions.sort_by_key(|partition| partition.number);
        if table.kind() == TableKind::Mbr {
            table.cut(Lba::from_bytes(disk.len()))?;
        }
        table.check(Lba(1)..Lba::from_bytes(disk.len()))?;
        Ok(table)
    }

    /// The ranges of `disk` (bytes), which has this table, that the table itself takes: its first
    /// sectors, a backup, the sectors that chain logical partitions.
    ///
    /// # Errors
    /// I/O errors of the disk.
    pub fn own_ranges(&self, disk: &dyn ReadAt) -> Result<Vec<Range<u64>>, TableError> {
        let mut ranges: Vec<Range<u64>> = std::iter::once(0..SECTOR).collect();
        match self.kind() {
            TableKind::Gpt => ranges.extend(gpt::own_ranges(disk)),
            TableKind::Mbr => {
                let probe::FirstSector::Table(first) = probe::first_sector(disk)? else {
                    return Ok(ranges);
                };
                let links = mbr::links(disk, &first.header)?;
                let end = |link: Lba| link.bytes().saturating_add(SECTOR);
                ranges.extend(links.into_iter().map(|link| link.bytes()..end(link)));
                // An old GPT is reported as a warning.
                if self.warnings.contains(&TableWarning::StaleGpt) {
                    ranges.extend(gpt::own_ranges(disk));
                }
            }
        }
        Ok(ranges)
    }

    /// The sectors available for partitions on a disk of `disk_len` bytes; empty if the disk is too
    /// small.
    #[must_use]
    pub fn usable(kind: TableKind, disk_len: u64) -> Range<Lba> {
        let sectors = disk_len / SECTOR;
        match kind {
            TableKind::Gpt => {
                gpt::FIRST_USABLE
                    ..Lba(sectors
                        .saturating_sub(gpt::BACKUP_SECTORS)
                        .max(gpt::FIRST_USABLE.0))
            }
            TableKind::Mbr => Lba(1)..Lba(sectors.clamp(1, 1 << 32)),
        }
    }

    /// The bytes of the table and their offsets on a disk of `disk_len` bytes, in ascending order.
    /// The 440 bytes of boot code at the start of sector 0 are not included. Logical partitions
    /// cannot be written.
    ///
    /// # Errors
    /// A table that does not fit this disk, or a property that this kind of table cannot store.
    pub fn encode(&self, disk_len: u64) -> Result<Vec<(u64, Vec<u8>)>, TableError> {
        if !disk_len.is_multiple_of(SECTOR) {
            return Err(TableError::Disk(disk_len, "it ends within a sector"));
        }
        let usable = Self::usable(self.kind(), disk_len);
        if usable.is_empty() {
            return Err(TableError::Disk(disk_len, "it is too small"));
        }
        self.check(usable)?;
        match self.disk_id {
            DiskId::Gpt(disk) => gpt::encode(disk, &self.partitions, Lba::from_bytes(disk_len)),
            DiskId::Mbr(disk) => mbr::encode(disk, &self.partitions),
        }
    }

    /// The partition with this number.
    #[must_use]
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.number == number)
    }

    /// The PARTUUID of partition `number`, as in `/dev/disk/by-partuuid`: the GUID in lower case,
    /// or the disk ID and the number in hexadecimal. `None` if a GPT has no such partition.
    #[must_use]
    pub fn partuuid(&self, number: u32) -> Option<String> {
        match self.disk_id {
            DiskId::Gpt(_) => self.partition(number)?.id.map(|id| id.to_string()),
            DiskId::Mbr(disk) => Some(format!("{disk:08x}-{number:02x}")),
        }
    }

    /// Cuts partitions that exceed a disk that ends before sector `end`, as Linux does.
    ///
    /// # Errors
    /// If no partition is left.
    fn cut(&mut self, end: Lba) -> Result<(), TableError> {
        let all = std::mem::take(&mut self.partitions);
        let first = all.iter().find(|partition| partition.end() > end).cloned();
        let whole = all.iter().map(Partition::end).max().unwrap_or(end);
        for mut partition in all {
            let missing = partition
                .end()
                .0
                .saturating_sub(end.0.max(partition.start.0));
            let whole = partition.start >= end && partition.sectors > 0;
            if missing > 0 {
                self.warnings.push(TableWarning::Cut {
                    number: partition.number,
                    missing: Lba(missing).bytes(),
                    whole,
                });
                partition.sectors = partition.sectors.saturating_sub(missing);
            }
            if !whole {
                self.partitions.push(partition);
            }
        }
        match first.filter(|_| self.partitions.is_empty()) {
            Some(partition) => Err(TableError::Beyond {
                number: partition.number,
                start: partition.start,
                end: partition.end(),
                from: Lba(1),
                to: end,
                whole,
            }),
            None => Ok(()),
        }
    }

    /// Fails if partitions exceed `usable`, overlap or share a number.
    fn check(&self, usable: Range<Lba>) -> Result<(), TableError> {
        let mut sorted: Vec<&Partition> = self.partitions.iter().collect();
        sorted.sort_by_key(|partition| partition.number);
        let twice = |(one, next): &(&&Partition, &&Partition)| one.number == next.number;
        if let Some((one, _)) = sorted.iter().zip(sorted.iter().skip(1)).find(twice) {
            return Err(TableError::Twice(one.number));
        }
        let last = sorted.iter().map(|partition| partition.end()).max();
        let backup = match self.disk_id {
            DiskId::Gpt(_) => BACKUP_GPT,
            DiskId::Mbr(_) => 0,
        };
        let whole = Lba(last.unwrap_or(usable.end).0.saturating_add(backup));
        for partition in &sorted {
            let (number, start, end) = (partition.number, partition.start, partition.end());
            if start >= end {
                return Err(TableError::Backwards(number, end, start));
            }
            if start < usable.start || end > usable.end {
                return Err(TableError::Beyond {
                    number,
                    start,
                    end,
                    from: usable.start,
                    to: usable.end,
                    whole,
                });
            }
        }
        sorted.sort_by_key(|partition| partition.start);
        let overlap = |(one, next): &(&&Partition, &&Partition)| one.end() > next.start;
        match sorted.iter().zip(sorted.iter().skip(1)).find(overlap) {
            Some((one, next)) => Err(TableError::Overlap(
                one.number,
                next.number,
                one.end(),
                next.start,
            )),
            None => Ok(()),
        }
    }
}

/// Reads one sector.
fn sector(disk: &dyn ReadAt, at: Lba) -> Result<[u8; 512], TableError> {
    let mut out = [0; 512];
    disk.read_exact_at(at.bytes(), &mut out)
        .map_err(|e| TableError::Io(at, e))?;
    Ok(out)
}
