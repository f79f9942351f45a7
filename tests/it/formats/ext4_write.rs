//! ext4 filesystems that we write, judged by e2fsprogs, the kernel and GRUB.

mod compare;
mod edges;
mod life;
mod motley;
pub(crate) mod random;

use crate::support::{must, noise, run, save, scratch, tool};
use compare::{compare, read_again};
use goldsmith::fs::ext4::read::{Filesystem, Info};
use goldsmith::fs::ext4::write::{Error, Journal, Options, minimum_size, write};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{Content, FileSource, MemSource, ReadAt as _, Run, Source};
use goldsmith::tree::dump::dump;
use goldsmith::tree::{Dir, DirEntry, Leaf, LeafId, LeafKind, Stat, Tree, flags};
use goldsmith::units::{GIB, KIB, MIB};
use motley::motley;
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

/// Without `64bit`, which old boot loaders do not read: descriptors of 32 bytes, with and without
/// checksums.
#[test]
fn block_numbers_of_32_bits() {
    if tool("dumpe2fs").is_none() || tool("e2fsck").is_none() {
        return;
    }
    let dir = scratch();
    let path = dir.path().join("narrow");
    for metadata_csum in [true, false] {
        for size in [8 * MIB, 300 * MIB] {
            let mut options = options();
            options.wide = false;
            options.metadata_csum = metadata_csum;
            save(&write(&motley(), size, &options).unwrap(), &path);
            let text = must(tool("dumpe2fs").unwrap(), &[&path]);
            assert!(!text.contains("64bit") && !text.contains("Group descriptor size"));
            assert_eq!(text.contains("metadata_csum"), metadata_csum);
            clean(&path);
            let image = Content::bytes(std::fs::read(&path).unwrap());
            assert_eq!(info(&image).label, b"root");
        }
    }
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
