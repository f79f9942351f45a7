//! Files of the host that are read whole: opened so that nothing waits.
//!
//! The name of a pipe opens when somebody writes to it, and some files of `/proc` have a next byte
//! only when something happens. Neither is what a configuration, a key or a package is, so both are
//! errors at once. Images and Artifacts may come through a pipe and are opened elsewhere.

use crate::units::human;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// `O_NONBLOCK`: opening a pipe and reading of `/proc/kmsg` do not wait; regular files are read as
/// ever (`open(2)`).
fn nonblocking() -> i32 {
    let bits = rustix::fs::OFlags::NONBLOCK.bits();
    i32::try_from(bits).unwrap_or_default()
}

/// Opens the regular file at `path`, symlinks followed.
///
/// # Errors
/// I/O errors; anything that is neither a regular file nor a directory, whose reading fails by
/// itself.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nonblocking());
    let file = options.open(path).map_err(|error| match kind(path) {
        // A socket cannot be opened at all.
        Some(kind) => refused(kind),
        None => error,
    })?;
    match name(file.metadata()?.file_type()) {
        Some(kind) => Err(refused(kind)),
        None => Ok(file),
    }
}

/// The bytes of the regular file at `path`, at most `limit` of them: the limit for `kind`, such as
/// `a configuration`.
///
/// # Errors
/// As [`open`]; a file that is larger; one that has bytes only when something happens.
pub fn read(path: &Path, limit: u64, kind: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = open(path)?.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(waiting)?;
    if bytes.len() as u64 > limit {
        let text = format!("it is larger than {}, the limit for {kind}", human(limit));
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// As [`read`], for text in UTF-8.
///
/// # Errors
/// As [`read`]; other bytes.
pub fn read_text(path: &Path, limit: u64, kind: &str) -> io::Result<String> {
    let bytes = read(path, limit, kind)?;
    String::from_utf8(bytes).map_err(|error| {
        let text = format!(
            "not text in UTF-8 from byte {}",
            error.utf8_error().valid_up_to()
        );
        io::Error::new(ErrorKind::InvalidData, text)
    })
}

/// The error of reading, in the words of [`open`] if the file would have to wait.
#[must_use]
pub fn waiting(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => refused("a file whose content has no end"),
        _ => error,
    }
}

fn refused(kind: &str) -> io::Error {
    let text = format!("it is {kind}, not a regular file");
    io::Error::new(ErrorKind::InvalidInput, text)
}

/// What is at `path`, if that cannot be read as a file.
fn kind(path: &Path) -> Option<&'static str> {
    name(std::fs::metadata(path).ok()?.file_type())
}

fn name(kind: FileType) -> Option<&'static str> {
    if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("pipe", &link).unwrap();
        for (path, kind) in [
            (pipe.as_path(), "a pipe"),
            (&link, "a pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read(path, 10, "a key").unwrap_err().to_string();
            assert_eq!(error, format!("it is {kind}, not a regular file"));
        }
        let missing = read(&dir.path().join("none"), 10, "a key").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let directory = read(dir.path(), 10, "a key").unwrap_err();
        assert_eq!(directory.kind(), ErrorKind::IsADirectory);
        // Only root may open it; it has the next message when there is one.
        if let Err(error) = read(Path::new("/proc/kmsg"), u64::MAX - 1, "a key") {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "{error}");
        }
    }

    #[test]
    fn files_are_read_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "caf\u{e9}").unwrap();
        assert_eq!(read(&path, 5, "a key").unwrap().len(), 5);
        assert_eq!(read_text(&path, 9, "a key").unwrap(), "caf\u{e9}");
        let error = read(&path, 4, "a key").unwrap_err().to_string();
        assert_eq!(error, "it is larger than 4 B, the limit for a key");
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = read_text(&path, 4, "a key").unwrap_err().to_string();
        assert_eq!(error, "not text in UTF-8 from byte 2");
    }
}
