//! What the tests share: finding the strangers that judge our bytes, scratch space, running
//! commands.
#![allow(dead_code)]

pub(crate) mod dump;
pub(crate) mod golden;
pub(crate) mod http_server;
pub(crate) mod images;
pub(crate) mod openpgp;
pub(crate) mod qemu;
pub(crate) mod signed_repository;
pub(crate) mod u_boot;
pub(crate) mod unprivileged;

use goldsmith::stream::{ReadAt, Source};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program `name` from PATH or the system directories. Missing: at home `None`, said aloud; in
/// CI a failure.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{name} is missing; `make setup` installs it"
        );
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// An empty directory under `target/` that goes away with the value.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("it-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a scratch directory")
}

/// Runs a command and returns what it said, whatever its status.
pub(crate) fn run(program: impl AsRef<OsStr>, args: &[&dyn AsRef<OsStr>]) -> Output {
    let program = program.as_ref();
    let args = args.iter().map(AsRef::as_ref);
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("starting {}: {e}", program.display()))
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
        assert!(
            std::env::var_os("CI").is_none(),
            "this test mounts filesystems and needs root"
        );
        eprintln!("SKIPPED: mounting needs root");
    }
    root
}

/// The binary under test.
pub(crate) fn goldsmith() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_goldsmith"))
}

/// Bytes without a pattern, always the same.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Writes what has data to a sparse file.
pub(crate) fn save(content: &dyn ReadAt, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(content.len()).unwrap();
    let (mut at, mut buf) = (0, vec![0; 1 << 20]);
    while let Some(range) = content.next_data(at).unwrap() {
        at = range.start;
        while at < range.end {
            let part = (range.end - at).min(1 << 20);
            content
                .read_exact_at(at, &mut buf[..part as usize])
                .unwrap();
            file.write_all_at(&buf[..part as usize], at).unwrap();
            at += part;
        }
    }
}

/// A UEFI program of `len` bytes or more for amd64: headers alone, and GRUB's prefix where one is
/// given (PE Format; include/grub/kernel.h).
pub(crate) fn program(prefix: Option<&str>, len: usize) -> Vec<u8> {
    let mut out = vec![0; 0x200];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0\x64\x86\x01");
    put(0x54, &[240]);
    put(0x58, &[0x0b, 0x02]);
    if let Some(prefix) = prefix {
        let mut mods = b"mimg".to_vec();
        for word in [0_u32, 24, 0, 999, 0, 3, prefix.len() as u32 + 9] {
            mods.extend(word.to_le_bytes());
        }
        mods.extend(prefix.as_bytes());
        mods.push(0);
        put(0x148, b"mods");
        put(0x158, &(mods.len() as u32).to_le_bytes());
        put(0x15c, &0x200_u32.to_le_bytes());
        out.extend(mods);
    }
    // Bytes that do not compress to nothing and leave no holes.
    out.extend((out.len()..len).map(|at| ((at * at) >> 7) as u8 | 1));
    out
}

/// A filesystem in memory at a directory, which only root can mount; it goes away with the value.
pub(crate) struct Memory(pub(crate) PathBuf);

impl Memory {
    /// With these options, such as `size=64K`.
    pub(crate) fn new(at: PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&at).expect("a directory");
        must("mount", &[&"-t", &"tmpfs", &"-o", &options, &"tmpfs", &at]);
        Self(at)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
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
