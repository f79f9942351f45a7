//! One pass over a content: chunks are read in order by whichever thread is free, inspected and
//! compressed in parallel, and delivered in order.
//!
//! Frame boundaries depend on the content alone, so the number of threads never changes a byte.
//! Memory is bounded by the chunks in flight, from the first byte that is read of one until it was
//! consumed: `WINDOW` for each thread.

use crate::compress::chunker::{Chunk, Chunker};
use crate::compress::pool::{Buffer, Pool};
use crate::stream::{ChunkLengths, Codec, ReadAt};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Chunks in flight, for each thread.
const WINDOW: usize = 2;
/// Memory that all threads of a pass may take together (bytes): with what the rest of a conversion
/// takes, it stays below 1 GiB.
const MEMORY: u64 = 896 << 20;

/// How many of `jobs` threads compress by `codecs` at once in [`MEMORY`], at least one.
///
/// Fewer threads are better than a shorter window: one slow chunk would then stop all others.
pub(crate) fn threads(jobs: usize, codecs: &[Codec], lengths: ChunkLengths) -> usize {
    let mean = lengths.min as u64 + u64::from(lengths.one_in) * 4096;
    // A chunk and its frames, which are about a third as long, each.
    let chunk = mean + mean * codecs.len() as u64 / 3;
    let memory = codecs.iter().map(|codec| codec.thread_memory());
    let each = memory.sum::<u64>() + chunk * WINDOW as u64;
    let most = usize::try_from(MEMORY / each).unwrap_or(usize::MAX);
    jobs.min(most).max(1)
}

/// A chunk with its plain bytes and its frames.
#[derive(Clone, Debug)]
pub(crate) struct CompressedChunk {
    /// Plain bytes.
    pub(crate) plain: Chunk,
    /// One frame for each of [`ParallelCompressor::compress`], in that order.
    pub(crate) frames: Vec<Arc<Buffer>>,
}

/// Compresses plain bytes into one independent frame, which takes the place of what the vector
/// holds.
pub(crate) type CompressFn<'a> = dyn Fn(&[u8], &mut Vec<u8>) -> io::Result<()> + Sync + 'a;

/// Called with the offset in the content and the bytes of a chunk as soon as it was read, in any
/// order.
pub(crate) type OnData<'a> = dyn Fn(u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// Compresses a content in parallel, see the module.
pub(crate) struct ParallelCompressor<'a> {
    /// The content to read.
    pub(crate) content: &'a dyn ReadAt,
    /// Where the pass begins (bytes).
    pub(crate) start: u64,
    /// Bounds of chunk lengths.
    pub(crate) lengths: ChunkLengths,
    /// Compressors; each makes one frame of every chunk.
    pub(crate) compress: Vec<&'a CompressFn<'a>>,
    /// Number of threads; 0 counts as 1.
    pub(crate) jobs: usize,
    /// Called by the threads for each chunk that is not all zero.
    pub(crate) on_data: Option<&'a OnData<'a>>,
}

/// Progress of the pass.
struct State {
    /// Number of chunks consumed.
    consumed: usize,
    /// Compressed chunks by index, not yet delivered.
    ready: BTreeMap<usize, io::Result<CompressedChunk>>,
    /// Number of chunks of the content, once the end was reached.
    total: Option<usize>,
    stop: bool,
}

