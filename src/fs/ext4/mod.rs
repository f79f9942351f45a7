//! ext2, ext3 and ext4 read into a tree, and ext4 written from one.
//!
//! Both directions share [`mod@format`], the structures as they are on disk.

mod file_layout;
pub mod format;
pub mod read;
mod settings;
pub mod write;

pub use file_layout::{FileLayout, FileLayoutError, FileLocation};
pub use settings::MountSettings;
