//! Reading tar archives of any writer: ustar, pax and GNU headers, forwards, in bounded memory.

use super::super::tar::{BLOCK, padding};
use crate::bytes::is_zero;
use std::io::{self, Read};

/// The limit of an extended header or a long name (bytes).
const EXTENSION_MAX: u64 = 64 << 10;
/// The limit of extended headers of one member.
const EXTENSIONS_MAX: u32 = 4;

/// The reason why an archive cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarError {
    /// An I/O error of the file, or damage of its compression.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A header is damaged.
    #[error("the header at byte {offset} {what}")]
    Header { offset: u64, what: String },
    /// The archive is cut off.
    #[error("the archive ends at byte {offset} without its two blocks of zeros")]
    NoEnd { offset: u64 },
}

/// The type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TarEntryKind {
    /// A regular file (typeflag `0`, NUL or `7`).
    File,
    /// Anything else, with its name.
    Other(&'static str),
}

/// The header of a member.
#[derive(Clone, Debug)]
pub(super) struct TarEntry {
    /// Its path as stored, unchecked.
    pub(super) name: String,
    /// Its type, from the typeflag.
    pub(super) kind: TarEntryKind,
    /// The length of its content in bytes.
    pub(super) size: u64,
}

/// The bytes after the end of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrailingBytes {
    Nothing,
    Zeros,
    Data,
}

/// An archive; reading from it reads the content of the current member.
#[derive(Debug)]
pub(super) struct Untar<R> {
    reader: R,
    /// Bytes read so far.
    offset: u64,
    /// Bytes of the current member not yet read, and the padding after them.
    left: u64,
    padding: u64,
}

