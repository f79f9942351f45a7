//! ext4 filesystems that we write, judged by e2fsprogs, the kernel and GRUB.

use crate::support::{must, noise, run, save, scratch, tool};
use goldsmith::fs::ext4::read::{Filesystem, Info};
use goldsmith::fs::ext4::write::{Error, Journal, Options, minimum_size, write};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{Content, FileSource, MemSource, ReadAt as _, Run, Source};
use goldsmith::tree::dump::dump;
use goldsmith::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Stat, Tree, flags};
use goldsmith::units::{GIB, KIB, MIB};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const BLOCK: u64 = 4096;
const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 123_456_789,
};

pub(crate) fn options() -> Options {
    let mut options = Options::new(Uuid([0x51; 16]), Uuid([0xa7; 16]), TIME);
    options.label = b"root".to_vec();
    options
}

pub(crate) fn stat(mode: u16) -> Stat {
    Stat::root(mode, TIME)
}

pub(crate) fn tree() -> Tree {
    Tree::new(stat(0o755))
}

/// Start and length in bytes.
type Ranges<'r> = &'r [(u64, u64)];

/// A content of `len` bytes with data at these ranges, cut from one source in a different order.
fn sparse(len: u64, ranges: Ranges<'_>, seed: u64) -> Content {
    let total: u64 = ranges.iter().map(|(_, len)| len + 100).sum();
    let source: Source = Arc::new(MemSource(
        noise(usize::try_from(total).unwrap(), seed).into(),
    ));
    let mut content = Content::hole(0);
    let mut end = total;
    for (start, len) in ranges {
        end -= len + 100;
        content.push(Run {
            offset: *start,
            len: *len,
            source: Arc::clone(&source),
            source_offset: end,
        });
    }
    content.set_len(len);
    content
}

pub(crate) fn put(tree: &mut Tree, path: &str, kind: LeafKind) -> LeafId {
    tree.put(
        path,
        Leaf {
            stat: stat(0o644),
            kind,
        },
    )
    .unwrap()
}

/// Writes `tree` into a file of `size` bytes and lets e2fsck judge it.
pub(crate) fn checked(tree: &Tree, size: u64, options: &Options, dir: &Path) -> PathBuf {
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
        line.starts_with("e2fsck 1.")
            || line.starts_with("Pass ")
            || line.contains(" files (") && line.ends_with(" blocks")
    };
    let lines = String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| !usual(line))
        .map(str::to_owned)
        .collect();
    Some((output.status.code(), lines))
}

/// Fails when e2fsck has a remark.
pub(crate) fn clean(path: &Path) {
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
        self.at
            .join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
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
fn read_again(image: &Path, tree: &Tree) {
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
fn by_path(tree: &Tree) -> BTreeMap<Vec<u8>, &DirEntry> {
    let mut out = BTreeMap::new();
    tree.visit(&mut |path, entry| _ = out.insert(path.to_vec(), entry));
    out.remove(&b"/lost+found"[..]);
    out
}

/// Compares two contents wherever one of them has data.
fn same_bytes(left: &Content, right: &Content, name: &str) {
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

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
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

/// An access control list as `getxattr(2)` gives it: user 1000 may read, the mask allows all.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (1, 7, !0),
        (2, 4, 1000),
        (4, 5, !0),
        (0x10, 7, !0),
        (0x20, 4, !0),
    ];
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
    for (at, (name, offset, len)) in [
        ("etc/b", 500_000, 70_000),
        ("etc/a", 4096, 4097),
        ("usr/c", 100, 12_288),
    ]
    .iter()
    .enumerate()
    {
        let run = Run {
            offset: 0,
            len: *len,
            source: Arc::clone(&golden),
            source_offset: *offset,
        };
        let mut content = Content::hole(0);
        content.push(run);
        let mut stat = stat(0o4755 - at as u16);
        (stat.uid, stat.gid) = (70_000 + at as u32, 100_000);
        tree.put(
            format!("/{name}"),
            Leaf {
                stat,
                kind: LeafKind::File(content),
            },
        )
        .unwrap();
    }
    let id = put(
        &mut tree,
        "/usr/bin/one",
        LeafKind::File(Content::bytes(*b"linked")),
    );
    tree.link("/usr/bin/two", id, &stat(0o755)).unwrap();
    tree.link("/three", id, &stat(0o755)).unwrap();
    for len in [1, 59, 60, 61, 4000, 4095] {
        put(
            &mut tree,
            &format!("/links/{len}"),
            LeafKind::Symlink(vec![b'x'; len]),
        );
    }
    put(
        &mut tree,
        "/dev/null",
        LeafKind::CharDevice { major: 1, minor: 3 },
    );
    put(
        &mut tree,
        "/dev/big",
        LeafKind::CharDevice {
            major: 4095,
            minor: 1_048_575,
        },
    );
    put(
        &mut tree,
        "/dev/sda",
        LeafKind::BlockDevice { major: 8, minor: 0 },
    );
    put(
        &mut tree,
        "/dev/nvme",
        LeafKind::BlockDevice {
            major: 259,
            minor: 300,
        },
    );
    put(&mut tree, "/run/fifo", LeafKind::Fifo);
    put(&mut tree, "/run/socket", LeafKind::Socket);
    for (name, seconds, nanos) in [
        ("1901", -(1i64 << 31), 1),
        ("1969", -1, 999_999_999),
        ("2446", 15_032_385_535, 7),
        ("2038", 1 << 31, 0),
    ] {
        let mut stat = stat(0o644);
        (stat.mtime, stat.ctime) = (
            Time { seconds, nanos },
            Time {
                seconds: seconds / 2,
                nanos,
            },
        );
        tree.put_file(format!("/times/{name}"), name, stat).unwrap();
    }
    for name in [
        b"new\nline".to_vec(),
        vec![0xFF, 0xFE, 0x80],
        vec![b'n'; 255],
        "gr\u{f6}\u{df}e".into(),
    ] {
        let leaf = tree.add_leaf(Leaf {
            stat: stat(0o600),
            kind: LeafKind::File(Content::bytes(name.clone())),
        });
        tree.root.entries.insert(name, DirEntry::Leaf(leaf));
    }
    attributes(&mut tree);
    tree
}

/// A name and what goes with it.
type Case<'c, T> = (&'c str, T);

