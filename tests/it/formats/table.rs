//! Partition tables: ours before `sgdisk` and `sfdisk`, theirs before us, and damage.

use crate::support::{must, run, scratch, tool};
use goldsmith::image::table::{
    DiskId, Partition, PartitionTable, TableError, TableWarning, UnpartitionedContent, types,
};
use goldsmith::platform::TableKind;
use goldsmith::stamp::Uuid;
use goldsmith::stream::{FileSource, MemSource};
use goldsmith::units::{Lba, MIB};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

const SIZE: u64 = 64 * MIB;

fn id(n: u8) -> Option<Uuid> {
    Some(Uuid([n; 16]))
}

/// The numbers of a Debian cloud image: 1, 14, 15.
fn gpt() -> PartitionTable {
    let mut root = Partition::new(1, Lba(8192), 40960, types::GPT_LINUX, id(1));
    root.name = "rôot A".into();
    root.attributes = 1 << 2 | 1 << 60;
    let bios = Partition::new(14, Lba(2048), 6144, types::GPT_BIOS_BOOT, id(14));
    let esp = Partition::new(15, Lba(49152), 131_072 - 33 - 49152, types::GPT_ESP, id(15));
    PartitionTable {
        disk_id: DiskId::Gpt(Uuid([0xd1; 16])),
        partitions: vec![root, bios, esp],
        warnings: vec![],
    }
}

fn mbr() -> PartitionTable {
    let mut boot = Partition::new(1, Lba(8192), 16384, types::MBR_FAT32_LBA, None);
    boot.active = true;
    let a = Partition::new(2, Lba(24576), 40960, types::MBR_LINUX, None);
    let data = Partition::new(4, Lba(65536), 65536, types::MBR_LINUX, None);
    PartitionTable {
        disk_id: DiskId::Mbr(0xdead_beef),
        partitions: vec![boot, a, data],
        warnings: vec![],
    }
}

fn write(path: &Path, table: &PartitionTable) {
    let file = File::create(path).unwrap();
    file.set_len(SIZE).unwrap();
    for (offset, bytes) in table.encode(SIZE).unwrap() {
        file.write_all_at(&bytes, offset).unwrap();
    }
}

fn read(path: &Path) -> Result<PartitionTable, TableError> {
    PartitionTable::read(&FileSource::open(path).unwrap())
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
}

fn script(path: &Path, text: &str) {
    let mut child = Command::new("/usr/sbin/sfdisk")
        .arg("--quiet")
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

fn blank(path: &Path) {
    File::create(path).unwrap().set_len(SIZE).unwrap();
}

#[test]
fn a_written_gpt_comes_back_and_satisfies_strangers() {
    let dir = scratch();
    let path = dir.path().join("disk");
    write(&path, &gpt());
    assert_eq!(read(&path).unwrap(), gpt());
    assert_eq!(gpt().encode(SIZE).unwrap(), gpt().encode(SIZE).unwrap());
    assert_eq!(
        gpt().partuuid(14).unwrap(),
        "0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e"
    );
    let (Some(sgdisk), Some(sfdisk)) = (tool("sgdisk"), tool("sfdisk")) else {
        return;
    };
    let said = must(&sgdisk, &[&"-v", &path]);
    assert!(said.contains("No problems found"), "{said}");
    let verified = run(&sfdisk, &[&"--verify", &path]);
    assert!(
        String::from_utf8_lossy(&verified.stdout).contains("No errors detected"),
        "{verified:?}"
    );
    let dump = must(&sfdisk, &[&"--dump", &path]);
    assert!(
        dump.contains("label-id: D1D1D1D1-D1D1-D1D1-D1D1-D1D1D1D1D1D1"),
        "{dump}"
    );
    let line = format!(
        "{}14 : start=        2048, size=        6144, type=21686148-6449-6E6F-744E-656564454649",
        path.display()
    );
    assert!(dump.contains(&line), "{dump}");
    assert!(
        dump.contains("attrs=\"LegacyBIOSBootable GUID:60\""),
        "{dump}"
    );
    flip(&path, 512 + 40);
    let said = String::from_utf8_lossy(&run(&sgdisk, &[&"-v", &path]).stdout).into_owned();
    assert!(said.contains("corrupt GPT"), "{said}");
    let said = run(&sfdisk, &[&"--verify", &path]);
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("corrupt"),
        "{said:?}"
    );
}

