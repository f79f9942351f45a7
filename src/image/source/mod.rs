//! Input images of all formats, as bytes that can be read at any offset.
//!
//! The format is recognised by the first bytes, never by the file name. Raw, qcow2 and Android
//! sparse images are read in place, including their holes. Compressed inputs are decompressed once
//! into an unlinked sparse temporary file, the spool.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod decode;
mod detect;
mod qcow2;
mod reader;
mod simg;
mod spool;
mod xz;

use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Compression, FileSource, Source, decoder};
use crate::units::{human, len_u64};
pub use reader::Reader;
use reader::Watched;
use spool::Spool;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// The format in which an image is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// The bytes of the disk as they are.
    Raw,
    /// gzip (RFC 1952), one member or more.
    Gzip,
    /// xz, one stream or more.
    Xz,
    /// Zstandard (RFC 8878), one frame or more.
    Zstd,
    /// bzip2, one stream or more.
    Bzip2,
    /// A zip archive that contains one image.
    Zip {
        /// Name of the image in the archive.
        member: String,
    },
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// The sparse format of Android's `fastboot`.
    AndroidSparse,
    /// A block device of the host.
    BlockDevice,
}

impl InputFormat {
    /// Whether it must be decompressed before it can be read at any offset.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        !matches!(
            self,
            Self::Raw | Self::Qcow2 | Self::AndroidSparse | Self::BlockDevice
        )
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Zip { member } => return write!(f, "zip ({member})"),
            Self::Qcow2 => "qcow2",
            Self::AndroidSparse => "Android sparse",
            Self::BlockDevice => "block device",
        })
    }
}

/// Options for opening an input.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Directory for the spool, on a filesystem with room for the used bytes of the image.
    pub spool_dir: &'a Path,
    /// Maximum size of a decompressed image (bytes), which stops decompression bombs. Images that
    /// are read in place are not limited.
    pub max_size: u64,
    /// Number of decompression threads; 0 counts as 1.
    pub threads: u32,
    /// Receives progress.
    pub report: &'a dyn Report,
}

/// An open input image; clones share what it was decompressed to.
#[derive(Clone, Debug)]
pub struct InputImage {
    /// The bytes of the disk.
    pub source: Source,
    /// The format of the file; the outer one if formats are nested (`disk.qcow2.xz`).
    pub form: InputFormat,
    /// Length of the file, or of everything read from standard input (bytes).
    pub stored_len: u64,
    fingerprint: Option<Fingerprint>,
    backing: Option<Backing>,
}

/// What an image is read from, by the numbers that the kernel knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file: the number of its filesystem's device, and its inode.
    File(u64, u64),
    /// A block device: its number.
    Device(u64),
}

impl InputImage {
    /// A raw image from any source; it is not checked for changes.
    #[must_use]
    pub fn of(source: Source) -> Self {
        Self {
            stored_len: source.len(),
            source,
            form: InputFormat::Raw,
            fingerprint: None,
            backing: None,
        }
    }

    /// The file or block device that is read in place; `None` for pipes and images that were
    /// decompressed.
    #[must_use]
    pub fn backing(&self) -> Option<&Backing> {
        let in_place = matches!(self.form, InputFormat::Raw | InputFormat::BlockDevice);
        self.backing.as_ref().filter(|_| in_place)
    }

    /// Whether the file at `path` is this input, and must therefore not be written to.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let seen = self
            .fingerprint
            .as_ref()
            .map(|fingerprint| fingerprint.seen);
        let there = std::fs::metadata(path).ok();
        seen.zip(there)
            .is_some_and(|(seen, there)| (seen.1, seen.2) == (there.dev(), there.ino()))
    }

    /// The file itself, not decompressed; `None` for pipes and block devices.
    ///
    /// # Errors
    /// I/O errors of duplicating the file handle.
    pub fn stored(&self) -> io::Result<Option<FileSource>> {
        let Some(fingerprint) = &self.fingerprint else {
            return Ok(None);
        };
        Ok(Some(FileSource::new(
            fingerprint.file.try_clone()?,
            self.stored_len,
        )))
    }

    /// Fails if the file was changed since it was opened. A pipe cannot change.
    ///
    /// # Errors
    /// [`SourceError::Changed`].
    pub fn check_unchanged(&self) -> Result<(), SourceError> {
        self.fingerprint
            .as_ref()
            .map_or(Ok(()), Fingerprint::check_unchanged)
    }
}

