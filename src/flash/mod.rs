//! Writes an image to a device: the ranges of its block map, or every byte if it has none. Ranges
//! are checked before they are written, and read back afterwards.

mod device;

pub use device::FlashTarget;

use crate::bytes::is_zero;
use crate::image::output::{BlockMap, MappedRange};
use crate::image::source::{SequentialImage, open_forwards};
use crate::input_file;
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::Source;
use crate::units::{MIB, human};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Length of one read, write or comparison (bytes).
const PIECE: usize = 4 * MIB as usize;
/// The longest range of a block map that is checked in memory before it is written (bytes). Maps
/// made by goldsmith have ranges of at most a quarter of it.
const HELD: u64 = 64 * MIB;

/// An open image with its block map, to be written to a device.
pub struct FlashImage {
    path: PathBuf,
    feed: ImageReader,
    map: Option<(PathBuf, BlockMap)>,
}

/// A range of the device that was written (bytes), and its SHA-256; `None` for zeros.
struct WrittenRange {
    bytes: Range<u64>,
    sha256: Option<[u8; 32]>,
}

impl FlashImage {
    /// Opens the image at `path` and its block map: the one at `map`, or the one next to the image.
    ///
    /// # Errors
    /// I/O errors of either file; a damaged block map; a map for an image of another size.
    pub fn open(path: &Path, map: Option<&Path>) -> Result<Self> {
        let opened = open_forwards(path).with_context(|| format!("opening {}", path.display()))?;
        let feed = match opened {
            SequentialImage::InPlace(source) => ImageReader::InPlace(source),
            SequentialImage::Stream(reader) => ImageReader::Stream { reader, at: 0 },
        };
        let map = map.map(Path::to_owned).or_else(|| map_next_to(path));
        let map = map
            .map(|path| read_map(&path).map(|map| (path, map)))
            .transpose()?;
        let image = Self {
            path: path.to_owned(),
            feed,
            map,
        };
        if let (Some((path, map)), ImageReader::InPlace(source)) = (&image.map, &image.feed)
            && map.size != source.len()
        {
            let message = format!(
                "block map {} is for an image of {} bytes, but {} has {} bytes",
                path.display(),
                map.size,
                image.path.display(),
                source.len()
            );
            return Err(Problem::new(message)
                .hint("select the right block map with --bmap, or remove this one")
                .into());
        }
        Ok(image)
    }

    /// The path of the block map, if there is one.
    #[must_use]
    pub fn map(&self) -> Option<&Path> {
        self.map.as_ref().map(|(path, _)| path.as_path())
    }