#[test]
fn a_written_mbr_comes_back_and_satisfies_strangers() {
    let dir = scratch();
    let path = dir.path().join("disk");
    write(&path, &mbr());
    assert_eq!(read(&path).unwrap(), mbr());
    assert_eq!(mbr().partuuid(4).unwrap(), "deadbeef-04");
    let Some(sfdisk) = tool("sfdisk") else { return };
    let said = must(&sfdisk, &[&"--verify", &path]);
    assert!(
        !said.contains("rror") || said.contains("No errors"),
        "{said}"
    );
    // The same table by sfdisk's own hand has the same bytes, CHS fields too.
    let theirs = dir.path().join("theirs");
    blank(&theirs);
    let lines = "label: dos\nlabel-id: 0xdeadbeef\n1: start=8192,size=16384,type=c,bootable\n\
                 2: start=24576,size=40960,type=83\n4: start=65536,size=65536,type=83\n";
    script(&theirs, lines);
    let bytes = |path: &Path| fs::read(path).unwrap()[..512].to_vec();
    assert_eq!(bytes(&path)[440..], bytes(&theirs)[440..]);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&100_000u32.to_le_bytes(), 446 + 12)
        .unwrap();
    let said = run(&sfdisk, &[&"--verify", &path]);
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("overlap") || !said.status.success(),
        "{said:?}"
    );
    assert!(matches!(
        read(&path),
        Err(TableError::Overlap(1, 2, Lba(108_192), Lba(24576)))
    ));
}

#[test]
fn logical_partitions_are_read_as_sfdisk_reads_them() {
    if tool("sfdisk").is_none() {
        return;
    }
    let dir = scratch();
    let path = dir.path().join("disk");
    blank(&path);
    let lines = "label: dos\nlabel-id: 0x1\n1: start=2048,size=2048,type=c\n2: start=4096,size=100000,type=5\n\
                 5: start=6144,size=2048,type=83\n6: start=10240,size=4096,type=82\n7: start=20480,size=80000,type=83\n";
    script(&path, lines);
    let table = read(&path).unwrap();
    let all: Vec<_> = table
        .partitions
        .iter()
        .map(|p| (p.number, p.start.0, p.sectors, p.logical))
        .collect();
    let expected = [
        (1, 2048, 2048, false),
        (5, 6144, 2048, true),
        (6, 10240, 4096, true),
        (7, 20480, 80000, true),
    ];
    assert_eq!(all, expected);
    assert!(matches!(
        table.encode(SIZE),
        Err(TableError::Unwritable(5, _))
    ));
    // A chain that comes back to its start.
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut entry = [0; 16];
    file.read_exact_at(&mut entry, 4096 * 512 + 462).unwrap();
    entry[8..12].copy_from_slice(&0u32.to_le_bytes());
    let second = 4096 * 512 + 462;
    file.write_all_at(&entry, second).unwrap();
    assert!(
        matches!(read(&path), Err(TableError::Mbr(Lba(4096), why)) if why.contains("reaches this sector twice"))
    );
    entry[8..12].copy_from_slice(&200_000u32.to_le_bytes());
    file.write_all_at(&entry, second).unwrap();
    assert!(
        matches!(read(&path), Err(TableError::Mbr(Lba(204_096), why)) if why.contains("leaves"))
    );
}

#[test]
fn a_damaged_gpt_is_read_from_its_other_copy() {
    let dir = scratch();
    let path = dir.path().join("disk");
    write(&path, &gpt());
    flip(&path, 1024 + 128 * 13 + 60);
    let table = read(&path).unwrap();
    assert_eq!(table.partitions, gpt().partitions);
    assert!(
        matches!(&table.warnings[..], [TableWarning::PrimaryDamaged(_)]),
        "{:?}",
        table.warnings
    );
    flip(&path, SIZE - 500);
    assert!(matches!(read(&path), Err(TableError::BothDamaged { .. })));
    write(&path, &gpt());
    flip(&path, SIZE - 500);
    assert!(matches!(
        &read(&path).unwrap().warnings[..],
        [TableWarning::BackupDamaged(_)]
    ));
    write(&path, &gpt());
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(&[0; 512], 0)
        .unwrap();
    assert!(matches!(
        &read(&path).unwrap().warnings[..],
        [TableWarning::NoProtective]
    ));
}

