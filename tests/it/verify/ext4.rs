//! ext4: damages by debugfs, which keeps checksums right, and by patching bytes; many kinds of good
//! filesystems; and e2fsck as the judge of random flips.

use super::{Patch, expect, le32, patched, verify};
use crate::support::{must, root, run, scratch, tool};
use goldsmith::stream::{FileSource, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What fills file contents, to tell them from metadata.
const DATA: &[u8] = b"DATAdata";

/// Files of every kind.
fn fill(dir: &Path) {
    use std::os::unix::fs::symlink;
    std::fs::create_dir_all(dir.join("sub/deep")).unwrap();
    std::fs::write(dir.join("one"), DATA.repeat(1200)).unwrap();
    std::fs::write(dir.join("two"), DATA.repeat(700)).unwrap();
    std::fs::hard_link(dir.join("one"), dir.join("sub/link")).unwrap();
    symlink("sub", dir.join("fast")).unwrap();
    symlink("t".repeat(100), dir.join("slow")).unwrap();
    std::fs::create_dir(dir.join("many")).unwrap();
    for number in 0..260 {
        std::fs::write(
            dir.join(format!("many/a file with a long name, number {number:04}")),
            "",
        )
        .unwrap();
    }
    // Holes make an extent tree with nodes of its own.
    let holes = std::fs::File::create(dir.join("holes")).unwrap();
    for number in 0..40 {
        use std::os::unix::fs::FileExt;
        holes
            .write_all_at(&DATA.repeat(128), number * 4096)
            .unwrap();
    }
}

/// An image of 10 MiB with blocks of 1 KiB and these features.
pub(super) fn make(dir: &Path, name: &str, features: &str) -> Option<PathBuf> {
    let (mke2fs, debugfs) = (tool("mke2fs")?, tool("debugfs")?);
    let tree = dir.join("tree");
    if !tree.exists() {
        fill(&tree);
    }
    let image = dir.join(name);
    let size = "10M";
    // With another seed the hash of a damaged name could belong to the same leaf.
    let seed = "hash_seed=1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    must(
        &mke2fs,
        &[
            &"-q", &"-t", &"ext4", &"-b", &"1024", &"-O", &features, &"-E", &seed, &"-d", &tree,
            &image, &size,
        ],
    );
    let value = "v".repeat(300);
    // Two attributes too large for the inode, so that it has a block of them.
    let attribute = |name: &str| format!("ea_set /two {name} {value}");
    // The last one lies in the inode.
    for command in [
        &attribute("user.a"),
        &attribute("user.b"),
        "mknod null c 1 3",
        "ea_set /null user.c small",
    ] {
        debug(&debugfs, &image, command);
    }
    // debugfs does not keep the index of a directory; e2fsck makes it.
    run(tool("e2fsck")?, &[&"-fyD", &image]);
    Some(image)
}

fn debug(debugfs: &Path, image: &Path, command: &str) -> String {
    must(debugfs, &[&"-w", &"-R", &command, &image])
}

fn open(image: &Path) -> Source {
    Arc::new(FileSource::open(image).unwrap())
}

/// What debugfs says in the first number behind `word`.
fn number(text: &str, word: &str) -> u64 {
    let rest = text
        .split(word)
        .nth(1)
        .unwrap_or_else(|| panic!("no `{word}` in {text}"));
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_hexdigit() || *c == 'x')
        .collect();
    digits.strip_prefix("0x").map_or_else(
        || digits.parse().unwrap(),
        |hex| u64::from_str_radix(hex, 16).unwrap(),
    )
}

/// An image in memory, and where things are in it.
pub(super) struct Image {
    path: PathBuf,
    pub(super) bytes: Arc<Vec<u8>>,
    debugfs: PathBuf,
}

impl Image {
    pub(super) fn new(path: PathBuf) -> Self {
        let bytes = Arc::new(std::fs::read(&path).unwrap());
        Self {
            path,
            bytes,
            debugfs: tool("debugfs").unwrap(),
        }
    }

    pub(super) fn ask(&self, command: &str) -> String {
        must(&self.debugfs, &[&"-R", &command, &self.path])
    }

    /// Where the `block`th block of a file begins.
    pub(super) fn block(&self, file: &str, block: u32) -> u64 {
        let text = self.ask(&format!("bmap {file} {block}"));
        text.trim().parse::<u64>().unwrap() * 1024
    }

    /// Where an inode begins.
    pub(super) fn inode(&self, file: &str) -> u64 {
        let text = self.ask(&format!("imap {file}"));
        number(&text, "located at block ") * 1024 + number(&text, "offset ")
    }

