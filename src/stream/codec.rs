//! Compression in independent frames: a stream is cut, each piece becomes a frame of its own, and the frames laid end to end
//! are again one valid stream. So pieces are compressed in parallel, and a frame once made can be used in several outputs.
//!
//! | codec | a frame is | concatenation is allowed by |
//! |---|---|---|
//! | gzip | a member, no name, time 0 | RFC 1952, section 2.2 |
//! | xz | a stream with one block, CRC64 | The .xz File Format, section 2 |
//! | zstd | a frame with a content checksum | RFC 8878, section 3 |
//!
//! [`Codec::stored`] makes frames that do not compress: their length hangs on the length of the input alone, never on its bytes.

use super::stored;
use flate2::read::MultiGzDecoder;
use flate2::{Compression as Deflate, GzBuilder};
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};
use std::fmt;
use std::io::{self, Read, Write};

/// The largest dictionary that we let xz use (bytes): a device needs this much memory to unpack.
const XZ_DICTIONARY: u32 = 8 << 20;
/// The memory that a foreign xz stream may ask for (bytes): `xz -9` asks for 65 MiB.
const XZ_DECODER_MEMORY: u64 = 256 << 20;
/// The base-two logarithm of the largest window that a foreign zstd frame may ask for: the default of the `zstd` command.
const ZSTD_WINDOW_LOG: u32 = 27;

/// A compression format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Bytes as they are.
    None,
    /// RFC 1952. What every device can unpack.
    #[default]
    Gzip,
    /// The .xz file format: smallest and by far the slowest to make.
    Xz,
    /// RFC 8878: fast and small, unknown to update clients before 3.5.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Xz, Self::Zstd];

    /// The name that users write: `none`, `gzip`, `xz`, `zstd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// What is appended to file names: empty, `.gz`, `.xz`, `.zst`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// How long the plain bytes of a frame are: long enough that a compressor loses little at its ends, short enough that several fit
    /// into memory.
    #[must_use]
    pub fn lengths(self) -> Lengths {
        match self {
            Self::None | Self::Gzip => Lengths { least: 512 << 10, one_in: 128, most: 2 << 20 },
            Self::Zstd => Lengths { least: 2 << 20, one_in: 512, most: 8 << 20 },
            Self::Xz => Lengths { least: 4 << 20, one_in: 1024, most: 12 << 20 },
        }
    }

    /// The lowest, the default and the highest level.
    ///
    /// gzip 6: level 9 costs three times the time for 3 % less. xz 6 is the format's own default and the first level with an 8 MiB
    /// dictionary; higher ones only enlarge it, and it is held there. zstd 9 still compresses ten times as fast as xz does and
    /// leaves images a fifth smaller than level 3.
    #[must_use]
    pub fn levels(self) -> (u32, u32, u32) {
        match self {
            Self::None => (0, 0, 0),
            Self::Gzip => (1, 6, 9),
            Self::Xz => (0, 6, 9),
            Self::Zstd => (1, 9, 19),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("`{text}` is no compression (none, gzip, xz, zstd)"))
    }
}

/// The bounds of a frame's plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lengths {
    /// None but the last one is shorter (bytes).
    pub least: usize,
    /// One block of 4096 bytes in so many ends a frame, once that is long enough.
    pub one_in: u32,
    /// None is longer (bytes).
    pub most: usize,
}

/// A level outside of what the format knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no level {level} ({min} to {max})")]
pub struct LevelError {
    kind: Compression,
    level: u32,
    min: u32,
    max: u32,
}

/// A format and a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    kind: Compression,
    level: u32,
}

impl Default for Codec {
    fn default() -> Self {
        Self::from(Compression::default())
    }
}

impl From<Compression> for Codec {
    fn from(kind: Compression) -> Self {
        Self { kind, level: kind.levels().1 }
    }
}

impl Codec {
    /// `kind` at `level`, or at its default level.
    ///
    /// # Errors
    /// When `kind` has no such level.
    pub fn new(kind: Compression, level: Option<u32>) -> Result<Self, LevelError> {
        let (min, default, max) = kind.levels();
        let level = level.unwrap_or(default);
        if (min..=max).contains(&level) { Ok(Self { kind, level }) } else { Err(LevelError { kind, level, min, max }) }
    }

    /// The format.
    #[must_use]
    pub fn kind(self) -> Compression {
        self.kind
    }

