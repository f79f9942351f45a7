//! The input image, in whatever form it comes, as bytes that can be read at any offset.
//!
//! A form is recognised by its first bytes, never by a file's name. Raw images, qcow2 and Android sparse images are read where they
//! lie, holes kept; compressed ones are decoded once into a spool, a sparse file without a name that vanishes with the process.

mod decode;
mod detect;
mod qcow2;
mod reader;
mod simg;
mod spool;

use crate::report::Report;
use crate::stream::{FileSource, Source};
use crate::units::human;
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
    /// The largest image that is taken (bytes): what bounds compressed bombs.
    pub max_size: u64,
    /// How many threads may decode.
    pub threads: u32,
    /// Who is told.
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
    /// Fails when the input's file was changed since it was opened. A pipe cannot change.
    ///
    /// # Errors
    /// [`Error::Changed`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.fingerprint.as_ref().map_or(Ok(()), Fingerprint::check_unchanged)
    }
}

/// What tells whether a file was written to: length, time of the last change and inode, as they were at first sight.
#[derive(Debug)]
pub struct Fingerprint {
    file: File,
    seen: (u64, u64, u64, i64, i64),
}

impl Fingerprint {
    /// Looks at `file`.
    ///
    /// # Errors
    /// What asking for its metadata said.
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
        if now == self.seen { Ok(()) } else { Err(Error::Changed { before: self.seen.0, now: now.0 }) }
    }

    fn key(metadata: &Metadata) -> (u64, u64, u64, i64, i64) {
        (metadata.len(), metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
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
    #[error("{0} is no image: it is a directory")]
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
    #[error("the image is larger than {0} bytes, the most that is taken")]
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
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            Self::Members(_) | Self::Nested => Some("extract the disk image and name it as input"),
            Self::Directory(_) => Some("name the image file"),
            Self::Changed { .. } => Some("copy the image first, or stop what writes to it"),
            _ => None,
        }
    }
}

/// Opens the image at `path`; `-` is standard input. Regular files are recognised by content, block devices taken as they are, all else
/// (pipes) read to its end.
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
        let source = Arc::new(FileSource::new(file, within(len, options)?));
        return Ok(Input { source, form: Form::BlockDevice, stored_len: len, fingerprint: None });
    }
    if !kind.is_file() {
        return from_stream(file, options);
    }
    let fingerprint = Fingerprint::of(&file)?;
    let source: Source = Arc::new(FileSource::new(file, metadata.len()));
    let (source, form) = unwrap(source, options)?;
    let input = Input { source, form, stored_len: metadata.len(), fingerprint: Some(fingerprint) };
    input.check_unchanged()?;
    Ok(input)
}

/// Reads an image from a stream to its end. One that is compressed is decoded on the way, so nothing is stored twice.
///
/// # Errors
/// [`Error`].
pub fn from_stream(stream: impl Read, options: &Options<'_>) -> Result<Input, Error> {
    let mut counted = Watched::new(stream, options.report);
    let mut head = Vec::new();
    counted.by_ref().take(detect::HEAD as u64).read_to_end(&mut head)?;
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
    let (source, form) = if decode::is_stream(&form) { (inner(spool, options)?, form) } else { unwrap(spool, options)? };
    Ok(Input { source, form, stored_len: counted.count(), fingerprint: None })
}

/// The image in `stored`, and the form around it.
fn unwrap(stored: Source, options: &Options<'_>) -> Result<(Source, Form), Error> {
    let form = detect::form(&reader::head(&stored, detect::HEAD)?)?;
    if let Some(image) = in_place(&stored, &form, options)? {
        return Ok((image, form));
    }
    options.report.step(&format!("decompressing {form}"), Some(stored.len()));
    let (spool, form) = if matches!(form, Form::Zip { .. }) {
        decode::unzip(stored, options)?
    } else {
        let watched = Watched::new(reader::Reader::new(stored), options.report);
        let mut input = BufReader::with_capacity(1 << 18, watched);
        (decode::decode(&form, &mut input, options)?, form)
    };
    Ok((inner(spool, options)?, form))
}

/// What a decoded image holds: the disk itself, or one more form that is read in place.
fn inner(spool: Source, options: &Options<'_>) -> Result<Source, Error> {
    let form = detect::form(&reader::head(&spool, detect::HEAD)?)?;
    in_place(&spool, &form, options)?.ok_or(Error::Nested)
}

/// The image, where its form can be read where it lies.
fn in_place(stored: &Source, form: &Form, options: &Options<'_>) -> Result<Option<Source>, Error> {
    let image: Source = match form {
        Form::Raw | Form::BlockDevice => stored.clone(),
        Form::Qcow2 => Arc::new(qcow2::read(stored)?),
        Form::AndroidSparse => Arc::new(simg::read(stored)?),
        Form::Gzip | Form::Xz | Form::Zstd | Form::Bzip2 | Form::Zip { .. } => return Ok(None),
    };
    within(image.len(), options)?;
    Ok(Some(image))
}

/// `len`, unless it is more than allowed.
fn within(len: u64, options: &Options<'_>) -> Result<u64, Error> {
    if len > options.max_size { Err(Error::TooLarge(options.max_size)) } else { Ok(len) }
}

/// Tells what a spool came to.
fn note_spool(options: &Options<'_>, len: u64, stored: u64) {
    let place = options.spool_dir.display();
    options.report.note(&format!("decoded {} into a nameless file in {place}, {} of it data", human(len), human(stored)));
}
