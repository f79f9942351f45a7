//! Images in other forms: the tools that read them must get the image back.

use crate::support::{must, run, save, scratch, tool};
use goldsmith::image::output::{BlockMap, android_sparse, qcow2};
use goldsmith::image::source::{self, InputFormat, OpenOptions};
use goldsmith::report::Silent;
use goldsmith::stream::{Content, ReadAt, Source};
use goldsmith::units::{KIB, MIB};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A gigabyte with data at its start, across clusters, behind the first L2 table, and at its end.
fn image() -> Source {
    Arc::new(content())
}

fn content() -> Content {
    let mut image = Content::hole(0);
    image.push_bytes(0, vec![1; 4096]);
    image.push_bytes(3 * MIB + 4 * KIB, vec![2; 300 << 10]);
    image.push_bytes(600 * MIB, vec![3; 5 << 20]);
    image.push_bytes(1024 * MIB - 4096, vec![4; 4096]);
    image
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// Opens what was written with our own reader, and compares.
fn opens(path: &Path, form: &InputFormat) {
    let options = OpenOptions {
        spool_dir: path.parent().unwrap(),
        max_size: 2048 * MIB,
        threads: 1,
        report: &Silent,
    };
    let input = source::open(path, &options).unwrap();
    assert_eq!(&input.form, form);
    let (ours, theirs) = (image(), input.source);
    assert_eq!(ours.len(), theirs.len());
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in (0..ours.len()).step_by(1 << 20) {
        ours.read_exact_at(at, &mut a).unwrap();
        theirs.read_exact_at(at, &mut b).unwrap();
        assert!(a == b, "differs in the MiB at {at}");
    }
}

#[test]
fn qemu_finds_our_qcow2_faultless_and_equal() {
    let dir = scratch();
    let (raw, path) = (dir.path().join("raw"), dir.path().join("q"));
    let content = qcow2(&image()).unwrap();
    assert!(content.len() < 8 * MIB);
    save(&content, &path);
    opens(&path, &InputFormat::Qcow2);
    let Some(qemu) = tool("qemu-img") else { return };
    save(&*image(), &raw);
    must(&qemu, &[&"check", &"-f", &"qcow2", &path]);
    must(
        &qemu,
        &[&"compare", &"-f", &"raw", &"-F", &"qcow2", &raw, &path],
    );
    flip(&path, 2 * 65536 + 1);
    assert!(
        !run(&qemu, &[&"check", &"-f", &"qcow2", &path])
            .status
            .success()
    );
    // Nothing, and less than a cluster.
    for len in [0, 512] {
        let small: Source = Arc::new(Content::bytes(vec![7; len]));
        save(&qcow2(&small).unwrap(), &path);
        must(&qemu, &[&"check", &"-f", &"qcow2", &path]);
    }
}

#[test]
fn simg2img_gets_the_image_back() {
    let dir = scratch();
    let (path, back) = (dir.path().join("s"), dir.path().join("back"));
    save(&android_sparse(&image()).unwrap(), &path);
    assert!(fs::metadata(&path).unwrap().len() < 6 * MIB);
    opens(&path, &InputFormat::AndroidSparse);
    assert!(android_sparse(&(Arc::new(Content::hole(512)) as Source)).is_err());
    let Some(simg2img) = tool("simg2img") else {
        return;
    };
    must(&simg2img, &[&path, &back]);
    opens(&back, &InputFormat::Raw);
    flip(&path, 20);
    assert!(!run(simg2img, &[&path, &back]).status.success());
}

#[test]
fn bmaptool_copies_by_our_map() {
    let dir = scratch();
    let (raw, map, back) = (
        dir.path().join("raw"),
        dir.path().join("map"),
        dir.path().join("back"),
    );
    let text = BlockMap::of(&content()).unwrap().to_xml();
    assert!(
        text.contains("> 153600-154879 </Range>")
            && text.contains("<MappedBlocksCount> 1357 </MappedBlocksCount>"),
        "{text}"
    );
    let Some(bmaptool) = tool("bmaptool") else {
        return;
    };
    save(&*image(), &raw);
    fs::write(&map, &text).unwrap();
    must(&bmaptool, &[&"copy", &"--bmap", &map, &raw, &back]);
    opens(&back, &InputFormat::Raw);
    flip(&raw, 600 * MIB + 5);
    assert!(
        !run(&bmaptool, &[&"copy", &"--bmap", &map, &raw, &back])
            .status
            .success()
    );
    fs::write(&map, text.replace("153600-154879", "153600-154878")).unwrap();
    assert!(
        !run(&bmaptool, &[&"copy", &"--bmap", &map, &raw, &back])
            .status
            .success()
    );
}
