//! What the firmware of a Raspberry Pi reads: shared by the boot loaders that it starts, or that it
//! is.

pub(in crate::boot) mod autoboot;
pub(in crate::boot) mod boot_files;
pub(in crate::boot) mod cmdline;
pub(in crate::boot) mod firmware;
pub(in crate::boot) mod ubuntu;
