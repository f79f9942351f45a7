//! A filesystem in use: written to by the kernel, grown by resize2fs, read by GRUB.

use super::*;

/// Creates and deletes thousands of files on a mounted image.
fn live(mount: &Mount) {
    let base = mount.path(b"/live");
    std::fs::create_dir(&base).unwrap();
    for n in 0..3000 {
        std::fs::write(base.join(format!("file-{n}")), vec![b'x'; n * 7]).unwrap();
    }
    for n in (0..3000).step_by(3) {
        std::fs::remove_file(base.join(format!("file-{n}"))).unwrap();
    }
    // A directory of ours grows and shrinks under its index too.
    for n in 0..2000 {
        std::fs::write(mount.path(b"/many").join(format!("added-{n}")), b"").unwrap();
        std::fs::remove_file(mount.path(b"/many").join(format!("{n:06}"))).unwrap();
    }
    std::fs::write(mount.path(b"/many/000000"), b"again").unwrap();
}

#[test]
fn the_kernel_writes_into_it() {
    let dir = scratch();
    let mut tree = motley();
    for n in 0..4000 {
        tree.put_file(format!("/many/{n:06}"), "", stat(0o644))
            .unwrap();
    }
    for csum in [true, false] {
        let options = Options {
            metadata_csum: csum,
            ..options()
        };
        let path = checked(&tree, 200 * MIB, &options, dir.path());
        {
            let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "rw") else {
                return;
            };
            live(&mount);
        }
        clean(&path);
    }
}

#[test]
fn resize2fs_grows_it() {
    let dir = scratch();
    let Some(resize2fs) = tool("resize2fs") else {
        return;
    };
    let tree = motley();
    let cases = [
        (24 * MIB, 64 * MIB),
        (64 * MIB, 700 * MIB),
        (200 * MIB, 3 * GIB),
        (2 * GIB, 20 * GIB),
        (2 * GIB, 2 * GIB + 140 * MIB),
    ];
    for (at, (from, to)) in cases.into_iter().enumerate() {
        let options = Options {
            metadata_csum: at != 1,
            ..options()
        };
        let path = checked(&tree, from, &options, dir.path());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(to)
            .unwrap();
        must(&resize2fs, &[&path]);
        clean(&path);
        let text = must(tool("dumpe2fs").unwrap(), &[&"-h", &path]);
        assert!(
            !text.contains("meta_bg") && text.contains("resize_inode"),
            "{text}"
        );
        assert!(
            text.contains(&format!("Block count:              {}\n", to / BLOCK)),
            "{text}"
        );
        let Some(mount) = Mount::new(&path, &dir.path().join("mnt"), "ro") else {
            continue;
        };
        compare(&mount, &tree);
    }
}

/// The kernel demands of the resize inode, when it grows a mounted filesystem, exactly the form
/// that `mke2fs` gives it.
#[test]
fn the_resize_inode_is_that_of_mke2fs() {
    let dir = scratch();
    let Some(mke2fs) = tool("mke2fs") else { return };
    // Without the number of the double indirect block, which may lie anywhere.
    let blocks = |path: &Path| {
        let text = debugfs(path, "stat <7>").unwrap();
        let (size, blocks) = (text.find("Size: ").unwrap(), text.find("(DIND):").unwrap());
        let count = text.find("Blockcount: ").unwrap();
        let line = |at: usize| text[at..].lines().next().unwrap().to_owned();
        (
            line(size),
            line(count),
            line(blocks)
                .split_once(", ")
                .map(|(_, rest)| rest.to_owned()),
        )
    };
    for size in [16 * MIB, 512 * MIB, 2 * GIB, 20 * GIB] {
        let ours = checked(&tree(), size, &options(), dir.path());
        let theirs = dir.path().join("theirs.img");
        File::create(&theirs).unwrap().set_len(size).unwrap();
        must(
            &mke2fs,
            &[
                &"-q", &"-t", &"ext4", &"-b", &"4096", &"-I", &"256", &"-i", &"16384", &theirs,
            ],
        );
        assert_eq!(blocks(&ours), blocks(&theirs), "{size}");
    }
}

#[test]
fn grub_reads_it() {
    let dir = scratch();
    let Some(grub) = tool("grub-fstest") else {
        return;
    };
    let mut tree = motley();
    for n in 0..5000 {
        tree.put_file(format!("/boot/many/{n:0200}"), n.to_string(), stat(0o644))
            .unwrap();
    }
    let pieces: Vec<_> = (0..600).map(|n| (n * 3 * BLOCK, BLOCK)).collect();
    put(
        &mut tree,
        "/boot/vmlinuz",
        LeafKind::File(Content::bytes(noise(9_000_001, 9))),
    );
    put(
        &mut tree,
        "/boot/pieces",
        LeafKind::File(sparse(2000 * BLOCK, &pieces, 10)),
    );
    put(
        &mut tree,
        "/boot/link",
        LeafKind::Symlink(b"vmlinuz".to_vec()),
    );
    let path = checked(&tree, 300 * MIB, &options(), dir.path());
    let out = dir.path().join("out");
    for name in ["vmlinuz", "pieces", "link", &format!("many/{:0200}", 4999)] {
        must(
            &grub,
            &[&path, &"cp", &format!("(loop0)/boot/{name}"), &out],
        );
        let content = tree.file(format!("/boot/{name}")).unwrap();
        assert!(
            std::fs::read(&out).unwrap() == content.read_all(GIB).unwrap(),
            "{name}"
        );
    }
}
