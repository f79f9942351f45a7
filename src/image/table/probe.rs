//! Sector 0: an MBR, or other content, which the error message names.

use super::{TableError, sector};
use crate::bytes::is_zero;
use crate::image::probe::{Volume, is_fat, volume};
use crate::stream::ReadAt;
use crate::units::{Lba, MIB};
use mbrman::MBRHeader;
use std::fmt;
use std::io::{self, Cursor};

/// The content of an image without partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpartitionedContent {
    /// A filesystem or volume that begins at offset 0.
    Bare(&'static str),
    /// An ISO 9660 image, refused even with a partition table: installers are not golden images.
    Iso,
    /// An MBR without partitions.
    NoPartitions,
    /// Only zeros in the first MiB.
    Empty,
    /// Less than a sector: this many bytes.
    Short(u64),
    /// Unknown content.
    Unknown,
}

impl fmt::Display for UnpartitionedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(name) => write!(f, "a bare {name}, not a disk"),
            Self::Iso => f.write_str("an ISO 9660 filesystem (an installer or live system)"),
            Self::NoPartitions => f.write_str("an MBR without partitions"),
            Self::Empty => f.write_str("only zeros"),
            Self::Short(len) => write!(f, "only {len} bytes"),
            Self::Unknown => f.write_str("unknown data"),
        }
    }
}

/// A parsed MBR.
pub(super) struct Mbr {
    pub(super) header: MBRHeader,
    /// Whether it has a protective entry (type 0xee): the disk has a GPT.
    pub(super) protective: bool,
    /// Whether it has other entries.
    pub(super) others: bool,
}

/// The content of sector 0.
pub(super) enum FirstSector {
    Table(Box<Mbr>),
    Unpartitioned(UnpartitionedContent),
}

/// Reads and classifies the start of `disk`.
pub(super) fn first_sector(disk: &dyn ReadAt) -> Result<FirstSector, TableError> {
    if disk.len() < 512 {
        return Ok(FirstSector::Unpartitioned(UnpartitionedContent::Short(
            disk.len(),
        )));
    }
    let bytes = sector(disk, Lba(0))?;
    if has(disk, 0x8001, b"CD001") {
        return Ok(FirstSector::Unpartitioned(UnpartitionedContent::Iso));
    }
    let header = MBRHeader::read_from(&mut Cursor::new(&bytes))
        .ok()
        .filter(|_| !is_fat(&bytes));
    let is_mbr = header.is_some();
    if let Some(header) = header.filter(|header| header.iter().any(|(_, entry)| entry.is_used())) {
        let protective = header.iter().any(|(_, entry)| entry.sys == 0xee);
        let others = header
            .iter()
            .any(|(_, entry)| entry.is_used() && entry.sys != 0xee);
        return Ok(FirstSector::Table(Box::new(Mbr {
            header,
            protective,
            others,
        })));
    }
    if is_fat(&bytes) {
        return Ok(FirstSector::Unpartitioned(UnpartitionedContent::Bare(
            "FAT filesystem",
        )));
    }
    // Unreadable bytes are not a volume.
    Ok(FirstSector::Unpartitioned(
        match volume(disk).ok().flatten() {
            Some(Volume::Ext) => UnpartitionedContent::Bare("ext2, ext3 or ext4 filesystem"),
            Some(Volume::Other(other)) => UnpartitionedContent::Bare(other.bare),
            Some(Volume::Swap) => UnpartitionedContent::Bare("swap area"),
            Some(Volume::Fat) => UnpartitionedContent::Bare("FAT filesystem"),
            None if is_mbr => UnpartitionedContent::NoPartitions,
            None if is_empty(disk).map_err(|e| TableError::Io(Lba(0), e))? => {
                UnpartitionedContent::Empty
            }
            None => UnpartitionedContent::Unknown,
        },
    ))
}

/// Whether these bytes are at `offset`; false if they cannot be read.
fn has(disk: &dyn ReadAt, offset: u64, magic: &[u8]) -> bool {
    let mut found = vec![0; magic.len()];
    disk.read_exact_at(offset, &mut found).is_ok() && found == magic
}

/// Whether the first MiB, which is all that table and boot code take, is zero.
fn is_empty(disk: &dyn ReadAt) -> io::Result<bool> {
    let mut buf = vec![0; usize::try_from(disk.len().min(MIB)).unwrap_or(0)];
    disk.read_exact_at(0, &mut buf)?;
    Ok(is_zero(&buf))
}
