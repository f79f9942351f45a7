//! Compression in independent frames: each chunk of a stream becomes a frame of its own, and the
//! concatenated frames are one valid stream. Chunks can therefore be compressed in parallel, and a
//! frame can be used in several outputs.
//!
//! | codec | frame | specification of concatenation |
//! |---|---|---|
//! | gzip | a member, no name, time 0 | RFC 1952, section 2.2 |
//! | xz | a stream with one block, CRC64 | The .xz File Format, section 2 |
//! | zstd | a frame with a content checksum | RFC 8878, section 3 |
//!
//! [`Codec::stored_frame`] makes uncompressed frames, whose length depends only on the length of
//! the input, not on its bytes.

use super::{gzip, stored};
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Check, Filters, LzmaOptions, Stream};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};

/// Length of one read of decompressed bytes when a frame is verified (bytes).
const PART: usize = 1 << 16;
/// Maximum dictionary of xz (bytes): a device needs this much memory to decompress, each
/// compressing thread twelve times as much.
const XZ_DICTIONARY: u32 = 4 << 20;
/// Memory limit for decompressing a foreign xz stream (bytes): those of `xz -9` need 65 MiB.
const XZ_DECODER_MEMORY: u64 = 256 << 20;
/// Base-two logarithm of the maximum window of a foreign zstd frame: the default of the `zstd`
/// command.
const ZSTD_WINDOW_LOG: u32 = 27;

/// A compression format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// No compression.
    None,
    /// RFC 1952: supported by every device.
    #[default]
    Gzip,
    /// The .xz file format: smallest output, by far the slowest compression.
    Xz,
    /// RFC 8878: fast and small, not supported by update clients before 3.5.
    Zstd,
}

impl Compression {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Xz, Self::Zstd];

    /// The name in configurations: `none`, `gzip`, `xz`, `zstd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The suffix of file names: empty, `.gz`, `.xz`, `.zst`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// Bounds of the plain bytes of a frame: long enough that little compression is lost at its
    /// ends, short enough that several fit into memory.
    #[must_use]
    pub fn chunk_lengths(self) -> ChunkLengths {
        match self {
            Self::None | Self::Gzip => ChunkLengths {
                min: 512 << 10,
                one_in: 128,
                max: gzip::LONGEST,
            },
            Self::Zstd => ChunkLengths {
                min: 2 << 20,
                one_in: 512,
                max: 6 << 20,
            },
            Self::Xz => ChunkLengths {
                min: 4 << 20,
                one_in: 1024,
                max: 10 << 20,
            },
        }
    }

    /// Lowest, default and highest level.
    ///
    /// gzip 6: level 9 takes four times as long and saves 1 %. xz 6 is the default of `xz`; higher
    /// levels only enlarge the dictionary, which is limited to 4 MiB from level 5 on. zstd 9 is
    /// still ten times as fast as xz, and makes images a fifth smaller than level 3.
    #[must_use]
    pub fn levels(self) -> (u32, u32, u32) {
        match self {
            Self::None => (0, 0, 0),
            Self::Gzip => (1, 6, 9),
            Self::Xz => (0, 6, 9),
            Self::Zstd => (1, 9, 22),
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
        found.ok_or_else(|| format!("`{text}` is not a compression (none, gzip, xz, zstd)"))
    }
}

/// Bounds of the plain bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkLengths {
    /// Minimum length (bytes), except for the last frame.
    pub min: usize,
    /// On average, one in this many blocks of 4096 bytes ends a frame, after the minimum length.
    pub one_in: u32,
    /// Maximum length (bytes).
    pub max: usize,
}

/// A level outside the range of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no level {level} (valid: {min} to {max})")]
pub struct LevelError {
    kind: Compression,
    level: u32,
    min: u32,
    max: u32,
}

/// A compression format at a level that it has.
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
        Self {
            kind,
            level: kind.levels().1,
        }
    }
}

