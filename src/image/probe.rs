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
    /// A format that goldsmith does not read.
    Other(OtherFormat),
}

/// A format of files that goldsmith does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherFormat {
    /// Its name for messages.
    pub(crate) name: &'static str,
    /// The command that makes it readable, with `FILE` for its path.
    pub(crate) command: &'static str,
}

const fn unread(name: &'static str, command: &'static str) -> Format {
    Format::Other(OtherFormat { name, command })
}

/// The command for the disk formats of virtual machines, which `qemu-img` recognises.
const QEMU_IMG: &str = "qemu-img convert -O raw FILE disk.img";
/// The command for tar archives, compressed or not.
const TAR: &str = "tar -xf FILE";
/// A tar archive (POSIX.1-2017, pax, "ustar Interchange Format").
pub(crate) const TAR_ARCHIVE: OtherFormat = OtherFormat {
    name: "a tar archive",
    command: TAR,
};
/// A tar archive whose first member is the description of a virtual machine (OVF 1.1, section 5.3).
pub(crate) const OVA_ARCHIVE: OtherFormat = OtherFormat {
    name: "an OVA archive (an exported virtual machine)",
    command: "tar -xf FILE, then qemu-img convert -O raw DISK.vmdk disk.img for its disk",
};

/// A tar archive whose first member is the version of the Mender Artifact format.
pub(crate) const MENDER_ARTIFACT: OtherFormat = OtherFormat {
    name: "a Mender Artifact, which the update client of a device installs (mender-update install),",
    command: "give the disk image that was made with it (NAME.img); `goldsmith ls FILE` \
              shows its files",
};

/// Formats by offset and magic number.
const FORMATS: [(usize, &[u8], Format); 21] = [
    (0, b"\x1f\x8b\x08", Format::Gzip),
    (0, b"\xfd7zXZ\0", Format::Xz),
    (0, b"\x28\xb5\x2f\xfd", Format::Zstd),
    (0, b"PK\x03\x04", Format::Zip),
    (0, b"PK\x05\x06", Format::Zip),
    (0, b"QFI\xfb", Format::Qcow2),
    (0, b"\x3a\xff\x26\xed", Format::AndroidSparse),
    (0, b"KDMV", unread("a VMDK image", QEMU_IMG)),
    (0, b"COWD", unread("a VMDK image", QEMU_IMG)),
    (
        0,
        b"# Disk DescriptorFile",
        unread("the description of a VMDK image", QEMU_IMG),
    ),
    (0, b"vhdxfile", unread("a VHDX image", QEMU_IMG)),
    (
        0,
        b"conectix",
        unread(
            "a dynamic VHD image",
            "qemu-img convert -f vpc -O raw FILE disk.img",
        ),
    ),
    (
        64,
        b"\x7f\x10\xda\xbe",
        unread("a VirtualBox VDI image", QEMU_IMG),
    ),
    (
        0,
        b"7z\xbc\xaf\x27\x1c",
        unread("a 7-Zip archive", "7z x FILE"),
    ),
    (
        0,
        b"\x04\x22\x4d\x18",
        unread("lz4 compression", "lz4 -d FILE disk.img"),
    ),
    (
        0,
        b"LZIP",
        unread("lzip compression", "lzip -cd FILE >disk.img"),
    ),
    (
        0,
        b"\x89LZO\0\r\n\x1a\n",
        unread("lzop compression", "lzop -cd FILE >disk.img"),
    ),
    (
        0,
        b"\x5d\x00\x00",
        unread(
            "lzma compression (the forerunner of xz)",
            "xz -F lzma -cd FILE >disk.img",
        ),
    ),
    (0, b"Rar!", unread("a RAR archive", "unrar x FILE")),
    (
        0,
        b"!<arch>\n",
        unread("a Debian package or ar archive", "ar x FILE"),
    ),
    (257, b"ustar", Format::Other(TAR_ARCHIVE)),
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
    let format = known.map(|(_, _, format)| *format)?;
    if format != Format::Other(TAR_ARCHIVE) {
        return Some(format);
    }
    Some(match member_name(head) {
        b"version" => Format::Other(MENDER_ARTIFACT),
        name if name.ends_with(b".ovf") => Format::Other(OVA_ARCHIVE),
        _ => format,
    })
}

/// The name of the first member of a tar archive, in its first 100 bytes.
fn member_name(head: &[u8]) -> &[u8] {
    let field = head.get(..100).unwrap_or_default();
    field.split(|byte| *byte == 0).next().unwrap_or_default()
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

const BITLOCKER: Volume = other("an encrypted volume (BitLocker)", "BitLocker volume");

/// Byte of `s_feature_incompat` with the bit `journal_dev` of an ext filesystem, and the bit.
const JOURNAL_DEV: (usize, u8) = (0x460, 0x8);

/// Filesystems and volumes by offset and magic number; offsets and numbers are those of
/// `libblkid/src/superblocks/` of util-linux.
const VOLUMES: [(usize, &[u8], Volume); 14] = [
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
    (3, b"EXFAT   ", other("exFAT", "exFAT filesystem")),
    (3, b"-FVE-FS-", BITLOCKER),
    // BitLocker To Go looks like FAT32 but for this GUID.
    (
        0x1A8,
        b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01",
        BITLOCKER,
    ),
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
    let is_journal = head
        .get(JOURNAL_DEV.0)
        .is_some_and(|byte| byte & JOURNAL_DEV.1 != 0);
    Ok(match known {
        Some((_, _, Volume::Ext)) if is_journal => Some(other(
            "the journal of an ext4 filesystem elsewhere",
            "journal of an ext4 filesystem",
        )),
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
