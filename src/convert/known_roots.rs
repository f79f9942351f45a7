//! Root filesystems that were written, and what conversions of the same golden image take of them.
//!
//! Two boards of a fleet mostly have the same files but for a few short ones, which are placed
//! after those of the golden image: their root filesystems have the same start. Its frames are
//! copied from the files of the first board, and the digests go on from where they were at its
//! end.

use super::frame_stream::{FrameStream, StreamPosition};
use super::judged::Judged;
use super::root_hash::RootHash;
use super::write_log::Segment;
use crate::image::output::MappedRange;
use crate::stream::{ChunkLengths, Codec, Content, ReadAt as _};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Root filesystems that are remembered: releases and variants of a fleet have their own.
const KEPT: usize = 4;
/// Ends of chunks are multiples of this (bytes).
const BLOCK: u64 = 4096;

/// The root filesystems that were written last.
#[derive(Default)]
pub(super) struct KnownRoots(Mutex<Vec<Arc<WrittenRoot>>>);

/// A root filesystem, the files that it was written to, and what was found out about it.
pub(super) struct WrittenRoot {
    pub(super) content: Content,
    /// Where slot A begins on the disk (bytes).
    pub(super) slot: u64,
    pub(super) lengths: ChunkLengths,
    pub(super) chunks: Vec<WrittenChunk>,
    /// Its frames by each codec.
    pub(super) frames: Vec<WrittenFrames>,
    /// What was read of its disk when it was checked.
    pub(super) judged: Option<Arc<Judged>>,
    /// The digests of the block map, if there is one.
    pub(super) digests: Vec<MappedRange>,
}

/// A chunk of a root filesystem.
#[derive(Clone)]
pub(super) struct WrittenChunk {
    /// Where it ends in the root filesystem (bytes).
    pub(super) end: u64,
    /// The digest of everything up to there.
    pub(super) hash: RootHash,
}

/// Frames, one for each chunk, in a file.
pub(super) struct WrittenFrames {
    codec: Codec,
    file: File,
    /// Where the first one begins in the file (bytes).
    offset: u64,
    segments: Vec<Segment>,
}

impl WrittenFrames {
    /// What `stream` has from `start` on.
    ///
    /// # Errors
    /// That its file cannot be opened once more.
    pub(super) fn of(stream: &FrameStream, start: StreamPosition) -> io::Result<Self> {
        let end = stream.position();
        Ok(Self {
            codec: stream.codec,
            file: stream.file.try_clone()?,
            offset: start.offset,
            segments: stream.log.between(start.segment..end.segment).to_vec(),
        })
    }
}

/// The start of a root filesystem that was written before.
pub(super) struct KnownStart {
    root: Arc<WrittenRoot>,
    /// How many chunks it has, at least one.
    count: usize,
}

impl KnownStart {
    /// Its chunks.
    pub(super) fn chunks(&self) -> &[WrittenChunk] {
        &self.root.chunks[..self.count]
    }

    /// Its length (bytes).
    pub(super) fn len(&self) -> u64 {
        self.chunks().last().map_or(0, |chunk| chunk.end)
    }

    /// The digests of the block map, of the whole root filesystem.
    pub(super) fn digests(&self) -> &[MappedRange] {
        &self.root.digests
    }

    /// Appends its frames to `stream`.
    ///
    /// # Errors
    /// I/O errors of both files.
    pub(super) fn append_to(&self, stream: &mut FrameStream) -> io::Result<()> {
        let codec = stream.codec;
        let frames = self.root.frames.iter().find(|known| known.codec == codec);
        let frames = frames.ok_or_else(|| io::Error::other("there are no frames of this codec"))?;
        let copied =
            stream.append_copy(&frames.file, frames.offset, &frames.segments[..self.count]);
        copied.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let text =
                    "results of another target, which are copied from, were cut short meanwhile";
                io::Error::new(error.kind(), text)
            }
            _ => error,
        })
    }
}

/// What a conversion needs of a root filesystem that was written before.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) content: &'a Content,
    /// Where slot A begins on the disk (bytes).
    pub(super) slot: u64,
    pub(super) lengths: ChunkLengths,
    pub(super) codecs: &'a [Codec],
    pub(super) judged: Option<&'a Judged>,
}

impl KnownRoots {
    /// The longest known start, if there is one. What was judged of it counts as written.
    ///
    /// # Errors
    /// I/O errors of both contents.
    pub(super) fn start(&self, wanted: &Wanted) -> io::Result<Option<KnownStart>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = known
            .iter()
            .filter(|root| root.has(wanted))
            .cloned()
            .collect();
        let mut longest: Option<KnownStart> = None;
        for root in known {
            let same = wanted.content.common_start(&root.content, BLOCK)?;
            let count = root.chunks.partition_point(|chunk| chunk.end <= same);
            if longest.as_ref().is_none_or(|other| other.len() < same) {
                longest = Some(KnownStart { root, count });
            }
        }
        let judged = |mut start: KnownStart| {
            start.count = start.judged(wanted);
            (start.count > 0).then_some(start)
        };
        Ok(longest.and_then(judged))
    }

    /// Remembers a root filesystem.
    pub(super) fn add(&self, root: WrittenRoot) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push(Arc::new(root));
    }
}

