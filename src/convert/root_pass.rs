//! The one pass over the root filesystem: its chunks go to slot A of the image, into the Artifact
//! and into the digests. What conversions of the same golden image have written is copied.

use super::frame_stream::{FrameStream, StreamInput};
use super::judged::Judged;
use super::known_roots::{
    KnownRoots, KnownStart, Wanted, WrittenChunk, WrittenFrames, WrittenRoot,
};
use super::outputs::Pending;
use super::root_hash::RootHash;
use crate::compress::chunker::Chunk;
use crate::compress::parallel::{CompressFn, CompressedChunk, ParallelCompressor};
use crate::compress::pool::Buffer;
use crate::image::output::RangeHasher;
use crate::image::output::sparse_file::write_sparse;
use crate::report::Report;
use crate::stream::{ChunkLengths, Codec, Compression, Content, ReadAt as _};
use crate::units::human;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Scope;

/// Puts a frame by a codec in the place of what is there.
type CompressWith<'a> = dyn Fn(Codec, &[u8], &mut Vec<u8>) -> io::Result<()> + Sync + 'a;

/// The pass over a root filesystem.
pub(super) struct RootPass<'a> {
    /// The root filesystem.
    pub(super) root: &'a Content,
    /// Where slot A begins on the disk (bytes).
    pub(super) slot: u64,
    /// Bounds of chunk lengths.
    pub(super) lengths: ChunkLengths,
    /// The codecs: each makes a frame of every chunk. The Artifact has frames of the first, a
    /// compressed image those of the last.
    pub(super) codecs: &'a [Codec],
    /// Compresses a chunk.
    pub(super) compress: &'a CompressWith<'a>,
    /// Number of compressing threads.
    pub(super) jobs: usize,
    /// What was read of the disk when it was checked, with which it is compared.
    pub(super) judged: Option<&'a Arc<Judged>>,
    /// Root filesystems that conversions of the same golden image wrote.
    pub(super) known: Option<&'a KnownRoots>,
    /// Receives progress.
    pub(super) report: &'a dyn Report,
}

/// Where the pass over a root filesystem goes.
pub(super) struct RootOutputs<'o, 'f> {
    /// The stream of the Artifact's payload, and the Artifact.
    pub(super) artifact: (&'o mut FrameStream<'f>, &'o Pending),
    /// The stream of a compressed disk image, which is at slot A, and the image.
    pub(super) image: Option<(&'o mut FrameStream<'f>, &'o Pending)>,
    /// A file that gets the root filesystem as it is, and where it begins there (bytes).
    pub(super) plain: Option<(&'o Pending, u64)>,
    /// The digests of the block map.
    pub(super) hasher: Option<&'o mut RangeHasher<'f>>,
    /// Called with the number of bytes that were written.
    pub(super) wrote: &'o dyn Fn(u64),
}

impl RootOutputs<'_, '_> {
    /// Whether the Artifact has frames.
    fn has_frames(&self) -> bool {
        self.artifact.0.codec.kind() != Compression::None
    }

    /// The streams, first that of the Artifact.
    fn streams(&self) -> impl Iterator<Item = &FrameStream<'_>> {
        let image = self.image.as_ref().map(|(stream, _)| &**stream);
        std::iter::once(&*self.artifact.0).chain(image)
    }

    /// Appends the frames of a known start to the streams.
    fn append_known(&mut self, known: &KnownStart) -> io::Result<()> {
        let (payload, artifact) = &mut self.artifact;
        known.append_to(payload).map_err(|e| artifact.writing(e))?;
        self.image.as_mut().map_or(Ok(()), |(stream, image)| {
            known.append_to(stream).map_err(|e| image.writing(e))
        })
    }

    /// Appends the frames of a chunk to the streams: the first one to the Artifact and the last one
    /// to the image, see [`RootPass::codecs`].
    fn append(&mut self, chunk: &CompressedChunk) -> io::Result<()> {
        fn input<'c>(
            chunk: &'c CompressedChunk,
            frame: Option<&'c Arc<Buffer>>,
        ) -> StreamInput<'c> {
            frame.map_or(StreamInput::Plain(&chunk.plain), |frame| {
                StreamInput::Frame(frame)
            })
        }
        let first = chunk.frames.first().filter(|_| self.has_frames());
        let (payload, artifact) = &mut self.artifact;
        payload
            .append(input(chunk, first))
            .map_err(|e| artifact.writing(e))?;
        self.image.as_mut().map_or(Ok(()), |(stream, image)| {
            let last = input(chunk, chunk.frames.last());
            stream.append(last).map_err(|e| image.writing(e))
        })
    }
}

/// How far the pass is.
#[derive(Default)]
struct Passed {
    /// The digest of everything up to there.
    hash: RootHash,
    /// Bytes of the root filesystem.
    at: u64,
    /// The chunks up to there, if other conversions can take them.
    chunks: Vec<WrittenChunk>,
}

