//! FAT: bytes of tables, entries and marks.

use super::image::{BOOT, Build};
use super::{Patch, expect, le32, patched, verify};
use goldsmith::units::MIB;
use std::sync::Arc;

/// The boot partition of the good image, and where things are in it.
struct Fat {
    disk: Arc<Vec<u8>>,
    table: u64,
    copy: u64,
    data: u64,
    cluster: u64,
}

impl Fat {
    fn new() -> Self {
        let disk = Build::new().make().disk;
        let start = BOOT.0 * MIB;
        let le16 = |at: u64| u64::from(le32(&disk, start + at) & 0xFFFF);
        let reserved = le16(14) * 512;
        let len = u64::from(le32(&disk, start + 36)) * 512;
        let cluster = u64::from(disk[start as usize + 13]) * 512;
        Self {
            table: start + reserved,
            copy: start + reserved + len,
            data: start + reserved + 2 * len,
            cluster,
            disk,
        }
    }

    /// Where the 32 bytes of an entry are, by its short name.
    fn entry(&self, short: &[u8; 11]) -> u64 {
        let area = &self.disk[self.data as usize..self.data as usize + (1 << 20)];
        let found = area
            .chunks_exact(32)
            .position(|entry| entry.starts_with(short) && entry[11] & 0x0F != 0x0F);
        self.data
            + 32 * found.unwrap_or_else(|| panic!("no {}", String::from_utf8_lossy(short))) as u64
    }

    fn first(&self, entry: u64) -> u32 {
        (le32(&self.disk, entry + 26) & 0xFFFF) | (le32(&self.disk, entry + 20) & 0xFFFF) << 16
    }

    /// An entry of both tables.
    fn set(&self, cluster: u32, value: u32) -> Vec<Patch> {
        [self.table, self.copy]
            .map(|table| (table + 4 * u64::from(cluster), value.to_le_bytes().to_vec()))
            .to_vec()
    }
}

/// Damage of a FAT filesystem, each with its finding.
fn damages(fat: &Fat) -> Vec<(&'static str, Vec<Patch>)> {
    let start = BOOT.0 * MIB;
    let (program, config) = (fat.entry(b"BOOTX64 EFI"), fat.entry(b"GRUB    CFG"));
    let boot_dir = fat.entry(b"BOOT       ");
    let long = fat.entry(b"AFILEW~1TXT") - 32;
    let info = start + 512;
    vec![
        ("fat-backup", vec![(start + 6 * 512 + 90, vec![9])]),
        ("fat-copies", vec![(fat.copy + 4 * 6000, vec![1])]),
        ("fat-media", [fat.set(0, 0x0FFF_FFF0)].concat()),
        ("fat-dirty", fat.set(1, 0x03FF_FFFF)),
        ("fat-chain", fat.set(fat.first(program), 0x0ABC_DEF0)),
        (
            "fat-shared",
            vec![(
                config + 26,
                fat.disk[long as usize + 32 + 26..][..2].to_vec(),
            )],
        ),
        ("fat-size", vec![(program + 28, vec![0xFF, 0xFF, 0])]),
        ("fat-info", vec![(info + 488, vec![1, 0, 0, 0])]),
        ("fat-info", vec![(info + 492, vec![0xFF, 0xFF, 0xFF, 0x7F])]),
        ("fat-info", vec![(info + 484, vec![0])]),
        ("fat-entry", vec![(boot_dir + 28, vec![1])]),
        ("fat-entry", vec![(program, vec![1])]),
        (
            "fat-duplicate",
            vec![(fat.entry(b"SECOND  EFI"), b"BOOTX64 EFI".to_vec())],
        ),
        (
            "fat-long-name",
            vec![(long + 13, vec![fat.disk[long as usize + 13] ^ 1])],
        ),
        (
            "fat-long-name",
            [0, 32, 64]
                .map(|back| (long - back + 13, vec![fat.disk[long as usize + 13] ^ 1]))
                .to_vec(),
        ),
        // The last part of it says that it is not the last.
        (
            "fat-long-name",
            vec![(long, vec![fat.disk[long as usize] | 0x02])],
        ),
        (
            "fat-dots",
            vec![(
                fat.data + u64::from(fat.first(boot_dir) - 2) * fat.cluster + 26,
                vec![99],
            )],
        ),
    ]
}

