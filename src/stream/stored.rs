//! Frames that store their bytes uncompressed. Their length depends only on the length of the
//! input, so space can be reserved before the bytes are known.

use crc32fast::hash as crc32;

/// Maximum length of a stored block of deflate (bytes; RFC 1951, section 3.2.4).
const DEFLATE_BLOCK: usize = 65_535;
/// Maximum length of an uncompressed chunk of LZMA2 (bytes).
const LZMA2_CHUNK: usize = 1 << 16;
/// Maximum length of a block of zstd (bytes; RFC 8878, section 3.1.1.2).
const ZSTD_BLOCK: usize = 1 << 17;

/// `chunk` in pieces of at most `size` bytes, each with a flag for the last one; an empty chunk is
/// one empty piece.
fn pieces(chunk: &[u8], size: usize) -> impl Iterator<Item = (&[u8], bool)> {
    let count = chunk.len().div_ceil(size).max(1);
    (0..count).map(move |at| {
        (
            &chunk[at * size..chunk.len().min((at + 1) * size)],
            at + 1 == count,
        )
    })
}

/// The low `N` bytes of `value`, the lowest first: every length here fits by construction.
fn low<const N: usize>(value: usize) -> [u8; N] {
    let bytes = (value as u64).to_le_bytes();
    std::array::from_fn(|at| bytes[at])
}

/// A gzip member of stored blocks: header, blocks of (last, length, its complement, bytes), CRC-32,
/// length.
pub(super) fn gzip(chunk: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for (piece, last) in pieces(chunk, DEFLATE_BLOCK) {
        let len: [u8; 2] = low(piece.len());
        out.push(u8::from(last));
        out.extend(len);
        out.extend(len.map(|byte| !byte));
        out.extend(piece);
    }
    out.extend(crc32(chunk).to_le_bytes());
    out.extend(low::<4>(chunk.len()));
    out
}

/// A zstd frame of raw blocks: single segment, content size in 8 bytes, and its checksum, the low
/// half of XXH64.
pub(super) fn zstd(chunk: &[u8]) -> Vec<u8> {
    // Frame_Header_Descriptor: Frame_Content_Size_flag 3, Single_Segment_flag,
    // Content_Checksum_flag (RFC 8878, 3.1.1.1.1).
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0100];
    out.extend(low::<8>(chunk.len()));
    // A block must not exceed the window, which is the content's size here; the last piece is
    // shorter anyway.
    for (piece, last) in pieces(chunk, ZSTD_BLOCK) {
        out.extend(low::<3>(piece.len() << 3 | usize::from(last)));
        out.extend(piece);
    }
    out.extend(low::<4>(
        usize::try_from(xxh64(chunk) & 0xffff_ffff).unwrap_or_default(),
    ));
    out
}

/// A stream of one block whose only filter is LZMA2 with uncompressed chunks (The .xz File Format,
/// sections 2 to 4; CRC32).
pub(super) fn xz(chunk: &[u8]) -> Vec<u8> {
    const FLAGS: [u8; 2] = [0, 1];
    // Block header: size in words - 1, one filter, LZMA2 (0x21) with one byte of properties: a
    // dictionary of 64 KiB (8).
    const BLOCK: [u8; 8] = [2, 0, 0x21, 1, 8, 0, 0, 0];
    let mut out = vec![0xfd, b'7', b'z', b'X', b'Z', 0];
    checked(&mut out, &FLAGS);
    let start = out.len();
    checked(&mut out, &BLOCK);
    for (at, piece) in chunk.chunks(LZMA2_CHUNK).enumerate() {
        // 1 resets the dictionary, 2 does not; then the length less one, high byte first.
        out.push(if at == 0 { 1 } else { 2 });
        out.extend(low::<2>(piece.len() - 1).iter().rev());
        out.extend(piece);
    }
    out.push(0);
    let unpadded = out.len() - start + 4;
    pad(&mut out);
    out.extend(crc32(chunk).to_le_bytes());
    let index = index(unpadded, chunk.len());
    let backward: [u8; 4] = low((index.len() + 4) / 4 - 1);
    checked(&mut out, &index);
    let footer = [backward.as_slice(), &FLAGS].concat();
    out.extend(crc32(&footer).to_le_bytes());
    out.extend(footer);
    out.extend(b"YZ");
    out
}

/// Appends `bytes` and their CRC32.
fn checked(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.extend(crc32(bytes).to_le_bytes());
}

/// Pads to a multiple of four bytes, at which all parts of .xz begin.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The index of one record, without its CRC32.
fn index(unpadded: usize, uncompressed: usize) -> Vec<u8> {
    let mut out = vec![0, 1];
    for mut value in [unpadded, uncompressed] {
        while value > 0x7f {
            let [byte] = low(value);
            out.push(byte | 0x80);
            value >>= 7;
        }
        out.extend(low::<1>(value));
    }
    pad(&mut out);
    out
}

/// XXH64 with seed 0 (xxHash fast digest algorithm, section "XXH64 algorithm description").
fn xxh64(bytes: &[u8]) -> u64 {
    let word = |at: &[u8]| {
        at.iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    let stripes = bytes.chunks_exact(32);
    let rest = stripes.remainder();
    let mut hash = if bytes.len() < 32 {
        P5
    } else {
        lanes(stripes.map(|stripe| [0, 8, 16, 24].map(|at| word(&stripe[at..at + 8]))))
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let words = rest.chunks_exact(8);
    let half = words.remainder();
    for lane in words {
        hash = (hash ^ round(0, word(lane)))
            .rotate_left(27)
            .wrapping_mul(P1)
            .wrapping_add(P4);
    }
    let (half, tail) = if half.len() >= 4 {
        half.split_at(4)
    } else {
        half.split_at(0)
    };
    if !half.is_empty() {
        hash = (hash ^ word(half).wrapping_mul(P1))
            .rotate_left(23)
            .wrapping_mul(P2)
            .wrapping_add(P3);
    }
    for byte in tail {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

fn round(accumulator: u64, lane: u64) -> u64 {
    accumulator
        .wrapping_add(lane.wrapping_mul(P2))
        .rotate_left(31)
        .wrapping_mul(P1)
}

/// The four accumulators over all stripes of 32 bytes, converged.
fn lanes(stripes: impl Iterator<Item = [u64; 4]>) -> u64 {
    let mut accumulators = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
    for stripe in stripes {
        for (accumulator, lane) in accumulators.iter_mut().zip(stripe) {
            *accumulator = round(*accumulator, lane);
        }
    }
    let turned = accumulators
        .iter()
        .zip([1, 7, 12, 18])
        .fold(0_u64, |all, (accumulator, by)| {
            all.wrapping_add(accumulator.rotate_left(by))
        });
    accumulators.iter().fold(turned, |all, accumulator| {
        (all ^ round(0, *accumulator))
            .wrapping_mul(P1)
            .wrapping_add(P4)
    })
}
