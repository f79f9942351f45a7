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

    /// Its number in the table, from 1 on.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

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

#[cfg(test)]
mod tests {
    use super::super::Slot;
    use super::*;

    #[test]
    fn the_table_of_the_documentation_has_these_rows() {
        let rows: Vec<String> = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
            .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" "))
            .collect();
        let named = Row::ALL.map(|row| format!("{} [`Row::{row:?}`]", row.number()));
        assert_eq!(rows, named);
    }

    #[test]
    fn the_values_select_one_of_three_rows() {
        let row = |upgrade, count| {
            Row::of_values(Values {
                part: Slot::B,
                upgrade,
                count,
            })
        };
        assert_eq!(row(false, false), Row::NoUpdate);
        assert_eq!(row(false, true), Row::NoUpdate, "a commit leaves the count");
        assert_eq!(row(true, false), Row::FirstTrial);
        assert_eq!(row(true, true), Row::FailedTrial);
    }
}
