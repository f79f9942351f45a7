//! ext4 filesystems that we write, judged by e2fsprogs, the kernel and GRUB.

use crate::support::{must, run, scratch, tool};
use goldsmith::fs::ext4::write::{Error, Image, Journal, Options, minimum_size, write};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{Content, MemSource, ReadAt as _, Run, Source};
use goldsmith::tree::{Dir, Entry, Kind, Leaf, LeafId, Stat, Tree, flags};
use goldsmith::units::{GIB, KIB, MIB};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BLOCK: u64 = 4096;
const TIME: Time = Time { seconds: 1_700_000_000, nanos: 123_456_789 };

fn options() -> Options {
    let mut options = Options::new(Uuid([0x51; 16]), Uuid([0xa7; 16]), TIME);
    options.label = b"root".to_vec();
    options
}

fn stat(mode: u16) -> Stat {
    Stat::root(mode, TIME)
}

fn tree() -> Tree {
    Tree::new(stat(0o755))
}

/// Bytes without a pattern that a mistake in an offset could hide behind.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A content of `len` bytes with data at these ranges (start, length), cut from one source in a different order.
fn sparse(len: u64, ranges: &[(u64, u64)], seed: u64) -> Content {
    let total: u64 = ranges.iter().map(|(_, len)| len + 100).sum();
    let source: Source = Arc::new(MemSource(noise(usize::try_from(total).unwrap(), seed).into()));
    let mut content = Content::hole(0);
    let mut end = total;
    for (start, len) in ranges {
        end -= len + 100;
        content.push(Run { offset: *start, len: *len, source: Arc::clone(&source), source_offset: end });
    }
    content.set_len(len);
    content
}

fn put(tree: &mut Tree, path: &str, kind: Kind) -> LeafId {
    tree.put(path, Leaf { stat: stat(0o644), kind }).unwrap()
}

/// Writes the data of an image to a sparse file.
fn save(image: &Image, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(image.content.len()).unwrap();
    let mut at = 0;
    let mut buf = vec![0; MIB as usize];
    while let Some(range) = image.content.next_data(at).unwrap() {
        at = range.start;
        while at < range.end {
            let part = usize::try_from((range.end - at).min(MIB)).unwrap();
            image.content.read_exact_at(at, &mut buf[..part]).unwrap();
            file.write_all_at(&buf[..part], at).unwrap();
            at += part as u64;
        }
    }
}

/// Writes `tree` into a file of `size` bytes and lets e2fsck judge it.
fn checked(tree: &Tree, size: u64, options: &Options, dir: &Path) -> PathBuf {
    let path = dir.join("fs.img");
    save(&write(tree, size, options).unwrap(), &path);
    clean(&path);
    path
}

/// What e2fsck has to remark beyond its passes and its count.
fn remarks(path: &Path) -> Option<(Option<i32>, Vec<String>)> {
    let output = run(tool("e2fsck")?, &[&"-fn", &path]);
    let text = [output.stderr, output.stdout].concat();
    let usual = |line: &str| {
        line.starts_with("e2fsck 1.") || line.starts_with("Pass ") || line.contains(" files (") && line.ends_with(" blocks")
    };
    let lines = String::from_utf8_lossy(&text).lines().filter(|line| !usual(line)).map(str::to_owned).collect();
    Some((output.status.code(), lines))
}

/// Fails when e2fsck has a remark.
fn clean(path: &Path) {
    if let Some(remarks) = remarks(path) {
        assert_eq!(remarks, (Some(0), Vec::new()), "{}", path.display());
    }
}

/// The answer of debugfs to one request.
fn debugfs(path: &Path, request: &str) -> Option<String> {
    Some(must(tool("debugfs")?, &[&"-R", &request, &path]))
}

/// A mounted image.
struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts `image`; `None` without the right to do so, said aloud.
    fn new(image: &Path, at: &Path, how: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "mounting needs root");
            eprintln!("SKIPPED: mounting needs root");
            return None;
        }
        std::fs::create_dir_all(at).unwrap();
        must("mount", &[&"-o", &format!("loop,{how}"), &image, &at]);
        Some(Self { at: at.to_owned() })
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.at.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        must("umount", &[&self.at]);
    }
}