/// Files with extended attributes: in the inode, in a block of their own, in a shared block, in
/// both.
fn attributes(tree: &mut Tree) {
    let capability = vec![
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let cases: [Case<'_, &[Case<'_, Vec<u8>>]>; 7] = [
        ("capability", &[("security.capability", capability.clone())]),
        ("acl", &[("system.posix_acl_access", acl())]),
        (
            "large",
            &[
                ("user.large", noise(3000, 3)),
                ("user.z", vec![]),
                ("security.capability", capability),
            ],
        ),
        (
            "many",
            &[
                ("user.b", noise(60, 4)),
                ("user.a", noise(61, 5)),
                ("trusted.t", noise(62, 6)),
                ("user.aa", noise(63, 7)),
            ],
        ),
        ("full", &[("user.x", noise(4096 - 32 - 4 - 20, 8))]),
        ("high", &[("user.\u{e4}\u{f6}\u{fc}", noise(200, 9))]),
        (
            "longname",
            &[(
                "user.0123456789012345678901234567890123456789012345678901234567890123456789",
                b"v".to_vec(),
            )],
        ),
    ];
    for (name, pairs) in cases {
        let mut stat = stat(0o764);
        stat.xattrs = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.clone()))
            .collect();
        if name == "acl" {
            // The group bits of a file with a list are its mask.
            stat.mode = 0o774;
        }
        tree.put_file(format!("/attributes/{name}"), name, stat.clone())
            .unwrap();
        if name == "large" {
            for n in 0..1030 {
                tree.put_file(format!("/attributes/shared/{n}"), "", stat.clone())
                    .unwrap();
            }
        }
    }
    let mut dir = stat(0o775);
    dir.xattrs = [
        ("system.posix_acl_access", acl()),
        ("system.posix_acl_default", acl()),
    ]
    .map(|(n, v)| (n.into(), v))
    .into();
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
        let Some(mount) = Mount::new(&image, &dir.path().join("mnt"), "ro") else {
            return;
        };
        compare(&mount, &tree);
    }
}

#[test]
fn e2fsck_sees_damage() {
    let dir = scratch();
    let options = options();
    let image = write(&motley(), 64 * MIB, &options).unwrap();
    let path = dir.path().join("fs.img");
    save(&image, &path);
    clean(&path);
    let Some(found) = debugfs(&path, "stat /etc/a") else {
        return;
    };
    let field = |name: &str| {
        let line = debugfs(&path, "imap /etc/a").unwrap();
        let at = line.split(name).nth(1).unwrap().trim();
        at.split([',', ' ', ')']).next().unwrap().to_owned()
    };
    assert!(found.contains("Size: 4097"), "{found}");
    let table = field("located at block").parse::<u64>().unwrap();
    let within = u64::from_str_radix(field("offset").trim_start_matches("0x"), 16).unwrap();
    let bitmap = debugfs(&path, "show_super_stats").unwrap();
    let bitmap = bitmap
        .split("block bitmap at ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap();
    let root = debugfs(&path, "blocks <2>")
        .unwrap()
        .trim()
        .parse::<u64>()
        .unwrap();
    let shared = debugfs(&path, "stat /attributes/large").unwrap();
    let shared = shared
        .split("File ACL: ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap();
    for (what, at) in [
        ("mode", table * BLOCK + within),
        ("extent", table * BLOCK + within + 40 + 20),
        ("bitmap", bitmap * BLOCK + 100),
        ("root", root * BLOCK + 40),
        ("attributes", shared * BLOCK + 40),
        ("superblock", 1024 + 0x78),
    ] {
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x11], at).unwrap();
        let Some((status, lines)) = remarks(&path) else {
            return;
        };
        assert!(
            status != Some(0) && !lines.is_empty(),
            "damage to {what} passed"
        );
        file.write_all_at(&byte, at).unwrap();
    }
    clean(&path);
}

fn info(image: &Content) -> Info {
    Filesystem::open(Arc::new(image.clone())).unwrap().info()
}

/// Blocks of the journal, by the copy of its inode in the superblock (`s_jnl_blocks[16]`, the low
/// half of the size).
fn journal_blocks(image: &Content) -> u32 {
    let mut size = [0; 4];
    image.read_exact_at(1024 + 0x14C, &mut size).unwrap();
    u32::from_le_bytes(size) / 4096
}

