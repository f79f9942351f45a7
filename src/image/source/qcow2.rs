//! qcow2 images, versions 2 and 3, read in place (`docs/interop/qcow2.txt` of QEMU). All numbers
//! are big-endian.
//!
//! ```text
//! header   0 magic | 4 version | 8 backing file | 20 cluster bits | 24 size | 32 encryption | 36 L1 entries | 40 L1 offset
//!          72 incompatible features (version 3) | 100 header length | 104 compression type
//! L1 entry bits 9..55: offset of an L2 table of one cluster
//! L2 entry bit 62: compressed; else bits 9..55: offset of the cluster, bit 0: reads as zeros
//! ```

use super::{InputFormat, SourceError};
use crate::bytes::{be32, be64};
use crate::stream::{Content, ReadAt, Run, Source};
use crate::units::len_u64;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Offset bits of L1 and L2 entries.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
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

/// The compression of compressed clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Zlib,
    Zstd,
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
pub(super) fn read(source: &Source) -> Result<Content, SourceError> {
    let header = Header::parse(source)?;
    let mut map = Map {
        source,
        header: &header,
        plain: Vec::new(),
        packed: Vec::new(),
    };
    let l1 = read_table(source, header.l1_offset, header.l1_entries)?;
    let mut seen = BTreeSet::new();
    for (index, entry) in (0..).zip(&l1).filter(|(_, entry)| **entry & OFFSET != 0) {
        let offset = entry & OFFSET;
        if !seen.insert(offset) {
            return corrupt(format!(
                "two L1 entries refer to the L2 table at offset {offset}"
            ));
        }
        // The number of L1 entries is bounded by `L1_MOST`.
        map.add_l2(header.l2_entries().saturating_mul(index), offset)?;
    }
    map.finish()
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

/// A compressed cluster: its index in the image, and its position in the file (bytes).
#[derive(Clone, Copy, Debug)]
struct Packed {
    index: u64,
    offset: u64,
    len: u64,
}

/// The positions of all clusters of the image, in ascending order.
struct Map<'a> {
    source: &'a Source,
    header: &'a Header,
    /// Offset in the image, length and offset in the file (bytes).
    plain: Vec<(u64, u64, u64)>,
    packed: Vec<Packed>,
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
        let clusters = self.header.size.div_ceil(self.header.cluster());
        for (index, entry) in
            (first..clusters).zip(read_table(self.source, offset, self.header.l2_entries())?)
        {
            if entry & COMPRESSED != 0 {
                self.add_packed(index, entry)?;
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

    fn finish(self) -> Result<Content, SourceError> {
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
        let unpacked: Source = Arc::new(Unpacked {
            source: self.source.clone(),
            cluster,
            len: size,
            codec: self.header.codec,
            clusters: self.packed,
            last: Mutex::new((u64::MAX, Arc::from([]))),
        });
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

/// The compressed clusters at their offsets in the image; reading between them is an error.
struct Unpacked {
    source: Source,
    cluster: u64,
    len: u64,
    codec: Codec,
    clusters: Vec<Packed>,
    /// The last decompressed cluster, because readers go forwards in smaller steps.
    last: Mutex<(u64, Arc<[u8]>)>,
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Unpacked({} clusters of {:?})",
            self.clusters.len(),
            self.codec
        )
    }
}

impl Unpacked {
    /// Copies from `within` of a cluster as far as cluster and `buf` go. The lock is not held
    /// during decompression.
    fn copy(&self, index: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        let cached = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            (last.0 == index).then(|| last.1.clone())
        };
        let bytes: Arc<[u8]> = match cached {
            Some(bytes) => bytes,
            None => self.decode(index)?.into(),
        };
        let from = bytes.get(within..).unwrap_or_default();
        let part = from.len().min(buf.len());
        buf.iter_mut()
            .zip(from)
            .for_each(|(byte, plain)| *byte = *plain);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (index, bytes);
        Ok(part)
    }

    fn decode(&self, index: u64) -> io::Result<Vec<u8>> {
        let bad = |what: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("compressed qcow2 cluster {index}: {what}"),
            )
        };
        let found = self
            .clusters
            .binary_search_by_key(&index, |cluster| cluster.index);
        let place = found
            .ok()
            .and_then(|at| self.clusters.get(at))
            .ok_or_else(|| bad("not in the map".into()))?;
        let mut packed = vec![0; usize::try_from(place.len).map_err(io::Error::other)?];
        self.source.read_exact_at(place.offset, &mut packed)?;
        let len = usize::try_from(self.cluster).map_err(io::Error::other)?;
        let out = match self.codec {
            Codec::Zlib => inflate(&packed, len),
            Codec::Zstd => unzstd(&packed, len),
        }?;
        if out.len() == len {
            Ok(out)
        } else {
            Err(bad(format!(
                "decompressed to {} bytes instead of {len}",
                out.len()
            )))
        }
    }
}

/// Raw deflate; what follows the stream in its sectors is ignored.
fn inflate(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; len];
    let mut inflater = flate2::Decompress::new(false);
    inflater
        .decompress(packed, &mut out, flate2::FlushDecompress::Finish)
        .map_err(io::Error::other)?;
    out.truncate(usize::try_from(inflater.total_out()).unwrap_or(len));
    Ok(out)
}

fn unzstd(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut out = Vec::new();
    zstd::stream::read::Decoder::with_buffer(packed)?
        .single_frame()
        .take(len_u64(len))
        .read_to_end(&mut out)?;
    Ok(out)
}

impl ReadAt for Unpacked {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let place = at
                .checked_div(self.cluster)
                .zip(at.checked_rem(self.cluster))
                .ok_or(io::ErrorKind::InvalidData)?;
            let within = usize::try_from(place.1).map_err(io::Error::other)?;
            let done = self.copy(place.0, within, rest)?;
            rest = rest.get_mut(done..).unwrap_or_default();
            at = at.saturating_add(len_u64(done));
        }
        Ok(())
    }
}
