//! FAT: ours before `fsck.vfat` and mtools, that of `mkfs.vfat` before us, the `fatfs` crate as
//! third opinion, and damage.

use crate::support::{must, noise, run, save, scratch, tool};
use goldsmith::fs::fat::{self, Error, FatKind, Options, RequestedKind};
use goldsmith::stamp::Time;
use goldsmith::stream::{Content, FileSource, MemSource, ReadAt};
use goldsmith::tree::dump::dump;
use goldsmith::tree::{Stat, Tree};
use goldsmith::units::{KIB, MIB};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 0,
};

fn options() -> Options {
    Options {
        volume_id: 0xdead_beef,
        label: Some("bootfs".into()),
        time: TIME,
        kind: RequestedKind::Auto,
        hidden_sectors: 2048,
    }
}

fn stat() -> Stat {
    Stat::root(0o644, TIME)
}

/// Bytes that differ from place to place.
/// A boot partition with names of every sort; `many` files in one directory.
fn tree(many: usize) -> Tree {
    let mut tree = Tree::new(Stat::root(
        0o755,
        Time {
            seconds: 315_532_800,
            nanos: 0,
        },
    ));
    let mut put =
        |path: &str, bytes: Vec<u8>| tree.put_file(path, bytes, stat()).map(drop).unwrap();
    put("/EFI/BOOT/BOOTX64.EFI", noise(1_000_000, 1));
    put("/EFI/debian/grubx64.efi", noise(123_457, 2));
    put("/cmdline.txt", b"root=/dev/mmcblk0p2\n".to_vec());
    put("/README", vec![]);
    put("/overlays/vc4-kms-v3d-pi4.dtbo", noise(4096, 3));
    put("/größe und 😀.txt", noise(513, 4));
    put(&format!("/{}", "n".repeat(255)), noise(77, 5));
    put("/grub-mender-grubenv/mender_grubenv1/env", vec![b'#'; 1024]);
    put("/a/b/c/d/e/f/g/.hidden", noise(1, 6));
    for n in 0..many {
        put(
            &format!("/many/a rather long name {n:04}.dtb"),
            noise(n % 700, n as u64),
        );
    }
    tree.stat_mut("/cmdline.txt").unwrap().mode = 0o444;
    tree.mkdir("/empty", &Stat::root(0o755, TIME)).unwrap();
    tree
}

fn load(path: &Path) -> Result<(Tree, fat::Info), Error> {
    fat::read(Arc::new(FileSource::open(path).unwrap()))
}

/// Path to content of every file that the `fatfs` crate sees.
fn by_fatfs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &fatfs::Dir<'_, File>, prefix: &str, out: &mut BTreeMap<String, Vec<u8>>) {
        for entry in dir
            .iter()
            .map(Result::unwrap)
            .filter(|entry| !matches!(entry.file_name().as_str(), "." | ".."))
        {
            let path = format!("{prefix}/{}", entry.file_name());
            if entry.is_dir() {
                walk(&entry.to_dir(), &path, out);
            } else {
                let mut bytes = vec![];
                entry.to_file().read_to_end(&mut bytes).unwrap();
                out.insert(path, bytes);
            }
        }
    }
    let file = File::options().read(true).write(true).open(path).unwrap();
    let volume = fatfs::FileSystem::new(file, fatfs::FsOptions::new()).unwrap();
    let mut out = BTreeMap::new();
    walk(&volume.root_dir(), "", &mut out);
    out
}

fn by_us(tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        if let goldsmith::tree::DirEntry::Leaf(_) = entry {
            out.insert(
                String::from_utf8(path.to_vec()).unwrap(),
                tree.read(path, 1 << 30).unwrap().unwrap(),
            );
        }
    });
    out
}

/// `fsck.vfat -n` must succeed and say nothing but its own version and the counts.
fn fsck_is_silent(path: &Path) {
    let Some(fsck) = tool("fsck.vfat") else {
        return;
    };
    let said = must(fsck, &[&"-n", &path]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("fsck.fat ") && lines[1].contains(" files, "),
        "{said}"
    );
}

