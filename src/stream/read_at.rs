//! Sources that can be read at any offset.

use super::places::Places;
use crate::input_file;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// How many bytes from the start of two ranges of `len` bytes are the same; of each, the source and
/// the offset in it (bytes).
///
/// # Errors
/// I/O errors of both sources.
pub(crate) fn common_len(
    (one, at): (&dyn ReadAt, u64),
    (other, place): (&dyn ReadAt, u64),
    len: u64,
) -> io::Result<u64> {
    /// Bytes that are compared at a time.
    const STEP: usize = 1 << 16;
    let step = usize::try_from(len).map_or(STEP, |len| len.min(STEP));
    let (mut left, mut right) = (vec![0; step], vec![0; step]);
    let mut done = 0;
    while done < len {
        let part = usize::try_from(len - done).map_or(step, |rest| rest.min(step));
        one.read_exact_at(at + done, &mut left[..part])?;
        other.read_exact_at(place + done, &mut right[..part])?;
        if left[..part] != right[..part] {
            let same = left.iter().zip(&right).take_while(|(l, r)| l == r);
            return Ok(done + same.count() as u64);
        }
        done += part as u64;
    }
    Ok(len)
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
    extents: Extents,
}

/// What was found out about where a file has data: small files of an image are many, and each asks
/// (on ext4 a call takes tens of microseconds).
#[derive(Debug, Default)]
struct Extents {
    /// By their ends (bytes): where a range of data begins, and where the hole before it is known
    /// to begin.
    known: Mutex<BTreeMap<u64, (u64, u64)>>,
}

impl Extents {
    /// The most ranges that are remembered.
    const LIMIT: usize = 1 << 16;

    /// The data at or after `offset`, if that was found out before.
    fn find(&self, offset: u64) -> Option<Range<u64>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, (start, hole)) = known.range(offset + 1..).next()?;
        (*hole <= offset).then(|| offset.max(*start)..*end)
    }

    /// Remembers that `data` is the first at or after `offset`.
    fn add(&self, offset: u64, data: &Range<u64>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::LIMIT {
            known.clear();
        }
        let (start, hole) = known
            .get(&data.end)
            .copied()
            .unwrap_or((data.start, offset));
        known.insert(data.end, (start.min(data.start), hole.min(offset)));
    }
}

impl FileSource {
    /// `file` with its length in bytes, which for a block device is not in its metadata.
    #[must_use]
    pub fn new(file: File, len: u64) -> Self {
        Self {
            file,
            len,
            extents: Extents::default(),
        }
    }

    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// I/O errors of opening it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = input_file::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::new(file, len))
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
        if let Some(known) = self.extents.find(offset) {
            return Ok(Some(known));
        }
        // All reads are positioned, so the shared file position may be changed here; races of other
        // threads do not affect the result.
        let start = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(_) => return Ok(Some(offset..self.len)),
        };
        let end = seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.len);
        if start >= self.len {
            return Ok(None);
        }
        let data = start..end.clamp(start, self.len);
        self.extents.add(offset, &data);
        Ok(Some(data))
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
    fn two_ranges_are_the_same_up_to_the_first_byte_that_differs() {
        let bytes: Vec<u8> = (0..=250).cycle().take(200_000).collect();
        let one = MemSource(bytes.clone().into());
        for at in [0, 1, 65_535, 65_536, 131_072, 199_998] {
            let mut changed = bytes[1..].to_vec();
            changed[at] ^= 1;
            let other = MemSource(changed.into());
            let same = common_len((&one, 1), (&other, 0), 199_999).unwrap();
            assert_eq!(same, at as u64);
            assert_eq!(common_len((&one, 1), (&other, 0), same).unwrap(), same);
        }
        assert!(common_len((&one, 1), (&one, 1), 200_000).is_err());
    }

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

    #[test]
    fn holes_are_found_whichever_is_asked_for_first() {
        use std::io::Write as _;
        // Data, hole and data, in blocks of any filesystem.
        const PART: u64 = 1 << 20;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; PART as usize]).unwrap();
        file.write_all_at(&[2; PART as usize], 3 * PART).unwrap();
        file.set_len(6 * PART).unwrap();
        let new = || FileSource::new(file.try_clone().unwrap(), 6 * PART);
        let offsets: Vec<u64> = (0..24).map(|at| at * PART / 4 + 7).collect();
        let fresh: Vec<_> = offsets
            .iter()
            .map(|at| new().next_data(*at).unwrap())
            .collect();
        let asked = new();
        for order in [1, 5, 7, 11] {
            for at in 0..offsets.len() {
                let at = at * order % offsets.len();
                assert_eq!(asked.next_data(offsets[at]).unwrap(), fresh[at], "{at}");
            }
        }
        assert_eq!(asked.next_data(6 * PART).unwrap(), None);
    }

    #[test]
    fn what_is_known_of_holes_is_bounded() {
        let extents = Extents::default();
        for at in 0..2 * Extents::LIMIT as u64 {
            extents.add(10 * at, &(10 * at + 5..10 * at + 10));
        }
        let known = extents.known.lock().unwrap().len();
        assert!(known <= Extents::LIMIT, "{known}");
        let last = 20 * Extents::LIMIT as u64 - 10;
        assert_eq!(extents.find(last), Some(last + 5..last + 10));
        assert_eq!(extents.find(last + 7), Some(last + 7..last + 10));
        assert_eq!(extents.find(last + 10), None);
        assert_eq!(extents.find(0), None);
    }
}
