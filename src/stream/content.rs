//! [`Content`]: a length and sorted runs of sources, with holes that read as zeros.

use super::places::Places;
use super::read_at::{FileSource, MemSource, ReadAt, Source, Zeros, beyond, common_len};
use crate::units::{align_down, align_up};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A range of a [`Content`] and the position of its bytes in a source.
#[derive(Clone, Debug)]
pub struct Run {
    /// Offset in the content (bytes).
    pub offset: u64,
    /// Length (bytes), never 0.
    pub len: u64,
    /// The source of the bytes.
    pub source: Source,
    /// Offset in `source` (bytes).
    pub source_offset: u64,
}

impl Run {
    /// Offset of the end of the run in the content (bytes).
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// A length in bytes and the runs that fill it, sorted and without overlap; holes between them read
/// as zeros.
#[derive(Clone, Debug, Default)]
pub struct Content {
    len: u64,
    runs: Vec<Run>,
}

impl Content {
    /// A hole of `len` bytes.
    #[must_use]
    pub fn hole(len: u64) -> Self {
        Self {
            len,
            runs: Vec::new(),
        }
    }

    /// These bytes, kept in memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self::whole(Arc::new(MemSource(bytes)))
    }

    /// All of `source` as one run.
    #[must_use]
    pub fn whole(source: Source) -> Self {
        let mut content = Self::hole(source.len());
        content.push(Run {
            offset: 0,
            len: source.len(),
            source,
            source_offset: 0,
        });
        content
    }

    /// Appends a run; a run of length 0 is ignored. Runs must be appended in order. The length
    /// grows to include the run.
    ///
    /// # Panics
    /// If `run` begins before the end of the last one.
    pub fn push(&mut self, run: Run) {
        if run.len == 0 {
            return;
        }
        assert!(
            run.offset >= self.runs.last().map_or(0, Run::end),
            "runs out of order at offset {}",
            run.offset
        );
        self.len = self.len.max(run.end());
        self.runs.push(run);
    }

    /// Appends `other` at `offset`; its holes stay holes.
    pub fn push_content(&mut self, offset: u64, other: &Self) {
        for run in &other.runs {
            self.push(Run {
                offset: offset + run.offset,
                ..run.clone()
            });
        }
        self.len = self.len.max(offset + other.len);
    }

    /// Appends `len` bytes of `other` from byte `start` at `offset`; its holes stay holes. The runs
    /// refer to the sources of `other`, not to `other`.
    pub fn push_range(&mut self, offset: u64, other: &Self, start: u64, len: u64) {
        let end = start.saturating_add(len).min(other.len);
        for run in &other.runs[other.index_at(start)..] {
            if run.offset >= end {
                break;
            }
            let from = run.offset.max(start);
            self.push(Run {
                offset: offset + (from - start),
                len: run.end().min(end) - from,
                source: Arc::clone(&run.source),
                source_offset: run.source_offset + (from - run.offset),
            });
        }
        self.len = self.len.max(offset + end.saturating_sub(start));
    }

    /// Appends bytes at `offset`.
    pub fn push_bytes(&mut self, offset: u64, bytes: impl Into<Arc<[u8]>>) {
        let bytes: Arc<[u8]> = bytes.into();
        self.push(Run {
            offset,
            len: bytes.len() as u64,
            source: Arc::new(MemSource(bytes)),
            source_offset: 0,
        });
    }

    /// Turns holes within `ranges` (sorted, in bytes) into runs of zeros, so that they belong to
    /// the content. Blocks of `grain` bytes in which a run begins or ends count as covered.
    pub fn cover(&mut self, ranges: &[Range<u64>], grain: u64) {
        let zeros: Source = Arc::new(Zeros(ranges.last().map_or(0, |last| last.end)));
        let mut gaps = Vec::new();
        for range in ranges {
            let mut at = range.start;
            let within = &self.runs[self.index_at(range.start)..];
            for run in within.iter().take_while(|run| run.offset < range.end) {
                gaps.push(at..align_down(run.offset, grain));
                at = align_up(run.end(), grain);
            }
            gaps.push(at..range.end);
        }
        for gap in gaps.into_iter().filter(|gap| gap.start < gap.end) {
            self.len = self.len.max(gap.end);
            let (offset, len) = (gap.start, gap.end - gap.start);
            self.runs.push(Run {
                offset,
                len,
                source: Arc::clone(&zeros),
                source_offset: offset,
            });
        }
        self.runs.sort_by_key(|run| run.offset);
    }

