//! Small images of the writers as text, a line for each field: where `pinned.toml` says that bytes
//! changed, `dumps/` says which. `GOLDSMITH_BLESS=1` writes the dumps, and these alone, anew.

use crate::support::{dump, noise};
use goldsmith::fs::{ext4, fat};
use goldsmith::image::table::{DiskId, Partition, PartitionTable, PartitionType, types};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::Content;
use goldsmith::tree::{Leaf, LeafKind, Stat, Tree};
use goldsmith::units::{Lba, MIB};
use std::collections::BTreeSet;
use std::path::Path;

const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 5,
};

/// The sector size of tables (bytes).
const SECTOR: usize = 512;

fn uuid(number: u8) -> Uuid {
    Uuid([number; 16])
}

/// The bytes of an ext4 filesystem with a file of each kind.
fn small_ext4() -> Vec<u8> {
    let stat = |mode| Stat::root(mode, TIME);
    let mut tree = Tree::new(stat(0o755));
    tree.put_file("/files/empty", "", stat(0o600)).unwrap();
    let long = noise(5000, 7);
    let id = tree.put_file("/files/long", long, stat(0o644)).unwrap();
    tree.link("/again", id, &stat(0o755)).unwrap();
    tree.put_symlink("/short", "files/long", TIME).unwrap();
    tree.put_symlink("/long", "x".repeat(200), TIME).unwrap();
    let kind = LeafKind::CharDevice { major: 1, minor: 3 };
    tree.put(
        "/null",
        Leaf {
            stat: stat(0o666),
            kind,
        },
    )
    .unwrap();
    let mut attributes = stat(0o644);
    attributes.xattrs = [("user.a", noise(20, 7)), ("user.large", noise(2000, 7))]
        .map(|(name, value)| (name.into(), value))
        .into();
    tree.put_file("/attributes", "a", attributes).unwrap();
    let options = ext4::write::Options {
        label: b"dump".to_vec(),
        journal: ext4::write::Journal::Blocks(1024),
        ..ext4::write::Options::new(uuid(1), uuid(2), TIME)
    };
    let image = ext4::write::write(&tree, 8 * MIB, &options).unwrap();
    image.read_all(1 << 30).unwrap()
}

/// The bytes of a FAT filesystem, as `pinned.rs` makes it.
fn small_fat(kind: fat::RequestedKind, size: u64) -> Vec<u8> {
    let mut boot = Tree::new(Stat::root(0o755, TIME));
    for len in [0, 1, 40_000] {
        let path = format!("/EFI/BOOT/a long name of {len}.efi");
        boot.put_file(path, noise(len, 7), Stat::root(0o644, TIME))
            .unwrap();
    }
    let options = fat::Options {
        volume_id: 5,
        label: Some("BOOT".into()),
        time: TIME,
        kind,
        hidden_sectors: 2048,
    };
    let image = fat::write(&boot, size, &options).unwrap();
    image.read_all(1 << 30).unwrap()
}

/// The bytes of a disk of 16 MiB with a table, each partition of 2 MiB.
fn small_table(disk_id: DiskId, partitions: &[(u32, u64, PartitionType)]) -> Vec<u8> {
    let part = |(number, start, kind): &(u32, u64, PartitionType)| {
        let id = matches!(kind, PartitionType::Gpt(_)).then(|| uuid(*number as u8));
        Partition::new(*number, Lba(*start), 4096, *kind, id)
    };
    let table = PartitionTable {
        disk_id,
        partitions: partitions.iter().map(part).collect(),
        warnings: Vec::new(),
    };
    let mut disk = Content::hole(0);
    for (at, bytes) in table.encode(16 * MIB).unwrap() {
        disk.push_bytes(at, bytes);
    }
    disk.set_len(16 * MIB);
    disk.read_all(1 << 30).unwrap()
}

fn small_gpt() -> Vec<u8> {
    let partitions = [(1, 2048, types::GPT_ESP), (2, 8192, types::GPT_LINUX)];
    small_table(DiskId::Gpt(uuid(9)), &partitions)
}

fn small_mbr() -> Vec<u8> {
    let partitions = [(1, 2048, types::MBR_FAT16_LBA), (2, 8192, types::MBR_LINUX)];
    small_table(DiskId::Mbr(0x0102_0304), &partitions)
}

/// The names in the lines that only one of two dumps has.
fn differing(one: &str, other: &str) -> BTreeSet<String> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (one, other) = (lines(one), lines(other));
    let name = |line: &String| line.split("  ").nth(1).unwrap_or_default().to_owned();
    one.symmetric_difference(&other).map(name).collect()
}

/// Holds a dump against the one that is kept.
fn kept(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/convert/dumps")
        .join(name);
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        std::fs::write(&path, found).expect("writing a dump");
    }
    let kept = std::fs::read_to_string(&path).expect("the dump that is kept");
    let names = differing(&kept, found);
    assert!(
        names.is_empty(),
        "other fields than in dumps/{name}: {names:?}; if that is meant, GOLDSMITH_BLESS=1 writes it anew"
    );
}

#[test]
fn the_writers_give_the_fields_of_this_release() {
    kept("ext4.txt", &dump::ext4(&small_ext4()));
    kept(
        "fat16.txt",
        &dump::fat(&small_fat(fat::RequestedKind::Fat16, 12 * MIB)),
    );
    kept(
        "fat32.txt",
        &dump::fat(&small_fat(fat::RequestedKind::Fat32, 40 * MIB)),
    );
    kept("gpt.txt", &dump::gpt(&small_gpt()));
    kept("mbr.txt", &dump::mbr(&small_mbr()));
}

#[test]
fn a_changed_byte_names_its_field() {
    let check = |dump: fn(&[u8]) -> String, bytes: &[u8], places: &[(usize, &str)]| {
        let before = dump(bytes);
        for (at, name) in places {
            let mut changed = bytes.to_vec();
            changed[*at] ^= 0x40;
            assert_eq!(
                differing(&before, &dump(&changed)),
                [(*name).to_owned()].into()
            );
        }
    };
    check(
        dump::ext4,
        &small_ext4(),
        &[
            (1024 + 0x68, "superblock.s_uuid"),
            (1024 + 0x300, "superblock.s_reserved"),
            (1024 + 0x3fc, "superblock.s_checksum"),
            (4096 + 0x1e, "group[0].bg_checksum"),
            (100, "-"),
        ],
    );
    check(
        dump::fat,
        &small_fat(fat::RequestedKind::Fat16, 12 * MIB),
        &[
            (3, "boot_sector.oem_name"),
            (39, "boot_sector.vol_id"),
            (511, "boot_sector.signature"),
        ],
    );
    check(
        dump::gpt,
        &small_gpt(),
        &[
            (0x1fe, "protective_mbr.signature"),
            (SECTOR + 16, "gpt.header_crc32"),
            (2 * SECTOR + 128 + 32, "gpt.partition[1].starting_lba"),
            ((16 * MIB) as usize - SECTOR + 24, "backup_gpt.my_lba"),
        ],
    );
    check(
        dump::mbr,
        &small_mbr(),
        &[
            (440, "mbr.disk_signature"),
            (446 + 8, "mbr.partition[0].first_lba"),
            (16384, "-"),
        ],
    );
}

#[test]
fn every_byte_is_in_a_line() {
    let bytes = small_gpt();
    let before = dump::gpt(&bytes);
    for at in (0..bytes.len()).step_by(bytes.len() / 7) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        assert_ne!(before, dump::gpt(&changed), "byte {at} is in no line");
    }
}
