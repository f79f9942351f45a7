//! Blocks that differ: what a device has to write, and what a delta has to carry.

use super::in_pieces;
use crate::stream::Source;
use serde::Serialize;
use std::io;

/// The length of a block (bytes): that of ext4 and of flash translation layers.
pub(super) const BLOCK: usize = 4096;

/// How many blocks of two filesystems differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blocks {
    /// Blocks of 4096 bytes that differ.
    pub different: u64,
    /// Blocks of each of them.
    pub all: u64,
}

/// Compares two filesystems of the same length; `None` if the lengths differ.
pub(super) fn compare(old: &Source, new: &Source) -> io::Result<Option<Blocks>> {
    if old.len() != new.len() {
        return Ok(None);
    }
    let block = u64::try_from(BLOCK).map_err(io::Error::other)?;
    let mut found = Blocks {
        different: 0,
        all: old.len().div_ceil(block),
    };
    in_pieces((&**old, &**new), &mut |one, other| {
        for (one, other) in one.chunks(BLOCK).zip(other.chunks(BLOCK)) {
            found.different = found.different.saturating_add(u64::from(one != other));
        }
        true
    })?;
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::FileSource;
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::sync::Arc;

    /// A file of 10 MiB and a half block with `text` at each of `places`, and holes.
    fn file(places: &[u64], text: &[u8]) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len((10 << 20) + 2048).unwrap();
        for place in places {
            file.seek(SeekFrom::Start(*place)).unwrap();
            file.write_all(text).unwrap();
        }
        Arc::new(FileSource::new(file, (10 << 20) + 2048))
    }

    #[test]
    fn blocks_in_and_beside_holes_are_counted() {
        let old = file(&[5000, 9 << 20], b"x");
        let all = (10 << 20) / 4096 + 1;
        let count = |places: &[u64], text| compare(&old, &file(places, text)).unwrap().unwrap();
        for (places, text, different) in [
            (&[5000, 9 << 20][..], &b"x"[..], 0),
            (&[5000, 9 << 20], b"y", 2),
            (&[5001, 9 << 20], b"x", 1),
            (&[], b"", 2),
            (&[5000, 9 << 20, 10 << 20], b"x", 1),
            (&[4095, 5000, 9 << 20], b"x", 1),
        ] {
            assert_eq!(count(places, text), Blocks { different, all }, "{places:?}");
        }
    }
}