    /// The ranges that runs cover (bytes), rounded to whole blocks of `grain` bytes and merged.
    #[must_use]
    pub fn covered(&self, grain: u64) -> Vec<Range<u64>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        for run in &self.runs {
            let range = align_down(run.offset, grain)..align_up(run.end(), grain);
            match out.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => out.push(range),
            }
        }
        out
    }

    /// How many bytes at the start of both contents are the same, in whole blocks of `grain` bytes:
    /// runs where the other has runs, with equal bytes, and holes where it has holes. Bytes of the
    /// same place in the same source are not read.
    ///
    /// # Errors
    /// I/O errors of the sources.
    pub fn common_start(&self, other: &Self, grain: u64) -> io::Result<u64> {
        let end = self.len.min(other.len);
        let (mut a, mut b) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        let mut at = 0;
        while at < end {
            while a.next_if(|run| run.end() <= at).is_some() {}
            while b.next_if(|run| run.end() <= at).is_some() {}
            let (one, two) = (a.peek().copied(), b.peek().copied());
            let until = |run: Option<&Run>| match run {
                Some(run) if run.offset > at => run.offset,
                Some(run) => run.end(),
                None => end,
            };
            let next = end.min(until(one)).min(until(two));
            let begun = |run: &&Run| run.offset <= at;
            let same = match (one.filter(begun), two.filter(begun)) {
                (None, None) => next,
                (Some(one), Some(two)) => at + same_bytes(one, two, at..next)?,
                _ => at,
            };
            if same < next {
                return Ok(align_down(same, grain));
            }
            at = next;
        }
        Ok(align_down(end, grain))
    }

    /// The runs, sorted by offset.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Sets the length (bytes); a longer content ends in a hole.
    ///
    /// # Panics
    /// If a run ends after `len`.
    pub fn set_len(&mut self, len: u64) {
        assert!(
            len >= self.runs.last().map_or(0, Run::end),
            "length {len} cuts a run"
        );
        self.len = len;
    }

    /// Reserves memory for so many more runs.
    pub fn reserve(&mut self, runs: usize) {
        self.runs.reserve_exact(runs);
    }

    /// Frees memory reserved for more runs.
    pub fn compact(&mut self) {
        self.runs.shrink_to_fit();
    }

    /// Total length of all runs (bytes).
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.runs.iter().map(|run| run.len).sum()
    }

    /// All bytes of a content that is known to be small; fails if it is longer than `limit` bytes.
    ///
    /// # Errors
    /// I/O errors of the sources, or [`io::ErrorKind::FileTooLarge`].
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len > limit {
            let text = format!("{} bytes exceed the limit of {limit} bytes", self.len);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut out = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        self.read_exact_at(0, &mut out)?;
        Ok(out)
    }

    /// Index of the first run that ends after `offset`.
    fn index_at(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.end() <= offset)
    }
}

/// How many bytes of `range` of a content are the same in both runs, which contain it, from its
/// start.
fn same_bytes(one: &Run, two: &Run, range: Range<u64>) -> io::Result<u64> {
    let len = range.end - range.start;
    let [at, place] = [one, two].map(|run| run.source_offset + (range.start - run.offset));
    if Arc::ptr_eq(&one.source, &two.source) && at == place {
        return Ok(len);
    }
    common_len((&*one.source, at), (&*two.source, place), len)
}

impl ReadAt for Content {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.len);
        let end = end.ok_or_else(|| beyond(offset, buf.len(), self.len))?;
        let mut done = offset;
        for run in &self.runs[self.index_at(offset)..] {
            if run.offset >= end {
                break;
            }
            let start = run.offset.max(offset);
            let stop = run.end().min(end);
            let at = |position: u64| usize::try_from(position - offset).unwrap_or(usize::MAX);
            buf[at(done)..at(start)].fill(0);
            run.source.read_exact_at(
                run.source_offset + (start - run.offset),
                &mut buf[at(start)..at(stop)],
            )?;
            done = stop;
        }
        let at = usize::try_from(done - offset).unwrap_or(usize::MAX);
        buf[at..].fill(0);
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        for run in &self.runs[self.index_at(offset)..] {
            let start = run.offset.max(offset);
            let base = run.source_offset + (start - run.offset);
            let stop = run.source_offset + run.len;
            if let Some(found) = run
                .source
                .next_data(base)?
                .filter(|found| found.start < stop)
            {
                let place = |position: u64| run.offset + (position - run.source_offset);
                return Ok(Some(place(found.start)..place(found.end.min(stop))));
            }
        }
        Ok(None)
    }

    fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
        let mut done = range.start;
        for run in &self.runs[self.index_at(range.start)..] {
            if run.offset >= range.end {
                break;
            }
            let (start, stop) = (run.offset.max(range.start), run.end().min(range.end));
            places.push_zeros(start - done);
            let base = run.source_offset + (start - run.offset);
            if !run.source.places(base..base + (stop - start), places) {
                return false;
            }
            done = stop;
        }
        places.push_zeros(range.end - done);
        true
    }
}

