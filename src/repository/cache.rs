//! A cache of packages, by their digest.
//!
//! ```text
//! DIR/sha256/ab/abcdef...      a package, complete and verified, named by its SHA-256
//! DIR/partial/abcdef...        one that is being fetched, or whose transfer broke off
//! ```
//!
//! A package gets its name when it is complete and has the right digest, so what has a name is
//! right, but for damage by the disk. Whoever fetches holds a lock on the partial file: any number
//! of processes can use one directory at once, and none fetches what another one is fetching.

use super::transport::{Response, Transport, TransportError};
use crate::digest::{Digest, hex};
use crate::problem::Problem;
use crate::report::Report;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Attempts to go on with a file whose transfer breaks off without a single new byte.
const ATTEMPTS: u32 = 3;
/// Attempts to go on with a file, each with some new bytes.
const MAX_ATTEMPTS: u32 = 100;

/// Enough of a file to see that it is a web page (bytes).
const PAGE_BEGIN: u64 = 64;

/// A package to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub url: String,
    /// Length (bytes).
    pub size: u64,
    /// Digest of the whole file.
    pub sha256: Digest,
}

/// What [`PackageCache::fetch`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchSummary {
    /// Number of packages that were there, complete and undamaged.
    pub present: usize,
    /// Number of packages that were fetched.
    pub fetched: usize,
    /// Bytes that came over the network.
    pub bytes: u64,
}

/// Why a package was not fetched.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct FetchError {
    /// URL of the package.
    pub url: String,
    /// Why, with the URL.
    pub problem: FetchProblem,
}

/// Why a package was not fetched. Messages name the URL.
#[derive(Debug, thiserror::Error)]
pub enum FetchProblem {
    /// The repository does not have it.
    #[error("{0}: the repository does not have this version any more")]
    Gone(String),
    /// It cannot be reached.
    #[error("{0}")]
    Transport(TransportError),
    /// The transfer broke off again and again.
    #[error("{url}: the transfer broke off after {got} of {size} bytes: {error}")]
    Broken {
        /// URL of the package.
        url: String,
        /// Bytes that are in the partial file.
        got: u64,
        /// Length of the package (bytes).
        size: u64,
        /// The last error.
        error: io::Error,
    },
    /// It has another length.
    #[error("{url}: it has {found} bytes, and {size} are expected")]
    Size {
        /// URL of the package.
        url: String,
        /// Its length, or how the server calls it.
        found: String,
        /// The expected length (bytes).
        size: u64,
    },
    /// A page for people came instead of it, as networks send that ask for a login.
    #[error("{0}: a web page came instead of the package")]
    WebPage(String),
    /// It has other contents.
    #[error("{url}: its SHA-256 is {}, and {} is expected", hex(.found), hex(.expected))]
    Digest {
        /// URL of the package.
        url: String,
        /// Its digest.
        found: Digest,
        /// The expected digest.
        expected: Digest,
    },
    /// The cache cannot be written.
    #[error("{}: {error}", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl FetchError {
    /// Advice, as an imperative without a final period.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &self.problem {
            FetchProblem::Gone(_) => Some(
                "run `goldsmith lock` to make the lock file anew, with the versions that the \
                 repository has now",
            ),
            FetchProblem::Transport(error) => error.hint(),
            FetchProblem::Broken { .. } => {
                Some("run it again: it goes on where it broke off; or use another mirror")
            }
            FetchProblem::WebPage(_) => Some(
                "the network may ask for a login: open any page in a browser, then try again; or use another mirror",
            ),
            FetchProblem::Size { .. } | FetchProblem::Digest { .. } => Some(
                "something on the way changes files, or the repository has replaced the package: \
                 try again, then use another mirror; `goldsmith lock` makes the lock file anew \
                 from the signed metadata",
            ),
            FetchProblem::Cache { .. } => {
                Some("check the room and the permissions of the directory of the cache")
            }
        }
    }

    /// The error as a problem with its hint.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.to_string());
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// The directory of the cache: `$XDG_CACHE_HOME/goldsmith/packages`, else
/// `~/.cache/goldsmith/packages` (XDG Base Directory Specification). `variable` returns the value
/// of an environment variable. `None` if neither is set to an absolute path.
#[must_use]
pub fn default_cache_dir(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("goldsmith/packages"))
}

/// A directory of packages.
#[derive(Clone, Debug)]
pub struct PackageCache {
    dir: PathBuf,
}

impl PackageCache {
    /// The cache in `dir`. Nothing is read or made yet.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the package with this digest is, if it is in the cache.
    #[must_use]
    pub fn path(&self, sha256: &Digest) -> PathBuf {
        let digits = hex(sha256);
        let first = digits.get(..2).unwrap_or_default();
        self.dir.join("sha256").join(first).join(&digits)
    }

