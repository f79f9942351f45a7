//! The compressed clusters of a qcow2 image: raw deflate or zstd, each by itself.

use crate::image::source::{InputFormat, OpenOptions, SourceError};
use crate::stream::{ReadAt, Source};
use crate::units::len_u64;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The compression of compressed clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Zlib,
    Zstd,
}

/// A compressed cluster: its index in the image, and its position in the file (bytes).
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    pub(super) index: u64,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The compressed clusters at their offsets in the image; reading between them is an error.
pub(super) struct Unpacked {
    source: Source,
    cluster: u64,
    len: u64,
    codec: Codec,
    clusters: Vec<Packed>,
    /// The last decompressed cluster, because readers go forwards in smaller steps.
    last: Mutex<(u64, Arc<[u8]>)>,
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Unpacked({} clusters of {:?})",
            self.clusters.len(),
            self.codec
        )
    }
}

impl Unpacked {
    /// The clusters of `clusters`, in the order of the image, in a file `source`. `cluster` is the
    /// length of one, `len` that of the image (bytes).
    pub(super) fn new(
        source: Source,
        [cluster, len]: [u64; 2],
        codec: Codec,
        clusters: Vec<Packed>,
    ) -> Self {
        Self {
            source,
            cluster,
            len,
            codec,
            clusters,
            last: Mutex::new((u64::MAX, Arc::from([]))),
        }
    }

    /// Decompresses every cluster once, so that a damaged one is found before anything relies on
    /// the image.
    ///
    /// # Errors
    /// The first cluster that cannot be decompressed.
    pub(super) fn check(&self, options: &OpenOptions<'_>) -> Result<(), SourceError> {
        if self.clusters.is_empty() {
            return Ok(());
        }
        let stored = self.clusters.iter().map(|cluster| cluster.len);
        let total = stored.fold(0_u64, u64::saturating_add);
        options
            .report
            .step("checking the compressed clusters", Some(total));
        let threads = usize::try_from(options.threads.max(1)).unwrap_or(1);
        let part = self.clusters.len().div_ceil(threads).max(1);
        let first_error = |clusters: &[Packed]| {
            clusters.iter().find_map(|cluster| {
                options.report.advance(cluster.len);
                self.decode(cluster.index).err()
            })
        };
        let error = std::thread::scope(|scope| {
            let parts = self.clusters.chunks(part);
            let running: Vec<_> = parts
                .map(|clusters| scope.spawn(move || first_error(clusters)))
                .collect();
            running.into_iter().find_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        });
        match error {
            None => Ok(()),
            Some(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(SourceError::Corrupt {
                    form: InputFormat::Qcow2,
                    what: error.to_string(),
                })
            }
            Some(error) => Err(error.into()),
        }
    }

    /// Copies from `within` of a cluster as far as cluster and `buf` go. The lock is not held
    /// during decompression.
    fn copy(&self, index: u64, within: usize, buf: &mut [u8]) -> io::Result<usize> {
        let cached = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            (last.0 == index).then(|| last.1.clone())
        };
        let bytes: Arc<[u8]> = match cached {
            Some(bytes) => bytes,
            None => self.decode(index)?.into(),
        };
        let from = bytes.get(within..).unwrap_or_default();
        let part = from.len().min(buf.len());
        buf.iter_mut()
            .zip(from)
            .for_each(|(byte, plain)| *byte = *plain);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (index, bytes);
        Ok(part)
    }

    fn decode(&self, index: u64) -> io::Result<Vec<u8>> {
        let found = self
            .clusters
            .binary_search_by_key(&index, |cluster| cluster.index);
        let place = found
            .ok()
            .and_then(|at| self.clusters.get(at))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let bad = |what: String| {
            let Packed { offset, len, .. } = place;
            let text = format!(
                "compressed cluster {index} of the image, {len} bytes at offset {offset}: {what}"
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let mut packed = vec![0; usize::try_from(place.len).map_err(io::Error::other)?];
        self.source.read_exact_at(place.offset, &mut packed)?;
        let len = usize::try_from(self.cluster).map_err(io::Error::other)?;
        let out = match self.codec {
            Codec::Zlib => inflate(&packed, len),
            Codec::Zstd => unzstd(&packed, len),
        };
        let out = out.map_err(|error| bad(error.to_string()))?;
        if out.len() == len {
            Ok(out)
        } else {
            Err(bad(format!(
                "it decompresses to {} bytes, not {len}",
                out.len()
            )))
        }
    }
}

/// Raw deflate; what follows the stream in its sectors is ignored.
fn inflate(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; len];
    let mut inflater = flate2::Decompress::new(false);
    inflater
        .decompress(packed, &mut out, flate2::FlushDecompress::Finish)
        .map_err(io::Error::other)?;
    out.truncate(usize::try_from(inflater.total_out()).unwrap_or(len));
    Ok(out)
}

fn unzstd(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut out = Vec::new();
    zstd::stream::read::Decoder::with_buffer(packed)?
        .single_frame()
        .take(len_u64(len))
        .read_to_end(&mut out)?;
    Ok(out)
}

impl ReadAt for Unpacked {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let place = at
                .checked_div(self.cluster)
                .zip(at.checked_rem(self.cluster))
                .ok_or(io::ErrorKind::InvalidData)?;
            let within = usize::try_from(place.1).map_err(io::Error::other)?;
            let done = self.copy(place.0, within, rest)?;
            rest = rest.get_mut(done..).unwrap_or_default();
            at = at.saturating_add(len_u64(done));
        }
        Ok(())
    }
}