    /// Where an entry of a directory's first block begins.
    fn entry(&self, dir: &str, name: &str) -> u64 {
        self.entry_in(self.block(dir, 0), name)
    }

    fn entry_in(&self, block: u64, name: &str) -> u64 {
        let end = block as usize + 1024;
        let found = self.bytes[block as usize..end]
            .windows(name.len())
            .position(|window| window == name.as_bytes());
        block + found.unwrap_or_else(|| panic!("no {name}")) as u64 - 8
    }

    fn flip(&self, at: u64) -> Patch {
        (at, vec![self.bytes[at as usize] ^ 0x55])
    }
}

/// Damages through debugfs: code, commands, on an image with all checksums.
const COMMANDS: &[(&str, &[&str])] = &[
    ("ext4-state", &["ssv state 0"]),
    ("ext4-state", &["ssv error_count 3"]),
    ("ext4-free-blocks", &["ssv free_blocks_count 5"]),
    ("ext4-free-inodes", &["ssv free_inodes_count 5"]),
    ("ext4-journal", &["feature needs_recovery"]),
    (
        "ext4-group",
        &["set_bg 0 itable_unused 9999", "set_bg 0 checksum calc"],
    ),
    (
        "ext4-block-bitmap",
        &["set_bg 0 flags 2", "set_bg 0 checksum calc"],
    ),
    ("ext4-symlink", &["sif /slow size 2000"]),
    ("ext4-resize", &["sif <7> block[0] 5"]),
    ("ext4-resize", &["sif <7> size 5"]),
    ("ext4-inode-blocks", &["sif <7> blocks 5"]),
    ("ext4-orphans", &["ssv last_orphan 13"]),
    (
        "ext4-group",
        &["set_bg 0 inode_table 99999999", "set_bg 0 checksum calc"],
    ),
    ("ext4-inode-mode", &["sif /one mode 0x91a4"]),
    ("ext4-inode-flags", &["sif /null flags 0x80000"]),
    ("ext4-inode-flags", &["sif /one flags 0x81000"]),
    ("ext4-inode-flags", &["sif /one flags 0x180000"]),
    ("ext4-inode-deleted", &["sif /one dtime 1700000000"]),
    ("ext4-inode-reserved", &["sif /one faddr 5"]),
    ("ext4-inode-reserved", &["sif <6> block[2] 700"]),
    (
        "ext4-journal",
        &["ssv journal_uuid 01020304-0000-0000-0000-000000000000"],
    ),
    ("ext4-inode-size", &["sif /one size 100"]),
    ("ext4-inode-blocks", &["sif /one blocks 99"]),
    ("ext4-symlink", &["sif /fast size 2"]),
    ("ext4-symlink", &["sif /slow size 99"]),
    ("ext4-extent-tree", &["sif /one block[0] 0x1f30b"]),
    ("ext4-extent-order", &["sif /one block[4] 0"]),
    ("ext4-extent-range", &["sif /one block[5] 0x7fffffff"]),
    ("ext4-dir-inode", &["ln <2000> /ghost"]),
    ("ext4-dir-parents", &["ln /sub/deep /sub/again"]),
    ("ext4-dir-hole", &["sif /sub size 2048"]),
    ("ext4-links", &["sif /one links_count 5"]),
    ("ext4-unreachable", &["unlink /two"]),
    ("ext4-root", &["sif <2> mode 0100755"]),
    (
        "ext4-free-blocks",
        &["set_bg 0 free_blocks_count 5", "set_bg 0 checksum calc"],
    ),
    (
        "ext4-free-inodes",
        &["set_bg 0 free_inodes_count 5", "set_bg 0 checksum calc"],
    ),
    (
        "ext4-used-dirs",
        &["set_bg 0 used_dirs_count 9", "set_bg 0 checksum calc"],
    ),
    ("ext4-block-bitmap", &["freeb 700"]),
    ("ext4-inode-bitmap", &["freei /one"]),
];

#[test]
fn each_damage_by_debugfs_has_its_own_finding() {
    let dir = scratch();
    let Some(image) = make(dir.path(), "good", "metadata_csum,^uninit_bg") else {
        return;
    };
    expect(&verify(&open(&image)), &[], "the good image");
    let debugfs = tool("debugfs").unwrap();
    for (code, commands) in COMMANDS {
        let copy = dir.path().join("bad");
        std::fs::copy(&image, &copy).unwrap();
        commands
            .iter()
            .for_each(|command| drop(debug(&debugfs, &copy, command)));
        expect(&verify(&open(&copy)), &[code], &format!("{commands:?}"));
    }
    // What is in a directory that cannot be read is missed elsewhere.
    debug(&debugfs, &image, "sif /sub size 1000");
    let found = verify(&open(&image)).findings;
    assert!(
        found
            .iter()
            .any(|finding| finding.code == "ext4-inode-size"),
        "{found:?}"
    );
}

