//! The root of a small device as a tree and as a directory, and copies of the directory that share
//! what they do not change.

use crate::support::{must, run, tool};
use goldsmith::dpkg::DefaultFile;
use goldsmith::stream::{Content, HostFile, ReadAt};
use goldsmith::tree::{Leaf, LeafKind, Stat, Time, Tree};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use walkdir::WalkDir;

/// The name of a set, and its package files or what apt says instead.
type Set = (String, Result<Vec<PathBuf>, String>);

/// The root that all sets of a release begin with, and the packages of these sets.
pub(super) struct Root {
    dir: PathBuf,
    /// All sets of this release.
    pub(super) sets: Vec<Set>,
    /// The root as goldsmith is given it.
    pub(super) tree: Tree,
}

impl Root {
    /// The root of `release`, made once, with the packages of `sets`. `None`, said aloud, without
    /// root or the tools.
    pub(super) fn new(release: &str, sets: &[&str]) -> Option<Self> {
        Self::of(release, "amd64", sets)
    }

    /// The same of an architecture, whose programs run by qemu-user if it is a foreign one.
    pub(super) fn of(release: &str, architecture: &str, sets: &[&str]) -> Option<Self> {
        /// One test makes what is missing, the others wait for it.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if !crate::support::root() {
            return None;
        }
        for name in [
            "mmdebstrap",
            "chroot",
            "dpkg-deb",
            "apt-get",
            "unshare",
            "mount",
        ] {
            tool(name)?;
        }
        let emulator = match architecture {
            "arm64" => Some("qemu-aarch64-static"),
            "armhf" => Some("qemu-arm-static"),
            _ => None,
        };
        for name in emulator
            .into_iter()
            .flat_map(|one| [one, "update-binfmts", "arch-test"])
        {
            tool(name)?;
        }
        let release = match emulator {
            Some(_) => format!("{release}-{architecture}"),
            None => release.to_owned(),
        };
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = top.join("target/packages").join(&release);
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&release, &dir];
        arguments.extend(sets.iter().map(|set| set as &dyn AsRef<OsStr>));
        let list = must(top.join("fixtures/package-sets.sh"), &arguments);
        let list = fs::read_to_string(list.trim_end()).expect("the list of sets");
        let base = dir.join("root");
        if !base.is_dir() {
            let part = tempfile::tempdir_in(&dir).expect("a directory").keep();
            let tar = dir.join("root.tar");
            let options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p"];
            let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"-C", &part, &"-xf", &tar];
            arguments.extend(options.iter().map(|option| option as &dyn AsRef<OsStr>));
            must("tar", &arguments);
            fs::rename(part, &base).expect("keeping the root");
        }
        Some(Self {
            sets: list.lines().map(|line| set(&dir, line)).collect(),
            tree: read(&base, None),
            dir,
        })
    }

    /// The directory for what is kept for later runs.
    pub(super) fn kept(&self) -> PathBuf {
        let dir = self.dir.join("kept");
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    /// What tells the root from one that is made another time.
    pub(super) fn stamp(&self) -> String {
        let meta = fs::metadata(self.dir.join("root.tar")).expect("the root");
        format!("{} {}", meta.len(), meta.mtime())
    }

    /// A copy of the root on the host.
    pub(super) fn copy(&self) -> Copy {
        let work = tempfile::tempdir_in(&self.dir).expect("a directory");
        let at = |name: &str| {
            fs::create_dir(work.path().join(name)).expect("a directory");
            work.path().join(name).display().to_string()
        };
        // Hard links stay so when one of them changes; nothing is kept over a crash.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=on,volatile",
            self.dir.join("root").display(),
            at("changed"),
            at("scratch")
        );
        let root = at("root");
        must(
            "mount",
            &[&"-t", &"overlay", &"-o", &options, &"overlay", &root],
        );
        Copy {
            root: PathBuf::from(root),
            work,
        }
    }
}

/// A line of the list: the name of a set and its files.
fn set(dir: &Path, line: &str) -> Set {
    let (name, rest) = line.split_once(' ').expect("a set and its files");
    let files = match rest.strip_prefix("unknown ") {
        Some(said) => Err(said.to_owned()),
        None => Ok(rest
            .split_whitespace()
            .map(|file| dir.join("pool").join(file))
            .collect()),
    };
    (name.to_owned(), files)
}

