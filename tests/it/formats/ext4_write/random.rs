//! Random trees.

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
        1 => (prop::sample::select(vec![1, 11, 12, 13, 1024, 1036]), -1i64..=1)
            .prop_map(|(blocks, more)| Act::Blocks(blocks, more)),
        1 => prop::sample::select(vec![3, 4, 5, 339, 340, 341, 680, 1360, 1361])
            .prop_map(Act::Extents),
    ]
}

pub(crate) fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        3 => prop::collection::vec(b'a'..=b'e', 1..=2),
        1 => prop::collection::vec(1u8..=255, 1..=40),
    ];
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
        let theirs = std::fs::read(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        assert!(
            theirs == content.read_all(GIB).unwrap(),
            "{}",
            place.display()
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

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
