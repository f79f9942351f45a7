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
        /// The largest size that can be written.
        max: u64,
    },
    /// More files than inode numbers.
    #[error("{needed} files exceed the {max} inodes that a filesystem can have")]
    TooManyInodes {
        /// Files and reserved inodes together.
        needed: u64,
        /// Largest number of inodes.
        max: u64,
    },
    /// A setting that no filesystem can have.
    #[error("{what} of {value} is out of range ({range})")]
    Setting {
        /// The setting, as messages call it.
        what: &'static str,
        /// The value that was asked for.
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
        /// Path that ends with the name.
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
        /// First path of the symlink.
        path: String,
        /// Length of the target.
        len: usize,
        /// The longest target that fits.
        max: usize,
    },
    /// A file longer than block numbers within a file reach.
    #[error("{path}: a length of {len} bytes exceeds {max}")]
    FileLength {
        /// First path of the file.
        path: String,
        /// The length of its content.
        len: u64,
        /// The longest content that fits.
        max: u64,
    },
    /// More entries than two levels of index reach.
    #[error("{path}: {entries} entries need {needed} index entries where a directory has {max}")]
    Directory {
        /// Path of the directory.
        path: String,
        /// Number of entries, without `.` and `..`.
        entries: usize,
        /// Index entries that its blocks need.
        needed: usize,
        /// Index entries that two levels have.
        max: usize,
    },
    /// A time before 1901-12-13 or after 2446-05-10, or a nanosecond out of range.
    #[error(
        "{path}: {which} of {seconds} s and {nanos} ns cannot be stored (-2147483648 to 15032385535 s, below 1000000000 ns)"
    )]
    Time {
        /// First path of the file or directory.
        path: String,
        /// Which of the times.
        which: &'static str,
        /// Seconds since 1970-01-01 00:00 UTC.
        seconds: i64,
        /// Nanoseconds; below 1000000000 fit.
        nanos: u32,
    },
    /// Device numbers of more than 12 and 20 bits.
    #[error("{path}: device numbers {major}:{minor} exceed 4095:1048575")]
    Device {
        /// First path of the device.
        path: String,
        /// Major number; 12 bits fit.
        major: u32,
        /// Minor number; 20 bits fit.
        minor: u32,
    },
    /// An extended attribute whose name ext4 cannot store.
    #[error("{path}: extended attribute `{name}` has no place in ext4")]
    AttributeName {
        /// First path of the file or directory.
        path: String,
        /// Its name with the namespace, such as `user.comment`.
        name: String,
    },
    /// Extended attributes that fit neither into the inode nor into one block.
    #[error(
        "{path}: extended attributes that do not fit into the inode need {needed} bytes where a block has {available}"
    )]
    AttributeSpace {
        /// First path of the file or directory.
        path: String,
        /// Bytes needed in the block.
        needed: usize,
        /// Bytes the block has.
        available: usize,
    },
    /// An access control list that is none.
    #[error("{path}: {name} of {len} bytes is not an access control list of version 2")]
    Acl {
        /// First path of the file or directory.
        path: String,
        /// Name of the attribute.
        name: String,
        /// The length of its value.
        len: usize,
    },
}
