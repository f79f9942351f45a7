//! Forms by their first bytes.

use super::{Error, Form};

/// How many bytes at the start tell a form.
pub(super) const HEAD: usize = 512;

/// Compressed and in-place forms that are read.
const KNOWN: [(&[u8], Form); 7] = [
    (b"\x1f\x8b\x08", Form::Gzip),
    (b"\xfd7zXZ\0", Form::Xz),
    (b"\x28\xb5\x2f\xfd", Form::Zstd),
    (
        b"PK\x03\x04",
        Form::Zip {
            member: String::new(),
        },
    ),
    (
        b"PK\x05\x06",
        Form::Zip {
            member: String::new(),
        },
    ),
    (b"QFI\xfb", Form::Qcow2),
    (b"\x3a\xff\x26\xed", Form::AndroidSparse),
];

/// Forms that are not read, by offset and magic; a name says more than "no partition table".
const OTHERS: [(usize, &[u8], &str); 11] = [
    (0, b"KDMV", "a VMDK image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a dynamic VHD image"),
    (64, b"\x7f\x10\xda\xbe", "a VirtualBox VDI image"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x04\x22\x4d\x18", "lz4 compression"),
    (0, b"LZIP", "lzip compression"),
    (
        0,
        b"\x5d\x00\x00",
        "lzma compression (the forerunner of xz)",
    ),
    (0, b"Rar!", "a RAR archive"),
    (0, b"!<arch>\n", "a Debian package or ar archive"),
    (257, b"ustar", "a tar archive (extract the image first)"),
];

/// The form that begins with `head`; raw when nothing else is recognised.
pub(super) fn form(head: &[u8]) -> Result<Form, Error> {
    if let Some((_, form)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(form.clone());
    }
    // A skippable frame first, as parallel compressors write it (RFC 8878, 3.1.2).
    if let [first, 0x2a, 0x4d, 0x18, ..] = head
        && first & 0xf0 == 0x50
    {
        return Ok(Form::Zstd);
    }
    // "BZh", the level, and the mark of a block or of the end.
    let marks: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];
    if head.starts_with(b"BZh") && head.get(4..10).is_some_and(|mark| marks.contains(&mark)) {
        return Ok(Form::Bzip2);
    }
    match OTHERS
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|tail| tail.starts_with(magic)))
    {
        Some((_, _, name)) => Err(Error::Unsupported((*name).to_owned())),
        None => Ok(Form::Raw),
    }
}
