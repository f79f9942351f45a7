//! Formats, each judged by tools that are not ours.

pub(crate) mod artifact;
pub(crate) mod deb;
pub(crate) mod ext4_layout;
pub(crate) mod ext4_read;
pub(crate) mod ext4_write;
pub(crate) mod fat;
pub(crate) mod output;
pub(crate) mod replay;
pub(crate) mod source;
pub(crate) mod table;
