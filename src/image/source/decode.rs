//! Compressed formats, decompressed into a spool.

use super::detect::HEAD;
use super::reader::{Reader, Watched};
use super::spool::Spool;
use super::{InputFormat, OpenOptions, SourceError};
use crate::image::probe::{self, Format};
use crate::stream::Source;
use crate::units::{MIB, human, len_u64};
use liblzma::bufread::XzDecoder;
use liblzma::stream::{MtStreamBuilder, Stream};
use std::io::{self, BufRead, BufReader, Read as _};
use zip::ZipArchive;

/// Memory for decompressing xz in several threads (bytes); blocks that need more are decompressed
/// one after the other.
const XZ_THREADING: u64 = 512 * MIB;
/// Maximum memory of an xz stream (bytes), as named in its header; streams that need more are
/// refused.
const XZ_MOST: u64 = 512 * MIB;
/// Base-two logarithm of the maximum window of a zstd frame, which takes that much memory: the
/// limit of the format's library, for images compressed with `--long` or `--ultra`.
const ZSTD_WINDOW_LOG: u32 = 31;
/// Suffixes of images in a zip archive that also contains other files (checksums, notes).
const IMAGES: [&str; 7] = [
    ".img",
    ".raw",
    ".wic",
    ".sdimg",
    ".rpi-sdimg",
    ".bin",
    ".qcow2",
];

/// Whether a format can be decompressed from a pipe.
pub(super) fn is_stream(form: &InputFormat) -> bool {
    matches!(
        form,
        InputFormat::Gzip | InputFormat::Xz | InputFormat::Zstd | InputFormat::Bzip2
    )
}

/// Decompresses `input` to its end. A file may contain several streams one after the other, each
/// padded with zeros (xz file format 1.2, section 2.2; gzip from tapes); each decoder takes one.
pub(super) fn decode(
    form: &InputFormat,
    mut input: &mut dyn BufRead,
    options: &OpenOptions<'_>,
) -> Result<Source, SourceError> {
    let mut spool = Spool::new(options)?;
    while !input.fill_buf()?.is_empty() {
        match form {
            InputFormat::Gzip => {
                spool.append(&mut flate2::bufread::GzDecoder::new(&mut input), form)?
            }
            InputFormat::Bzip2 => {
                spool.append(&mut bzip2::bufread::BzDecoder::new(&mut input), form)?
            }
            InputFormat::Zstd => {
                check_window(input.fill_buf()?)?;
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                spool.append(&mut decoder.single_frame(), form)?
            }
            InputFormat::Xz => spool.append(
                &mut XzDecoder::new_stream(&mut input, xz_decoder(options)?),
                form,
            )?,
            _ => spool.append(&mut input, form)?,
        }
        skip_zeros(input)?;
    }
    spool.finish()
}

/// Fails if the frame of zstd that begins with `head` has a window beyond the limit (RFC 8878,
/// section 3.1.1.1.2).
fn check_window(head: &[u8]) -> Result<(), SourceError> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, ..] = head else {
        return Ok(());
    };
    // A frame of a single segment has no window of its own.
    if descriptor & 0x20 != 0 {
        return Ok(());
    }
    // At most 2^41 and seven eighths of that.
    let base = 1024_u64 << (window >> 3);
    let eighths = u64::from(window & 7).saturating_mul(base / 8);
    let size = base.saturating_add(eighths);
    if size <= 1 << ZSTD_WINDOW_LOG {
        return Ok(());
    }
    Err(SourceError::Refused {
        form: InputFormat::Zstd,
        what: format!(
            "its window has {}, the limit is {}",
            human(size),
            human(1 << ZSTD_WINDOW_LOG)
        ),
        hint: "compress the image again without --ultra and --long, as with zstd -19",
    })
}

fn xz_decoder(options: &OpenOptions<'_>) -> io::Result<Stream> {
    let mut builder = MtStreamBuilder::new();
    builder
        .threads(options.threads.max(1))
        .memlimit_threading(XZ_THREADING)
        .memlimit_stop(XZ_MOST);
    Ok(builder.decoder()?)
}

