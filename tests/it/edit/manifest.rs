//! Two mounted filesystems, compared path by path in everything that the kernel tells about a file.
//!
//! This is the judge of a conversion: what differs between the golden root and a slot must be what
//! the conversion says it edited, no more and no less. It reads through the kernel's own ext4, and
//! shares no code with goldsmith's.
#![allow(dead_code)]

use crate::support::{must, root, tool};
use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A filesystem in an image, mounted read-only until the value goes away.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Mounts the `size` bytes of `image` from `offset` on. `None`, said aloud, for anyone but
    /// root.
    pub(crate) fn new(image: &Path, offset: u64, size: u64) -> Option<Self> {
        Self::with(image, &format!("ro,loop,offset={offset},sizelimit={size}"))
    }

    /// Mounts a filesystem image for writing.
    fn writable(image: &Path) -> Option<Self> {
        Self::with(image, "rw,loop")
    }

    fn with(image: &Path, options: &str) -> Option<Self> {
        if !root() {
            return None;
        }
        let dir = crate::support::scratch();
        must(
            tool("mount")?,
            &[&"-t", &"ext4", &"-o", &options, &image, &dir.path()],
        );
        Some(Self { dir })
    }

    /// Where the filesystem is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Were this to fail, removing the directory would fail too: it never descends into what is
        // still mounted read-only.
        let _ = std::process::Command::new("umount")
            .arg(self.dir.path())
            .status();
    }
}

/// What is known about one file, by aspect.
type Facts = BTreeMap<&'static str, String>;

/// All files of a filesystem by their path below its root (`b""` is the root itself).
pub(crate) type Manifest = BTreeMap<Vec<u8>, Facts>;

/// Reads all there is to know about the files under `root`.
pub(crate) fn manifest(root: &Path) -> Manifest {
    let mut files = Manifest::new();
    let mut names_of: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut todo: Vec<PathBuf> = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let place = if path.as_os_str().is_empty() {
            root.to_owned()
        } else {
            root.join(&path)
        };
        let metadata =
            fs::symlink_metadata(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        let key = path.as_os_str().as_bytes().to_vec();
        files.insert(key.clone(), facts(&place, &metadata));
        if metadata.is_dir() {
            let entries =
                fs::read_dir(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
            todo.extend(
                entries.map(|entry| path.join(entry.expect("a directory entry").file_name())),
            );
        } else if metadata.nlink() > 1 {
            names_of.entry(metadata.ino()).or_default().push(key);
        }
    }
    for mut names in names_of.into_values() {
        names.sort();
        let group = names
            .iter()
            .map(|name| show(name))
            .collect::<Vec<_>>()
            .join(" ");
        for name in names {
            files
                .get_mut(&name)
                .expect("inserted above")
                .insert("links", group.clone());
        }
    }
    files
}

/// What the kernel says about the file at `place`.
fn facts(place: &Path, metadata: &Metadata) -> Facts {
    let kind = metadata.file_type();
    let mut facts = Facts::new();
    facts.insert("mode", format!("{:o}", metadata.mode() & 0o7777));
    facts.insert("owner", format!("{}:{}", metadata.uid(), metadata.gid()));
    facts.insert(
        "mtime",
        format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()),
    );
    facts.insert("xattrs", xattrs(place));
    let name = match kind {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_socket() => "socket",
        kind if kind.is_block_device() => "block device",
        kind if kind.is_char_device() => "character device",
        _ => "file",
    };
    facts.insert("type", name.into());
    if kind.is_symlink() {
        facts.insert(
            "target",
            show(
                fs::read_link(place)
                    .expect("a symlink")
                    .as_os_str()
                    .as_bytes(),
            ),
        );
    }
    if kind.is_block_device() || kind.is_char_device() {
        let rdev = metadata.rdev();
        facts.insert(
            "device",
            format!("{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev)),
        );
    }
    if kind.is_dir() || kind.is_file() {
        let file = File::open(place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        facts.insert("flags", flags(&file));
        if kind.is_file() {
            facts.insert("size", metadata.len().to_string());
            facts.insert("data", data(&file, metadata.len()));
            facts.insert("sha256", digest(file));
        }
    }
    facts
}

/// The extended attributes of the file itself, symlinks not followed.
fn xattrs(place: &Path) -> String {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(place, &mut names[..])
        .unwrap_or_else(|e| panic!("{}: {e}", place.display()));
    let names: BTreeSet<&[u8]> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    let mut text = String::new();
    for name in names {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(place, name, &mut value[..])
            .unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        write!(text, "{}={} ", show(name), show(&value[..length])).expect("a string takes all");
    }
    text
}

/// The flags that a user can set (`chattr`): the others say how the file is stored.
fn flags(file: &File) -> String {
    // FS_SECRM, UNRM, COMPR, SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME, JOURNAL_DATA, NOTAIL,
    // DIRSYNC, TOPDIR, NOCOW, PROJINHERIT (include/uapi/linux/fs.h).
    const BY_USERS: u32 = 0x20_83_c0_ff;
    format!(
        "{:#x}",
        rustix::fs::ioctl_getflags(file).expect("the flags").bits() & BY_USERS
    )
}

/// Where the file has data: ranges in blocks of 4096 bytes, however small the blocks of its
/// filesystem are.
fn data(file: &File, size: u64) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else {
            break;
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).expect("the end of data");
        match ranges.last_mut() {
            Some(last) if last.1 >= start / 4096 => last.1 = end.div_ceil(4096),
            _ => ranges.push((start / 4096, end.div_ceil(4096))),
        }
        at = end;
    }
    rustix::fs::seek(file, SeekFrom::Start(0)).expect("the start");
    ranges
        .iter()
        .map(|(start, end)| format!("{start}-{end} "))
        .collect()
}

