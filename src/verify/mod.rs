//! Verification of a finished image: everything that a device relies on is read back and held against everything else.
//!
//! Nothing here asks how the image was made: images of other converters are judged the same way. Checks of a format use code that
//! shares nothing with its writer and reader; checks of relations between files use the readers.

pub mod ext4;
mod finding;
mod slots;
mod table;

pub use finding::{Finding, Group, Log, Outcome, Place, Severity};

use crate::stream::{ReadAt, Slice, Source};
use std::sync::Arc;

/// Verifies a disk image, or a filesystem image by itself.
#[must_use]
pub fn image(disk: &Source) -> Outcome {
    let mut log = Log::default();
    if is_ext(&**disk) && !has_table(&**disk) {
        log.group("filesystem");
        ext4::check(&**disk, None, &mut log);
        return log.finish();
    }
    log.group("partition table");
    let Some(table) = table::check(&**disk, &mut log) else { return log.finish() };
    for partition in &table.partitions {
        let bytes = partition.bytes();
        let source: Source = Arc::new(Slice::new(Arc::clone(disk), bytes.start, bytes.end - bytes.start));
        if is_ext(&*source) {
            log.group(format!("ext4 on partition {}", partition.number));
            ext4::check(&*source, Some(partition.number), &mut log);
        }
    }
    log.finish()
}

/// Whether an ext2, ext3 or ext4 superblock is there.
fn is_ext(source: &dyn ReadAt) -> bool {
    crate::fs::ext4::read::probe(source).unwrap_or(false)
}

/// Whether sector 0 ends like an MBR.
fn has_table(source: &dyn ReadAt) -> bool {
    let mut mark = [0; 2];
    source.read_exact_at(510, &mut mark).is_ok() && mark == [0x55, 0xAA]
}
