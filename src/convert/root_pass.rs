//! The one pass over the root filesystem: its chunks go to slot A of the image, into the Artifact and
//! into the digests. What conversions of the same golden image have written before is copied.

use super::emit::{Emission, OutputFormat, common_chunk_lengths};
use super::frame_stream::{FrameStream, StreamInput, StreamPosition};
use super::known_roots::{KnownStart, Wanted, WrittenChunk, WrittenFrames, WrittenRoot};
use super::outputs::Pending;
use super::root_hash::RootHash;
use crate::compress::chunker::Chunk;
use crate::compress::parallel::{CompressFn, CompressedChunk, ParallelCompressor};
use crate::compress::pool::Buffer;
use crate::image::output::RangeHasher;
use crate::image::output::sparse_file::write_sparse;
use crate::stream::{Codec, Compression, ReadAt as _};
use crate::units::human;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Scope;

/// The pass over the root filesystem.
pub(super) struct RootPass {
    pub(super) hash: RootHash,
    /// Its chunks, if other conversions can use its frames.
    pub(super) chunks: Vec<WrittenChunk>,
    /// Where the frames begin in the Artifact that were not copied from another conversion (bytes).
    pub(super) own_frames: u64,
}

/// Everything but the Artifact that the pass over the root filesystem writes.
pub(super) struct RootOutputs<'a, 'f> {
    /// The disk image, if there is one; the pass writes slot A of a raw image.
    pub(super) image: Option<&'a Pending>,
    /// The stream of a compressed disk image.
    pub(super) stream: Option<&'a mut FrameStream<'f>>,
    /// The root filesystem as a file of its own.
    pub(super) rootfs: Option<&'a Pending>,
    /// The digests of the block map.
    pub(super) hasher: Option<&'a mut RangeHasher<'f>>,
    /// Called with the number of bytes that were written.
    pub(super) wrote: &'a dyn Fn(u64),
}