/// The SHA-256 of what is read from `file`.
fn digest(mut file: File) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).expect("reading a file");
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    hash.finalize()
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Bytes for people.
fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// How one path differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: Vec<u8>,
    /// `added`, `changed` or `removed`, as the report of a conversion words it.
    pub(crate) action: &'static str,
    /// The aspects in which a changed path differs, with both values.
    pub(crate) aspects: Vec<(&'static str, String)>,
}

/// The paths in which `new` differs from `old`.
pub(crate) fn differences(old: &Manifest, new: &Manifest) -> Vec<Difference> {
    let paths: BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
    let differ = |path: &Vec<u8>| {
        let (action, aspects) = match (old.get(path), new.get(path)) {
            (Some(old), Some(new)) => ("changed", aspects(old, new)),
            (None, _) => ("added", Vec::new()),
            (_, None) => ("removed", Vec::new()),
        };
        Difference {
            path: path.clone(),
            action,
            aspects,
        }
    };
    paths
        .into_iter()
        .map(differ)
        .filter(|found| found.action != "changed" || !found.aspects.is_empty())
        .collect()
}

/// The aspects in which two files differ.
fn aspects(old: &Facts, new: &Facts) -> Vec<(&'static str, String)> {
    let names: BTreeSet<&'static str> = old.keys().chain(new.keys()).copied().collect();
    let text = |facts: &Facts, name| {
        facts
            .get(name)
            .map_or("none", String::as_str)
            .chars()
            .take(200)
            .collect::<String>()
    };
    let differ = names
        .into_iter()
        .filter(|name| old.get(name) != new.get(name));
    differ
        .map(|name| (name, format!("{} -> {}", text(old, name), text(new, name))))
        .collect()
}

/// One entry of the list of edits in a conversion's report.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Edit {
    pub(crate) filesystem: String,
    pub(crate) path: String,
    pub(crate) action: String,
    pub(crate) reason: String,
}

