//! A file that frames and plain bytes are appended to.

use crate::compress::chunker::Chunk;
use crate::convert::write_log::{Segment, WriteLog};
use crate::image::output::sparse_file::{copy_range, write_sparse};
use crate::stream::Codec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::Sender;

/// Bytes of a copy after which its segments are read back.
const COPIED: u64 = 16 << 20;

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
    pub(super) offset: u64,
    /// Number of segments before it in the write log.
    pub(super) segment: usize,
}

/// A file that frames are appended to; what was written may be read again.
pub(crate) struct FrameStream<'f> {
    pub(super) file: &'f File,
    /// Offset of the end of the stream in the file (bytes).
    end: u64,
    /// The codec of its frames.
    pub(crate) codec: Codec,
    /// Log of everything that was appended.
    pub(crate) log: WriteLog,
    /// Gets each segment once it is in the file.
    follower: Option<Sender<Segment>>,
}

impl<'f> FrameStream<'f> {
    /// An empty stream that begins at `start` in `file`.
    pub(crate) fn new(file: &'f File, start: u64, codec: Codec) -> Self {
        Self {
            file,
            end: start,
            codec,
            log: WriteLog::default(),
            follower: None,
        }
    }

    /// The stream, of which each segment is sent to `follower` once it is in the file.
    pub(crate) fn followed(mut self, follower: Option<Sender<Segment>>) -> Self {
        self.follower = follower;
        self
    }

    /// Tells the follower of the last segment.
    fn tell(&self) {
        if let (Some(follower), Some(segment)) = (&self.follower, self.log.last()) {
            // It may have failed, which its result says.
            let _ = follower.send(segment);
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
        let segments = self.log.between(from.segment..to.segment).to_vec();
        self.append_copy(self.file, from.offset, &segments)
    }

    /// Appends a copy of segments that are at `offset` in `file`.
    ///
    /// # Errors
    /// I/O errors of both files.
    pub(crate) fn append_copy(
        &mut self,
        file: &File,
        mut offset: u64,
        mut segments: &[Segment],
    ) -> io::Result<()> {
        while !segments.is_empty() {
            let (mut count, mut len) = (0, 0);
            while count < segments.len() && len < COPIED {
                len += segments[count].len();
                count += 1;
            }
            copy_range(file, offset, self.file, self.end, len)?;
            let (copied, rest) = segments.split_at(count);
            for segment in copied {
                self.log.push_segment(*segment);
                self.tell();
            }
            segments = rest;
            self.end += len;
            offset += len;
        }
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
        self.tell();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::pool::Pool;
    use crate::convert::write_log::follow;
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
    #[test]
    fn a_follower_reads_all_that_is_appended_and_repeated() {
        let file = tempfile::tempfile().unwrap();
        let (follower, segments) = std::sync::mpsc::channel();
        let (log, digest) = std::thread::scope(|scope| {
            let digest = scope.spawn(|| follow(&file, segments));
            let stream = FrameStream::new(&file, 0, Codec::from(Compression::Gzip));
            let mut stream = stream.followed(Some(follower));
            stream.append(StreamInput::Frame(b"abc")).unwrap();
            let from = stream.position();
            // More than is copied in one go.
            for number in 0..20 {
                let frame = vec![number; 1 << 20];
                stream.append(StreamInput::Frame(&frame)).unwrap();
            }
            let to = stream.position();
            stream.append(StreamInput::Frame(b"de")).unwrap();
            stream.repeat(from, to).unwrap();
            let log = stream.log.clone();
            drop(stream);
            (log, digest.join().unwrap())
        });
        assert_eq!((log.end(), log.count()), (5 + (40 << 20), 42));
        assert_eq!(digest.unwrap(), log.read_back(&file).unwrap());
    }
}
