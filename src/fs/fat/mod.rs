//! FAT12, FAT16 and FAT32 with long names: bytes to a [`crate::tree::Tree`] and back, file data
//! never moved.
//!
//! ```text
//! reserved sectors | FAT | FAT | root directory (FAT12, FAT16) | clusters 2, 3, ...
//!   boot sector: BPB           (FAT32: in clusters)              directories, then files in path order, each in one piece
//!   FAT32: FSInfo 1, copies 6, 7
//! ```
//!
//! Source of all format facts: *Microsoft Extensible Firmware Initiative FAT32 File System
//! Specification* 1.03 ("fatgen103"), with the case bits of NT and the label rules as
//! `Documentation/filesystems/vfat.rst` and `fs/fat` of Linux have them. Times are taken as UTC in
//! both directions, as Linux does with `tz=UTC`. Why this does not use a crate:
//! `docs/decisions/0008-fat.md`.

mod format;
mod name;
mod read;
mod time;
mod write;

pub use format::{FatKind, Info};
pub use read::read;
pub use write::{Options, RequestedKind, minimum_size, write};

use std::io;

/// Why a FAT filesystem could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the source failed.
    #[error("reading {len} bytes at offset {offset}: {source}")]
    Io {
        /// Offset in the source (bytes).
        offset: u64,
        /// Bytes that were asked for.
        len: usize,
        /// I/O errors of the source.
        source: io::Error,
    },
    /// The boot sector is none of FAT.
    #[error("no FAT filesystem: {0}")]
    NotFat(String),
    /// The filesystem's own structures disagree.
    #[error("{path}: {what}")]
    Corrupt {
        /// The directory or file.
        path: String,
        /// What is wrong, with the numbers.
        what: String,
    },
    /// A file that FAT has no room in its structures for.
    #[error("{path}: {what}")]
    Unwritable {
        /// The directory or file.
        path: String,
        /// Why FAT cannot hold it.
        what: String,
    },
    /// The volume is too small for the files.
    #[error("the files need a FAT filesystem of {needed} bytes, {size} are there")]
    TooSmall {
        /// What is there (bytes).
        size: u64,
        /// What would be enough (bytes).
        needed: u64,
    },
    /// Options that make no filesystem.
    #[error("{0}")]
    Options(String),
}
