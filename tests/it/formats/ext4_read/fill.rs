//! A directory filled with everything that is hard to read.

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, IFlags, Mode, Timespec, Timestamps, Uid,
    XattrFlags,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// Entries of the large directory, of which a third is removed again.
    pub(crate) entries: u32,
    /// Extents of the fragmented file.
    pub(crate) extents: u64,
    /// Size of the sparse file.
    pub(crate) sparse: u64,
}

impl Scale {
    /// Enough for every structure to occur with small blocks.
    pub(crate) const SMALL: Self = Self {
        entries: 2_000,
        extents: 700,
        sparse: 3 << 30,
    };
    /// Two levels of hash index and of extents.
    pub(crate) const LARGE: Self = Self {
        entries: 25_000,
        extents: 3_000,
        sparse: 6 << 30,
    };
}

/// A version 2 `security.capability`: cap_net_raw, effective.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Fills `dir`, a mounted filesystem. What its features forbid is left out: the mount is asked
/// afterwards what is there.
pub(crate) fn fill(dir: &Path, scale: Scale) {
    large_directory(&dir.join("large"), scale.entries);
    contents(dir, scale);
    nodes(dir);
    symlinks(dir);
    names(dir);
    times(dir);
    owners(dir);
    attributes(dir);
    links(dir);
    flags(dir);
}

fn large_directory(dir: &Path, entries: u32) {
    fs::create_dir(dir).unwrap();
    let name = |number: u32| {
        dir.join(format!(
            "entry-{number:06}-{}",
            "x".repeat(number as usize % 40)
        ))
    };
    for number in 0..entries {
        if number % 50 == 0 {
            fs::write(name(number), number.to_string()).unwrap();
        } else {
            fs::hard_link(name(number - number % 50), name(number)).unwrap();
        }
    }
    for number in (0..entries).filter(|number| number % 3 == 1) {
        fs::remove_file(name(number)).unwrap();
    }
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    (0..u32::try_from(len).unwrap())
        .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24).to_le_bytes()[0] | 1)
        .collect()
}

fn contents(dir: &Path, scale: Scale) {
    for len in [
        0, 1, 59, 60, 61, 100, 159, 160, 161, 1023, 1024, 1025, 4095, 4096, 4097, 70_000, 1_300_001,
    ] {
        fs::write(dir.join(format!("file-{len}")), pattern(len, 7)).unwrap();
    }
    let fragmented = File::create(dir.join("fragmented")).unwrap();
    let step = 2 * rustix::fs::fstatvfs(&fragmented).unwrap().f_bsize.min(4096);
    for at in 0..scale.extents {
        fragmented
            .write_all_at(
                &pattern(8, u32::try_from(at).unwrap()),
                at * step + at % 100,
            )
            .unwrap();
    }
    let sparse = File::create(dir.join("sparse")).unwrap();
    for at in [0, 5 << 20, 70 << 20, scale.sparse / 2 + 3, scale.sparse - 9] {
        sparse.write_all_at(&pattern(9, 1), at).unwrap();
    }
    sparse.sync_all().unwrap();
    let unwritten = File::create(dir.join("unwritten")).unwrap();
    let _ = rustix::fs::fallocate(&unwritten, FallocateFlags::empty(), 0, 300_000);
    unwritten.write_all_at(b"in the middle", 150_000).unwrap();
    let beyond = File::create(dir.join("beyond")).unwrap();
    beyond.write_all_at(b"short", 0).unwrap();
    let _ = rustix::fs::fallocate(&beyond, FallocateFlags::KEEP_SIZE, 0, 1 << 20);
    let cut = File::create(dir.join("cut")).unwrap();
    cut.write_all_at(&pattern(200_000, 3), 0).unwrap();
    cut.sync_all().unwrap();
    cut.set_len(100_001).unwrap();
    let mut deep = dir.to_path_buf();
    for level in 0..40 {
        deep.push(format!("d{level}"));
    }
    fs::create_dir_all(deep).unwrap();
}

fn nodes(dir: &Path) {
    let devices = [
        (FileType::CharacterDevice, 1, 3),
        (FileType::BlockDevice, 259, 300_000),
        (FileType::CharacterDevice, 4095, 1_048_575),
    ];
    let devices = devices.into_iter().chain([
        (FileType::BlockDevice, 8, 255),
        (FileType::BlockDevice, 8, 256),
        (FileType::CharacterDevice, 0, 0),
    ]);
    for (kind, major, minor) in devices {
        let path = dir.join(format!("device-{major}-{minor}"));
        rustix::fs::mknodat(
            CWD,
            &path,
            kind,
            Mode::from(0o640),
            rustix::fs::makedev(major, minor),
        )
        .unwrap();
    }
    rustix::fs::mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    rustix::fs::mknodat(
        CWD,
        dir.join("socket"),
        FileType::Socket,
        Mode::from(0o755),
        0,
    )
    .unwrap();
}

fn symlinks(dir: &Path) {
    for len in [
        1, 58, 59, 60, 61, 155, 160, 255, 900, 1023, 2047, 4000, 4095,
    ] {
        // 1 KiB blocks hold 1023 bytes.
        let _ = symlink("t".repeat(len), dir.join(format!("symlink-{len}")));
    }
    symlink(
        OsStr::from_bytes(b"/nowhere/\xFE\n"),
        dir.join("symlink-bytes"),
    )
    .unwrap();
}

