//! The slots, and the values of the environment that decide which of them starts.

/// One of the two root filesystems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first root filesystem.
    A,
    /// The second root filesystem.
    B,
}

impl Slot {
    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The three values that decide what starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values {
    /// `mender_boot_part`: the slot to start.
    pub part: Slot,
    /// `upgrade_available`: that slot holds an update which nobody committed yet.
    pub upgrade: bool,
    /// `bootcount`: it was started once. Means nothing without `upgrade`.
    pub count: bool,
}

impl Values {
    /// `part` is the system and no update is pending.
    #[must_use]
    pub fn committed(part: Slot) -> Self {
        Self {
            part,
            upgrade: false,
            count: false,
        }
    }

    /// `part` was just written and shall be tried.
    #[must_use]
    pub fn pending(part: Slot) -> Self {
        Self {
            part,
            upgrade: true,
            count: false,
        }
    }
}