impl<R: Read> Untar<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            offset: 0,
            left: 0,
            padding: 0,
        }
    }

    /// The header of the next member, or `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>, TarError> {
        self.skip()?;
        let mut extended = Extended::default();
        for _ in 0..=EXTENSIONS_MAX {
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            let size = self.number(&block, 124, 12)?;
            match block[156] {
                b'x' => extended
                    .records(&self.extension(size)?)
                    .map_err(|what| self.bad(what))?,
                b'L' => {
                    extended.name =
                        Some(text(&self.extension(size)?).map_err(|what| self.bad(what))?)
                }
                b'g' | b'K' => drop(self.extension(size)?),
                kind => {
                    return self
                        .entry(&block, kind, extended.size.unwrap_or(size), extended)
                        .map(Some);
                }
            }
        }
        Err(self.bad("follows more extended headers than any member needs"))
    }

    /// Reads everything after the end of the archive.
    pub(super) fn tail(&mut self) -> io::Result<TrailingBytes> {
        let mut buf = [0; 8192];
        let mut found = TrailingBytes::Nothing;
        loop {
            match self.reader.read(&mut buf) {
                Ok(0) => return Ok(found),
                Ok(got) if !buf.get(..got).is_some_and(is_zero) => return Ok(TrailingBytes::Data),
                Ok(_) => found = TrailingBytes::Zeros,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn bad(&self, what: impl Into<String>) -> TarError {
        TarError::Header {
            offset: self.offset.saturating_sub(BLOCK),
            what: what.into(),
        }
    }

    /// Reads to the next header.
    fn skip(&mut self) -> io::Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let got = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
        self.offset = self.offset.saturating_add(got);
        (self.left, self.padding) = (0, 0);
        if got == rest { Ok(()) } else { Err(cut_off()) }
    }

    fn block(&mut self) -> Result<[u8; 512], TarError> {
        let mut block = [0; 512];
        match self.reader.read_exact(&mut block) {
            Ok(()) => self.offset = self.offset.saturating_add(BLOCK),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(TarError::NoEnd {
                    offset: self.offset,
                });
            }
            Err(e) => return Err(e.into()),
        }
        Ok(block)
    }

    /// The next block with a right checksum, or `None` if it and the one after it are zeros.
    fn header(&mut self) -> Result<Option<[u8; 512]>, TarError> {
        let block = self.block()?;
        if block == [0; 512] {
            return match self.block()? {
                block if block == [0; 512] => Ok(None),
                _ => Err(self.bad("follows a single block of zeros")),
            };
        }
        let computed: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        let stored = self.number(&block, 148, 8)?;
        if computed == stored {
            Ok(Some(block))
        } else {
            Err(self.bad(format!("has the checksum {stored}, computed {computed}")))
        }
    }

    /// The number in the field of `len` bytes at `at`: octal digits, or big endian after a set high
    /// bit (GNU).
    fn number(&self, block: &[u8; 512], at: usize, len: usize) -> Result<u64, TarError> {
        let field = block.get(at..).and_then(|rest| rest.get(..len));
        let field = field.unwrap_or_default();
        let value = if let [0x80, digits @ ..] = field {
            digits.iter().try_fold(0_u64, |value, byte| {
                value.checked_mul(256).map(|value| value | u64::from(*byte))
            })
        } else {
            let digits = field
                .split(|byte| matches!(byte, 0 | b' '))
                .find(|digits| !digits.is_empty())
                .unwrap_or_default();
            let digit = |byte: &u8| char::from(*byte).to_digit(8).map(u64::from);
            digits.iter().try_fold(0_u64, |value, byte| {
                value.checked_mul(8)?.checked_add(digit(byte)?)
            })
        };
        value.ok_or_else(|| self.bad(format!("does not contain a number at its byte {at}")))
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_MAX {
            return Err(self.bad(format!(
                "has {size} bytes of extension, more than {EXTENSION_MAX}"
            )));
        }
        self.enter(size);
        let mut out = Vec::new();
        self.read_to_end(&mut out)?;
        self.skip()?;
        Ok(out)
    }

    /// Makes the next `size` bytes the content of the current member.
    fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = padding(size);
    }

    fn entry(
        &mut self,
        block: &[u8; 512],
        kind: u8,
        size: u64,
        extended: Extended,
    ) -> Result<TarEntry, TarError> {
        let name = match extended.name {
            Some(name) => name,
            None => short_name(block).map_err(|what| self.bad(what))?,
        };
        let kind = match kind {
            b'0' | 0 | b'7' if extended.sparse => TarEntryKind::Other("sparse file"),
            0 if name.ends_with('/') => TarEntryKind::Other("directory"),
            b'0' | 0 | b'7' => TarEntryKind::File,
            b'1' => TarEntryKind::Other("hard link"),
            b'2' => TarEntryKind::Other("symbolic link"),
            b'3' | b'4' => TarEntryKind::Other("device"),
            b'5' => TarEntryKind::Other("directory"),
            b'6' => TarEntryKind::Other("fifo"),
            b'S' => {
                return Err(self.bad("is that of a sparse file, which Artifacts must not contain"));
            }
            _ => return Err(self.bad(format!("is of the unknown type {:?}", char::from(kind)))),
        };
        // Only files have content, whatever the header of a link or directory says.
        let size = if matches!(
            kind,
            TarEntryKind::File | TarEntryKind::Other("sparse file")
        ) {
            size
        } else {
            0
        };
        self.enter(size);
        Ok(TarEntry { name, kind, size })
    }
}

impl<R: Read> Read for Untar<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let got = self.reader.read(buf.get_mut(..want).unwrap_or_default())?;
        if got == 0 {
            return Err(cut_off());
        }
        let read = u64::try_from(got).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(read);
        self.offset = self.offset.saturating_add(read);
        Ok(got)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the archive is cut off within a member",
    )
}

/// The fields of extended headers, for the member after them.
#[derive(Debug, Default)]
struct Extended {
    name: Option<String>,
    size: Option<u64>,
    sparse: bool,
}