/// Damages by bytes on an image without checksums, where only the structure itself tells.
/// One change of bytes.
fn put(at: u64, bytes: &[u8]) -> Vec<Patch> {
    vec![(at, bytes.to_vec())]
}

/// Damage of superblocks, inodes, the journal and the resize inode, each with its finding.
fn damaged_structures(image: &Image) -> Vec<(&'static str, Vec<Patch>)> {
    let journal = image.block("<8>", 0);
    let resize = u64::from(le32(&image.bytes, image.inode("<7>") + 40 + 4 * 13)) * 1024;
    let spare = image.inode("<2000>");
    vec![
        ("ext4-superblock", put(1024 + 0x20, &[0; 4])),
        ("ext4-superblock", put(1024, &[1])),
        ("ext4-backup", put(8193 * 1024 + 0x68, b"another!")),
        ("ext4-backup", put(8194 * 1024, &[9])),
        ("ext4-inode-deleted", put(spare, &[0xA4, 0x81])),
        ("ext4-inode-extra", put(image.inode("/one") + 128, &[33])),
        ("ext4-journal", put(journal + 28, &[0, 0, 0, 1])),
        ("ext4-journal", put(1024 + 0x10C + 4 * 5, &[1])),
        // Checksums are promised that are not there.
        ("ext4-journal", put(journal + 40, &[0, 0, 0, 0x10])),
        ("ext4-resize", put(resize, &[1; 1024])),
    ]
}

/// Damage of directories, each with its finding.
fn damaged_directories(image: &Image) -> Vec<(&'static str, Vec<Patch>)> {
    let (root, sub) = (image.block("/", 0), image.block("/sub", 0));
    let index = image.block("/many", 0);
    let name_in_leaf = image.block("/many", 1) + 8;
    let two = image.entry("/", "two");
    let twin = image.entry("/sub", "deep") + 8;
    let lower = [image.bytes[index as usize + 34] - 1];
    vec![
        ("ext4-dir-entry", put(two + 4, &[11])),
        ("ext4-dir-name", put(two + 9, b"/")),
        ("ext4-dir-duplicate", put(twin, b"link")),
        ("ext4-dir-dots", put(sub + 12, &[13])),
        ("ext4-dir-dots", put(root, &[13])),
        ("ext4-dir-dots", put(root + 12, &[13])),
        ("ext4-dir-type", put(two + 7, &[7])),
        ("ext4-dir-index", put(index + 24 + 5, &[7])),
        ("ext4-dir-index", put(index + 24 + 8 + 4, &[200])),
        ("ext4-dir-index", put(index + 32, &[3])),
        ("ext4-dir-index", put(index + 34, &lower)),
        ("ext4-dir-hash", put(name_in_leaf, b"X")),
    ]
}

/// Damage of extended attributes, each with its finding.
fn damaged_attributes(image: &Image) -> Vec<(&'static str, Vec<Patch>)> {
    let attributes = u64::from(le32(&image.bytes, image.inode("/two") + 0x68)) * 1024;
    let (first_name, value) = (attributes + 32 + 16, attributes + 1023);
    let inline = image.inode("/null") + 160 + 4;
    let index = [
        put(attributes + 32 + 1, &[77]),
        put(attributes + 32 + 16 + 4 + 1, &[77]),
    ];
    // The order alone: the block has no hash, and that of the attribute is right for its new name
    // (a value of 75 words turns what the name gives by 16 bits).
    let hash = attributes + 32 + 12 + 2;
    let order = [
        put(attributes + 12, &[0; 4]),
        put(hash, &[image.bytes[hash as usize] ^ b'a' ^ b'z']),
        put(first_name, b"z"),
    ];
    vec![
        ("ext4-xattr", put(attributes, &[1])),
        ("ext4-xattr", put(attributes + 32 + 2, &[0xFF, 0xFF])),
        ("ext4-xattr", put(inline + 2, &[0xFF, 0xFF])),
        ("ext4-xattr", index.concat()),
        ("ext4-xattr-hash", put(attributes + 12, &[1, 2, 3, 4])),
        ("ext4-xattr-hash", put(value, b"w")),
        ("ext4-xattr-references", put(attributes + 4, &[7])),
        ("ext4-xattr-order", order.concat()),
    ]
}