    /// The level.
    #[must_use]
    pub fn level(self) -> u32 {
        self.level
    }

    /// `chunk` as one frame. Same chunk, same bytes; no bytes at all for an empty chunk without compression.
    ///
    /// # Errors
    /// When the compressor runs out of memory.
    pub fn compress(self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        match self.kind {
            Compression::None => Ok(chunk.to_vec()),
            Compression::Gzip => gzip(chunk, self.level),
            Compression::Xz => xz(chunk, self.level),
            Compression::Zstd => zstd(chunk, self.level),
        }
    }

    /// `chunk` as one frame whose length is a function of the length of `chunk` only: nothing is compressed.
    #[must_use]
    pub fn stored(self, chunk: &[u8]) -> Vec<u8> {
        match self.kind {
            Compression::None => chunk.to_vec(),
            Compression::Gzip => stored::gzip(chunk),
            Compression::Xz => stored::xz(chunk),
            Compression::Zstd => stored::zstd(chunk),
        }
    }
}

/// Unpacks a stream of any number of frames of `kind`; memory is bounded whatever the stream asks for.
///
/// # Errors
/// When the decompressor cannot be set up. Corrupt input is an error of reading.
pub fn decoder<'a>(kind: Compression, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match kind {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_DECODER_MEMORY, CONCATENATED).map_err(io::Error::other)?;
            Box::new(XzDecoder::new_stream(reader, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

fn gzip(chunk: &[u8], level: u32) -> io::Result<Vec<u8>> {
    // Operating system 255 is "unknown" (RFC 1952, section 2.3): nothing tells where the frame was made.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Deflate::new(level));
    encoder.write_all(chunk)?;
    encoder.finish()
}

fn xz(chunk: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut options = LzmaOptions::new_preset(level).map_err(io::Error::other)?;
    if level >= 6 {
        options.dict_size(XZ_DICTIONARY);
    }
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).map_err(io::Error::other)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(chunk)?;
    encoder.finish()
}

fn zstd(chunk: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), i32::try_from(level).unwrap_or(i32::MAX))?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(chunk.len() as u64))?;
    encoder.write_all(chunk)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(kind: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(kind, bytes)?.read_to_end(&mut out).map(|_| out)
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from(state >> 56).unwrap()
        })
        .take(len)
        .collect()
    }

    #[test]
    fn frames_laid_end_to_end_are_one_stream() {
        let plain = [vec![0; 300_000], noise(70_000), b"tail".to_vec()];
        for kind in Compression::ALL {
            let codec = Codec::from(kind);
            let mut stream = Vec::new();
            for chunk in &plain {
                let frame = codec.compress(chunk).unwrap();
                assert_eq!(frame, codec.compress(chunk).unwrap(), "{kind}");
                stream.extend(frame);
                stream.extend(codec.stored(chunk));
            }
            let expected: Vec<u8> = plain.iter().flat_map(|chunk| [chunk.clone(), chunk.clone()]).flatten().collect();
            assert!(unpack(kind, &stream).unwrap() == expected, "{kind}");
        }
    }

    #[test]
    fn stored_lengths_hang_on_the_length_only() {
        for kind in Compression::ALL {
            let codec = Codec::from(kind);
            for len in [0, 1, 2, 3, 4, 255, 256, 257, 512, 4608, 65_535, 65_536, 65_537, 131_072, 131_073, 400_000] {
                let frame = codec.stored(&vec![0; len]);
                assert_eq!(frame.len(), codec.stored(&noise(len)).len(), "{kind} {len}");
                assert!(unpack(kind, &codec.stored(&noise(len))).unwrap() == noise(len), "{kind} {len}");
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            for mut frame in [Codec::from(kind).compress(&noise(5000)).unwrap(), Codec::from(kind).stored(&noise(5000))] {
                let middle = frame.len() / 2;
                assert!(unpack(kind, &frame[..middle]).is_err(), "{kind}");
                frame[middle] ^= 1;
                assert!(unpack(kind, &frame).is_err(), "{kind}");
            }
        }
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(Codec::new(Compression::Gzip, None).unwrap().level(), 6);
        let error = Codec::new(Compression::Gzip, Some(10)).unwrap_err();
        assert_eq!(error.to_string(), "gzip has no level 10 (1 to 9)");
        assert_eq!("xz".parse(), Ok(Compression::Xz));
        assert!("lzma".parse::<Compression>().is_err());
    }
}