/// State shared by the threads.
struct Shared<'a> {
    /// Locked while a chunk is read, so that the content is read from front to back.
    chunker: Mutex<Chunker<'a>>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'m>(&self, guard: MutexGuard<'m, State>) -> MutexGuard<'m, State> {
        self.changed
            .wait(guard)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes all threads.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until chunk `index` is within the window; false if the pass has stopped.
    fn wait_for_room(&self, index: usize, window: usize) -> bool {
        let mut state = self.lock();
        while !state.stop && index >= state.consumed + window {
            state = self.wait(state);
        }
        !state.stop
    }

    /// The chunk `index` as soon as it is ready; `None` after the last one. All chunks before it
    /// were consumed, and others may take their place.
    fn take(&self, index: usize) -> Option<io::Result<CompressedChunk>> {
        let mut state = self.lock();
        state.consumed = index;
        self.changed.notify_all();
        loop {
            if let Some(chunk) = state.ready.remove(&index) {
                return Some(chunk);
            }
            if state.total.is_some_and(|total| index >= total) {
                return None;
            }
            state = self.wait(state);
        }
    }
}

impl ParallelCompressor<'_> {
    /// Runs the pass; `consume` gets every chunk in order.
    ///
    /// # Errors
    /// The first error of reading, compressing or consuming.
    pub(crate) fn run(
        &self,
        consume: &mut dyn FnMut(CompressedChunk) -> io::Result<()>,
    ) -> io::Result<()> {
        let state = State {
            consumed: 0,
            ready: BTreeMap::new(),
            total: None,
            stop: false,
        };
        let chunker = Mutex::new(Chunker::new(self.content, self.start, self.lengths));
        let shared = Shared {
            chunker,
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        let frames = Frames {
            pool: Pool::new(0),
            zeros: self.compress.iter().map(|_| OnceLock::new()).collect(),
        };
        let jobs = self.jobs.max(1);
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| self.work(&shared, &frames, jobs * WINDOW));
            }
            let mut chunks = (0..).map_while(|index| shared.take(index));
            let result = chunks.try_for_each(|chunk| consume(chunk?));
            shared.change(|state| state.stop = true);
            result
        })
    }

    /// Body of a thread: compresses chunks until there are no more or the pass has stopped.
    fn work(&self, shared: &Shared, frames: &Frames, window: usize) {
        loop {
            let mut chunker = shared
                .chunker
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let index = chunker.count();
            if !shared.wait_for_room(index, window) {
                return;
            }
            let chunk = chunker.next();
            drop(chunker);
            let chunk = match chunk {
                Ok(Some((offset, chunk))) => self.compress_chunk(offset, chunk, frames),
                Ok(None) => return shared.change(|state| state.total = Some(index)),
                Err(error) => Err(error),
            };
            shared.change(|state| drop(state.ready.insert(index, chunk)));
        }
    }

    fn compress_chunk(
        &self,
        offset: u64,
        chunk: Chunk,
        frames: &Frames,
    ) -> io::Result<CompressedChunk> {
        let plain = match chunk {
            Chunk::Zero(len) => return self.compress_zeros(len, frames),
            Chunk::Data(plain) => plain,
        };
        if let Some(on_data) = self.on_data {
            on_data(offset, &plain)?;
        }
        let frames = self
            .compress
            .iter()
            .map(|compress| frames.frame(*compress, &plain))
            .collect::<io::Result<_>>()?;
        Ok(CompressedChunk {
            plain: Chunk::Data(plain),
            frames,
        })
    }

    /// A chunk of zeros; chunks of the full length are compressed once.
    fn compress_zeros(&self, len: usize, frames: &Frames) -> io::Result<CompressedChunk> {
        let mut out = Vec::new();
        for (compress, known) in self.compress.iter().zip(&frames.zeros) {
            let frame = match known.get() {
                Some(frame) if len == self.lengths.max => Arc::clone(frame),
                _ => {
                    let frame = frames.frame(*compress, &vec![0; len])?;
                    if len == self.lengths.max {
                        Arc::clone(known.get_or_init(|| frame))
                    } else {
                        frame
                    }
                }
            };
            out.push(frame);
        }
        Ok(CompressedChunk {
            plain: Chunk::Zero(len),
            frames: out,
        })
    }
}

/// The frames of a pass.
struct Frames {
    /// Those that were delivered, whose memory is used again.
    pool: Arc<Pool>,
    /// The frame of a full-length chunk of zeros, for each compressor.
    zeros: Vec<OnceLock<Arc<Buffer>>>,
}

