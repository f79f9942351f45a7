//! Filesystems that are laid out by an older one: judged by e2fsck, read back, and held against the
//! older one's layout.

use crate::formats::ext4_write::random::{act, build, path};
use crate::formats::ext4_write::{BLOCK, checked, options, put, tree};
use crate::support::{noise, scratch};
use goldsmith::fs::ext4::FileLayout;
use goldsmith::fs::ext4::read::Filesystem;
use goldsmith::fs::ext4::write::{Options, minimum_size, write};
use goldsmith::stream::{Content, FileSource, Source};
use goldsmith::tree::dump::dump;
use goldsmith::tree::{LeafKind, Tree};
use goldsmith::units::MIB;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn file_layout(image: Source) -> FileLayout {
    Filesystem::open(image).unwrap().file_layout().unwrap()
}

fn preserving(layout: &FileLayout, options: Options) -> Options {
    Options {
        preserve_layout: Some(Arc::new(layout.clone())),
        ..options
    }
}

/// The blocks of an image, one after the other.
fn bytes(content: &Content) -> Vec<u8> {
    content.read_all(1 << 30).unwrap()
}

fn changed(old: &[u8], new: &[u8]) -> usize {
    old.chunks(4096)
        .zip(new.chunks(4096))
        .filter(|(old, new)| old != new)
        .count()
}

/// Every file that is in both by the same name has its inode still, and the blocks that it had as
/// far as it needs them.
fn kept(old: &FileLayout, new: &FileLayout, tree: &Tree) {
    let mut paths = Vec::new();
    tree.visit(&mut |path, _| paths.push([b"/", path].concat()));
    let count = |blocks: &[std::ops::Range<u32>]| -> Vec<u32> {
        blocks.iter().cloned().flatten().collect()
    };
    for path in paths {
        let (Some(old), Some(new)) = (old.get(&path), new.get(&path)) else {
            continue;
        };
        assert_eq!(old.inode, new.inode, "{}", path.escape_ascii());
        let (old, new) = (count(&old.blocks), count(&new.blocks));
        if new.len() <= old.len() {
            assert!(
                old.starts_with(&new),
                "{}: {old:?} {new:?}",
                path.escape_ascii()
            );
        }
    }
}

fn dumped(image: &Path) -> String {
    dump(
        &Filesystem::open(Arc::new(FileSource::open(image).unwrap()))
            .unwrap()
            .tree()
            .unwrap(),
    )
    .unwrap()
}

#[test]
fn a_small_change_changes_few_blocks() {
    let files = |tree: &mut Tree, skip: usize| {
        for n in (0..2000).filter(|n| *n != skip) {
            let content = Content::bytes(noise(1000 + n * 13 % 50_000, n as u64));
            put(
                tree,
                &format!("/usr/{}/{n}", n % 40),
                LeafKind::File(content),
            );
        }
    };
    let (mut before, mut after) = (tree(), tree());
    files(&mut before, 999);
    files(&mut after, 1000);
    put(
        &mut after,
        "/etc/new",
        LeafKind::File(Content::bytes(noise(9000, 5))),
    );
    let size = minimum_size(&before, &options()).unwrap() + 2 * MIB;
    let old = write(&before, size, &options()).unwrap();
    let old_layout = file_layout(Arc::new(old.clone()));
    let follows = preserving(&old_layout, options());
    let new = write(&after, size, &follows).unwrap();
    let alone = write(&after, size, &options()).unwrap();
    let (old, new, alone) = (bytes(&old), bytes(&new), bytes(&alone));
    let (few, many) = (changed(&old, &new), changed(&old, &alone));
    assert!(
        few < 40 && many > 1000,
        "{few} blocks changed, without the older one {many}"
    );
    let dir = scratch();
    let path = checked(&after, size, &follows, dir.path());
    assert!(
        std::fs::read(&path).unwrap() == new,
        "not the same bytes again"
    );
    kept(
        &old_layout,
        &file_layout(Arc::new(FileSource::open(&path).unwrap())),
        &after,
    );
    // What follows itself is what it was.
    assert!(bytes(&write(&before, size, &preserving(&old_layout, options())).unwrap()) == old);
}

#[test]
fn places_that_cannot_be_do_no_harm() {
    let mut tree = tree();
    for n in 0..50 {
        put(
            &mut tree,
            &format!("/{n}"),
            LeafKind::File(Content::bytes(noise(20_000, n))),
        );
    }
    let size = minimum_size(&tree, &options()).unwrap() + MIB;
    let dir = scratch();
    let lines = [
        "12 0+5 /0",
        "12 0+5 /1",
        "4294967295 1000+5 /2",
        "7 1000+5 /3",
        "90000 4294967290+5 /4",
        "20 800+2 -2+2 /5",
        "21 900+0 5+0 /6",
        "2 700+1 /",
        "2 700+1 /7",
        "11 701+4 /lost+found",
        "30 650+2000 /8",
        "30 700+2 /9",
    ];
    let text = format!("goldsmith places 1 size {size}\n{}\n", lines.join("\n"));
    let strange = preserving(&FileLayout::parse(&text).unwrap(), options());
    let path = checked(&tree, size, &strange, dir.path());
    assert_eq!(
        dumped(&path),
        dumped(&checked(&tree, size, &options(), dir.path()))
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_tree_follows_any_other(
        common in prop::collection::vec((path(), 0u16..0o10000, act()), 0..40),
        before in prop::collection::vec((path(), 0u16..0o10000, act()), 0..20),
        after in prop::collection::vec((path(), 0u16..0o10000, act()), 0..20),
        more in 500u64..3000,
        csum in any::<bool>(),
    ) {
        let options = Options { metadata_csum: csum, spare_inodes: 0, ..options() };
        let old_tree = build([common.clone(), before].concat());
        let new_tree = build([after, common].concat());
        let least = |tree, options: &Options| minimum_size(tree, options).unwrap();
        let size = least(&old_tree, &options).max(least(&new_tree, &options)) + more * BLOCK;
        let old = write(&old_tree, size, &options).unwrap();
        let old_layout = file_layout(Arc::new(old.clone()));
        prop_assert_eq!(&FileLayout::parse(&old_layout.to_text()).unwrap(), &old_layout);
        let follows = preserving(&old_layout, options.clone());
        let dir = scratch();
        let path = checked(&new_tree, size.max(least(&new_tree, &follows)), &follows, dir.path());
        let read = Filesystem::open(Arc::new(FileSource::open(&path).unwrap())).unwrap();
        let expected = with_lost_found(&new_tree, &options);
        prop_assert_eq!(dump(&read.tree().unwrap()).unwrap(), dump(&expected).unwrap());
        kept(&old_layout, &read.file_layout().unwrap(), &new_tree);
        let rewritten = write(&old_tree, size, &preserving(&old_layout, options)).unwrap();
        prop_assert!(bytes(&rewritten) == bytes(&old));
    }
}

/// The tree as it is read back: what is written without the older one's help.
fn with_lost_found(tree: &Tree, options: &Options) -> Tree {
    let size = minimum_size(tree, options).unwrap();
    Filesystem::open(Arc::new(write(tree, size, options).unwrap()))
        .unwrap()
        .tree()
        .unwrap()
}
