//! Many conversions in one run: the targets of a fleet.
//!
//! [`run::convert`] converts them on this machine: each golden image is read once, and what is the
//! same in several targets is compressed once. Every target is written as it would be alone.
//! [`actions::actions`] lists what other machines would have to do instead.

pub mod actions;
mod inputs;
pub mod matrix;
pub mod program;
pub mod remote;
mod response;
pub mod run;