/// Holds the differences against the edits: what was changed without being planned, and what was
/// planned without being changed. An edit that adds or removes a directory covers what is below it.
pub(crate) fn unexplained(differences: &[Difference], edits: &[Edit]) -> Vec<String> {
    let bytes = |edit: &Edit| edit.path.trim_matches('/').as_bytes().to_vec();
    let edits: Vec<(Vec<u8>, &str)> = edits
        .iter()
        .map(|edit| (bytes(edit), edit.action.as_str()))
        .collect();
    let covers = |(path, action): &(Vec<u8>, &str), found: &Difference| {
        *action == found.action
            && (*path == found.path
                || (*action != "changed" && found.path.starts_with(&[path, &b"/"[..]].concat())))
    };
    let not_planned = differences
        .iter()
        .filter(|found| !edits.iter().any(|edit| covers(edit, found)));
    let not_done = edits.iter().filter(|edit| {
        !differences
            .iter()
            .any(|found| edit.0 == found.path && edit.1 == found.action)
    });
    not_planned
        .map(|found| {
            format!(
                "{} was {} without a plan: {:?}",
                show(&found.path),
                found.action,
                found.aspects
            )
        })
        .chain(
            not_done.map(|(path, action)| {
                format!("{} was planned to be {action} and is not", show(path))
            }),
        )
        .collect()
}

/// A filesystem of `size` bytes with the files of `dir`, made by mke2fs.
fn filesystem(dir: &Path, image: &Path) {
    let mke2fs = tool("mke2fs").expect("looked for before");
    must(
        mke2fs,
        &[
            &"-q", &"-t", &"ext4", &"-I", &"256", &"-d", &dir, &image, &"16M",
        ],
    );
}

/// Runs a line of shell in `dir`, which must succeed.
fn shell(dir: &Path, line: &str) {
    must("sh", &[&"-euc", &format!("cd \"$0\"; {line}"), &dir]);
}

/// What a difference of each kind is, how to make it, and the aspect that must tell.
const PLANTS: &[(&str, &str, &str)] = &[
    ("type", "rm type && mkfifo type && touch -d @9 type", "type"),
    ("mode", "chmod 4755 mode", "mode"),
    ("owner", "chown 1:70000 owner", "owner"),
    ("mtime", "touch -d @9.000000001 mtime", "mtime"),
    (
        "content",
        "printf other >content; touch -d @9 content",
        "sha256",
    ),
    ("size", "truncate -s 7 size; touch -d @9 size", "size"),
    (
        "xattr-value",
        "setfattr -n user.x -v 2 xattr-value",
        "xattrs",
    ),
    ("xattr-gone", "setfattr -x user.x xattr-gone", "xattrs"),
    (
        "xattr-trusted",
        "setfattr -n trusted.x -v 1 xattr-trusted",
        "xattrs",
    ),
    ("capability", "setcap cap_net_raw+ep capability", "xattrs"),
    ("acl", "setfacl -m u:7:r acl", "xattrs"),
    ("acl-default", "setfacl -d -m u:7:r acl-default", "xattrs"),
    (
        "device",
        "rm device && mknod device c 300 70000 && touch -d @9 device",
        "device",
    ),
    ("link-2", "cp -a link-2 copy && mv copy link-2", "links"),
    (
        "sparse",
        "dd if=/dev/zero of=sparse bs=4096 seek=2 count=1 conv=notrunc status=none; touch -d @9 sparse",
        "data",
    ),
    ("flag", "chattr +d flag", "flags"),
    (
        "symlink",
        "ln -sfn to symlink && touch -h -d @9 symlink",
        "target",
    ),
    ("symlink-time", "touch -h -d @10 symlink-time", "mtime"),
    ("dir-xattr", "setfattr -n user.x -v 1 dir-xattr", "xattrs"),
    (
        r"not-utf-8-\xff",
        r#"chmod 600 "$(printf 'not-utf-8-\377')""#,
        "mode",
    ),
];

