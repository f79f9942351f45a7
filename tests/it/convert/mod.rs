//! Conversions as a whole, and what they must withstand.

mod artifact_only;
pub(crate) mod cache;
pub(crate) mod conversions;
pub(crate) mod determinism;
mod dumps;
pub(crate) mod faults;
pub(crate) mod file_layout;
pub(crate) mod hostile;
pub(crate) mod outputs;
pub(crate) mod partitions;
pub(crate) mod pinned;
pub(crate) mod provisioning;
mod record;
pub(crate) mod sbom;
pub(crate) mod secrets;
pub(crate) mod trust;
