//! The state machine of an A/B update, as a model: the redundant environment, those who write it,
//! and the power that may fail between and within any two writes. The loaders' scripts and the
//! environment tools implement it; their tests compare them to it.
//!
//! The rows of the table are [`Environment::boot`], the same for every loader:
//!
//! | # | condition | action, in this order | starts |
//! | --- | --- | --- | --- |
//! | 1 | no copy is good | take a copy whose values are in range, else slot A without an update; try to write both copies | by 3-5 |
//! | 2 | one good copy, or two that differ | believe it, or the one of two that counts; mend the other where that is a rewrite | by 3-5 |
//! | 3 | no update pending | write nothing | the slot named |
//! | 4 | update pending, not tried | note the trial | the slot named if the note can be read back, else the other |
//! | 5 | update pending, tried | name the other slot, nothing pending | the other slot |
//! | 6 | a value out of range | the copy is not good: 1, 2 | |
//! | 7 | the chosen slot does not load | load the other, then name it, nothing pending | the other slot |
//! | 8 | neither loads | write nothing, wait, start over | - |
//!
//! One rule stands above the table: **the only good copy is never written to.** Who cannot make the
//! other copy good first leaves the environment alone; what could not be written is written by the
//! running system ([`Environment::finish`]). So one write that the power cuts can never take the
//! last good copy, however often that happens.
//!
//! How the environment is kept is the loader's own way, of which there are two, each twice on the
//! medium:
//!
//! - [`BlockPair`], for GRUB: each copy is two blocks; `lock` says whether the copy is being edited,
//!   `env` holds the values. A writer changes copy 2, then copy 1, each as *lock, values, unlock*.
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
