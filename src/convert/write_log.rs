//! What a file must hold, noted while it was written: its stretches in order, each with a checksum.
//! Reading the file back once gives its SHA-256 and shows that every byte of it is the one that was
//! meant.

use crate::bytes::is_zero;
use crate::digest::Digest;
use crate::problem::Problem;
use crate::stream::{FileSource, ReadAt};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::ops::Range;

/// How much is read at once (bytes).
const BUFFER: u64 = 1 << 18;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The stretches of a file, from its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    parts: Vec<Part>,
    end: u64,
}

/// A stretch.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Bytes.
    len: u64,
    /// CRC-32 of its bytes; `None` for zeros.
    crc: Option<u32>,
}

impl Ledger {
    /// Where the next stretch begins: the length of all (bytes).
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many stretches there are.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// These bytes come next.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.push(Part {
            len: bytes.len() as u64,
            crc: Some(crc32fast::hash(bytes)),
        });
    }

    /// So many zeros come next.
    pub(crate) fn zeros(&mut self, len: u64) {
        self.push(Part { len, crc: None });
    }

    /// The stretches `which` come once more.
    pub(crate) fn again(&mut self, which: Range<usize>) {
        for at in which {
            self.push(self.parts[at]);
        }
    }

    /// All stretches of `other` come next.
    pub(crate) fn append(&mut self, other: &Self) {
        for part in &other.parts {
            self.push(*part);
        }
    }

    fn push(&mut self, part: Part) {
        self.end += part.len;
        self.parts.push(part);
    }

    /// Reads `file` from its start to its end and returns its SHA-256. Holes are not read.
    ///
    /// # Errors
    /// A [`Problem`] with the first stretch that is another than was written; what reading said.
    pub(crate) fn read_back(&self, file: &File) -> Result<Digest> {
        let len = file.metadata()?.len();
        if len != self.end {
            return Err(Problem::new(format!(
                "it has {len} bytes where {} were written",
                self.end
            ))
            .into());
        }
        let source = FileSource::new(file.try_clone()?, len);
        let mut hash = Sha256::new();
        let mut buf = vec![0; BUFFER as usize];
        let mut at = 0;
        for part in &self.parts {
            let range = at..at + part.len;
            let same = match part.crc {
                Some(crc) => crc_of(&source, range.clone(), &mut buf, &mut hash)? == crc,
                None => is_empty(&source, range.clone(), &mut buf, &mut hash)?,
            };
            if !same {
                let text = format!(
                    "bytes {} to {} are not those that were written",
                    range.start, range.end
                );
                return Err(Problem::new(text)
                    .hint("write to another disk, or have this one checked")
                    .into());
            }
            at = range.end;
        }
        Ok(hash.finalize().into())
    }
}

/// The CRC-32 of `range`, all of which goes into `hash`.
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

/// Whether `range` is all zeros, which then go into `hash`.
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

    /// A file of three stretches of bytes with a hole of 300,000 bytes among them, and its ledger.
    fn written() -> (File, Ledger, Vec<u8>) {
        let noise = |len: u32, seed: u32| {
            (0..len).map(move |n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 11) as u8)
        };
        let parts: [Vec<u8>; 3] = [
            noise(1, 3).collect(),
            noise(700_001, 5).collect(),
            noise(12, 7).collect(),
        ];
        let (file, mut ledger, mut whole) =
            (tempfile::tempfile().unwrap(), Ledger::default(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            file.write_all_at(part, whole.len() as u64).unwrap();
            ledger.bytes(part);
            whole.extend(part);
            if index == 1 {
                ledger.zeros(300_000);
                whole.resize(whole.len() + 300_000, 0);
            }
        }
        (file, ledger, whole)
    }

    #[test]
    fn a_file_as_it_was_written_gives_its_sum() {
        let (file, ledger, whole) = written();
        assert_eq!(ledger.end(), whole.len() as u64);
        assert_eq!(
            ledger.read_back(&file).unwrap(),
            <Digest>::from(Sha256::digest(&whole))
        );
        // Zeros that are there instead of a hole.
        file.write_all_at(&whole, 0).unwrap();
        assert_eq!(
            ledger.read_back(&file).unwrap(),
            <Digest>::from(Sha256::digest(&whole))
        );
        let mut twice = ledger.clone();
        twice.again(1..3);
        twice.append(&ledger);
        file.write_all_at(
            &[&whole[1..1_000_002], &whole[..]].concat(),
            whole.len() as u64,
        )
        .unwrap();
        twice.read_back(&file).unwrap();
        assert_eq!(twice.count(), 4 + 2 + 4);
    }

    #[test]
    fn every_byte_counts() {
        let (file, ledger, whole) = written();
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
            let said = format!("{:#}", ledger.read_back(&file).unwrap_err());
            let said = said.lines().next().unwrap_or_default();
            let part = [0..1, 1..700_002, 700_002..1_000_002, 1_000_002..whole.len()]
                .into_iter()
                .find(|part| part.contains(&at));
            let part = part.unwrap();
            assert_eq!(
                said,
                format!(
                    "bytes {} to {} are not those that were written",
                    part.start, part.end
                ),
                "{at}"
            );
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        ledger.read_back(&file).unwrap();
        for len in [whole.len() - 1, whole.len() + 1] {
            file.set_len(len as u64).unwrap();
            let said = format!("{:#}", ledger.read_back(&file).unwrap_err());
            let said = said.lines().next().unwrap_or_default();
            assert_eq!(
                said,
                format!("it has {len} bytes where {} were written", whole.len())
            );
        }
    }
}
