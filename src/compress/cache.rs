//! A cache of frames between conversions, keyed by the digest of their plain bytes, codec and
//! level: a second conversion after a small change compresses only the change.
//!
//! The cache is a directory of files. Each is named by its key, which is the digest of everything
//! that the frame depends on, and contains the digest of key and frame, then the frame. A frame
//! that was truncated by a crash or damaged on the disk is therefore detected and compressed again.
//! Files appear by renaming, so any number of conversions can use one directory at once. When there
//! is no room, the least recently used frames are removed. A cache never makes a conversion fail
//! and never changes a byte of an output.

use crate::digest::{Digest as Key, hex, unhex};
use crate::input_file;
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::Codec;
use crate::units::human;
use blake3::Hasher;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Length of the digest before a frame (bytes).
const HEAD: usize = 32;
/// Prefix of the names of files that are still being written.
const PREFIX: &str = ".goldsmith-";
const LOCK: &str = ".lock";
/// Part of the free space that the cache of a user may take, at most one in this many bytes: the
/// results may be going to the same filesystem.
const FREE_SHARE: u64 = 4;
/// Permissions with which others than the owner may change a directory.
const OTHERS_WRITE: u32 = 0o022;

/// What a run took from its cache and added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CacheUsage {
    /// Frames that were there.
    pub reused_frames: u64,
    /// Length of their uncompressed data (bytes).
    pub reused_bytes: u64,
    /// Frames that were compressed, because they were not there or damaged.
    pub compressed_frames: u64,
    /// Length of their uncompressed data (bytes).
    pub compressed_bytes: u64,
    /// Frames that were there and damaged.
    pub damaged_frames: u64,
    /// Total size of the cache (bytes).
    pub size: u64,
}

/// How many frames of a part of the results were in the cache.
#[derive(Debug, Default)]
pub(crate) struct FrameCounts {
    reused: AtomicU64,
    compressed: AtomicU64,
}

