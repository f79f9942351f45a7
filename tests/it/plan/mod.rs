//! Decisions: boards and the images that they are for.

pub(crate) mod boards;
pub(crate) mod golden_variants;
pub(crate) mod hooks;
mod mounts;
pub(crate) mod promises;
pub(crate) mod raspberry_pi;
mod shapes;
pub(crate) mod startup;
