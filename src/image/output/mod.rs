//! Output formats of disk images. An image in another format is a [`crate::stream::Content`] that
//! refers to the bytes of the raw image, so making it copies nothing. A [`BlockMap`] accompanies a
//! raw image.

mod bmap;
pub mod container;
mod qcow2;
mod simg;
pub mod sparse_file;

pub use bmap::{BlockMap, BlockMapError, KnownDigests, MappedRange, RangeHasher, range_digests};
pub use qcow2::qcow2;
pub use simg::android_sparse;

use crate::stream::ReadAt;
use std::io;
use std::ops::Range;

/// The numbers of all units of `unit` bytes that contain data, as merged ranges.
fn units(image: &dyn ReadAt, unit: u64) -> io::Result<Vec<Range<u64>>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while let Some(data) = image.next_data(at)? {
        let range = data.start / unit..data.end.div_ceil(unit);
        match out.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
        at = data.end;
    }
    Ok(out)
}
