//! Limits: the largest, the smallest, and what ext4 cannot hold.

use super::*;

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
pub(super) fn long_name(n: usize) -> Vec<u8> {
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

type Edit = fn(&mut Tree);

/// Edits after which ext4 cannot hold a tree, each with the beginning of its error.
fn unstorable() -> Vec<(&'static str, Edit)> {
    unstorable_metadata()
        .into_iter()
        .chain(unstorable_kinds())
        .collect()
}

/// Times and extended attributes that ext4 cannot hold.
fn unstorable_metadata() -> [(&'static str, Edit); 5] {
    let bad_time = |tree: &mut Tree| tree.stat_mut("/f").unwrap().mtime.seconds = 15_032_385_536;
    let long_attribute = |tree: &mut Tree| {
        tree.stat_mut("/f")
            .unwrap()
            .xattrs
            .insert(b"user.x".to_vec(), vec![0; 5000]);
    };
    [
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
            "/f: extended attributes that do not fit into the inode need 5056 bytes where a block has 4096",
            long_attribute,
        ),
        ("/f: extended attribute `nonsense` has no place", |t| {
            t.stat_mut("/f")
                .unwrap()
                .xattrs
                .insert(b"nonsense".to_vec(), vec![]);
        }),
        (
            "/f: system.posix_acl_access of 5 bytes is not an access control list",
            |t| {
                t.stat_mut("/f")
                    .unwrap()
                    .xattrs
                    .insert(b"system.posix_acl_access".to_vec(), vec![2; 5]);
            },
        ),
    ]
}

/// Targets, device numbers, lengths and names that ext4 cannot hold.
fn unstorable_kinds() -> [(&'static str, Edit); 7] {
    [
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
    ]
}

#[test]
fn what_ext4_cannot_hold_is_said() {
    for (expected, edit) in unstorable() {
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
}

#[test]
fn settings_that_ext4_cannot_have_are_refused() {
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
        ("file", flags::KEPT & !0x2003_0000 | 0x8_0000),
        // Projects are inherited only where the filesystem has them.
        ("dir", flags::KEPT & !0x2000_0000 | 0x8_0000),
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
