//! Edits: what makes a system updatable. Each works on trees only; no blocks, no files of the host,
//! no clock.

pub mod fstab;
pub mod mender;
pub mod overlay;
pub mod packages;
pub mod system;
