//! Bytes that are part of a release: what the same tree, the same disk, the same golden image
//! becomes. A change of any of them is seen in review, since the digest in `pinned.toml` changes
//! with it; `GOLDSMITH_BLESS=1` writes the new ones. All inputs are made here, by code of ours
//! alone, so that no other program's version matters.

use crate::support::{goldsmith, must, scratch};
use goldsmith::fs::{ext4, fat};
use goldsmith::image::output::{BlockMap, android_sparse, qcow2};
use goldsmith::image::table::{DiskId, Partition, PartitionTable, types};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{Content, Source};
use goldsmith::tree::{Leaf, LeafKind, Stat, Tree};
use goldsmith::units::{Lba, MIB};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 5,
};

fn uuid(number: u8) -> Uuid {
    Uuid([number; 16])
}

/// Holds digests against those that are kept, all of one group, which is all that `pinned.toml`
/// says under its name.
fn pinned(group: &str, found: &BTreeMap<String, String>) {
    /// Groups are tests of their own and may bless at once.
    static FILE: Mutex<()> = Mutex::new(());
    let _lock = FILE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pinned.toml");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut all: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(&text).expect("pinned.toml");
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        all.insert(group.to_owned(), found.clone());
        let table = |(name, digests): (&String, &BTreeMap<String, String>)| {
            let lines: String = digests
                .iter()
                .map(|(key, value)| format!("\"{key}\" = \"{value}\"\n"))
                .collect();
            format!("\n[{name}]\n{lines}")
        };
        let head = "# Digests (SHA-256) of what tests/it/pinned.rs makes: each change is a change of bytes that users see.\n";
        let body: String = all.iter().map(table).collect();
        fs::write(&path, format!("{head}{body}")).expect("writing pinned.toml");
        return;
    }
    let empty = BTreeMap::new();
    let kept = all.get(group).unwrap_or(&empty);
    let names: Vec<&String> = found
        .keys()
        .chain(kept.keys())
        .filter(|name| found.get(*name) != kept.get(*name))
        .collect();
    assert!(
        names.is_empty(),
        "other bytes than before in {group}: {names:?}; if that is meant, run the tests with GOLDSMITH_BLESS=1"
    );
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that are the same on every machine.
fn noise(len: usize) -> Vec<u8> {
    crate::support::noise(len, 7)
}

/// A tree with a file of each kind, and more than one block or group of most things.
fn tree() -> Tree {
    let stat = |mode| Stat::root(mode, TIME);
    let mut tree = Tree::new(stat(0o755));
    for len in [0, 1, 60, 4096, 5000, 300_000] {
        tree.put_file(format!("/files/{len}"), noise(len), stat(0o644))
            .unwrap();
    }
    for number in 0..500 {
        tree.put_file(
            format!("/many/a file with number {number}"),
            "",
            stat(0o600),
        )
        .unwrap();
    }
    let mut holes = Content::hole(0);
    (0..20).for_each(|at| holes.push_bytes(at * 100_000, noise(5000)));
    holes.set_len(64 * MIB);
    tree.put(
        "/holes",
        Leaf {
            stat: stat(0o644),
            kind: LeafKind::File(holes),
        },
    )
    .unwrap();
    let id = tree.put_file("/linked", "linked", stat(0o755)).unwrap();
    tree.link("/dir/again", id, &stat(0o755)).unwrap();
    tree.put_symlink("/short", "files/60", TIME).unwrap();
    tree.put_symlink("/long", "x".repeat(200), TIME).unwrap();
    tree.put(
        "/null",
        Leaf {
            stat: stat(0o666),
            kind: LeafKind::CharDevice { major: 1, minor: 3 },
        },
    )
    .unwrap();
    tree.put(
        "/fifo",
        Leaf {
            stat: stat(0o666),
            kind: LeafKind::Fifo,
        },
    )
    .unwrap();
    let mut attributes = stat(0o644);
    attributes.xattrs = [("user.a", noise(20)), ("user.large", noise(2000))]
        .map(|(n, v)| (n.into(), v))
        .into();
    tree.put_file("/attributes", "a", attributes).unwrap();
    tree
}