    /// Length of the image (bytes); `None` if it is only known after reading all of it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match (&self.map, &self.feed) {
            (Some((_, map)), _) => Some(map.size),
            (None, ImageReader::InPlace(source)) => Some(source.len()),
            (None, ImageReader::Stream { .. }) => None,
        }
    }

    /// Fails if the device is too small for the image, as far as the size of the image is known.
    ///
    /// # Errors
    /// A [`Problem`] with both sizes.
    pub fn check_fits(&self, target: &FlashTarget) -> Result<(), Problem> {
        self.size()
            .filter(|size| *size > target.size)
            .map_or(Ok(()), |size| {
                Err(too_small(target, &format!("{size} bytes")))
            })
    }

    /// Writes the image, syncs the device, and with `verify` reads everything back. Returns the
    /// number of bytes written; all other bytes of the device are unchanged.
    ///
    /// # Errors
    /// I/O errors of image or device; image bytes that do not match the block map; device bytes
    /// that differ from what was written.
    pub fn write(mut self, target: &FlashTarget, verify: bool, report: &dyn Report) -> Result<u64> {
        self.check_fits(target)?;
        let shown = target.path.display();
        let total = self
            .map
            .as_ref()
            .map(|(_, map)| map.mapped_len())
            .or(self.size());
        report.step(&format!("writing {shown}"), total);
        let written = match self.map.take() {
            Some((path, map)) => self.by_map(&path, &map, target, report),
            None => self.whole(target, report),
        };
        let written = written
            .with_context(|| format!("writing {shown}, which now contains an incomplete image"))?;
        report.step(&format!("waiting for {shown}"), None);
        target.sync().with_context(|| format!("writing {shown}"))?;
        let len = written
            .iter()
            .map(|part| part.bytes.end - part.bytes.start)
            .sum();
        if verify {
            report.step(&format!("reading back {shown}"), Some(len));
            target
                .forget()
                .with_context(|| format!("reading back {shown}"))?;
            written
                .iter()
                .try_for_each(|part| check_back(target, part, report))?;
        }
        Ok(len)
    }

    fn by_map(
        &mut self,
        path: &Path,
        map: &BlockMap,
        target: &FlashTarget,
        report: &dyn Report,
    ) -> Result<Vec<WrittenRange>> {
        let mut out = Vec::new();
        for range in &map.ranges {
            self.mapped(range, path, target, report)?;
            out.push(WrittenRange {
                bytes: range.bytes.clone(),
                sha256: Some(range.sha256),
            });
        }
        Ok(out)
    }

    /// Writes one range of a block map. A range of up to [`HELD`] bytes is checked before it is
    /// written, a longer one while it is written.
    fn mapped(
        &mut self,
        range: &MappedRange,
        map: &Path,
        target: &FlashTarget,
        report: &dyn Report,
    ) -> Result<()> {
        let Range { start, end } = range.bytes;
        let piece = if end - start <= HELD {
            end - start
        } else {
            PIECE as u64
        };
        let mut buf = vec![0; usize::try_from(piece)?];
        let mut hash = Sha256::new();
        let mut at = start;
        while at < end {
            let part = &mut buf[..usize::try_from(piece.min(end - at))?];
            let filled = self.feed.read(at, part).with_context(|| self.reading())?;
            if filled < part.len() {
                let message = format!(
                    "{} has {} bytes, but its block map ends at byte {}",
                    self.path.display(),
                    at + filled as u64,
                    end
                );
                return Err(Problem::new(message)
                    .hint("the image is truncated: copy or download it again")
                    .into());
            }
            hash.update(&*part);
            let last = at + part.len() as u64 == end;
            if last && hash.finalize_reset().as_slice() != range.sha256 {
                return Err(self.not_as_mapped(range, map).into());
            }
            target.write(at, part)?;
            report.advance(part.len() as u64);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn reading(&self) -> String {
        format!("reading {}", self.path.display())
    }

    fn not_as_mapped(&self, range: &MappedRange, map: &Path) -> Problem {
        let message = format!(
            "bytes {} to {} of {} do not match the block map {}",
            range.bytes.start,
            range.bytes.end - 1,
            self.path.display(),
            map.display()
        );
        Problem::new(message).hint(
            "the image is damaged, or the block map belongs to another image: copy both again",
        )
    }

    /// Writes every byte of the image. Where the image has zeros, the device is overwritten with
    /// zeros.
    fn whole(&mut self, target: &FlashTarget, report: &dyn Report) -> Result<Vec<WrittenRange>> {
        let mut buf = vec![0; PIECE];
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let filled = self
                .feed
                .read(at, &mut buf)
                .with_context(|| self.reading())?;
            let (bytes, part) = (at..at + filled as u64, &buf[..filled]);
            if part.is_empty() {
                return Ok(out);
            }
            if bytes.end > target.size {
                return Err(too_small(target, &format!("at least {} bytes", bytes.end)).into());
            }
            if is_zero(part) {
                target.zero(bytes.clone())?;
                out.push(WrittenRange {
                    bytes,
                    sha256: None,
                });
            } else {
                target.write(at, part)?;
                out.push(WrittenRange {
                    bytes,
                    sha256: Some(Sha256::digest(part).into()),
                });
            }
            report.advance(filled as u64);
            at += filled as u64;
        }
    }
}

fn too_small(target: &FlashTarget, needed: &str) -> Problem {
    let message = format!(
        "{} has {} bytes ({}), but the image has {needed}",
        target.path.display(),
        target.size,
        human(target.size)
    );
    Problem::new(message).hint("use a larger device, or convert with a smaller storage.size")
}

/// The block map next to an image: for `disk.img.gz` the first of `disk.img.gz.bmap`,
/// `disk.img.bmap` and `disk.bmap` that exists.
fn map_next_to(image: &Path) -> Option<PathBuf> {
    let mut stem = image.to_owned();
    for _ in 0..3 {
        let mut name = stem.clone().into_os_string();
        name.push(".bmap");
        if Path::new(&name).is_file() {
            return Some(name.into());
        }
        stem.set_extension("");
    }
    None
}