impl WrittenRoot {
    /// Whether it has all that is wanted, whatever its bytes are.
    fn has(&self, wanted: &Wanted) -> bool {
        let has_frames = |codec| self.frames.iter().any(|frames| frames.codec == codec);
        self.slot == wanted.slot
            && self.lengths == wanted.lengths
            && self.content.len() == wanted.content.len()
            && wanted.codecs.iter().all(|codec| has_frames(*codec))
            && (wanted.judged.is_none() || self.judged.is_some())
    }
}

impl KnownStart {
    /// How many of its chunks were judged as those of `wanted` were.
    fn judged(&self, wanted: &Wanted) -> usize {
        let (Some(judged), Some(known)) = (wanted.judged, &self.root.judged) else {
            return self.count;
        };
        let mut at = wanted.slot;
        for (index, chunk) in self.chunks().iter().enumerate() {
            let range = at..wanted.slot + chunk.end;
            at = range.end;
            if !judged.is_part_of(known, range) {
                return index;
            }
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::frame_stream::StreamInput;
    use crate::stream::Compression;

    const LENGTHS: ChunkLengths = ChunkLengths {
        min: 4096,
        one_in: 1,
        max: 16_384,
    };

    fn codec() -> Codec {
        Codec::from(Compression::Gzip)
    }

    /// Four chunks of a block each, whose bytes are these.
    fn content(bytes: [u8; 4]) -> Content {
        Content::bytes(bytes.map(|byte| [byte; BLOCK as usize]).concat())
    }

    /// A root filesystem whose frame of a chunk is its first byte, in a file that begins otherwise.
    fn written(bytes: [u8; 4]) -> WrittenRoot {
        let file = tempfile::tempfile().unwrap();
        let mut stream = FrameStream::new(&file, 0, codec());
        stream.append(StreamInput::Frame(b"head")).unwrap();
        let (begin, mut hash) = (stream.position(), RootHash::default());
        let mut chunks = Vec::new();
        for (number, byte) in (1..).zip(bytes) {
            stream.append(StreamInput::Frame(&[byte])).unwrap();
            hash.add(&crate::compress::chunker::Chunk::Zero(number));
            let (end, hash) = (number as u64 * BLOCK, hash.clone());
            chunks.push(WrittenChunk { end, hash });
        }
        let frames = WrittenFrames::of(&stream, begin).unwrap();
        WrittenRoot {
            content: content(bytes),
            slot: 1 << 20,
            lengths: LENGTHS,
            chunks,
            frames: vec![frames],
            judged: None,
            digests: Vec::new(),
        }
    }

    #[test]
    fn the_root_filesystem_with_the_longest_common_start_is_taken() {
        let roots = KnownRoots::default();
        for bytes in [*b"abxx", *b"abcx", *b"axxx"] {
            roots.add(written(bytes));
        }
        let content = content(*b"abcd");
        let codecs = [codec()];
        let wanted = Wanted {
            content: &content,
            slot: 1 << 20,
            lengths: LENGTHS,
            codecs: &codecs,
            judged: None,
        };
        let start = roots.start(&wanted).unwrap().unwrap();
        assert_eq!((start.len(), start.chunks().len()), (3 * BLOCK, 3));
        let file = tempfile::tempfile().unwrap();
        let mut stream = FrameStream::new(&file, 0, codec());
        stream.append(StreamInput::Frame(b"other head")).unwrap();
        start.append_to(&mut stream).unwrap();
        stream.append(StreamInput::Frame(b"d")).unwrap();
        assert_eq!(stream.log.count(), 5);
        let mut found = [0; 14];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 0).unwrap();
        assert_eq!(&found, b"other headabcd");
        stream.log.read_back(&file).unwrap();
        start.root.frames[0].file.set_len(5).unwrap();
        let error = start.append_to(&mut stream).unwrap_err().to_string();
        assert!(error.starts_with("results of another target"), "{error}");
        let none = |wanted: Wanted| roots.start(&wanted).unwrap().is_none();
        // Its frames, its place and its chunks must be those that are wanted.
        assert!(none(Wanted { slot: 0, ..wanted }));
        let zst = [codec(), Codec::from(Compression::Zstd)];
        assert!(none(Wanted {
            codecs: &zst,
            ..wanted
        }));
        let lengths = ChunkLengths {
            min: 8192,
            ..LENGTHS
        };
        assert!(none(Wanted { lengths, ..wanted }));
        let other = self::content(*b"xbcd");
        assert!(none(Wanted {
            content: &other,
            ..wanted
        }));
        let longer = Content::hole(5 * BLOCK);
        assert!(none(Wanted {
            content: &longer,
            ..wanted
        }));
    }

    #[test]
    fn the_oldest_root_filesystem_is_forgotten() {
        let roots = KnownRoots::default();
        (0..=KEPT as u8).for_each(|n| roots.add(written([n; 4])));
        let start = |n| {
            let content = content([n; 4]);
            let wanted = Wanted {
                content: &content,
                slot: 1 << 20,
                lengths: LENGTHS,
                codecs: &[codec()],
                judged: None,
            };
            roots.start(&wanted).unwrap().map(|start| start.len())
        };
        assert_eq!(start(0), None);
        assert_eq!(start(1), Some(4 * BLOCK));
        assert_eq!(start(KEPT as u8), Some(4 * BLOCK));
    }
}
