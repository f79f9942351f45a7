//! Power that may fail between and within any two writes.

/// The content that a write leaves when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The old content, as if nothing was written.
    Before,
    /// A block without usable values.
    Blank,
    /// No block at all.
    Missing,
    /// The new content, complete.
    After,
}

impl Cut {
    /// All variants, each once.
    pub const ALL: [Self; 4] = [Self::Before, Self::Blank, Self::Missing, Self::After];
}

/// The error of a write at which the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut;

/// The power supply and the write protection of a medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Write-protected: every write is dropped and reported as failed.
    pub read_only: bool,
    /// The number of writes that still succeed, and the content that the one after leaves.
    pub fails_after: Option<(usize, Cut)>,
    /// The number of writes so far.
    pub writes: usize,
}

impl Power {
    /// Counts one write: `None` when it succeeds, else the content that it leaves.
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
