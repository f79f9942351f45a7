//! A directory of the host as a [`Tree`], for overlays.
//!
//! The same files, checked out on another machine, by another user, on another day, must give the
//! same tree. So everything belongs to root and carries the time that is passed in, and extended
//! attributes are left out. Permission bits are taken as they are: whether a file can be executed
//! is part of what is checked in.

use super::edit::EditError;
use super::{Leaf, LeafKind, Stat, Time, Tree};
use crate::stream::{Content, FileSource, HostFile, ReadAt, Run, Source};

use std::collections::BTreeMap;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use walkdir::{DirEntry, WalkDir};

/// Why a directory could not be taken as a tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is something else.
    #[error("{}: not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// Something that no checkout holds.
    #[error("{}: {what}, where only files, directories and symbolic links can be taken", path.display())]
    Special {
        /// Path of the file on the host.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// The host failed to read a file or directory.
    #[error("reading {}: {source}", path.display())]
    Io {
        /// Path of the file or directory on the host.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// A path that no tree holds.
    #[error(transparent)]
    Tree(#[from] EditError),
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Permission bits of files and directories, by their paths from the current directory: of those
/// that came here through a store of blobs, which keeps at most whether a file can be executed.
///
/// The text has a line for each, the bits in octal, a space and the path, as in `0600 etc/key`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes(BTreeMap<PathBuf, u16>);

impl Modes {
    /// Reads the text.
    ///
    /// # Errors
    /// The first line that is not one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut modes = BTreeMap::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let parts = line.split_once(' ');
            let mode = parts.and_then(|(mode, _)| u16::from_str_radix(mode, 8).ok());
            match (mode, parts) {
                (Some(mode @ 0..=0o7777), Some((_, path))) if !path.is_empty() => {
                    modes.insert(normal(Path::new(path)), mode);
                }
                _ => {
                    return Err(format!(
                        "line {number}: `{line}` is not a mode in octal, a space and a path"
                    ));
                }
            }
        }
        Ok(Self(modes))
    }

    /// The line for one path.
    #[must_use]
    pub fn line(mode: u16, path: &str) -> String {
        format!("{mode:04o} {path}\n")
    }

    /// Gives the files of the overlay `dir` their permission bits, if they are known.
    pub fn apply(&self, dir: &Path, tree: &mut Tree) {
        let dir = normal(dir);
        for (path, mode) in &self.0 {
            if let Ok(below) = path.strip_prefix(&dir)
                && let Some(stat) = tree.stat_mut(below.as_os_str().as_bytes())
            {
                stat.mode = *mode;
            }
        }
    }
}

/// `path` without `.` and, as far as it names what precedes them, `..`.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The files below `dir`, with `dir` as the root.
///
/// Contents are named, not read, yet each file is opened once, so that one that cannot be read is
/// found now. Holes stay holes. Symbolic links are taken as they are, wherever they lead; each name
/// of a file with several becomes a file of its own.
///
/// # Errors
/// [`Error`]; device nodes, pipes and sockets are refused.
pub fn read(dir: &Path, time: Time) -> Result<Tree, Error> {
    let top = std::fs::metadata(dir).map_err(Error::io(dir))?;
    if !top.is_dir() {
        return Err(Error::NotADirectory(dir.to_owned()));
    }
    let mut tree = Tree::new(stat(&top, time));
    for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|e| walk_error(dir, e))?;
        let path = entry.path();
        let below = path
            .strip_prefix(dir)
            .unwrap_or(path)
            .as_os_str()
            .as_bytes();
        let meta = entry.metadata().map_err(|e| walk_error(dir, e))?;
        if meta.is_dir() {
            tree.mkdir(below, &stat(&meta, time))?;
        } else {
            tree.put(below, leaf(&entry, &meta, time)?)?;
        }
    }
    Ok(tree)
}

fn walk_error(dir: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(dir).to_owned();
    Error::Io {
        path,
        source: error
            .into_io_error()
            .unwrap_or_else(|| io::Error::other("a loop of directories")),
    }
}

fn stat(meta: &Metadata, time: Time) -> Stat {
    Stat::root(
        u16::try_from(meta.permissions().mode() & 0o7777).unwrap_or_default(),
        time,
    )
}

fn leaf(entry: &DirEntry, meta: &Metadata, time: Time) -> Result<Leaf, Error> {
    let path = entry.path();
    if meta.is_symlink() {
        let target = std::fs::read_link(path).map_err(Error::io(path))?;
        return Ok(Leaf {
            stat: Stat::root(0o777, time),
            kind: LeafKind::Symlink(target.into_os_string().into_vec()),
        });
    }
    if !meta.is_file() {
        return Err(Error::Special {
            path: path.to_owned(),
            what: special(meta.file_type()),
        });
    }
    let content = content(path).map_err(Error::io(path))?;
    Ok(Leaf {
        stat: stat(meta, time),
        kind: LeafKind::File(content),
    })
}

fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        "of a kind that is not known"
    }
}

/// The data of a file, opened again when it is read.
fn content(path: &Path) -> io::Result<Content> {
    let open = FileSource::open(path)?;
    let source: Source = Arc::new(HostFile::new(path.to_owned(), open.len()));
    let mut content = Content::hole(0);
    let mut at = 0;
    while let Some(data) = open.next_data(at)? {
        let run = Run {
            offset: data.start,
            len: data.end - data.start,
            source: Arc::clone(&source),
            source_offset: data.start,
        };
        at = data.end;
        content.push(run);
    }
    content.set_len(open.len());
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::super::dump::dump;
    use super::super::{DirEntry, Node, show};
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::symlink;

    const TIME: Time = Time {
        seconds: 7,
        nanos: 0,
    };

    fn scratch() -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("host-")
            .tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target")
            .unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn two_checkouts_are_one_tree() {
        let make = |order: &[&str]| {
            let dir = scratch();
            for name in order {
                fs::create_dir_all(dir.path().join("etc")).unwrap();
                fs::write(dir.path().join("etc").join(name), name).unwrap();
                set_mode(&dir.path().join("etc").join(name), 0o640);
            }
            set_mode(&dir.path().join("etc"), 0o755);
            set_mode(dir.path(), 0o755);
            symlink("../../outside", dir.path().join("link")).unwrap();
            fs::hard_link(dir.path().join("etc/a"), dir.path().join("hard")).unwrap();
            dump(&read(dir.path(), TIME).unwrap()).unwrap()
        };
        let text = make(&["a", "b"]);
        assert_eq!(text, make(&["b", "a"]));
        assert!(text.contains("/etc/a file size=1 "), "{text}");
        assert!(
            text.contains("link=/hard mode=0640 owner=0:0 mtime=7.000000000"),
            "{text}"
        );
        assert!(
            text.contains("link=/etc/a "),
            "names are files of their own: {text}"
        );
        assert!(text.contains("/link symlink -> ../../outside "), "{text}");
    }

    #[test]
    fn names_are_bytes_and_holes_stay() {
        let dir = scratch();
        let name = OsStr::from_bytes(b"caf\xe9");
        let file = fs::File::create(dir.path().join(name)).unwrap();
        file.set_len(1 << 20).unwrap();
        let tree = read(dir.path(), TIME).unwrap();
        let Some(Node::Leaf(Leaf {
            kind: LeafKind::File(content),
            ..
        })) = tree.find(b"/caf\xe9")
        else {
            panic!("not there")
        };
        assert_eq!((content.len(), content.data_len()), (1 << 20, 0));
        tree.visit(&mut |path, entry| {
            assert_eq!(
                (show(path), matches!(entry, DirEntry::Leaf(_))),
                ("/caf\\xe9".into(), true)
            )
        });
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let dir = scratch();
        let path = dir.path().join("pipe");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let text = read(dir.path(), TIME).unwrap_err().to_string();
        assert_eq!(
            text,
            format!(
                "{}: a socket, where only files, directories and symbolic links can be taken",
                path.display()
            )
        );
        fs::remove_file(&path).unwrap();
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        for (kind, what) in [
            (FileType::CharacterDevice, "a character device"),
            (FileType::BlockDevice, "a block device"),
        ] {
            // Only root can make one.
            if mknodat(CWD, &path, kind, Mode::RUSR, 0x0103).is_ok() {
                let text = read(dir.path(), TIME).unwrap_err().to_string();
                assert!(
                    text.starts_with(&format!("{}: {what}, where only files", path.display())),
                    "{text}"
                );
                fs::remove_file(&path).unwrap();
            }
        }
        let missing = dir.path().join("missing");
        let text = read(&missing, TIME).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("reading {}: No such file", missing.display())),
            "{text}"
        );
        fs::write(&missing, "").unwrap();
        assert_eq!(
            read(&missing, TIME).unwrap_err().to_string(),
            format!("{}: not a directory", missing.display())
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = scratch();
        let path = dir.path().join("closed");
        fs::write(&path, "x").unwrap();
        set_mode(&path, 0);
        if fs::File::open(&path).is_ok() {
            eprintln!("SKIPPED: this user may read everything");
            return;
        }
        let text = read(dir.path(), TIME).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("reading {}: Permission denied", path.display())),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_shrank_is_noticed() {
        let dir = scratch();
        fs::write(dir.path().join("file"), "twelve bytes").unwrap();
        let tree = read(dir.path(), TIME).unwrap();
        fs::write(dir.path().join("file"), "four").unwrap();
        assert!(tree.read("/file", 100).is_err());
    }
}
