//! qcow2 images, versions 2 and 3, read in place (`docs/interop/qcow2.txt` of QEMU). All numbers
//! are big-endian.
//!
//! ```text
//! header   0 magic | 4 version | 8 backing file | 20 cluster bits | 24 size | 32 encryption | 36 L1 entries | 40 L1 offset
//!          72 incompatible features (version 3) | 100 header length | 104 compression type
//! L1 entry bits 9..55: offset of an L2 table of one cluster
//! L2 entry bit 62: compressed; else bits 9..55: offset of the cluster, bit 0: reads as zeros
//! ```

mod compressed;

use super::{InputFormat, OpenOptions, SourceError};
use crate::bytes::{be32, be64};
use crate::stream::{Content, Run, Source};
use compressed::{Codec, Packed, Unpacked};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Offset bits of L1 and L2 entries.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// The mark of what no snapshot shares.
const COPIED: u64 = 1 << 63;
/// Maximum length of the L1 table (bytes), the limit of QEMU.
const L1_MOST: u64 = 32 << 20;
/// Incompatible features by bit, each with the reason why it is refused and a hint; `None` is
/// supported.
const INCOMPATIBLE: [Option<(&str, &str)>; 5] = [
    Some(("it was not closed cleanly (dirty bit)", REPAIR)),
    Some(("it is marked as corrupt", REPAIR)),
    Some(("its data is in another file", CONVERT)),
    None, // the compression type is in the header
    Some(("it has extended L2 entries (subclusters)", CONVERT)),
];
const REPAIR: &str = "try to repair it with `qemu-img check -r all`";
const CONVERT: &str = "convert it with `qemu-img convert -O raw`";

fn corrupt<T>(what: String) -> Result<T, SourceError> {
    Err(SourceError::Corrupt {
        form: InputFormat::Qcow2,
        what,
    })
}

fn refuse<T>(what: impl Into<String>, hint: &'static str) -> Result<T, SourceError> {
    Err(SourceError::Refused {
        form: InputFormat::Qcow2,
        what: what.into(),
        hint,
    })
}

/// A 32-bit field of the header; fields that a short header lacks are zero.
fn word(raw: &[u8; 112], at: usize) -> u32 {
    be32(raw, at).unwrap_or_default()
}

/// A 64-bit field of the header.
fn double(raw: &[u8; 112], at: usize) -> u64 {
    be64(raw, at).unwrap_or_default()
}

/// A checked header.
#[derive(Debug)]
struct Header {
    cluster_bits: u32,
    size: u64,
    l1_entries: u64,
    l1_offset: u64,
    codec: Codec,
}

impl Header {
    fn parse(source: &Source) -> Result<Self, SourceError> {
        let mut raw = [0; 112];
        let len = usize::try_from(source.len()).map_or(raw.len(), |len| len.min(raw.len()));
        source.read_exact_at(0, raw.get_mut(..len).unwrap_or_default())?;
        let version = word(&raw, 4);
        if len < 72 || (version >= 3 && len < 104) {
            return corrupt(format!("it has {len} bytes, too few for a header"));
        }
        if !matches!(version, 2 | 3) {
            return refuse(format!("version {version} (supported: 2 and 3)"), CONVERT);
        }
        if double(&raw, 8) != 0 {
            return refuse("it has a backing file", CONVERT);
        }
        if word(&raw, 32) != 0 {
            return refuse("it is encrypted", CONVERT);
        }
        let codec = if version == 3 {
            features(&raw)?
        } else {
            Codec::Zlib
        };
        let header = Self {
            cluster_bits: word(&raw, 20),
            size: double(&raw, 24),
            l1_entries: u64::from(word(&raw, 36)),
            l1_offset: double(&raw, 40),
            codec,
        };
        header.check(source.len()).map(|()| header)
    }

    fn check(&self, file: u64) -> Result<(), SourceError> {
        if !(9..=21).contains(&self.cluster_bits) {
            return corrupt(format!(
                "its cluster bits are {} (valid: 9 to 21)",
                self.cluster_bits
            ));
        }
        let needed = self
            .size
            .div_ceil(self.cluster())
            .div_ceil(self.l2_entries());
        // 32 bits times 8.
        let bytes = self.l1_entries.saturating_mul(8);
        if self.l1_entries < needed || bytes > L1_MOST {
            return corrupt(format!(
                "its L1 table has {} entries, but {needed} are needed",
                self.l1_entries
            ));
        }
        if self
            .l1_offset
            .checked_add(bytes)
            .is_none_or(|end| end > file)
        {
            return corrupt(format!(
                "its L1 table at offset {} exceeds the file of {file} bytes",
                self.l1_offset
            ));
        }
        Ok(())
    }

    /// Length of a cluster (bytes): `check` limits its bits to 9..=21.
    fn cluster(&self) -> u64 {
        1_u64.checked_shl(self.cluster_bits).unwrap_or(1)
    }

