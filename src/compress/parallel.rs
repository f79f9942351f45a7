//! One pass over a content: chunks are read in order by whichever thread is free, looked at and
//! compressed by several at once, and handed on in order.
//!
//! Frame boundaries depend on the content alone, so the number of threads never changes a byte.
//! Memory is bounded by the chunks in flight: [`WINDOW`] for each thread.

use crate::compress::chunker::{Cutter, Piece};
use crate::compress::pool::Buffer;
use crate::stream::{Lengths, ReadAt};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Chunks that may wait for their turn, for each thread.
const WINDOW: usize = 2;

/// The plain bytes of a chunk.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    /// So many zeros.
    Zero(usize),
    /// These bytes, not all zero.
    Data(Arc<Buffer>),
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

/// What a thread does with a chunk of data as soon as it was read, in any order: the offset in the
/// content and the bytes.
pub(crate) type OnData<'a> = dyn Fn(u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// How a pass is made.
pub(crate) struct Pass<'a> {
    /// What is read.
    pub(crate) content: &'a dyn ReadAt,
    /// How long chunks are.
    pub(crate) lengths: Lengths,
    /// The compressors.
    pub(crate) compress: Vec<&'a Compress<'a>>,
    /// Threads, at least 1.
    pub(crate) jobs: usize,
    /// Called by the threads for each chunk that is not all zero.
    pub(crate) on_data: Option<&'a OnData<'a>>,
}

/// What the threads share.
struct State {
    taken: usize,
    ready: BTreeMap<usize, io::Result<Chunk>>,
    /// How many chunks there are, once that is known.
    total: Option<usize>,
    stop: bool,
}

struct Shared<'a> {
    /// Held while a chunk is read: so the content is read from front to back.
    cutter: Mutex<Cutter<'a>>,
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

    /// Changes the state and tells everyone.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until there is room for chunk `index`; false when it is wanted no more.
    fn room(&self, index: usize, window: usize) -> bool {
        let mut state = self.lock();
        while !state.stop && index >= state.taken + window {
            state = self.wait(state);
        }
        !state.stop
    }

    /// The chunk `index` as soon as it is ready; `None` behind the last one.
    fn take(&self, index: usize) -> Option<io::Result<Chunk>> {
        let mut state = self.lock();
        loop {
            if let Some(chunk) = state.ready.remove(&index) {
                state.taken = index + 1;
                drop(state);
                self.changed.notify_all();
                return Some(chunk);
            }
            if state.total.is_some_and(|total| index >= total) {
                return None;
            }
            state = self.wait(state);
        }
    }
}

impl Pass<'_> {
    /// Runs the pass; `consume` gets every chunk in order.
    ///
    /// # Errors
    /// The first error of reading, compressing or consuming.
    pub(crate) fn run(&self, consume: &mut dyn FnMut(Chunk) -> io::Result<()>) -> io::Result<()> {
        let state = State {
            taken: 0,
            ready: BTreeMap::new(),
            total: None,
            stop: false,
        };
        let cutter = Mutex::new(Cutter::new(self.content, self.lengths));
        let shared = Shared {
            cutter,
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        let zeros = Zeros {
            frames: self.compress.iter().map(|_| OnceLock::new()).collect(),
        };
        let jobs = self.jobs.max(1);
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| self.work(&shared, &zeros, jobs * WINDOW));
            }
            let mut chunks = (0..).map_while(|index| shared.take(index));
            let result = chunks.try_for_each(|chunk| consume(chunk?));
            shared.change(|state| state.stop = true);
            result
        })
    }

    /// A thread: takes the next chunk while there is room for it.
    fn work(&self, shared: &Shared, zeros: &Zeros, window: usize) {
        loop {
            let mut cutter = shared.cutter.lock().unwrap_or_else(PoisonError::into_inner);
            let index = cutter.count();
            if !shared.room(index, window) {
                return;
            }
            let piece = cutter.next();
            drop(cutter);
            let chunk = match piece {
                Ok(Some((offset, piece))) => self.chunk(offset, piece, zeros),
                Ok(None) => return shared.change(|state| state.total = Some(index)),
                Err(error) => Err(error),
            };
            shared.change(|state| drop(state.ready.insert(index, chunk)));
        }
    }

    fn chunk(&self, offset: u64, piece: Piece, zeros: &Zeros) -> io::Result<Chunk> {
        let plain = match piece {
            Piece::Zero(len) => return self.zero(len, zeros),
            Piece::Data(plain) => plain,
        };
        if let Some(on_data) = self.on_data {
            on_data(offset, &plain)?;
        }
        let frames = self
            .compress
            .iter()
            .map(|compress| compress(&plain).map(Arc::new))
            .collect::<io::Result<_>>()?;
        Ok(Chunk {
            plain: Plain::Data(Arc::new(plain)),
            frames,
        })
    }

    /// A chunk of zeros; those of full length are compressed once.
    fn zero(&self, len: usize, zeros: &Zeros) -> io::Result<Chunk> {
        let mut frames = Vec::new();
        for (compress, known) in self.compress.iter().zip(&zeros.frames) {
            let frame = match known.get() {
                Some(frame) if len == self.lengths.most => Arc::clone(frame),
                _ => {
                    let frame = Arc::new(compress(&vec![0; len])?);
                    if len == self.lengths.most {
                        Arc::clone(known.get_or_init(|| frame))
                    } else {
                        frame
                    }
                }
            };
            frames.push(frame);
        }
        Ok(Chunk {
            plain: Plain::Zero(len),
            frames,
        })
    }
}

/// The frame of a full chunk of zeros, for each compressor.
struct Zeros {
    frames: Vec<OnceLock<Arc<Vec<u8>>>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    const LENGTHS: Lengths = Lengths {
        least: 4096,
        one_in: 4,
        most: 16384,
    };

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
        let double = |bytes: &[u8]| Ok([bytes, bytes].concat());
        for jobs in [1, 2, 7] {
            let pass = Pass {
                content: &content,
                lengths: LENGTHS,
                compress: vec![&double],
                jobs,
                on_data: None,
            };
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
        let pass = Pass {
            content: &content,
            lengths: LENGTHS,
            compress: vec![&fail],
            jobs: 3,
            on_data: None,
        };
        assert_eq!(pass.run(&mut |_| Ok(())).unwrap_err().to_string(), "no");
        let pass = Pass {
            content: &content,
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
