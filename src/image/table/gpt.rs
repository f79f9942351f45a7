//! GPT (UEFI Specification 2.10, section 5.3). The crate `gpt` parses and serialises headers and
//! entries, always on a few sectors in memory; this module selects the sectors, and checks the
//! fields that the crate does not.

use super::{
    DiskId, Partition, PartitionTable, PartitionType, TableError, TableWarning,
    UnpartitionedContent,
};
use crate::stamp::Uuid;
use crate::stream::ReadAt;
use crate::units::{Lba, SECTOR, len_u64};
use gpt::disk::LogicalBlockSize::Lb512;
use gpt::header::{Header, HeaderBuilder, HeaderError, read_header_from_arbitrary_device};
use gpt::mbr::ProtectiveMBR;
use gpt::partition::{Partition as Entry, file_read_partitions};
use gpt::partition_types::{OperatingSystem, Type};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Sectors of 128 entries of 128 bytes (16,384 bytes, the minimum of the specification).
const ENTRY_SECTORS: u64 = 32;
/// The first sector after MBR, header and entries.
pub(super) const FIRST_USABLE: Lba = Lba(2 + ENTRY_SECTORS);
/// Sectors at the end of the disk for entries and header.
pub(super) const BACKUP_SECTORS: u64 = 1 + ENTRY_SECTORS;
/// Length of an entry (bytes); the specification also allows larger ones, which are not supported.
const ENTRY_SIZE: u32 = 128;
/// Maximum number of entries; more are treated as damage.
const MAX_ENTRIES: u32 = 4096;
/// Offset of the GPT header on a disk with 4096-byte sectors (bytes).
const HEADER_4096: u64 = 4096;

/// Reads the GPT of a disk that has a protective MBR: the first one, or else the backup at the end.
pub(super) fn read(disk: &dyn ReadAt) -> Result<PartitionTable, TableError> {
    let last = Lba(Lba::from_bytes(disk.len()).0.saturating_sub(1));
    match read_copy(disk, Lba(1)) {
        Ok((mut table, other)) => {
            let backup = read_copy(disk, other).map(|(backup, _)| backup);
            let differs = || "it names other partitions".to_owned();
            let fault = backup.map_or_else(Some, |backup| (backup != table).then(differs));
            table
                .warnings
                .extend(fault.map(TableWarning::BackupDamaged));
            Ok(table)
        }
        Err(_) if is_4096(disk) => Err(TableError::SectorSize),
        Err(primary) => match read_copy(disk, last) {
            Ok((mut table, _)) => {
                table.warnings.push(TableWarning::PrimaryDamaged(primary));
                Ok(table)
            }
            Err(backup) => Err(TableError::BothDamaged { primary, backup }),
        },
    }
}

/// Reads the GPT of a disk whose sector 0 is not an MBR.
pub(super) fn read_unprotected(disk: &dyn ReadAt) -> Result<PartitionTable, TableError> {
    if !is_there(disk) && !is_4096(disk) {
        return Err(TableError::NoTable(UnpartitionedContent::Unknown));
    }
    let mut table = read(disk)?;
    table.warnings.push(TableWarning::NoProtective);
    table.check(Lba(1)..Lba::from_bytes(disk.len()))?;
    Ok(table)
}

/// Whether sector 1 contains a GPT header with valid checksums.
pub(super) fn is_there(disk: &dyn ReadAt) -> bool {
    read_copy(disk, Lba(1)).is_ok()
}

/// The ranges (bytes) of headers and entries, of the first copy and of the backup, as far as they
/// can be read; where neither can, none.
pub(super) fn own_ranges(disk: &dyn ReadAt) -> Vec<Range<u64>> {
    let last = Lba(Lba::from_bytes(disk.len()).0.saturating_sub(1));
    let first = read_header(disk, Lba(1)).ok();
    let backup = first.as_ref().map_or(last, |header| Lba(header.backup_lba));
    let backup = read_header(disk, backup).or_else(|_| read_header(disk, last));
    let mut ranges = Vec::new();
    for header in first.into_iter().chain(backup.ok()) {
        let entries = Lba(header.part_start).bytes();
        let len = u64::from(header.num_parts).saturating_mul(u64::from(ENTRY_SIZE));
        let sector = Lba(header.current_lba).bytes();
        ranges.push(sector..sector.saturating_add(SECTOR));
        ranges.push(entries..entries.saturating_add(len.next_multiple_of(SECTOR)));
    }
    ranges
}

fn is_4096(disk: &dyn ReadAt) -> bool {
    let mut magic = [0; 8];
    disk.read_exact_at(HEADER_4096, &mut magic).is_ok() && &magic == b"EFI PART"
}