#[test]
fn every_kind_comes_back_and_satisfies_strangers() {
    let dir = scratch();
    let path = dir.path().join("fat");
    let sizes = [
        (2 * MIB, FatKind::Fat12),
        (20 * MIB, FatKind::Fat16),
        (34 * MIB, FatKind::Fat32),
        (512 * MIB, FatKind::Fat32),
    ];
    for (size, kind) in sizes {
        let tree = tree(300);
        let content = fat::write(&tree, size, &options()).unwrap();
        assert_eq!(content.len(), size);
        save(&content, &path);
        let (back, info) = load(&path).unwrap();
        assert_eq!(
            (info.kind, info.volume_id, info.label.as_deref(), info.dirty),
            (kind, 0xdead_beef, Some("bootfs"), false)
        );
        assert_eq!(dump(&back).unwrap(), dump(&tree).unwrap());
        // File data stays where it is, in one piece each.
        back.visit(&mut |path, _| {
            if let Some(file) = back.file(path) {
                assert!(file.runs().len() <= 1, "{path:?}");
            }
        });
        fsck_is_silent(&path);
        assert_eq!(by_fatfs(&path), by_us(&tree));
        let (Some(mdir), Some(mcopy), Some(minfo)) = (tool("mdir"), tool("mcopy"), tool("minfo"))
        else {
            continue;
        };
        let out = dir.path().join(kind.to_string() + &size.to_string());
        fs::create_dir(&out).unwrap();
        must(
            mcopy,
            &[
                &"-s",
                &"-i",
                &path,
                &"::/EFI",
                &"::/many",
                &"::/cmdline.txt",
                &out,
            ],
        );
        assert_eq!(
            fs::read(out.join("EFI/BOOT/BOOTX64.EFI")).unwrap(),
            noise(1_000_000, 1)
        );
        assert_eq!(
            fs::read(out.join("many/a rather long name 0299.dtb")).unwrap(),
            noise(299, 299)
        );
        let listing = must(mdir, &[&"-i", &path, &"::/"]);
        assert!(
            listing.contains("Volume Serial Number is DEAD-BEEF") && listing.contains("bootfs"),
            "{listing}"
        );
        assert!(must(minfo, &[&"-i", &path, &"::"]).contains("hidden sectors: 2048"));
    }
}

#[test]
fn fsck_sees_damage() {
    let Some(fsck) = tool("fsck.vfat") else {
        return;
    };
    let dir = scratch();
    let path = dir.path().join("fat");
    save(&fat::write(&tree(3), 34 * MIB, &options()).unwrap(), &path);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut boot = [0; 512];
    file.read_exact_at(&mut boot, 0).unwrap();
    let table = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
    file.write_all_at(&[2, 0, 0, 0], table + 4 * 2).unwrap();
    assert!(!run(fsck, &[&"-n", &path]).status.success());
    assert!(matches!(load(&path), Err(Error::Corrupt { .. })));
}

#[test]
fn the_least_size_is_enough_and_less_is_not() {
    let dir = scratch();
    let path = dir.path().join("fat");
    for (kind, many) in [
        (RequestedKind::Auto, 0),
        (RequestedKind::Auto, 4000),
        (RequestedKind::Fat16, 0),
        (RequestedKind::Fat32, 0),
        (RequestedKind::Fat32, 500),
    ] {
        let (tree, options) = (tree(many), Options { kind, ..options() });
        let size = fat::minimum_size(&tree, &options).unwrap();
        save(&fat::write(&tree, size, &options).unwrap(), &path);
        fsck_is_silent(&path);
        assert_eq!(dump(&load(&path).unwrap().0).unwrap(), dump(&tree).unwrap());
        let less = fat::write(&tree, size - 64 * KIB, &options);
        assert!(
            matches!(
                less,
                Err(Error::TooSmall { needed, .. })
                    if needed == size || kind != RequestedKind::Auto
            ),
            "{less:?}"
        );
    }
    assert_eq!(
        fat::minimum_size(&Tree::new(stat()), &options()).unwrap() % 512,
        0
    );
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let make = || {
        fat::write(&tree(20), 20 * MIB, &options())
            .unwrap()
            .read_all(20 * MIB)
            .unwrap()
    };
    assert_eq!(make(), make());
}