/// Length, modification time and inode of an open file, to detect changes.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    file: Arc<File>,
    seen: (u64, u64, u64, i64, i64),
}

impl Fingerprint {
    /// The current fingerprint of `file`.
    ///
    /// # Errors
    /// I/O errors of reading its metadata.
    pub fn of(file: &File) -> io::Result<Self> {
        let file = Arc::new(file.try_clone()?);
        let seen = Self::key(&file.metadata()?);
        Ok(Self { file, seen })
    }

    /// Fails if the file was changed since [`Self::of`].
    ///
    /// # Errors
    /// [`SourceError::Changed`] with both lengths.
    pub fn check_unchanged(&self) -> Result<(), SourceError> {
        let now = Self::key(&self.file.metadata()?);
        if now == self.seen {
            Ok(())
        } else {
            Err(SourceError::Changed {
                before: self.seen.0,
                now: now.0,
            })
        }
    }

    fn key(metadata: &Metadata) -> (u64, u64, u64, i64, i64) {
        (
            metadata.len(),
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        )
    }
}

/// The reason why an input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Reading the input failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Opening the file failed.
    #[error("opening {0}: {1}")]
    Open(String, #[source] io::Error),
    /// Creating or writing the spool failed.
    #[error("writing the decompressed image to {0}: {1}")]
    Spool(String, #[source] io::Error),
    /// The path is a directory.
    #[error("{0} is a directory, not an image")]
    Directory(String),
    /// A known format that is not supported.
    #[error("{name} is not supported")]
    Unsupported {
        /// The format.
        name: &'static str,
        /// The command that makes it readable.
        command: String,
    },
    /// An image with an unsupported property.
    #[error("unsupported {form} image: {what}")]
    Refused {
        /// The form.
        form: InputFormat,
        /// The unsupported property.
        what: String,
        /// Advice for the user.
        hint: &'static str,
    },
    /// The structures of the input contradict each other.
    #[error("damaged {form}: {what}")]
    Corrupt {
        /// The form.
        form: InputFormat,
        /// The contradiction, with its numbers.
        what: String,
    },
    /// The decompressed image exceeds [`OpenOptions::max_size`] (bytes).
    #[error("the decompressed image exceeds the limit of {0} bytes")]
    TooLarge(u64),
    /// A zip archive without image, or with several; the names of its files.
    #[error("the zip archive must contain exactly one image, but it contains {}", if .0.is_empty() { "no file".into() } else { .0.join(", ") })]
    Members(Vec<String>),
    /// The input was changed while it was read.
    #[error("the input was changed while it was read ({before} bytes before, {now} bytes now)")]
    Changed {
        /// Length when it was opened (bytes).
        before: u64,
        /// Length now (bytes).
        now: u64,
    },
    /// More than two nested formats.
    #[error("the image is nested in more than two formats")]
    Nested,
}

impl SourceError {
    /// The message and the hint.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem {
            message: self.to_string(),
            hint: self.hint().map(str::to_owned),
        }
    }

    /// The same error of the file at `path`, whose command names that file.
    fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Unsupported { name, command } => Self::Unsupported {
                name,
                command: command.replace("FILE", &path.display().to_string()),
            },
            other => other,
        }
    }

    /// Advice for the user, where there is any.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            Self::Unsupported { command, .. } => Some(command),
            Self::Members(_) | Self::Nested => Some("extract the disk image and give it as input"),
            Self::Directory(_) => Some("give the image file"),
            Self::Corrupt { form, .. } if form.is_compressed() => Some(
                "the file is incomplete or has other data after its end: download or copy it again, \
                 and compare its checksum; if it was split, join the pieces with cat",
            ),
            Self::Corrupt {
                form: InputFormat::Qcow2,
                ..
            } => Some(
                "`qemu-img check` shows what is wrong with it; if it is incomplete, copy or download \
                 it again, and compare its checksum",
            ),
            Self::Corrupt { .. } => Some("copy or download it again, and compare its checksum"),
            Self::TooLarge(_) => Some("decompress it first: uncompressed images may have any size"),
            Self::Changed { .. } => {
                Some("copy the image first, or stop the program that writes to it")
            }
            _ => None,
        }
    }
}

