//! Readers between the file and the parsers.

use crate::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};

/// The number of bytes that are hashed at once.
const BUFFER: usize = 1 << 18;

/// Keeps the I/O errors of the file, which decompressors would mix with their own.
pub(super) struct InputReader<'a> {
    pub(super) reader: &'a mut dyn Read,
    /// The last error of the file.
    pub(super) failed: Option<io::Error>,
}

impl Read for InputReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

/// Writes the payload to a file, and keeps the I/O errors of that file.
pub(super) struct PayloadWriter<'a> {
    pub(super) writer: &'a mut dyn Write,
    /// The last error of the file.
    pub(super) failed: Option<io::Error>,
}

impl Write for PayloadWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A reader that hashes all bytes that it returns.
pub(super) struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    /// Hashes from the current position of `reader` on.
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            hash: Sha256::new(),
        }
    }

    /// Reads to the end and returns the digest of everything.
    pub(super) fn finish(self) -> io::Result<Digest> {
        self.copy(&mut io::sink())
    }

    /// Writes everything up to the end to `out`, and returns its digest.
    pub(super) fn copy(mut self, out: &mut dyn Write) -> io::Result<Digest> {
        let mut buf = vec![0; BUFFER];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return Ok(self.hash.finalize().into()),
                Ok(got) => out.write_all(buf.get(..got).unwrap_or_default())?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buf)?;
        self.hash.update(buf.get(..got).unwrap_or_default());
        Ok(got)
    }
}
