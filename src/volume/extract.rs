//! Files of an image as files of the host.

use crate::bytes::is_zero;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Node, Stat, Tree};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Length of one read (bytes).
const PIECE: usize = 1 << 16;

/// Whether files are being copied, for who is interrupted.
pub static EXTRACTING: AtomicBool = AtomicBool::new(false);

/// What was extracted, and what could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files, directories and symbolic links; a file with several names is one.
    pub files: u64,
    /// Devices, pipes and sockets, which were left out.
    pub special: u64,
    /// Files whose owner is not the one who extracts them.
    pub owners: u64,
    /// Files with extended attributes or ACLs, which were left out.
    pub attributes: u64,
    /// Files and directories whose set-user-ID or set-group-ID bit was left out.
    pub set_ids: u64,
}

/// Writes what is at `path` to `target`, which must not exist: a file, or a directory with
/// everything below it. Content, hard links, permission bits and modification times are kept;
/// without privileges, owners, devices and extended attributes cannot be. Set-user-ID and
/// set-group-ID bits are not, since they would be of another owner.
///
/// # Errors
/// Nothing at `path`, or something at `target`; I/O errors. What was written until then stays.
pub fn extract(tree: &Tree, path: &str, target: &Path) -> anyhow::Result<Extracted> {
    // A link that leads nowhere is copied as one.
    let node = tree.find(path).or_else(|| tree.find_nofollow(path));
    let node = node.ok_or_else(|| {
        Problem::new(format!(
            "{path}: no such file or directory in the filesystem"
        ))
    })?;
    if target.symlink_metadata().is_ok() {
        let problem = Problem::new(format!("{} exists; nothing is replaced", target.display()));
        return Err(problem.hint("name another target").into());
    }
    EXTRACTING.store(true, Ordering::Relaxed);
    let mut extraction = Extraction {
        tree,
        own: rustix::process::getuid().as_raw(),
        first: BTreeMap::new(),
        done: Extracted::default(),
    };
    let copied = match node {
        Node::Dir(dir) => extraction.directory(dir, target),
        Node::Leaf(leaf) => extraction.leaf(leaf, target),
    };
    EXTRACTING.store(false, Ordering::Relaxed);
    copied.map_err(|error| match target.is_dir() {
        true => Problem::new(format!("{error:#}"))
            .hint(format!(
                "{} has what was copied until then: remove it before the next attempt",
                target.display()
            ))
            .into(),
        false => error,
    })?;
    if extraction.done.files == 0 {
        let what = "a device, pipe or socket, which only root can make";
        return Err(Problem::new(format!("{path} is {what}")).into());
    }
    Ok(extraction.done)
}

struct Extraction<'t> {
    tree: &'t Tree,
    /// The user ID of this process.
    own: u32,
    /// Where each file was written, for further names of it.
    first: BTreeMap<LeafId, PathBuf>,
    done: Extracted,
}

impl Extraction<'_> {
    fn directory(&mut self, dir: &Dir, target: &Path) -> anyhow::Result<()> {
        let created = DirBuilder::new().mode(0o700).create(target);
        created.with_context(|| format!("creating {}", target.display()))?;
        for (name, entry) in &dir.entries {
            let target = target.join(OsStr::from_bytes(name));
            match entry {
                DirEntry::Dir(dir) => self.directory(dir, &target)?,
                DirEntry::Leaf(id) => match self.first.get(id) {
                    Some(first) => fs::hard_link(first, &target)
                        .with_context(|| format!("linking {}", target.display()))?,
                    None => {
                        self.leaf(self.tree.leaf(*id), &target)?;
                        if target.symlink_metadata().is_ok() {
                            self.first.insert(*id, target);
                        }
                    }
                },
            }
        }
        self.count(&dir.stat);
        let opened = File::open(target).with_context(|| format!("opening {}", target.display()))?;
        finish(&opened, &dir.stat, target)
    }

    fn leaf(&mut self, leaf: &Leaf, target: &Path) -> anyhow::Result<()> {
        match &leaf.kind {
            LeafKind::File(content) => {
                // Nobody else may read it before its mode is set.
                let mut new = File::options();
                let file = new.write(true).create_new(true).mode(0o600).open(target);
                let file = file.with_context(|| format!("creating {}", target.display()))?;
                copy(content, &file).map_err(|error| {
                    // The half of a file would be another one.
                    let _ = fs::remove_file(target);
                    error.context(format!("writing {}", target.display()))
                })?;
                finish(&file, &leaf.stat, target)?;
            }
            LeafKind::Symlink(to) => symlink(OsStr::from_bytes(to), target)
                .with_context(|| format!("creating the link {}", target.display()))?,
            LeafKind::CharDevice { .. }
            | LeafKind::BlockDevice { .. }
            | LeafKind::Fifo
            | LeafKind::Socket => {
                self.done.special = self.done.special.saturating_add(1);
                return Ok(());
            }
        }
        self.count(&leaf.stat);
        Ok(())
    }

    fn count(&mut self, stat: &Stat) {
        let add = |count: &mut u64, yes: bool| *count = count.saturating_add(u64::from(yes));
        add(&mut self.done.files, true);
        add(&mut self.done.owners, stat.uid != self.own);
        add(&mut self.done.attributes, !stat.xattrs.is_empty());
        add(&mut self.done.set_ids, stat.mode & 0o6000 != 0);
    }
}