impl Extended {
    /// Reads records `<length> <key>=<value>\n`.
    fn records(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        const BROKEN: &str = "has a broken record in its extension";
        while !bytes.is_empty() {
            let (digits, _) = split_at_byte(bytes, b' ').ok_or(BROKEN)?;
            let len: usize = std::str::from_utf8(digits)
                .ok()
                .and_then(|len| len.parse().ok())
                .ok_or(BROKEN)?;
            let record = bytes.get(..len).ok_or(BROKEN)?;
            let record = record
                .strip_prefix(digits)
                .and_then(|rest| rest.strip_prefix(b" "));
            let record = record
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or(BROKEN)?;
            let (key, value) = split_at_byte(record, b'=').ok_or(BROKEN)?;
            match key {
                b"path" => self.name = Some(text(value)?),
                b"size" => self.size = Some(text(value)?.parse().map_err(|_| BROKEN)?),
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
            bytes = bytes.get(len..).ok_or(BROKEN)?;
        }
        Ok(())
    }
}

/// The bytes before and after the first `byte`.
fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|other| *other == byte)?;
    let (before, rest) = bytes.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// Bytes up to the first NUL as text.
fn text(bytes: &[u8]) -> Result<String, &'static str> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| "has a name that is not UTF-8")
}

/// The name in the header itself, after the prefix if the dialect has one.
fn short_name(block: &[u8; 512]) -> Result<String, &'static str> {
    let name = text(&block[..100])?;
    let prefix = if &block[257..263] == b"ustar\0" {
        text(&block[345..500])?
    } else {
        String::new()
    };
    Ok(if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::tar::{END, Member, append};
    use super::*;

    fn names(bytes: &[u8]) -> Result<Vec<(String, u64)>, TarError> {
        let mut tar = Untar::new(bytes);
        let mut out = Vec::new();
        while let Some(entry) = tar.next()? {
            out.push((entry.name, entry.size));
        }
        Ok(out)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        append(&mut bytes, "a", 0o600, 0, b"hello");
        bytes.extend(
            Member {
                name: "b",
                mode: 0,
                mtime: 0,
                size: 3,
            }
            .header(true),
        );
        bytes.extend([1; 3]);
        bytes.extend([0; 509]);
        append(&mut bytes, "c", 0o600, 0, b"");
        bytes.extend(END);
        assert_eq!(
            names(&bytes).unwrap(),
            [("a".into(), 5), ("b".into(), 3), ("c".into(), 0)]
        );
        let mut tar = Untar::new(bytes.as_slice());
        tar.next().unwrap();
        let mut content = String::new();
        tar.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
        for len in 0..bytes.len() {
            assert!(names(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn gnu_and_pax_names() {
        let mut bytes = Vec::new();
        let long = "d/".repeat(80);
        let mut header = Member {
            name: "././@LongLink",
            mode: 0,
            mtime: 0,
            size: long.len() as u64,
        }
        .header(false);
        header[156] = b'L';
        let sum: u32 = header
            .iter()
            .enumerate()
            .map(|(at, b)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*b)
                }
            })
            .sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(long.as_bytes());
        bytes.resize(1024, 0);
        append(&mut bytes, "short", 0, 0, b"");
        bytes.extend(END);
        assert_eq!(names(&bytes).unwrap(), [(long, 0)]);
    }

    #[test]
    fn broken_records_are_errors() {
        for bad in [
            "x",
            "5",
            "5 a=b",
            "99 a=b\n",
            "0 a=b\n",
            "3 a=b\n",
            "6 ab\n\n",
            "18446744073709551615 a=b\n",
            "9 size=x\n",
        ] {
            assert!(
                Extended::default().records(bad.as_bytes()).is_err(),
                "{bad:?}"
            );
        }
        let mut extended = Extended::default();
        extended.records(b"6 a=b\n19 size=8590983168\n").unwrap();
        assert_eq!(extended.size, Some(8_590_983_168));
    }
}