impl FrameCounts {
    /// Counts a frame.
    pub(crate) fn add(&self, reused: bool) {
        let count = match reused {
            true => &self.reused,
            false => &self.compressed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports the frames of the part `of`, and begins anew; nothing if there were none.
    pub(crate) fn report(&self, of: &str, report: &dyn Report) {
        let reused = self.reused.swap(0, Ordering::Relaxed);
        let all = reused + self.compressed.swap(0, Ordering::Relaxed);
        if all > 0 {
            report.detail(&format!("cache: {reused} of {all} frames {of} found"));
        }
    }
}

/// An open cache.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Maximum total size of all frames (bytes).
    max_size: u64,
    state: Mutex<State>,
    /// Frames that are being compressed.
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
    /// Locked shared for the lifetime of the cache; a conversion that gets the exclusive lock may
    /// remove leftovers.
    _lock: File,
}

/// A frame that is being compressed: locked by the thread that does it, which leaves the frame here
/// if others wait for it.
type Flight = Mutex<Option<Vec<u8>>>;

#[derive(Debug, Default)]
struct State {
    /// Total size of all frames known to this conversion (bytes).
    total: u64,
    /// Frames that this conversion has not used yet, the least recently used first.
    unused: BTreeSet<(SystemTime, Key)>,
    /// Time of last use and size (bytes) of each unused frame.
    known: HashMap<Key, (SystemTime, u64)>,
    /// Fingerprint of each codec that was used, see [`Cache::codec_mark`].
    marks: Vec<(Codec, Key)>,
    /// What happened, but for the size.
    usage: CacheUsage,
    /// The first reason why a frame could not be kept.
    fault: Option<String>,
}

impl Cache {
    /// Opens the cache in `dir`, creating the directory if it is missing, and shrinks it to
    /// `max_size` bytes.
    ///
    /// # Errors
    /// A [`Problem`] if the directory cannot be used.
    pub fn open(dir: &Path, max_size: u64) -> Result<Self, Problem> {
        let unusable = |e: io::Error| unusable(dir, &e);
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
                // Left by a conversion that was killed. If it cannot be removed now, the next
                // conversion tries again.
                let _ = std::fs::remove_file(entry.path());
            }
            // Another conversion may have removed it in the meantime.
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
            max_size,
            state: Mutex::new(state),
            flights: Mutex::default(),
            _lock: lock,
        };
        cache.make_room(&mut cache.state(), 0);
        Ok(cache)
    }

    /// Opens the cache of the user who runs this, in `dir`, of at most `max_size` bytes and a part
    /// of the free space. A missing directory is created for that user alone.
    ///
    /// # Errors
    /// A [`Problem`] if the directory cannot be used; if others could put wrong frames into it; if
    /// root would leave files in a directory of someone else, as `sudo` with the home directory of
    /// the user who called it.
    pub fn open_own(dir: &Path, max_size: u64) -> Result<Self, Problem> {
        let unusable_here = |e: io::Error| unusable(dir, &e);
        let user = rustix::process::geteuid();
        let parent = dir.ancestors().find(|dir| dir.exists());
        if let Some(parent) = parent.filter(|_| user.is_root()) {
            let owner = parent.metadata().map_err(unusable_here)?.uid();
            if owner != user.as_raw() {
                let text = format!("root would leave files in a directory of user {owner}");
                return Err(unusable(dir, &text));
            }
        }
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(dir);
        created.map_err(unusable_here)?;
        let metadata = dir.metadata().map_err(unusable_here)?;
        if metadata.uid() != user.as_raw() {
            let text = format!("it belongs to user {}", metadata.uid());
            return Err(unusable(dir, &text));
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            return Err(unusable(dir, &"others can write to it"));
        }
        let free = rustix::fs::statvfs(dir).map_err(|e| unusable(dir, &e))?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        let mut cache = Self::open(dir, max_size)?;
        let share = free.saturating_add(cache.state().total) / FREE_SHARE;
        cache.max_size = max_size.min(share);
        cache.make_room(&mut cache.state(), 0);
        Ok(cache)
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was taken from the cache and added to it since it was opened.
    pub fn usage(&self) -> CacheUsage {
        let state = self.state();
        CacheUsage {
            size: state.total,
            ..state.usage
        }
    }

    /// Puts the frame of `plain`, from the cache or compressed now, in the place of `frame`.
    /// Threads that need the same frame at the same time wait for the first of them. Whether it was
    /// there.
    ///
    /// # Errors
    /// Errors of the compressor.
    pub(crate) fn frame(
        &self,
        codec: Codec,
        plain: &[u8],
        frame: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let key = self.key(codec, plain)?;
        if self.find(&key, frame) {
            self.count_reused(plain);
            return Ok(true);
        }
        let flight = Arc::clone(self.flights().entry(key).or_default());
        let mut made = flight.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have compressed it since.
        if let Some(made) = &*made {
            frame.clone_from(made);
        }
        if made.is_some() || self.find(&key, frame) {
            self.flights().remove(&key);
            self.count_reused(plain);
            return Ok(true);
        }
        codec.compress_verified(plain, frame)?;
        {
            let usage = &mut self.state().usage;
            usage.compressed_frames += 1;
            usage.compressed_bytes += plain.len() as u64;
        }
        if let Err(e) = self.store(&key, frame) {
            self.state().fault.get_or_insert_with(|| e.to_string());
        }
        self.flights().remove(&key);
        if Arc::strong_count(&flight) > 1 {
            *made = Some(frame.clone());
        }
        Ok(false)
    }

    fn count_reused(&self, plain: &[u8]) {
        let usage = &mut self.state().usage;
        usage.reused_frames += 1;
        usage.reused_bytes += plain.len() as u64;
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports how many frames were found, and what went wrong; nothing if none were needed.
    pub fn report_usage(&self, report: &dyn Report) {
        self.report_faults(report);
        let dir = self.dir.display();
        let usage = self.usage();
        let all = usage.reused_frames + usage.compressed_frames;
        if all > 0 {
            report.note(&format!(
                "cache: {} of {all} frames found, {} of {}; {dir} has {} of at most {}",
                usage.reused_frames,
                human(usage.reused_bytes),
                human(usage.reused_bytes + usage.compressed_bytes),
                human(usage.size),
                human(self.max_size)
            ));
        }
    }

    /// Reports what went wrong.
    pub fn report_faults(&self, report: &dyn Report) {
        let dir = self.dir.display();
        if let Some(fault) = &self.state().fault {
            report.warn(&format!("the cache {dir} could not store a frame: {fault}"));
        }
        let usage = self.usage();
        if usage.damaged_frames > 0 {
            report.warn(&format!(
                "{} frames in the cache {dir} were damaged and compressed again",
                usage.damaged_frames
            ));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(hex(key))
    }

    fn key(&self, codec: Codec, plain: &[u8]) -> io::Result<Key> {
        let mark = self.codec_mark(codec)?;
        Ok(digest(&[&mark, &(plain.len() as u64).to_le_bytes(), plain]))
    }

    /// A digest that differs between codecs, levels and versions of compressors: another version
    /// compresses one of these samples, of which one hardly shrinks, to other bytes.
    fn codec_mark(&self, codec: Codec) -> io::Result<Key> {
        if let Some((_, mark)) = self.state().marks.iter().find(|(known, _)| *known == codec) {
            return Ok(*mark);
        }
        let sample: Vec<u8> = (0..40_000_u32)
            .flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes())
            .collect();
        let mut noise = vec![0; 256 << 10];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let name = format!(
            "{} {} {}",
            env!("CARGO_PKG_VERSION"),
            codec.kind(),
            codec.library_level()
        );
        let frames = [codec.compress(&sample)?, codec.compress(&noise)?];
        let mark = digest(&[name.as_bytes(), &frames[0], &frames[1]]);
        self.state().marks.push((codec, mark));
        Ok(mark)
    }

    /// Puts the frame of this key in the place of `frame`, if the cache contains it undamaged.
    fn find(&self, key: &Key, frame: &mut Vec<u8>) -> bool {
        let path = self.path(key);
        let Ok(mut file) = input_file::open(&path) else {
            return false;
        };
        let mut head = [0; HEAD];
        frame.clear();
        let whole = file
            .read_exact(&mut head)
            .and_then(|()| file.read_to_end(frame))
            .is_ok()
            && frame_digest(key, frame) == head;
        let mut state = self.state();
        if let Some((used, len)) = state.known.remove(key) {
            state.unused.remove(&(used, *key));
            if !whole {
                state.total = state.total.saturating_sub(len);
            }
        }
        if !whole {
            state.usage.damaged_frames += 1;
            // It is overwritten next; if it cannot be removed, it is detected again.
            let _ = std::fs::remove_file(&path);
            return false;
        }
        drop(state);
        touch(&file);
        true
    }

    fn store(&self, key: &Key, frame: &[u8]) -> io::Result<()> {
        let len = (HEAD + frame.len()) as u64;
        {
            let mut state = self.state();
            if !self.make_room(&mut state, len) {
                return Ok(());
            }
            state.total += len;
        }
        let written = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&self.dir)
            .and_then(|mut file| {
                file.write_all(&frame_digest(key, frame))?;
                file.write_all(frame)?;
                file.persist(self.path(key)).map(drop).map_err(|e| e.error)
            });
        if written.is_err() {
            let mut state = self.state();
            state.total = state.total.saturating_sub(len);
        }
        written
    }

    /// Removes the least recently used frames until `more` bytes fit; false if they still do not.
    fn make_room(&self, state: &mut State, more: u64) -> bool {
        while state.total.saturating_add(more) > self.max_size {
            let Some((_, key)) = state.unused.pop_first() else {
                return false;
            };
            if let Some((_, len)) = state.known.remove(&key) {
                state.total = state.total.saturating_sub(len);
            }
            // Another conversion may have removed it already.
            let _ = std::fs::remove_file(self.path(&key));
        }
        true
    }
}

fn unusable(dir: &Path, why: &dyn std::fmt::Display) -> Problem {
    Problem::new(format!("the cache {} cannot be used: {why}", dir.display()))
        .hint("choose another directory with --cache, or use none with --no-cache")
}

/// The digest that precedes a frame in its file.
fn frame_digest(key: &Key, frame: &[u8]) -> [u8; HEAD] {
    digest(&[key, frame])
}

/// BLAKE3, which takes a third of the time of SHA-256 (`docs/decisions/0011-cache-keys.md`).
fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Hasher::new();
    parts.iter().for_each(|part| _ = hash.update(part));
    hash.finalize().into()
}

/// Sets the modification time of a file to now. It only orders the frames for removal.
fn touch(file: &File) {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    // Fails in a cache of another user, whose times then stay as they are.
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
