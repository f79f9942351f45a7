//! The input image, in whatever form it comes, as bytes that can be read at any offset.
//!
//! A form is recognised by its first bytes, never by a file's name. Raw images, qcow2 and Android
//! sparse images are read where they lie, holes kept; compressed ones are decoded once into a
//! spool, a sparse file without a name that vanishes with the process.

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
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// How an image is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its bytes, nothing else.
    Raw,
    /// gzip (RFC 1952), one member or more.
    Gzip,
    /// xz, one stream or more.
    Xz,
    /// Zstandard (RFC 8878), one frame or more.
    Zstd,
    /// bzip2, one stream or more.
    Bzip2,
    /// The only image in a zip archive.
    Zip {
        /// Its name there.
        member: String,
    },
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// The sparse format of Android's `fastboot`.
    AndroidSparse,
    /// A block device of the host.
    BlockDevice,
}

impl Form {
    /// Whether it must be decoded before any of it can be read.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        !matches!(
            self,
            Self::Raw | Self::Qcow2 | Self::AndroidSparse | Self::BlockDevice
        )
    }
}

impl fmt::Display for Form {
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

/// What opening an input needs to know.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Where a spool goes: a directory on a disk with room for the used bytes of the image.
    pub spool_dir: &'a Path,
    /// The largest image that is unpacked (bytes): what bounds compressed bombs. What is read in
    /// place takes no room.
    pub max_size: u64,
    /// How many threads may decode.
    pub threads: u32,
    /// Receives progress.
    pub report: &'a dyn Report,
}

/// An input image, open.
#[derive(Debug)]
pub struct Input {
    /// The image's bytes.
    pub source: Source,
    /// How it is stored; the outer form where one lies in another (`disk.qcow2.xz`).
    pub form: Form,
    /// The bytes it takes as stored; for standard input those that were read.
    pub stored_len: u64,
    fingerprint: Option<Fingerprint>,
}

impl Input {
    /// An image that is read from elsewhere than a file of the host; whether it changes is the
    /// caller's concern.
    #[must_use]
    pub fn of(source: Source) -> Self {
        Self {
            stored_len: source.len(),
            source,
            form: Form::Raw,
            fingerprint: None,
        }
    }

    /// Whether the file at `path` is this input: it must not be written to.
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

    /// The file as it is stored; `None` for what was read from a pipe.
    ///
    /// # Errors
    /// I/O errors of opening it again.
    pub fn stored(&self) -> io::Result<Option<FileSource>> {
        let Some(fingerprint) = &self.fingerprint else {
            return Ok(None);
        };
        Ok(Some(FileSource::new(
            fingerprint.file.try_clone()?,
            self.stored_len,
        )))
    }

    /// Fails when the input's file was changed since it was opened. A pipe cannot change.
    ///
    /// # Errors
    /// [`Error::Changed`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.fingerprint
            .as_ref()
            .map_or(Ok(()), Fingerprint::check_unchanged)
    }
}

/// What tells whether a file was written to: length, time of the last change and inode, as they
/// were at first sight.
#[derive(Debug)]
pub struct Fingerprint {
    file: File,
    seen: (u64, u64, u64, i64, i64),
}

impl Fingerprint {
    /// Looks at `file`.
    ///
    /// # Errors
    /// I/O errors of reading its metadata.
    pub fn of(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let seen = Self::key(&file.metadata()?);
        Ok(Self { file, seen })
    }

    /// Fails when the file is no longer as it was.
    ///
    /// # Errors
    /// [`Error::Changed`] with both lengths.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        let now = Self::key(&self.file.metadata()?);
        if now == self.seen {
            Ok(())
        } else {
            Err(Error::Changed {
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

/// Why an input could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the input or writing the spool failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Opening the file failed.
    #[error("opening {0}: {1}")]
    Open(String, #[source] io::Error),
    /// The spool could not be made or written.
    #[error("writing the decoded image in {0}: {1}")]
    Spool(String, #[source] io::Error),
    /// What is named is a directory or the like.
    #[error("{0} is not an image: it is a directory")]
    Directory(String),
    /// A form that is known and not read.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// An image with a property that is not read.
    #[error("this {form} image cannot be read: {what}")]
    Refused {
        /// The form.
        form: Form,
        /// The property.
        what: String,
        /// The way out.
        hint: &'static str,
    },
    /// The input's own structures disagree.
    #[error("damaged {form}: {what}")]
    Corrupt {
        /// The form.
        form: Form,
        /// What is wrong, with the numbers.
        what: String,
    },
    /// The image is larger than allowed.
    #[error("the unpacked image is larger than {0} bytes, the most that is unpacked")]
    TooLarge(u64),
    /// A zip archive with no image, or with several.
    #[error("the zip archive must hold exactly one image, it holds {}", if .0.is_empty() { "none".into() } else { .0.join(", ") })]
    Members(Vec<String>),
    /// The input was written to while it was read.
    #[error("the input was changed while it was read ({before} bytes before, {now} now)")]
    Changed {
        /// Its length when it was opened (bytes).
        before: u64,
        /// Its length now (bytes).
        now: u64,
    },
    /// Wrapped in too many forms.
    #[error("the image is wrapped in more than two forms")]
    Nested,
}

impl Error {
    /// For people, with what they can do about it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem {
            message: self.to_string(),
            hint: self.hint().map(str::to_owned),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            Self::Members(_) | Self::Nested => Some("extract the disk image and name it as input"),
            Self::Directory(_) => Some("name the image file"),
            Self::TooLarge(_) => {
                Some("unpack it first: an image that is read in place may have any size")
            }
            Self::Changed { .. } => Some("copy the image first, or stop what writes to it"),
            _ => None,
        }
    }
}

/// Opens the image at `path`; `-` is standard input. Regular files are recognised by content, block
/// devices taken as they are, all else (pipes) read to its end.
///
/// # Errors
/// [`Error`].
pub fn open(path: &Path, options: &Options<'_>) -> Result<Input, Error> {
    if path.as_os_str() == "-" {
        return from_stream(io::stdin().lock(), options);
    }
    let shown = || path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::Open(shown(), e))?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Error::Directory(shown()));
    }
    if kind.is_block_device() {
        let len = file.seek(SeekFrom::End(0))?;
        let source = Arc::new(FileSource::new(file, len));
        return Ok(Input {
            source,
            form: Form::BlockDevice,
            stored_len: len,
            fingerprint: None,
        });
    }
    if !kind.is_file() {
        return from_stream(file, options);
    }
    let fingerprint = Fingerprint::of(&file)?;
    let source: Source = Arc::new(FileSource::new(file, metadata.len()));
    let (source, form) = unwrap(source, options)?;
    let input = Input {
        source,
        form,
        stored_len: metadata.len(),
        fingerprint: Some(fingerprint),
    };
    input.check_unchanged()?;
    Ok(input)
}