fn read_map(path: &Path) -> Result<BlockMap> {
    /// The longest map that is read (bytes). A map has less than a hundred bytes for each range.
    const MOST: u64 = 64 * MIB;
    let reading = || format!("reading {}", path.display());
    let text = input_file::read_text(path, MOST, "a block map").with_context(reading)?;
    BlockMap::parse(&text).with_context(reading)
}

/// Reads back a range of the device and compares it with what was written.
fn check_back(target: &FlashTarget, part: &WrittenRange, report: &dyn Report) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut hash = Sha256::new();
    let mut zeros = true;
    for at in part.bytes.clone().step_by(PIECE) {
        let len = usize::try_from(part.bytes.end - at).map_or(PIECE, |left| left.min(PIECE));
        target
            .read(at, &mut buf[..len])
            .with_context(|| format!("reading back {}", target.path.display()))?;
        match part.sha256 {
            Some(_) => hash.update(&buf[..len]),
            None => zeros = zeros && is_zero(&buf[..len]),
        }
        report.advance(len as u64);
    }
    let same = part
        .sha256
        .map_or(zeros, |sha256| hash.finalize().as_slice() == sha256);
    if same {
        Ok(())
    } else {
        Err(differs(target, part).into())
    }
}

fn differs(target: &FlashTarget, part: &WrittenRange) -> Problem {
    let (shown, last) = (target.path.display(), part.bytes.end - 1);
    Problem::new(format!(
        "bytes {} to {last} of {shown} differ from what was written",
        part.bytes.start
    ))
    .hint("the device is worn out, or smaller than it reports: use another one")
}

/// The bytes of the image, read in ascending order.
enum ImageReader {
    InPlace(Source),
    Stream { reader: Box<dyn Read>, at: u64 },
}

impl ImageReader {
    /// Fills `buf` from `offset` up to the end of the image, and returns the number of bytes read.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::InPlace(source) => {
                let left = source.len().saturating_sub(offset);
                let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                if source
                    .next_data(offset)?
                    .is_some_and(|data| data.start < offset + len as u64)
                {
                    source.read_exact_at(offset, &mut buf[..len])?;
                } else {
                    buf[..len].fill(0);
                }
                Ok(len)
            }
            Self::Stream { reader, at } => {
                *at += io::copy(
                    &mut reader.take(offset.saturating_sub(*at)),
                    &mut io::sink(),
                )?;
                if *at < offset {
                    return Ok(0);
                }
                let mut filled = 0;
                while filled < buf.len() {
                    match reader.read(&mut buf[filled..]) {
                        Ok(0) => break,
                        Ok(part) => filled += part,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
                *at += filled as u64;
                Ok(filled)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;

    #[test]
    fn what_the_device_does_not_keep_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device");
        std::fs::write(&path, [vec![7; 5000], vec![0; 5000]].concat()).unwrap();
        let target = FlashTarget::open(&path).unwrap();
        let data = WrittenRange {
            bytes: 0..5000,
            sha256: Some(Sha256::digest([7; 5000]).into()),
        };
        let zeros = WrittenRange {
            bytes: 5000..10_000,
            sha256: None,
        };
        for part in [&data, &zeros] {
            check_back(&target, part, &Silent).unwrap();
        }
        target.write(4999, &[1, 1]).unwrap();
        let text = |part| check_back(&target, part, &Silent).unwrap_err().to_string();
        assert!(
            text(&data).contains("bytes 0 to 4999 of "),
            "{}",
            text(&data)
        );
        assert!(text(&zeros).contains("bytes 5000 to 9999 of "));
    }

    #[test]
    fn maps_are_found_next_to_images() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(map_next_to(&at("a-1.0.img.gz")), None);
        for name in ["a-1.0.bmap", "a-1.0.img.bmap", "a-1.0.img.gz.bmap"] {
            std::fs::write(at(name), "").unwrap();
            assert_eq!(map_next_to(&at("a-1.0.img.gz")), Some(at(name)));
        }
    }
}
