//! What a tree can hold and an ext4 filesystem cannot.

use crate::units::human;

/// Why a filesystem could not be written. Sizes are in bytes; paths are in the form of
/// [`crate::tree::show`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The filesystem is too small for the tree.
    #[error("{} are needed where a filesystem of {} has room for {}; the smallest that would do has {} bytes", human(*needed), human(*size), human(*available), smallest)]
    NoSpace {
        /// The size that was asked for.
        size: u64,
        /// What files, directories and their administration need.
        needed: u64,
        /// What this size leaves for them.
        available: u64,
        /// The size that is enough ([`super::minimum_size`]).
        smallest: u64,
    },
    /// More than 32-bit block numbers reach.
    #[error(
        "a filesystem of {} bytes exceeds the {} bytes that 32-bit block numbers reach",
        size,
        max
    )]
    TooLarge {
        /// The size asked for or needed.
        size: u64,
        /// The largest size.
        max: u64,
    },
    /// More files than inode numbers.
    #[error("{needed} files exceed the {max} inodes that a filesystem can have")]
    TooManyInodes {
        /// Inodes needed.
        needed: u64,
        /// Largest number of inodes.
        max: u64,
    },
    /// A setting that no filesystem can have.
    #[error("{what} of {value} is out of range ({range})")]
    Setting {
        /// Which one.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
    /// The root's `lost+found` is not a directory.
    #[error("/lost+found: is not a directory")]
    LostFound,
    /// A name that no directory can hold.
    #[error(
        "{path}: a name of {len} bytes that cannot be stored (1 to 255 bytes, neither `.` nor `..`, no `/`, no NUL)"
    )]
    Name {
        /// Where.
        path: String,
        /// Length of the name.
        len: usize,
    },
    /// More hard links than an inode can count.
    #[error("{path}: {links} hard links exceed {max}")]
    Links {
        /// First path of the file.
        path: String,
        /// How many names it has.
        links: u32,
        /// How many it may have.
        max: u32,
    },
    /// A symlink without or with too long a target.
    #[error(
        "{path}: a symlink target of {len} bytes that cannot be stored (1 to {max} bytes, no NUL)"
    )]
    Target {
        /// Where.
        path: String,
        /// Length of the target.
        len: usize,
        /// Longest target.
        max: usize,
    },
    /// A file longer than block numbers within a file reach.
    #[error("{path}: a length of {len} bytes exceeds {max}")]
    FileLength {
        /// Where.
        path: String,
        /// Its length.
        len: u64,
        /// The longest.
        max: u64,
    },
    /// More entries than two levels of index reach.
    #[error("{path}: {entries} entries need {needed} index entries where a directory has {max}")]
    Directory {
        /// Where.
        path: String,
        /// Number of entries.
        entries: usize,
        /// Leaf blocks needed.
        needed: usize,
        /// Leaf blocks possible.
        max: usize,
    },
    /// A time before 1901-12-13 or after 2446-05-10, or a nanosecond out of range.
    #[error(
        "{path}: {which} of {seconds} s and {nanos} ns cannot be stored (-2147483648 to 15032385535 s, below 1000000000 ns)"
    )]
    Time {
        /// Where.
        path: String,
        /// Which of the times.
        which: &'static str,
        /// Its seconds.
        seconds: i64,
        /// Its nanoseconds.
        nanos: u32,
    },
    /// Device numbers of more than 12 and 20 bits.
    #[error("{path}: device numbers {major}:{minor} exceed 4095:1048575")]
    Device {
        /// Where.
        path: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An extended attribute whose name ext4 cannot store.
    #[error("{path}: extended attribute `{name}` has no place in ext4")]
    AttributeName {
        /// Where.
        path: String,
        /// Its full name.
        name: String,
    },
    /// Extended attributes that fit neither into the inode nor into one block.
    #[error(
        "{path}: extended attributes that do not fit into the inode need {needed} bytes where a block has {available}"
    )]
    AttributeSpace {
        /// Where.
        path: String,
        /// Bytes needed in the block.
        needed: usize,
        /// Bytes the block has.
        available: usize,
    },
    /// An access control list that is none.
    #[error("{path}: {name} of {len} bytes is not an access control list of version 2")]
    Acl {
        /// Where.
        path: String,
        /// Name of the attribute.
        name: String,
        /// Its length.
        len: usize,
    },
}