/// Opens the image at `path`; `-` is standard input. The format of regular files is recognised by
/// content, block devices are raw, and everything else (pipes) is read to its end.
///
/// # Errors
/// I/O errors of the input or the spool; unsupported or damaged images.
pub fn open(path: &Path, options: &OpenOptions<'_>) -> Result<InputImage, SourceError> {
    if path.as_os_str() == "-" {
        return from_stream(io::stdin().lock(), options);
    }
    let shown = || path.display().to_string();
    let mut file = File::open(path).map_err(|e| SourceError::Open(shown(), e))?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(SourceError::Directory(shown()));
    }
    if kind.is_block_device() {
        let len = file.seek(SeekFrom::End(0))?;
        let source = Arc::new(FileSource::new(file, len));
        return Ok(InputImage {
            source,
            form: InputFormat::BlockDevice,
            stored_len: len,
            fingerprint: None,
            backing: Some(Backing::Device(metadata.rdev())),
        });
    }
    if !kind.is_file() {
        return from_stream(file, options);
    }
    let fingerprint = Fingerprint::of(&file)?;
    let source: Source = Arc::new(FileSource::new(file, metadata.len()));
    let (source, form) = unwrap(source, options).map_err(|error| error.of_file(path))?;
    let input = InputImage {
        source,
        form,
        stored_len: metadata.len(),
        fingerprint: Some(fingerprint),
        backing: Some(Backing::File(metadata.dev(), metadata.ino())),
    };
    input.check_unchanged()?;
    Ok(input)
}

/// An image that is read from start to end, so that no spool is needed.
pub enum SequentialImage {
    /// It can be read at any offset.
    InPlace(Source),
    /// It is decompressed while it is read.
    Stream(Box<dyn Read>),
}

/// Opens the image at `path` for reading from start to end: raw, qcow2 and Android sparse images
/// and block devices in place; gzip, xz and Zstandard are decompressed on the fly.
///
/// # Errors
/// I/O errors of the input; unsupported or damaged images.
pub fn open_forwards(path: &Path) -> Result<SequentialImage, SourceError> {
    let shown = || path.display().to_string();
    let mut file = File::open(path).map_err(|e| SourceError::Open(shown(), e))?;
    if file.metadata()?.is_dir() {
        return Err(SourceError::Directory(shown()));
    }
    let len = file.seek(SeekFrom::End(0))?;
    let stored: Source = Arc::new(FileSource::new(file, len));
    let head = reader::head(&stored, detect::HEAD)?;
    let form = detect::form(&head).map_err(|error| error.of_file(path))?;
    let kind = match form {
        InputFormat::Gzip => Compression::Gzip,
        InputFormat::Xz => Compression::Xz,
        InputFormat::Zstd => Compression::Zstd,
        _ => {
            let unpack = |form| SourceError::Refused {
                form,
                what: "it must be decompressed first".into(),
                hint: "decompress it, and give the result",
            };
            return viewed(&stored, &form, None)?
                .map(SequentialImage::InPlace)
                .ok_or_else(|| unpack(form));
        }
    };
    Ok(SequentialImage::Stream(decoder(
        kind,
        BufReader::with_capacity(1 << 18, reader::Reader::new(stored)),
    )?))
}

