//! Everything written. The root filesystem is read once: its chunks go to slot A of the image, into
//! the Artifact and through the checksum in one pass; slot B is a copy of slot A within the image.
//! Each frame is unpacked as soon as it was made and is what went into it, and what is put into a
//! file is noted in a [`Ledger`]: reading the file back against that shows all of it.

use crate::artifact::{self, Meta, Signer};
use crate::compress::cache::Cache;
use crate::compress::frame_stream::{Bytes, FrameStream, Mark};
use crate::compress::parallel::{Chunk, Compress, Pass, Plain};
use crate::convert::outputs::{Outputs, Pending};
use crate::convert::write_log::Ledger;
use crate::image::output::container::{self, Wrap};
use crate::image::output::sparse_file::{copy_within, write_content, write_sparse};
use crate::image::output::{BlockMap, Mapped, Sums, sums};
use crate::plan::layout::Layout;
use crate::report::Report;
use crate::stream::{Codec, Compression, Content, Lengths, ReadAt};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;

/// The lengths of chunks that serve all these codecs.
fn lengths(codecs: &[Codec]) -> Lengths {
    codecs
        .iter()
        .map(|codec| codec.kind().lengths())
        .max()
        .unwrap_or_else(|| Compression::None.lengths())
}

/// The parts of the disk that are known before the root filesystem was read.
pub(crate) struct Disk<'a> {
    /// Where everything goes.
    pub(crate) layout: Layout,
    /// Offsets and bytes of the partition tables and of what else is beside the partitions, by
    /// offset.
    pub(crate) fixed: &'a [(u64, Vec<u8>)],
    /// The boot filesystem.
    pub(crate) boot: &'a Content,
    /// The root filesystem, as long as itself and not as its slot.
    pub(crate) root: &'a Content,
    /// Whether slot B gets a copy of the root filesystem.
    pub(crate) copy_to_b: bool,
}

/// How the disk image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is, sparse.
    Raw,
    /// As a stream of frames.
    Stream(Codec),
    /// In another image format.
    Wrapped(Wrap),
}

/// What the emission of one conversion needs.
pub(crate) struct Emission<'a> {
    /// The disk.
    pub(crate) disk: Disk<'a>,
    /// How the image is stored.
    pub(crate) form: Form,
    /// Whether a block map is made.
    pub(crate) map: bool,
    /// The Artifact.
    pub(crate) meta: &'a Meta,
    /// Who signs it.
    pub(crate) signer: Option<&'a Signer>,
    /// Threads.
    pub(crate) jobs: usize,
    /// Frames of earlier conversions.
    pub(crate) cache: Option<&'a Cache>,
    /// Progress.
    pub(crate) report: &'a dyn Report,
}

/// The files of an emission, before they have their names.
pub(crate) struct Names {
    /// The disk image.
    pub(crate) image: String,
    /// The Artifact.
    pub(crate) artifact: String,
    /// The root filesystem by itself, when asked for.
    pub(crate) rootfs: Option<String>,
}

/// What was written.
pub(crate) struct Written {
    /// SHA-256 of the root filesystem: the Artifact's payload and both slots.
    pub(crate) root_sha256: [u8; 32],
    /// The image.
    pub(crate) image: Pending,
    /// The Artifact.
    pub(crate) artifact: Pending,
    /// The root filesystem.
    pub(crate) rootfs: Option<Pending>,
    /// The block map of the disk, when asked for.
    pub(crate) map: Option<BlockMap>,
    /// What the image must hold, when it is a stream.
    pub(crate) stream: Option<Ledger>,
    /// What the Artifact must hold.
    pub(crate) payload: Payload,
}

/// An Artifact as it was written.
#[derive(Debug)]
pub(crate) struct Payload {
    /// All of it.
    pub(crate) ledger: Ledger,
    /// Where its data archive is (bytes in the file).
    pub(crate) data: Range<u64>,
    /// The lengths of the first frame of that, the header of the root filesystem, and of the last,
    /// which is what follows (bytes).
    pub(crate) ends: [u64; 2],
}