impl Emission<'_> {
    /// The one pass over the root filesystem.
    pub(super) fn write_root(
        &self,
        artifact: &Pending,
        payload: &mut FrameStream,
        others: RootOutputs<'_, '_>,
    ) -> io::Result<RootPass> {
        let RootOutputs {
            image,
            mut stream,
            rootfs,
            mut hasher,
            wrote,
        } = others;
        let root = self.disk.root;
        let codecs = self.codecs();
        let lengths = common_chunk_lengths(&codecs);
        let compress: Vec<_> = codecs
            .iter()
            .map(|codec| {
                move |plain: &[u8], frame: &mut Vec<u8>| self.compress(*codec, plain, frame)
            })
            .collect();
        let slot = self.disk.layout.root_a.start;
        let plain_output = self.plain_output(image, rootfs);
        let on_data = |offset: u64, plain: &[u8]| -> io::Result<()> {
            plain_output.map_or(Ok(()), |(output, start)| {
                write_sparse(output.file(), start + offset, plain).map_err(|e| output.writing(e))
            })
        };
        let known = match plain_output {
            None => self.known_start(&codecs)?,
            Some(_) => None,
        };
        let mut chunks = Vec::new();
        if let Some(known) = known {
            let image = stream.as_deref_mut().zip(image);
            self.take(&known, (payload, artifact), image, hasher.as_deref_mut())?;
            wrote(known.len());
            chunks.extend_from_slice(known.chunks());
        }
        let own_frames = payload.position().offset;
        let (skipped, mut hash) = match chunks.last() {
            Some(WrittenChunk { end, hash }) => (*end, hash.clone()),
            None => (0, RootHash::default()),
        };
        let is_shared = self.shares_frames(&codecs);
        let compressor = ParallelCompressor {
            content: root,
            start: skipped,
            lengths,
            compress: compress.iter().map(|one| one as &CompressFn).collect(),
            jobs: self.jobs,
            on_data: Some(&on_data),
        };
        let mut at = slot + skipped;
        std::thread::scope(|scope| {
            let ranges = hasher.map(|hasher| hash_ranges(scope, hasher));
            compressor.run(&mut |chunk| {
                if let Some(ranges) = &ranges {
                    // The thread ends when there are no more chunks.
                    let _ = ranges.send(chunk.plain.clone());
                }
                hash.add(&chunk.plain);
                self.compare(&mut at, &chunk.plain)?;
                if is_shared {
                    let (end, hash) = (at - slot, hash.clone());
                    chunks.push(WrittenChunk { end, hash });
                }
                self.report.advance(chunk.plain.len() as u64);
                wrote(chunk.plain.len() as u64);
                let image = stream.as_deref_mut().zip(image);
                self.append(&chunk, (payload, artifact), image)
            })
        })?;
        Ok(RootPass {
            hash,
            chunks,
            own_frames,
        })
    }

    /// The file that gets the root filesystem as it is, and where it begins there (bytes). The file
    /// of the root filesystem is a copy of a slot, if there is one.
    fn plain_output<'p>(
        &self,
        image: Option<&'p Pending>,
        rootfs: Option<&'p Pending>,
    ) -> Option<(&'p Pending, u64)> {
        let raw = image.filter(|_| self.format == OutputFormat::Raw);
        let raw = raw.map(|image| (image, self.disk.layout.root_a.start));
        raw.or(rootfs.map(|file| (file, 0)))
    }

    /// Whether frames of the root filesystem by these codecs go to other conversions and come from
    /// them: the Artifact must be compressed.
    fn shares_frames(&self, codecs: &[Codec]) -> bool {
        self.known_roots.is_some()
            && !codecs.is_empty()
            && self.meta.codec.kind() != Compression::None
    }

    /// The start of the root filesystem that another conversion has written.
    fn known_start(&self, codecs: &[Codec]) -> io::Result<Option<KnownStart>> {
        let Some(known) = self.known_roots.filter(|_| self.shares_frames(codecs)) else {
            return Ok(None);
        };
        known.start(&Wanted {
            content: self.disk.root,
            slot: self.disk.layout.root_a.start,
            lengths: common_chunk_lengths(codecs),
            codecs,
            judged: self.judged.as_deref(),
        })
    }

    /// Appends the frames of a known start to Artifact and image.
    fn take(
        &self,
        known: &KnownStart,
        (payload, artifact): (&mut FrameStream, &Pending),
        image: Option<(&mut FrameStream, &Pending)>,
        hasher: Option<&mut RangeHasher>,
    ) -> io::Result<()> {
        known.append_to(payload).map_err(|e| artifact.writing(e))?;
        if let Some((stream, image)) = image {
            known.append_to(stream).map_err(|e| image.writing(e))?;
        }
        if let Some(hasher) = hasher {
            hasher.skip_to(known.len(), known.digests());
        }
        self.report.advance(known.len());
        let (len, all) = (human(known.len()), human(self.disk.root.len()));
        self.report.detail(&format!(
            "{len} of {all} of the root filesystem are those of another target: copied"
        ));
        Ok(())
    }

    /// Appends the frames of a chunk to Artifact and image.
    fn append(
        &self,
        chunk: &CompressedChunk,
        (payload, artifact): (&mut FrameStream, &Pending),
        image: Option<(&mut FrameStream, &Pending)>,
    ) -> io::Result<()> {
        let (payload_input, image_input) = self.select_frames(chunk);
        payload
            .append(payload_input)
            .map_err(|e| artifact.writing(e))?;
        image.map_or(Ok(()), |(stream, image)| {
            stream.append(image_input).map_err(|e| image.writing(e))
        })
    }

    /// The input for the Artifact and the input for the image: the first and the last frame of a
    /// chunk, see [`Self::codecs`].
    fn select_frames<'c>(&self, chunk: &'c CompressedChunk) -> (StreamInput<'c>, StreamInput<'c>) {
        let input = |frame: Option<&'c std::sync::Arc<Buffer>>| {
            frame.map_or(StreamInput::Plain(&chunk.plain), |frame| {
                StreamInput::Frame(frame)
            })
        };
        let payload = if self.meta.codec.kind() == Compression::None {
            None
        } else {
            chunk.frames.first()
        };
        (input(payload), input(chunk.frames.last()))
    }

    /// What other conversions can take of the root filesystem, whose frames are the last in these
    /// streams from the positions on, first that of the Artifact. `None` if they cannot take any, or
    /// know most of it: most frames were copied from what they have.
    pub(super) fn remembered(
        &self,
        pass: (Vec<WrittenChunk>, u64),
        streams: &[(&FrameStream, StreamPosition)],
    ) -> io::Result<Option<WrittenRoot>> {
        let (chunks, own_frames) = pass;
        let is_known = |(payload, begin): &(&FrameStream, StreamPosition)| {
            let end = payload.position().offset;
            own_frames - begin.offset > end - own_frames
        };
        if chunks.is_empty() || streams.first().is_some_and(is_known) {
            return Ok(None);
        }
        let frames = streams
            .iter()
            .map(|(stream, begin)| WrittenFrames::of(stream, *begin, stream.position()));
        Ok(Some(WrittenRoot {
            content: self.disk.root.clone(),
            slot: self.disk.layout.root_a.start,
            lengths: common_chunk_lengths(&self.codecs()),
            frames: frames.collect::<io::Result<_>>()?,
            chunks,
            judged: self.judged.clone(),
            digests: Vec::new(),
        }))
    }
}

/// Adds the chunks that are sent to `hasher`. The digests of the block map take as long as the digest
/// of the whole, so they get a thread of their own. Both must be computed from front to back.
fn hash_ranges<'s>(scope: &'s Scope<'s, '_>, hasher: &'s mut RangeHasher<'_>) -> SyncSender<Chunk> {
    let (chunks, received) = sync_channel::<Chunk>(0);
    scope.spawn(move || {
        received
            .into_iter()
            .for_each(|plain| hash_range(hasher, &plain))
    });
    chunks
}

fn hash_range(hasher: &mut RangeHasher, plain: &Chunk) {
    match plain {
        Chunk::Data(bytes) => hasher.update(bytes),
        Chunk::Zero(len) => hasher.update_zeros(*len),
    }
}
