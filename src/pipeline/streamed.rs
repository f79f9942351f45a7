//! A compressed image held against its plan. Every byte of the stream is looked at once and no filesystem is decoded twice: what the
//! Artifact or slot A hold too is compared as it is stored, the rest is decoded.
//!
//! ```text
//! stream   front | slot A | gap | slot B | gap, data, back
//!         decode   = payload,   = slot A   decode
//!                  or decode
//! ```

use super::emit::Copies;
use crate::image::source::Reader;
use crate::layout::Layout;
use crate::problem::Problem;
use crate::stream::{Compression, Content, ReadAt, Slice, Source, decoder};
use crate::units::MIB;
use anyhow::{Context, Result};
use std::io::{BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

/// How much is compared at once (bytes).
const PART: u64 = MIB;

/// The stream and what is known of it.
pub(crate) struct Streamed<'a> {
    pub(crate) image: &'a Source,
    pub(crate) kind: Compression,
    pub(crate) layout: &'a Layout,
    pub(crate) copies: &'a Copies,
}

impl Streamed<'_> {
    /// Fails unless the stream decodes to `planned`, whose root filesystem has `root_len` bytes; `artifact` was validated by itself.
    ///
    /// # Errors
    /// A [`Problem`] with the place of the first difference; what reading said.
    pub(crate) fn check(&self, planned: &Content, root_len: u64, artifact: &Source) -> Result<()> {
        let (copies, layout, end) = (self.copies, self.layout, self.image.len());
        let a_end = copies.a + copies.len;
        self.decoded(0..copies.a, planned, 0..layout.root_a.start)?;
        match copies.payload {
            Some(payload) => self.stored(copies.a, artifact, payload)?,
            None => self.decoded(copies.a..a_end, planned, layout.root_a.start..layout.root_a.start + root_len)?,
        }
        let behind_a = layout.root_a.start + root_len;
        let Some(b) = copies.b else { return self.decoded(a_end..end, planned, behind_a..planned.len()) };
        self.decoded(a_end..b, planned, behind_a..layout.root_b.start)?;
        self.stored(b, self.image, copies.a)?;
        self.decoded(b + copies.len..end, planned, layout.root_b.start + root_len..planned.len())
    }

    /// The frames at `at` are those at `there` in `other`.
    fn stored(&self, at: u64, other: &Source, there: u64) -> Result<()> {
        let len = self.copies.len;
        let reader = |source: &Source, at| BufReader::new(Reader::new(Arc::new(Slice::new(Arc::clone(source), at, len))));
        equal(&mut reader(self.image, at), &mut reader(other, there), len, at)
    }

    /// The bytes `stored` of the file decode to the bytes `range` of the disk, and to no more.
    fn decoded(&self, stored: Range<u64>, planned: &Content, range: Range<u64>) -> Result<()> {
        if stored.is_empty() && range.is_empty() {
            // No gap behind a filesystem that fills its slot.
            return Ok(());
        }
        let part = Slice::new(Arc::clone(self.image), stored.start, stored.end - stored.start);
        let mut plain = decoder(self.kind, BufReader::with_capacity(1 << 18, Reader::new(Arc::new(part))))?;
        let due: Source = Arc::new(planned.clone());
        let mut due = Reader::new(Arc::new(Slice::new(due, range.start, range.end - range.start)));
        equal(&mut plain, &mut due, range.end - range.start, range.start)?;
        if plain.read(&mut [0])? != 0 {
            return Err(Problem::new(format!("the image does not end where it should, at {}", range.end)).into());
        }
        Ok(())
    }
}

