//! The state of a check of one filesystem.

use super::geometry::Geometry;
use super::table::AllocationTable;
use crate::stream::ReadAt;
use crate::verify::finding::{Location, Log};
use crate::verify::numbers::index;

/// The clusters that some file or directory has.
#[derive(Debug)]
pub(super) struct UsedClusters {
    /// A bit for each cluster, from 0 on.
    words: Vec<u64>,
}

impl UsedClusters {
    /// Room for the clusters up to number `clusters` + 1.
    pub(super) fn new(clusters: u32) -> Self {
        let words = index(clusters.saturating_add(2).div_ceil(64));
        Self {
            words: vec![0; words],
        }
    }

    /// Marks a cluster; false when it was marked before.
    pub(super) fn take(&mut self, cluster: u32) -> bool {
        let Some(word) = self.words.get_mut(index(cluster / 64)) else {
            return false;
        };
        let bit = 1 << (cluster % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Whether a cluster was marked.
    pub(super) fn has(&self, cluster: u32) -> bool {
        self.words
            .get(index(cluster / 64))
            .is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }
}

/// The state of a check of one filesystem.
pub(super) struct Checker<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) partition: Option<u32>,
    pub(super) log: &'a mut Log,
    pub(super) geometry: Geometry,
    pub(super) table: AllocationTable,
    pub(super) used: UsedClusters,
    /// Some chain or directory could not be followed, so not every cluster in use is known.
    pub(super) broken: bool,
}

impl Checker<'_> {
    /// The filesystem as a whole.
    pub(super) fn place(&self) -> Location {
        Location::of(self.partition)
    }

    /// The location of the file at `path`.
    pub(super) fn place_of(&self, path: &str) -> Location {
        self.place().path(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first cluster is number 2, so the last one has the number of clusters plus one.
    #[test]
    fn every_cluster_can_be_marked_once() {
        for clusters in 60..70 {
            let mut used = UsedClusters::new(clusters);
            for cluster in 2..clusters + 2 {
                assert!(!used.has(cluster), "{cluster} of {clusters}");
                assert!(used.take(cluster), "{cluster} of {clusters}");
                assert!(!used.take(cluster), "{cluster} of {clusters}");
                assert!(used.has(cluster), "{cluster} of {clusters}");
            }
        }
    }
}
