//! Writing tar: POSIX ustar headers, and a pax extended header where a size does not fit
//! (POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header").
//!
//! | at | bytes | field | ours |
//! |---|---|---|---|
//! | 0 | 100 | name | ends at the first NUL |
//! | 100 | 8 | mode | octal, as are the numbers below |
//! | 108, 116 | 8, 8 | uid, gid | 0 |
//! | 124 | 12 | size | eleven digits and a NUL |
//! | 136 | 12 | mtime | likewise |
//! | 148 | 8 | chksum | sum of all bytes, with blanks for this field: six digits, a NUL, a blank |
//! | 156 | 1 | typeflag | `0` file, `x` extended header |
//! | 257 | 8 | magic, version | `ustar\0`, `00` |
//! | 329, 337 | 8, 8 | devmajor, devminor | 0 |

use super::names::MEMBER_MAX;
use crate::stream::{Content, ReadAt as _};
use crate::units::align_up;

/// Headers and contents fill whole blocks of this size (bytes).
pub(super) const BLOCK: u64 = 512;
/// The end of an archive: two blocks of zeros. Some readers would take more zeros for data.
pub(super) const END: [u8; 1024] = [0; 1024];
/// The largest number that eleven octal digits hold.
pub(super) const FIELD_MAX: u64 = (1 << 33) - 1;

/// The header of one regular file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// At most [`MEMBER_MAX`] bytes; longer names are refused before writing.
    pub(super) name: &'a str,
    /// Permission bits, `0o7777` at most.
    pub(super) mode: u32,
    /// Seconds since 1970, at most [`FIELD_MAX`].
    pub(super) mtime: u64,
    /// The length of the content in bytes.
    pub(super) size: u64,
}

impl Member<'_> {
    /// The blocks before the content: one, or three with an extended header, if the size needs it
    /// or `wide` asks for room for any size.
    pub(super) fn header(&self, wide: bool) -> Vec<u8> {
        if !wide && self.size <= FIELD_MAX {
            return self.block(b'0', self.size).to_vec();
        }
        let record = size_record(self.size);
        let base = self.name.rsplit('/').next().unwrap_or(self.name);
        let name = format!("PaxHeaders.0/{base}");
        let name = name.get(..MEMBER_MAX).unwrap_or(&name);
        let extended = Member {
            name,
            mode: 0,
            mtime: 0,
            size: len_of(record.as_bytes()),
        };
        let mut out = extended.block(b'x', extended.size).to_vec();
        out.extend(record.as_bytes());
        pad(&mut out);
        out.extend(self.block(b'0', if self.size <= FIELD_MAX { self.size } else { 0 }));
        out
    }

    fn block(&self, kind: u8, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        // Every field is longer than its text.
        let mut put = |at: usize, text: &str| {
            let field = block.get_mut(at..).unwrap_or_default();
            field
                .iter_mut()
                .zip(text.bytes())
                .for_each(|(to, from)| *to = from);
        };
        put(0, self.name);
        put(100, &format!("{:07o}", self.mode));
        for at in [108, 116, 329, 337] {
            put(at, "0000000");
        }
        put(124, &format!("{size:011o}"));
        put(136, &format!("{:011o}", self.mtime.min(FIELD_MAX)));
        put(148, "        ");
        put(257, "ustar\x0000");
        block[156] = kind;
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }
}

/// `<length of the record> size=<size>\n`, where the length counts its own digits.
fn size_record(size: u64) -> String {
    let rest = format!(" size={size}\n");
    let with = |digits: usize| rest.len().saturating_add(digits);
    let mut len = with(1);
    while with(len.to_string().len()) != len {
        len = with(len.to_string().len());
    }
    format!("{len}{rest}")
}

/// The number of zeros after a content of `size` bytes.
pub(super) fn padding(size: u64) -> u64 {
    align_up(size, BLOCK).saturating_sub(size)
}

/// The length of a slice.
pub(super) fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The zeros after a content of `size` bytes.
pub(super) fn zeros(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(padding(size)).unwrap_or(0)]
}

/// Pads to a whole block.
fn pad(out: &mut Vec<u8>) {
    out.extend(zeros(len_of(out)));
}

/// An archive of files with short names, for what is published next to an Artifact.
#[must_use]
pub fn archive(members: &[(&str, Content)], mtime: u64) -> Content {
    let mut out = Content::hole(0);
    for (name, content) in members {
        let size = content.len();
        let member = Member {
            name,
            mode: 0o644,
            mtime,
            size,
        };
        out.push_bytes(out.len(), member.header(false));
        out.push_content(out.len(), content);
        out.push_bytes(out.len(), zeros(size));
    }
    out.push_bytes(out.len(), END.to_vec());
    out
}

/// Appends a file made in memory.
pub(super) fn append(out: &mut Vec<u8>, name: &str, mode: u32, mtime: u64, content: &[u8]) {
    out.extend(
        Member {
            name,
            mode,
            mtime,
            size: len_of(content),
        }
        .header(false),
    );
    out.extend(content);
    pad(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block that the reference implementation writes for `version`.
    #[test]
    fn the_header_of_version() {
        let block = Member {
            name: "version",
            mode: 0o600,
            mtime: 0,
            size: 31,
        }
        .header(false);
        let fields: [(usize, &[u8]); 9] = [
            (0, b"version\0"),
            (100, b"0000600\x000000000\x000000000\x0000000000037\0"),
            (136, b"00000000000\0"),
            (148, b"010605\0 "),
            (156, b"0\0"),
            (257, b"ustar\x0000"),
            (265, &[0; 64]),
            (329, b"0000000\x000000000\0"),
            (345, &[0; 167]),
        ];
        for (at, field) in fields {
            assert_eq!(&block[at..at + field.len()], field, "at {at}");
        }
    }

    #[test]
    fn large_sizes_go_into_an_extended_header() {
        let member = Member {
            name: "data/0000.tar.gz",
            mode: 0o600,
            mtime: 0,
            size: 8_590_983_168,
        };
        let blocks = member.header(false);
        assert_eq!(blocks.len(), 1536);
        assert!(blocks.starts_with(b"PaxHeaders.0/0000.tar.gz\0"));
        assert_eq!(&blocks[512..532], b"19 size=8590983168\n\0");
        assert_eq!(&blocks[1024 + 124..1024 + 136], b"00000000000\0");
        assert_eq!(
            Member {
                size: FIELD_MAX,
                ..member
            }
            .header(false)
            .len(),
            512
        );
        assert_eq!(Member { size: 5, ..member }.header(true).len(), 1536);
        assert_eq!(size_record(5), "9 size=5\n");
        assert_eq!(size_record(50), "11 size=50\n");
        assert_eq!(size_record(u64::MAX), "29 size=18446744073709551615\n");
    }
}