    /// Whether the cache has the package with this digest and length (bytes). Its contents are not
    /// read.
    #[must_use]
    pub fn has(&self, sha256: &Digest, size: u64) -> bool {
        fs::metadata(self.path(sha256)).is_ok_and(|file| file.is_file() && file.len() == size)
    }

    /// Whether the cache has the package undamaged. Reads all of it.
    #[must_use]
    pub fn has_undamaged(&self, sha256: &Digest, size: u64) -> bool {
        let digest = || digest_of(&mut File::open(self.path(sha256))?);
        self.has(sha256, size) && digest().is_ok_and(|found| found == *sha256)
    }

    fn partial(&self, sha256: &Digest) -> PathBuf {
        self.dir.join("partial").join(hex(sha256))
    }

    /// Brings packages into the cache, `jobs` at once (at least one). Those that are there, and
    /// undamaged, are not fetched. Goes on after a failure: all failures are returned together.
    ///
    /// # Errors
    /// A [`FetchError`] for each package that is not in the cache afterwards, in the order of
    /// `downloads`.
    pub fn fetch(
        &self,
        downloads: &[Download],
        transport: &dyn Transport,
        jobs: usize,
        report: &dyn Report,
    ) -> Result<FetchSummary, Vec<FetchError>> {
        let wanted: BTreeMap<Digest, (usize, &Download)> = downloads
            .iter()
            .enumerate()
            .rev()
            .map(|(at, download)| (download.sha256, (at, download)))
            .collect();
        let mut queue: Vec<(usize, &Download)> = wanted.into_values().collect();
        queue.sort_by_key(|(at, _)| *at);
        let total = queue
            .iter()
            .fold(0_u64, |sum, (_, d)| sum.saturating_add(d.size));
        report.step("fetching packages", Some(total));
        let threads = jobs.clamp(1, queue.len().max(1));
        let queue = Mutex::new(VecDeque::from(queue));
        let results = Mutex::new((FetchSummary::default(), BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    // The guard is dropped before the download begins.
                    let next = || locked(&queue).pop_front();
                    while let Some((at, download)) = next() {
                        let mut fetch = Fetch::new(self, download, transport, report);
                        let result = fetch.run();
                        let (summary, errors) = &mut *locked(&results);
                        summary.bytes = summary.bytes.saturating_add(fetch.received);
                        match result {
                            Ok(true) => summary.fetched = summary.fetched.saturating_add(1),
                            Ok(false) => summary.present = summary.present.saturating_add(1),
                            Err(problem) => {
                                let url = download.url.clone();
                                errors.insert(at, FetchError { url, problem });
                            }
                        }
                    }
                });
            }
        });
        let (summary, errors) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        if errors.is_empty() {
            Ok(summary)
        } else {
            Err(errors.into_values().collect())
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file that begins so is HTML, which no package is.
fn is_web_page(begin: &[u8]) -> bool {
    let begin = begin.trim_ascii_start().to_ascii_lowercase();
    [b"<!doctype html".as_slice(), b"<html"]
        .iter()
        .any(|page| begin.starts_with(page))
}

/// The SHA-256 of a file from its start.
fn digest_of(file: &mut File) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 18];
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(buf.get(..read).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// One package on its way into the cache.
struct Fetch<'a> {
    cache: &'a PackageCache,
    download: &'a Download,
    transport: &'a dyn Transport,
    report: &'a dyn Report,
    /// Bytes that came over the network.
    received: u64,
    /// Bytes that were reported as done.
    reported: u64,
}

/// How one transfer ended.
enum Transfer {
    /// The partial file is complete.
    Complete,
    /// It broke off; the partial file may have grown.
    Broken(io::Error),
    /// The partial file was of no use, and is empty now.
    Restart,
}

impl<'a> Fetch<'a> {
    fn new(
        cache: &'a PackageCache,
        download: &'a Download,
        transport: &'a dyn Transport,
        report: &'a dyn Report,
    ) -> Self {
        Self {
            cache,
            download,
            transport,
            report,
            received: 0,
            reported: 0,
        }
    }

    /// Whether the package had to be fetched.
    fn run(&mut self) -> Result<bool, FetchProblem> {
        let result = self.fetch();
        if result.is_ok() {
            self.progress(self.download.size);
        }
        result
    }

    /// Reports that the first `done` bytes of the package are there.
    fn progress(&mut self, done: u64) {
        self.report.advance(done.saturating_sub(self.reported));
        self.reported = self.reported.max(done);
    }

