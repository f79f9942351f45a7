//! The hashes by which indexed directories are sorted: the old one of ext2, half MD4 and TEA, each
//! over signed or unsigned bytes (kernel's page `directory`, `fs/ext4/hash.c` for the names).

/// The start of half MD4 and TEA without a seed.
const START: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];
/// The largest hash is kept for the end of a directory.
const END: u32 = 0xFFFF_FFFE;
/// The largest hash of a name.
const LAST: u32 = 0xFFFF_FFFC;

/// The hash of `name`, its lowest bit cleared; `None` for a `version` that is not known. Versions 3
/// to 5 are 0 to 2 over unsigned bytes.
pub(super) fn hash(version: u8, name: &[u8], seed: &[u32; 4]) -> Option<u32> {
    let unsigned = version >= 3;
    let bytes: Vec<u32> = name
        .iter()
        .map(|byte| {
            if unsigned {
                u32::from(*byte)
            } else {
                i32::from(byte.cast_signed()).cast_unsigned()
            }
        })
        .collect();
    let start = if *seed == [0; 4] { START } else { *seed };
    let raw = match version % 3 {
        _ if version > 5 => return None,
        0 => old(&bytes),
        1 => chained(&bytes, start, half_md4, 1),
        _ => chained(&bytes, start, tea, 0),
    };
    let even = raw & !1;
    Some(if even == END { LAST } else { even })
}

fn old(bytes: &[u32]) -> u32 {
    let (mut last, mut before) = (0x12A3_FE2D_u32, 0x37AB_E8F9_u32);
    for byte in bytes {
        let mut next = before.wrapping_add(last ^ byte.wrapping_mul(7_152_373));
        if next & 0x8000_0000 != 0 {
            next = next.wrapping_sub(0x7FFF_FFFF);
        }
        (before, last) = (last, next);
    }
    last << 1
}

/// Mixes a name, `N` words at a time, into four words of state and returns one of them.
fn chained<const N: usize>(
    bytes: &[u32],
    mut state: [u32; 4],
    mix: fn(&mut [u32; 4], &[u32; N]),
    which: usize,
) -> u32 {
    let mut rest = bytes;
    while !rest.is_empty() {
        mix(&mut state, &words(rest));
        rest = rest.get(const { 4 * N }..).unwrap_or_default();
    }
    state.get(which).copied().unwrap_or_default()
}

/// The next `N` words: bytes from the highest down, filled up with the length of what is left.
fn words<const N: usize>(rest: &[u32]) -> [u32; N] {
    let len = u32::try_from(rest.len() & 0xFF).unwrap_or(0);
    let pad = len | len << 8;
    let pad = pad | pad << 16;
    let mut out = [pad; N];
    for (word, piece) in out.iter_mut().zip(rest.chunks(4)) {
        *word = piece
            .iter()
            .fold(pad, |word, byte| (word << 8).wrapping_add(*byte));
    }
    out
}

fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let [mut a, mut b, mut c, mut d] = *state;
    let mut at = (b, c, d);
    let mut step = |value: u32, word: usize, add: u32, turn: u32| {
        let sum = a
            .wrapping_add(value)
            .wrapping_add(input.get(word).copied().unwrap_or_default())
            .wrapping_add(add);
        (a, b, c, d) = (d, sum.rotate_left(turn), b, c);
        (b, c, d)
    };
    for (word, turn) in [3, 7, 11, 19, 3, 7, 11, 19].into_iter().enumerate() {
        at = step(f(at.0, at.1, at.2), word, 0, turn);
    }
    for (word, turn) in [1, 3, 5, 7, 0, 2, 4, 6]
        .into_iter()
        .zip([3, 5, 9, 13, 3, 5, 9, 13])
    {
        at = step(g(at.0, at.1, at.2), word, 0x5A82_7999, turn);
    }
    for (word, turn) in [3, 7, 2, 6, 1, 5, 0, 4]
        .into_iter()
        .zip([3, 9, 11, 15, 3, 9, 11, 15])
    {
        at = step(h(at.0, at.1, at.2), word, 0x6ED9_EBA1, turn);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

fn tea(state: &mut [u32; 4], input: &[u32; 4]) {
    let [first, second, ..] = state;
    let (mut left, mut right) = (*first, *second);
    let mut sum = 0_u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9E37_79B9);
        let mix = |half: u32, low: u32, high: u32| {
            (half << 4).wrapping_add(low) ^ half.wrapping_add(sum) ^ (half >> 5).wrapping_add(high)
        };
        left = left.wrapping_add(mix(right, input[0], input[1]));
        right = right.wrapping_add(mix(left, input[2], input[3]));
    }
    *first = first.wrapping_add(left);
    *second = second.wrapping_add(right);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 7e49f4ad-7d93-458d-bc75-c15c87093f37 as the superblock holds it; the hashes are those that
    /// `dx_hash` of debugfs says.
    #[test]
    fn known_names() {
        let seed = [0xadf4_497e, 0x8d45_937d, 0x5cc1_75bc, 0x373f_0987];
        let long = "a".repeat(50);
        for (version, hashes) in [
            (0, [0x3225_2546, 0x9d04_0690, 0x66cd_638e]),
            (1, [0xf941_3cb6, 0x9e45_02c2, 0x64c4_2466]),
            (2, [0x49b1_4152, 0xef95_7e0e, 0xcf78_bddc]),
        ] {
            for (name, expected) in ["hello", "größe", &long].into_iter().zip(hashes) {
                assert_eq!(
                    hash(version, name.as_bytes(), &seed),
                    Some(expected),
                    "{version} {name}"
                );
                // Where all bytes are ASCII the sign makes no difference.
                assert_eq!(
                    hash(version + 3, name.as_bytes(), &seed) == Some(expected),
                    name.is_ascii(),
                    "{version} {name}"
                );
            }
        }
        assert_eq!(hash(6, b"a", &seed), None);
    }
}
