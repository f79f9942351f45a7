//! Streams over sources, for decoders.

use crate::report::Report;
use crate::stream::Source;
use crate::units::len_u64;
use std::io::{self, Read, Seek, SeekFrom};

/// The first bytes of `source`, at most `len`.
pub(super) fn head(source: &Source, len: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(source.len()).map_or(len, |whole| whole.min(len));
    let mut out = vec![0; len];
    source.read_exact_at(0, &mut out)?;
    Ok(out)
}

/// A source as a stream with a position.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    at: u64,
}

impl Reader {
    /// A stream that is at the start of `source`.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, at: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let part = buf.get_mut(..len).unwrap_or_default();
        self.source.read_exact_at(self.at, part)?;
        self.at = self.at.saturating_add(len_u64(len));
        Ok(len)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seeking before the start")
        })?;
        Ok(self.at)
    }
}

/// Counts the bytes that are read, and reports progress.
pub(super) struct Watched<'a, R> {
    inner: R,
    count: u64,
    report: &'a dyn Report,
}

impl<'a, R> Watched<'a, R> {
    pub(super) fn new(inner: R, report: &'a dyn Report) -> Self {
        Self {
            inner,
            count: 0,
            report,
        }
    }

    /// Number of bytes read so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = self.inner.read(buf)?;
        self.count = self.count.saturating_add(len_u64(part));
        self.report.advance(len_u64(part));
        Ok(part)
    }
}

impl<R: Seek> Seek for Watched<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