/// An image that is read forwards, so that nothing of it need be stored.
pub enum Forwards {
    /// One that can be read at any offset.
    InPlace(Source),
    /// One that is decoded as it is read.
    Stream(Box<dyn Read>),
}

/// Opens the image at `path` for reading it forwards: raw, qcow2 and Android sparse images and
/// block devices where they lie, gzip, xz and Zstandard decoded on the way.
///
/// # Errors
/// [`Error`].
pub fn open_forwards(path: &Path) -> Result<Forwards, Error> {
    let shown = || path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::Open(shown(), e))?;
    if file.metadata()?.is_dir() {
        return Err(Error::Directory(shown()));
    }
    let len = file.seek(SeekFrom::End(0))?;
    let stored: Source = Arc::new(FileSource::new(file, len));
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    let kind = match form {
        Form::Gzip => Compression::Gzip,
        Form::Xz => Compression::Xz,
        Form::Zstd => Compression::Zstd,
        _ => {
            let unpack = |form| Error::Refused {
                form,
                what: "it must be unpacked first".into(),
                hint: "unpack it",
            };
            return viewed(&stored, &form)?
                .map(Forwards::InPlace)
                .ok_or_else(|| unpack(form));
        }
    };
    Ok(Forwards::Stream(decoder(
        kind,
        BufReader::with_capacity(1 << 18, reader::Reader::new(stored)),
    )?))
}

/// Reads an image from a stream to its end. One that is compressed is decoded on the way, so
/// nothing is stored twice.
///
/// # Errors
/// [`Error`].
pub fn from_stream(stream: impl Read, options: &Options<'_>) -> Result<Input, Error> {
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
        (inner(spool)?, form)
    } else {
        unwrap(spool, options)?
    };
    Ok(Input {
        source,
        form,
        stored_len: counted.count(),
        fingerprint: None,
    })
}

/// The image in `stored`, and the form around it.
fn unwrap(stored: Source, options: &Options<'_>) -> Result<(Source, Form), Error> {
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    if let Some(image) = viewed(&stored, &form)? {
        return Ok((image, form));
    }
    options
        .report
        .step(&format!("decompressing {form}"), Some(stored.len()));
    let (spool, form) = if matches!(form, Form::Zip { .. }) {
        decode::unzip(stored, options)?
    } else if let Some(spool) = if form == Form::Xz {
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
    Ok((inner(spool)?, form))
}

/// What a decoded image holds: the disk itself, or one more form that is read in place.
fn inner(spool: Source) -> Result<Source, Error> {
    let form = detect::form(&reader::head(&spool, detect::HEAD)?)?;
    viewed(&spool, &form)?.ok_or(Error::Nested)
}

/// The image in `stored`, which is raw, qcow2 or Android sparse.
///
/// # Errors
/// [`Error::Nested`] when it is in another form; I/O errors of the source.
pub fn in_place(stored: Source) -> Result<Source, Error> {
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    viewed(&stored, &form)?.ok_or(Error::Nested)
}

/// The image, where its form can be read where it lies.
fn viewed(stored: &Source, form: &Form) -> Result<Option<Source>, Error> {
    Ok(Some(match form {
        Form::Raw | Form::BlockDevice => stored.clone(),
        Form::Qcow2 => Arc::new(qcow2::read(stored)?),
        Form::AndroidSparse => Arc::new(simg::read(stored)?),
        Form::Gzip | Form::Xz | Form::Zstd | Form::Bzip2 | Form::Zip { .. } => return Ok(None),
    }))
}

/// Tells what a spool came to.
fn note_spool(options: &Options<'_>, len: u64, stored: u64) {
    let place = options.spool_dir.display();
    options.report.note(&format!(
        "decoded {} into a nameless file in {place}, {} of it data",
        human(len),
        human(stored)
    ));
}
