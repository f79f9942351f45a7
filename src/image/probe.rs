//! Magic numbers: recognises image formats, compressors, filesystems and volumes by their first
//! bytes, never by a file's name.

use crate::stream::ReadAt;
use std::io;

/// Bytes at the start of a file that decide its [`Format`].
pub(crate) const FORMAT_HEAD: usize = 512;

/// The format of a file that contains a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 1952, section 2.3.1, with the only compression method (8).
    Gzip,
    /// The .xz File Format, section 2.1.1.1.
    Xz,
    /// RFC 8878, section 3.1.1; also a skippable frame (3.1.2), as parallel compressors write it.
    Zstd,
    /// bzip2: `BZh`, the level, and the mark of a block or of the end.
    Bzip2,
    /// APPNOTE.TXT of PKWARE, sections 4.3.7 (a member) and 4.3.16 (an empty archive).
    Zip,
    /// `docs/interop/qcow2.txt` of QEMU.
    Qcow2,
    /// `libsparse/sparse_format.h` of Android.
    AndroidSparse,
    /// A format that goldsmith does not read, with a name for messages.
    Other(&'static str),
}

/// Formats by offset and magic number.
const FORMATS: [(usize, &[u8], Format); 18] = [
    (0, b"\x1f\x8b\x08", Format::Gzip),
    (0, b"\xfd7zXZ\0", Format::Xz),
    (0, b"\x28\xb5\x2f\xfd", Format::Zstd),
    (0, b"PK\x03\x04", Format::Zip),
    (0, b"PK\x05\x06", Format::Zip),
    (0, b"QFI\xfb", Format::Qcow2),
    (0, b"\x3a\xff\x26\xed", Format::AndroidSparse),
    (0, b"KDMV", Format::Other("a VMDK image")),
    (0, b"vhdxfile", Format::Other("a VHDX image")),
    (0, b"conectix", Format::Other("a dynamic VHD image")),
    (
        64,
        b"\x7f\x10\xda\xbe",
        Format::Other("a VirtualBox VDI image"),
    ),
    (0, b"7z\xbc\xaf\x27\x1c", Format::Other("a 7-Zip archive")),
    (0, b"\x04\x22\x4d\x18", Format::Other("lz4 compression")),
    (0, b"LZIP", Format::Other("lzip compression")),
    (
        0,
        b"\x5d\x00\x00",
        Format::Other("lzma compression (the forerunner of xz)"),
    ),
    (0, b"Rar!", Format::Other("a RAR archive")),
    (
        0,
        b"!<arch>\n",
        Format::Other("a Debian package or ar archive"),
    ),
    (
        257,
        b"ustar",
        Format::Other("a tar archive (extract the image first)"),
    ),
];

/// The format of a file that begins with `head`, its first [`FORMAT_HEAD`] bytes; `None` for
/// anything unknown, which a raw image is.
pub(crate) fn format(head: &[u8]) -> Option<Format> {
    // RFC 8878, 3.1.2: 0x184D2A50 to 0x184D2A5F, little-endian.
    if let [first, 0x2a, 0x4d, 0x18, ..] = head
        && first & 0xf0 == 0x50
    {
        return Some(Format::Zstd);
    }
    let marks: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];
    if head.starts_with(b"BZh") && marks.iter().any(|mark| is_at(head, 4, mark)) {
        return Some(Format::Bzip2);
    }
    let known = FORMATS
        .iter()
        .find(|(offset, magic, _)| is_at(head, *offset, magic));
    known.map(|(_, _, format)| *format)
}

/// A filesystem or volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Linux swap space.
    Swap,
    /// Anything else that is recognised.
    Other(OtherVolume),
}

/// A filesystem or volume that goldsmith does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherVolume {
    /// Its name on a partition.
    pub(crate) name: &'static str,
    /// Its name where an image has nothing else.
    pub(crate) bare: &'static str,
}

const fn other(name: &'static str, bare: &'static str) -> Volume {
    Volume::Other(OtherVolume { name, bare })
}