fn skip_zeros(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let all = zeros == bytes.len();
        input.consume(zeros);
        if !all || zeros == 0 {
            return Ok(());
        }
    }
}

/// Decompresses the only image of a zip archive.
pub(super) fn unzip(
    stored: Source,
    options: &OpenOptions<'_>,
) -> Result<(Source, InputFormat), SourceError> {
    let nameless = InputFormat::Zip {
        member: String::new(),
    };
    let corrupt = |e: zip::result::ZipError| SourceError::Corrupt {
        form: nameless.clone(),
        what: e.to_string(),
    };
    let mut archive = ZipArchive::new(BufReader::new(Watched::new(
        Reader::new(stored),
        options.report,
    )))
    .map_err(corrupt)?;
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(corrupt)?;
        let name = member.name().map_err(corrupt)?.into_owned();
        if member.is_dir() || is_resource_fork(&name) {
            continue;
        }
        drop(member);
        let mut head = Vec::new();
        // A member that cannot be read is reported if it is selected by its name.
        let read = archive
            .by_index(index)
            .is_ok_and(|member| member.take(len_u64(HEAD)).read_to_end(&mut head).is_ok());
        files.push(Member {
            index,
            name,
            disk: read && is_disk(&head),
        });
    }
    let Member { index, name, .. } = only_image(files)?;
    let form = InputFormat::Zip { member: name };
    let mut input = archive.by_index(index).map_err(corrupt)?;
    Ok((Spool::fill(&mut input, &form, options)?, form))
}

/// A file of a zip archive.
struct Member {
    index: usize,
    name: String,
    /// Whether it begins like a disk image.
    disk: bool,
}

/// Whether a file of this name has the metadata that macOS keeps of another file (AppleDouble, in
/// `__MACOSX` or with the prefix `._`).
fn is_resource_fork(name: &str) -> bool {
    let mut parts = name.split('/');
    parts.clone().any(|part| part == "__MACOSX")
        || parts.next_back().is_some_and(|file| file.starts_with("._"))
}

/// Whether `head` is the start of a disk image: with an MBR, protective or not, or in a format that
/// is read in place.
fn is_disk(head: &[u8]) -> bool {
    head.get(510..512) == Some(b"\x55\xaa")
        || matches!(
            probe::format(head),
            Some(Format::Qcow2 | Format::AndroidSparse)
        )
}

/// The only file; or the only file with the suffix of an image; or, if none has one, the only file
/// that begins like an image.
fn only_image(mut files: Vec<Member>) -> Result<Member, SourceError> {
    let is_image = |file: &Member| {
        IMAGES
            .iter()
            .any(|ending| file.name.to_ascii_lowercase().ends_with(ending))
    };
    let only = |wanted: &dyn Fn(&Member) -> bool| {
        let mut found = files.iter().enumerate().filter(|(_, file)| wanted(file));
        let first = found.next().map(|(at, _)| at);
        (first, found.next().is_some())
    };
    let at = match (only(&|_| true), only(&is_image), only(&|file| file.disk)) {
        ((Some(at), false), ..) | (_, (Some(at), false), _) | (_, (None, _), (Some(at), false)) => {
            at
        }
        _ => {
            let names = files.into_iter().map(|file| file.name).collect();
            return Err(SourceError::Members(names));
        }
    };
    Ok(files.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_zstd_beyond_the_limit_are_named() {
        let head = |descriptor: u8, window: u8| [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, 0];
        for good in [head(0, 21 << 3), head(0, 20 << 3 | 7), head(0x20, 0xff)] {
            check_window(&good).unwrap();
        }
        check_window(b"short").unwrap();
        let error = check_window(&head(0, 21 << 3 | 1)).unwrap_err();
        assert!(error.to_string().contains("the limit is 2 GiB"), "{error}");
    }
}
