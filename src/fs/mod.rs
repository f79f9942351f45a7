//! Filesystems: bytes to [`crate::tree::Tree`] and back.

pub mod ext4;
pub mod fat;
