//! Power that may fail between and within any two writes.

/// What is left of a write when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The old content.
    Before,
    /// A block without usable values.
    Blank,
    /// No block.
    Missing,
    /// The new content.
    After,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Before, Self::Blank, Self::Missing, Self::After];
}

/// The power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut;

/// What may happen to the medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Drops every write and says that it failed.
    pub read_only: bool,
    /// How many writes still succeed, and what is left of the one after.
    pub fails_after: Option<(usize, Cut)>,
    /// How many writes were made.
    pub writes: usize,
}

impl Power {
    /// One write: `None` when it goes through, else what is left of it.
    pub(super) fn next_write(&mut self) -> Option<Cut> {
        self.writes += 1;
        match &mut self.fails_after {
            None => None,
            Some((0, cut)) => Some(*cut),
            Some((left, _)) => {
                *left -= 1;
                None
            }
        }
    }
}