impl Disk<'_> {
    /// The whole disk; slot B is the same runs as slot A.
    pub(crate) fn content(&self, data: &Content) -> Content {
        let layout = &self.layout;
        let mut disk = Content::hole(0);
        self.push_fixed(&mut disk, 0..layout.boot.start);
        disk.push_content(layout.boot.start, self.boot);
        disk.push_content(layout.root_a.start, self.root);
        if self.copy_to_b {
            disk.push_content(layout.root_b.start, self.root);
        }
        disk.push_content(layout.data.start, data);
        self.push_fixed(&mut disk, layout.data.end()..layout.total);
        disk.set_len(layout.total);
        disk
    }

    /// What is beside the partitions within `range`, which `disk` reaches up to.
    fn push_fixed(&self, disk: &mut Content, range: Range<u64>) {
        for (offset, bytes) in self
            .fixed
            .iter()
            .filter(|(offset, _)| range.contains(offset))
        {
            disk.push_bytes(*offset, bytes.clone());
        }
    }

    /// The block map, with the sums of the root filesystem that its one pass gave.
    fn map(&self, root: &[Mapped], data: &Content) -> io::Result<BlockMap> {
        let layout = &self.layout;
        let mut tables = Content::hole(layout.total);
        self.push_fixed(&mut tables, 0..layout.total);
        let slot_b = if self.copy_to_b { root } else { &[] };
        let (boot, data) = (sums(self.boot)?, sums(data)?);
        let parts = [
            (layout.boot.start, &boot[..]),
            (layout.root_a.start, root),
            (layout.root_b.start, slot_b),
            (layout.data.start, &data),
        ];
        let mut ranges = sums(&tables)?;
        for (start, part) in parts {
            ranges.extend(part.iter().map(|mapped| Mapped {
                bytes: start + mapped.bytes.start..start + mapped.bytes.end,
                sha256: mapped.sha256,
            }));
        }
        ranges.sort_unstable_by_key(|mapped| mapped.bytes.start);
        Ok(BlockMap {
            size: layout.total,
            ranges,
        })
    }
}

