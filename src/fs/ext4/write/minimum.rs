//! The smallest filesystem that holds a plan.
//!
//! Room does not simply grow with size: at some sizes the journal, the inode tables or the reserved
//! descriptors take a step, and a last group may be too short to be used. The smallest size is
//! therefore the one from which on *every* size has enough room; the one below it has not.

use super::geometry::{Geometry, JOURNAL_TIERS};
use super::plan::Demand;
use super::{Journal, Options};

/// Blocks that a filesystem has to spare; negative when it is too small. `None`: not even its own
/// metadata fit.
pub(super) fn spare(blocks: u32, demand: &Demand, options: &Options) -> Option<i64> {
    let geometry = Geometry::new(blocks, demand.inodes, options)?;
    Some(
        i64::from(geometry.free.blocks())
            - i64::try_from(demand.blocks_in(&geometry)).unwrap_or(i64::MAX),
    )
}

/// More than all steps within one journal size can take together: a rounding of every group's inode
/// table, a reserved descriptor block in every copy, and the inodes of a last group that is not
/// used yet.
fn margin(blocks: u32) -> i64 {
    i64::from(blocks / super::geometry::BLOCKS_PER_GROUP) * 2 + 512
}

/// Below this many blocks (256 GiB) the last step goes block by block; above, a few blocks for each
/// group may be given away.
const EXACT_BELOW: u32 = 64 << 20;

/// The smallest size in blocks; `None` when no size does.
pub(super) fn minimum(demand: &Demand, options: &Options) -> Option<u32> {
    let has_margin =
        |blocks: u32| spare(blocks, demand, options).is_some_and(|spare| spare >= margin(blocks));
    let fits = |blocks: u32| spare(blocks, demand, options).is_some_and(|spare| spare >= 0);
    let mut end = u32::MAX;
    for start in starts(options) {
        if has_margin(start) {
            end = start;
            continue;
        }
        // From `safe` on everything fits, up to where the next journal size begins.
        let (mut below, mut safe) = (start, end);
        while safe - below > 1 {
            let middle = below + (safe - below) / 2;
            if has_margin(middle) {
                safe = middle
            } else {
                below = middle
            }
        }
        let exact = safe < EXACT_BELOW;
        while exact && safe > start && fits(safe - 1) {
            safe -= 1;
        }
        if safe > start {
            return (safe < u32::MAX || fits(safe)).then_some(safe);
        }
        end = start;
    }
    Some(end)
}

/// Where the sizes begin within which the journal has one size, largest first.
fn starts(options: &Options) -> Vec<u32> {
    let tiers = JOURNAL_TIERS
        .iter()
        .rev()
        .map(|(from, _)| *from)
        .filter(|_| options.journal == Journal::Auto);
    tiers.chain([1]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::*;

    /// From the smallest size on, every one is tried for a while, then some.
    #[test]
    fn nothing_above_the_smallest_is_too_small() {
        for (inodes, blocks) in [
            (20, 3),
            (50, 1500),
            (9000, 2000),
            (11, 27_000),
            (11, 31_500),
            (20_000, 60_000),
            (99, 258_000),
        ] {
            for ratio in [4096, 16384] {
                let options = Options {
                    inode_ratio: ratio,
                    ..options()
                };
                let demand = Demand::of(inodes, blocks);
                let smallest = minimum(&demand, &options).unwrap();
                assert!(
                    spare(smallest - 1, &demand, &options).is_none_or(|spare| spare < 0),
                    "{blocks}"
                );
                for size in
                    (smallest..smallest + 2000).chain((smallest..smallest + 700_000).step_by(997))
                {
                    assert!(
                        spare(size, &demand, &options).is_some_and(|spare| spare >= 0),
                        "{blocks}: {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_largest_demands() {
        let most = u64::from(u32::MAX);
        assert_eq!(minimum(&Demand::of(20, most), &options()), None);
        assert_eq!(minimum(&Demand::of(most, 20), &options()), None);
        assert!(minimum(&Demand::of(20, most / 100 * 97), &options()).is_some());
    }
}
