//! That every code has a test, and those whose damage is rare: sectors that cannot be read, what
//! only a reader refuses.

use super::image::{A, B, BOOT, Build, DATA, put};
use super::{Patch, expect, le32, patched};
use crate::support::{Unreadable, must, scratch, tool};
use goldsmith::artifact::{self, Meta};
use goldsmith::image::table::{DiskId, PartitionType};
use goldsmith::stream::{Content, MemSource, Source};
use goldsmith::units::MIB;
use goldsmith::verify::{Log, Request, image};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

/// All files below a directory of the checkout, as one text.
fn texts(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            if path.is_dir() {
                texts(path)
            } else {
                std::fs::read_to_string(path).unwrap()
            }
        })
        .collect()
}

/// The string literals of `text` that look like a code: a known group, words in lower case, dashes.
fn literals(text: &str) -> BTreeSet<&str> {
    const GROUPS: [&str; 24] = [
        "identity",
        "table",
        "ext4",
        "fat",
        "slot",
        "client",
        "device",
        "artifact",
        "bootstrap",
        "data",
        "root",
        "fstab",
        "reference",
        "grubenv",
        "stage1",
        "kernel",
        "initrd",
        "boot",
        "uboot",
        "tryboot",
        "field",
        "startup",
        "private",
        "record",
    ];
    let is_code = |word: &&str| {
        let known = word
            .split_once('-')
            .is_some_and(|(group, rest)| GROUPS.contains(&group) && !rest.is_empty());
        known
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.split('"').filter(is_code).collect()
}

/// The codes of all findings, from the source.
pub(crate) fn all() -> BTreeSet<String> {
    let source = texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/verify"));
    // Roles of the record, programs, files and kinds of traces that are named like codes.
    let others = [
        "root-a",
        "root-b",
        "boot-loader",
        "client-keys",
        "slot-a",
        "slot-a0",
        "slot-a1",
        "slot-b0",
        "slot-b1",
    ];
    let words = literals(&source).into_iter();
    let codes = words.filter(|word| !others.contains(word));
    codes.map(str::to_owned).collect()
}

#[test]
fn every_code_has_a_test() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = texts(&top.join("tests/it/verify")) + &texts(&top.join("tests/it/boot/tryboot"));
    let all = all();
    assert!(
        all.len() > 120,
        "{} codes are found in the source",
        all.len()
    );
    let tested = literals(&tests);
    let missing: Vec<&String> = all
        .iter()
        .filter(|code| !tested.contains(code.as_str()))
        .collect();
    assert!(missing.is_empty(), "no test sees {missing:?}");
}

fn bad(inner: Source, at: u64) -> Source {
    Arc::new(Unreadable {
        inner,
        bad: at..at + 512,
    })
}

#[test]
fn sectors_that_cannot_be_read_are_found_in_their_place() {
    const INODES: [&str; 7] = [
        "ext4-free-inodes",
        "ext4-inode-bitmap",
        "ext4-resize",
        "ext4-root",
        "ext4-unreadable",
        "root-missing",
        "slot-unreadable",
    ];
    let mut build = Build::new();
    put(
        &mut build.root,
        "/usr/share/large",
        b"large".repeat(100_000),
    );
    let made = build.make();
    let large = made
        .disk
        .windows(5000)
        .position(|window| window == b"large".repeat(1000))
        .unwrap() as u64
        + 100_000;
    assert!((A.0 * MIB..B.0 * MIB).contains(&large));
    let root = &made.disk[(A.0 * MIB) as usize..];
    let inodes = A.0 * MIB + u64::from(le32(root, 4096 + 8)) * 4096;
    let fat = BOOT.0 * MIB + 512 * u64::from(le32(&made.disk, BOOT.0 * MIB + 14) & 0xFFFF);
    let fat_len = 512 * u64::from(le32(&made.disk, BOOT.0 * MIB + 36));
    let cases: [(u64, &[&str]); 11] = [
        (1024, &["table-entries"]),
        // Without them the counts are wrong and the files unknown.
        (inodes, &INODES),
        (fat + fat_len, &["fat-unreadable"]),
        (fat + 2 * fat_len, &["boot-missing", "fat-unreadable"]),
        (0, &["table-unreadable"]),
        (made.source().len() - 512, &["table-unreadable"]),
        (BOOT.0 * MIB + 32 * 512, &["boot-missing", "fat-unreadable"]),
        (
            A.0 * MIB + 4096,
            &["ext4-unreadable", "root-missing", "slot-unreadable"],
        ),
        (DATA.0 * MIB + 4096, &["data-missing", "ext4-unreadable"]),
        // In slot A the digest misses it too.
        (large, &["slot-unreadable"]),
        (large + (B.0 - A.0) * MIB, &["slot-unreadable"]),
    ];
    for (at, expected) in cases {
        let request = Request {
            artifact: Some(Arc::clone(&made.artifact)),
            ..Default::default()
        };
        expect(
            &image(&bad(made.source(), at), &request),
            expected,
            &format!("a sector at {at:#x}"),
        );
    }
    let mut log = Log::default();
    goldsmith::verify::ext4::check(&*bad(made.source(), 1024), None, &mut log);
    expect(
        &log.finish(),
        &["ext4-unreadable"],
        "a superblock that cannot be read",
    );
    let request = Request {
        artifact: Some(bad(Arc::clone(&made.artifact), 1000)),
        ..Default::default()
    };
    expect(
        &image(&made.source(), &request),
        &["artifact-unreadable"],
        "an Artifact that cannot be read",
    );
}

