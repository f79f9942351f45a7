//! The write log: the expected content of a file, recorded while it is written as segments with a
//! checksum each. Reading the file back once yields its SHA-256 and proves that every byte is the
//! one that was written. What is read back may be read as soon as it was written ([`follow`]).

use crate::bytes::is_zero;
use crate::digest::Digest;
use crate::problem::Problem;
use crate::stream::{FileSource, ReadAt};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::ops::Range;
use std::sync::mpsc::Receiver;

/// Length of one read (bytes).
const BUFFER: u64 = 1 << 18;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The segments of a file, from its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteLog {
    segments: Vec<Segment>,
    end: u64,
}

/// A range of the file with its checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Length (bytes).
    len: u64,
    /// CRC-32; `None` for zeros.
    crc: Option<u32>,
}

impl Segment {
    /// Its length (bytes).
    pub(crate) fn len(self) -> u64 {
        self.len
    }
}

impl WriteLog {
    /// Total length of all segments (bytes), which is where the next one begins.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Number of segments.
    pub(crate) fn count(&self) -> usize {
        self.segments.len()
    }

    /// Appends a segment of these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_segment(Segment {
            len: bytes.len() as u64,
            crc: Some(crc32fast::hash(bytes)),
        });
    }

    /// Appends a segment of `len` zeros.
    pub(crate) fn push_zeros(&mut self, len: u64) {
        self.push_segment(Segment { len, crc: None });
    }

    /// The segments `which`.
    pub(crate) fn between(&self, which: Range<usize>) -> &[Segment] {
        &self.segments[which]
    }

    /// Appends all segments of `other`.
    pub(crate) fn append(&mut self, other: &Self) {
        for part in &other.segments {
            self.push_segment(*part);
        }
    }

    /// Appends a segment that is known.
    pub(crate) fn push_segment(&mut self, part: Segment) {
        self.end += part.len;
        self.segments.push(part);
    }

    /// The last segment.
    pub(crate) fn last(&self) -> Option<Segment> {
        self.segments.last().copied()
    }

    /// Reads `file` from its start to its end and returns its SHA-256. Holes are not read.
    ///
    /// # Errors
    /// A [`Problem`] with the first segment that differs from what was written; I/O errors of the
    /// file.
    pub(crate) fn read_back(&self, file: &File) -> Result<Digest> {
        read_back(file, self.segments.iter().copied())
    }
}

/// As [`WriteLog::read_back`], while the file is still written: each segment is read when it comes,
/// and must be in the file then. The length of the file is that of all segments when no more come.
///
/// # Errors
/// As [`WriteLog::read_back`].
pub(crate) fn follow(file: &File, segments: Receiver<Segment>) -> Result<Digest> {
    read_back(file, segments.into_iter())
}

fn read_back(file: &File, segments: impl Iterator<Item = Segment>) -> Result<Digest> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; BUFFER as usize];
    let mut at = 0;
    let source = FileSource::new(file.try_clone()?, u64::MAX);
    let mut differs = None;
    for part in segments {
        let range = at..at + part.len;
        at = range.end;
        // The others are counted.
        if differs.is_some() {
            continue;
        }
        let same = match part.crc {
            Some(crc) => crc_of(&source, range.clone(), &mut buf, &mut hash).map(|it| it == crc),
            None => is_empty(&source, range.clone(), &mut buf, &mut hash),
        };
        differs = match same {
            Ok(true) => None,
            Ok(false) => Some(Ok(range)),
            Err(error) => Some(Err(error)),
        };
    }
    let len = file.metadata()?.len();
    if len != at {
        return Err(
            Problem::new(format!("the file has {len} bytes, but {at} were written")).into(),
        );
    }
    if let Some(range) = differs.transpose()? {
        let text = format!(
            "bytes {} to {} differ from what was written",
            range.start, range.end
        );
        return Err(Problem::new(text)
            .hint("check the disk, or write the output to another one")
            .into());
    }
    Ok(hash.finalize().into())
}

/// The CRC-32 of `range`; its bytes are added to `hash`.
fn crc_of(
    source: &FileSource,
    range: Range<u64>,
    buf: &mut [u8],
    hash: &mut Sha256,
) -> Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    for at in range.clone().step_by(BUFFER as usize) {
        let part = &mut buf[..(range.end - at).min(BUFFER) as usize];
        source
            .read_exact_at(at, part)
            .with_context(|| format!("at offset {at}"))?;
        crc.update(part);
        hash.update(&*part);
    }
    Ok(crc.finalize())
}

