//! A file that frames and plain bytes are appended to.

use super::disk::write_sparse;
use super::frames::Plain;
use crate::stream::Codec;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What is put into a stream.
#[derive(Clone, Copy)]
pub(super) enum Bytes<'c> {
    /// A frame.
    Frame(&'c [u8]),
    /// Plain bytes, stored as they are.
    Plain(&'c Plain),
}

/// A file that frames are appended to; it may be read again behind the writer.
pub(super) struct FrameStream<'f> {
    /// The file.
    pub(super) file: &'f File,
    /// Where the next frame goes.
    pub(super) at: u64,
    /// What compresses frames.
    pub(super) codec: Codec,
    /// Where the frames of slot A begin.
    pub(super) slot_start: u64,
    /// Where frames are.
    pub(super) frames: Vec<Range<u64>>,
}

impl<'f> FrameStream<'f> {
    /// An empty stream from `at` on.
    pub(super) fn new(file: &'f File, at: u64, codec: Codec) -> Self {
        Self { file, at, codec, slot_start: 0, frames: Vec::new() }
    }

    /// Appends.
    ///
    /// # Errors
    /// What writing said.
    pub(super) fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        let len = match bytes {
            Bytes::Frame(bytes) => {
                self.file.write_all_at(bytes, self.at)?;
                self.frames.push(self.at..self.at + bytes.len() as u64);
                bytes.len() as u64
            }
            Bytes::Plain(Plain::Data(bytes)) => {
                write_sparse(self.file, self.at, bytes)?;
                bytes.len() as u64
            }
            Bytes::Plain(Plain::Zero(len)) => *len as u64,
        };
        self.at += len;
        Ok(())
    }
}