/// Reads an image from a stream to its end. Compressed images are decompressed on the fly, so
/// nothing is stored twice.
///
/// # Errors
/// I/O errors of the stream or the spool; unsupported or damaged images.
pub fn from_stream(
    stream: impl Read,
    options: &OpenOptions<'_>,
) -> Result<InputImage, SourceError> {
    let mut counted = Watched::new(stream, options.report);
    let mut head = Vec::new();
    counted
        .by_ref()
        .take(len_u64(detect::HEAD))
        .read_to_end(&mut head)?;
    let form = detect::form(&head)?;
    let mut input = BufReader::with_capacity(1 << 18, head.chain(counted.by_ref()));
    let spool = if decode::is_stream(&form) {
        options.report.step("decompressing standard input", None);
        decode::decode(&form, &mut input, options)?
    } else {
        options.report.step("reading standard input", None);
        Spool::fill(&mut input, &form, options)?
    };
    drop(input);
    let (source, form) = if decode::is_stream(&form) {
        (inner(spool, options)?, form)
    } else {
        unwrap(spool, options)?
    };
    Ok(InputImage {
        source,
        form,
        stored_len: counted.count(),
        fingerprint: None,
        backing: None,
    })
}

/// An image that `fill` writes from its start to its end, kept in a spool.
///
/// # Errors
/// What `fill` returns; [`SourceError::TooLarge`] and I/O errors of the spool.
pub fn written(
    options: &OpenOptions<'_>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Source, SourceError> {
    let mut spool = Spool::new(options)?;
    fill(&mut spool).map_err(|error| match error.downcast::<SourceError>() {
        Ok(error) => error,
        Err(error) => SourceError::Io(error),
    })?;
    spool.finish()
}

/// The image in `stored`, and its outer format.
fn unwrap(stored: Source, options: &OpenOptions<'_>) -> Result<(Source, InputFormat), SourceError> {
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    if let Some(image) = viewed(&stored, &form, Some(options))? {
        return Ok((image, form));
    }
    options
        .report
        .step(&format!("decompressing {form}"), Some(stored.len()));
    let (spool, form) = if matches!(form, InputFormat::Zip { .. }) {
        decode::unzip(stored, options)?
    } else if let Some(spool) = if form == InputFormat::Xz {
        xz::decode(&stored, options)?
    } else {
        None
    } {
        (spool, form)
    } else {
        let watched = Watched::new(reader::Reader::new(stored), options.report);
        let mut input = BufReader::with_capacity(1 << 18, watched);
        (decode::decode(&form, &mut input, options)?, form)
    };
    Ok((inner(spool, options)?, form))
}

/// The disk in a decompressed file, which is raw or in a format that is read in place.
fn inner(spool: Source, options: &OpenOptions<'_>) -> Result<Source, SourceError> {
    let form = detect::form(&reader::head(&spool, detect::HEAD)?)?;
    viewed(&spool, &form, Some(options))?.ok_or(SourceError::Nested)
}

/// The image in `stored`, which is raw, qcow2 or Android sparse.
///
/// # Errors
/// [`SourceError::Nested`] if it is compressed; unsupported or damaged images; I/O errors of the
/// source.
pub fn in_place(stored: Source) -> Result<Source, SourceError> {
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    viewed(&stored, &form, None)?.ok_or(SourceError::Nested)
}

/// The image, if its format can be read in place. With `check`, all of its compressed parts are
/// decompressed once.
fn viewed(
    stored: &Source,
    form: &InputFormat,
    check: Option<&OpenOptions<'_>>,
) -> Result<Option<Source>, SourceError> {
    Ok(Some(match form {
        InputFormat::Raw | InputFormat::BlockDevice => stored.clone(),
        InputFormat::Qcow2 => Arc::new(qcow2::read(stored, check)?),
        InputFormat::AndroidSparse => Arc::new(simg::read(stored)?),
        InputFormat::Gzip
        | InputFormat::Xz
        | InputFormat::Zstd
        | InputFormat::Bzip2
        | InputFormat::Zip { .. } => return Ok(None),
    }))
}

/// Reports the size of a finished spool.
fn note_spool(options: &OpenOptions<'_>, len: u64, stored: u64) {
    let place = options.spool_dir.display();
    options.report.note(&format!(
        "decompressed {} into a temporary file in {place}, {} of it data",
        human(len),
        human(stored)
    ));
}
