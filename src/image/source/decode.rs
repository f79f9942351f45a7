//! Compressed formats, decompressed into a spool.

use super::reader::{Reader, Watched};
use super::spool::Spool;
use super::{InputFormat, OpenOptions, SourceError};
use crate::stream::Source;
use crate::units::MIB;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{MtStreamBuilder, Stream};
use std::io::{self, BufRead, BufReader};
use zip::ZipArchive;

/// Memory for decompressing xz in several threads (bytes); blocks that need more are decompressed
/// one after the other.
const XZ_THREADING: u64 = 512 * MIB;
/// Maximum memory of an xz stream (bytes), as named in its header; streams that need more are
/// refused.
const XZ_MOST: u64 = 512 * MIB;
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
            InputFormat::Zstd => spool.append(
                &mut zstd::stream::read::Decoder::with_buffer(&mut input)?.single_frame(),
                form,
            )?,
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
        if !member.is_dir() {
            files.push((index, name));
        }
    }
    let (index, member) = only_image(files)?;
    let form = InputFormat::Zip { member };
    let mut input = archive.by_index(index).map_err(corrupt)?;
    Ok((Spool::fill(&mut input, &form, options)?, form))
}

/// The only file, or the only file with the suffix of an image.
fn only_image(files: Vec<(usize, String)>) -> Result<(usize, String), SourceError> {
    let is_image = |name: &str| {
        IMAGES
            .iter()
            .any(|ending| name.to_ascii_lowercase().ends_with(ending))
    };
    let images: Vec<_> = files
        .iter()
        .filter(|(_, name)| files.len() == 1 || is_image(name))
        .cloned()
        .collect();
    match <[_; 1]>::try_from(images) {
        Ok([only]) => Ok(only),
        Err(_) => Err(SourceError::Members(
            files.into_iter().map(|(_, name)| name).collect(),
        )),
    }
}