#[test]
fn file_data_and_holes_stay_outside_memory() {
    let mut tree = Tree::new(stat());
    let mut sparse = Content::hole(0);
    sparse.push_bytes(MIB, *b"x");
    sparse.set_len(300 * MIB);
    tree.put(
        "/big",
        goldsmith::tree::Leaf {
            stat: stat(),
            kind: goldsmith::tree::LeafKind::File(sparse),
        },
    )
    .unwrap();
    let volume = fat::write(&tree, 512 * MIB, &options()).unwrap();
    let (mut at, mut data) = (0, 0);
    while let Some(range) = volume.next_data(at).unwrap() {
        data += range.end - range.start;
        at = range.end;
    }
    assert!(data < 2 * MIB, "{data}");
}

#[test]
fn what_fat_cannot_hold_is_named() {
    let refused = |edit: &dyn Fn(&mut Tree)| {
        let mut tree = Tree::new(stat());
        edit(&mut tree);
        match fat::write(&tree, 20 * MIB, &options()) {
            Err(error @ Error::Unwritable { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let put = |tree: &mut Tree, path: &[u8]| assert!(tree.put_file(path, "x", stat()).is_ok());
    assert!(
        refused(&|t| assert!(t.put_symlink("/d/l", "x", TIME).is_ok()))
            .starts_with("/d/l: is a symbolic link")
    );
    assert!(refused(&|t| put(t, b"/d/a:b")).contains("':'"));
    assert!(refused(&|t| put(t, b"/dot.")).contains("ends in a dot"));
    assert!(refused(&|t| put(t, b"/\xff")).contains("not UTF-8"));
    assert!(
        refused(&|t| [&b"/X/a"[..], b"/x/b"].iter().for_each(|p| put(t, p)))
            .contains("in case only")
    );
    let big = goldsmith::tree::Leaf {
        stat: stat(),
        kind: goldsmith::tree::LeafKind::File(Content::hole(1 << 32)),
    };
    assert!(refused(&|t| assert!(t.put("/big", big.clone()).is_ok())).contains("exceed"));
    let label = |label: &str| {
        fat::write(
            &Tree::new(stat()),
            MIB,
            &Options {
                label: Some(label.into()),
                ..options()
            },
        )
    };
    assert!(
        matches!(label("far too long"), Err(Error::Options(_)))
            && matches!(label("a.b"), Err(Error::Options(_)))
    );
}

#[test]
fn the_work_of_mkfs_and_mtools_is_read() {
    let (Some(mkfs), Some(mcopy), Some(mmd)) = (tool("mkfs.vfat"), tool("mcopy"), tool("mmd"))
    else {
        return;
    };
    let dir = scratch();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    let names = [
        "lower.txt",
        "UPPER.TXT",
        "Mixed.Case",
        "ein langer Name mit ÄÖÜ und ß.conf",
        "日本語の名前.txt",
        "LOWER.ext",
    ];
    for (seed, name) in (7..).zip(names) {
        fs::write(
            files.join(name),
            noise(3000 * usize::try_from(seed).unwrap(), seed),
        )
        .unwrap();
    }
    for (bits, size, kind) in [
        ("12", 2 * MIB, FatKind::Fat12),
        ("16", 20 * MIB, FatKind::Fat16),
        ("32", 40 * MIB, FatKind::Fat32),
    ] {
        let path = dir.path().join(bits);
        File::create(&path).unwrap().set_len(size).unwrap();
        must(
            &mkfs,
            &[&"-F", &bits, &"-n", &"LABEL", &"-i", &"12345678", &path],
        );
        must(&mmd, &[&"-i", &path, &"::/sub", &"::/sub/Deeper Directory"]);
        let script = format!(
            "LC_ALL=C.UTF-8 {} -Q -i {} {}/* '::/sub/Deeper Directory'",
            mcopy.display(),
            path.display(),
            files.display()
        );
        must("sh", &[&"-c", &script]);
        let (tree, info) = load(&path).unwrap();
        assert_eq!(
            (info.kind, info.volume_id, info.label.as_deref()),
            (kind, 0x1234_5678, Some("LABEL"))
        );
        assert_eq!(by_us(&tree), by_fatfs_cased(&path, &tree));
        for (seed, name) in (7..).zip(names) {
            let bytes = tree
                .read(format!("/sub/Deeper Directory/{name}"), MIB)
                .unwrap();
            assert_eq!(
                bytes.unwrap_or_else(|| panic!("{name}")),
                noise(3000 * usize::try_from(seed).unwrap(), seed)
            );
        }
        // Read-only and hidden.
        if let Some(mattrib) = tool("mattrib") {
            must(mattrib, &[&"-i", &path, &"+r", &"+h", &"::/sub"]);
            let (tree, info) = load(&path).unwrap();
            assert_eq!(
                (tree.dir("/sub").unwrap().stat.mode, info.hidden),
                (0o555, vec![b"/sub".to_vec()])
            );
        }
    }
}

/// What `fatfs` sees, under the names that we see: it does not know the case bits of NT.
fn by_fatfs_cased(path: &Path, tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    let ours: BTreeMap<String, String> = by_us(tree)
        .into_keys()
        .map(|path| (path.to_lowercase(), path))
        .collect();
    by_fatfs(path)
        .into_iter()
        .map(|(path, bytes)| (ours[&path.to_lowercase()].clone(), bytes))
        .collect()
}

#[test]
fn flips_and_cuts_never_panic() {
    for (size, seed) in [(2 * MIB, 1u64), (20 * MIB, 2), (34 * MIB, 3)] {
        let content = fat::write(&tree(40), size, &options()).unwrap();
        let mut places = vec![];
        for run in content
            .runs()
            .iter()
            .filter(|run| run.offset < content.runs()[8.min(content.runs().len() - 1)].end())
        {
            places.push(run.offset..run.end());
        }
        let mut state = seed;
        for round in 0..250 {
            let mut flips = vec![];
            for _ in 0..1 + round % 4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let place = &places[(state >> 40) as usize % places.len()];
                let len = (place.end - place.start).min(4096);
                flips.push((place.start + (state >> 20) % len, 1 << (state >> 60 & 7)));
            }
            let _ = fat::read(Arc::new(Flipped(content.clone(), flips)));
        }
        for len in [0, 11, 511, 512, 1024, 5000, 20_000, size / 2] {
            let cut = content.read_all(size).unwrap()[..usize::try_from(len).unwrap()].into();
            assert!(fat::read(Arc::new(MemSource(cut))).is_err());
        }
    }
}

/// A volume with bits turned at some places.
#[derive(Debug)]
struct Flipped(Content, Vec<(u64, u8)>);

impl ReadAt for Flipped {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.read_exact_at(offset, buf)?;
        for (at, bit) in &self.1 {
            if let Some(byte) = at
                .checked_sub(offset)
                .and_then(|at| buf.get_mut(usize::try_from(at).unwrap()))
            {
                *byte ^= bit;
            }
        }
        Ok(())
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_that_fat_can_hold_comes_back(
        files in proptest::collection::vec(("([a-zA-Z0-9 ~äß€😀]{0,14}[a-zA-Z_äß😀]{1,3}/){0,3}[a-z.A-Z0-9+~é]{0,30}[a-z0-9]", 0usize..3000), 0..40),
        size in proptest::sample::select(vec![4 * MIB, 18 * MIB, 40 * MIB]),
    ) {
        let mut tree = Tree::new(Stat::root(0o755, Time { seconds: 315_532_800, nanos: 0 }));
        let mut taken = std::collections::BTreeSet::new();
        for (path, len) in files {
            // Nothing may differ in case only, at any depth.
            let folded = path.to_lowercase();
            let leading = path.split('/').any(|part| part.starts_with(' '));
            if leading || !taken.insert(folded.clone()) || folded != path {
                continue;
            }
            let _ = tree.put_file(&path, noise(len, len as u64), stat());
        }
        let volume = fat::write(&tree, size, &options()).unwrap();
        let (back, _) = fat::read(Arc::new(volume)).unwrap();
        proptest::prop_assert_eq!(dump(&back).unwrap(), dump(&tree).unwrap());
    }
}
