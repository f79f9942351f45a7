//! Comparing a filesystem as read back, or as the kernel shows it, with its tree.

use super::*;

/// Compares everything below the mount with the tree.
pub(super) fn compare(mount: &Mount, tree: &Tree) {
    let mut inodes: BTreeMap<LeafId, u64> = BTreeMap::new();
    let mut paths = Vec::new();
    let links = tree.link_counts();
    compare_stat(mount, b"/", &tree.root.stat);
    tree.visit(&mut |path, entry| {
        paths.push(path.to_vec());
        let place = mount.path(path);
        let meta = std::fs::symlink_metadata(&place)
            .unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        match entry {
            DirEntry::Dir(dir) => {
                assert!(meta.is_dir(), "{}", place.display());
                compare_stat(mount, path, &dir.stat);
            }
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                assert_eq!(
                    *inodes.entry(*id).or_insert(meta.ino()),
                    meta.ino(),
                    "{}",
                    place.display()
                );
                assert_eq!(meta.nlink(), u64::from(links[id]), "{}", place.display());
                compare_leaf(&place, &leaf.kind, &meta);
                compare_stat(mount, path, &leaf.stat);
            }
        }
    });
    assert_eq!(
        inodes
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        inodes.len()
    );
    let mut found = Vec::new();
    list(&mount.at, b"", &mut found);
    if !tree.root.entries.contains_key(b"lost+found".as_slice()) {
        found.retain(|path| path != b"/lost+found");
    }
    paths.sort();
    found.sort();
    assert_eq!(paths, found);
}

/// Our own reader and the check that knows neither it nor the writer: the same tree, no finding.
pub(super) fn read_again(image: &Path, tree: &Tree) {
    let source: Source = Arc::new(FileSource::open(image).unwrap());
    let outcome = goldsmith::verify::image(&source, &goldsmith::verify::Request::default());
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    let read = Filesystem::open(source).unwrap().tree().unwrap();
    // Files get names of their content: what is as long as a disk is compared where there is data.
    let (ours, theirs) = (by_path(tree), by_path(&read));
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.keys().collect::<Vec<_>>()
    );
    for (path, entry) in &ours {
        let name = String::from_utf8_lossy(path);
        match (entry, &theirs[path]) {
            (DirEntry::Dir(left), DirEntry::Dir(right)) => {
                assert_eq!(left.stat, right.stat, "{name}")
            }
            (DirEntry::Leaf(left), DirEntry::Leaf(right)) => {
                let (left, right) = (tree.leaf(*left), read.leaf(*right));
                assert_eq!(left.stat, right.stat, "{name}");
                match (&left.kind, &right.kind) {
                    (LeafKind::File(left), LeafKind::File(right)) => same_bytes(left, right, &name),
                    (left, right) => {
                        assert_eq!(format!("{left:?}"), format!("{right:?}"), "{name}")
                    }
                }
            }
            _ => panic!("{name} is another kind"),
        }
    }
}

/// All entries but `lost+found`, which the writer adds.
pub(super) fn by_path(tree: &Tree) -> BTreeMap<Vec<u8>, &DirEntry> {
    let mut out = BTreeMap::new();
    tree.visit(&mut |path, entry| _ = out.insert(path.to_vec(), entry));
    out.remove(&b"/lost+found"[..]);
    out
}

/// Compares two contents wherever one of them has data.
pub(super) fn same_bytes(left: &Content, right: &Content, name: &str) {
    assert_eq!(left.len(), right.len(), "{name}");
    for content in [left, right] {
        let mut at = 0;
        while let Some(range) = content.next_data(at).unwrap() {
            for start in range.clone().step_by(MIB as usize) {
                let len = usize::try_from((range.end - start).min(MIB)).unwrap();
                let mut buf = [vec![0; len], vec![0; len]];
                left.read_exact_at(start, &mut buf[0]).unwrap();
                right.read_exact_at(start, &mut buf[1]).unwrap();
                assert!(
                    buf[0] == buf[1],
                    "{name} differs within 1 MiB from {start} on"
                );
            }
            at = range.end;
        }
    }
}

