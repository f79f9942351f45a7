//! Edits: what makes a system updatable. Each works on trees only; no blocks, no files of the host,
//! no clock.

pub mod apply;
pub mod changes;
pub mod fstab;
pub mod mender;
pub mod overlay;
pub mod system;
pub mod user;