    fn fetch(&mut self) -> Result<bool, FetchProblem> {
        let Download { url, size, sha256 } = self.download;
        if self.cache.has_undamaged(sha256, *size) {
            return Ok(false);
        }
        let Some(mut file) = self.partial()? else {
            return Ok(false);
        };
        let mut resumed = self.length(&file)? > 0;
        let mut best = self.length(&file)?;
        let (mut failures, mut attempts) = (0_u32, 0_u32);
        loop {
            let before = self.length(&file)?;
            match self.transfer(&mut file, before)? {
                Transfer::Restart => {
                    resumed = false;
                    continue;
                }
                Transfer::Broken(error) => {
                    let got = self.length(&file)?;
                    failures = if got > best { 0 } else { failures };
                    failures = failures.saturating_add(1);
                    attempts = attempts.saturating_add(1);
                    best = best.max(got);
                    if failures >= ATTEMPTS || attempts >= MAX_ATTEMPTS {
                        return Err(FetchProblem::Broken {
                            url: url.clone(),
                            got,
                            size: *size,
                            error,
                        });
                    }
                    continue;
                }
                Transfer::Complete => {}
            }
            let found = digest_of(&mut file).map_err(|e| self.unusable(e))?;
            if found == *sha256 {
                self.publish(&file)?;
                return Ok(true);
            }
            self.empty(&file)?;
            if !resumed {
                self.discard();
                return Err(FetchProblem::Digest {
                    url: url.clone(),
                    found,
                    expected: *sha256,
                });
            }
            // What was there from before was wrong. Once more, all of it.
            resumed = false;
        }
    }