pub(super) fn list(dir: &Path, prefix: &[u8], out: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = [prefix, b"/", entry.file_name().as_bytes()].concat();
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &path, out);
        }
        out.push(path);
    }
}

fn compare_leaf(place: &Path, kind: &LeafKind, meta: &std::fs::Metadata) {
    let shown = place.display();
    let rdev = |major: u32, minor: u32| rustix::fs::makedev(major, minor);
    match kind {
        LeafKind::File(content) => {
            assert!(meta.is_file() && meta.len() == content.len(), "{shown}");
            compare_bytes(place, content);
        }
        LeafKind::Symlink(target) => assert_eq!(
            std::fs::read_link(place).unwrap().as_os_str().as_bytes(),
            target,
            "{shown}"
        ),
        LeafKind::CharDevice { major, minor } => {
            assert!(
                meta.file_type().is_char_device() && meta.rdev() == rdev(*major, *minor),
                "{shown}"
            );
        }
        LeafKind::BlockDevice { major, minor } => {
            assert!(
                meta.file_type().is_block_device() && meta.rdev() == rdev(*major, *minor),
                "{shown}"
            );
        }
        LeafKind::Fifo => assert!(meta.file_type().is_fifo(), "{shown}"),
        LeafKind::Socket => assert!(meta.file_type().is_socket(), "{shown}"),
    }
}

/// The same bytes where either side has data, and no more data than blocks that runs touch.
fn compare_bytes(place: &Path, content: &Content) {
    use rustix::fs::{SeekFrom, seek};
    let file = File::open(place).unwrap();
    let mut blocks = std::collections::BTreeSet::new();
    for run in content.runs() {
        blocks.extend(run.offset / BLOCK..run.end().div_ceil(BLOCK));
    }
    let mut at = 0;
    let mut data = 0;
    while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
        let end = seek(&file, SeekFrom::Hole(start)).unwrap();
        data += end.div_ceil(BLOCK) - start / BLOCK;
        let (mut ours, mut theirs) = (
            vec![0; (end - start) as usize],
            vec![1; (end - start) as usize],
        );
        content.read_exact_at(start, &mut ours).unwrap();
        file.read_exact_at(&mut theirs, start).unwrap();
        assert!(
            ours == theirs,
            "{} differs within {start}..{end}",
            place.display()
        );
        at = end;
    }
    assert_eq!(
        data,
        blocks.len() as u64,
        "blocks of data of {}",
        place.display()
    );
}

fn compare_stat(mount: &Mount, path: &[u8], stat: &Stat) {
    let place = mount.path(path);
    let shown = place.display();
    let meta = std::fs::symlink_metadata(&place).unwrap();
    assert_eq!(meta.mode() & 0o7777, u32::from(stat.mode), "{shown}");
    assert_eq!((meta.uid(), meta.gid()), (stat.uid, stat.gid), "{shown}");
    let time = |time: Time| (time.seconds, i64::from(time.nanos));
    assert_eq!(
        (meta.mtime(), meta.mtime_nsec()),
        time(stat.mtime),
        "{shown}"
    );
    assert_eq!(
        (meta.ctime(), meta.ctime_nsec()),
        time(stat.ctime),
        "{shown}"
    );
    assert_eq!(
        (meta.atime(), meta.atime_nsec()),
        time(stat.atime),
        "{shown}"
    );
    assert_eq!(xattrs(&place), stat.xattrs, "{shown}");
}

pub(super) fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(place, &mut names[..]).unwrap();
    let mut out = BTreeMap::new();
    for name in names[..len]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 1 << 16];
        let len = rustix::fs::lgetxattr(place, name, &mut value[..]).unwrap();
        out.insert(name.to_vec(), value[..len].to_vec());
    }
    out
}
