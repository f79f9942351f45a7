//! Trees with a file of each kind, and attributes of each kind.

use super::*;

/// An access control list as `getxattr(2)` gives it: user 1000 may read, the mask allows all.
pub(super) fn acl() -> Vec<u8> {
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

/// Device nodes, a fifo and a socket.
fn special_files(tree: &mut Tree) {
    put(
        tree,
        "/dev/null",
        LeafKind::CharDevice { major: 1, minor: 3 },
    );
    put(
        tree,
        "/dev/big",
        LeafKind::CharDevice {
            major: 4095,
            minor: 1_048_575,
        },
    );
    put(
        tree,
        "/dev/sda",
        LeafKind::BlockDevice { major: 8, minor: 0 },
    );
    put(
        tree,
        "/dev/nvme",
        LeafKind::BlockDevice {
            major: 259,
            minor: 300,
        },
    );
    put(tree, "/run/fifo", LeafKind::Fifo);
    put(tree, "/run/socket", LeafKind::Socket);
}

/// Files with the first and last times that ext4 can hold, and around the epoch.
fn times(tree: &mut Tree) {
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
}

/// A tree with one of everything.
pub(super) fn motley() -> Tree {
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
    special_files(&mut tree);
    times(&mut tree);
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
