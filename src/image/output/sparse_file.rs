//! Writes contents to a file: sparse, and copied by the kernel where possible.

use crate::bytes::is_zero;
use crate::stream::{FileSource, ReadAt};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Holes of written files are multiples of this (bytes), the block size of common filesystems.
const GRAIN: usize = 4096;
/// Length of one read (bytes).
const PART: u64 = 1 << 20;

/// Writes `bytes` at `offset`, except blocks of zeros; `file` must have a hole there.
///
/// # Errors
/// I/O errors of the file.
pub(crate) fn write_sparse(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut start = None;
    for (index, block) in bytes.chunks(GRAIN).enumerate() {
        let at = index * GRAIN;
        match (is_zero(block), start) {
            (true, Some(from)) => {
                file.write_all_at(&bytes[from..at], offset + from as u64)?;
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    match start {
        Some(from) => file.write_all_at(&bytes[from..], offset + from as u64),
        None => Ok(()),
    }
}

/// Writes a content at `offset`; its holes and blocks of zeros become holes, so `file` must have a
/// hole there.
///
/// # Errors
/// I/O errors of source or file.
pub(crate) fn write_content(file: &File, offset: u64, content: &dyn ReadAt) -> io::Result<()> {
    each_part(content, &mut |at, bytes| {
        write_sparse(file, offset + at, bytes)
    })
}

/// Calls `f` with all data of a content in order, in parts of at most 1 MiB that begin at multiples
/// of it.
///
/// # Errors
/// I/O errors of the content; errors of `f`.
pub(crate) fn each_part(
    content: &dyn ReadAt,
    f: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = 0;
    let mut buf = vec![0; PART as usize];
    while let Some(range) = content.next_data(at)? {
        at = range.start - range.start % PART;
        let len = PART.min(content.len() - at) as usize;
        content.read_exact_at(at, &mut buf[..len])?;
        f(at, &buf[..len])?;
        at += len as u64;
    }
    Ok(())
}

/// Copies the range `from` of one file to `to` in another or the same, which is a hole there; holes
/// stay holes. The kernel copies, by sharing blocks where the filesystem can.
///
/// # Errors
/// I/O errors of the files.
pub(crate) fn copy_sparse(
    source: &File,
    from: Range<u64>,
    target: &File,
    to: u64,
) -> io::Result<()> {
    let data = FileSource::new(source.try_clone()?, from.end);
    let mut at = from.start;
    while let Some(range) = data.next_data(at)? {
        let len = range.end - range.start;
        copy_range(
            source,
            range.start,
            target,
            to + (range.start - from.start),
            len,
        )?;
        at = range.end;
    }
    Ok(())
}

/// Copies a range from one file to another.
///
/// # Errors
/// I/O errors of the file.
pub(crate) fn copy_range(
    from: &File,
    mut from_offset: u64,
    to: &File,
    mut to_offset: u64,
    mut len: u64,
) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    while len > 0 {
        let part = usize::try_from(len.min(1 << 30)).unwrap_or(1 << 30);
        match rustix::fs::copy_file_range(
            from,
            Some(&mut from_offset),
            to,
            Some(&mut to_offset),
            part,
        ) {
            Ok(done) if done > 0 => len -= done as u64,
            // Not supported by these filesystems or this kernel: copied below.
            _ => break,
        }
    }
    let mut buf = vec![0; usize::try_from(len.min(PART)).unwrap_or(0)];
    while len > 0 {
        let part = usize::try_from(len.min(PART)).unwrap_or(0);
        from.read_exact_at(&mut buf[..part], from_offset)?;
        to.write_all_at(&buf[..part], to_offset)?;
        from_offset += part as u64;
        to_offset += part as u64;
        len -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let mut content = Content::hole(0);
        content.push_bytes(5_000, vec![7; 10_000]);
        content.push_bytes(3 << 20, vec![0; 1 << 20]);
        content.push_bytes(9 << 20, vec![9; 5]);
        content.set_len(10 << 20);
        let file = tempfile::tempfile().unwrap();
        file.set_len(32 << 20).unwrap();
        write_content(&file, 1 << 20, &content).unwrap();
        copy_sparse(&file, 1 << 20..11 << 20, &file, 15 << 20).unwrap();
        let plain = content.read_all(1 << 30).unwrap();
        for start in [1 << 20, 15 << 20] {
            let mut back = vec![1; plain.len()];
            file.read_exact_at(&mut back, start).unwrap();
            assert!(back == plain);
        }
        assert!(file.metadata().unwrap().blocks() * 512 < 200_000);
    }
}
