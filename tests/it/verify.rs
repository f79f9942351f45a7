//! Verification is itself verified: a good image has no finding, and each kind of damage has
//! exactly its own.

pub(crate) mod codes;
mod compatibility;
mod ext4;
mod ext4_kinds;
mod fat;
mod foreign_images;
mod identity;
mod image;
mod matrix;
mod record;
mod relations;
mod startup;
mod startup_cases;
mod table;
mod trust;
mod uboot;

use goldsmith::stream::{ReadAt, Source};
use goldsmith::verify::{self, Outcome, Request};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Bytes with some of them replaced; the base is shared.
#[derive(Debug)]
struct Patched {
    base: Arc<Vec<u8>>,
    bytes: BTreeMap<u64, u8>,
}

impl ReadAt for Patched {
    fn len(&self) -> u64 {
        self.base.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.len());
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buf.copy_from_slice(&self.base[offset as usize..end as usize]);
        for (at, byte) in self.bytes.range(offset..end) {
            buf[(at - offset) as usize] = *byte;
        }
        Ok(())
    }
}

/// Where, and the bytes that are put there.
type Patch = (u64, Vec<u8>);

/// `base` with stretches of bytes replaced.
fn patched(base: &Arc<Vec<u8>>, patches: &[Patch]) -> Source {
    let each = patches
        .iter()
        .flat_map(|(at, bytes)| (*at..).zip(bytes.iter().copied()));
    Arc::new(Patched {
        base: Arc::clone(base),
        bytes: each.collect(),
    })
}

fn verify(source: &Source) -> Outcome {
    verify::image(source, &Request::default())
}

/// The codes of all findings, each once.
fn codes(outcome: &Outcome) -> Vec<&'static str> {
    let mut codes: Vec<&str> = outcome
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Panics with all findings unless their codes are exactly `expected`.
fn expect(outcome: &Outcome, expected: &[&str], what: &str) {
    let text: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    assert_eq!(codes(outcome), expected, "{what}\n{}", text.join("\n"));
}

fn le32(bytes: &[u8], at: u64) -> u32 {
    let at = at as usize;
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn le64(bytes: &[u8], at: u64) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}
