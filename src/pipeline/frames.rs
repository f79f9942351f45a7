//! One pass over a content: chunks are read, looked at and compressed by several threads and handed on in order.
//!
//! Frame boundaries depend on the content's length alone, so the number of threads never changes a byte. Memory is bounded by the
//! chunks in flight: [`WINDOW`] for each thread.

use crate::stream::ReadAt;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Chunks that may wait for their turn, for each thread.
const WINDOW: usize = 3;

/// The plain bytes of a chunk.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    /// So many zeros.
    Zero(usize),
    /// These bytes, not all zero.
    Data(Arc<Vec<u8>>),
}

/// A chunk in its plain and its compressed forms.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The bytes themselves.
    pub(crate) plain: Plain,
    /// One frame for each compressor asked for, in that order.
    pub(crate) frames: Vec<Arc<Vec<u8>>>,
}

/// Turns plain bytes into a frame that stands for itself.
pub(crate) type Compress<'a> = dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Sync + 'a;

/// What a thread does with a chunk of data as soon as it was read, in any order: the offset in the content and the bytes.
pub(crate) type OnData<'a> = dyn Fn(u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// How a pass is made.
pub(crate) struct Pass<'a> {
    /// What is read.
    pub(crate) content: &'a dyn ReadAt,
    /// Bytes in a chunk; the last one may be shorter.
    pub(crate) chunk: usize,
    /// The compressors.
    pub(crate) compress: Vec<&'a Compress<'a>>,
    /// Threads, at least 1.
    pub(crate) jobs: usize,
    /// Called by the threads for each chunk that is not all zero.
    pub(crate) on_data: Option<&'a OnData<'a>>,
}

/// What the threads share.
struct State {
    next: usize,
    taken: usize,
    ready: BTreeMap<usize, io::Result<Chunk>>,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'m>(&self, guard: MutexGuard<'m, State>) -> MutexGuard<'m, State> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Runs the pass; `consume` gets every chunk in order.
    ///
    /// # Errors
    /// The first error of reading, compressing or consuming.
    pub(crate) fn run(&self, consume: &mut dyn FnMut(Chunk) -> io::Result<()>) -> io::Result<()> {
        let chunks = usize::try_from(self.content.len().div_ceil(self.chunk as u64)).map_err(io::Error::other)?;
        let state = State { next: 0, taken: 0, ready: BTreeMap::new(), stop: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        let zeros = Zeros { frames: self.compress.iter().map(|_| OnceLock::new()).collect() };
        let jobs = self.jobs.max(1);
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| self.work(&shared, &zeros, chunks, jobs * WINDOW));
            }
            let result = (0..chunks).try_for_each(|index| {
                let mut state = shared.lock();
                let chunk = loop {
                    if let Some(chunk) = state.ready.remove(&index) {
                        break chunk;
                    }
                    state = shared.wait(state);
                };
                state.taken = index + 1;
                drop(state);
                shared.changed.notify_all();
                consume(chunk?)
            });
            shared.lock().stop = true;
            shared.changed.notify_all();
            result
        })
    }

    /// A thread: takes the next chunk while there is room for it.
    fn work(&self, shared: &Shared, zeros: &Zeros, chunks: usize, window: usize) {
        loop {
            let mut state = shared.lock();
            while !state.stop && state.next < chunks && state.next >= state.taken + window {
                state = shared.wait(state);
            }
            if state.stop || state.next >= chunks {
                return;
            }
            let index = state.next;
            state.next += 1;
            drop(state);
            let chunk = self.chunk(index, zeros);
            shared.lock().ready.insert(index, chunk);
            shared.changed.notify_all();
        }
    }

    fn chunk(&self, index: usize, zeros: &Zeros) -> io::Result<Chunk> {
        let offset = index as u64 * self.chunk as u64;
        let len = usize::try_from((self.content.len() - offset).min(self.chunk as u64)).map_err(io::Error::other)?;
        let hole = self.content.next_data(offset)?.is_none_or(|data| data.start >= offset + len as u64);
        if hole {
            return self.zero(len, zeros);
        }
        let mut plain = vec![0; len];
        let place = |e: io::Error| io::Error::new(e.kind(), format!("reading its {len} bytes at offset {offset}: {e}"));
        self.content.read_exact_at(offset, &mut plain).map_err(place)?;
        if is_zero(&plain) {
            return self.zero(len, zeros);
        }
        if let Some(on_data) = self.on_data {
            on_data(offset, &plain)?;
        }
        let frames = self.compress.iter().map(|compress| compress(&plain).map(Arc::new)).collect::<io::Result<_>>()?;
        Ok(Chunk { plain: Plain::Data(Arc::new(plain)), frames })
    }

    /// A chunk of zeros; those of full length are compressed once.
    fn zero(&self, len: usize, zeros: &Zeros) -> io::Result<Chunk> {
        let mut frames = Vec::new();
        for (compress, known) in self.compress.iter().zip(&zeros.frames) {
            let frame = match known.get() {
                Some(frame) if len == self.chunk => Arc::clone(frame),
                _ => {
                    let frame = Arc::new(compress(&vec![0; len])?);
                    if len == self.chunk { Arc::clone(known.get_or_init(|| frame)) } else { frame }
                }
            };
            frames.push(frame);
        }
        Ok(Chunk { plain: Plain::Zero(len), frames })
    }
}

/// The frame of a full chunk of zeros, for each compressor.
struct Zeros {
    frames: Vec<OnceLock<Arc<Vec<u8>>>>,
}

/// True when all bytes are zero; sixteen at a time, since most of a disk is asked.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    /// Bytes that differ everywhere, with holes.
    fn content() -> Content {
        let mut content = Content::hole(0);
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        content.push_bytes(3_000, bytes.clone());
        content.push_bytes(900_000, bytes);
        content.set_len(1_234_567);
        content
    }

    #[test]
    fn every_chunk_comes_once_in_order_whatever_the_number_of_threads() {
        let content = content();
        let double = |bytes: &[u8]| Ok([bytes, bytes].concat());
        for jobs in [1, 2, 7] {
            let pass = Pass { content: &content, chunk: 4096, compress: vec![&double], jobs, on_data: None };
            let (mut plain, mut framed) = (Vec::new(), Vec::new());
            pass.run(&mut |chunk| {
                match &chunk.plain {
                    Plain::Zero(len) => plain.resize(plain.len() + len, 0),
                    Plain::Data(bytes) => plain.extend_from_slice(bytes),
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
    fn the_first_error_ends_the_pass() {
        let content = content();
        let fail = |_: &[u8]| Err(io::Error::other("no"));
        let pass = Pass { content: &content, chunk: 4096, compress: vec![&fail], jobs: 3, on_data: None };
        assert_eq!(pass.run(&mut |_| Ok(())).unwrap_err().to_string(), "no");
        let pass = Pass { content: &content, chunk: 4096, compress: vec![], jobs: 3, on_data: None };
        assert_eq!(pass.run(&mut |_| Err(io::Error::other("full"))).unwrap_err().to_string(), "full");
    }
}
