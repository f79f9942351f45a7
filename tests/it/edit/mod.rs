//! Edits, and what they do on the device.

pub(crate) mod grow_data;
pub(crate) mod manifest;
mod references;