fn names(dir: &Path) {
    for name in [
        &b"new\nline"[..],
        b"\xFF\xFEnot utf-8",
        b" ",
        b"...",
        b"back\\slash",
        &[b'n'; 255],
        "\u{e9}t\u{e9}".as_bytes(),
    ] {
        fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
    }
}

fn times(dir: &Path) {
    let seconds = [
        -0x8000_0000,
        -1,
        0,
        1,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FFFF,
        0x1_0000_0000,
        5_000_000_000,
        9_000_000_000,
        0x3_7FFF_FFFF,
    ];
    for (at, seconds) in (0..).zip(seconds) {
        let path = dir.join(format!("time-{at}"));
        fs::write(&path, "").unwrap();
        let last_modification = Timespec {
            tv_sec: seconds,
            tv_nsec: 999_999_999,
        };
        let last_access = Timespec {
            tv_sec: seconds,
            tv_nsec: 123_456_789,
        };
        rustix::fs::utimensat(
            CWD,
            &path,
            &Timestamps {
                last_access,
                last_modification,
            },
            AtFlags::empty(),
        )
        .unwrap();
    }
}

fn owners(dir: &Path) {
    for (at, (uid, gid)) in (0..).zip([(65_535, 65_536), (4_000_000_000, 4_294_967_294), (1000, 0)])
    {
        let path = dir.join(format!("owner-{at}"));
        fs::write(&path, "").unwrap();
        rustix::fs::chown(&path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).unwrap();
        fs::set_permissions(
            &path,
            PermissionsExt::from_mode([0o4755, 0o2711, 0o1000][at]),
        )
        .unwrap();
    }
}

/// An ACL of `users` named users, as `setxattr(2)` takes it.
fn acl(users: u32) -> Vec<u8> {
    let entry = |tag: u16, perm: u16, id: u32| {
        [
            &tag.to_le_bytes()[..],
            &perm.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let mut out = 2_u32.to_le_bytes().to_vec();
    out.extend(entry(0x01, 7, u32::MAX));
    (0..users).for_each(|user| out.extend(entry(0x02, 5, 1000 + user)));
    out.extend(entry(0x04, 5, u32::MAX));
    out.extend(entry(0x08, 4, 3_000_000_000));
    out.extend(entry(0x10, 7, u32::MAX));
    out.extend(entry(0x20, 4, u32::MAX));
    out
}

/// Sets an attribute if the filesystem has room for it.
fn set(path: &Path, name: &str, value: &[u8]) {
    let _ = rustix::fs::lsetxattr(path, name, value, XattrFlags::empty());
}

fn attributes(dir: &Path) {
    let make = |name: &str| {
        let path = dir.join(name);
        fs::write(&path, name).unwrap();
        path
    };
    let one = make("xattr-inode");
    set(&one, "security.capability", &CAPABILITY);
    set(&one, "user.empty", b"");
    let both = make("xattr-both");
    for (name, len) in [
        ("user.small", 4),
        ("trusted.middle", 80),
        ("security.long", 700),
        ("user.longer", 120),
        ("user.b", 33),
    ] {
        set(&both, name, &pattern(len, 5));
    }
    set(&both, "security.capability", &CAPABILITY);
    for at in 0..40 {
        set(
            &make(&format!("xattr-shared-{at}")),
            "user.shared",
            &pattern(500, 9),
        );
    }
    for len in [900, 3000, 3900, 20_000, 60_000] {
        for copy in 0..2 {
            let path = make(&format!("xattr-{len}-{copy}"));
            set(&path, "user.large", &pattern(len, 2));
            set(&path, "user.other", &pattern(len / 2, 3));
        }
    }
    set(&make("acl-small"), "system.posix_acl_access", &acl(1));
    set(&make("acl-large"), "system.posix_acl_access", &acl(100));
    let default = dir.join("acl-default");
    fs::create_dir(&default).unwrap();
    set(&default, "system.posix_acl_default", &acl(3));
    set(&default, "system.posix_acl_access", &acl(2));
    fs::write(default.join("inherits"), "").unwrap();
    fs::create_dir(default.join("inherits-too")).unwrap();
    set(&dir.join("device-1-3"), "trusted.device", b"d");
    set(&dir.join("symlink-59"), "trusted.fast", &pattern(300, 1));
    set(&dir.join("symlink-900"), "trusted.slow", &pattern(300, 1));
    set(dir, "user.root", b"of all");
}

fn links(dir: &Path) {
    fs::create_dir(dir.join("links")).unwrap();
    for target in [
        "file-4097",
        "symlink-60",
        "symlink-58",
        "device-1-3",
        "fifo",
        "file-61",
    ] {
        fs::hard_link(dir.join(target), dir.join("links").join(target)).unwrap();
        fs::hard_link(dir.join(target), dir.join(format!("{target}.again"))).unwrap();
    }
}

fn flags(dir: &Path) {
    for (name, flags) in [
        ("immutable", IFlags::IMMUTABLE),
        ("append", IFlags::APPEND),
        ("nodump", IFlags::NODUMP | IFlags::NOATIME),
    ] {
        let path = dir.join(name);
        fs::write(&path, name).unwrap();
        let _ = rustix::fs::ioctl_setflags(File::open(&path).unwrap(), flags);
    }
    let path = dir.join("fixed");
    fs::create_dir(&path).unwrap();
    let _ = rustix::fs::ioctl_setflags(
        File::open(&path).unwrap(),
        IFlags::IMMUTABLE | IFlags::DIRSYNC,
    );
}