/// Copies the data to an empty file; holes stay holes, and long zeros become some.
pub(super) fn copy(content: &Content, file: &File) -> anyhow::Result<()> {
    file.set_len(content.len())?;
    let mut buf = vec![0; PIECE];
    for run in content.runs() {
        let mut at = run.offset;
        while at < run.end() {
            let left = usize::try_from(run.end().saturating_sub(at)).unwrap_or(PIECE);
            let piece = buf.get_mut(..left.min(PIECE)).unwrap_or_default();
            content.read_exact_at(at, piece)?;
            if !is_zero(piece) {
                file.write_all_at(piece, at)?;
            }
            at = at.saturating_add(crate::units::len_u64(piece.len()));
        }
    }
    Ok(())
}

/// Sets permission bits, without set-user-ID and set-group-ID, and the modification time.
fn finish(file: &File, stat: &Stat, target: &Path) -> anyhow::Result<()> {
    let setting = || format!("setting mode and time of {}", target.display());
    let mode = u32::from(stat.mode & 0o1777);
    file.set_permissions(Permissions::from_mode(mode))
        .with_context(setting)?;
    let seconds = Duration::from_secs(stat.mtime.seconds.unsigned_abs());
    let time = match stat.mtime.seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
        _ => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    let nanos = Duration::from_nanos(stat.mtime.nanos.into());
    if let Some(time) = time.and_then(|time| time.checked_add(nanos)) {
        file.set_times(FileTimes::new().set_modified(time))
            .with_context(setting)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::Arc;

    fn tree() -> Tree {
        let time = Time {
            seconds: 1_700_000_000,
            nanos: 5,
        };
        let mut tree = Tree::new(Stat::root(0o755, time));
        tree.mkdir("/etc/x", &Stat::root(0o750, time)).unwrap();
        let stat = Stat::root(0o4640, time);
        let id = tree.put_file("/etc/x/a", b"text".to_vec(), stat.clone());
        tree.link("/etc/x/b", id.unwrap(), &stat).unwrap();
        tree.put_symlink("/etc/link", b"../../outside".to_vec(), time)
            .unwrap();
        let kind = LeafKind::Fifo;
        tree.put("/etc/pipe", Leaf { stat, kind }).unwrap();
        tree
    }

    #[test]
    fn files_arrive_with_mode_time_and_hard_links() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let done = extract(&tree(), "/etc", &target).unwrap();
        assert_eq!((done.files, done.special, done.set_ids), (4, 1, 1));
        let a = fs::metadata(target.join("x/a")).unwrap();
        assert_eq!(
            (a.mode() & 0o7777, a.mtime(), a.mtime_nsec()),
            (0o640, 1_700_000_000, 5)
        );
        assert_eq!(a.ino(), fs::metadata(target.join("x/b")).unwrap().ino());
        assert_eq!(
            fs::metadata(target.join("x")).unwrap().mode() & 0o7777,
            0o750
        );
        assert_eq!(fs::read(target.join("x/a")).unwrap(), b"text");
        assert_eq!(
            fs::read_link(target.join("link")).unwrap(),
            Path::new("../../outside")
        );
        assert!(!target.join("pipe").exists());
    }

    #[derive(Debug)]
    struct Unreadable;

    impl crate::stream::ReadAt for Unreadable {
        fn len(&self) -> u64 {
            5
        }

        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::Error::other("torn"))
        }
    }

    #[test]
    fn a_failure_in_the_middle_says_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree();
        let stat = Stat::root(0o644, Time::default());
        let kind = LeafKind::File(Content::whole(Arc::new(Unreadable)));
        tree.put("/etc/z", Leaf { stat, kind }).unwrap();
        let target = dir.path().join("out");
        let error = extract(&tree, "/etc", &target).unwrap_err();
        let problem = error.downcast_ref::<Problem>().unwrap();
        assert!(problem.message.ends_with("out/z: torn"), "{problem}");
        assert!(
            problem.hint.as_ref().unwrap().contains("until then"),
            "{problem}"
        );
        assert!(target.join("x/a").exists() && !target.join("z").exists());
        assert!(!EXTRACTING.load(Ordering::Relaxed));
    }

    #[test]
    fn nothing_is_replaced_and_nothing_invented() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &str, target: &Path| {
            format!("{:#}", extract(&tree(), path, target).unwrap_err())
        };
        assert!(error("/etc", dir.path()).contains("exists; nothing is replaced"));
        let target = dir.path().join("new");
        assert!(error("/gone", &target).contains("/gone: no such file"));
        assert!(!target.exists());
    }
}
