//! The reader of ext2, ext3 and ext4 against filesystems that `mke2fs` and the kernel made, and
//! against damage.

mod damage;
mod facts;
mod fill;

use crate::support::{must, run, scratch, tool};
use facts::{Facts, compare};
use fill::{Scale, fill};
use goldsmith::fs::ext4::read::{Error, Filesystem, Info};
use goldsmith::stream::FileSource;
use goldsmith::tree::Tree;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Whether the tests may mount. Not root: at home said aloud, in CI a failure.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(
            std::env::var_os("CI").is_none(),
            "the tests of the ext4 reader mount filesystems and want root"
        );
        eprintln!("SKIPPED: not root, so no filesystem can be mounted");
    }
    root
}

/// A filesystem in a file.
struct Image {
    dir: TempDir,
    path: PathBuf,
}

impl Image {
    /// Of `mib` MiB, made by `mke2fs` with `args`.
    fn make(args: &str, mib: u64) -> Option<Self> {
        let dir = scratch();
        let path = dir.path().join("image");
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-q", &"-F"];
        let args: Vec<&str> = args.split_whitespace().collect();
        args.iter().for_each(|word| words.push(word));
        words.push(&path);
        must(tool("mke2fs")?, &words);
        Some(Self { dir, path })
    }

    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        must("cp", &[&"--sparse=always", &self.path, &to]);
        to
    }

    fn mount(&self, options: &str) -> Mount {
        Mount::new(&self.path, self.dir.path(), options)
    }
}

/// A mounted image, unmounted with the value.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, dir: &Path, options: &str) -> Self {
        let at = dir.join("mount");
        std::fs::create_dir_all(&at).unwrap();
        must(
            "mount",
            &[
                &"-t",
                &"ext4",
                &"-o",
                &format!("loop,{options}"),
                &image,
                &at,
            ],
        );
        Self(at)
    }

    fn facts(&self) -> Facts {
        facts::of_mount(&self.0)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process being started elsewhere may hold a file of ours open for a moment.
        for _ in 0..100 {
            if run("umount", &[&self.0]).status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        must("umount", &[&self.0]);
    }
}

fn open(path: &Path) -> Result<Filesystem, Error> {
    Filesystem::open(Arc::new(FileSource::open(path).unwrap()))
}

fn read(path: &Path) -> Result<(Info, Tree), Error> {
    let filesystem = open(path)?;
    Ok((filesystem.info(), filesystem.tree()?))
}

/// Makes, fills, reads and compares one filesystem; returns what the superblock says.
fn check(args: &str, mib: u64, scale: Scale, mount: &str, after: &[&str]) -> Option<(Image, Info)> {
    if !root() {
        return None;
    }
    let image = Image::make(args, mib)?;
    fill(&image.mount(mount).0, scale);
    if let [program, words @ ..] = after {
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words
            .iter()
            .map(|word| word as _)
            .chain([&image.path as _])
            .collect();
        must(tool(program)?, &words);
    }
    let (info, tree) = read(&image.path).unwrap_or_else(|e| panic!("{args}: {e}"));
    let theirs = image.mount("ro").facts();
    compare(args, &facts::of_tree(&tree), &theirs);
    let large = if args.contains("ea_inode") { 9 } else { 0 };
    let count = |text: &str| theirs.values().filter(|facts| facts.contains(text)).count();
    assert!(
        theirs.len() > 1000 && count(" user.shared=") == 40 && count(" user.large=") > large,
        "{args}: little was made"
    );
    Some((image, info))
}

/// The same with small scale for several ways to make one; each must be read and have the named
/// features.
fn check_all(cases: &[(&str, &[&str])]) {
    for (args, features) in cases {
        let Some((_, info)) = check(args, 192, Scale::SMALL, "rw", &[]) else {
            return;
        };
        let has = |name: &&&str| {
            [&info.compat, &info.incompat, &info.ro_compat]
                .iter()
                .any(|word| word.names.iter().any(|n| n == **name))
        };
        let missing: Vec<_> = features.iter().filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{args}: {missing:?} not made");
    }
}

