//! qcow2 version 3 (`docs/interop/qcow2.txt` of QEMU), uncompressed: header, reference counts, L1,
//! L2, then the clusters with data.

use super::units;
use crate::stream::{Content, Run, Source};
use crate::units::{KIB, align_up};
use std::io;

/// Bytes of a cluster: QEMU's default.
const CLUSTER: u64 = 64 * KIB;
/// Entries of 8 bytes in a cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Reference counts of 2 bytes in a cluster.
const COUNTS: u64 = CLUSTER / 2;
/// Bit 63 of L1 and L2 entries: the reference count is exactly one.
const COPIED: u64 = 1 << 63;

/// Number of clusters of each part of the file, in this order, after the one of the header.
#[derive(Debug)]
struct Parts {
    table: u64,
    blocks: u64,
    l1: u64,
    l2: u64,
    data: u64,
}

impl Parts {
    /// Sizes the reference counts, which count their own clusters too.
    fn new(l1: u64, l2: u64, data: u64) -> Self {
        let mut parts = Self {
            table: 1,
            blocks: 1,
            l1,
            l2,
            data,
        };
        loop {
            let blocks = parts.total().div_ceil(COUNTS);
            let table = blocks.div_ceil(ENTRIES);
            if blocks <= parts.blocks && table <= parts.table {
                return parts;
            }
            (parts.blocks, parts.table) = (blocks, table);
        }
    }

    fn total(&self) -> u64 {
        1 + self.table + self.blocks + self.l1 + self.l2 + self.data
    }

    /// Offsets of the reference blocks, L1, the L2 tables and the data (bytes).
    fn offsets(&self) -> [u64; 4] {
        let blocks = 1 + self.table;
        let l1 = blocks + self.blocks;
        let l2 = l1 + self.l1;
        [blocks, l1, l2, l2 + self.l2].map(|cluster| cluster * CLUSTER)
    }
}

/// `image` as a qcow2 file; holes are unallocated clusters.
///
/// # Errors
/// I/O errors of the image.
pub fn qcow2(image: &Source) -> io::Result<Content> {
    let ranges = units(&**image, CLUSTER)?;
    let l1_entries = image.len().div_ceil(CLUSTER).div_ceil(ENTRIES).max(1);
    let clusters = || ranges.iter().cloned().flatten();
    let mut tables: Vec<u64> = clusters().map(|cluster| cluster / ENTRIES).collect();
    tables.dedup();
    let count = clusters().count() as u64;
    let parts = Parts::new(
        (l1_entries * 8).div_ceil(CLUSTER),
        tables.len() as u64,
        count,
    );
    let [blocks, l1, l2, data] = parts.offsets();

    let mut out = Content::hole(0);
    out.push_bytes(0, header(image.len(), l1_entries, l1, parts.table));
    let table: Vec<u64> = (0..parts.blocks)
        .map(|index| blocks + index * CLUSTER)
        .collect();
    out.push_bytes(CLUSTER, bytes(&table));
    out.push_bytes(
        blocks,
        1u16.to_be_bytes()
            .repeat(usize::try_from(parts.total()).map_err(io::Error::other)?),
    );
    let mut first = vec![0; usize::try_from(l1_entries).map_err(io::Error::other)?];
    for (index, table) in (0..).zip(&tables) {
        first[usize::try_from(*table).map_err(io::Error::other)?] = (l2 + index * CLUSTER) | COPIED;
    }
    out.push_bytes(l1, bytes(&first));
    let mut second = vec![0; usize::try_from(parts.l2 * ENTRIES).map_err(io::Error::other)?];
    let mut table = 0;
    for (index, cluster) in (0..).zip(clusters()) {
        while tables[table] != cluster / ENTRIES {
            table += 1;
        }
        let slot = table as u64 * ENTRIES + cluster % ENTRIES;
        second[usize::try_from(slot).map_err(io::Error::other)?] =
            (data + index * CLUSTER) | COPIED;
    }
    out.push_bytes(l2, bytes(&second));
    let mut at = data;
    for range in &ranges {
        let offset = range.start * CLUSTER;
        let len = (range.end * CLUSTER).min(image.len()) - offset;
        out.push(Run {
            offset: at,
            len,
            source: image.clone(),
            source_offset: offset,
        });
        at += align_up(len, CLUSTER);
    }
    out.set_len(parts.total() * CLUSTER);
    Ok(out)
}

fn bytes(entries: &[u64]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|entry| entry.to_be_bytes())
        .collect()
}

fn header(size: u64, l1_entries: u64, l1: u64, table: u64) -> Vec<u8> {
    let word = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = b"QFI\xfb".to_vec();
    out.extend(word(3));
    out.extend([0; 12]); // no backing file
    out.extend(word(16)); // 2^16 bytes in a cluster
    out.extend(size.to_be_bytes());
    out.extend([0; 4]); // not encrypted
    out.extend(word(l1_entries));
    out.extend(l1.to_be_bytes());
    out.extend(CLUSTER.to_be_bytes()); // the reference table is the second cluster
    out.extend(word(table));
    out.extend([0; 12]); // no snapshots
    out.extend([0; 24]); // no features
    out.extend(word(4)); // 2^4 bits in a reference count
    out.extend(word(104)); // bytes of this header
    out.extend([0; 8]); // no extensions
    out
}
