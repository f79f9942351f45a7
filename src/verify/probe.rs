//! Recognises filesystems and partition tables by their magic numbers.

use crate::stream::ReadAt;

/// The signature at the end of sector 0 of an MBR or a FAT.
const SIGNATURE: [u8; 2] = [0x55, 0xAA];

/// The GUID of BitLocker in volumes that otherwise look like FAT.
const BITLOCKER: [u8; 16] = [
    0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
];

/// Whether `source` begins with ext2, ext3 or ext4.
pub(super) fn is_ext(source: &dyn ReadAt) -> bool {
    crate::fs::ext4::read::probe(source).unwrap_or(false)
}

/// Whether `source` is the journal of an ext filesystem elsewhere (feature `journal_dev`).
pub(super) fn is_journal(source: &dyn ReadAt) -> bool {
    let mut incompat = [0];
    is_ext(source) && source.read_exact_at(0x460, &mut incompat).is_ok() && incompat[0] & 8 != 0
}

/// Whether sector 0 ends like an MBR.
pub(super) fn has_table(source: &dyn ReadAt) -> bool {
    let mut mark = [0; 2];
    source.read_exact_at(510, &mut mark).is_ok() && mark == SIGNATURE
}

/// Whether sector 0 is a boot sector of FAT: the signature, a jump, the name of the format.
pub(super) fn is_fat(source: &dyn ReadAt) -> bool {
    let mut boot = [0; 512];
    if source.read_exact_at(0, &mut boot).is_err() {
        return false;
    }
    let is_at = |at: usize, name: &[u8]| boot.get(at..).is_some_and(|rest| rest.starts_with(name));
    let name_at = |at: usize| is_at(at, b"FAT");
    let encrypted = is_at(3, b"-FVE-FS-") || is_at(0x1A8, &BITLOCKER);
    !encrypted
        && boot.ends_with(&SIGNATURE)
        && matches!(boot[0], 0xEB | 0xE9)
        && (name_at(0x36) || name_at(0x52))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    #[test]
    fn fat_has_a_jump_a_name_and_a_signature() {
        let boot = |changes: &[(usize, u8)]| {
            let mut boot = vec![0; 512];
            boot[0] = 0xEB;
            boot[0x36..0x39].copy_from_slice(b"FAT");
            boot[510..].copy_from_slice(&SIGNATURE);
            for (at, byte) in changes {
                boot[*at] = *byte;
            }
            is_fat(&Content::bytes(boot))
        };
        assert!(boot(&[]));
        assert!(boot(&[(0x36, 0), (0x52, b'F'), (0x53, b'A'), (0x54, b'T')]));
        assert!(!boot(&std::array::from_fn::<_, 8, _>(|at| (
            3 + at,
            b"-FVE-FS-"[at]
        ))));
        assert!(!boot(&std::array::from_fn::<_, 16, _>(|at| (
            0x1A8 + at,
            BITLOCKER[at]
        ))));
        for change in [(0, 0), (0x37, b'a'), (510, 0), (511, 0)] {
            assert!(!boot(&[change]), "{change:?}");
        }
        assert!(!is_fat(&Content::bytes(vec![0xEB; 100])));
    }
}