#[test]
fn dumpe2fs_reads_what_was_asked_for() {
    let dir = scratch();
    let Some(dumpe2fs) = tool("dumpe2fs") else {
        return;
    };
    let mut options = options();
    options.last_mounted = b"/".to_vec();
    options.reserved_percent = 3;
    let image = write(&motley(), 2 * GIB, &options).unwrap();
    let path = dir.path().join("fs.img");
    save(&image, &path);
    let text = must(dumpe2fs, &[&path]);
    let field = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("{name} in\n{text}"))
            .split_once(':')
            .unwrap()
            .1
            .trim()
            .to_owned()
    };
    let info = info(&image);
    let features = "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file \
                    dir_nlink extra_isize metadata_csum";
    for (name, value) in [
        ("Filesystem features", features.to_owned()),
        ("Filesystem flags", "unsigned_directory_hash".into()),
        ("Filesystem volume name", "root".into()),
        ("Last mounted on", "/".into()),
        ("Filesystem UUID", options.uuid.to_string()),
        ("Directory Hash Seed", options.hash_seed.to_string()),
        ("Filesystem state", "clean".into()),
        ("Block count", (2 * GIB / BLOCK).to_string()),
        ("Free blocks", info.free_blocks.to_string()),
        ("Inode count", info.inodes.to_string()),
        ("Free inodes", info.free_inodes.to_string()),
        (
            "Reserved block count",
            (2 * GIB / BLOCK * 3 / 100).to_string(),
        ),
        ("Reserved GDT blocks", "255".into()),
        ("Overhead clusters", "26150".into()),
        ("Default mount options", "user_xattr acl".into()),
        ("Inode size", "256".into()),
        ("Journal backup", "inode blocks".into()),
        ("Total journal blocks", "16384".into()),
        ("Journal start", "0".into()),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
    assert!(
        field("Filesystem created").starts_with("Tue Nov 14"),
        "{text}"
    );
    assert!(
        text.contains("Group 1: (Blocks 32768-65535) csum")
            && text.contains("[INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]")
    );
    options.metadata_csum = false;
    save(&write(&motley(), 300 * MIB, &options).unwrap(), &path);
    let text = must(tool("dumpe2fs").unwrap(), &[&path]);
    assert!(
        !text.contains("_csum") && !text.contains("UNINIT") && !text.contains("Checksum"),
        "{text}"
    );
    clean(&path);
}

/// Sizes around the tiers of `mke2fs`, short last groups, one and many groups.
#[test]
fn sizes_from_tiny_to_large() {
    let dir = scratch();
    let mut small = tree();
    small
        .put_file("/etc/hostname", "golden", stat(0o644))
        .unwrap();
    let sizes = [
        256 * KIB,
        MIB,
        8 * MIB - BLOCK,
        8 * MIB,
        16 * MIB,
        128 * MIB,
        129 * MIB + 5,
        131 * MIB,
        900 * MIB,
        5 * GIB,
        40 * GIB,
    ];
    for (at, size) in sizes.into_iter().enumerate() {
        let mut options = options();
        options.metadata_csum = at % 3 != 1;
        options.spare_inodes = 4;
        let image = write(&small, size, &options).unwrap();
        assert_eq!(image.len(), size);
        assert_eq!(journal_blocks(&image) > 0, size >= 8 * MIB);
        let path = dir.path().join("fs.img");
        save(&image, &path);
        clean(&path);
        if at % 4 == 1 {
            let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") else {
                continue;
            };
            compare(&mount, &small);
        }
    }
    // Inode tables of a flex group that fill more than its first group.
    let dense = Options {
        inode_ratio: 1024,
        ..options()
    };
    assert_eq!(
        info(&write(&small, 9 * GIB, &dense).unwrap()).inodes,
        72 * 32768
    );
    checked(&small, 9 * GIB, &dense, dir.path());
    for (journal, blocks) in [(Journal::Off, 0), (Journal::Blocks(2000), 2000)] {
        let options = Options {
            journal,
            ..options()
        };
        assert_eq!(
            journal_blocks(&write(&small, 64 * MIB, &options).unwrap()),
            blocks
        );
        checked(&small, 64 * MIB, &options, dir.path());
    }
}

/// Creates and deletes thousands of files on a mounted image.
fn live(mount: &Mount) {
    let base = mount.path(b"/live");
    std::fs::create_dir(&base).unwrap();
    for n in 0..3000 {
        std::fs::write(base.join(format!("file-{n}")), vec![b'x'; n * 7]).unwrap();
    }
    for n in (0..3000).step_by(3) {
        std::fs::remove_file(base.join(format!("file-{n}"))).unwrap();
    }
    // A directory of ours grows and shrinks under its index too.
    for n in 0..2000 {
        std::fs::write(mount.path(b"/many").join(format!("added-{n}")), b"").unwrap();
        std::fs::remove_file(mount.path(b"/many").join(format!("{n:06}"))).unwrap();
    }
    std::fs::write(mount.path(b"/many/000000"), b"again").unwrap();
}

#[test]
fn the_kernel_writes_into_it() {
    let dir = scratch();
    let mut tree = motley();
    for n in 0..4000 {
        tree.put_file(format!("/many/{n:06}"), "", stat(0o644))
            .unwrap();
    }
    for csum in [true, false] {
        let options = Options {
            metadata_csum: csum,
            ..options()
        };
        let path = checked(&tree, 200 * MIB, &options, dir.path());
        {
            let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "rw") else {
                return;
            };
            live(&mount);
        }
        clean(&path);
    }
}

