//! Frames kept from one conversion to the next, by the digest of their plain bytes, codec and
//! level: a second conversion after a small change compresses the change.
//!
//! A directory of files, each named by its key, the digest of all that the frame depends on, and
//! holding the digest of key and frame, then the frame. So a frame that was cut short by a crash or
//! damaged on the disk is noticed and made anew; and since files appear by renaming, any number of
//! conversions may use one directory at once. What is used least recently goes when there is no
//! room. A cache never makes a conversion fail, nor changes a byte of it.

use crate::digest::{Digest as Key, hex, unhex};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::Codec;
use crate::units::human;
use blake3::Hasher;
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

/// An open cache.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// The most that all frames may take (bytes).
    most: u64,
    state: Mutex<State>,
    /// Held, shared, as long as this conversion writes: whoever gets it for itself alone may take
    /// leftovers away.
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
    /// Opens the cache in `dir`, which is made where it is missing, and brings it below `most`
    /// bytes.
    ///
    /// # Errors
    /// A [`Problem`] when the directory cannot be used.
    pub fn open(dir: &Path, most: u64) -> Result<Self, Problem> {
        let unusable = |e: io::Error| {
            Problem::new(format!("the cache {} cannot be used: {e}", dir.display()))
                .hint("name another directory with --cache, or leave it out")
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(dir.join(LOCK))
            .map_err(unusable)?;
        let alone = lock.try_lock().is_ok();
        let mut state = State::default();
        for entry in std::fs::read_dir(dir)
            .map_err(unusable)?
            .filter_map(Result::ok)
        {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if alone && name.starts_with(PREFIX) {
                // Left by a conversion that was killed. What cannot be removed is met again next
                // time.
                let _ = std::fs::remove_file(entry.path());
            }
            // Another conversion may have taken it away since.
            if let (Some(key), Ok(metadata)) = (unhex(&name), entry.metadata()) {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                state.total += metadata.len();
                state.unused.insert((used, key));
                state.known.insert(key, (used, metadata.len()));
            }
        }
        lock.lock_shared().map_err(unusable)?;
        let cache = Self {
            dir: dir.to_owned(),
            most,
            state: Mutex::new(state),
            _lock: lock,
        };
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
        let frame = codec.proven(plain)?;
        if let Err(e) = self.store(&key, &frame) {
            self.state().fault.get_or_insert_with(|| e.to_string());
        }
        Ok(frame)
    }

    /// Tells how much there was to find.
    pub(crate) fn tell(&self, report: &dyn Report) {
        let state = self.state();
        if let Some(fault) = &state.fault {
            report.warn(&format!(
                "the cache {} could not take a frame: {fault}",
                self.dir.display()
            ));
        }
        if state.damaged > 0 {
            report.warn(&format!(
                "{} frames in the cache {} were damaged and made anew",
                state.damaged,
                self.dir.display()
            ));
        }
        let (found, all) = (state.found, state.found + state.made);
        report.note(&format!(
            "cache: {found} of {all} frames were there; it takes {}",
            human(state.total)
        ));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(hex(key))
    }

    fn key(&self, codec: Codec, plain: &[u8]) -> io::Result<Key> {
        let mark = self.mark(codec)?;
        Ok(digest(&[&mark, &(plain.len() as u64).to_le_bytes(), plain]))
    }

    /// What tells codecs, levels and versions of compressors apart: another version makes other
    /// bytes of this sample.
    fn mark(&self, codec: Codec) -> io::Result<Key> {
        if let Some((_, mark)) = self.state().marks.iter().find(|(known, _)| *known == codec) {
            return Ok(*mark);
        }
        let sample: Vec<u8> = (0..40_000_u32)
            .flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes())
            .collect();
        let name = format!(
            "{} {} {}",
            env!("CARGO_PKG_VERSION"),
            codec.kind(),
            codec.level()
        );
        let mark = digest(&[name.as_bytes(), &codec.compress(&sample)?]);
        self.state().marks.push((codec, mark));
        Ok(mark)
    }

    /// The frame of this key, if it is there and whole.
    fn find(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let mut head = [0; HEAD];
        let mut frame = Vec::new();
        let whole = file
            .read_exact(&mut head)
            .and_then(|()| file.read_to_end(&mut frame))
            .is_ok()
            && seal(key, &frame) == head;
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
        let written = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&self.dir)
            .and_then(|mut file| {
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

    /// Removes what was not used for the longest time until `more` bytes fit; false when they do
    /// not.
    fn make_room(&self, state: &mut State, more: u64) -> bool {
        while state.total.saturating_add(more) > self.most {
            let Some((_, key)) = state.unused.pop_first() else {
                return false;
            };
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
    digest(&[key, frame])
}

/// BLAKE3, which takes a third of the time of SHA-256 (`docs/decisions/0011-cache-keys.md`).
fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Hasher::new();
    parts.iter().for_each(|part| _ = hash.update(part));
    hash.finalize().into()
}

/// Notes that a file was used now. The time says what may go first, and nothing else.
fn touch(file: &File) {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    // A cache of another user: it stays as old as it is.
    let _ = futimens(
        file,
        &Timestamps {
            last_access: at(UTIME_OMIT),
            last_modification: at(UTIME_NOW),
        },
    );
}

#[cfg(test)]
mod tests;