impl Emission<'_> {
    /// Writes the image and the Artifact. `data` makes the data filesystem once the checksum of the
    /// root filesystem is known.
    ///
    /// # Errors
    /// What reading, compressing or writing said, with the file that it concerns.
    pub(crate) fn run(
        &self,
        outputs: &Outputs,
        names: &Names,
        data: &dyn Fn(&[u8; 32]) -> Result<Content>,
    ) -> Result<Written> {
        let image = outputs.create(&names.image)?;
        let artifact = outputs.create(&names.artifact)?;
        let rootfs = names
            .rootfs
            .as_ref()
            .map(|name| outputs.create(name))
            .transpose()?;
        let mut stream = match self.form {
            Form::Raw => {
                image
                    .file()
                    .set_len(self.disk.layout.total)
                    .map_err(|e| image.writing(e))?;
                self.fixed_parts(image.file())
                    .map_err(|e| image.writing(e))?;
                None
            }
            Form::Stream(codec) => Some(FrameStream::new(image.file(), 0, codec)),
            Form::Wrapped(_) => None,
        };
        if let Some(stream) = &mut stream {
            self.stream_front(stream).map_err(|e| image.writing(e))?;
        }
        let slot = stream.as_ref().map(FrameStream::mark);
        let mut sums = self.map.then(|| Sums::new(self.disk.root));
        let (root_sha256, payload) = self.root_pass(
            &artifact,
            stream.as_mut(),
            &image,
            rootfs.as_ref(),
            sums.as_mut(),
        )?;
        self.report
            .step("writing slot B and the data partition", None);
        let data = data(&root_sha256)?;
        match (self.form, stream.as_mut().zip(slot)) {
            (Form::Wrapped(wrap), _) => self.wrapped(image.file(), wrap, &data),
            (_, Some((stream, slot))) => self.stream_back(stream, slot, &data),
            _ => self.raw_back(image.file(), &data),
        }
        .map_err(|e| image.writing(e))?;
        let stream = stream.map(|stream| stream.ledger);
        let map = sums
            .map(|sums| self.disk.map(&sums.finish(), &data))
            .transpose()
            .context("making the block map")?;
        Ok(Written {
            root_sha256,
            image,
            artifact,
            rootfs,
            map,
            stream,
            payload,
        })
    }

    /// What is beside the partitions, and the boot partition, of a raw image.
    fn fixed_parts(&self, file: &File) -> io::Result<()> {
        for (offset, bytes) in self.disk.fixed {
            file.write_all_at(bytes, *offset)?;
        }
        write_content(file, self.disk.layout.boot.start, self.disk.boot)
    }

    /// The one pass over the root filesystem: Artifact, checksum, slot A of either form, and the
    /// filesystem by itself. Returns the checksum, and what the Artifact must hold.
    fn root_pass(
        &self,
        artifact: &Pending,
        mut stream: Option<&mut FrameStream>,
        image: &Pending,
        rootfs: Option<&Pending>,
        sums: Option<&mut Sums>,
    ) -> Result<([u8; 32], Payload)> {
        let root = self.disk.root;
        self.report
            .step("writing the root filesystem", Some(root.len()));
        let draft = artifact::Draft::new(self.meta, root.len(), self.signer)
            .context("making the Artifact")?;
        let mut payload = FrameStream::new(artifact.file(), draft.data_offset(), self.meta.codec);
        let (head, tail) = (draft.head()?, draft.tail()?);
        payload
            .put(Bytes::Frame(&head))
            .map_err(|e| artifact.writing(e))?;
        let codecs = self.codecs();
        let compress: Vec<_> = codecs
            .iter()
            .map(|codec| move |plain: &[u8]| self.compress(*codec, plain))
            .collect();
        let slot = (self.form == Form::Raw).then_some(self.disk.layout.root_a.start);
        let on_data = |offset: u64, plain: &[u8]| -> io::Result<()> {
            if let Some(start) = slot {
                write_sparse(image.file(), start + offset, plain).map_err(|e| image.writing(e))?;
            }
            rootfs.map_or(Ok(()), |rootfs| {
                write_sparse(rootfs.file(), offset, plain).map_err(|e| rootfs.writing(e))
            })
        };
        if let Some(rootfs) = rootfs {
            rootfs
                .file()
                .set_len(root.len())
                .map_err(|e| rootfs.writing(e))?;
        }
        let pass = Pass {
            content: root,
            lengths: lengths(&codecs),
            compress: compress.iter().map(|one| one as &Compress).collect(),
            jobs: self.jobs,
            on_data: Some(&on_data),
        };
        let mut hash = Sha256::new();
        std::thread::scope(|scope| {
            // The sums of the block map take as long as that of the whole, which must be made from
            // front to back.
            let chunks = sums.map(|sums| {
                let (chunks, wanted) = sync_channel::<Plain>(1);
                scope.spawn(move || wanted.into_iter().for_each(|plain| take(sums, &plain)));
                chunks
            });
            pass.run(&mut |chunk| {
                if let Some(chunks) = &chunks {
                    // The thread ends when there are no more.
                    let _ = chunks.send(chunk.plain.clone());
                }
                update(&mut hash, &chunk.plain);
                self.report.advance(length(&chunk.plain));
                let (payload_frame, image_frame) = self.pick(&chunk);
                payload
                    .put(payload_frame)
                    .map_err(|e| artifact.writing(e))?;
                stream
                    .as_mut()
                    .map_or(Ok(()), |stream| stream.put(image_frame))
                    .map_err(|e| image.writing(e))
            })
        })
        .context("the root filesystem")?;
        payload
            .put(Bytes::Frame(&tail))
            .map_err(|e| artifact.writing(e))?;
        let sha256: [u8; 32] = hash.finalize().into();
        let data = draft.data_offset()..payload.at;
        let finished = draft
            .finish(&sha256, data.end - data.start)
            .context("making the Artifact")?;
        payload
            .put(Bytes::Frame(&finished.back))
            .map_err(|e| artifact.writing(e))?;
        artifact
            .file()
            .write_all_at(&finished.front, 0)
            .map_err(|e| artifact.writing(e))?;
        let mut ledger = Ledger::default();
        ledger.bytes(&finished.front);
        ledger.append(&payload.ledger);
        Ok((
            sha256,
            Payload {
                ledger,
                data,
                ends: [head.len() as u64, tail.len() as u64],
            },
        ))
    }

    /// One frame, from the cache where it has it.
    fn compress(&self, codec: Codec, plain: &[u8]) -> io::Result<Vec<u8>> {
        self.cache
            .map_or_else(|| codec.proven(plain), |cache| cache.frame(codec, plain))
    }

    /// The codecs of a pass, each once: a codec that the Artifact and the image share makes one
    /// frame for both.
    fn codecs(&self) -> Vec<Codec> {
        let mut codecs = vec![self.meta.codec];
        if let Form::Stream(codec) = self.form
            && codec != self.meta.codec
        {
            codecs.push(codec);
        }
        codecs.retain(|codec| codec.kind() != Compression::None);
        codecs
    }

    /// The bytes of a chunk for the Artifact and for the image: the first and the last of its
    /// frames, see [`Self::codecs`].
    fn pick<'c>(&self, chunk: &'c Chunk) -> (Bytes<'c>, Bytes<'c>) {
        let bytes = |frame: Option<&'c std::sync::Arc<Vec<u8>>>| {
            frame.map_or(Bytes::Plain(&chunk.plain), |frame| Bytes::Frame(frame))
        };
        let payload = if self.meta.codec.kind() == Compression::None {
            None
        } else {
            chunk.frames.first()
        };
        (bytes(payload), bytes(chunk.frames.last()))
    }

    /// The whole image in another format.
    fn wrapped(&self, file: &File, wrap: Wrap, data: &Content) -> io::Result<()> {
        let layout = &self.disk.layout;
        let twin = container::Twin {
            from: layout.root_a.start,
            to: layout.root_b.start,
            len: self.disk.root.len(),
        };
        container::write(file, wrap, self.disk.content(data), twin)
    }

    /// Slot B and the data partition of a raw image.
    fn raw_back(&self, file: &File, data: &Content) -> io::Result<()> {
        let layout = &self.disk.layout;
        if self.disk.copy_to_b {
            copy_within(
                file,
                layout.root_a.start,
                layout.root_b.start,
                self.disk.root.len(),
            )?;
        }
        write_content(file, layout.data.start, data)
    }

    /// The stream from the start of the disk to slot A.
    fn stream_front(&self, stream: &mut FrameStream) -> io::Result<()> {
        let layout = &self.disk.layout;
        let mut front = Content::hole(0);
        self.disk.push_fixed(&mut front, 0..layout.boot.start);
        front.push_content(layout.boot.start, self.disk.boot);
        front.set_len(layout.root_a.start);
        self.stream_content(stream, &front)
    }

    /// The stream behind the root filesystem in slot A, which begins at `slot`.
    fn stream_back(&self, stream: &mut FrameStream, slot: Mark, data: &Content) -> io::Result<()> {
        let layout = &self.disk.layout;
        let end = stream.mark();
        let root_len = self.disk.root.len();
        let gap = Content::hole(layout.root_a.len - root_len);
        self.stream_content(stream, &gap)?;
        if self.disk.copy_to_b {
            stream.repeat(slot, end)?;
        } else {
            self.stream_content(stream, &Content::hole(root_len))?;
        }
        self.stream_content(stream, &gap)?;
        let mut back = Content::hole(0);
        back.push_content(0, data);
        for (offset, bytes) in self
            .disk
            .fixed
            .iter()
            .filter(|(offset, _)| *offset >= layout.data.end())
        {
            back.push_bytes(offset - layout.data.start, bytes.clone());
        }
        back.set_len(layout.total - layout.data.start);
        self.stream_content(stream, &back)
    }

    fn stream_content(&self, stream: &mut FrameStream, content: &Content) -> io::Result<()> {
        let codec = stream.codec;
        let compress = move |plain: &[u8]| self.compress(codec, plain);
        let pass = Pass {
            content,
            lengths: codec.kind().lengths(),
            compress: vec![&compress],
            jobs: self.jobs,
            on_data: None,
        };
        pass.run(&mut |chunk| stream.put(Bytes::Frame(&chunk.frames[0])))
    }
}

fn take(sums: &mut Sums, plain: &Plain) {
    match plain {
        Plain::Data(bytes) => sums.update(bytes),
        Plain::Zero(len) => sums.zeros(*len),
    }
}

fn length(plain: &Plain) -> u64 {
    match plain {
        Plain::Zero(len) => *len as u64,
        Plain::Data(bytes) => bytes.len() as u64,
    }
}

fn update(hash: &mut Sha256, plain: &Plain) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    match plain {
        Plain::Data(bytes) => hash.update(&bytes[..]),
        Plain::Zero(len) => {
            for _ in 0..len / ZEROS.len() {
                hash.update(ZEROS.as_slice());
            }
            hash.update(&ZEROS[..len % ZEROS.len()]);
        }
    }
}
