//! The half-MD4 hash by which indexed directories are sorted (`fs/ext4/hash.c` names it; the
//! kernel's page `directory` describes its use). Names are hashed as unsigned bytes; the
//! superblock's flags say so.

/// The start of the hash when the filesystem has no seed.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// `EXT4_HTREE_EOF_32BIT << 1`: the hash that means "past the end", which no name may have.
const PAST_END: u32 = 0xFFFF_FFFE;
/// Bytes of a name that one round takes.
const CHUNK: usize = 32;

/// The hash of `name` as (major, minor); the lowest bit of the major one is 0, it marks continued
/// collisions in an index.
pub(super) fn half_md4(name: &[u8], seed: &[u32; 4]) -> (u32, u32) {
    let mut state = if *seed == [0; 4] { START } else { *seed };
    let mut rest = name;
    while !rest.is_empty() {
        transform(&mut state, &words(rest));
        rest = &rest[rest.len().min(CHUNK)..];
    }
    let major = state[1] & !1;
    (
        if major == PAST_END {
            PAST_END - 2
        } else {
            major
        },
        state[2],
    )
}

/// The next 32 bytes of `rest` as words, big end first, padded by the length of `rest` in every
/// byte.
fn words(rest: &[u8]) -> [u32; 8] {
    let len = u32::try_from(rest.len()).unwrap_or(u32::MAX) & 0xFF;
    let pad = len * 0x0101_0101;
    let mut out = [pad; 8];
    for (word, bytes) in out.iter_mut().zip(rest[..rest.len().min(CHUNK)].chunks(4)) {
        *word = bytes
            .iter()
            .fold(pad, |word, byte| word << 8 | u32::from(*byte));
    }
    out
}

/// Three rounds of MD4, each over eight words.
fn transform(state: &mut [u32; 4], words: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    let choose: Mix = |x, y, z| z ^ (x & (y ^ z));
    let majority: Mix = |x, y, z| (x & y).wrapping_add((x ^ y) & z);
    let parity: Mix = |x, y, z| x ^ y ^ z;
    let rounds: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (choose, 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
        (
            majority,
            0x5A82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            parity,
            0x6ED9_EBA1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in rounds {
        for (step, index) in order.into_iter().enumerate() {
            let sum = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(words[index])
                .wrapping_add(constant);
            (a, b, c, d) = (d, sum.rotate_left(shifts[step % 4]), b, c);
        }
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 7e49f4ad-7d93-458d-bc75-c15c87093f37 as the superblock holds it.
    const SEED: [u32; 4] = [0xadf4_497e, 0x8d45_937d, 0x5cc1_75bc, 0x373f_0987];

    /// What `dx_hash -h half_md4` of debugfs says.
    #[test]
    fn known_names() {
        let cases: [(&str, u32, u32); 6] = [
            ("hello", 0xf941_3cb6, 0x2a41_d1f5),
            ("", 0x8d45_937c, 0x5cc1_75bc),
            ("a", 0x4b75_4dca, 0x185f_ca7b),
            ("abc", 0xf0fc_72a0, 0x117f_93d6),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                0x64c4_2466,
                0xa677_a12b,
            ),
            ("libc.so.6", 0x44c8_8986, 0xcd30_d9e6),
        ];
        for (name, major, minor) in cases {
            assert_eq!(half_md4(name.as_bytes(), &SEED), (major, minor), "{name}");
        }
        assert_eq!(half_md4(b"hello", &[0; 4]), (0x1746_da32, 0x4200_13b5));
    }
}
