//! Gzip members (RFC 1952) of buffers that are in memory as a whole, in both directions, by
//! libdeflate (`docs/decisions/0003-gzip.md`).
//!
//! The header of a member has time 0 and operating system 255, "unknown" (RFC 1952, section 2.3),
//! so a member is the same on all hosts.

use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor, crc32};
use std::cell::RefCell;
use std::io;

/// The longest chunk that is compressed as a rule (bytes).
pub(super) const LONGEST: usize = 2 << 20;

/// What a thread keeps between members, because setting it up for each would take longer than a
/// short member. Members do not affect each other.
#[derive(Default)]
struct Kept {
    /// Compressors with their levels, few.
    compressors: Vec<(u32, Compressor)>,
    decompressor: Option<Decompressor>,
    /// Output of either, at least as long as the longest so far (bytes).
    buffer: Vec<u8>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// The highest level of libdeflate at which chunks that hardly shrink are stored. Those who ask for
/// more want every byte.
const STORES: u32 = 5;
/// Length of a part of a chunk whose bytes are counted, of which there are [`COUNTED`] (bytes).
const COUNTED_LEN: usize = 512;
const COUNTED: usize = 16;
/// Length of a part of a chunk that is compressed on trial, of which there are [`TRIED`] (bytes):
/// more than the 32 KiB that a match can be away.
const TRIED_LEN: usize = 40 << 10;
const TRIED: usize = 4;

/// The level of libdeflate for a level of gzip, 1 to 9: up to 8, the fastest whose frames are
/// smaller than those of `gzip` and of `zlib-rs` at that level.
pub(super) fn libdeflate_level(level: u32) -> u32 {
    match level {
        6..=8 => level - 1,
        _ => level,
    }
}

/// Puts `chunk` as one member, at a level of libdeflate from 0 (stored) to 12, in the place of
/// `frame`. Up to [`STORES`], a chunk that hardly shrinks is stored: whatever was compressed or
/// encrypted before takes longest, for nothing.
///
/// # Errors
/// If there is no such level.
pub(super) fn compress(chunk: &[u8], level: u32, frame: &mut Vec<u8>) -> io::Result<()> {
    KEPT.with_borrow_mut(|kept| {
        let is_stored = level <= STORES && kept.hardly_shrinks(chunk)?;
        let out = kept.member(chunk, if is_stored { 0 } else { level })?;
        frame.clear();
        // Frames stay in memory: without spare capacity.
        frame.reserve_exact(out.len());
        frame.extend_from_slice(out);
        Ok(())
    })
}

impl Kept {
    /// `chunk` as one member, at this level of libdeflate.
    fn member(&mut self, chunk: &[u8], level: u32) -> io::Result<&[u8]> {
        let known = self.compressors.iter().position(|(of, _)| *of == level);
        let at = match known {
            Some(at) => at,
            None => {
                self.compressors.push((level, compressor(level)?));
                self.compressors.len() - 1
            }
        };
        let (_, compressor) = &mut self.compressors[at];
        let most = compressor.gzip_compress_bound(chunk.len());
        let longest = compressor.gzip_compress_bound(LONGEST);
        let out = part(&mut self.buffer, most, longest);
        let len = compressor
            .gzip_compress(chunk, out)
            .map_err(io::Error::other)?;
        Ok(&out[..len])
    }

