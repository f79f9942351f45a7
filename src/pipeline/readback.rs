//! What was written as frames, unpacked again by several threads: each frame stands for itself, so nobody waits for the one before.

use crate::stream::{Compression, decoder};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Frames in a file.
pub(crate) struct Frames<'a> {
    /// The file.
    pub(crate) file: &'a File,
    /// What they are.
    pub(crate) kind: Compression,
    /// Where they are, in order (bytes).
    pub(crate) places: &'a [Range<u64>],
}

impl Frames<'_> {
    /// Calls `then` with a reader of all plain bytes in order, which `jobs` threads unpack ahead of it: two frames each at most.
    pub(crate) fn unpacked<T>(&self, jobs: usize, then: impl FnOnce(&mut (dyn Read + Send)) -> T) -> T {
        std::thread::scope(|scope| {
            let start = |first: usize| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || self.work(first, jobs.max(1), &sender));
                receiver
            };
            let queues = (0..jobs.max(1)).map(start).collect();
            // The threads end when their queues go.
            then(&mut InTurn { queues, next: 0, current: Vec::new(), at: 0 })
        })
    }

    /// A thread: every `step`th frame from `first` on, as long as someone wants them.
    fn work(&self, first: usize, step: usize, sender: &SyncSender<io::Result<Vec<u8>>>) {
        for place in self.places.iter().skip(first).step_by(step) {
            if sender.send(self.plain(place)).is_err() {
                return;
            }
        }
    }

    fn plain(&self, place: &Range<u64>) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; usize::try_from(place.end - place.start).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut frame, place.start)?;
        let mut plain = Vec::new();
        decoder(self.kind, &frame[..])?.read_to_end(&mut plain)?;
        Ok(plain)
    }
}

/// The queues of the threads, one frame of each in turn.
struct InTurn {
    queues: Vec<Receiver<io::Result<Vec<u8>>>>,
    next: usize,
    current: Vec<u8>,
    at: usize,
}

impl Read for InTurn {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            let queue = self.next % self.queues.len();
            match self.queues[queue].recv() {
                Ok(plain) => (self.current, self.at) = (plain?, 0),
                // The thread whose turn it is has no more, so nobody has.
                Err(_) => return Ok(0),
            }
            self.next += 1;
        }
        let len = buf.len().min(self.current.len() - self.at);
        buf[..len].copy_from_slice(&self.current[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Codec;

    /// A file of frames, and its plain bytes.
    fn frames(kind: Compression) -> (File, Vec<Range<u64>>, Vec<u8>) {
        let (file, mut places, mut whole) = (tempfile::tempfile().unwrap(), Vec::new(), Vec::new());
        let mut at = 100;
        for n in 0..23_u32 {
            let plain: Vec<u8> = (0..n * 1000).flat_map(|i| (i.wrapping_mul(i) >> 3 ^ n).to_le_bytes()).collect();
            let frame = Codec::from(kind).compress(&plain).unwrap();
            file.write_all_at(&frame, at).unwrap();
            places.push(at..at + frame.len() as u64);
            at += frame.len() as u64;
            whole.extend(plain);
        }
        (file, places, whole)
    }

    #[test]
    fn all_bytes_come_in_order_whatever_the_number_of_threads() {
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let (file, places, whole) = frames(kind);
            for jobs in [0, 1, 2, 5, 40] {
                let mut found = Vec::new();
                Frames { file: &file, kind, places: &places }.unpacked(jobs, |plain| plain.read_to_end(&mut found)).unwrap();
                assert!(found == whole, "{kind} {jobs}");
            }
        }
    }

    #[test]
    fn damage_is_an_error_and_nobody_need_read_to_the_end() {
        let (file, places, whole) = frames(Compression::Gzip);
        let middle = (places[15].start + places[15].end) / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle).unwrap();
        file.write_all_at(&[byte[0] ^ 4], middle).unwrap();
        let frames = Frames { file: &file, kind: Compression::Gzip, places: &places };
        let mut found = Vec::new();
        assert!(frames.unpacked(3, |plain| plain.read_to_end(&mut found)).is_err());
        assert!(whole.starts_with(&found));
        let mut start = [1; 1000];
        frames.unpacked(3, |plain| plain.read_exact(&mut start)).unwrap();
        assert!(whole.starts_with(&start));
    }
}