/// Compares everything below the mount with the tree.
fn compare(mount: &Mount, tree: &Tree) {
    let mut inodes: BTreeMap<LeafId, u64> = BTreeMap::new();
    let mut paths = Vec::new();
    let links = tree.link_counts();
    compare_stat(mount, b"/", &tree.root.stat);
    tree.visit(&mut |path, entry| {
        paths.push(path.to_vec());
        let place = mount.path(path);
        let meta = std::fs::symlink_metadata(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        match entry {
            Entry::Dir(dir) => {
                assert!(meta.is_dir(), "{}", place.display());
                compare_stat(mount, path, &dir.stat);
            }
            Entry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                assert_eq!(*inodes.entry(*id).or_insert(meta.ino()), meta.ino(), "{}", place.display());
                assert_eq!(meta.nlink(), u64::from(links[id]), "{}", place.display());
                compare_leaf(&place, &leaf.kind, &meta);
                compare_stat(mount, path, &leaf.stat);
            }
        }
    });
    assert_eq!(inodes.values().collect::<std::collections::BTreeSet<_>>().len(), inodes.len());
    let mut found = Vec::new();
    list(&mount.at, b"", &mut found);
    if !tree.root.entries.contains_key(b"lost+found".as_slice()) {
        found.retain(|path| path != b"/lost+found");
    }
    paths.sort();
    found.sort();
    assert_eq!(paths, found);
}

fn list(dir: &Path, prefix: &[u8], out: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = [prefix, b"/", entry.file_name().as_bytes()].concat();
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &path, out);
        }
        out.push(path);
    }
}

fn compare_leaf(place: &Path, kind: &Kind, meta: &std::fs::Metadata) {
    let shown = place.display();
    let rdev = |major: u32, minor: u32| rustix::fs::makedev(major, minor);
    match kind {
        Kind::File(content) => {
            assert!(meta.is_file() && meta.len() == content.len(), "{shown}");
            compare_bytes(place, content);
        }
        Kind::Symlink(target) => assert_eq!(std::fs::read_link(place).unwrap().as_os_str().as_bytes(), target, "{shown}"),
        Kind::CharDevice { major, minor } => {
            assert!(meta.file_type().is_char_device() && meta.rdev() == rdev(*major, *minor), "{shown}");
        }
        Kind::BlockDevice { major, minor } => {
            assert!(meta.file_type().is_block_device() && meta.rdev() == rdev(*major, *minor), "{shown}");
        }
        Kind::Fifo => assert!(meta.file_type().is_fifo(), "{shown}"),
        Kind::Socket => assert!(meta.file_type().is_socket(), "{shown}"),
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
        let (mut ours, mut theirs) = (vec![0; (end - start) as usize], vec![1; (end - start) as usize]);
        content.read_exact_at(start, &mut ours).unwrap();
        file.read_exact_at(&mut theirs, start).unwrap();
        assert!(ours == theirs, "{} differs within {start}..{end}", place.display());
        at = end;
    }
    assert_eq!(data, blocks.len() as u64, "blocks of data of {}", place.display());
}

fn compare_stat(mount: &Mount, path: &[u8], stat: &Stat) {
    let place = mount.path(path);
    let shown = place.display();
    let meta = std::fs::symlink_metadata(&place).unwrap();
    assert_eq!(meta.mode() & 0o7777, u32::from(stat.mode), "{shown}");
    assert_eq!((meta.uid(), meta.gid()), (stat.uid, stat.gid), "{shown}");
    let time = |time: Time| (time.seconds, i64::from(time.nanos));
    assert_eq!((meta.mtime(), meta.mtime_nsec()), time(stat.mtime), "{shown}");
    assert_eq!((meta.ctime(), meta.ctime_nsec()), time(stat.ctime), "{shown}");
    assert_eq!((meta.atime(), meta.atime_nsec()), time(stat.atime), "{shown}");
    assert_eq!(xattrs(&place), stat.xattrs, "{shown}");
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(place, &mut names[..]).unwrap();
    let mut out = BTreeMap::new();
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1 << 16];
        let len = rustix::fs::lgetxattr(place, name, &mut value[..]).unwrap();
        out.insert(name.to_vec(), value[..len].to_vec());
    }
    out
}

/// An access control list as `getxattr(2)` gives it: user 1000 may read, the mask allows all.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [(1, 7, !0), (2, 4, 1000), (4, 5, !0), (0x10, 7, !0), (0x20, 4, !0)];
    let mut out = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        out.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        out.extend(id.to_le_bytes());
    }
    out
}

