//! What the tests share: finding the strangers that judge our bytes, scratch space, running commands.
#![allow(dead_code)]

use goldsmith::stream::{ReadAt, Source};
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program `name` from PATH or the system directories. Missing: at home `None`, said aloud; in CI a failure.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing; `make setup` installs it");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// An empty directory under `target/` that goes away with the value.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("it-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory")
}

/// Runs a command and returns what it said, whatever its status.
pub(crate) fn run(program: impl AsRef<OsStr>, args: &[&dyn AsRef<OsStr>]) -> Output {
    let program = program.as_ref();
    let args = args.iter().map(AsRef::as_ref);
    Command::new(program).args(args).output().unwrap_or_else(|e| panic!("starting {}: {e}", program.display()))
}

/// Runs a command that must succeed and returns its standard output.
pub(crate) fn must(program: impl AsRef<OsStr>, args: &[&dyn AsRef<OsStr>]) -> String {
    let program = program.as_ref();
    let output = run(program, args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{} failed with {}\n{}{}",
        program.display(),
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Whether this is root, who may mount. Anyone else: at home `false`, said aloud; in CI a failure.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "this test mounts filesystems and needs root");
        eprintln!("SKIPPED: mounting needs root");
    }
    root
}

/// The binary under test.
pub(crate) fn goldsmith() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_goldsmith"))
}

/// A source some of whose bytes cannot be read, as a disk has bad sectors.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) inner: Source,
    pub(crate) bad: Range<u64>,
}

impl ReadAt for Unreadable {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.inner.read_exact_at(offset, buf)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }
}