    fn l2_entries(&self) -> u64 {
        self.cluster() / 8
    }
}

/// Refuses unsupported incompatible features, and returns the compression of clusters.
fn features(raw: &[u8; 112]) -> Result<Codec, SourceError> {
    let bits = double(raw, 72);
    for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
        match INCOMPATIBLE.get(bit) {
            Some(None) => {}
            Some(Some((reason, hint))) => return refuse(*reason, hint),
            None => {
                return refuse(format!("unknown incompatible feature {bit}"), CONVERT);
            }
        }
    }
    let [.., kind, _, _, _, _, _, _, _] = raw;
    match *kind {
        _ if word(raw, 100) <= 104 || bits & 8 == 0 => Ok(Codec::Zlib),
        0 => Ok(Codec::Zlib),
        1 => Ok(Codec::Zstd),
        other => refuse(format!("unknown compression type {other}"), CONVERT),
    }
}

/// The image in a qcow2 file, as runs of the file. Clusters that are unallocated or read as zeros
/// are holes.
/// With `check`, each compressed cluster is decompressed once.
pub(super) fn read(
    source: &Source,
    check: Option<&OpenOptions<'_>>,
) -> Result<Content, SourceError> {
    let header = Header::parse(source)?;
    let mut map = Map {
        source,
        header: &header,
        plain: Vec::new(),
        packed: Vec::new(),
        tables: Vec::new(),
    };
    let l1 = read_table(source, header.l1_offset, header.l1_entries)?;
    let mut seen = BTreeSet::new();
    for (index, entry) in (0..).zip(&l1).filter(|(_, entry)| **entry & OFFSET != 0) {
        let offset = entry & OFFSET;
        if entry & !(OFFSET | COPIED) != 0 {
            return corrupt(format!(
                "L1 entry {index} is {entry:#x}, with bits that have no meaning"
            ));
        }
        if !seen.insert(offset) {
            return corrupt(format!(
                "two L1 entries refer to the L2 table at offset {offset}"
            ));
        }
        // The number of L1 entries is bounded by `L1_MOST`.
        map.add_l2(header.l2_entries().saturating_mul(index), offset)?;
    }
    map.check_overlaps()?;
    map.finish(check)
}

/// Reads a table of big-endian entries.
fn read_table(source: &Source, offset: u64, entries: u64) -> Result<Vec<u64>, SourceError> {
    let len = entries.saturating_mul(8);
    if offset.checked_add(len).is_none_or(|end| end > source.len()) {
        return corrupt(format!(
            "the table at offset {offset} exceeds the file of {} bytes",
            source.len()
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    source.read_exact_at(offset, &mut bytes)?;
    let (entries, _) = bytes.as_chunks();
    Ok(entries.iter().copied().map(u64::from_be_bytes).collect())
}

/// The positions of all clusters of the image, in ascending order.
struct Map<'a> {
    source: &'a Source,
    header: &'a Header,
    /// Offset in the image, length and offset in the file (bytes).
    plain: Vec<(u64, u64, u64)>,
    packed: Vec<Packed>,
    /// The offsets of the L2 tables in the file.
    tables: Vec<u64>,
}

/// What a range of the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Header,
    L1,
    L2,
    /// A cluster, by its index in the image.
    Plain(u64),
    Packed(u64),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::L1 => f.write_str("the L1 table"),
            Self::L2 => f.write_str("an L2 table"),
            Self::Plain(index) => write!(f, "cluster {index}"),
            Self::Packed(index) => write!(f, "compressed cluster {index}"),
        }
    }
}