#[test]
fn ext4_as_made_by_default() {
    let uuid = "6f1a8c1e-5a0b-4d3e-9c55-0123456789ab";
    let made = check(
        &format!("-t ext4 -L goldsmith -U {uuid}"),
        512,
        Scale::LARGE,
        "rw",
        &[],
    );
    let Some((image, info)) = made else { return };
    assert_eq!(
        (info.kind, info.block_size, info.label.as_slice()),
        ("ext4", 4096, &b"goldsmith"[..])
    );
    assert_eq!(
        (info.uuid.to_string().as_str(), info.blocks),
        (uuid, 512 << 8)
    );
    assert!(
        info.last_mounted.ends_with(b"/mount"),
        "{:?}",
        info.last_mounted
    );
    assert!(
        info.mount_time
            .is_some_and(|mounted| mounted >= info.mkfs_time && mounted <= info.write_time),
        "{info:?}"
    );
    let listed = must(
        tool("dumpe2fs").expect("beside mke2fs"),
        &[&"-h", &image.path],
    );
    let line = |key: &str| {
        listed
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(line("Free blocks:"), info.free_blocks.to_string());
    assert_eq!(line("Free inodes:"), info.free_inodes.to_string());
    let names = [
        info.compat.names,
        info.incompat.names.clone(),
        info.ro_compat.names,
    ]
    .concat()
    .join(" ");
    assert_eq!(line("Filesystem features:"), names);
    assert!(
        info.incompat.names.contains(&"extent".to_owned()),
        "{:?}",
        info.incompat
    );
    assert_eq!((info.replayed, info.has_errors), (None, false));
}

#[test]
fn ext4_with_small_blocks_has_deep_trees() {
    let Some((_, info)) = check("-t ext4 -b 1024", 256, Scale::LARGE, "rw", &[]) else {
        return;
    };
    assert_eq!((info.kind, info.block_size), ("ext4", 1024));
    check_all(&[
        ("-t ext4 -b 2048", &["metadata_csum"]),
        ("-t ext4 -b 1024 -O bigalloc -C 16384", &["bigalloc"]),
    ]);
}

#[test]
fn ext2_and_ext3() {
    for (args, kind) in [
        ("-t ext2", "ext2"),
        ("-t ext2 -b 1024", "ext2"),
        ("-t ext3", "ext3"),
        ("-t ext3 -b 1024 -I 128", "ext3"),
    ] {
        let Some((_, info)) = check(args, 192, Scale::SMALL, "rw", &[]) else {
            return;
        };
        assert_eq!(info.kind, kind, "{args}");
    }
}

#[test]
fn features_that_move_content() {
    check_all(&[
        ("-t ext4 -O inline_data", &["inline_data"]),
        (
            "-t ext4 -b 1024 -I 1024 -O inline_data,^metadata_csum",
            &["inline_data"],
        ),
        ("-t ext4 -O ea_inode", &["ea_inode"]),
        (
            "-t ext4 -b 1024 -O ea_inode,^metadata_csum,^64bit",
            &["ea_inode"],
        ),
        ("-t ext4 -O bigalloc -C 65536", &["bigalloc"]),
        ("-t ext4 -O ^extent,^64bit", &["metadata_csum"]),
    ]);
}

#[test]
fn features_that_move_metadata() {
    check_all(&[
        ("-t ext4 -b 1024 -O meta_bg,^resize_inode", &["meta_bg"]),
        (
            "-t ext4 -b 1024 -O meta_bg,^resize_inode,^64bit,sparse_super2",
            &["meta_bg", "sparse_super2"],
        ),
        (
            "-t ext4 -O metadata_csum_seed,large_dir,^flex_bg",
            &["metadata_csum_seed", "large_dir"],
        ),
        (
            "-t ext4 -O orphan_file,verity,encrypt,fast_commit",
            &["orphan_file", "fast_commit"],
        ),
        ("-t ext4 -O ^has_journal,mmp,stable_inodes", &["mmp"]),
    ]);
}

#[test]
fn features_that_check_less() {
    check_all(&[
        ("-t ext4 -O ^metadata_csum,uninit_bg", &["uninit_bg"]),
        (
            "-t ext4 -O ^metadata_csum,^uninit_bg,^64bit -I 128",
            &["extent"],
        ),
        (
            "-t ext4 -b 1024 -O ^64bit,^metadata_csum,uninit_bg -I 512",
            &["uninit_bg"],
        ),
        ("-t ext4 -O ^filetype,^dir_index", &["metadata_csum"]),
    ]);
}

#[test]
fn quotas_are_no_files() {
    for after in [
        &["tune2fs", "-O", "quota"][..],
        &["tune2fs", "-O", "project,quota"],
    ] {
        let Some((_, info)) = check("-t ext4", 192, Scale::SMALL, "rw", after) else {
            return;
        };
        assert!(
            info.ro_compat.names.contains(&"quota".to_owned()),
            "{after:?}"
        );
    }
}

/// What no kernel at hand mounts is filled by `mke2fs` from a directory, which loses nanoseconds
/// and flags.
#[test]
fn filesystems_that_mke2fs_filled() {
    if !root() {
        return;
    }
    let Some(from) = Image::make("-t ext4", 192) else {
        return;
    };
    fill(
        &from.mount("rw").0,
        Scale {
            sparse: 200 << 20,
            ..Scale::SMALL
        },
    );
    let from = from.mount("ro");
    let theirs = plain(from.facts());
    for args in [
        "-t ext4 -b 65536",
        "-t ext4 -O casefold",
        "-t ext2 -b 65536",
    ] {
        let Some(image) = Image::make(&format!("{args} -d {}", from.0.display()), 512) else {
            return;
        };
        let (_, tree) = read(&image.path).unwrap_or_else(|e| panic!("{args}: {e}"));
        compare(args, &plain(facts::of_tree(&tree)), &theirs);
    }
}

/// Facts without times, flags and the hard links of symlinks.
fn plain(facts: Facts) -> Facts {
    let lost = |word: &str| {
        ["m=", "c=", "a=", "birth=", "flags="]
            .iter()
            .any(|key| word.starts_with(key))
    };
    let unlinked =
        |text: &str, word: &str| text.starts_with("symlink") && word.starts_with("group=");
    let strip = |text: String| {
        text.split(' ')
            .filter(|word| !lost(word) && !unlinked(&text, word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    facts
        .into_iter()
        .map(|(path, text)| (path, strip(text)))
        .collect()
}

#[test]
fn deep_directories_are_read_and_deeper_ones_refused() {
    if !root() {
        return;
    }
    let Some(image) = Image::make("-t ext4", 64) else {
        return;
    };
    let deepen = |from: usize, to: usize| {
        let mount = image.mount("rw");
        let mut path = mount.0.clone();
        for level in 1..=to {
            path.push("d");
            if level > from {
                std::fs::create_dir(&path).unwrap();
            }
        }
    };
    deepen(0, 1023);
    let (_, tree) = read(&image.path).unwrap();
    let mut deepest = 0;
    tree.visit(&mut |path, _| deepest = deepest.max(path.len() / 2));
    assert_eq!(deepest, 1023);
    deepen(1023, 1024);
    assert!(
        read(&image.path)
            .unwrap_err()
            .to_string()
            .ends_with("a directory below 1024 others is not supported")
    );
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let Some(debugfs) = tool("debugfs") else {
        return;
    };
    let refused = |args: &str, commands: &[&str]| {
        let image = Image::make(args, 32).unwrap();
        for command in ["mkdir dir", "mkdir dir/below"].iter().chain(commands) {
            must(&debugfs, &[&"-w", &"-R", command, &image.path]);
        }
        read(&image.path).map(|_| ()).unwrap_err().to_string()
    };
    let bit = |bit: &str| {
        refused(
            "-t ext4 -O ^metadata_csum",
            &[&format!("set_super_value feature_incompat {bit}")],
        )
    };
    assert_eq!(
        bit("0x10002c3"),
        "superblock: feature compression, 0x1000000 (incompat bits 0x1000001) is not supported"
    );
    assert_eq!(
        bit("0x2ca"),
        "superblock: feature journal_dev (incompat bits 0x8) is not supported"
    );
    let flag = |flag: &str| {
        refused(
            "-t ext4 -O encrypt,casefold",
            &[&format!("set_inode_field /dir flags {flag}")],
        )
    };
    assert!(flag("0x80800").ends_with("an encrypted file is not supported"));
    assert!(flag("0x40080000").ends_with("a case-insensitive directory is not supported"));
    let link = |to: &str| refused("-t ext4", &[&format!("link {to} /dir/again")]);
    assert!(link("/dir/below").ends_with("the directory has two names"));
    assert!(link("/").ends_with("entry `again`: names a reserved inode"));
    assert!(link("<8>").ends_with("entry `again`: names a reserved inode"));
    assert!(
        refused("-t ext4", &["set_inode_field /dir links_count 0"])
            .ends_with("it has a name but is free")
    );
}

/// What a crash leaves: `work` on a mounted filesystem, the last of it committed to the journal
/// only.
fn crash(args: &str, options: &str) -> Option<(Image, PathBuf)> {
    let image = Image::make(args, 48)?;
    let mount = image.mount(&format!("{options},commit=600"));
    fill(
        &mount.0,
        Scale {
            entries: 1_000,
            extents: 100,
            sparse: 1 << 30,
        },
    );
    rustix::fs::syncfs(File::open(&mount.0).unwrap()).unwrap();
    let open = File::open(mount.0.join("file-70000")).unwrap();
    let at = |name: &str| mount.0.join(name);
    std::fs::remove_dir_all(at("acl-default")).unwrap();
    std::fs::remove_file(at("file-70000")).unwrap();
    for number in 0..200 {
        std::fs::remove_file(at(&format!(
            "large/entry-{:06}-{}",
            number * 3,
            "x".repeat(number * 3 % 40)
        )))
        .unwrap();
        std::fs::write(at(&format!("large/new-{number}")), format!("new {number}")).unwrap();
    }
    std::fs::rename(at("links"), at("acl-renamed")).unwrap();
    let mut magic = vec![0xC0, 0x3B, 0x39, 0x98];
    magic.resize(9_000, b'm');
    std::fs::write(at("begins-with-magic"), &magic).unwrap();
    File::open(at("begins-with-magic"))
        .unwrap()
        .sync_all()
        .unwrap();
    let crashed = image.copy("crashed");
    drop(open);
    drop(mount);
    Some((image, crashed))
}

#[test]
fn what_a_crash_left_is_recovered() {
    let (Some(e2fsck), Some(debugfs), true) = (tool("e2fsck"), tool("debugfs"), root()) else {
        return;
    };
    let cases = [
        ("-t ext4", "rw"),
        ("-t ext4 -b 1024 -O ^64bit", "data=journal"),
        ("-t ext4 -O ^metadata_csum,^64bit", "journal_checksum"),
        ("-t ext4 -O ^metadata_csum,orphan_file", "rw"),
        ("-t ext3 -b 1024", "data=journal"),
    ];
    for (args, options) in cases {
        let Some((image, crashed)) = crash(args, options) else {
            return;
        };
        let (info, tree) = read(&crashed).unwrap_or_else(|e| panic!("{args}: {e}"));
        assert!(
            info.replayed.is_some_and(|blocks| blocks > 20),
            "{args}: {:?}",
            info.replayed
        );
        let checked = image.copy("checked");
        std::fs::copy(&crashed, &checked).unwrap();
        let status = run(&e2fsck, &[&"-fy", &checked]).status.code();
        assert!(
            matches!(status, Some(0 | 1)),
            "{args}: e2fsck ended with {status:?}"
        );
        let theirs = Mount::new(&checked, image.dir.path(), "ro").facts();
        assert!(
            theirs.contains_key(&b"/large/new-199"[..])
                && !theirs.contains_key(&b"/file-70000"[..]),
            "{args}"
        );
        compare(args, &facts::of_tree(&tree), &theirs);
        // Without its journal the same filesystem is another one, so the comparison above had
        // something to find.
        must(
            &debugfs,
            &[&"-w", &"-R", &"feature -needs_recovery", &crashed],
        );
        let without = read(&crashed)
            .map(|(_, tree)| facts::differences(&facts::of_tree(&tree), &theirs).len());
        assert!(
            !matches!(without, Ok(0)),
            "{args}: the journal made no difference"
        );
    }
}

#[test]
fn fast_commits_are_refused_and_not_overlooked() {
    if !root() {
        return;
    }
    let Some(image) = Image::make("-t ext4 -O fast_commit", 64) else {
        return;
    };
    let mount = image.mount("rw,commit=600");
    let write = |name: &str| {
        let path = mount.0.join(name);
        std::fs::write(&path, name).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
    };
    write("first");
    rustix::fs::syncfs(File::open(&mount.0).unwrap()).unwrap();
    write("second");
    let crashed = image.copy("crashed");
    drop(mount);
    let error = read(&crashed).map(|_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("recovery from fast commits (feature fast_commit) is not supported"),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert!(read(&image.path).is_ok());
}