impl RootPass<'_> {
    /// Writes the root filesystem. Returns its digest, and what other conversions can take of it,
    /// without the digests of the block map; `None` if they cannot, or know most of it.
    ///
    /// # Errors
    /// I/O errors of the root filesystem and of the files, and that what is read is not what was
    /// judged.
    pub(super) fn run(
        &self,
        mut outputs: RootOutputs<'_, '_>,
    ) -> io::Result<(RootHash, Option<WrittenRoot>)> {
        let begin: Vec<_> = outputs.streams().map(FrameStream::position).collect();
        let mut passed = self.take_known(&mut outputs)?;
        let own = outputs.artifact.0.position();
        self.compress_rest(&mut outputs, &mut passed)?;
        let end = outputs.artifact.0.position();
        let is_known = begin
            .first()
            .is_some_and(|begin| own.offset - begin.offset > end.offset - own.offset);
        if passed.chunks.is_empty() || is_known {
            return Ok((passed.hash, None));
        }
        let frames = outputs.streams().zip(begin);
        let frames = frames.map(|(stream, begin)| WrittenFrames::of(stream, begin));
        let written = WrittenRoot {
            content: self.root.clone(),
            slot: self.slot,
            lengths: self.lengths,
            chunks: passed.chunks,
            frames: frames.collect::<io::Result<_>>()?,
            judged: self.judged.cloned(),
            digests: Vec::new(),
        };
        Ok((passed.hash, Some(written)))
    }

    /// Copies the start of the root filesystem that another conversion has written, if there is
    /// one.
    fn take_known(&self, outputs: &mut RootOutputs<'_, '_>) -> io::Result<Passed> {
        let known = self
            .known
            .filter(|_| outputs.has_frames() && outputs.plain.is_none());
        let wanted = Wanted {
            content: self.root,
            slot: self.slot,
            lengths: self.lengths,
            codecs: self.codecs,
            judged: self.judged.map(|judged| &**judged),
        };
        let known = known.map(|known| known.start(&wanted)).transpose()?;
        let Some((known, last)) = known.flatten().and_then(|known| {
            let last = known.chunks().last()?.clone();
            Some((known, last))
        }) else {
            return Ok(Passed::default());
        };
        outputs.append_known(&known)?;
        if let Some(hasher) = &mut outputs.hasher {
            hasher.skip_to(last.end, known.digests());
        }
        self.report.advance(last.end);
        (outputs.wrote)(last.end);
        self.report.detail(&format!(
            "{} of {} of the root filesystem are those of another target: copied",
            human(last.end),
            human(self.root.len())
        ));
        Ok(Passed {
            hash: last.hash,
            at: last.end,
            chunks: known.chunks().to_vec(),
        })
    }

    /// Compresses and writes what is not passed yet.
    fn compress_rest(
        &self,
        outputs: &mut RootOutputs<'_, '_>,
        passed: &mut Passed,
    ) -> io::Result<()> {
        let compress: Vec<_> = self
            .codecs
            .iter()
            .map(|codec| {
                move |plain: &[u8], frame: &mut Vec<u8>| (self.compress)(*codec, plain, frame)
            })
            .collect();
        let plain = outputs.plain;
        let on_data = |offset: u64, bytes: &[u8]| -> io::Result<()> {
            plain.map_or(Ok(()), |(output, start)| {
                write_sparse(output.file(), start + offset, bytes).map_err(|e| output.writing(e))
            })
        };
        let compressor = ParallelCompressor {
            content: self.root,
            start: passed.at,
            lengths: self.lengths,
            compress: compress.iter().map(|one| one as &CompressFn).collect(),
            jobs: self.jobs,
            on_data: Some(&on_data),
        };
        let is_shared = self.known.is_some() && outputs.has_frames();
        std::thread::scope(|scope| {
            let ranges = outputs.hasher.take();
            let ranges = ranges.map(|hasher| hash_ranges(scope, hasher));
            compressor.run(&mut |chunk| {
                if let Some(ranges) = &ranges {
                    // The thread ends when there are no more chunks.
                    let _ = ranges.send(chunk.plain.clone());
                }
                passed.hash.add(&chunk.plain);
                if let Some(judged) = self.judged {
                    judged.compare(self.slot + passed.at, &chunk.plain)?;
                }
                let len = chunk.plain.len() as u64;
                passed.at += len;
                if is_shared {
                    passed.chunks.push(WrittenChunk {
                        end: passed.at,
                        hash: passed.hash.clone(),
                    });
                }
                self.report.advance(len);
                (outputs.wrote)(len);
                outputs.append(&chunk)
            })
        })
    }
}

/// Adds the chunks that are sent to `hasher`. The digests of the block map take as long as the
/// digest of the whole, so they get a thread of their own. Both must be computed from front to
/// back.
fn hash_ranges<'s>(scope: &'s Scope<'s, '_>, hasher: &'s mut RangeHasher<'_>) -> SyncSender<Chunk> {
    let (chunks, received) = sync_channel::<Chunk>(0);
    scope.spawn(move || {
        for chunk in received {
            match chunk {
                Chunk::Data(bytes) => hasher.update(&bytes),
                Chunk::Zero(len) => hasher.update_zeros(len),
            }
        }
    });
    chunks
}
