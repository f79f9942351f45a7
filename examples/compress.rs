//! `compress none|gzip|xz|zstd INPUT OUTPUT [verified]`: the compressor of goldsmith alone, on all
//! cores, for the benchmark: what remains of a conversion when nothing is converted. Frames are
//! about as long as those of a conversion; `verified`, each is decompressed and compared, as there.

use goldsmith::stream::{Codec, Compression};
use std::fs::File;
use std::io::{self, Error};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next chunk, and where the next frame goes. Frames lie in the order in which they were done:
/// only their cost counts here.
struct Shared {
    next: AtomicU64,
    end: Mutex<u64>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, input, output, more @ ..] = &arguments[..] else {
        return Err(Error::other("usage: compress KIND INPUT OUTPUT [verified]"));
    };
    let verified = more == ["verified"];
    let kind: Compression = kind.parse().map_err(Error::other)?;
    let (codec, chunk) = (Codec::from(kind), kind.chunk_lengths().min * 2);
    let (input, output) = (File::open(input)?, File::create(output)?);
    let len = input.metadata()?.len();
    let shared = Shared {
        next: AtomicU64::new(0),
        end: Mutex::new(0),
    };
    let work = || -> io::Result<()> {
        let (mut plain, mut frame) = (Vec::new(), Vec::new());
        loop {
            let at = shared.next.fetch_add(1, Ordering::Relaxed) * chunk as u64;
            if at >= len {
                return Ok(());
            }
            plain.resize(chunk.min(usize::try_from(len - at).unwrap_or(chunk)), 0);
            input.read_exact_at(&mut plain, at)?;
            if verified {
                codec.compress_verified(&plain, &mut frame)?;
            } else {
                codec.compress_into(&plain, &mut frame)?;
            }
            let mut end = shared.end.lock().map_err(|e| Error::other(e.to_string()))?;
            let place = *end;
            *end += frame.len() as u64;
            drop(end);
            output.write_all_at(&frame, place)?;
        }
    };
    let jobs = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| Error::other("a thread died"))?)
    })
}