impl Frames {
    fn frame(&self, compress: &CompressFn, plain: &[u8]) -> io::Result<Arc<Buffer>> {
        let frame = self.pool.take().filled(|frame| compress(plain, frame))?;
        Ok(Arc::new(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::is_zero;
    use crate::stream::{Compression, Content};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LENGTHS: ChunkLengths = ChunkLengths {
        min: 4096,
        one_in: 4,
        max: 16384,
    };

    #[test]
    fn threads_are_as_many_as_memory_allows() {
        let threads = |jobs, kind: Compression, level| {
            let codec = Codec::new(kind, level).unwrap();
            threads(jobs, &[codec], kind.chunk_lengths())
        };
        for jobs in [1, 2, 8, 12] {
            assert_eq!(threads(jobs, Compression::Xz, None), jobs);
        }
        assert_eq!(threads(16, Compression::Xz, None), 12);
        assert_eq!(threads(16, Compression::Xz, Some(0)), 16);
        assert_eq!(threads(64, Compression::Gzip, None), 64);
        assert_eq!(threads(16, Compression::Zstd, None), 16);
        assert_eq!(threads(16, Compression::Zstd, Some(22)), 5);
        assert_eq!(threads(1024, Compression::Xz, None), 12);
    }

    /// Bytes that differ everywhere, with holes.
    fn content() -> Content {
        let mut content = Content::hole(0);
        let bytes: Vec<u8> = (0..100_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        content.push_bytes(3_000, bytes.clone());
        content.push_bytes(900_000, bytes);
        content.set_len(1_234_567);
        content
    }

    #[test]
    fn every_chunk_comes_once_in_order_whatever_the_number_of_threads() {
        let content = content();
        let double = |bytes: &[u8], frame: &mut Vec<u8>| {
            *frame = [bytes, bytes].concat();
            Ok(())
        };
        for jobs in [1, 2, 7] {
            let pass = ParallelCompressor {
                content: &content,
                start: 0,
                lengths: LENGTHS,
                compress: vec![&double],
                jobs,
                on_data: None,
            };
            let (mut plain, mut framed) = (Vec::new(), Vec::new());
            pass.run(&mut |chunk| {
                match &chunk.plain {
                    Chunk::Zero(len) => plain.resize(plain.len() + len, 0),
                    Chunk::Data(bytes) => plain.extend_from_slice(bytes),
                }
                framed.extend_from_slice(&chunk.frames[0]);
                Ok(())
            })
            .unwrap();
            assert!(plain == content.read_all(1 << 30).unwrap());
            assert_eq!(framed.len(), 2 * plain.len());
        }
    }

    #[test]
    fn chunks_in_flight_are_bounded() {
        let content = content();
        let in_flight = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let count = |plain: &[u8], _: &mut Vec<u8>| {
            if is_zero(plain) {
                return Ok(());
            }
            let now = 1 + in_flight.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(now, Ordering::SeqCst);
            Ok(())
        };
        let pass = ParallelCompressor {
            content: &content,
            start: 0,
            lengths: LENGTHS,
            compress: vec![&count],
            jobs: 3,
            on_data: None,
        };
        pass.run(&mut |chunk| {
            // All others wait for it.
            std::thread::sleep(std::time::Duration::from_millis(10));
            if matches!(chunk.plain, Chunk::Data(_)) {
                in_flight.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(())
        })
        .unwrap();
        let most = most.into_inner();
        assert!(most <= 3 * WINDOW, "{most}");
    }

    #[test]
    fn the_first_error_ends_the_pass() {
        let content = content();
        let fail = |_: &[u8], _: &mut Vec<u8>| Err(io::Error::other("no"));
        let pass = ParallelCompressor {
            content: &content,
            start: 0,
            lengths: LENGTHS,
            compress: vec![&fail],
            jobs: 3,
            on_data: None,
        };
        assert_eq!(pass.run(&mut |_| Ok(())).unwrap_err().to_string(), "no");
        let pass = ParallelCompressor {
            content: &content,
            start: 0,
            lengths: LENGTHS,
            compress: vec![],
            jobs: 3,
            on_data: None,
        };
        assert_eq!(
            pass.run(&mut |_| Err(io::Error::other("full")))
                .unwrap_err()
                .to_string(),
            "full"
        );
    }
}
