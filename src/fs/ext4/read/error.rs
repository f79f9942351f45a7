//! What can be wrong with an ext2, ext3 or ext4 filesystem, and where.

use crate::tree::show;
use std::fmt;
use std::io;

/// Where in the filesystem something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The superblock at byte 1024.
    Superblock,
    /// The descriptor of a block group.
    Group(u32),
    /// An inode, by number.
    Inode(u32),
    /// A block of an inode's map or, for a directory, of its content.
    Block {
        /// Number of the inode that has the block.
        ino: u32,
        /// The block, counted from the start of the filesystem.
        block: u64,
    },
    /// A block of extended attributes.
    Attributes(u64),
    /// The superblock of the journal.
    Journal,
    /// A block of the journal, counted from the journal's start.
    Log(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("superblock"),
            Self::Group(group) => write!(f, "block group {group}"),
            Self::Inode(ino) => write!(f, "inode {ino}"),
            Self::Block { ino, block } => write!(f, "inode {ino}: block {block}"),
            Self::Attributes(block) => write!(f, "attribute block {block}"),
            Self::Journal => f.write_str("journal"),
            Self::Log(block) => write!(f, "journal: block {block}"),
        }
    }
}

impl Place {
    pub(super) fn corrupt(self, fault: Fault) -> Error {
        Error::Corrupt { place: self, fault }
    }

    pub(super) fn unsupported(self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            place: self,
            what: what.into(),
        }
    }

    pub(super) fn io(self) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            place: self,
            source,
        }
    }

    /// Fails unless the two checksums are equal.
    pub(super) fn checksum(self, stored: u32, computed: u32) -> Result<(), Error> {
        if stored == computed {
            Ok(())
        } else {
            Err(self.corrupt(Fault::Checksum { stored, computed }))
        }
    }

    /// Fails unless `found` is `expected`.
    pub(super) fn equal(self, what: &'static str, found: u64, expected: u64) -> Result<(), Error> {
        if found == expected {
            Ok(())
        } else {
            Err(self.corrupt(Fault::Differs {
                what,
                found,
                expected,
            }))
        }
    }

    /// Fails unless `min <= found <= max`.
    pub(super) fn within(
        self,
        what: &'static str,
        found: u64,
        min: u64,
        max: u64,
    ) -> Result<(), Error> {
        if (min..=max).contains(&found) {
            Ok(())
        } else {
            Err(self.corrupt(Fault::Outside {
                what,
                found,
                min,
                max,
            }))
        }
    }
}

/// How the bytes contradict the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A checksum is not that of its bytes.
    #[error("checksum {stored:#x} is stored where the bytes give {computed:#x}")]
    Checksum {
        /// The checksum in the filesystem.
        stored: u32,
        /// As the bytes give.
        computed: u32,
    },
    /// A number is not the one it must be.
    #[error("{what} is {found} and must be {expected}")]
    Differs {
        /// The field or property, as messages call it.
        what: &'static str,
        /// The value in the filesystem.
        found: u64,
        /// The value it must have.
        expected: u64,
    },
    /// A number leaves its range.
    #[error("{what} is {found}, outside {min} to {max}")]
    Outside {
        /// The field or property, as messages call it.
        what: &'static str,
        /// The value in the filesystem.
        found: u64,
        /// The smallest it may be.
        min: u64,
        /// The largest it may be.
        max: u64,
    },
    /// The source ends before the filesystem does.
    #[error(
        "the filesystem has {len} bytes, of which the last {} are missing",
        len.saturating_sub(*available)
    )]
    Cut {
        /// Bytes of the filesystem.
        len: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// A block is used for two things.
    #[error("{count} blocks from {start} on are in use for something else already")]
    Shared {
        /// First block of the range claimed second.
        start: u64,
        /// Blocks in the range.
        count: u64,
    },
    /// A directory entry that cannot be.
    #[error("entry `{}`: {fact}", show(.name))]
    Entry {
        /// The entry's name in bytes, not necessarily UTF-8.
        name: Vec<u8>,
        /// What is wrong with it.
        fact: &'static str,
    },
    /// Anything that has no number.
    #[error("{0}")]
    Fact(&'static str),
}

/// Why a filesystem cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes contradict the format or themselves.
    #[error("{place}: {fault}")]
    Corrupt {
        /// The structure with the contradiction.
        place: Place,
        /// The contradiction and its numbers.
        fault: Fault,
    },
    /// The bytes are in order as far as known, but something of theirs cannot be read here.
    #[error("{place}: {what} is not supported")]
    Unsupported {
        /// The structure that asks for the feature.
        place: Place,
        /// The feature, by its name in e2fsprogs where it has one.
        what: String,
    },
    /// Reading the bytes failed.
    #[error("{place}: {source}")]
    Io {
        /// What was being read.
        place: Place,
        /// I/O errors of the source.
        source: io::Error,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Corrupt {
                fault: Fault::Cut { .. },
                ..
            } => Some(
                "copy the whole disk again; if the image was split, join the pieces with cat; if \
                 only the partition is too short, `e2fsck -f` on a copy of the image tells more",
            ),
            Self::Corrupt { .. } => {
                Some("check and repair the filesystem with `e2fsck -f` on a copy of the image")
            }
            Self::Unsupported {
                place: Place::Journal | Place::Log(_),
                ..
            } => Some("let `e2fsck -f` replay the journal on a copy of the image"),
            Self::Unsupported { .. } | Self::Io { .. } => None,
        }
    }
}
