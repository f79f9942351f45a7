//! Where the parts of a FAT filesystem of some size are.

use super::super::Error;
use super::super::format::{ENTRY, FatKind};
use super::RequestedKind;
use crate::units::{KIB, SECTOR, align_up};

/// The least and most clusters that tell each kind; 16 away from the limits, since readers disagree
/// about them (fatgen103 asks so).
const FAT12_MOST: u64 = 4084 - 16;
pub(super) const FAT16_LEAST: u64 = 4085 + 16;
const FAT16_MOST: u64 = 65_524 - 16;
pub(super) const FAT32_LEAST: u64 = 65_525 + 16;
/// The sizes of clusters that every reader takes (bytes).
const CLUSTERS: [u64; 7] = [512, KIB, 2 * KIB, 4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB];
/// Clusters of FAT32 grow beyond 4 KiB only when there would be more than this many.
const FAT32_COMFORT: u64 = 1 << 21;
/// Copies of the table.
pub(super) const FATS: u64 = 2;
/// The root directory of FAT12 and FAT16 has at least this many entries.
const ROOT_ENTRIES: usize = 512;
/// Clusters begin at a multiple of this, as flash memory likes it (bytes).
const ALIGN: u64 = 4 * KIB;

/// Where everything lies; in sectors but for `cluster`.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) kind: FatKind,
    pub(super) total: u32,
    pub(super) reserved: u64,
    pub(super) fat: u64,
    pub(super) root: u64,
    /// Bytes of a cluster.
    pub(super) cluster: u64,
    pub(super) clusters: u64,
}

impl Layout {
    /// Lays out `total` sectors; `None` when nothing is left for clusters.
    fn new(kind: FatKind, total: u32, cluster: u64, root_entries: usize) -> Option<Self> {
        let (per_cluster, sectors) = (cluster / SECTOR, u64::from(total));
        let least = if kind == FatKind::Fat32 { 32 } else { 1 };
        let root = if kind == FatKind::Fat32 {
            0
        } else {
            (root_entries * ENTRY) as u64 / SECTOR
        };
        let mut layout = Self {
            kind,
            total,
            reserved: least,
            fat: 1,
            root,
            cluster,
            clusters: 0,
        };
        loop {
            let start = layout.data_of(least);
            layout.reserved = least + align_up(start, (ALIGN.max(cluster)) / SECTOR) - start;
            layout.clusters = sectors.checked_sub(layout.data())? / per_cluster;
            let needed = ((layout.clusters + 2) * kind.bits()).div_ceil(8 * SECTOR);
            if needed <= layout.fat {
                return (layout.clusters > 0).then_some(layout);
            }
            layout.fat = needed;
        }
    }

    fn data_of(&self, reserved: u64) -> u64 {
        reserved + FATS * self.fat + self.root
    }

    /// The sector where cluster 2 begins.
    pub(super) fn data(&self) -> u64 {
        self.data_of(self.reserved)
    }

    /// Whether the number of clusters says the same kind to every reader.
    fn fits_kind(&self) -> bool {
        let range = match self.kind {
            FatKind::Fat12 => 1..=FAT12_MOST,
            FatKind::Fat16 => FAT16_LEAST..=FAT16_MOST,
            FatKind::Fat32 => FAT32_LEAST..=0x0fff_fff5,
        };
        range.contains(&self.clusters)
    }

    pub(super) fn root_entries(&self) -> u64 {
        self.root * SECTOR / ENTRY as u64
    }

    /// Where a cluster begins (bytes).
    pub(super) fn offset(&self, cluster: u32) -> u64 {
        self.data() * SECTOR + u64::from(cluster.saturating_sub(2)) * self.cluster
    }
}

/// Chooses kind and cluster size for a filesystem of `size` bytes whose root directory has
/// `root_len` bytes; `None` when the size is out of the range of the kind.
pub(super) fn choose(
    size: u64,
    kind: RequestedKind,
    root_len: usize,
) -> Result<Option<Layout>, Error> {
    let total = u32::try_from(size / SECTOR)
        .map_err(|_| Error::Options(format!("{size} bytes are too many for FAT")))?;
    let root = root_len / ENTRY;
    let root_entries = root
        .max(ROOT_ENTRIES)
        .next_multiple_of(ALIGN as usize / ENTRY);
    let make =
        |kind, cluster| Layout::new(kind, total, cluster, root_entries).filter(Layout::fits_kind);
    // The root directory of FAT12 and FAT16 has a 16-bit count of entries.
    let fixed_root = u16::try_from(root_entries).is_ok();
    let small = |kind| {
        CLUSTERS
            .into_iter()
            .filter(|_| fixed_root)
            .find_map(|cluster| make(kind, cluster))
    };
    let fat32 = || {
        let largest = CLUSTERS
            .into_iter()
            .rev()
            .filter(|cluster| *cluster <= 4 * KIB)
            .find_map(|cluster| make(FatKind::Fat32, cluster))?;
        let larger = CLUSTERS
            .into_iter()
            .filter(|cluster| *cluster > largest.cluster)
            .filter_map(|cluster| make(FatKind::Fat32, cluster));
        Some(
            [largest.clone()]
                .into_iter()
                .chain(larger)
                .find(|layout| layout.clusters <= FAT32_COMFORT)
                .unwrap_or(largest),
        )
    };
    Ok(match kind {
        RequestedKind::Auto => fat32()
            .or_else(|| small(FatKind::Fat16))
            .or_else(|| small(FatKind::Fat12)),
        RequestedKind::Fat16 => small(FatKind::Fat16),
        RequestedKind::Fat32 => fat32(),
    })
}