#[test]
fn sgdisk_tables_hybrid_and_4096() {
    let Some(sgdisk) = tool("sgdisk") else { return };
    let dir = scratch();
    let path = dir.path().join("disk");
    blank(&path);
    must(
        &sgdisk,
        &[
            &"-n1:2048:+10M",
            &"-t1:ef00",
            &"-c1:EFI",
            &"-n5:40960:0",
            &"-A5:set:2",
            &path,
        ],
    );
    let table = read(&path).unwrap();
    assert_eq!(table.kind(), TableKind::Gpt);
    assert_eq!(
        table
            .partitions
            .iter()
            .map(|p| p.number)
            .collect::<Vec<_>>(),
        [1, 5]
    );
    assert_eq!(
        (table.partitions[0].kind, table.partitions[0].name.as_str()),
        (types::GPT_ESP, "EFI")
    );
    assert_eq!(table.partitions[1].attributes, 4);
    must(&sgdisk, &[&"--hybrid=1", &path]);
    assert_eq!(read(&path).unwrap().warnings, [TableWarning::Hybrid]);
    // What a disk with 4096-byte sectors looks like: its header at 4096.
    let bytes = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&bytes[512..1024], 4096).unwrap();
    file.write_all_at(&[0; 512], 512).unwrap();
    assert!(matches!(read(&path), Err(TableError::SectorSize)));
}

#[test]
fn what_is_no_disk_gets_its_name() {
    let dir = scratch();
    let instead = |path: &Path| match read(path) {
        Err(TableError::NoTable(instead)) => instead,
        other => panic!("{other:?}"),
    };
    let path = dir.path().join("x");
    blank(&path);
    assert_eq!(instead(&path), UnpartitionedContent::Empty);
    fs::write(&path, b"abc").unwrap();
    assert_eq!(instead(&path), UnpartitionedContent::Short(3));
    fs::write(&path, [7; 4096]).unwrap();
    assert_eq!(instead(&path), UnpartitionedContent::Unknown);
    if let Some(mke2fs) = tool("mke2fs") {
        blank(&path);
        must(mke2fs, &[&"-q", &"-F", &path]);
        assert_eq!(
            instead(&path),
            UnpartitionedContent::Bare("ext2, ext3 or ext4 filesystem")
        );
    }
    if let Some(mkfs) = tool("mkfs.vfat") {
        blank(&path);
        must(mkfs, &[&path]);
        assert_eq!(instead(&path), UnpartitionedContent::Bare("FAT filesystem"));
    }
    write(&path, &mbr());
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"CD001", 0x8001)
        .unwrap();
    assert_eq!(instead(&path), UnpartitionedContent::Iso);
}

#[test]
fn what_cannot_be_written_is_refused_with_numbers() {
    let mut table = gpt();
    table.partitions[2].sectors += 1;
    assert!(matches!(
        table.encode(SIZE),
        Err(TableError::Beyond { number: 15, .. })
    ));
    let mut table = gpt();
    table.partitions[0].number = 14;
    assert!(matches!(table.encode(SIZE), Err(TableError::Twice(14))));
    let mut table = gpt();
    table.partitions[0].number = 129;
    assert!(matches!(
        table.encode(SIZE),
        Err(TableError::Unwritable(129, _))
    ));
    let mut table = gpt();
    table.partitions[0].start = Lba(2000);
    table.partitions[0].sectors = 100;
    assert!(matches!(
        table.encode(SIZE),
        Err(TableError::Overlap(1, 14, Lba(2100), Lba(2048)))
    ));
    assert!(matches!(gpt().encode(SIZE + 1), Err(TableError::Disk(..))));
    assert!(matches!(gpt().encode(1024), Err(TableError::Disk(..))));
    assert!(matches!(
        mbr().encode(SIZE / 2),
        Err(TableError::Beyond { number: 4, .. })
    ));
}

#[test]
fn flips_never_panic() {
    for table in [gpt(), mbr()] {
        let mut disk = vec![0; usize::try_from(SIZE).unwrap()];
        for (offset, bytes) in table.encode(SIZE).unwrap() {
            let at = usize::try_from(offset).unwrap();
            disk[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        // An extended chain in the MBR's second partition.
        if table.kind() == TableKind::Mbr {
            disk[446 + 16 + 4] = 5;
            let at = 24576 * 512;
            let sector: Vec<u8> = disk[..512].to_vec();
            disk[at..at + 512].copy_from_slice(&sector);
            disk[at + 446 + 8] = 1;
            disk[at + 446 + 9] = 0;
        }
        let source = |disk: &[u8]| MemSource(disk.into());
        let mut seed = 1u64;
        let small: Vec<u8> = disk[..usize::try_from(2 * MIB).unwrap()].to_vec();
        for _ in 0..400 {
            let mut copy = small.clone();
            for _ in 0..3 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % 2048;
                copy[at] ^= 1 << (seed >> 60 & 7);
            }
            let _ = PartitionTable::read(&source(&copy));
        }
        for len in [0, 1, 511, 512, 513, 1023, 1024, 4096, 17_408] {
            let _ = PartitionTable::read(&source(&small[..len]));
        }
    }
}

/// Gives the GPT header at `sector` another length and the checksum of that many bytes.
fn lengthen(path: &Path, sector: u64, len: u32) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut header = [0; 512];
    file.read_exact_at(&mut header, sector * 512).unwrap();
    header[12..16].copy_from_slice(&len.to_le_bytes());
    header[16..20].fill(0);
    let checksum = crc32fast::hash(&header[..(len as usize).min(512)]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&header, sector * 512).unwrap();
}