#[test]
fn resize2fs_grows_it() {
    let dir = scratch();
    let Some(resize2fs) = tool("resize2fs") else {
        return;
    };
    let tree = motley();
    let cases = [
        (24 * MIB, 64 * MIB),
        (64 * MIB, 700 * MIB),
        (200 * MIB, 3 * GIB),
        (2 * GIB, 20 * GIB),
        (2 * GIB, 2 * GIB + 140 * MIB),
    ];
    for (at, (from, to)) in cases.into_iter().enumerate() {
        let options = Options {
            metadata_csum: at != 1,
            ..options()
        };
        let path = checked(&tree, from, &options, dir.path());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(to)
            .unwrap();
        must(&resize2fs, &[&path]);
        clean(&path);
        let text = must(tool("dumpe2fs").unwrap(), &[&"-h", &path]);
        assert!(
            !text.contains("meta_bg") && text.contains("resize_inode"),
            "{text}"
        );
        assert!(
            text.contains(&format!("Block count:              {}\n", to / BLOCK)),
            "{text}"
        );
        let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") else {
            continue;
        };
        compare(&mount, &tree);
    }
}

/// The kernel demands of the resize inode, when it grows a mounted filesystem, exactly the form
/// that `mke2fs` gives it.
#[test]
fn the_resize_inode_is_that_of_mke2fs() {
    let dir = scratch();
    let Some(mke2fs) = tool("mke2fs") else { return };
    // Without the number of the double indirect block, which may lie anywhere.
    let blocks = |path: &Path| {
        let text = debugfs(path, "stat <7>").unwrap();
        let (size, blocks) = (text.find("Size: ").unwrap(), text.find("(DIND):").unwrap());
        let count = text.find("Blockcount: ").unwrap();
        let line = |at: usize| text[at..].lines().next().unwrap().to_owned();
        (
            line(size),
            line(count),
            line(blocks)
                .split_once(", ")
                .map(|(_, rest)| rest.to_owned()),
        )
    };
    for size in [16 * MIB, 512 * MIB, 2 * GIB, 20 * GIB] {
        let ours = checked(&tree(), size, &options(), dir.path());
        let theirs = dir.path().join("theirs.img");
        File::create(&theirs).unwrap().set_len(size).unwrap();
        must(
            &mke2fs,
            &[
                &"-q", &"-t", &"ext4", &"-b", &"4096", &"-I", &"256", &"-i", &"16384", &theirs,
            ],
        );
        assert_eq!(blocks(&ours), blocks(&theirs), "{size}");
    }
}

#[test]
fn grub_reads_it() {
    let dir = scratch();
    let Some(grub) = tool("grub-fstest") else {
        return;
    };
    let mut tree = motley();
    for n in 0..5000 {
        tree.put_file(format!("/boot/many/{n:0200}"), n.to_string(), stat(0o644))
            .unwrap();
    }
    let pieces: Vec<_> = (0..600).map(|n| (n * 3 * BLOCK, BLOCK)).collect();
    put(
        &mut tree,
        "/boot/vmlinuz",
        LeafKind::File(Content::bytes(noise(9_000_001, 9))),
    );
    put(
        &mut tree,
        "/boot/pieces",
        LeafKind::File(sparse(2000 * BLOCK, &pieces, 10)),
    );
    put(
        &mut tree,
        "/boot/link",
        LeafKind::Symlink(b"vmlinuz".to_vec()),
    );
    let path = checked(&tree, 300 * MIB, &options(), dir.path());
    let out = dir.path().join("out");
    for name in ["vmlinuz", "pieces", "link", &format!("many/{:0200}", 4999)] {
        must(
            &grub,
            &[&path, &"cp", &format!("(loop0)/boot/{name}"), &out],
        );
        let content = tree.file(format!("/boot/{name}")).unwrap();
        assert!(
            std::fs::read(&out).unwrap() == content.read_all(GIB).unwrap(),
            "{name}"
        );
    }
}

/// Lengths, numbers of extents, holes: what the table of edges says.
#[test]
fn edges_of_files() {
    let dir = scratch();
    let mut tree = tree();
    for len in [0, 1, 4095, 4096, 4097, 1 << 20] {
        put(
            &mut tree,
            &format!("/length/{len}"),
            LeafKind::File(Content::bytes(noise(len, 11))),
        );
    }
    for extents in [1, 4, 5, 340, 341, 1360, 1361, 2000] {
        let pieces: Vec<_> = (0..extents).map(|n| (n * 2 * BLOCK + 17, 1000)).collect();
        put(
            &mut tree,
            &format!("/extents/{extents}"),
            LeafKind::File(sparse(extents * 2 * BLOCK, &pieces, 12)),
        );
    }
    let holes: [(&str, u64, Ranges<'_>); 8] = [
        ("begin", 5 * BLOCK, &[(3 * BLOCK, 2 * BLOCK)]),
        ("middle", 5 * BLOCK, &[(0, BLOCK), (3 * BLOCK, 2 * BLOCK)]),
        ("end", 50 * BLOCK + 3, &[(0, BLOCK)]),
        ("all", 50 * BLOCK + 3, &[]),
        (
            "within-block",
            3 * BLOCK,
            &[(10, 5), (100, 7), (4000, 200), (BLOCK + 1000, 1)],
        ),
        ("beyond-4-gib", 5 * GIB + 1, &[(0, 10), (5 * GIB, 1)]),
        ("beyond-8-tib", 9 << 40, &[(8 << 40, 10)]),
        (
            "longest",
            (u64::from(u32::MAX)) * BLOCK,
            &[(0, 10), (u64::from(u32::MAX - 1) * BLOCK, BLOCK)],
        ),
    ];
    for (name, len, pieces) in holes {
        put(
            &mut tree,
            &format!("/holes/{name}"),
            LeafKind::File(sparse(len, pieces, 13)),
        );
    }
    // Long enough to be split by the copies of the superblock and by the longest extent: 400 MiB of
    // one small source each.
    let chunk: Source = Arc::new(MemSource(noise(MIB as usize, 14).into()));
    let mut long = Content::hole(0);
    for n in 0..400 {
        long.push(Run {
            offset: n * MIB,
            len: MIB,
            source: Arc::clone(&chunk),
            source_offset: 0,
        });
    }
    put(&mut tree, "/long", LeafKind::File(long));
    let path = checked(&tree, GIB, &options(), dir.path());
    read_again(&path, &tree);
    for name in [
        "/length/4097",
        "/extents/4",
        "/extents/5",
        "/extents/340",
        "/extents/341",
        "/extents/1361",
        "/holes/within-block",
    ] {
        let out = dir.path().join("dumped");
        if debugfs(&path, &format!("dump {name} {}", out.display())).is_some() {
            assert!(
                std::fs::read(&out).unwrap() == tree.file(name).unwrap().read_all(GIB).unwrap(),
                "{name} by debugfs"
            );
        }
    }
    let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") else {
        return;
    };
    compare(&mount, &tree);
}