#[test]
fn each_damage_of_fat_has_its_own_finding() {
    let fat = Fat::new();
    for (code, patches) in damages(&fat) {
        let outcome = verify(&patched(&fat.disk, &patches));
        let ours: Vec<&str> = super::codes(&outcome)
            .into_iter()
            .filter(|code| code.starts_with("fat-"))
            .collect();
        assert_eq!(ours, [code], "{:?}", outcome.findings);
    }
}

#[test]
fn damage_of_fat_that_has_consequences_has_those_findings_too() {
    let fat = Fat::new();
    let start = BOOT.0 * MIB;
    let free = 5000;
    let long = fat.entry(b"AFILEW~1TXT") - 32;
    let info = start + 512;
    // A name that is no text: the check follows it, no reader can name it.
    let surrogate = patched(&fat.disk, &[(long + 1, vec![0x00, 0xD8])]);
    expect(
        &verify(&surrogate),
        &["boot-missing", "fat-files"],
        "a name that is no text",
    );
    // A cluster in use that no file has; the count of free ones stays as it was said to be.
    let mut lost = fat.set(free, 0x0FFF_FFFF);
    lost.push((info + 488, vec![0xFF; 4]));
    expect(
        &verify(&patched(&fat.disk, &lost)),
        &["fat-lost"],
        "a lost cluster",
    );
    let deep = (0..129).fold(String::new(), |path, _| path + "/d");
    let mut build = Build::new();
    super::image::put(&mut build.boot, &format!("{deep}/file"), "deep");
    expect(
        &verify(&build.make().source()),
        &["boot-missing", "fat-chain"],
        "directories in 129 others",
    );
    let outcome = verify(&patched(&fat.disk, &[(start + 13, vec![3])]));
    expect(
        &outcome,
        &["boot-missing", "fat-boot-sector"],
        "clusters of three sectors",
    );
}

#[test]
fn filesystems_of_mkfs_have_no_findings() {
    use crate::support::{must, scratch, tool};
    let (Some(mkfs), Some(mcopy), Some(_)) = (tool("mkfs.vfat"), tool("mcopy"), tool("mmd")) else {
        return;
    };
    let dir = scratch();
    for (width, size) in [("12", 1), ("16", 20), ("32", 35)] {
        let image = dir.path().join(format!("fat{width}"));
        std::fs::File::create(&image)
            .unwrap()
            .set_len(size * MIB)
            .unwrap();
        must(&mkfs, &[&"-F", &width, &"-s", &"1", &image]);
        must(
            "mmd",
            &[&"-i", &image, &"::/EFI", &"::/EFI/a long directory name"],
        );
        let file = dir.path().join("a long file name.txt");
        std::fs::write(&file, "text".repeat(3000)).unwrap();
        must(
            &mcopy,
            &[&"-i", &image, &file, &"::/EFI/a long directory name/"],
        );
        must(&mcopy, &[&"-i", &image, &file, &"::/SHORT.TXT"]);
        let mut build = Build::new();
        build.boot.remove("/EFI").unwrap();
        let made = build.make();
        let bytes = std::fs::read(&image).unwrap();
        let outcome = verify(&patched(&made.disk, &[(BOOT.0 * MIB, bytes)]));
        let found: Vec<&str> = super::codes(&outcome)
            .into_iter()
            .filter(|code| code.starts_with("fat-"))
            .collect();
        assert!(found.is_empty(), "{width}: {:?}", outcome.findings);
    }
}
