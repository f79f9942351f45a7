//! What a tool did to a boot partition.

use super::driver::Driver;

/// Something that a tool did to the boot partition or the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Put(String, Vec<u8>),
    Overwrite(String, Vec<u8>),
    Delete(String),
    Mkdir(String),
    Rename(String, String),
    /// A new filesystem, without files.
    Format,
    /// All that was written is on its way to the medium.
    SyncAll,
    /// A file is on the medium, and all that was on its way.
    Flush,
    Flag(bool),
}

/// Does to the driver what a tool did; flushes and the flag are the caller's.
pub(crate) fn apply(driver: &mut Driver, op: &Op) {
    match op {
        Op::Put(path, bytes) => driver.put(path, bytes),
        Op::Overwrite(path, bytes) => driver.overwrite(path, bytes),
        Op::Delete(path) => driver.remove(path),
        Op::Mkdir(path) => driver.mkdir(path),
        Op::Rename(from, to) => driver.rename(from, to),
        Op::Format => driver.format(),
        Op::SyncAll | Op::Flush | Op::Flag(_) => {}
    }
}
