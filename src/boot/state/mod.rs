//! The state machine of an A/B update, as a model: the redundant environment, its writers, and the
//! power that may fail between and within any two writes. The loaders' scripts and the environment
//! tools implement it; their tests compare them with it.
//!
//! The decision table is the same for every loader. [`Environment::boot`] implements it, and
//! `tests/it/boot/decision_table.rs` assigns each branch of the boot scripts to its row.
//!
//! | # | row | condition | action, in this order | starts |
//! | --- | --- | --- | --- | --- |
//! | 1 | [`Row::NoGoodCopy`] | no copy is good | take a copy whose values are in range, else slot A without an update; try to write both copies | by 3-5 |
//! | 2 | [`Row::CopiesDiffer`] | one copy is good, or both are and differ | believe the good one, or the one of two that counts; repair the other where that needs a rewrite | by 3-5 |
//! | 3 | [`Row::NoUpdate`] | no update is pending | write nothing | the slot named |
//! | 4 | [`Row::FirstTrial`] | an update is pending, not tried yet | note the trial | the slot named if the note can be read back, else the other |
//! | 5 | [`Row::FailedTrial`] | an update is pending and was tried | name the other slot, nothing pending | the other slot |
//! | 6 | [`Row::ValueOutOfRange`] | a value is out of range | the copy is not good: 1, 2 | |
//! | 7 | [`Row::SlotDoesNotLoad`] | no kernel of the chosen slot loads | load the other, then name it, nothing pending | the other slot |
//! | 8 | [`Row::NothingLoads`] | no kernel of either slot loads | write nothing, wait, start over | - |
//!
//! One rule precedes the table: **the only good copy is never written to.** A writer that cannot
//! make the other copy good first leaves the environment alone; the running system writes what the
//! loader could not ([`Environment::finish`]). So no write that the power cuts can take the last
//! good copy, however often that happens.
//!
//! The two loaders keep the environment in their own ways, each twice on the medium:
//!
//! - [`BlockPair`], for GRUB: each copy is two blocks; `lock` says whether the copy is being
//!   edited, `env` holds the values. A writer changes copy 2, then copy 1, each as *lock, values,
//!   unlock*.
//! - [`SerialPair`], for U-Boot: each copy has a serial number and a checksum. A writer changes
//!   the copy that is not believed.

mod blocks;
mod model;
mod power;
mod serial;
mod table;
mod values;

pub use blocks::{Block, BlockPair, EnvCopy};
pub use model::{Environment, Writer};
pub use power::{Cut, Power, PowerCut};
pub use serial::{SerialCopy, SerialPair, is_newer};
pub use table::Row;
pub use values::{Slot, Values};

#[cfg(test)]
mod tests;