#[test]
fn each_damage_of_a_structure_has_its_own_finding() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "good", "^metadata_csum,^uninit_bg") else {
        return;
    };
    let image = Image::new(path);
    expect(&verify(&open(&image.path)), &[], "the good image");
    let cases = [damaged_structures, damaged_directories, damaged_attributes];
    for (code, patches) in cases.into_iter().flat_map(|cases| cases(&image)) {
        expect(
            &verify(&patched(&image.bytes, &patches)),
            &[code],
            &format!("{code}: {patches:x?}"),
        );
    }
}

#[test]
fn special_inodes_that_are_gone_are_found() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "good", "^metadata_csum,^uninit_bg,orphan_file") else {
        return;
    };
    let image = Image::new(path);
    expect(&verify(&open(&image.path)), &[], "the good image");
    let orphans = format!("<{}>", le32(&image.bytes, 1024 + 0x280));
    let written = patched(
        &image.bytes,
        &[(image.block(&orphans, 0), vec![13, 0, 0, 0])],
    );
    expect(
        &verify(&written),
        &["ext4-orphans"],
        "a name on the list of orphans",
    );
    // An inode whose map or life has gone leaves what it had to nobody.
    let empty = image.inode("<8>") + 40 + 2;
    let journal = verify(&patched(&image.bytes, &[(empty, vec![0; 2])]));
    expect(
        &journal,
        &[
            "ext4-block-bitmap",
            "ext4-free-blocks",
            "ext4-inode-blocks",
            "ext4-journal",
        ],
        "a journal without a map",
    );
    let resize = verify(&patched(
        &image.bytes,
        &[(image.inode("<7>"), vec![0; 128])],
    ));
    expect(
        &resize,
        &["ext4-block-bitmap", "ext4-free-blocks", "ext4-resize"],
        "no inode for growing",
    );
}

#[test]
fn shared_and_foreign_blocks_are_found_in_maps_without_extents() {
    let dir = scratch();
    let Some(path) = make(
        dir.path(),
        "good",
        "^extent,^64bit,^metadata_csum,^uninit_bg",
    ) else {
        return;
    };
    let image = Image::new(path);
    expect(&verify(&open(&image.path)), &[], "the good image");
    let (one, two) = (image.inode("/one") + 40, image.inode("/two") + 40);
    let block = image.bytes[one as usize..one as usize + 4].to_vec();
    expect(
        &verify(&patched(&image.bytes, &[(two, block)])),
        &["ext4-shared-block"],
        "a block of two files",
    );
    expect(
        &verify(&patched(&image.bytes, &[(two, vec![0xFF; 4])])),
        &["ext4-block-map"],
        "a block outside",
    );
    expect(
        &verify(&patched(&image.bytes, &[(two, vec![5, 0, 0, 0])])),
        &["ext4-shared-block"],
        "a block of metadata",
    );
}

/// Every checksum: one byte that nothing else looks at.
#[test]
fn each_checksum_is_checked() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "good", "metadata_csum") else {
        return;
    };
    let image = Image::new(path);
    expect(&verify(&open(&image.path)), &[], "the good image");
    let extents = u64::from(le32(&image.bytes, image.inode("/holes") + 40 + 16)) * 1024;
    let attributes = u64::from(le32(&image.bytes, image.inode("/two") + 0x68)) * 1024;
    let desc = 2048;
    let (blocks, inodes) = (
        u64::from(le32(&image.bytes, desc)) * 1024,
        u64::from(le32(&image.bytes, desc + 4)) * 1024,
    );
    let cases = [
        ("ext4-superblock-checksum", 1024 + 0x88),
        ("ext4-group-checksum", desc + 0x3C),
        ("ext4-inode-checksum", image.inode("/one") + 8),
        (
            "ext4-extent-checksum",
            extents + 12 + 12 * u64::from(le32(&image.bytes, extents + 4) & 0xFFFF),
        ),
        ("ext4-dir-checksum", image.block("/sub", 0) + 1023),
        ("ext4-dir-checksum", image.block("/many", 0) + 1023),
        ("ext4-xattr-checksum", attributes + 20),
        ("ext4-backup", 8193 * 1024 + 0x18),
    ];
    for (code, at) in cases {
        expect(
            &verify(&patched(&image.bytes, &[image.flip(at)])),
            &[code],
            &format!("{code} at {at:#x}"),
        );
    }
    // A wrong bit gives the wrong checksum as well.
    for (at, expected) in [
        (
            blocks + 700,
            ["ext4-block-bitmap", "ext4-block-bitmap-checksum"],
        ),
        (
            inodes + 1,
            ["ext4-inode-bitmap", "ext4-inode-bitmap-checksum"],
        ),
    ] {
        expect(
            &verify(&patched(&image.bytes, &[image.flip(at)])),
            &expected,
            &format!("{at:#x}"),
        );
    }
}