/// Names of all lengths up to 255 bytes and with bytes of all values, so that two levels of index
/// and unsigned hashes are needed.
fn long_name(n: usize) -> Vec<u8> {
    let len = if n.is_multiple_of(3) {
        255
    } else {
        20 + n % 200
    };
    let mut name = format!("{n:0len$}").into_bytes();
    name[0] = 0x80 + u8::try_from(n % 128).unwrap();
    name
}

#[test]
fn edges_of_directories_and_links() {
    let dir = scratch();
    let mut tree = tree();
    let empty = tree.add_leaf(Leaf {
        stat: stat(0o644),
        kind: LeafKind::File(Content::bytes(*b"one")),
    });
    let mut many = Dir::new(stat(0o755));
    for n in 0..100_000 {
        let leaf = if n < 65_000 {
            empty
        } else {
            tree.add_leaf(Leaf {
                stat: stat(0o600),
                kind: LeafKind::Fifo,
            })
        };
        many.entries.insert(long_name(n), DirEntry::Leaf(leaf));
    }
    let mut wide = Dir::new(stat(0o755));
    for n in 0..65_010 {
        wide.entries
            .insert(format!("{n}").into_bytes(), Dir::new(stat(0o711)).into());
    }
    tree.root.entries.insert(b"many".to_vec(), many.into());
    tree.root.entries.insert(b"wide".to_vec(), wide.into());
    let mut deep = String::new();
    (0..500).for_each(|n| deep += &format!("/{n}"));
    tree.put_file(&deep, "deep", stat(0o644)).unwrap();
    let path = checked(&tree, GIB, &options(), dir.path());
    read_again(&path, &tree);
    if let Some(text) = debugfs(&path, "stat /wide") {
        assert!(text.contains("Links: 1 "), "{text}");
        assert!(
            debugfs(&path, "htree_dump /many")
                .unwrap()
                .contains("Indirect levels: 1")
        );
    }
    if let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") {
        for n in (0..100_000).step_by(7) {
            let meta =
                std::fs::symlink_metadata(mount.path(&[b"/many/", &long_name(n)[..]].concat()))
                    .unwrap();
            assert_eq!(meta.nlink(), if n < 65_000 { 65_000 } else { 1 });
        }
        assert_eq!(
            std::fs::read_dir(mount.path(b"/many")).unwrap().count(),
            100_000
        );
        assert_eq!(
            std::fs::read_dir(mount.path(b"/wide")).unwrap().count(),
            65_010
        );
    }
    tree.link("/one-too-many", empty, &stat(0o755)).unwrap();
    let error = write(&tree, GIB, &options()).unwrap_err();
    assert!(
        matches!(&error, Error::Links { links: 65_001, max: 65_000, path } if path.starts_with("/many/")),
        "{error}"
    );
}

#[test]
fn the_smallest_size_is_enough_and_less_is_not() {
    let dir = scratch();
    let mut trees = vec![tree(), motley()];
    for (files, len) in [
        (10, 3 * MIB),
        (3000, 5000),
        (1, 120 * MIB),
        (40_000, 0),
        (7, 150 * MIB),
    ] {
        let chunk: Source = Arc::new(MemSource(noise(MIB as usize, 15).into()));
        let mut tree = tree();
        for n in 0..files {
            let mut content = Content::hole(0);
            for at in (0..len).step_by(MIB as usize) {
                content.push(Run {
                    offset: at,
                    len: (len - at).min(MIB),
                    source: Arc::clone(&chunk),
                    source_offset: 0,
                });
            }
            put(
                &mut tree,
                &format!("/{}/{n}", n % 50),
                LeafKind::File(content),
            );
        }
        trees.push(tree);
    }
    for (at, tree) in trees.iter().enumerate() {
        for csum in [true, false] {
            let options = Options {
                metadata_csum: csum,
                spare_inodes: 0,
                ..options()
            };
            let size = minimum_size(tree, &options).unwrap();
            let image = write(tree, size, &options).unwrap();
            if csum && at != 6 {
                checked(tree, size, &options, dir.path());
            }
            let info = info(&image);
            assert!(
                info.free_blocks < 64 || info.blocks > size / BLOCK - 2000,
                "{info:?}"
            );
            let smaller = write(tree, size - BLOCK, &options).unwrap_err();
            assert!(
                matches!(smaller, Error::NoSpace { smallest, .. } if smallest == size),
                "{smaller}"
            );
            for more in [1, 2, 3, 17, 400, 1000, 5000, 40_000, 300_000] {
                assert!(
                    write(tree, size + more * BLOCK, &options).is_ok(),
                    "{size} and {more} blocks"
                );
            }
        }
    }
}