/// A tree with one of everything.
fn motley() -> Tree {
    let mut tree = tree();
    let mut root = stat(0o700);
    root.crtime = None;
    tree.mkdir("/root", &root).unwrap();
    tree.mkdir("/lost+found", &stat(0o700)).unwrap();
    let golden: Source = Arc::new(MemSource(noise(1 << 20, 1).into()));
    for (at, (name, offset, len)) in [("etc/b", 500_000, 70_000), ("etc/a", 4096, 4097), ("usr/c", 100, 12_288)].iter().enumerate()
    {
        let run = Run { offset: 0, len: *len, source: Arc::clone(&golden), source_offset: *offset };
        let mut content = Content::hole(0);
        content.push(run);
        let mut stat = stat(0o4755 - at as u16);
        (stat.uid, stat.gid) = (70_000 + at as u32, 100_000);
        tree.put(format!("/{name}"), Leaf { stat, kind: Kind::File(content) }).unwrap();
    }
    let id = put(&mut tree, "/usr/bin/one", Kind::File(Content::bytes(*b"linked")));
    tree.link("/usr/bin/two", id, &stat(0o755)).unwrap();
    tree.link("/three", id, &stat(0o755)).unwrap();
    for len in [1, 59, 60, 61, 4000, 4095] {
        put(&mut tree, &format!("/links/{len}"), Kind::Symlink(vec![b'x'; len]));
    }
    put(&mut tree, "/dev/null", Kind::CharDevice { major: 1, minor: 3 });
    put(&mut tree, "/dev/big", Kind::CharDevice { major: 4095, minor: 1_048_575 });
    put(&mut tree, "/dev/sda", Kind::BlockDevice { major: 8, minor: 0 });
    put(&mut tree, "/dev/nvme", Kind::BlockDevice { major: 259, minor: 300 });
    put(&mut tree, "/run/fifo", Kind::Fifo);
    put(&mut tree, "/run/socket", Kind::Socket);
    for (name, seconds, nanos) in
        [("1901", -(1i64 << 31), 1), ("1969", -1, 999_999_999), ("2446", 15_032_385_535, 7), ("2038", 1 << 31, 0)]
    {
        let mut stat = stat(0o644);
        (stat.mtime, stat.ctime) = (Time { seconds, nanos }, Time { seconds: seconds / 2, nanos });
        tree.put_file(format!("/times/{name}"), name, stat).unwrap();
    }
    for name in [b"new\nline".to_vec(), vec![0xFF, 0xFE, 0x80], vec![b'n'; 255], "gr\u{f6}\u{df}e".into()] {
        let leaf = tree.add_leaf(Leaf { stat: stat(0o600), kind: Kind::File(Content::bytes(name.clone())) });
        tree.root.entries.insert(name, Entry::Leaf(leaf));
    }
    attributes(&mut tree);
    tree
}

/// Files with extended attributes: in the inode, in a block of their own, in a shared block, in both.
fn attributes(tree: &mut Tree) {
    let capability = vec![1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases: [(&str, &[(&str, Vec<u8>)]); 6] = [
        ("capability", &[("security.capability", capability.clone())]),
        ("acl", &[("system.posix_acl_access", acl())]),
        ("large", &[("user.large", noise(3000, 3)), ("user.z", vec![]), ("security.capability", capability)]),
        ("many", &[("user.b", noise(60, 4)), ("user.a", noise(61, 5)), ("trusted.t", noise(62, 6)), ("user.aa", noise(63, 7))]),
        ("full", &[("user.x", noise(4096 - 32 - 4 - 20, 8))]),
        ("longname", &[("user.0123456789012345678901234567890123456789012345678901234567890123456789", b"v".to_vec())]),
    ];
    for (name, pairs) in cases {
        let mut stat = stat(0o764);
        stat.xattrs = pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
        if name == "acl" {
            // The group bits of a file with a list are its mask.
            stat.mode = 0o774;
        }
        tree.put_file(format!("/attributes/{name}"), name, stat.clone()).unwrap();
        if name == "large" {
            for n in 0..1030 {
                tree.put_file(format!("/attributes/shared/{n}"), "", stat.clone()).unwrap();
            }
        }
    }
    let mut dir = stat(0o775);
    dir.xattrs = [("system.posix_acl_access", acl()), ("system.posix_acl_default", acl())].map(|(n, v)| (n.into(), v)).into();
    tree.mkdir("/attributes/dir", &dir).unwrap();
}

#[test]
fn one_of_everything_as_the_kernel_sees_it() {
    let dir = scratch();
    let tree = motley();
    for csum in [true, false] {
        let mut options = options();
        options.metadata_csum = csum;
        let image = checked(&tree, 64 * MIB, &options, dir.path());
        let Some(mount) = Mount::new(&image, &dir.path().join("mnt"), "ro") else { return };
        compare(&mount, &tree);
    }
}