#[test]
fn every_kind_of_difference_is_found() {
    if !root()
        || ["mke2fs", "setfattr", "setfacl", "setcap", "chattr"]
            .iter()
            .any(|name| tool(name).is_none())
    {
        return;
    }
    let scratch = crate::support::scratch();
    let dir = scratch.path().join("files");
    fs::create_dir(&dir).expect("a directory");
    shell(
        &dir,
        "for f in type mode owner mtime content size xattr-value xattr-gone xattr-trusted capability acl flag link-1 same removed \
         \"$(printf 'not-utf-8-\\377')\"; do echo hello >\"$f\"; done; setfattr -n user.x -v 1 xattr-value xattr-gone same; \
         mkdir acl-default dir-xattr gone; echo hello >gone/file; mknod device c 300 70001; ln link-1 link-2; truncate -s 1M sparse; \
         ln -s from symlink; ln -s from symlink-time; find . -exec touch -h -d @9 {} +",
    );
    let [old, new] = ["old.img", "new.img"].map(|name| scratch.path().join(name));
    filesystem(&dir, &old);
    fs::copy(&old, &new).expect("copying the image");

    let writable = Mount::writable(&new).expect("root");
    let sound = differences(
        &manifest(Mount::new(&old, 0, 16 << 20).expect("root").path()),
        &manifest(writable.path()),
    );
    assert_eq!(sound, [], "a copy is the same");
    for (_, plant, _) in PLANTS {
        shell(writable.path(), plant);
    }
    shell(
        writable.path(),
        "rm -r removed gone; mkdir new; echo x >new/file",
    );
    drop(writable);

    let [old, new] =
        [&old, &new].map(|image| manifest(Mount::new(image, 0, 16 << 20).expect("root").path()));
    let found = differences(&old, &new);
    let aspect = |found: &Difference| {
        found
            .aspects
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    for (path, _, expected) in PLANTS {
        let difference = found
            .iter()
            .find(|found| show(&found.path) == *path)
            .unwrap_or_else(|| panic!("{path} was not found"));
        assert!(
            aspect(difference).contains(expected),
            "{path}: {:?}",
            difference.aspects
        );
    }
    // The time of the root directory, the other name of the split link, and what came and went with
    // its directory.
    let others: BTreeMap<String, &str> = found
        .iter()
        .map(|found| (show(&found.path), found.action))
        .collect();
    let expected = [
        ("", "changed"),
        ("link-1", "changed"),
        ("removed", "removed"),
        ("gone", "removed"),
        ("gone/file", "removed"),
        ("new", "added"),
        ("new/file", "added"),
    ];
    for (path, action) in expected {
        assert_eq!(others.get(path), Some(&action), "{path}");
    }
    assert_eq!(found.len(), PLANTS.len() + expected.len(), "{found:#?}");
}

#[test]
fn differences_and_edits_must_match() {
    let found = |path: &str, action| Difference {
        path: path.into(),
        action,
        aspects: Vec::new(),
    };
    let edit = |path: &str, action: &str| Edit {
        filesystem: "root".into(),
        path: path.into(),
        action: action.into(),
        reason: "test".into(),
    };
    let seen = [
        found("etc/fstab", "changed"),
        found("opt/new", "added"),
        found("opt/new/file", "added"),
    ];
    let plan = [edit("/etc/fstab", "changed"), edit("/opt/new", "added")];
    assert_eq!(unexplained(&seen, &plan), [""; 0]);
    assert_eq!(
        unexplained(&seen, &plan[..1]).len(),
        2,
        "additions without a plan"
    );
    assert_eq!(
        unexplained(&seen[..1], &plan).len(),
        1,
        "a plan without effect"
    );
    assert_eq!(
        unexplained(
            &seen,
            &[edit("/etc/fstab", "removed"), edit("/opt/new", "added")]
        )
        .len(),
        2,
        "another action"
    );
    let below = [edit("/etc", "changed"), edit("/opt/new", "added")];
    assert_eq!(
        unexplained(&seen, &below).len(),
        2,
        "a changed directory covers nothing below it"
    );
}