/// Filesystems and volumes by offset and magic number; offsets and numbers are those of
/// `libblkid/src/superblocks/` of util-linux.
const VOLUMES: [(usize, &[u8], Volume); 11] = [
    (0x438, b"\x53\xef", Volume::Ext),
    (
        0,
        b"LUKS\xba\xbe",
        other("an encrypted volume (LUKS)", "LUKS volume"),
    ),
    (
        0x218,
        b"LVM2 001",
        other("an LVM physical volume", "LVM physical volume"),
    ),
    (0, b"XFSB", other("XFS", "XFS filesystem")),
    (0x1_0040, b"_BHRfS_M", other("btrfs", "btrfs filesystem")),
    (0x400, b"\x10\x20\xf5\xf2", other("F2FS", "F2FS filesystem")),
    (0, b"hsqs", other("squashfs", "squashfs filesystem")),
    (3, b"NTFS    ", other("NTFS", "NTFS filesystem")),
    (
        0x400,
        b"\xe2\xe1\xf5\xe0",
        other("EROFS", "EROFS filesystem"),
    ),
    (
        0x1000,
        b"\xfc\x4e\x2b\xa9",
        other("a member of a RAID array", "member of a RAID array"),
    ),
    (4086, b"SWAPSPACE2", Volume::Swap),
];

/// Bytes at the start of a partition that decide its [`Volume`].
const VOLUME_HEAD: u64 = 0x1_1000;

/// The filesystem or volume that begins at the start of `source`; `None` if nothing is recognised.
///
/// # Errors
/// I/O errors of the source.
pub(crate) fn volume(source: &dyn ReadAt) -> io::Result<Option<Volume>> {
    let mut head = vec![0; usize::try_from(source.len().min(VOLUME_HEAD)).unwrap_or(0)];
    source.read_exact_at(0, &mut head)?;
    let known = VOLUMES
        .iter()
        .find(|(offset, magic, _)| is_at(&head, *offset, magic));
    Ok(match known {
        Some((_, _, volume)) => Some(*volume),
        None if is_fat(&head) && is_at(&head, 510, b"\x55\xaa") => Some(Volume::Fat),
        None => None,
    })
}

/// Whether `head` begins with a FAT boot sector: a jump, and the format's name at 54 (FAT12, FAT16)
/// or 82 (FAT32) (fatgen103, "Boot Sector and BPB"). It ends in 55 aa as an MBR does.
pub(crate) fn is_fat(head: &[u8]) -> bool {
    let jump = matches!(head.first(), Some(0xeb | 0xe9));
    jump && (is_at(head, 54, b"FAT") || is_at(head, 82, b"FAT32"))
}

/// Whether `magic` is at `offset` of `head`.
fn is_at(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..)
        .is_some_and(|tail| tail.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::MemSource;

    fn head(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; 0x2_0000];
        for (offset, bytes) in parts {
            head[*offset..*offset + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn formats_are_recognised_at_their_offsets_alone() {
        for (offset, magic, known) in FORMATS {
            assert_eq!(format(&head(&[(offset, magic)])), Some(known));
            assert_eq!(format(&head(&[(offset + 1, magic)])), None, "{known:?}");
            assert_eq!(format(&head(&[(offset, magic)])[..offset + 1]), None);
        }
        assert_eq!(
            format(b"\x5f\x2a\x4d\x18"),
            Some(Format::Zstd),
            "a skippable frame"
        );
        assert_eq!(format(b"BZh91AY&SY"), Some(Format::Bzip2));
        assert_eq!(format(b"BZh9 is a text"), None);
    }

    #[test]
    fn volumes_are_recognised_and_fat_needs_all_its_marks() {
        let found = |parts: &[(usize, &[u8])]| {
            let source = MemSource(head(parts).into());
            volume(&source).unwrap()
        };
        for (offset, magic, known) in VOLUMES {
            assert_eq!(found(&[(offset, magic)]), Some(known));
        }
        let parts: [(usize, &[u8]); 3] = [(0, b"\xeb"), (82, b"FAT32"), (510, b"\x55\xaa")];
        assert_eq!(found(&parts), Some(Volume::Fat));
        for missing in 0..3 {
            let mut parts = parts.to_vec();
            parts.remove(missing);
            assert_eq!(found(&parts), None);
        }
    }
}