/// Whether `range` is all zeros; if so they are added to `hash`.
fn is_empty(
    source: &FileSource,
    range: Range<u64>,
    buf: &mut [u8],
    hash: &mut Sha256,
) -> Result<bool> {
    let mut at = range.start;
    while let Some(data) = source.next_data(at)?.filter(|data| data.start < range.end) {
        at = data.start;
        let part = &mut buf[..(data.end.min(range.end) - at).min(BUFFER) as usize];
        source
            .read_exact_at(at, part)
            .with_context(|| format!("at offset {at}"))?;
        if !is_zero(part) {
            return Ok(false);
        }
        at += part.len() as u64;
        if at == range.end {
            break;
        }
    }
    let mut left = range.end - range.start;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        hash.update(&ZEROS[..part as usize]);
        left -= part;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// A file of three segments of bytes with a hole of 300,000 bytes among them, and its log.
    fn written() -> (File, WriteLog, Vec<u8>) {
        let noise = |len: u32, seed: u32| {
            (0..len).map(move |n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 11) as u8)
        };
        let parts: [Vec<u8>; 3] = [
            noise(1, 3).collect(),
            noise(700_001, 5).collect(),
            noise(12, 7).collect(),
        ];
        let (file, mut log, mut whole) = (
            tempfile::tempfile().unwrap(),
            WriteLog::default(),
            Vec::new(),
        );
        for (index, part) in parts.iter().enumerate() {
            file.write_all_at(part, whole.len() as u64).unwrap();
            log.push(part);
            whole.extend(part);
            if index == 1 {
                log.push_zeros(300_000);
                whole.resize(whole.len() + 300_000, 0);
            }
        }
        (file, log, whole)
    }

    #[test]
    fn a_file_as_it_was_written_gives_its_digest() {
        let (file, log, whole) = written();
        assert_eq!(log.end(), whole.len() as u64);
        assert_eq!(
            log.read_back(&file).unwrap(),
            <Digest>::from(Sha256::digest(&whole))
        );
        // Zeros that are there instead of a hole.
        file.write_all_at(&whole, 0).unwrap();
        assert_eq!(
            log.read_back(&file).unwrap(),
            <Digest>::from(Sha256::digest(&whole))
        );
        let mut twice = log.clone();
        for segment in log.between(1..3) {
            twice.push_segment(*segment);
        }
        twice.append(&log);
        file.write_all_at(
            &[&whole[1..1_000_002], &whole[..]].concat(),
            whole.len() as u64,
        )
        .unwrap();
        twice.read_back(&file).unwrap();
        assert_eq!(twice.count(), 4 + 2 + 4);
    }

    /// What a follower says of the file.
    fn followed(file: &File, log: &WriteLog) -> Result<Digest> {
        let (follower, segments) = std::sync::mpsc::channel();
        for segment in &log.segments {
            follower.send(*segment).unwrap();
        }
        drop(follower);
        follow(file, segments)
    }

    #[test]
    fn a_follower_says_what_is_said_when_all_is_written() {
        let (file, log, whole) = written();
        let digest = followed(&file, &log).unwrap();
        assert_eq!(digest, log.read_back(&file).unwrap());
        let message = |file: &File| {
            let error = followed(file, &log).unwrap_err();
            assert_eq!(
                error.to_string(),
                log.read_back(file).unwrap_err().to_string()
            );
            error.to_string()
        };
        // The first difference is told, if the file is as long as it should be.
        for at in [900_000, 5] {
            file.write_all_at(&[whole[at] ^ 0x20], at as u64).unwrap();
        }
        assert!(message(&file).contains("bytes 1 to 700002 differ"));
        file.set_len(100).unwrap();
        assert!(message(&file).contains("the file has 100 bytes, but 1000014 were"));
    }

    #[test]
    fn every_byte_counts() {
        let (file, log, whole) = written();
        for at in (0..whole.len()).step_by(17_357).chain([
            0,
            1,
            700_001,
            700_002,
            1_000_001,
            1_000_002,
            whole.len() - 1,
        ]) {
            file.write_all_at(&[whole[at] ^ 0x20], at as u64).unwrap();
            let message = format!("{:#}", log.read_back(&file).unwrap_err());
            let message = message.lines().next().unwrap_or_default();
            let part = [0..1, 1..700_002, 700_002..1_000_002, 1_000_002..whole.len()]
                .into_iter()
                .find(|part| part.contains(&at));
            let part = part.unwrap();
            assert_eq!(
                message,
                format!(
                    "bytes {} to {} differ from what was written",
                    part.start, part.end
                ),
                "{at}"
            );
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        log.read_back(&file).unwrap();
        for len in [whole.len() - 1, whole.len() + 1] {
            file.set_len(len as u64).unwrap();
            let message = format!("{:#}", log.read_back(&file).unwrap_err());
            let message = message.lines().next().unwrap_or_default();
            assert_eq!(
                message,
                format!("the file has {len} bytes, but {} were written", whole.len())
            );
        }
    }
}
