//! Writes the image and the Artifact. The root filesystem is read once: in one pass its chunks go
//! to slot A of the image, into the Artifact and into the checksum; slot B is a copy of slot A
//! within the image, which is made while the checksum comes to its end. Each new frame is
//! decompressed and compared at once, and everything written to a file is recorded in a
//! [`WriteLog`], against which the whole file is read back: the Artifact while the data partition
//! is written, a compressed image as it is written.

use crate::artifact::{Meta, Signer};
use crate::compress::cache::{Cache, FrameCounts};
use crate::compress::chunker::Chunk;
use crate::compress::parallel::ParallelCompressor;
use crate::convert::artifact_draft::{ArtifactDraft, HashedPayload};
use crate::convert::disk_parts::DiskParts;
use crate::convert::flusher::Flusher;
use crate::convert::frame_stream::{FrameStream, StreamInput, StreamPosition};
use crate::convert::judged::Judged;
use crate::convert::known_roots::{KnownRoots, WrittenRoot};
use crate::convert::outputs::{Outputs, Pending};
use crate::convert::root_hash::RootHash;
use crate::convert::root_pass::{RootOutputs, RootPass};
use crate::convert::write_log::{Segment, follow};
use crate::digest::Digest;
use crate::image::output::container::{self, Container, MirroredRange};
use crate::image::output::sparse_file::{copy_sparse, write_content};
use crate::image::output::{BlockMap, KnownDigests, RangeHasher};
use crate::report::Report;
use crate::side_by_side::joined;
use crate::stream::{ChunkLengths, Codec, Compression, Content, ReadAt};
use anyhow::{Context, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Chunk lengths that suit all these codecs.
pub(crate) fn common_chunk_lengths(codecs: &[Codec]) -> ChunkLengths {
    codecs
        .iter()
        .map(|codec| codec.kind().chunk_lengths())
        .max()
        .unwrap_or_else(|| Compression::None.chunk_lengths())
}

/// The format of the disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// A raw image, sparse.
    Raw,
    /// A compressed raw image.
    Stream(Codec),
    /// Another image format.
    Container(Container),
    /// No image.
    None,
}

/// Inputs and options for writing the outputs of one conversion.
pub(crate) struct Emission<'a> {
    /// The disk image.
    pub(crate) disk: DiskParts<'a>,
    /// The format of the disk image.
    pub(crate) format: OutputFormat,
    /// Whether to make a block map.
    pub(crate) block_map: bool,
    /// Metadata of the Artifact.
    pub(crate) meta: &'a Meta,
    /// The key that signs the Artifact.
    pub(crate) signer: Option<&'a Signer>,
    /// Number of compressing threads.
    pub(crate) jobs: usize,
    /// Frames of earlier conversions.
    pub(crate) cache: Option<&'a Cache>,
    /// Digests of block maps that conversions of the same golden image share.
    pub(crate) known_digests: Option<&'a KnownDigests>,
    /// Root filesystems that conversions of the same golden image wrote.
    pub(crate) known_roots: Option<&'a KnownRoots>,
    /// What was read of the disk when it was checked, with which it is compared.
    pub(crate) judged: Option<Arc<Judged>>,
    /// The frames that were needed since they were last reported.
    pub(crate) frames: FrameCounts,
    /// Receives progress.
    pub(crate) report: &'a dyn Report,
}

/// File names of the outputs.
pub(crate) struct OutputNames {
    /// The disk image, unless none is written.
    pub(crate) image: Option<String>,
    /// The Artifact.
    pub(crate) artifact: String,
    /// The root filesystem as a file of its own, if requested.
    pub(crate) rootfs: Option<String>,
}

/// The outputs, written but not yet published.
pub(crate) struct WrittenOutputs {
    /// SHA-256 of the root filesystem: the Artifact's payload and both slots.
    pub(crate) root_sha256: [u8; 32],
    /// The disk image, unless none is written.
    pub(crate) image: Option<Pending>,
    /// The Artifact.
    pub(crate) artifact: Pending,
    /// The root filesystem as a file of its own, if requested.
    pub(crate) rootfs: Option<Pending>,
    /// The block map of the disk image, if requested.
    pub(crate) block_map: Option<BlockMap>,
    /// The SHA-256 of the image if it is a compressed stream, which was read back and compared with
    /// what was written.
    pub(crate) image_sha256: Option<Result<Digest>>,
    /// The expected content of the Artifact.
    pub(crate) payload: HashedPayload,
    /// The SHA-256 of the Artifact, which was read back and compared with `payload`.
    pub(crate) artifact_sha256: Result<Digest>,
}