/// The table whose header is at `at`, and the position of the other header; or the damage.
fn read_copy(disk: &dyn ReadAt, at: Lba) -> Result<(PartitionTable, Lba), String> {
    let header = read_header(disk, at)?;
    // At most `MAX_ENTRIES`, see `read_header`.
    let len = u64::from(header.num_parts).saturating_mul(u64::from(ENTRY_SIZE));
    let mut bytes = vec![0; usize::try_from(len).map_err(|e| e.to_string())?];
    let start = Lba(header.part_start);
    disk.read_exact_at(start.bytes(), &mut bytes)
        .map_err(|e| format!("reading its entries at sector {start}: {e}"))?;
    let moved = Header {
        part_start: 0,
        ..header.clone()
    };
    let entries =
        file_read_partitions(&mut Cursor::new(bytes), &moved, Lb512).map_err(|e| e.to_string())?;
    let partitions = entries
        .iter()
        .filter(|(_, entry)| entry.is_used())
        .map(|(number, entry)| partition(*number, entry))
        .collect();
    let disk_id = DiskId::Gpt(Uuid(*header.disk_guid.as_bytes()));
    Ok((
        PartitionTable {
            disk_id,
            partitions,
            warnings: Vec::new(),
        },
        Lba(header.backup_lba),
    ))
}

/// The header at `at`, with checksum and fields checked.
fn read_header(disk: &dyn ReadAt, at: Lba) -> Result<Header, String> {
    // The crate looks for the header in the second sector of what it is given.
    let mut found = vec![0; 512];
    disk.read_exact_at(at.bytes(), &mut found)
        .map_err(|e| format!("reading its header at sector {at}: {e}"))?;
    shorten(&mut found, at)?;
    let sectors = [vec![0; 512], found].concat();
    let header = read_header_from_arbitrary_device(&mut Cursor::new(sectors), Lb512).map_err(
        |e| match e {
            HeaderError::InvalidGptSignature => format!("no header at sector {at}"),
            HeaderError::InvalidCRC32Checksum => {
                format!("the header at sector {at} does not match its checksum")
            }
            other => other.to_string(),
        },
    )?;
    if header.current_lba != at.0 {
        return Err(format!(
            "the header at sector {at} says it lies at sector {}",
            header.current_lba
        ));
    }
    if header.part_size != ENTRY_SIZE {
        return Err(format!(
            "entries of {} bytes are not supported (only {ENTRY_SIZE})",
            header.part_size
        ));
    }
    if header.num_parts > MAX_ENTRIES {
        return Err(format!("{} entries exceed {MAX_ENTRIES}", header.num_parts));
    }
    Ok(header)
}

/// The length of the header's fields (bytes), and the only length that the crate knows.
const HEADER_LEN: u32 = 92;

/// Makes a header that is longer than its fields one of [`HEADER_LEN`] bytes. Its own length may be
/// up to a sector, all of which its checksum covers (UEFI Specification 2.10, table 5.5).
fn shorten(sector: &mut [u8], at: Lba) -> Result<(), String> {
    let number = |sector: &[u8], offset: usize| {
        let field = sector.get(offset..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*field))
    };
    let (Some(len), Some(expected)) = (number(sector, 12), number(sector, 16)) else {
        return Ok(());
    };
    let whole = usize::try_from(len).ok();
    let is_header = sector.starts_with(b"EFI PART");
    let Some(whole) = whole.filter(|_| is_header && len > HEADER_LEN) else {
        return Ok(());
    };
    let mut checksum_of = |bytes: usize| {
        sector.get_mut(16..20)?.fill(0);
        Some(crc32fast::hash(sector.get(..bytes)?))
    };
    let Some(found) = checksum_of(whole) else {
        return Err(format!(
            "the header at sector {at} says that it has {len} bytes, more than a sector"
        ));
    };
    if found != expected {
        return Err(format!(
            "the header at sector {at} does not match its checksum"
        ));
    }
    let mut put = |offset: usize, value: u32| {
        if let Some(field) = sector.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            *field = value.to_le_bytes();
        }
    };
    put(12, HEADER_LEN);
    put(16, 0);
    let fields = usize::try_from(HEADER_LEN).unwrap_or(0);
    let checksum = crc32fast::hash(sector.get(..fields).unwrap_or_default());
    if let Some(field) = sector.get_mut(16..).and_then(<[u8]>::first_chunk_mut) {
        *field = checksum.to_le_bytes();
    }
    Ok(())
}

fn partition(number: u32, entry: &Entry) -> Partition {
    // An entry that ends before it begins becomes one of no sectors, which `PartitionTable::check`
    // refuses.
    let sectors = entry
        .last_lba
        .checked_add(1)
        .and_then(|end| end.checked_sub(entry.first_lba))
        .unwrap_or(0);
    let kind = PartitionType::Gpt(Uuid(*entry.part_type_guid.guid.as_bytes()));
    let id = Some(Uuid(*entry.part_guid.as_bytes()));
    let (name, attributes) = (entry.name.clone(), entry.flags);
    Partition {
        number,
        start: Lba(entry.first_lba),
        sectors,
        kind,
        id,
        name,
        attributes,
        active: false,
        logical: false,
    }
}

