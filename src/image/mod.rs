//! Disk images: formats, partition tables, and recognition by magic numbers.

pub mod output;
pub(crate) mod probe;
pub mod source;
pub mod table;