    /// Whether parts all over `chunk` have all bytes equally often, and others, which are longer,
    /// save less than one byte of 64 at the fastest level. The first is found out in no time, and
    /// few chunks are left for the second.
    fn hardly_shrinks(&mut self, chunk: &[u8]) -> io::Result<bool> {
        if chunk.len() < TRIED * TRIED_LEN || !has_even_bytes(chunk) {
            return Ok(false);
        }
        for part in parts(chunk, TRIED, TRIED_LEN) {
            if self.member(part, 1)?.len() < TRIED_LEN - TRIED_LEN / 64 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether each byte is about as frequent as the others in parts of `chunk`: the sum of the squares
/// of their frequencies is at most 15 % larger than it must be. That of random bytes is 3 % larger.
fn has_even_bytes(chunk: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    for part in parts(chunk, COUNTED, COUNTED_LEN) {
        for byte in part {
            counts[usize::from(*byte)] += 1;
        }
    }
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    let all = (COUNTED * COUNTED_LEN) as u64;
    squares * 256 * 100 <= all * all * 115
}

/// `count` parts of `len` bytes, at equal distances from the start of `chunk` on, which is at least
/// as long as all of them.
fn parts(chunk: &[u8], count: usize, len: usize) -> impl Iterator<Item = &[u8]> {
    let all = chunk.chunks_exact(chunk.len() / count);
    all.take(count).map(move |part| &part[..len])
}

fn compressor(level: u32) -> io::Result<Compressor> {
    let known = i32::try_from(level).ok();
    known
        .and_then(|level| CompressionLvl::new(level).ok())
        .map(Compressor::new)
        .ok_or_else(|| io::Error::other(format!("libdeflate has no level {level}")))
}

/// Fails unless `frame` is one member, from its first to its last byte, that decompresses to
/// `chunk`.
///
/// # Errors
/// That it is not.
pub(super) fn verify(frame: &[u8], chunk: &[u8]) -> io::Result<()> {
    KEPT.with_borrow_mut(|kept| {
        let decompressor = kept.decompressor.get_or_insert_with(Decompressor::new);
        let plain = part(&mut kept.buffer, chunk.len(), chunk.len());
        let len = decompressor
            .gzip_decompress(frame, plain)
            .map_err(|e| match e {
                DecompressionError::BadData => io::Error::other("it is damaged"),
                DecompressionError::InsufficientSpace => {
                    io::Error::other("it decompresses to more bytes")
                }
            })?;
        if plain[..len] != *chunk {
            return Err(io::Error::other("it decompresses to other bytes"));
        }
        // The decompressor ignores what follows a member: its trailer must be at the end.
        let [crc, len] = [u64::from(crc32(chunk)), len as u64].map(low_word);
        if frame.ends_with(&[crc, len].concat()) {
            Ok(())
        } else {
            Err(io::Error::other("it does not end with its checksum"))
        }
    })
}

/// The low 32 bits of `value`, the lowest byte first.
fn low_word(value: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = value.to_le_bytes();
    [a, b, c, d]
}

/// The first `len` bytes of `buffer`. If it is shorter, one of `longest` bytes takes its place:
/// growing chunk by chunk would leave memory behind each time.
fn part(buffer: &mut Vec<u8>, len: usize, longest: usize) -> &mut [u8] {
    if buffer.len() < len {
        *buffer = Vec::new();
        *buffer = vec![0; len.max(longest)];
    }
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read as _;

    fn compress(chunk: &[u8], level: u32) -> io::Result<Vec<u8>> {
        let mut frame = b"another".to_vec();
        super::compress(chunk, level, &mut frame)?;
        Ok(frame)
    }

    fn text(lines: u32) -> Vec<u8> {
        (0..lines)
            .flat_map(|n| format!("line {} of {n}\n", n.wrapping_mul(n) % 1009).into_bytes())
            .collect()
    }

    #[test]
    fn another_decoder_reads_every_level_and_none_is_larger_than_the_first() {
        let plain = text(60_000);
        let first = compress(&plain, 1).unwrap().len();
        assert!(first < plain.len() / 3, "{first}");
        for level in 1..=12 {
            let frame = compress(&plain, level).unwrap();
            let mut found = Vec::new();
            let mut decoder = MultiGzDecoder::new(&frame[..]);
            decoder.read_to_end(&mut found).unwrap();
            assert!(found == plain, "{level}");
            assert!(frame.len() <= first, "{level}: {} bytes", frame.len());
            // Magic, deflate, no flags, time 0; then the hint of the level, unknown system.
            assert_eq!(frame[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
            assert_eq!(frame[9], 255);
        }
        for level in [13, u32::MAX] {
            assert!(compress(b"x", level).is_err(), "{level}");
        }
    }

    /// Bytes that do not shrink.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state.to_be_bytes()[0]
        });
        bytes.take(len).collect()
    }

    #[test]
    fn chunks_that_hardly_shrink_are_stored() {
        let noise = noise(1 << 20);
        let is_stored = |chunk: &[u8], level| {
            let frame = compress(chunk, level).unwrap();
            verify(&frame, chunk).unwrap();
            frame.len() > chunk.len()
        };
        // What shrinks is between the parts that are looked at.
        let mut mostly = noise.clone();
        mostly[52_000..62_000].fill(b' ');
        let stored: Vec<_> = (1..=12)
            .filter(|level| is_stored(&mostly, *level))
            .collect();
        // Whoever asks for more gets every byte.
        assert_eq!(stored, [1, 2, 3, 4, 5]);
        assert!(is_stored(&mostly[2000..][..256 << 10], 5));
        assert!(!is_stored(&mostly[2000..][..TRIED * TRIED_LEN - 1], 5));
        // Every byte is as frequent as the others, but there are matches.
        let repeated = noise[..30_000].repeat(35);
        assert!(has_even_bytes(&repeated) && !is_stored(&repeated, 5));
        assert!(compress(&repeated, 5).unwrap().len() < 50_000);
        let counted: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        assert!(has_even_bytes(&counted) && !is_stored(&counted, 5));
        // One part shrinks: the last that is tried.
        let mut part = noise.clone();
        part[(3 << 18) + 1000..(3 << 18) + 2000].fill(7);
        assert!(has_even_bytes(&part) && !is_stored(&part, 5));
        assert!(!has_even_bytes(&text(60_000)));
        let letters: Vec<u8> = noise.iter().map(|byte| byte & 0x7f).collect();
        assert!(!has_even_bytes(&letters));
    }

    #[test]
    fn short_members_and_such_that_do_not_shrink_fit() {
        let noise = noise(2 << 20);
        for len in [0, 1, 17, 65_535, 65_536, noise.len()] {
            for level in [1, 6, 12] {
                let frame = compress(&noise[..len], level).unwrap();
                verify(&frame, &noise[..len]).unwrap();
                // Five bytes for each block, which has at least 5000.
                assert!(
                    frame.len() <= len + len / 900 + 40,
                    "{len}: {}",
                    frame.len()
                );
            }
        }
    }

    #[test]
    fn what_is_not_exactly_one_member_is_refused() {
        let plain = text(5000);
        let frame = compress(&plain, 6).unwrap();
        let error = |frame: &[u8], plain: &[u8]| verify(frame, plain).unwrap_err().to_string();
        verify(&frame, &plain).unwrap();
        assert_eq!(error(&frame, &plain[1..]), "it decompresses to more bytes");
        assert_eq!(
            error(&frame, &[&plain[..], b"x"].concat()),
            "it decompresses to other bytes"
        );
        error(&frame[..frame.len() - 1], &plain);
        let followed = "it does not end with its checksum";
        assert_eq!(error(&[&frame[..], &[0]].concat(), &plain), followed);
        let mut flipped = frame.clone();
        // The checksum, which is next to the last in a member.
        flipped[frame.len() - 6] ^= 1;
        assert_eq!(error(&flipped, &plain), "it is damaged");
    }
}