/// A few sectors of a disk in memory, addressed as on the disk.
#[derive(Debug)]
struct Window {
    base: u64,
    bytes: Cursor<Vec<u8>>,
}

impl Window {
    fn new(start: Lba, sectors: u64) -> Self {
        let len = usize::try_from(sectors.saturating_mul(SECTOR)).unwrap_or(usize::MAX);
        Self {
            base: start.bytes(),
            bytes: Cursor::new(vec![0; len]),
        }
    }

    fn into_bytes(self) -> (u64, Vec<u8>) {
        (self.base, self.bytes.into_inner())
    }
}

impl Read for Window {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buf)
    }
}

impl Write for Window {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(offset) => SeekFrom::Start(
                offset
                    .checked_sub(self.base)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?,
            ),
            other => other,
        };
        Ok(self.base.saturating_add(self.bytes.seek(to)?))
    }
}

/// Both copies and the protective MBR, for a disk of this many sectors.
pub(super) fn encode(
    disk: Uuid,
    partitions: &[Partition],
    sectors: Lba,
) -> Result<Vec<(u64, Vec<u8>)>, TableError> {
    let entries: Vec<(u32, Entry)> = partitions
        .iter()
        .map(|partition| Ok((partition.number, entry(partition)?)))
        .collect::<Result<_, TableError>>()?;
    let unwritable = |e: HeaderError| TableError::Unwritable(0, e.to_string());
    let backup = Lba(sectors.0.saturating_sub(BACKUP_SECTORS));
    let mut builder = HeaderBuilder::new();
    builder
        .disk_guid(guid(disk, 0)?)
        .backup_lba(sectors.0.saturating_sub(1));

    let mut primary = Window::new(Lba(0), FIRST_USABLE.0);
    let mbr =
        ProtectiveMBR::with_lb_size(u32::try_from(sectors.0.saturating_sub(1)).unwrap_or(u32::MAX));
    primary
        .write_all(&mbr.to_bytes())
        .map_err(|e| TableError::Io(Lba(0), e))?;
    let mut header = builder.primary(true).build(Lb512).map_err(unwritable)?;
    write_entries(&mut primary, &header, &entries)?;
    header
        .write_primary(&mut primary, Lb512)
        .map_err(unwritable)?;

    let mut end = Window::new(backup, BACKUP_SECTORS);
    let mut header = builder.primary(false).build(Lb512).map_err(unwritable)?;
    write_entries(&mut end, &header, &entries)?;
    header.write_backup(&mut end, Lb512).map_err(unwritable)?;

    let (_, mut first) = primary.into_bytes();
    first.drain(..super::mbr::BOOT_CODE);
    Ok(vec![
        (len_u64(super::mbr::BOOT_CODE), first),
        end.into_bytes(),
    ])
}

fn write_entries(
    window: &mut Window,
    header: &Header,
    entries: &[(u32, Entry)],
) -> Result<(), TableError> {
    for (number, entry) in entries {
        let index = u64::from(*number).saturating_sub(1);
        let written = entry.write_to_device(window, index, header.part_start, Lb512, ENTRY_SIZE);
        written.map_err(|e| TableError::Io(Lba(header.part_start), e))?;
    }
    Ok(())
}

/// A partition as a value of the crate.
fn entry(partition: &Partition) -> Result<Entry, TableError> {
    let number = partition.number;
    let refuse = |why: &str| TableError::Unwritable(number, why.to_owned());
    if !(1..=128).contains(&number) {
        return Err(refuse("its number is not in the range 1 to 128"));
    }
    let PartitionType::Gpt(kind) = partition.kind else {
        return Err(refuse("it has a type of an MBR, but the table is a GPT"));
    };
    let id = partition
        .id
        .ok_or_else(|| refuse("it has no unique GUID"))?;
    if partition.active || partition.logical {
        return Err(refuse("a GPT has neither active nor logical partitions"));
    }
    if partition.name.encode_utf16().count() > 36 || partition.name.contains('\0') {
        return Err(refuse(
            "its name is longer than 36 UTF-16 units or contains a NUL",
        ));
    }
    Ok(Entry {
        part_type_guid: Type {
            guid: guid(kind, number)?,
            os: OperatingSystem::None,
        },
        part_guid: guid(id, number)?,
        first_lba: partition.start.0,
        last_lba: partition.end().0.saturating_sub(1),
        flags: partition.attributes,
        name: partition.name.clone(),
    })
}

/// A UUID as the type of the crate, which is inferred because the crate does not export it.
fn guid<T: std::str::FromStr>(uuid: Uuid, number: u32) -> Result<T, TableError> {
    if uuid == Uuid::default() {
        return Err(TableError::Unwritable(
            number,
            "a GUID of zeros marks an unused entry".into(),
        ));
    }
    uuid.to_string()
        .parse()
        .map_err(|_| TableError::Unwritable(number, format!("{uuid} is not a GUID")))
}