/// What we write, our own reader gives back.
#[test]
fn what_is_written_is_read() {
    let mut tree = motley();
    tree.put_file("/crowd/first", "1", stat(0o644)).unwrap();
    for n in 0..3000 {
        tree.put_file(format!("/crowd/{n:050}"), n.to_string(), stat(0o644))
            .unwrap();
    }
    let pieces: Vec<_> = (0..2000).map(|n| (n * 2 * BLOCK + 17, 1000)).collect();
    put(
        &mut tree,
        "/pieces",
        LeafKind::File(sparse(GIB / 8, &pieces, 12)),
    );
    for metadata_csum in [true, false] {
        let options = Options {
            metadata_csum,
            ..options()
        };
        let image = write(&tree, 100 * MIB, &options).unwrap();
        let read = Filesystem::open(Arc::new(image)).unwrap().tree().unwrap();
        assert_eq!(dump(&read).unwrap(), dump(&tree).unwrap());
    }
}

/// The comparison above has something to find.
#[test]
fn what_is_read_again_differently_is_seen() {
    let dir = scratch();
    let mut tree = tree();
    put(
        &mut tree,
        "/file",
        LeafKind::File(sparse(20 * BLOCK, &[(5 * BLOCK, 2 * BLOCK)], 31)),
    );
    let path = checked(&tree, 16 * MIB, &options(), dir.path());
    read_again(&path, &tree);
    let seen = |tree: &Tree| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_again(&path, tree))).is_err()
    };
    for pieces in [
        &[(5 * BLOCK, 2 * BLOCK), (9 * BLOCK, 1)][..],
        &[(5 * BLOCK, 2 * BLOCK - 1)],
        &[],
    ] {
        let mut other = crate::formats::ext4_write::tree();
        put(
            &mut other,
            "/file",
            LeafKind::File(sparse(20 * BLOCK, pieces, 31)),
        );
        assert!(seen(&other), "{pieces:?}");
    }
    tree.stat_mut("/file").unwrap().uid = 1;
    assert!(seen(&tree));
}

#[test]
fn same_tree_same_bytes() {
    let digest = |tree: &Tree| {
        use sha2::Digest as _;
        let image = write(tree, 100 * MIB, &options()).unwrap();
        sha2::Sha256::digest(image.read_all(GIB).unwrap())
    };
    assert_eq!(digest(&motley()), digest(&motley()));
    let mut other = motley();
    other.stat_mut("/etc").unwrap().mode = 0o700;
    assert_ne!(digest(&motley()), digest(&other));
}

/// Files of one source lie in the order of that source, without gaps, however they are named; the
/// rest follows by path.
#[test]
fn files_lie_in_the_order_of_their_source() {
    let golden: Source = Arc::new(MemSource(noise(1 << 20, 20).into()));
    let mut tree = tree();
    put(
        &mut tree,
        "/a-of-ours",
        LeafKind::File(Content::bytes(*b"first by name")),
    );
    for n in 0..100u64 {
        let mut content = Content::hole(0);
        content.push(Run {
            offset: 0,
            len: 8192,
            source: Arc::clone(&golden),
            source_offset: (n * 37 % 100) * 8192,
        });
        put(&mut tree, &format!("/{n}"), LeafKind::File(content));
    }
    let image = write(&tree, 64 * MIB, &options()).unwrap();
    let runs: Vec<_> = image
        .runs()
        .iter()
        .filter(|run| run.len >= 8192 && run.source.len() == 1 << 20)
        .collect();
    assert_eq!(
        (runs.len(), runs[0].source_offset, runs[0].len),
        (1, 0, 100 * 8192)
    );
    let ours = image.runs().iter().find(|run| run.len == 13).unwrap();
    assert_eq!(ours.offset, runs[0].end());
}

