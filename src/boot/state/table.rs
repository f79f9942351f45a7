//! The rows of the decision table by name.

use super::values::Values;

/// A row of the decision table: what the boot loader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// 1: no copy is good.
    NoGoodCopy,
    /// 2: one copy is good, or both are and differ.
    CopiesDiffer,
    /// 3: no update is pending.
    NoUpdate,
    /// 4: an update is pending and was not started yet.
    FirstTrial,
    /// 5: an update is pending and was started before, without a commit since.
    FailedTrial,
    /// 6: a value is out of range, so the copy is not good.
    ValueOutOfRange,
    /// 7: no kernel of the chosen slot loads.
    SlotDoesNotLoad,
    /// 8: no kernel of either slot loads.
    NothingLoads,
}

impl Row {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::NoGoodCopy,
        Self::CopiesDiffer,
        Self::NoUpdate,
        Self::FirstTrial,
        Self::FailedTrial,
        Self::ValueOutOfRange,
        Self::SlotDoesNotLoad,
        Self::NothingLoads,
    ];

    /// The row that decides which slot starts, by the values that are believed: 3, 4 or 5.
    #[must_use]
    pub fn of_values(values: Values) -> Self {
        match (values.upgrade, values.count) {
            (false, _) => Self::NoUpdate,
            (true, false) => Self::FirstTrial,
            (true, true) => Self::FailedTrial,
        }
    }
}