#[test]
fn features_that_cannot_be_followed_are_named() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "inline", "inline_data") else {
        return;
    };
    let outcome = verify(&open(&path));
    expect(&outcome, &["ext4-unchecked"], "inline data");
    assert!(outcome.is_good());
}

#[test]
fn good_filesystems_of_many_features_have_no_findings() {
    let dir = scratch();
    let features = [
        "",
        "^metadata_csum",
        "^metadata_csum,uninit_bg",
        "^extent,^64bit,^metadata_csum",
        "meta_bg,^resize_inode",
        "^has_journal",
        "sparse_super2,^resize_inode",
        "^flex_bg",
        "orphan_file",
        "metadata_csum_seed",
        "mmp",
        "quota,project",
        "large_dir",
        "^dir_index",
        "^huge_file,^dir_nlink,^extra_isize",
        "^filetype",
    ];
    for (number, features) in features.into_iter().enumerate() {
        let Some(image) = make(dir.path(), &format!("image{number}"), features) else {
            return;
        };
        expect(&verify(&open(&image)), &[], features);
        std::fs::remove_file(image).unwrap();
    }
}

#[test]
fn filesystems_that_the_kernel_wrote_have_no_findings() {
    if !root() {
        return;
    }
    let dir = scratch();
    for features in ["metadata_csum,orphan_file", "^extent,^64bit,^metadata_csum"] {
        let Some(image) = make(dir.path(), "mounted", features) else {
            return;
        };
        let mount = dir.path().join("mount");
        std::fs::create_dir_all(&mount).unwrap();
        must("mount", &[&"-o", &"loop", &image, &mount]);
        for number in 0..1500 {
            std::fs::write(
                mount.join(format!("many/made by the kernel {number}")),
                "x".repeat(number % 90),
            )
            .unwrap();
        }
        for number in (0..1500).step_by(3) {
            std::fs::remove_file(mount.join(format!("many/made by the kernel {number}"))).unwrap();
        }
        std::fs::create_dir(mount.join("sub/new")).unwrap();
        std::fs::rename(mount.join("two"), mount.join("sub/new/two")).unwrap();
        must("umount", &[&mount]);
        expect(&verify(&open(&image)), &[], features);
        std::fs::remove_file(image).unwrap();
    }
}

/// Offsets of bytes of metadata: those of blocks that are neither empty nor filled by a file.
fn metadata(bytes: &[u8]) -> Vec<u64> {
    let blocks = bytes.chunks_exact(1024).enumerate();
    let kept = blocks.filter(|(_, block)| {
        block.iter().any(|byte| *byte != 0) && !block.windows(8).any(|window| window == DATA)
    });
    kept.flat_map(|(number, _)| number as u64 * 1024..(number as u64 + 1) * 1024)
        .collect()
}

/// Where e2fsck finds an error in one flipped byte, so does this verification.
#[test]
fn e2fsck_finds_nothing_in_random_damage_that_goes_unnoticed() {
    let dir = scratch();
    let Some(e2fsck) = tool("e2fsck") else { return };
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for features in ["metadata_csum", "^metadata_csum,^uninit_bg"] {
        let Some(path) = make(dir.path(), "good", features) else {
            return;
        };
        let bytes = std::fs::read(&path).unwrap();
        let places = metadata(&bytes);
        let (mut both, mut ours_only, mut neither, mut missed) = (0, 0, 0, Vec::new());
        for _ in 0..100 {
            let at = places[(random() % places.len() as u64) as usize];
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= (random() % 255) as u8 + 1;
            std::fs::write(&path, &damaged).unwrap();
            let theirs = run(&e2fsck, &[&"-fn", &path]);
            let outcome = verify(&open(&path));
            match (theirs.status.success(), outcome.is_good()) {
                (true, true) => neither += 1,
                (true, false) => ours_only += 1,
                (false, false) => both += 1,
                (false, true) => missed.push(format!(
                    "{at:#x}: {}",
                    String::from_utf8_lossy(&theirs.stdout)
                )),
            }
        }
        println!(
            "{features}: both {both}, only ours {ours_only}, neither {neither}, only e2fsck {}",
            missed.len()
        );
        assert!(
            missed.is_empty(),
            "{features}: e2fsck alone found\n{}",
            missed.join("\n")
        );
        std::fs::remove_file(&path).unwrap();
    }
}
