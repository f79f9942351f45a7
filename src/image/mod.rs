//! Disk images: the forms in which they come, and the partition tables in them.

pub mod output;
pub mod source;
pub mod table;