#[test]
fn a_gpt_header_may_be_longer_than_its_fields() {
    let dir = scratch();
    let path = dir.path().join("disk");
    let last = SIZE / 512 - 1;
    for (len, sectors) in [
        (96, vec![1, last]),
        (512, vec![1, last]),
        (512, vec![1]),
        (512, vec![last]),
    ] {
        write(&path, &gpt());
        for sector in sectors {
            lengthen(&path, sector, len);
        }
        assert_eq!(read(&path).unwrap(), gpt(), "{len}");
    }
    // All of it is checked, and it ends within its sector.
    write(&path, &gpt());
    for sector in [1, last] {
        lengthen(&path, sector, 512);
        flip(&path, sector * 512 + 200);
    }
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("the header at sector 1 does not match its checksum"),
        "{error}"
    );
    write(&path, &gpt());
    for sector in [1, last] {
        lengthen(&path, sector, 513);
    }
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("has 513 bytes, more than a sector"),
        "{error}"
    );
}

/// The image at `path`, cut to this length.
fn cut(path: &Path, len: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

#[test]
fn a_cut_disk_says_how_much_is_missing() {
    let dir = scratch();
    let path = dir.path().join("disk");
    write(&path, &gpt());
    cut(&path, SIZE / 2);
    let error = read(&path).unwrap_err();
    assert!(matches!(error, TableError::Beyond { .. }), "{error}");
    // The hint names the end of the whole disk, not of the first partition that is cut: a copy of
    // so many bytes is read.
    let hint = error.hint().unwrap();
    let mib: u64 = hint
        .split_once("count=")
        .and_then(|(_, rest)| rest.split(';').next()?.parse().ok())
        .unwrap();
    write(&path, &gpt());
    cut(&path, mib * MIB);
    assert!(read(&path).is_ok(), "{hint}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("the image is 33554432 bytes shorter than its disk")
            && hint.contains("at least the first 64 MiB")
            && hint.contains("count=64; if the image was split"),
        "{hint}"
    );
}

#[test]
fn partitions_of_a_cut_mbr_end_where_the_image_does_as_in_linux() {
    let dir = scratch();
    let path = dir.path().join("disk");
    write(&path, &mbr());
    cut(&path, SIZE / 2 - MIB);
    let table = read(&path).unwrap();
    let ends: Vec<(u32, u64)> = table
        .partitions
        .iter()
        .map(|partition| (partition.number, partition.end().bytes()))
        .collect();
    assert_eq!(ends, [(1, 12 * MIB), (2, SIZE / 2 - MIB)]);
    let said: Vec<String> = table.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "the image ends too early: the last 1048576 bytes of partition 2 are missing",
            "the image ends too early: all 33554432 bytes of partition 4 are missing",
        ]
    );
    // Nothing is left.
    cut(&path, 4 * MIB);
    assert!(matches!(
        read(&path),
        Err(TableError::Beyond { number: 1, .. })
    ));
}

#[test]
fn a_chain_of_logical_partitions_ends_where_the_image_does() {
    let Some(sfdisk) = tool("sfdisk") else { return };
    let dir = scratch();
    let path = dir.path().join("disk");
    File::create(&path).unwrap().set_len(SIZE).unwrap();
    let script = "label: dos\n1 : start=2048, size=20480, type=83\n2 : start=24576, type=5\n\
                  5 : start=26624, size=20480, type=83\n6 : start=49152, size=20480, type=83\n";
    let mut child = Command::new(sfdisk)
        .arg("--quiet")
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(read(&path).unwrap().partitions.len(), 3);
    cut(&path, 20 * MIB);
    let table = read(&path).unwrap();
    assert_eq!(table.partitions.len(), 2);
    let said: Vec<String> = table.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("the image ends too early: logical partitions from sector "));
    assert!(
        said[1].contains("the last 3145728 bytes of partition 5"),
        "{said:?}"
    );
}
