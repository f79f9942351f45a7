//! Frames kept from one conversion to the next, by the digest of their plain bytes, codec and level: a second conversion after a small
//! change compresses the change.
//!
//! A directory of files, each named by its key and holding the digest of key and frame, then the frame. So a frame that was cut short
//! by a crash or damaged on the disk is noticed and made anew; and since files appear by renaming, any number of conversions may use
//! one directory at once. What is used least recently goes when there is no room. A cache never makes a conversion fail, nor
//! changes a byte of it.

use crate::artifact::hex;
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::Codec;
use crate::units::human;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Bytes of the digest before a frame.
const HEAD: usize = 32;
/// What files begin with that have not got their names yet.
const PREFIX: &str = ".goldsmith-";
const LOCK: &str = ".lock";

/// What names a frame: the digest of all that it depends on.
type Key = [u8; 32];

/// An open cache.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// The most that all frames may take (bytes).
    most: u64,
    state: Mutex<State>,
    /// Held, shared, as long as this conversion writes: whoever gets it for itself alone may take leftovers away.
    _lock: File,
}

#[derive(Debug, Default)]
struct State {
    /// What all frames take, as far as this conversion knows (bytes).
    total: u64,
    /// Frames that were there and were not used yet, the least recently used first.
    unused: BTreeSet<(SystemTime, Key)>,
    /// When each of these was used last, and what it takes.
    known: HashMap<Key, (SystemTime, u64)>,
    /// What marks the results of a codec, once it was used.
    marks: Vec<(Codec, Key)>,
    found: usize,
    made: usize,
    damaged: usize,
    /// The first reason why a frame could not be kept.
    fault: Option<String>,
}

impl Cache {
    /// Opens the cache in `dir`, which is made where it is missing, and brings it below `most` bytes.
    ///
    /// # Errors
    /// A [`Problem`] when the directory cannot be used.
    pub fn open(dir: &Path, most: u64) -> Result<Self, Problem> {
        let unusable = |e: io::Error| {
            Problem::new(format!("the cache {} cannot be used: {e}", dir.display()))
                .hint("name another directory with --cache, or leave it out")
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(dir.join(LOCK)).map_err(unusable)?;
        let alone = lock.try_lock().is_ok();
        let mut state = State::default();
        for entry in std::fs::read_dir(dir).map_err(unusable)?.filter_map(Result::ok) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if alone && name.starts_with(PREFIX) {
                // Left by a conversion that was killed. What cannot be removed is met again next time.
                let _ = std::fs::remove_file(entry.path());
            }
            // Another conversion may have taken it away since.
            if let (Some(key), Ok(metadata)) = (parse(&name), entry.metadata()) {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                state.total += metadata.len();
                state.unused.insert((used, key));
                state.known.insert(key, (used, metadata.len()));
            }
        }
        lock.lock_shared().map_err(unusable)?;
        let cache = Self { dir: dir.to_owned(), most, state: Mutex::new(state), _lock: lock };
        cache.make_room(&mut cache.state(), 0);
        Ok(cache)
    }

    /// The frame of `plain`, from the cache or made now.
    ///
    /// # Errors
    /// What compressing said.
    pub(crate) fn frame(&self, codec: Codec, plain: &[u8]) -> io::Result<Vec<u8>> {
        let key = self.key(codec, plain)?;
        if let Some(frame) = self.find(&key) {
            return Ok(frame);
        }
        let frame = codec.compress(plain)?;
        if let Err(e) = self.store(&key, &frame) {
            self.state().fault.get_or_insert_with(|| e.to_string());
        }
        Ok(frame)
    }

