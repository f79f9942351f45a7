//! Sources that can be read at any offset.

use super::places::Places;
use crate::input_file;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A source of fixed length that can be read at any offset, from several threads at once.
pub trait ReadAt: Send + Sync + fmt::Debug {
    /// Length (bytes).
    fn len(&self) -> u64;

    /// Whether the length is 0.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset` (bytes).
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the range exceeds the source; I/O errors of the source.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// The first range (bytes) at or after `offset` that may contain bytes other than zero;
    /// everything between `offset` and its start is zero. `None` if everything up to the end is
    /// zero. The range may include zeros.
    ///
    /// # Errors
    /// I/O errors of the source.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok((offset < self.len()).then(|| offset..self.len()))
    }

    /// Appends where `range` (bytes), which lies within the source, comes from; false if that is
    /// not known.
    fn places(&self, _range: Range<u64>, _places: &mut Places) -> bool {
        false
    }
}

/// A shared [`ReadAt`].
pub type Source = Arc<dyn ReadAt>;

/// The error of a range that exceeds its source of `end` bytes.
pub(crate) fn beyond(offset: u64, len: usize, end: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{len} bytes at offset {offset} exceed the length of {end} bytes"),
    )
}

/// Fails unless `len` bytes at `offset` lie within `end` bytes.
pub(super) fn check(offset: u64, len: usize, end: u64) -> io::Result<()> {
    let inside = u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .is_some_and(|stop| stop <= end);
    if inside {
        Ok(())
    } else {
        Err(beyond(offset, len, end))
    }
}

/// Bytes in memory.
#[derive(Clone)]
pub struct MemSource(pub Arc<[u8]>);

impl fmt::Debug for MemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemSource({} bytes)", self.0.len())
    }
}

impl ReadAt for MemSource {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.len())?;
        let start = usize::try_from(offset).map_err(|_| beyond(offset, buf.len(), self.len()))?;
        buf.copy_from_slice(&self.0[start..start + buf.len()]);
        Ok(())
    }
}

/// This many zeros, as data that must be zero; a hole of a [`super::Content`] in contrast may be
/// skipped by a block map.
#[derive(Clone, Copy, Debug)]
pub struct Zeros(pub u64);

impl ReadAt for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.0)?;
        buf.fill(0);
        Ok(())
    }

    fn next_data(&self, _offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok(None)
    }

    fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
        places.push_zeros(range.end - range.start);
        true
    }
}

/// An open file or block device of the host; holes are detected.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    /// `file` with its length in bytes, which for a block device is not in its metadata.
    #[must_use]
    pub fn new(file: File, len: u64) -> Self {
        Self { file, len }
    }

    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// I/O errors of opening it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = input_file::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl ReadAt for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.len)?;
        let len = buf.len();
        let place = |e: io::Error| {
            io::Error::new(
                e.kind(),
                format!("reading {len} bytes at offset {offset}: {e}"),
            )
        };
        self.file.read_exact_at(buf, offset).map_err(place)
    }

    #[cfg(target_os = "linux")]
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        use rustix::fs::{SeekFrom, seek};
        if offset >= self.len {
            return Ok(None);
        }
        // All reads are positioned, so the shared file position may be changed here; races of other
        // threads do not affect the result.
        let start = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(_) => return Ok(Some(offset..self.len)),
        };
        let end = seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.len);
        Ok((start < self.len).then(|| start..end.clamp(start, self.len)))
    }
}

/// A file of the host that is opened for each read, so that there can be thousands of them.
#[derive(Debug)]
pub struct HostFile {
    path: PathBuf,
    len: u64,
}

impl HostFile {
    /// The file at `path` with its current length (bytes).
    #[must_use]
    pub fn new(path: PathBuf, len: u64) -> Self {
        Self { path, len }
    }
}

impl ReadAt for HostFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.len)?;
        let named =
            |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", self.path.display()));
        input_file::open(&self.path)
            .and_then(|file| file.read_exact_at(buf, offset))
            .map_err(named)
    }
}

/// A range of a source, such as a partition of a disk.
#[derive(Clone, Debug)]
pub struct Slice {
    inner: Source,
    start: u64,
    len: u64,
}

impl Slice {
    /// `len` bytes of `inner` from `start`, truncated to the end of `inner`.
    #[must_use]
    pub fn new(inner: Source, start: u64, len: u64) -> Self {
        let len = len.min(inner.len().saturating_sub(start));
        Self { inner, start, len }
    }
}

impl ReadAt for Slice {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(offset, buf.len(), self.len)?;
        self.inner.read_exact_at(self.start + offset, buf)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        if offset >= self.len {
            return Ok(None);
        }
        let found = self.inner.next_data(self.start + offset)?;
        Ok(found.and_then(|range| {
            let start = range.start - self.start;
            (start < self.len).then(|| start..(range.end - self.start).min(self.len))
        }))
    }

    fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
        let range = self.start + range.start..self.start + range.end;
        self.inner.places(range, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_stays_inside() {
        let inner: Source = Arc::new(MemSource((0u8..100).collect()));
        let slice = Slice::new(inner, 90, 50);
        assert_eq!(slice.len(), 10);
        let mut buf = [0; 4];
        slice.read_exact_at(6, &mut buf).unwrap();
        assert_eq!(buf, [96, 97, 98, 99]);
        assert_eq!(
            slice.read_exact_at(7, &mut buf).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(slice.next_data(3).unwrap(), Some(3..10));
    }
}
