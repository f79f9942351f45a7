//! A file that frames and plain bytes are appended to.

use crate::compress::parallel::Plain;
use crate::convert::write_log::Ledger;
use crate::image::output::sparse_file::{copy_range, write_sparse};
use crate::stream::Codec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is put into a stream.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'c> {
    /// A frame.
    Frame(&'c [u8]),
    /// Plain bytes, stored as they are.
    Plain(&'c Plain),
}

/// A place in a stream.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    at: u64,
    count: usize,
}

/// A file that frames are appended to; it may be read again behind the writer.
pub(crate) struct FrameStream<'f> {
    /// The file.
    pub(crate) file: &'f File,
    /// Where the next frame goes.
    pub(crate) at: u64,
    /// What compresses frames.
    pub(crate) codec: Codec,
    /// What was appended.
    pub(crate) ledger: Ledger,
}

impl<'f> FrameStream<'f> {
    /// An empty stream from `at` on.
    pub(crate) fn new(file: &'f File, at: u64, codec: Codec) -> Self {
        Self {
            file,
            at,
            codec,
            ledger: Ledger::default(),
        }
    }

    /// Where the next frame goes.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            count: self.ledger.count(),
        }
    }

    /// Appends what is between two places once more.
    ///
    /// # Errors
    /// What copying said.
    pub(crate) fn repeat(&mut self, from: Mark, to: Mark) -> io::Result<()> {
        copy_range(self.file, from.at, self.file, self.at, to.at - from.at)?;
        self.ledger.again(from.count..to.count);
        self.at += to.at - from.at;
        Ok(())
    }

    /// Appends.
    ///
    /// # Errors
    /// What writing said.
    pub(crate) fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        let len = match bytes {
            Bytes::Frame(bytes) => {
                self.file.write_all_at(bytes, self.at)?;
                self.ledger.bytes(bytes);
                bytes.len() as u64
            }
            Bytes::Plain(Plain::Data(bytes)) => {
                write_sparse(self.file, self.at, bytes)?;
                self.ledger.bytes(bytes);
                bytes.len() as u64
            }
            Bytes::Plain(Plain::Zero(len)) => {
                self.ledger.zeros(*len as u64);
                *len as u64
            }
        };
        self.at += len;
        Ok(())
    }
}
