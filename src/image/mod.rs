//! Disk images: formats, partition tables, and the magic numbers that tell them.

pub mod output;
pub(crate) mod probe;
pub mod source;
pub mod table;