    /// Tells how much there was to find.
    pub(crate) fn tell(&self, report: &dyn Report) {
        let state = self.state();
        if let Some(fault) = &state.fault {
            report.warn(&format!("the cache {} could not take a frame: {fault}", self.dir.display()));
        }
        if state.damaged > 0 {
            report.warn(&format!("{} frames in the cache {} were damaged and made anew", state.damaged, self.dir.display()));
        }
        let (found, all) = (state.found, state.found + state.made);
        report.note(&format!("cache: {found} of {all} frames were there; it takes {}", human(state.total)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(hex(key))
    }

    fn key(&self, codec: Codec, plain: &[u8]) -> io::Result<Key> {
        let mark = self.mark(codec)?;
        Ok(Sha256::new().chain_update(mark).chain_update((plain.len() as u64).to_le_bytes()).chain_update(plain).finalize().into())
    }

    /// What tells codecs, levels and versions of compressors apart: another version makes other bytes of this sample.
    fn mark(&self, codec: Codec) -> io::Result<Key> {
        if let Some((_, mark)) = self.state().marks.iter().find(|(known, _)| *known == codec) {
            return Ok(*mark);
        }
        let sample: Vec<u8> = (0..40_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()).collect();
        let name = format!("{} {} {}", env!("CARGO_PKG_VERSION"), codec.kind(), codec.level());
        let mark = Sha256::new().chain_update(name).chain_update(codec.compress(&sample)?).finalize().into();
        self.state().marks.push((codec, mark));
        Ok(mark)
    }

    /// The frame of this key, if it is there and whole.
    fn find(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let mut head = [0; HEAD];
        let mut frame = Vec::new();
        let whole = file.read_exact(&mut head).and_then(|()| file.read_to_end(&mut frame)).is_ok() && seal(key, &frame) == head;
        let mut state = self.state();
        if let Some((used, len)) = state.known.remove(key) {
            state.unused.remove(&(used, *key));
            if !whole {
                state.total = state.total.saturating_sub(len);
            }
        }
        if !whole {
            state.damaged += 1;
            // It is overwritten next, or stays as useless as it is.
            let _ = std::fs::remove_file(&path);
            return None;
        }
        state.found += 1;
        drop(state);
        touch(&file);
        Some(frame)
    }

    fn store(&self, key: &Key, frame: &[u8]) -> io::Result<()> {
        let len = (HEAD + frame.len()) as u64;
        {
            let mut state = self.state();
            state.made += 1;
            if !self.make_room(&mut state, len) {
                return Ok(());
            }
            state.total += len;
        }
        let written = tempfile::Builder::new().prefix(PREFIX).tempfile_in(&self.dir).and_then(|mut file| {
            file.write_all(&seal(key, frame))?;
            file.write_all(frame)?;
            file.persist(self.path(key)).map(drop).map_err(|e| e.error)
        });
        if written.is_err() {
            let mut state = self.state();
            state.total = state.total.saturating_sub(len);
        }
        written
    }

    /// Removes what was not used for the longest time until `more` bytes fit; false when they do not.
    fn make_room(&self, state: &mut State, more: u64) -> bool {
        while state.total.saturating_add(more) > self.most {
            let Some((_, key)) = state.unused.pop_first() else { return false };
            if let Some((_, len)) = state.known.remove(&key) {
                state.total = state.total.saturating_sub(len);
            }
            // Another conversion may have been first.
            let _ = std::fs::remove_file(self.path(&key));
        }
        true
    }
}

/// What is kept before a frame.
fn seal(key: &Key, frame: &[u8]) -> [u8; HEAD] {
    Sha256::new().chain_update(key).chain_update(frame).finalize().into()
}

/// The key that a file name stands for.
fn parse(name: &str) -> Option<Key> {
    let mut key = [0; 32];
    if name.len() != 64 || !name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(name.get(digits * 2..digits * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Notes that a file was used now. The time says what may go first, and nothing else.
fn touch(file: &File) {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    // A cache of another user: it stays as old as it is.
    let _ = futimens(file, &Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Compression;

    const CODEC: Compression = Compression::Zstd;

    /// Bytes that take about as much packed as plain.
    fn chunk(seed: u32) -> Vec<u8> {
        let mut state = u64::from(seed) + 1;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(10_000).collect()
    }

    fn frames(dir: &Path) -> Vec<PathBuf> {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        names.filter(|entry| parse(entry.file_name().to_str().unwrap()).is_some()).map(|entry| entry.path()).collect()
    }

    fn size(dir: &Path) -> u64 {
        frames(dir).iter().map(|path| path.metadata().unwrap().len()).sum()
    }

    fn counts(cache: &Cache) -> (usize, usize, usize) {
        let state = cache.state();
        (state.found, state.made, state.damaged)
    }

    #[test]
    fn frames_come_back_and_only_for_the_same_bytes_codec_and_level() {
        let dir = tempfile::tempdir().unwrap();
        let codec = Codec::from(CODEC);
        let cache = Cache::open(dir.path(), 1 << 20).unwrap();
        let first = cache.frame(codec, &chunk(1)).unwrap();
        assert_eq!(first, codec.compress(&chunk(1)).unwrap());
        assert_eq!(cache.frame(codec, &chunk(1)).unwrap(), first);
        assert_eq!(counts(&cache), (1, 1, 0));
        cache.frame(codec, &chunk(2)).unwrap();
        cache.frame(Codec::new(CODEC, Some(1)).unwrap(), &chunk(1)).unwrap();
        cache.frame(Codec::from(Compression::Gzip), &chunk(1)).unwrap();
        assert_eq!(counts(&cache), (1, 4, 0));
        let again = Cache::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(again.frame(codec, &chunk(1)).unwrap(), first);
        assert_eq!((counts(&again), again.state().total), ((1, 0, 0), size(dir.path())));
    }

    #[test]
    fn damage_is_noticed_and_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let codec = Codec::from(CODEC);
        let right = Cache::open(dir.path(), 1 << 20).unwrap().frame(codec, &chunk(1)).unwrap();
        let path = frames(dir.path()).remove(0);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[5000] ^= 1;
        for bad in [&flipped[..], &whole[..4000], &whole[..10], &[]] {
            std::fs::write(&path, bad).unwrap();
            let cache = Cache::open(dir.path(), 1 << 20).unwrap();
            assert_eq!(cache.frame(codec, &chunk(1)).unwrap(), right);
            assert_eq!(counts(&cache), (0, 1, 1));
            assert_eq!(std::fs::read(&path).unwrap(), whole);
            assert_eq!(cache.state().total, whole.len() as u64);
        }
        // A whole frame under the name of another one is no better.
        let cache = Cache::open(dir.path(), 1 << 20).unwrap();
        cache.frame(codec, &chunk(2)).unwrap();
        let other = frames(dir.path()).into_iter().find(|name| *name != path).unwrap();
        std::fs::copy(&other, &path).unwrap();
        assert_eq!(cache.frame(codec, &chunk(1)).unwrap(), right);
        assert_eq!(counts(&cache), (0, 2, 1));
    }

    #[test]
    fn what_was_used_last_stays_and_foreign_files_do_too() {
        let dir = tempfile::tempdir().unwrap();
        let codec = Codec::from(CODEC);
        std::fs::write(dir.path().join("notes"), vec![0; 100_000]).unwrap();
        std::fs::write(dir.path().join(".goldsmith-left"), "by a killed run").unwrap();
        let cache = Cache::open(dir.path(), 35_000).unwrap();
        for seed in 0..3 {
            cache.frame(codec, &chunk(seed)).unwrap();
        }
        // All were used by this conversion: there is no room for a fourth, which is made nevertheless.
        assert_eq!(cache.frame(codec, &chunk(3)).unwrap(), codec.compress(&chunk(3)).unwrap());
        assert_eq!(frames(dir.path()).len(), 3);
        drop(cache);
        let old = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for path in frames(dir.path()) {
            File::open(path).unwrap().set_modified(old(1000)).unwrap();
        }
        let cache = Cache::open(dir.path(), 35_000).unwrap();
        cache.frame(codec, &chunk(1)).unwrap();
        for seed in 4..6 {
            cache.frame(codec, &chunk(seed)).unwrap();
            assert!(size(dir.path()) <= 35_000);
        }
        let cache = Cache::open(dir.path(), 35_000).unwrap();
        for seed in [1, 4, 5] {
            cache.frame(codec, &chunk(seed)).unwrap();
        }
        assert_eq!(counts(&cache), (3, 0, 0));
        drop(cache);
        // A smaller bound evicts at once; the rest keeps to it.
        drop(Cache::open(dir.path(), 15_000).unwrap());
        assert_eq!(frames(dir.path()).len(), 1);
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| parse(name).is_none());
        names.sort();
        assert_eq!(names, [".lock", "notes"]);
    }

    #[test]
    fn many_use_one_cache_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, codec) = (dir.path(), Codec::from(CODEC));
        std::thread::scope(|scope| {
            for most in [1 << 20, 60_000, 25_000, 1 << 20] {
                scope.spawn(move || {
                    let cache = Cache::open(dir, most).unwrap();
                    for seed in (0..12).chain(0..12) {
                        assert_eq!(cache.frame(codec, &chunk(seed)).unwrap(), codec.compress(&chunk(seed)).unwrap());
                    }
                    assert_eq!(counts(&cache).2, 0);
                });
            }
        });
    }
}