    /// The partial file, locked; `None` if another process has completed the package meanwhile.
    fn partial(&self) -> Result<Option<File>, FetchProblem> {
        let Download { size, sha256, .. } = self.download;
        let path = self.cache.partial(sha256);
        let open = || -> io::Result<File> {
            for directory in [path.parent(), self.cache.path(sha256).parent()] {
                fs::create_dir_all(directory.unwrap_or(Path::new(".")))?;
            }
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            // A link would lead the package into another file, and become the entry.
            if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
                fs::remove_file(&path)?;
            }
            let file = options.open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let url = &self.download.url;
                    let what = "waiting for another process, which downloads it";
                    self.report.note(&format!("{url}: {what}"));
                    file.lock()?;
                }
                result => result?,
            }
            Ok(file)
        };
        loop {
            let file = open().map_err(|e| self.unusable(e))?;
            // Whoever had the lock may have renamed or removed the file.
            let ours = file.metadata().map_err(|e| self.unusable(e))?;
            let current = fs::symlink_metadata(&path).ok();
            if current.is_some_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
                if self.cache.has_undamaged(sha256, *size) {
                    self.discard();
                    return Ok(None);
                }
                return Ok(Some(file));
            }
        }
    }

    /// Reads the rest of the package, from offset `before` on, into the partial file.
    fn transfer(&mut self, file: &mut File, before: u64) -> Result<Transfer, FetchProblem> {
        let Download { url, size, .. } = self.download;
        if before > *size {
            self.empty(file)?;
            return Ok(Transfer::Restart);
        }
        if before == *size {
            return Ok(Transfer::Complete);
        }
        // One byte more, to notice more.
        let limit = size.saturating_add(1);
        let mut reply = match self.transport.get(url, before, limit) {
            Ok(reply) => reply,
            Err(TransportError::NotFound { .. }) => return Err(FetchProblem::Gone(url.clone())),
            Err(TransportError::NoSuchRange { .. }) if before > 0 => {
                self.empty(file)?;
                return Ok(Transfer::Restart);
            }
            Err(error) => return Err(FetchProblem::Transport(error)),
        };
        let start = reply.offset;
        if start != before && start != 0 {
            return Err(self.size_differs("other".to_owned()));
        }
        let length = reply.length.map(|length| length.saturating_add(start));
        if let Some(length) = length.filter(|length| length != size) {
            if before > 0 {
                self.empty(file)?;
                return Ok(Transfer::Restart);
            }
            self.discard();
            let mut begin = Vec::new();
            let read = reply.body.by_ref().take(PAGE_BEGIN).read_to_end(&mut begin);
            return Err(match read.is_ok() && is_web_page(&begin) {
                true => FetchProblem::WebPage(url.clone()),
                false => self.size_differs(length.to_string()),
            });
        }
        if start == 0 {
            self.empty(file)?;
        }
        self.receive(file, start, reply)
    }

    fn receive(
        &mut self,
        file: &mut File,
        start: u64,
        mut reply: Response,
    ) -> Result<Transfer, FetchProblem> {
        let size = self.download.size;
        file.seek(SeekFrom::Start(start))
            .map_err(|e| self.unusable(e))?;
        let mut at = start;
        let mut buf = vec![0; 1 << 16];
        loop {
            let read = match reply.body.read(&mut buf) {
                Ok(0) if at == size => return Ok(Transfer::Complete),
                Ok(0) => {
                    let early =
                        io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended it early");
                    return Ok(Transfer::Broken(early));
                }
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Transfer::Broken(e)),
            };
            let bytes = buf.get(..read).unwrap_or_default();
            if at == 0 && is_web_page(bytes) {
                self.discard();
                return Err(FetchProblem::WebPage(self.download.url.clone()));
            }
            let length = u64::try_from(read).unwrap_or(u64::MAX);
            self.received = self.received.saturating_add(length);
            at = at.saturating_add(length);
            if at > size {
                self.empty(file)?;
                if start > 0 {
                    return Ok(Transfer::Restart);
                }
                self.discard();
                return Err(self.size_differs(format!("more than {size}")));
            }
            file.write_all(bytes).map_err(|e| self.unusable(e))?;
            self.progress(at);
        }
    }

    /// Gives the complete and verified file its name.
    fn publish(&self, file: &File) -> Result<(), FetchProblem> {
        let path = self.cache.path(&self.download.sha256);
        file.sync_all()
            .and_then(|()| fs::rename(self.cache.partial(&self.download.sha256), &path))
            .map_err(|error| FetchProblem::Cache { path, error })
    }

    fn empty(&self, file: &File) -> Result<(), FetchProblem> {
        file.set_len(0).map_err(|e| self.unusable(e))
    }

    fn length(&self, file: &File) -> Result<u64, FetchProblem> {
        let metadata = file.metadata().map_err(|e| self.unusable(e))?;
        Ok(metadata.len())
    }

    /// Removes the partial file. If it cannot be removed, the next attempt uses it.
    fn discard(&self) {
        let _ = fs::remove_file(self.cache.partial(&self.download.sha256));
    }

    fn unusable(&self, error: io::Error) -> FetchProblem {
        FetchProblem::Cache {
            path: self.cache.partial(&self.download.sha256),
            error,
        }
    }

    fn size_differs(&self, found: String) -> FetchProblem {
        FetchProblem::Size {
            url: self.download.url.clone(),
            found,
            size: self.download.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::local::LocalFiles;
    use super::*;
    use crate::report::Silent;

    /// Lets go of a lock as soon as somebody is told to wait for it.
    struct Unlocking(Mutex<Option<File>>, Mutex<Vec<String>>);

    impl Report for Unlocking {
        fn step(&self, _: &str, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn warn(&self, _: &str) {}
        fn note(&self, message: &str) {
            locked(&self.1).push(message.to_owned());
            drop(locked(&self.0).take());
        }
    }

    #[test]
    fn a_web_page_in_the_place_of_a_package_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(&dir.path().join("cache"));
        let fetched = |text: &str, size| {
            let path = dir.path().join("page");
            fs::write(&path, text).unwrap();
            let download = Download {
                url: path.display().to_string(),
                size,
                sha256: Sha256::digest("package").into(),
            };
            let error = Fetch::new(&cache, &download, &LocalFiles, &Silent).run();
            assert!(!cache.partial(&download.sha256).exists());
            error.unwrap_err()
        };
        let page = "\n<!DOCTYPE HTML><html>log in</html>";
        for size in [crate::units::len_u64(page.len()), 1000] {
            let error = fetched(page, size);
            assert!(matches!(error, FetchProblem::WebPage(_)), "{error}");
        }
        assert!(matches!(fetched("!<arch>", 7), FetchProblem::Digest { .. }));
        assert!(matches!(fetched("!<arch>", 8), FetchProblem::Size { .. }));
    }

    #[test]
    fn who_waits_for_another_process_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("a.deb");
        fs::write(&package, "content").unwrap();
        let download = Download {
            url: package.display().to_string(),
            size: 7,
            sha256: Sha256::digest("content").into(),
        };
        let cache = PackageCache::open(&dir.path().join("cache"));
        let partial = cache.partial(&download.sha256);
        fs::create_dir_all(partial.parent().unwrap()).unwrap();
        let held = File::create_new(&partial).unwrap();
        held.lock().unwrap();
        let report = Unlocking(Mutex::new(Some(held)), Mutex::default());
        let mut fetch = Fetch::new(&cache, &download, &LocalFiles, &report);
        assert!(fetch.run().unwrap());
        let notes = locked(&report.1);
        let waiting = "waiting for another process, which downloads it";
        let told: Vec<bool> = notes.iter().map(|one| one.ends_with(waiting)).collect();
        assert_eq!(told, [true], "{notes:?}");
        // Without one, nobody waits.
        assert!(
            !Fetch::new(&cache, &download, &LocalFiles, &Silent)
                .run()
                .unwrap()
        );
    }
}
