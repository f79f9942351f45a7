//! The spool: an unlinked temporary file for a decompressed image, with holes for zeros.

use super::{InputFormat, OpenOptions, SourceError, note_spool};
use crate::bytes::is_zero;
use crate::stream::{FileSource, Source};
use crate::units::len_u64;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Length of one read (bytes).
const BUFFER: usize = 1 << 20;
/// Zeros become holes in units of this size (bytes), the block size of common filesystems.
const PIECE: usize = 4096;

/// A spool being written.
pub(super) struct Spool<'a> {
    file: File,
    len: u64,
    data: AtomicU64,
    options: &'a OpenOptions<'a>,
}

impl<'a> Spool<'a> {
    /// Creates an empty spool in the spool directory. It has no name, so it never has to be
    /// removed.
    pub(super) fn new(options: &'a OpenOptions<'a>) -> Result<Self, SourceError> {
        let file = tempfile::tempfile_in(options.spool_dir).map_err(|e| Self::fault(options, e))?;
        Ok(Self {
            file,
            len: 0,
            data: AtomicU64::new(0),
            options,
        })
    }

    /// Reads `input` (decompressed from `form`) to its end into a new spool.
    pub(super) fn fill(
        input: &mut dyn Read,
        form: &InputFormat,
        options: &OpenOptions<'_>,
    ) -> Result<Source, SourceError> {
        let mut spool = Spool::new(options)?;
        spool.append(input, form)?;
        spool.finish()
    }

    /// Appends all of `input`.
    pub(super) fn append(
        &mut self,
        input: &mut dyn Read,
        form: &InputFormat,
    ) -> Result<(), SourceError> {
        let mut buf = vec![0; BUFFER];
        loop {
            let filled = fill(input, &mut buf).map_err(|e| fault(form, e))?;
            if filled == 0 {
                return Ok(());
            }
            self.append_bytes(buf.get(..filled).unwrap_or_default())?;
        }
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let end = self.len.saturating_add(len_u64(bytes.len()));
        if end > self.options.max_size {
            return Err(SourceError::TooLarge(self.options.max_size));
        }
        self.put(self.len, bytes)?;
        self.len = end;
        Ok(())
    }

    /// Writes bytes at `offset`, except zeros; may be called by several threads.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), SourceError> {
        // Data that is not written yet: bytes from `rest` on, their offset, and their length.
        let (mut rest, mut rest_at, mut pending) = (bytes, offset, 0_usize);
        for piece in bytes.chunks(PIECE) {
            if is_zero(piece) {
                let (data, after) = rest.split_at_checked(pending).unwrap_or((rest, &[]));
                self.write_data(data, rest_at)?;
                rest = after.get(piece.len()..).unwrap_or_default();
                rest_at = rest_at
                    .saturating_add(len_u64(pending))
                    .saturating_add(len_u64(piece.len()));
                pending = 0;
            } else {
                pending = pending.saturating_add(piece.len());
            }
        }
        self.write_data(rest, rest_at)
    }

    fn write_data(&self, bytes: &[u8], offset: u64) -> Result<(), SourceError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| Self::fault(self.options, e))?;
        self.data.fetch_add(len_u64(bytes.len()), Ordering::Relaxed);
        Ok(())
    }

    /// The spool as a source of `len` bytes, which [`Self::put`] wrote.
    pub(super) fn finish_at(mut self, len: u64) -> Result<Source, SourceError> {
        self.len = len;
        self.finish()
    }

    /// The spool as a source.
    pub(super) fn finish(self) -> Result<Source, SourceError> {
        self.file
            .set_len(self.len)
            .map_err(|e| Self::fault(self.options, e))?;
        note_spool(self.options, self.len, self.data.load(Ordering::Relaxed));
        Ok(Arc::new(FileSource::new(self.file, self.len)))
    }

    fn fault(options: &OpenOptions<'_>, error: io::Error) -> SourceError {
        SourceError::Spool(options.spool_dir.display().to_string(), error)
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.append_bytes(buf).map_err(io::Error::other)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a decoder: bad data means a damaged input, anything else an error of reading.
pub(super) fn fault(form: &InputFormat, error: io::Error) -> SourceError {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof | Other if *form != InputFormat::Raw => {
            SourceError::Corrupt {
                form: form.clone(),
                what: error.to_string(),
            }
        }
        _ => SourceError::Io(error),
    }
}

/// Fills `buf` as far as `input` goes, and returns the number of bytes.
fn fill(input: &mut dyn Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(part) => filled = filled.saturating_add(part),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
