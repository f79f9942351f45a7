//! A file that frames and plain bytes are appended to.

use crate::compress::chunker::Chunk;
use crate::convert::write_log::WriteLog;
use crate::image::output::sparse_file::{copy_range, write_sparse};
use crate::stream::Codec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes to append to a stream.
#[derive(Clone, Copy)]
pub(crate) enum StreamInput<'c> {
    /// One frame.
    Frame(&'c [u8]),
    /// Plain bytes, stored uncompressed.
    Plain(&'c Chunk),
}

/// A position between two segments of a stream.
#[derive(Clone, Copy)]
pub(crate) struct StreamPosition {
    /// Offset in the file (bytes).
    offset: u64,
    /// Number of segments before it in the write log.
    segment: usize,
}

/// A file that frames are appended to; what was written may be read again.
pub(crate) struct FrameStream<'f> {
    file: &'f File,
    /// Offset of the end of the stream in the file (bytes).
    end: u64,
    /// The codec of its frames.
    pub(crate) codec: Codec,
    /// Log of everything that was appended.
    pub(crate) log: WriteLog,
}

impl<'f> FrameStream<'f> {
    /// An empty stream that begins at `start` in `file`.
    pub(crate) fn new(file: &'f File, start: u64, codec: Codec) -> Self {
        Self {
            file,
            end: start,
            codec,
            log: WriteLog::default(),
        }
    }

    /// Offset of the end of the stream in the file (bytes).
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The current end of the stream.
    pub(crate) fn position(&self) -> StreamPosition {
        StreamPosition {
            offset: self.end,
            segment: self.log.count(),
        }
    }

    /// Appends a copy of the segments between two positions.
    ///
    /// # Errors
    /// I/O errors of the file.
    pub(crate) fn repeat(&mut self, from: StreamPosition, to: StreamPosition) -> io::Result<()> {
        let len = to.offset - from.offset;
        copy_range(self.file, from.offset, self.file, self.end, len)?;
        self.log.repeat(from.segment..to.segment);
        self.end += len;
        Ok(())
    }

    /// Appends one segment.
    ///
    /// # Errors
    /// I/O errors of the file.
    pub(crate) fn append(&mut self, input: StreamInput) -> io::Result<()> {
        let len = match input {
            StreamInput::Frame(bytes) => {
                self.file.write_all_at(bytes, self.end)?;
                self.log.push(bytes);
                bytes.len()
            }
            StreamInput::Plain(Chunk::Data(bytes)) => {
                write_sparse(self.file, self.end, bytes)?;
                self.log.push(bytes);
                bytes.len()
            }
            StreamInput::Plain(Chunk::Zero(len)) => {
                self.log.push_zeros(*len as u64);
                *len
            }
        };
        self.end += len as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::pool::Pool;
    use crate::stream::Compression;
    use std::sync::Arc;

    #[test]
    fn a_repeated_part_is_in_the_file_and_in_the_log() {
        let file = tempfile::tempfile().unwrap();
        let mut stream = FrameStream::new(&file, 0, Codec::from(Compression::None));
        let mut buffer = Pool::new(3).take();
        buffer.whole().copy_from_slice(b"def");
        stream.append(StreamInput::Frame(b"abc")).unwrap();
        let from = stream.position();
        let plain = Chunk::Data(Arc::new(buffer));
        stream.append(StreamInput::Plain(&plain)).unwrap();
        stream.append(StreamInput::Plain(&Chunk::Zero(5))).unwrap();
        let to = stream.position();
        stream.append(StreamInput::Frame(b"gh")).unwrap();
        stream.repeat(from, to).unwrap();
        assert_eq!(stream.end(), 21);
        file.set_len(21).unwrap();
        let mut found = [1; 21];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"abcdef\0\0\0\0\0ghdef\0\0\0\0\0");
        stream.log.read_back(&file).unwrap();
        file.write_all_at(b"x", 13).unwrap();
        stream.log.read_back(&file).unwrap_err();
    }
}