impl Codec {
    /// `kind` at `level`, or at its default level.
    ///
    /// # Errors
    /// If `kind` has no such level.
    pub fn new(kind: Compression, level: Option<u32>) -> Result<Self, LevelError> {
        let (min, default, max) = kind.levels();
        let level = level.unwrap_or(default);
        if (min..=max).contains(&level) {
            Ok(Self { kind, level })
        } else {
            Err(LevelError {
                kind,
                level,
                min,
                max,
            })
        }
    }

    /// The compression format.
    #[must_use]
    pub fn kind(self) -> Compression {
        self.kind
    }

    /// The level, within [`Compression::levels`].
    #[must_use]
    pub fn level(self) -> u32 {
        self.level
    }

    /// The level as the library that compresses has it.
    pub(crate) fn library_level(self) -> u32 {
        match self.kind {
            Compression::Gzip => gzip::libdeflate_level(self.level),
            _ => self.level,
        }
    }

    /// Memory that a thread keeps in order to compress (bytes), besides chunks and frames: at most
    /// this much for chunks of this codec.
    ///
    /// xz: twelve times the dictionary (`xz -vv` says 48 MiB for 4 MiB). zstd: as measured with
    /// chunks of 6 MiB.
    #[must_use]
    pub fn thread_memory(self) -> u64 {
        let mib = match (self.kind, self.level) {
            (Compression::None, _) => 0,
            (Compression::Gzip, _) => 4,
            (Compression::Xz, 0..=3) => 32,
            (Compression::Xz, _) => 48,
            (Compression::Zstd, 0..=9) => 24,
            (Compression::Zstd, 10..=18) => 72,
            (Compression::Zstd, _) => 144,
        };
        mib << 20
    }

    /// `chunk` as one frame, which depends only on codec and chunk. Without compression the frame
    /// is the chunk itself.
    ///
    /// # Errors
    /// If the compressor runs out of memory.
    pub fn compress(self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        self.compress_into(chunk, &mut frame)?;
        Ok(frame)
    }

    /// Like [`Codec::compress`], in the place of `frame`, whose memory is used again.
    ///
    /// # Errors
    /// As [`Codec::compress`].
    pub fn compress_into(self, chunk: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        match self.kind {
            Compression::None => {
                frame.clear();
                frame.extend_from_slice(chunk);
                Ok(())
            }
            Compression::Gzip => gzip::compress(chunk, gzip::libdeflate_level(self.level), frame),
            Compression::Xz => xz(chunk, self.level, frame),
            Compression::Zstd => zstd(chunk, self.level, frame),
        }
    }

    /// Puts `chunk` as one frame in the place of `frame`, whose memory is used again, and verifies
    /// that it decompresses to `chunk`.
    ///
    /// # Errors
    /// If it does not, or the compressor runs out of memory.
    pub fn compress_verified(self, chunk: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        self.compress_into(chunk, frame)?;
        if self.kind == Compression::None {
            return Ok(());
        }
        verify_frame(self.kind, frame, chunk).map_err(|e| {
            io::Error::other(format!(
                "verifying a {} frame of {} bytes: {e}",
                self.kind,
                chunk.len()
            ))
        })
    }

    /// `chunk` as one uncompressed frame, whose length depends only on the length of `chunk`.
    #[must_use]
    pub fn stored_frame(self, chunk: &[u8]) -> Vec<u8> {
        match self.kind {
            Compression::None => chunk.to_vec(),
            Compression::Gzip => stored::gzip(chunk),
            Compression::Xz => stored::xz(chunk),
            Compression::Zstd => stored::zstd(chunk),
        }
    }
}