#[test]
fn a_payload_larger_than_the_slots_is_found() {
    let made = Build::new().make();
    let meta = Meta {
        payload_name: "rootfs.ext4".into(),
        ..Build::new().meta
    };
    let mut file = Cursor::new(Vec::new());
    artifact::write(&mut file, &meta, &Content::hole((A.1 + 1) * MIB), None).unwrap();
    let artifact: Source = Arc::new(MemSource(file.into_inner().into()));
    let request = Request {
        artifact: Some(artifact),
        ..Default::default()
    };
    expect(
        &image(&made.source(), &request),
        &["artifact-size"],
        "a payload of a slot and one MiB",
    );
}

#[test]
fn an_artifact_without_a_payload_is_found() {
    let build = Build::new();
    let bytes = artifact::bootstrap(&build.bootstrap, &[7; 32]).unwrap();
    let request = Request {
        artifact: Some(Arc::new(MemSource(bytes.into()))),
        ..Default::default()
    };
    expect(
        &image(&build.make().source(), &request),
        &["artifact-payload"],
        "the bootstrap Artifact as an update",
    );
}

#[test]
fn an_environment_in_the_middle_of_an_update_breaks_a_promise() {
    let mut build = Build::new();
    for copy in ["mender_grubenv1", "mender_grubenv2"] {
        let block = super::image::block("bootcount=0\nmender_boot_part=3\nupgrade_available=1\n");
        put(
            &mut build.boot,
            &format!("/grub-mender-grubenv/{copy}/env"),
            block,
        );
    }
    expect(
        &image(&build.make().source(), &Request::default()),
        &["boot-state", "grubenv-slot"],
        "an update under way",
    );
}

/// The good image with an MBR.
fn with_mbr() -> Build {
    let mut build = Build::new();
    build.table.disk_id = DiskId::Mbr(0x1234_5678);
    for partition in &mut build.table.partitions {
        partition.kind = PartitionType::Mbr(if partition.number == 1 { 0xEF } else { 0x83 });
        partition.id = None;
    }
    build
}

#[test]
fn odd_mbrs_are_found() {
    let made = with_mbr().make();
    let two_extended: Vec<Patch> = [2, 3].map(|slot| (446 + 16 * slot + 4, vec![5])).to_vec();
    expect(
        &image(&patched(&made.disk, &two_extended), &Request::default()),
        &["table-mbr"],
        "two extended partitions",
    );
    let gpt = Build::new().make();
    let last = gpt.disk.len() - 33 * 512;
    let stale: Vec<Patch> = vec![
        (512, gpt.disk[512..34 * 512].to_vec()),
        (last as u64, gpt.disk[last..].to_vec()),
    ];
    expect(
        &image(&patched(&made.disk, &stale), &Request::default()),
        &["client-slots", "table-warning"],
        "what a GPT left",
    );
}

/// A filesystem that the check can only name, and the reader does not take either.
#[test]
fn files_that_cannot_be_read_are_an_error_even_where_nothing_is_checked() {
    let dir = scratch();
    let (Some(mke2fs), Some(debugfs)) = (tool("mke2fs"), tool("debugfs")) else {
        return;
    };
    let made = with_mbr().make();
    let file = dir.path().join("encrypted");
    must(
        mke2fs,
        &[
            &"-q",
            &"-b",
            &"1024",
            &"-O",
            &"encrypt,^metadata_csum",
            &file,
            &"4M",
        ],
    );
    for command in ["mkdir secret", "sif secret flags 0x800"] {
        must(&debugfs, &[&"-w", &"-R", &command, &file]);
    }
    let bytes = std::fs::read(&file).unwrap();
    assert_ne!(le32(&bytes, 1024 + 0x60) & 0x1_0000, 0);
    let outcome = image(
        &patched(&made.disk, &[(DATA.0 * MIB, bytes)]),
        &Request::default(),
    );
    expect(
        &outcome,
        &["data-missing", "ext4-files", "ext4-unchecked"],
        "an encrypted directory",
    );
}
