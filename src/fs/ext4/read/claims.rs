//! Who owns which block. Every block belongs to one thing, which also bounds the work that any
//! image can ask for.

use super::error::{Error, Fault, Place};
use std::collections::BTreeMap;

/// The blocks that something owns, as disjoint ranges: first block to the one after the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(BTreeMap<u64, u64>);

impl Claims {
    /// Takes `count` blocks from `start` for the thing at `place`. The caller has checked that the
    /// range does not overflow.
    ///
    /// # Errors
    /// [`Fault::Shared`] when any of them is taken.
    pub(super) fn take(&mut self, place: Place, start: u64, count: u64) -> Result<(), Error> {
        let mut end = start.saturating_add(count);
        let before = self.0.range(..=start).next_back().map(|(s, e)| (*s, *e));
        let after = self.0.range(start..).next().map(|(s, e)| (*s, *e));
        if before.is_some_and(|(_, e)| e > start) || after.is_some_and(|(s, _)| s < end) {
            return Err(place.corrupt(Fault::Shared { start, count }));
        }
        if let Some((s, e)) = after.filter(|(s, _)| *s == end) {
            self.0.remove(&s);
            end = e;
        }
        match before.filter(|(_, e)| *e == start) {
            Some((s, _)) => self.0.insert(s, end),
            None => self.0.insert(start, end),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    #[test]
    fn neighbours_merge_and_overlaps_fail() {
        let mut claims = Claims::default();
        let mut take = |start, count| claims.take(Place::Superblock, start, count).is_ok();
        assert!(take(10, 5) && take(20, 5) && take(15, 5) && take(9, 1));
        for (start, count) in [(9, 1), (24, 1), (0, 10), (0, 100), (12, 3)] {
            assert!(!take(start, count), "{start} {count}");
        }
        assert!(take(25, 1) && take(0, 9));
        assert_eq!(claims.0, BTreeMap::from([(0, 26)]));
    }
}