/// Decompresses a stream of any number of frames of `kind`, with bounded memory.
///
/// # Errors
/// If the decompressor cannot be set up. Corrupt input is an error of the returned reader.
pub fn decoder<'a>(kind: Compression, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match kind {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_DECODER_MEMORY, CONCATENATED)
                .map_err(io::Error::other)?;
            Box::new(XzDecoder::new_stream(reader, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Fails unless `frame` decompresses to `chunk`.
fn verify_frame(kind: Compression, frame: &[u8], chunk: &[u8]) -> io::Result<()> {
    // In one call, which takes half the time or less.
    match kind {
        Compression::Gzip => return gzip::verify(frame, chunk),
        Compression::Zstd => return verify_zstd(frame, chunk),
        Compression::None | Compression::Xz => {}
    }
    let mut plain = decoder(kind, frame)?;
    let mut buf = vec![0; PART];
    for due in chunk.chunks(PART) {
        let found = &mut buf[..due.len()];
        plain.read_exact(found)?;
        if found != due {
            return Err(io::Error::other("it decompresses to other bytes"));
        }
    }
    // Reads the checksum at the end, too.
    if plain.read(&mut buf)? == 0 {
        Ok(())
    } else {
        Err(io::Error::other("it decompresses to more bytes"))
    }
}

fn xz(chunk: &[u8], level: u32, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut options = LzmaOptions::new_preset(level).map_err(io::Error::other)?;
    if level >= 5 {
        options.dict_size(XZ_DICTIONARY);
    }
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).map_err(io::Error::other)?;
    let mut out = std::mem::take(frame);
    out.clear();
    let mut encoder = liblzma::write::XzEncoder::new_stream(out, stream);
    encoder.write_all(chunk)?;
    *frame = encoder.finish()?;
    Ok(())
}

/// A level and its compressor.
type ZstdCompressor = (u32, zstd::bulk::Compressor<'static>);

thread_local! {
    /// The last compressor of this thread, because setting one up for each frame would take a tenth
    /// of the time. Frames do not affect each other.
    static ZSTD: RefCell<Option<ZstdCompressor>> = const { RefCell::new(None) };
    /// What verifies frames.
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
    /// Output of either, as long as the longest so far.
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` bytes of [`OUTPUT`].
fn with_output<T>(len: usize, f: impl FnOnce(&mut [u8]) -> io::Result<T>) -> io::Result<T> {
    OUTPUT.with_borrow_mut(|output| {
        output.resize(output.len().max(len), 0);
        f(&mut output[..len])
    })
}

/// Fails unless `frame` decompresses to `chunk`.
fn verify_zstd(frame: &[u8], chunk: &[u8]) -> io::Result<()> {
    UNZSTD.with_borrow_mut(|kept| {
        let decompressor = match kept.take() {
            Some(known) => kept.insert(known),
            None => kept.insert(zstd::bulk::Decompressor::new()?),
        };
        with_output(chunk.len(), |plain| {
            let len = decompressor.decompress_to_buffer(frame, plain)?;
            if plain[..len] == *chunk {
                Ok(())
            } else {
                Err(io::Error::other("it decompresses to other bytes"))
            }
        })
    })
}

fn zstd(chunk: &[u8], level: u32, frame: &mut Vec<u8>) -> io::Result<()> {
    ZSTD.with_borrow_mut(|kept| {
        let (_, compressor) = match kept.take().filter(|(known, _)| *known == level) {
            Some(known) => kept.insert(known),
            None => {
                let mut compressor =
                    zstd::bulk::Compressor::new(i32::try_from(level).unwrap_or(i32::MAX))?;
                compressor.include_checksum(true)?;
                kept.insert((level, compressor))
            }
        };
        with_output(zstd::zstd_safe::compress_bound(chunk.len()), |out| {
            let len = compressor.compress_to_buffer(chunk, out)?;
            frame.clear();
            // Frames stay in memory: without spare capacity.
            frame.reserve_exact(len);
            frame.extend_from_slice(&out[..len]);
            Ok(())
        })
    })
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
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
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
                stream.extend(codec.stored_frame(chunk));
            }
            let expected: Vec<u8> = plain
                .iter()
                .flat_map(|chunk| [chunk.clone(), chunk.clone()])
                .flatten()
                .collect();
            assert!(unpack(kind, &stream).unwrap() == expected, "{kind}");
        }
    }

    #[test]
    fn what_a_thread_packed_before_leaves_no_mark() {
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let [low, high] = [1, 5].map(|level| Codec::new(kind, Some(level)).unwrap());
            let plain = [noise(900_000), vec![b'x'; 300_000], noise(70_000)].concat();
            let alone = std::thread::scope(|scope| {
                scope
                    .spawn(|| low.compress(&plain).unwrap())
                    .join()
                    .unwrap()
            });
            for before in [&plain[..1_000_000], &plain[5..], b"", &plain[..]] {
                high.compress(before).unwrap();
                low.compress(before).unwrap();
                assert!(low.compress(&plain).unwrap() == alone, "{kind}");
            }
        }
    }

    #[test]
    fn stored_lengths_depend_on_the_length_only() {
        for kind in Compression::ALL {
            let codec = Codec::from(kind);
            for len in [
                0, 1, 2, 3, 4, 255, 256, 257, 512, 4608, 65_535, 65_536, 65_537, 131_072, 131_073,
                400_000,
            ] {
                let frame = codec.stored_frame(&vec![0; len]);
                assert_eq!(
                    frame.len(),
                    codec.stored_frame(&noise(len)).len(),
                    "{kind} {len}"
                );
                assert!(
                    unpack(kind, &codec.stored_frame(&noise(len))).unwrap() == noise(len),
                    "{kind} {len}"
                );
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            for mut frame in [
                Codec::from(kind).compress(&noise(5000)).unwrap(),
                Codec::from(kind).stored_frame(&noise(5000)),
            ] {
                let middle = frame.len() / 2;
                assert!(unpack(kind, &frame[..middle]).is_err(), "{kind}");
                frame[middle] ^= 1;
                assert!(unpack(kind, &frame).is_err(), "{kind}");
            }
        }
    }

    #[test]
    fn a_frame_of_other_bytes_is_detected() {
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let plain = noise(PART + 5000);
            let codec = Codec::from(kind);
            let mut frame = noise(7);
            codec.compress_verified(&plain, &mut frame).unwrap();
            assert_eq!(frame, codec.compress(&plain).unwrap());
            let verify_frame = |frame: &[u8], plain: &[u8]| {
                verify_frame(kind, frame, plain).map_err(|e| e.to_string())
            };
            verify_frame(&frame, &plain).unwrap();
            let mut other = plain.clone();
            other[PART + 1] ^= 1;
            assert_eq!(
                verify_frame(&frame, &other).unwrap_err(),
                "it decompresses to other bytes",
                "{kind}"
            );
            assert!(verify_frame(&frame, &plain[..PART]).is_err(), "{kind}");
            assert!(
                verify_frame(&frame, &[&plain[..], b"x"].concat()).is_err(),
                "{kind}"
            );
            assert!(
                verify_frame(&frame[..frame.len() - 1], &plain).is_err(),
                "{kind}"
            );
        }
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(Codec::new(Compression::Gzip, None).unwrap().level(), 6);
        let error = Codec::new(Compression::Gzip, Some(10)).unwrap_err();
        assert_eq!(error.to_string(), "gzip has no level 10 (valid: 1 to 9)");
        // As many as the configuration promises.
        let highest = Codec::new(Compression::Zstd, Some(22)).unwrap();
        let plain = noise(300_000);
        let mut frame = Vec::new();
        highest.compress_verified(&plain, &mut frame).unwrap();
        assert!(unpack(Compression::Zstd, &frame).unwrap() == plain);
        assert!(Codec::new(Compression::Zstd, Some(23)).is_err());
        assert_eq!("xz".parse(), Ok(Compression::Xz));
        assert!("lzma".parse::<Compression>().is_err());
    }
}
