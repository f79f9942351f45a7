
//! Edits: what makes a system updatable. Each works on trees only; no blocks, no files of the host, no clock.
//! The edits that make an image updatable: each sees the tree and nothing else.
pub mod fstab;
pub mod mender;
pub mod overlay;
pub mod system;