/// A copy of the root, which goes away with the value.
pub(super) struct Copy {
    /// The directory that is the root.
    pub(super) root: PathBuf,
    work: tempfile::TempDir,
}

impl Drop for Copy {
    fn drop(&mut self) {
        run("umount", &[&"-l", &self.root]);
    }
}

impl Copy {
    /// Runs a command of the copy in it, as when a device is prepared: with `/proc` and the
    /// packages in `/mnt`, without a network and without running services.
    pub(super) fn run(&self, mnt: &Path, command: &[&str]) -> (bool, String) {
        let script = "mount -t proc proc \"$1/proc\" && mount --bind \"$2\" \"$1/mnt\" &&
            hostname -F \"$1/etc/hostname\" && root=$1 && shift 2 && exec chroot \"$root\" \"$@\"";
        let namespaces = ["--mount", "--pid", "--fork", "--net", "--ipc", "--uts"];
        let output = Command::new("unshare")
            .args(namespaces)
            .args(["--kill-child", "sh", "-c", script, "sh"])
            .args([&self.root, mnt])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .expect("unshare");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Puts files into the copy that it must have before packages are configured.
    pub(super) fn put(&self, files: &[DefaultFile]) {
        for file in files {
            let path = self.root.join(file.path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, &file.bytes).expect("a file");
            let mode = fs::Permissions::from_mode(file.mode.into());
            fs::set_permissions(&path, mode).expect("a mode");
        }
    }

    /// The copy as a tree; what did not change is shared with `base`.
    pub(super) fn tree(&self, base: &Root) -> Tree {
        read(
            &self.root,
            Some((&self.work.path().join("changed"), &base.tree)),
        )
    }
}

/// A directory of the host as a tree, with all that belongs to its files. What is not in the first
/// directory of `unchanged` is as in its tree.
fn read(dir: &Path, unchanged: Option<(&Path, &Tree)>) -> Tree {
    let mut tree = Tree::new(stat(dir, &dir.symlink_metadata().expect("a directory")));
    let mut names = BTreeMap::new();
    for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.expect("an entry");
        let meta = entry.path().symlink_metadata().expect("an entry");
        let below = entry.path().strip_prefix(dir).expect("below the root");
        let path = [b"/", below.as_os_str().as_bytes()].concat();
        let stat = stat(entry.path(), &meta);
        if meta.is_dir() {
            tree.mkdir(&path, &stat).expect("a directory");
            continue;
        }
        let inode = (meta.dev(), meta.ino());
        if let Some(id) = names.get(&inode).filter(|_| meta.nlink() > 1) {
            tree.link(&path, *id, &stat).expect("a link");
            continue;
        }
        let old = unchanged
            .filter(|(changed, _)| changed.join(below).symlink_metadata().is_err())
            .and_then(|(_, base)| match base.find_nofollow(&path)? {
                goldsmith::tree::Node::Leaf(leaf) => Some(leaf.kind.clone()),
                goldsmith::tree::Node::Dir(_) => None,
            });
        let kind = old.unwrap_or_else(|| kind(entry.path(), &meta));
        let id = tree.put(&path, Leaf { stat, kind }).expect("a leaf");
        names.insert(inode, id);
    }
    tree
}

fn kind(path: &Path, meta: &fs::Metadata) -> LeafKind {
    let (major, minor) = (
        rustix::fs::major(meta.rdev()),
        rustix::fs::minor(meta.rdev()),
    );
    let kind = meta.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(path).expect("a link");
        LeafKind::Symlink(target.as_os_str().as_bytes().to_vec())
    } else if kind.is_file() {
        let source: Arc<dyn ReadAt> = Arc::new(HostFile::new(path.to_owned(), meta.len()));
        LeafKind::File(Content::whole(source))
    } else if kind.is_char_device() {
        LeafKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        LeafKind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        LeafKind::Fifo
    } else {
        LeafKind::Socket
    }
}

fn stat(path: &Path, meta: &fs::Metadata) -> Stat {
    let time = Time {
        seconds: meta.mtime(),
        nanos: u32::try_from(meta.mtime_nsec()).expect("less than a second"),
    };
    Stat {
        uid: meta.uid(),
        gid: meta.gid(),
        xattrs: xattrs(path),
        ..Stat::root((meta.mode() & 0o7777) as u16, time)
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return BTreeMap::new();
    };
    let names = names[..length].split(|byte| *byte == 0);
    // Those of the overlay are not the files' own.
    names
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..])
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}
