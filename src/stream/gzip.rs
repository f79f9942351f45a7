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
    /// The last compressor, with its level.
    compressor: Option<(u32, Compressor)>,
    decompressor: Option<Decompressor>,
    /// Output of either, at least as long as the longest so far (bytes).
    buffer: Vec<u8>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// The level of libdeflate for a level of gzip, 1 to 9: up to 8, the fastest whose frames are
/// smaller than those of `gzip` and of `zlib-rs` at that level.
pub(super) fn libdeflate_level(level: u32) -> u32 {
    match level {
        6..=8 => level - 1,
        _ => level,
    }
}

/// Puts `chunk` as one member, at a level of libdeflate from 0 (stored) to 12, in the place of
/// `frame`.
///
/// # Errors
/// If there is no such level.
pub(super) fn compress(chunk: &[u8], level: u32, frame: &mut Vec<u8>) -> io::Result<()> {
    KEPT.with_borrow_mut(|kept| {
        let (_, compressor) = match kept.compressor.take().filter(|(known, _)| *known == level) {
            Some(known) => kept.compressor.insert(known),
            None => kept.compressor.insert((level, compressor(level)?)),
        };
        let most = compressor.gzip_compress_bound(chunk.len());
        let longest = compressor.gzip_compress_bound(LONGEST);
        let out = part(&mut kept.buffer, most, longest);
        let len = compressor
            .gzip_compress(chunk, out)
            .map_err(io::Error::other)?;
        frame.clear();
        // Frames stay in memory: without spare capacity.
        frame.reserve_exact(len);
        frame.extend_from_slice(&out[..len]);
        Ok(())
    })
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

    #[test]
    fn short_members_and_such_that_do_not_shrink_fit() {
        let mut state = 7_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state.to_be_bytes()[0]
        })
        .take(2 << 20)
        .collect();
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
