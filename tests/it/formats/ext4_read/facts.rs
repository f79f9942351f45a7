//! What is known of every path, once as the kernel says it of a mount or a directory and once as
//! our tree says it.

use goldsmith::stream::{FileSource, ReadAt};
use goldsmith::tree::{DirEntry, LeafId, LeafKind, Stat, Time, Tree, flags, show};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Everything but the path, as text, by path.
pub(crate) type Facts = BTreeMap<Vec<u8>, String>;

/// What the kernel says.
pub(crate) fn of_mount(root: &Path) -> Facts {
    let mut facts = Facts::new();
    let mut first = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = path_below(root, entry.path());
        facts.insert(path.clone(), host_facts(entry.path(), &path, &mut first));
    }
    facts
}

fn path_below(root: &Path, path: &Path) -> Vec<u8> {
    let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
    [b"/", below].concat()
}

fn host_facts(file: &Path, path: &[u8], first: &mut BTreeMap<u64, String>) -> String {
    let stat = rustix::fs::statx(
        CWD,
        file,
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::BASIC_STATS | StatxFlags::BTIME,
    )
    .unwrap();
    let kind = u32::from(stat.stx_mode) & 0o170_000;
    let time = |t: rustix::fs::StatxTimestamp| Time {
        seconds: t.tv_sec,
        nanos: t.tv_nsec,
    };
    let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    let stat_facts = Stat {
        mode: stat.stx_mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        project: 0,
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        atime: time(stat.stx_atime),
        crtime: has_birth.then(|| time(stat.stx_btime)),
        flags: if matches!(kind, 0o100_000 | 0o040_000) {
            host_flags(file)
        } else {
            0
        },
        xattrs: host_xattrs(file),
    };
    let what = match kind {
        0o040_000 => return format!("dir {}", stat_text(&stat_facts)),
        0o100_000 => file_text(&FileSource::open(file).unwrap()),
        0o120_000 => format!(
            "symlink {}",
            show(std::fs::read_link(file).unwrap().as_os_str().as_bytes())
        ),
        0o020_000 => format!("char {}:{}", stat.stx_rdev_major, stat.stx_rdev_minor),
        0o060_000 => format!("block {}:{}", stat.stx_rdev_major, stat.stx_rdev_minor),
        0o010_000 => "fifo".into(),
        0o140_000 => "socket".into(),
        other => panic!("{}: type {other:o}", file.display()),
    };
    let group = first.entry(stat.stx_ino).or_insert_with(|| show(path));
    format!("{what} group={group} {}", stat_text(&stat_facts))
}

fn host_flags(file: &Path) -> u32 {
    let Ok(fd) = rustix::fs::open(file, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) else {
        return 0;
    };
    rustix::fs::ioctl_getflags(&fd).map_or(0, |found| found.bits() & flags::KEPT)
}

fn host_xattrs(file: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(file, &mut list[..]).unwrap();
    let names = list[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let len = rustix::fs::lgetxattr(file, OsStr::from_bytes(name), &mut value[..]).unwrap();
            (name.to_vec(), value[..len].to_vec())
        })
        .collect()
}

/// What our tree says.
pub(crate) fn of_tree(tree: &Tree) -> Facts {
    let mut facts = Facts::from([(b"/".to_vec(), format!("dir {}", stat_text(&tree.root.stat)))]);
    let mut first: BTreeMap<LeafId, String> = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        let text = match entry {
            DirEntry::Dir(dir) => format!("dir {}", stat_text(&dir.stat)),
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                let what = match &leaf.kind {
                    LeafKind::File(content) => file_text(content),
                    LeafKind::Symlink(target) => format!("symlink {}", show(target)),
                    LeafKind::CharDevice { major, minor } => format!("char {major}:{minor}"),
                    LeafKind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
                    LeafKind::Fifo => "fifo".into(),
                    LeafKind::Socket => "socket".into(),
                };
                let group = first.entry(*id).or_insert_with(|| show(path));
                // The kernel tells the flags of files and directories only.
                let mut stat = leaf.stat.clone();
                if !matches!(leaf.kind, LeafKind::File(_)) {
                    stat.flags = 0;
                }
                format!("{what} group={group} {}", stat_text(&stat))
            }
        };
        facts.insert(path.to_vec(), text);
    });
    facts
}

fn stat_text(stat: &Stat) -> String {
    let time = |t: Time| format!("{}.{:09}", t.seconds, t.nanos);
    let mut out = format!(
        "mode={:o} owner={}:{} flags={:x}",
        stat.mode, stat.uid, stat.gid, stat.flags
    );
    let _ = write!(
        out,
        " m={} c={} a={}",
        time(stat.mtime),
        time(stat.ctime),
        time(stat.atime)
    );
    let _ = write!(
        out,
        " birth={}",
        stat.crtime.map_or_else(|| "-".into(), time)
    );
    for (name, value) in &stat.xattrs {
        let shown = if value.len() > 64 {
            format!("sha256:{}", hex(&Sha256::digest(value)))
        } else {
            hex(value)
        };
        let _ = write!(out, " {}={shown}", show(name));
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Size and digest; the digest is over the offset and bytes of each 4 KiB that is not all zeros, so
/// that gigabytes of hole are quick however the hole is kept.
fn file_text(file: &dyn ReadAt) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 16];
    let mut at = 0;
    while let Some(range) = file.next_data(at).unwrap() {
        let start = range.start.max(at) & !0xFFFF;
        let len = usize::try_from((file.len() - start).min(1 << 16)).unwrap();
        file.read_exact_at(start, &mut buf[..len]).unwrap();
        for (part, piece) in (0_u64..).zip(buf[..len].chunks(4096)) {
            if piece.iter().any(|byte| *byte != 0) {
                hash.update((start + part * 4096).to_le_bytes());
                hash.update(piece);
            }
        }
        at = start + (1 << 16);
    }
    format!("file size={} sha256={}", file.len(), hex(&hash.finalize()))
}

/// Fails with the first differences unless both are equal.
pub(crate) fn compare(what: &str, ours: &Facts, theirs: &Facts) {
    let differences = differences(ours, theirs);
    assert!(
        differences.is_empty(),
        "{what}: {} differences\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

/// One text for each path that is not the same in both.
pub(crate) fn differences(ours: &Facts, theirs: &Facts) -> Vec<String> {
    let all: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differing = all
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path));
    let side = |facts: &Facts, path| {
        facts
            .get(path)
            .cloned()
            .unwrap_or_else(|| "(missing)".into())
    };
    differing
        .map(|path| {
            format!(
                "{}\n  ours   {}\n  theirs {}",
                show(path),
                side(ours, path),
                side(theirs, path)
            )
        })
        .collect()
}