#[test]
fn what_ext4_cannot_hold_is_said() {
    type Edit = fn(&mut Tree);
    let bad_time = |tree: &mut Tree| tree.stat_mut("/f").unwrap().mtime.seconds = 15_032_385_536;
    let long_attribute = |tree: &mut Tree| {
        tree.stat_mut("/f")
            .unwrap()
            .xattrs
            .insert(b"user.x".to_vec(), vec![0; 5000]);
    };
    let cases: [(&str, Edit); 12] = [
        (
            "/f: modification of 15032385536 s and 123456789 ns cannot be stored",
            bad_time,
        ),
        ("/f: access of 0 s and 1000000000 ns cannot", |t| {
            t.stat_mut("/f").unwrap().atime = Time {
                seconds: 0,
                nanos: 1_000_000_000,
            }
        }),
        (
            "/f: extended attributes that do not fit beside the inode need 5056 bytes where a block has 4096",
            long_attribute,
        ),
        ("/f: extended attribute `nonsense` has no place", |t| {
            t.stat_mut("/f")
                .unwrap()
                .xattrs
                .insert(b"nonsense".to_vec(), vec![]);
        }),
        (
            "/f: system.posix_acl_access of 5 bytes is no access control list",
            |t| {
                t.stat_mut("/f")
                    .unwrap()
                    .xattrs
                    .insert(b"system.posix_acl_access".to_vec(), vec![2; 5]);
            },
        ),
        ("/l: a symlink target of 4096 bytes", |t| {
            _ = put(t, "/l", LeafKind::Symlink(vec![b'x'; 4096]))
        }),
        ("/l: a symlink target of 0 bytes", |t| {
            _ = put(t, "/l", LeafKind::Symlink(vec![]))
        }),
        ("/d: device numbers 4096:0 exceed", |t| {
            _ = put(
                t,
                "/d",
                LeafKind::CharDevice {
                    major: 4096,
                    minor: 0,
                },
            )
        }),
        ("/d: device numbers 0:1048576 exceed", |t| {
            _ = put(
                t,
                "/d",
                LeafKind::BlockDevice {
                    major: 0,
                    minor: 1 << 20,
                },
            )
        }),
        (
            "/long: a length of 17592186040321 bytes exceeds 17592186040320",
            |t| {
                put(
                    t,
                    "/long",
                    LeafKind::File(Content::hole(u64::from(u32::MAX) * 4096 + 1)),
                );
            },
        ),
        ("/d/a/b: a name of 3 bytes", |t| {
            t.mkdir("/d", &stat(0o755)).unwrap();
            let Some(DirEntry::Dir(dir)) = t.root.entries.get_mut(b"d".as_slice()) else {
                panic!()
            };
            std::sync::Arc::make_mut(dir)
                .entries
                .insert(b"a/b".to_vec(), Dir::new(stat(0o755)).into());
        }),
        ("/lost+found: is not a directory", |t| {
            _ = t.put_file("/lost+found", "", stat(0o644)).unwrap()
        }),
    ];
    for (expected, edit) in cases {
        let mut tree = tree();
        tree.put_file("/f", "", stat(0o644)).unwrap();
        edit(&mut tree);
        let error = write(&tree, 64 * MIB, &options()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(
            minimum_size(&tree, &options()).unwrap_err().to_string(),
            error
        );
    }
    let settings: [fn(&mut Options); 6] = [
        |o| o.label = vec![b'x'; 17],
        |o| o.reserved_percent = 51,
        |o| o.inode_ratio = 0,
        |o| o.journal = Journal::Blocks(5),
        |o| o.time.seconds = -1,
        |o| o.time.nanos = 1_000_000_000,
    ];
    for set in settings {
        let mut options = options();
        set(&mut options);
        assert!(matches!(
            write(&tree(), 64 * MIB, &options),
            Err(Error::Setting { .. })
        ));
    }
    assert!(matches!(
        write(&tree(), 16 << 40, &options()),
        Err(Error::TooLarge { .. })
    ));
}

/// Flags that a copy keeps are kept, where they have a meaning.
#[test]
fn flags_are_kept() {
    let dir = scratch();
    let mut tree = tree();
    let mut all = stat(0o644);
    all.flags = flags::KEPT;
    tree.put_file("/file", "x", all.clone()).unwrap();
    tree.mkdir("/dir", &all).unwrap();
    tree.put(
        "/fifo",
        Leaf {
            stat: all,
            kind: LeafKind::Fifo,
        },
    )
    .unwrap();
    let path = checked(&tree, 16 * MIB, &options(), dir.path());
    for (name, flags) in [
        ("file", flags::KEPT & !0x3_0000 | 0x8_0000),
        ("dir", flags::KEPT | 0x8_0000),
        ("fifo", 0xC0),
    ] {
        let Some(text) = debugfs(&path, &format!("stat /{name}")) else {
            return;
        };
        assert!(
            text.contains(&format!("Flags: {flags:#x}")),
            "{name}: {text}"
        );
    }
}

pub(crate) mod random {
    use super::*;
    use proptest::prelude::*;

    /// A leaf or directory somewhere: few names, so that directories fill and links meet.
    #[derive(Clone, Debug)]
    pub(crate) enum Act {
        File(u64, Vec<(u64, u64)>),
        Fifo,
        Symlink(usize),
        Device(u32, u32),
        Link,
        Attributes(Vec<(u8, usize)>),
        Crowd(usize, usize),
        /// A file of so many blocks and bytes more or less.
        Blocks(u64, i64),
        /// A file of so many extents.
        Extents(u64),
    }

    pub(crate) fn act() -> impl Strategy<Value = Act> {
        let pieces = prop::collection::vec((0u64..30_000, 1u64..20_000), 0..12);
        prop_oneof![
            4 => (0u64..5000, pieces).prop_map(|(tail, pieces)| Act::File(tail, pieces)),
            1 => Just(Act::Fifo),
            1 => (1usize..4096).prop_map(Act::Symlink),
            1 => (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| Act::Device(major, minor)),
            2 => Just(Act::Link),
            2 => prop::collection::vec((0u8..5, 0usize..900), 0..4).prop_map(Act::Attributes),
            1 => (1usize..900, 5usize..250).prop_map(|(count, len)| Act::Crowd(count, len)),
            1 => (prop::sample::select(vec![1, 11, 12, 13, 1024, 1036]), -1i64..=1).prop_map(|(blocks, more)| Act::Blocks(blocks, more)),
            1 => prop::sample::select(vec![3, 4, 5, 339, 340, 341, 680, 1360, 1361]).prop_map(Act::Extents),
        ]
    }

    pub(crate) fn path() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![3 => prop::collection::vec(b'a'..=b'e', 1..=2), 1 => prop::collection::vec(1u8..=255, 1..=40)];
        prop::collection::vec(name, 1..=3).prop_map(|names| {
            let clean = |name: Vec<u8>| -> Vec<u8> {
                name.into_iter()
                    .map(|b| if b == b'/' || b == b'.' { b'_' } else { b })
                    .collect()
            };
            names.into_iter().fold(Vec::new(), |path, name| {
                [path, vec![b'/'], clean(name)].concat()
            })
        })
    }

    pub(crate) fn build(acts: Vec<(Vec<u8>, u16, Act)>) -> Tree {
        let mut tree = tree();
        let mut last = None;
        for (path, mode, act) in acts {
            let mut stat = stat(mode & 0o7777);
            stat.uid = u32::from(mode) * 65_537;
            let kind = match act {
                Act::File(tail, pieces) => LeafKind::File(scattered(tail, &pieces)),
                Act::Blocks(blocks, more) => {
                    let len = (blocks * BLOCK).checked_add_signed(more).unwrap();
                    LeafKind::File(Content::bytes(noise(usize::try_from(len).unwrap(), blocks)))
                }
                Act::Extents(count) => {
                    let pieces: Vec<_> = (0..count)
                        .map(|n| (n * 2 * BLOCK + n % BLOCK, 20))
                        .collect();
                    LeafKind::File(sparse(count * 2 * BLOCK, &pieces, count))
                }
                Act::Fifo => LeafKind::Fifo,
                Act::Symlink(len) => LeafKind::Symlink(vec![b't'; len]),
                Act::Device(major, minor) => LeafKind::CharDevice { major, minor },
                Act::Link => {
                    if let Some(id) = last {
                        let _ = tree.link(&path, id, &stat);
                    }
                    continue;
                }
                Act::Attributes(pairs) => {
                    let name = |n| {
                        format!(
                            "{}.{}",
                            ["user", "trusted", "security", "user", "user"][usize::from(n)],
                            "n".repeat(usize::from(n) + 1)
                        )
                    };
                    stat.xattrs = pairs
                        .into_iter()
                        .map(|(n, len)| (name(n).into_bytes(), noise(len, 30)))
                        .collect();
                    LeafKind::File(Content::default())
                }
                Act::Crowd(count, len) => {
                    let mut dir = Dir::new(stat.clone());
                    for n in 0..count {
                        let leaf = Leaf {
                            stat: stat.clone(),
                            kind: LeafKind::Fifo,
                        };
                        dir.entries.insert(
                            format!("{n:0len$}").into_bytes(),
                            DirEntry::Leaf(tree.add_leaf(leaf)),
                        );
                    }
                    tree.root
                        .entries
                        .insert(format!("crowd-{count}").into_bytes(), dir.into());
                    continue;
                }
            };
            last = tree.put(&path, Leaf { stat, kind }).ok().or(last);
        }
        tree
    }

    /// Runs one after the other, each so far behind the last one and so long, and a sparse tail.
    fn scattered(tail: u64, pieces: &[(u64, u64)]) -> Content {
        let (mut ranges, mut at) = (Vec::new(), 0);
        for (gap, len) in pieces {
            ranges.push((at + gap % 10_000, *len));
            at += gap % 10_000 + len;
        }
        sparse(at + tail, &ranges, tail)
    }

    /// What debugfs, which shares nothing with the kernel, makes of regular files.
    fn dumped(image: &Path, tree: &Tree, to: &Path) {
        std::fs::create_dir(to).unwrap();
        if debugfs(image, &format!("rdump / {}", to.display())).is_none() {
            return;
        }
        tree.visit(&mut |path, entry| {
            let DirEntry::Leaf(id) = entry else { return };
            let LeafKind::File(content) = &tree.leaf(*id).kind else {
                return;
            };
            let place = to.join(OsStr::from_bytes(&path[1..]));
            let theirs =
                std::fs::read(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
            assert!(
                theirs == content.read_all(GIB).unwrap(),
                "{}",
                place.display()
            );
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn trees_are_written_cleanly(
            acts in prop::collection::vec((path(), 0u16..0o10000, act()), 0..60),
            more in 0u64..3000,
            csum in any::<bool>(),
        ) {
            let tree = build(acts);
            let dir = scratch();
            let options = Options { metadata_csum: csum, spare_inodes: 0, ..options() };
            let size = minimum_size(&tree, &options).unwrap() + more * BLOCK;
            let path = checked(&tree, size, &options, dir.path());
            if let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") {
                compare(&mount, &tree);
                dumped(&path, &tree, &dir.path().join("dumped"));
            }
            let source: Source = Arc::new(FileSource::open(&path).unwrap());
            let outcome = goldsmith::verify::image(&source, &goldsmith::verify::Request::default());
            assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
            let mut read = Filesystem::open(source).unwrap().tree().unwrap();
            if !tree.root.entries.contains_key(&b"lost+found"[..]) {
                read.root.entries.remove(&b"lost+found"[..]);
            }
            assert_eq!(dump(&read).unwrap(), dump(&tree).unwrap());
        }
    }
}