/// Fails unless both give the same `len` bytes, which lie at `at`.
fn equal(found: &mut dyn Read, due: &mut dyn Read, len: u64, at: u64) -> Result<()> {
    let (mut left, mut right) = (vec![0; PART as usize], vec![0; PART as usize]);
    let mut done = 0;
    while done < len {
        let part = usize::try_from(PART.min(len - done)).unwrap_or(0);
        let (left, right) = (&mut left[..part], &mut right[..part]);
        found.read_exact(left).with_context(|| format!("at offset {}", at + done))?;
        due.read_exact(right)?;
        if left != right {
            let inner = left.iter().zip(right.iter()).position(|(a, b)| a != b).unwrap_or(0) as u64;
            return Err(Problem::new(format!("the image is not the planned one from offset {} on", at + done + inner)).into());
        }
        done += part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Extent;
    use crate::stream::{Codec, MemSource};

    const ROOT: u64 = 3000;

    /// A disk of 16 KiB, its stream, and an Artifact whose payload begins at 7.
    fn made(copy: bool, shared: bool) -> (Content, Vec<u8>, Vec<u8>, Layout, Copies) {
        let extent = |start, len| Extent { start, len };
        let layout = Layout {
            boot: extent(1024, 1024),
            root_a: extent(4096, 4096),
            root_b: extent(8192, 4096),
            data: extent(12_288, 2048),
            total: 16_384,
        };
        let root: Vec<u8> = (0..ROOT).map(|at| ((at * at) >> 3) as u8).collect();
        let mut disk = vec![0; 16_384];
        disk[1024..1030].copy_from_slice(b"a boot");
        disk[4096..4096 + ROOT as usize].copy_from_slice(&root);
        if copy {
            disk[8192..8192 + ROOT as usize].copy_from_slice(&root);
        }
        disk[12_288..12_292].copy_from_slice(b"data");
        let codec = Codec::from(Compression::Gzip);
        let pack = |range: Range<usize>| codec.compress(&disk[range]).unwrap();
        let frame = pack(4096..4096 + ROOT as usize);
        let mut image = pack(0..4096);
        let a = image.len() as u64;
        image.extend(&frame);
        image.extend(pack(4096 + ROOT as usize..8192));
        let b = image.len() as u64;
        image.extend(pack(8192..8192 + ROOT as usize));
        image.extend(pack(8192 + ROOT as usize..16_384));
        let copies = Copies { len: frame.len() as u64, a, b: copy.then_some(b), payload: shared.then_some(7) };
        (Content::bytes(disk), image, [b"mender\n".to_vec(), frame, b"tail".to_vec()].concat(), layout, copies)
    }

    #[test]
    fn every_byte_of_a_stream_is_looked_at() {
        let source = |bytes: &[u8]| -> Source { Arc::new(MemSource(bytes.into())) };
        for (copy, shared) in [(true, true), (true, false), (false, true), (false, false)] {
            let (planned, image, artifact, layout, copies) = made(copy, shared);
            let check = |image: &[u8], artifact: &[u8], planned: &Content| {
                let streamed = Streamed { image: &source(image), kind: Compression::Gzip, layout: &layout, copies: &copies };
                streamed.check(planned, ROOT, &source(artifact))
            };
            check(&image, &artifact, &planned).unwrap();
            // A byte of each part; the 10 bytes of a member's header hold fields that mean nothing.
            for at in (12..image.len()).step_by(29) {
                let mut damaged = image.clone();
                damaged[at] ^= 0x10;
                let found = check(&damaged, &artifact, &planned);
                let same = decoder(Compression::Gzip, &damaged[..]).is_ok_and(|mut plain| {
                    let mut bytes = Vec::new();
                    plain.read_to_end(&mut bytes).is_ok() && bytes == planned.read_all(1 << 20).unwrap()
                });
                assert!(found.is_err() || same, "byte {at} with {copies:?}");
            }
            let mut other = planned.read_all(1 << 20).unwrap();
            other[16_000] = 1;
            assert!(check(&image, &artifact, &Content::bytes(other)).is_err());
            assert!(check(&image[..image.len() - 1], &artifact, &planned).is_err());
            assert!(check(&[&image[..], &image[..copies.a as usize]].concat(), &artifact, &planned).is_err());
            if shared {
                let mut damaged = artifact.clone();
                damaged[30] ^= 1;
                assert!(check(&image, &damaged, &planned).is_err());
            }
        }
    }
}