/// The files under their temporary names.
struct Files {
    image: Option<Pending>,
    artifact: Pending,
    rootfs: Option<Pending>,
}

/// What is known of files when they are complete, see [`WrittenOutputs`].
struct Written {
    root_sha256: [u8; 32],
    block_map: Option<BlockMap>,
    payload: HashedPayload,
    artifact_sha256: Result<Digest>,
    root: Option<WrittenRoot>,
}

impl Emission<'_> {
    /// Writes the image and the Artifact. `data` makes the data filesystem once the checksum of the
    /// root filesystem is known.
    ///
    /// # Errors
    /// Errors of reading, compressing or writing, with the file name.
    pub(crate) fn run(
        &self,
        outputs: &Outputs,
        names: &OutputNames,
        data: &dyn Fn(&[u8; 32]) -> Result<Content>,
    ) -> Result<WrittenOutputs> {
        let create = |name: &Option<String>| {
            let name = name.as_ref();
            name.map(|name| outputs.create(name)).transpose()
        };
        let image = create(&names.image)?;
        let artifact = outputs.create(&names.artifact)?;
        let rootfs = create(&names.rootfs)?;
        if let Some(rootfs) = &rootfs {
            let grown = rootfs.file().set_len(self.disk.root.len());
            grown.map_err(|e| rootfs.writing(e))?;
        }
        let files = Files {
            image,
            artifact,
            rootfs,
        };
        let stream = match (self.format, &files.image) {
            (OutputFormat::Stream(_), Some(image)) => Some(image.file()),
            _ => None,
        };
        let (follower, segments) = channel();
        let (written, image_sha256) = std::thread::scope(|scope| {
            let read_back = stream.map(|file| scope.spawn(|| follow(file, segments)));
            let written = self.write(&files, stream.map(|_| follower), data);
            (written, read_back.map(joined))
        });
        let written = written?;
        let is_whole = written.artifact_sha256.is_ok()
            && image_sha256.as_ref().is_none_or(std::result::Result::is_ok);
        if let Some((known, root)) = self.known_roots.zip(written.root).filter(|_| is_whole) {
            known.add(root);
        }
        Ok(WrittenOutputs {
            root_sha256: written.root_sha256,
            image: files.image,
            artifact: files.artifact,
            rootfs: files.rootfs,
            block_map: written.block_map,
            image_sha256,
            payload: written.payload,
            artifact_sha256: written.artifact_sha256,
        })
    }

    /// Writes the files; `follower` gets what was written to the stream of a compressed image.
    fn write(
        &self,
        files: &Files,
        follower: Option<Sender<Segment>>,
        data: &dyn Fn(&[u8; 32]) -> Result<Content>,
    ) -> Result<Written> {
        let Files {
            image,
            artifact,
            rootfs,
        } = files;
        let image = image.as_ref();
        let begin = |image| {
            let stream = self.begin_image(image, follower);
            stream.map_err(|e| image.writing(e))
        };
        let mut stream = image.map(begin).transpose()?.flatten();
        self.frames
            .report("outside the root filesystem", self.report);
        let slot = stream.as_ref().map(FrameStream::position);
        let hasher = || RangeHasher::new(self.disk.root, self.known_digests);
        let mut hasher = self.block_map.then(hasher);
        std::thread::scope(|scope| {
            let flusher = Flusher::new(scope, [Some(artifact), image]);
            let mut draft =
                ArtifactDraft::new(artifact, self.meta, self.disk.root.len(), self.signer)?;
            let outputs = RootOutputs {
                artifact: (&mut draft.payload, artifact),
                image: stream.as_mut().zip(image),
                plain: self.plain_output(image, rootfs.as_ref()),
                hasher: hasher.as_mut(),
                wrote: &|bytes| flusher.add(bytes),
            };
            let (root_hash, mut root) = self.write_root(outputs).context("the root filesystem")?;
            draft.end_payload()?;
            // The zeros at the end of the root filesystem are hashed meanwhile.
            let root_hash = scope.spawn(|| root_hash.finish());
            if let (OutputFormat::Raw, Some(image), Some(rootfs)) = (self.format, image, rootfs) {
                let start = self.disk.layout.root_a.start;
                let root = start..start + self.disk.root.len();
                copy_sparse(image.file(), root, rootfs.file(), 0).map_err(|e| rootfs.writing(e))?;
            }
            self.frames.report("of the root filesystem", self.report);
            let slot_b = |image| self.write_slot_b(image, stream.as_mut().zip(slot));
            image.map(slot_b).transpose()?;
            let root_sha256 = joined(root_hash);
            let payload = draft.finish(&root_sha256)?;
            // The Artifact is complete, and what there is of the image can reach the disk too.
            let read_back = scope.spawn(move || (payload.log.read_back(artifact.file()), payload));
            flusher.now();
            let finish = |image| {
                let data = data(&root_sha256)?;
                self.finish_image(image, stream.as_mut(), &data)?;
                self.frames.report("of the data partition", self.report);
                let Some(hasher) = hasher else {
                    return Ok(None);
                };
                let digests = hasher.finish().context("making the block map")?;
                let map = self.disk.block_map(&digests, &data);
                if let Some(root) = &mut root {
                    root.digests = digests;
                }
                map.map(Some).context("making the block map")
            };
            let finished = image.map(finish).transpose();
            flusher.finish()?;
            let block_map = finished?.flatten();
            let (artifact_sha256, payload) = joined(read_back);
            Ok(Written {
                root_sha256,
                block_map,
                payload,
                artifact_sha256,
                root,
            })
        })
    }

    /// Writes the root filesystem, see [`RootPass::run`].
    fn write_root(
        &self,
        outputs: RootOutputs<'_, '_>,
    ) -> io::Result<(RootHash, Option<WrittenRoot>)> {
        let root = self.disk.root;
        let codecs = self.codecs();
        self.report
            .step("writing the root filesystem", Some(root.len()));
        let pass = RootPass {
            root,
            slot: self.disk.layout.root_a.start,
            lengths: common_chunk_lengths(&codecs),
            codecs: &codecs,
            compress: &|codec, plain, frame| self.compress(codec, plain, frame),
            jobs: self.jobs,
            judged: self.judged.as_ref(),
            known: self.known_roots,
            report: self.report,
        };
        pass.run(outputs)
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

    /// Writes the image up to slot A, except in a container format, which is written as a whole at
    /// the end. Returns the stream of a compressed image, which `follower` reads back.
    fn begin_image<'f>(
        &self,
        image: &'f Pending,
        follower: Option<Sender<Segment>>,
    ) -> io::Result<Option<FrameStream<'f>>> {
        let file = image.file();
        match self.format {
            OutputFormat::Raw => {
                file.set_len(self.disk.layout.total)?;
                self.raw_front(file)?;
                Ok(None)
            }
            OutputFormat::Stream(codec) => {
                let mut stream = FrameStream::new(file, 0, codec).followed(follower);
                self.stream_front(&mut stream)?;
                Ok(Some(stream))
            }
            OutputFormat::Container(_) | OutputFormat::None => Ok(None),
        }
    }

    /// Writes slot B, except in a container format; a stream comes with the position of slot A.
    fn write_slot_b(
        &self,
        image: &Pending,
        stream: Option<(&mut FrameStream, StreamPosition)>,
    ) -> io::Result<()> {
        let step = "writing slot B and the data partition";
        self.report.step(step, None);
        match (self.format, stream) {
            (OutputFormat::Raw, _) => self.raw_slot_b(image.file()),
            (_, Some((stream, slot))) => self.stream_slot_b(stream, slot),
            _ => Ok(()),
        }
        .map_err(|e| image.writing(e))
    }

    /// Writes everything after slot B, or a container as a whole.
    fn finish_image(
        &self,
        image: &Pending,
        stream: Option<&mut FrameStream>,
        data: &Content,
    ) -> io::Result<()> {
        match (self.format, stream) {
            (OutputFormat::Container(container), _) => {
                self.write_container(image.file(), container, data)
            }
            (_, Some(stream)) => self.stream_back(stream, data),
            _ => write_content(image.file(), self.disk.layout.data.start, data),
        }
        .map_err(|e| image.writing(e))
    }

    /// Everything outside the partitions, and the boot partition, of a raw image.
    fn raw_front(&self, file: &File) -> io::Result<()> {
        for (offset, bytes) in self.disk.unpartitioned {
            file.write_all_at(bytes, *offset)?;
        }
        write_content(file, self.disk.layout.boot.start, self.disk.boot)
    }

    /// Puts one frame in the place of `frame`: from the cache if there is one and it has the frame.
    fn compress(&self, codec: Codec, plain: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        match self.cache {
            Some(cache) => {
                let reused = cache.frame(codec, plain, frame)?;
                self.frames.add(reused);
                Ok(())
            }
            None => codec.compress_verified(plain, frame),
        }
    }

    /// The codecs of the pass over the root filesystem. If Artifact and image use the same codec,
    /// it is listed once and its frames go into both.
    pub(crate) fn codecs(&self) -> Vec<Codec> {
        let mut codecs = vec![self.meta.codec];
        if let OutputFormat::Stream(codec) = self.format
            && codec != self.meta.codec
        {
            codecs.push(codec);
        }
        codecs.retain(|codec| codec.kind() != Compression::None);
        codecs
    }

    /// Writes the whole image in a container format.
    fn write_container(&self, file: &File, container: Container, data: &Content) -> io::Result<()> {
        let layout = &self.disk.layout;
        let slot_b = MirroredRange {
            from: layout.root_a.start,
            to: layout.root_b.start,
            len: self.disk.root.len(),
        };
        container::write(file, container, self.disk.content(data), slot_b)
    }

    /// Writes slot B of a raw image.
    fn raw_slot_b(&self, file: &File) -> io::Result<()> {
        let layout = &self.disk.layout;
        if !self.disk.copy_to_b {
            return Ok(());
        }
        let a = layout.root_a.start;
        let root = a..a + self.disk.root.len();
        copy_sparse(file, root, file, layout.root_b.start)
    }

    /// Streams the disk from its start to slot A.
    fn stream_front(&self, stream: &mut FrameStream) -> io::Result<()> {
        let layout = &self.disk.layout;
        let mut front = Content::hole(0);
        self.disk
            .push_unpartitioned(&mut front, 0..layout.boot.start);
        front.push_content(layout.boot.start, self.disk.boot);
        front.set_len(layout.root_a.start);
        self.stream_content(stream, 0, &front)
    }

    /// Streams what is between the root filesystem in slot A, which begins at `slot`, and the data
    /// partition.
    fn stream_slot_b(&self, stream: &mut FrameStream, slot: StreamPosition) -> io::Result<()> {
        let layout = &self.disk.layout;
        let end = stream.position();
        let root_len = self.disk.root.len();
        let gap = Content::hole(layout.root_a.len - root_len);
        self.stream_content(stream, layout.root_a.start + root_len, &gap)?;
        if self.disk.copy_to_b {
            stream.repeat(slot, end)?;
        } else {
            self.stream_content(stream, layout.root_b.start, &Content::hole(root_len))?;
        }
        self.stream_content(stream, layout.root_b.start + root_len, &gap)
    }

    /// Streams the data partition and what follows it.
    fn stream_back(&self, stream: &mut FrameStream, data: &Content) -> io::Result<()> {
        let layout = &self.disk.layout;
        let mut back = Content::hole(0);
        back.push_content(0, data);
        for (offset, bytes) in self
            .disk
            .unpartitioned
            .iter()
            .filter(|(offset, _)| *offset >= layout.data.end())
        {
            back.push_bytes(offset - layout.data.start, bytes.clone());
        }
        back.set_len(layout.total - layout.data.start);
        self.stream_content(stream, layout.data.start, &back)
    }

    /// Streams what is at `start` of the disk.
    fn stream_content(
        &self,
        stream: &mut FrameStream,
        start: u64,
        content: &Content,
    ) -> io::Result<()> {
        let codec = stream.codec;
        let compress = move |plain: &[u8], frame: &mut Vec<u8>| self.compress(codec, plain, frame);
        let compressor = ParallelCompressor {
            content,
            start: 0,
            lengths: codec.kind().chunk_lengths(),
            compress: vec![&compress],
            jobs: self.jobs,
            on_data: None,
        };
        let mut at = start;
        compressor.run(&mut |chunk| {
            self.compare(&mut at, &chunk.plain)?;
            stream.append(StreamInput::Frame(&chunk.frames[0]))
        })
    }

    /// Compares the chunk at `at` of the disk with what was judged, and moves `at` to its end.
    fn compare(&self, at: &mut u64, chunk: &Chunk) -> io::Result<()> {
        let start = *at;
        *at += chunk.len() as u64;
        self.judged
            .as_ref()
            .map_or(Ok(()), |judged| judged.compare(start, chunk))
    }
}