impl Map<'_> {
    /// Adds the clusters of the L2 table at `offset`, whose first entry is cluster `first`.
    fn add_l2(&mut self, first: u64, offset: u64) -> Result<(), SourceError> {
        if !offset.is_multiple_of(self.header.cluster()) {
            return corrupt(format!(
                "the L2 table at offset {offset} is not aligned to clusters of {} bytes",
                self.header.cluster()
            ));
        }
        self.tables.push(offset);
        let clusters = self.header.size.div_ceil(self.header.cluster());
        for (index, entry) in
            (first..clusters).zip(read_table(self.source, offset, self.header.l2_entries())?)
        {
            if entry & COMPRESSED != 0 {
                self.add_packed(index, entry)?;
            } else if entry & !(OFFSET | COPIED | ZERO) != 0 {
                return corrupt(format!(
                    "the L2 entry of cluster {index} is {entry:#x}, with bits that have no meaning"
                ));
            } else if entry & ZERO == 0 && entry & OFFSET != 0 {
                self.add_plain(index, entry & OFFSET)?;
            }
        }
        Ok(())
    }

    fn add_plain(&mut self, index: u64, offset: u64) -> Result<(), SourceError> {
        let (cluster, file) = (self.header.cluster(), self.source.len());
        if !offset.is_multiple_of(cluster) || offset >= file {
            return corrupt(format!(
                "cluster {index} is at offset {offset} of {file} bytes"
            ));
        }
        // `index` is below the number of clusters, so `at` is below the size.
        let at = index.saturating_mul(cluster);
        // Image and file may both end within their last cluster; what the file lacks reads as
        // zeros.
        let len = cluster
            .min(self.header.size.saturating_sub(at))
            .min(file.saturating_sub(offset));
        match self.plain.last_mut() {
            Some((start, run, place))
                if start.checked_add(*run) == Some(at)
                    && place.checked_add(*run) == Some(offset) =>
            {
                *run = run.saturating_add(len);
            }
            _ => self.plain.push((at, len, offset)),
        }
        Ok(())
    }

    /// Adds a compressed cluster: the bits of `entry` below `split` are its offset in bytes, the
    /// bits from there to 61 the number of sectors after its first one.
    fn add_packed(&mut self, index: u64, entry: u64) -> Result<(), SourceError> {
        // `check` limits the cluster bits to 9..=21, so this is between 49 and 61.
        let split = 70_u32.saturating_sub(self.header.cluster_bits);
        let low = |bits: u32| u64::MAX.checked_shl(bits).map_or(u64::MAX, |high| !high);
        let offset = entry & low(split);
        let sectors = (entry & low(62)).checked_shr(split).unwrap_or_default();
        let len = sectors
            .saturating_add(1)
            .saturating_mul(512)
            .saturating_sub(offset % 512)
            .min(self.source.len().saturating_sub(offset));
        if len == 0 {
            return corrupt(format!(
                "compressed cluster {index} is at offset {offset} of {} bytes",
                self.source.len()
            ));
        }
        self.packed.push(Packed { index, offset, len });
        Ok(())
    }

    /// Fails where two things are at the same bytes of the file: a damaged table, since each
    /// cluster of an image has bytes of its own.
    fn check_overlaps(&self) -> Result<(), SourceError> {
        let cluster = self.header.cluster();
        let mut taken: Vec<(u64, u64, Use)> = vec![
            (0, 72, Use::Header),
            (
                self.header.l1_offset,
                self.header.l1_entries.saturating_mul(8),
                Use::L1,
            ),
        ];
        taken.extend(self.tables.iter().map(|at| (*at, cluster, Use::L2)));
        let index = |at: u64| at.checked_div(cluster).unwrap_or_default();
        let plain = self.plain.iter();
        taken.extend(plain.map(|(at, len, offset)| (*offset, *len, Use::Plain(index(*at)))));
        let packed = self.packed.iter();
        taken.extend(packed.map(|packed| (packed.offset, packed.len, Use::Packed(packed.index))));
        taken.sort_unstable();
        let mut before: Option<(u64, u64, Use)> = None;
        for (start, len, what) in taken {
            let end = start.saturating_add(len);
            if let Some((first, last, other)) = before {
                // Only the sector is known in which a compressed cluster ends: it has one byte.
                let both = matches!((other, what), (Use::Packed(_), Use::Packed(_)));
                let last = if both {
                    last.saturating_sub(511).max(first.saturating_add(1))
                } else {
                    last
                };
                if start < last {
                    return corrupt(format!(
                        "{other} and {what} overlap: the one ends at offset {last} of the file, the \
                         other begins at {start}"
                    ));
                }
            }
            if before.is_none_or(|(_, last, _)| end >= last) {
                before = Some((start, end, what));
            }
        }
        Ok(())
    }

    fn finish(self, check: Option<&OpenOptions<'_>>) -> Result<Content, SourceError> {
        let (cluster, size) = (self.header.cluster(), self.header.size);
        let mut runs: Vec<Run> = Vec::new();
        let raw = self
            .plain
            .iter()
            .map(|(offset, len, source_offset)| (*offset, *len, *source_offset, false));
        let packed = self.packed.iter().map(|at| {
            let offset = at.index.saturating_mul(cluster);
            (
                offset,
                cluster.min(size.saturating_sub(offset)),
                offset,
                true,
            )
        });
        let mut all: Vec<_> = raw.chain(packed).collect();
        all.sort_unstable();
        let unpacked = Unpacked::new(
            self.source.clone(),
            [cluster, size],
            self.header.codec,
            self.packed,
        );
        if let Some(options) = check {
            unpacked.check(options)?;
        }
        let unpacked: Source = Arc::new(unpacked);
        for (offset, len, source_offset, is_packed) in all {
            let source = if is_packed {
                unpacked.clone()
            } else {
                self.source.clone()
            };
            match runs.last_mut() {
                Some(last)
                    if is_packed
                        && last.end() == offset
                        && Arc::ptr_eq(&last.source, &unpacked) =>
                {
                    last.len = last.len.saturating_add(len);
                }
                _ => runs.push(Run {
                    offset,
                    len,
                    source,
                    source_offset,
                }),
            }
        }
        let mut image = Content::hole(0);
        runs.into_iter().for_each(|run| image.push(run));
        image.set_len(size);
        Ok(image)
    }
}