impl From<FileSource> for Content {
    fn from(source: FileSource) -> Self {
        Self::whole(Arc::new(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_read_as_zeros_and_are_found() {
        let mut content = Content::hole(0);
        content.push_bytes(4, *b"abcd");
        content.push_bytes(10, *b"xy");
        content.set_len(14);
        assert_eq!(content.read_all(100).unwrap(), b"\0\0\0\0abcd\0\0xy\0\0");
        assert_eq!(content.next_data(0).unwrap(), Some(4..8));
        assert_eq!(content.next_data(6).unwrap(), Some(6..8));
        assert_eq!(content.next_data(8).unwrap(), Some(10..12));
        assert_eq!(content.next_data(12).unwrap(), None);
        let mut outer = Content::hole(3);
        outer.push_content(3, &content);
        let mut buf = [9; 5];
        outer.read_exact_at(6, &mut buf).unwrap();
        assert_eq!(&buf, b"\0abcd");
        assert!(outer.read_exact_at(15, &mut buf).is_err());
        let mut part = Content::hole(1);
        part.push_range(1, &content, 6, 5);
        assert_eq!(part.read_all(9).unwrap(), b"\0cd\0\0x");
        assert!(content.read_all(13).is_err());
    }

    #[test]
    fn covered_zeros_belong_to_the_content_but_hold_no_data() {
        let mut content = Content::hole(100);
        content.push_bytes(12, *b"abc");
        content.push_bytes(40, *b"xy");
        content.cover(&[4..24, 36..48, 60..64], 4);
        assert_eq!(content.covered(4), [4..24, 36..48, 60..64]);
        assert_eq!(content.next_data(0).unwrap(), Some(12..15));
        assert_eq!(content.next_data(15).unwrap(), Some(40..42));
        assert_eq!(content.next_data(42).unwrap(), None);
        let bytes = content.read_all(100).unwrap();
        assert_eq!((&bytes[12..15], &bytes[40..42]), (&b"abc"[..], &b"xy"[..]));
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 5);
    }

    #[test]
    fn the_common_start_ends_where_a_byte_or_a_hole_differs() {
        let golden: Source = Arc::new(Content::bytes(vec![7; 40]));
        let with = |own: &[u8], len| {
            let mut content = Content::hole(0);
            content.push_bytes(4, own);
            content.push(Run {
                offset: 12,
                len: 20,
                source: Arc::clone(&golden),
                source_offset: 3,
            });
            content.set_len(len);
            content
        };
        let one = with(b"abcdefgh", 64);
        let starts = |other: &Content| {
            let start = one.common_start(other, 4).unwrap();
            assert_eq!(other.common_start(&one, 4).unwrap(), start);
            start
        };
        assert_eq!(starts(&with(b"abcdefgh", 64)), 64);
        assert_eq!(starts(&with(b"abcdefgh", 42)), 40);
        assert_eq!(starts(&with(b"abcdexgh", 64)), 8);
        assert_eq!(starts(&with(b"abcdefgx", 64)), 8);
        // A hole is not zeros that are there.
        assert_eq!(starts(&with(b"", 64)), 4);
        // The same bytes of another source, cut into other runs.
        let mut copied = Content::hole(0);
        copied.push_bytes(4, *b"abc");
        copied.push_bytes(7, *b"defgh");
        copied.push_bytes(12, vec![7; 17]);
        copied.set_len(64);
        assert_eq!(starts(&copied), 28);
        copied.push_bytes(29, vec![7; 3]);
        copied.set_len(64);
        assert_eq!(starts(&copied), 64);
    }
}