#[test]
fn the_writers_give_the_bytes_of_this_release() {
    let mut found = BTreeMap::new();
    let mut put = |name: &str, content: &Content| {
        drop(found.insert(name.to_owned(), digest(&content.read_all(1 << 30).unwrap())))
    };
    let options = ext4::write::Options::new(uuid(1), uuid(2), TIME);
    let root = ext4::write::write(&tree(), 24 * MIB, &options).unwrap();
    put("ext4", &root);
    let plain = ext4::write::Options {
        metadata_csum: false,
        label: b"plain".to_vec(),
        ..options
    };
    put(
        "ext4-without-checksums",
        &ext4::write::write(&tree(), 24 * MIB, &plain).unwrap(),
    );
    let mut boot = Tree::new(Stat::root(0o755, TIME));
    for len in [0, 1, 40_000] {
        boot.put_file(
            format!("/EFI/BOOT/a long name of {len}.efi"),
            noise(len),
            Stat::root(0o644, TIME),
        )
        .unwrap();
    }
    for (name, kind, size) in [
        ("fat16", fat::RequestedKind::Fat16, 12),
        ("fat32", fat::RequestedKind::Fat32, 40),
    ] {
        let options = fat::Options {
            volume_id: 5,
            label: Some("BOOT".into()),
            time: TIME,
            kind,
            hidden_sectors: 2048,
        };
        put(name, &fat::write(&boot, size * MIB, &options).unwrap());
    }
    let part = |number: u32, start: u64, kind| {
        Partition::new(number, Lba(start), 4096, kind, Some(uuid(number as u8)))
    };
    let gpt = PartitionTable {
        disk_id: DiskId::Gpt(uuid(9)),
        partitions: vec![
            part(1, 2048, types::GPT_ESP),
            part(2, 8192, types::GPT_LINUX),
        ],
        warnings: Vec::new(),
    };
    let mut disk = Content::hole(0);
    gpt.encode(16 * MIB)
        .unwrap()
        .into_iter()
        .for_each(|(at, bytes)| disk.push_bytes(at, bytes));
    disk.set_len(16 * MIB);
    put("gpt", &disk);
    put(
        "qcow2",
        &qcow2(&(Arc::new(root.clone()) as Source)).unwrap(),
    );
    put(
        "android-sparse",
        &android_sparse(&(Arc::new(root.clone()) as Source)).unwrap(),
    );
    let map = BlockMap::of(&root).unwrap().to_xml();
    found.insert("bmap".into(), digest(map.as_bytes()));
    pinned("writers", &found);
}

/// A golden image made by code of ours.
fn golden(path: &Path) {
    let mut root = tree();
    for (path, bytes) in crate::support::images::files(3 << 20) {
        root.put_file(format!("/{path}"), bytes, Stat::root(0o755, TIME))
            .unwrap();
    }
    root.put_symlink("/usr/bin/sh", "dash", TIME).unwrap();
    root.put_symlink("/bin", "usr/bin", TIME).unwrap();
    root.put_symlink("/sbin", "usr/sbin", TIME).unwrap();
    let options = ext4::write::Options::new(uuid(1), uuid(2), TIME);
    let root = ext4::write::write(&root, 24 * MIB, &options).unwrap();
    let esp = fat::Options {
        volume_id: 7,
        label: Some("ESP".into()),
        time: TIME,
        kind: fat::RequestedKind::Auto,
        hidden_sectors: 2048,
    };
    let esp = fat::write(&Tree::new(Stat::root(0o755, TIME)), 8 * MIB, &esp).unwrap();
    let part = |number: u32, start: u64, len: u64, kind| {
        Partition::new(
            number,
            Lba::from_bytes(start * MIB),
            len * MIB / 512,
            kind,
            Some(uuid(number as u8)),
        )
    };
    let partitions = vec![
        part(1, 1, 8, types::GPT_ESP),
        part(2, 9, 24, types::GPT_LINUX),
    ];
    let table = PartitionTable {
        disk_id: DiskId::Gpt(uuid(9)),
        partitions,
        warnings: Vec::new(),
    };
    let mut bytes = vec![0; 34 * MIB as usize];
    let mut put =
        |at: u64, part: &[u8]| bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
    put(MIB, &esp.read_all(1 << 30).unwrap());
    put(9 * MIB, &root.read_all(1 << 30).unwrap());
    table
        .encode(34 * MIB)
        .unwrap()
        .iter()
        .for_each(|(at, part)| put(*at, part));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_conversion_gives_the_bytes_of_this_release() {
    let dir = scratch();
    golden(&dir.path().join("golden.img"));
    let mut found = BTreeMap::from([(
        "golden.img".to_owned(),
        digest(&fs::read(dir.path().join("golden.img")).unwrap()),
    )]);
    for (image, compression) in [
        ("raw", "none"),
        ("gz", "gzip"),
        ("xz", "xz"),
        ("zst", "zstd"),
        ("qcow2", "zstd"),
    ] {
        let out = dir.path().join(image);
        let mut command = Command::new(goldsmith());
        command.args([
            "convert",
            "-q",
            "--no-cache",
            "-c",
            "qemux86-64",
            "-n",
            "r1",
            "-s",
            "data.size=16 MiB",
            "-s",
            "client.required=false",
            "-s",
            "storage.size=256 MiB",
        ]);
        command.args([
            "-s",
            "storage.alignment=1 MiB",
            "-s",
            "boot.size=8 MiB",
            "-s",
            "output.rootfs=true",
            "-s",
            "output.name=r1",
        ]);
        command.args([
            "-s",
            &format!("output.image={image}"),
            "-s",
            &format!("artifact.compression={compression}"),
        ]);
        command
            .arg("--output-dir")
            .arg(&out)
            .arg("golden.img")
            .current_dir(dir.path())
            .env_remove("SOURCE_DATE_EPOCH");
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for entry in fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{image}/{}", path.file_name().unwrap().to_string_lossy());
            found.insert(
                name,
                must("sha256sum", &[&path])
                    .split(' ')
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    assert!(found.len() > 20, "{:?}", found.keys());
    pinned("conversion", &found);
}
