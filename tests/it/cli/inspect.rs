//! `goldsmith inspect` for people who have a doubtful image: every partition is shown, whatever the
//! others are like.

use crate::support::{goldsmith, must, root, run, scratch, tool};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A disk with an MBR and these filesystems, each of 8 MiB.
fn disk(path: &Path, parts: &[&Path]) {
    let file = File::create(path).unwrap();
    file.set_len((1 + 8 * parts.len() as u64) * MIB).unwrap();
    let mut sector = [0; 512];
    for (number, part) in parts.iter().enumerate() {
        let start = (2048 + number as u32 * 16384).to_le_bytes();
        let entry = &mut sector[446 + 16 * number..][..16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&start);
        entry[12..16].copy_from_slice(&16384_u32.to_le_bytes());
        let bytes = std::fs::read(part).unwrap();
        file.write_all_at(&bytes, (1 + 8 * number as u64) * MIB)
            .unwrap();
    }
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    file.write_all_at(&sector, 0).unwrap();
}

fn text(command: &str, image: &Path) -> String {
    let output = run(goldsmith(), &[&command, &image]);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn partitions_that_cannot_be_read_are_shown_beside_the_others() {
    let (Some(mke2fs), Some(debugfs), Some(mkfs)) =
        (tool("mke2fs"), tool("debugfs"), tool("mkfs.vfat"))
    else {
        return;
    };
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    let ext = |name: &str, size: &str, features: &str| {
        let path = at(name);
        must(&mke2fs, &[&"-q", &"-F", &"-O", &features, &path, &size]);
        path
    };
    let journal = ext("journal", "8M", "journal_dev");
    let cut = ext("cut", "16M", "has_journal");
    File::options()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(8 * MIB)
        .unwrap();
    // BitLocker has a boot sector like that of FAT32.
    let bitlocker = at("bitlocker");
    File::create(&bitlocker).unwrap().set_len(8 * MIB).unwrap();
    must(&mkfs, &[&bitlocker]);
    let file = File::options().write(true).open(&bitlocker).unwrap();
    file.write_all_at(b"-FVE-FS-", 3).unwrap();
    let odd = ext("odd", "8M", "^has_journal");
    for command in [
        "mkdir kept",
        "mkdir lost",
        "unlink lost",
        "ssv error_count 2",
    ] {
        must(&debugfs, &[&"-w", &"-R", &command, &odd]);
    }
    let image = at("disk.img");
    disk(&image, &[&journal, &cut, &bitlocker, &odd]);
    let seen = text("inspect", &image);
    for expected in [
        "the journal of an ext4 filesystem elsewhere",
        "the filesystem has 16777216 bytes, of which the last 8388608 are missing",
        "an encrypted volume (BitLocker)",
        "remark on partition 4: Linux or e2fsck recorded errors in it",
        "remark on partition 4: 1 inodes are in use without a name",
    ] {
        assert!(seen.contains(expected), "no `{expected}` in\n{seen}");
    }
    let checked = text("verify", &image);
    for expected in [
        "warning[ext4-unchecked]: partition 1",
        "error[ext4-superblock]: partition 2",
        "ext4 on partition 4",
        "error[ext4-state]: partition 4",
        "error[ext4-unreachable]: partition 4",
    ] {
        assert!(checked.contains(expected), "no `{expected}` in\n{checked}");
    }
    assert!(!checked.contains("FAT on partition 3"), "{checked}");
}

#[test]
fn a_dirty_fat_with_a_label_of_any_bytes_is_shown() {
    let Some(mkfs) = tool("mkfs.vfat") else {
        return;
    };
    let dir = scratch();
    let (part, image) = (dir.path().join("part"), dir.path().join("disk.img"));
    File::create(&part).unwrap().set_len(8 * MIB).unwrap();
    must(&mkfs, &[&"-F", &"16", &"-s", &"1", &"-n", &"PLAIN", &part]);
    let mut bytes = std::fs::read(&part).unwrap();
    // Of the label every byte but the first may be anything; the clean mark is in the table.
    let label = b"\x8E\xFF\xE5\x01\x80 \x00\x00\x00\x00\x00";
    while let Some(at) = bytes
        .windows(11)
        .position(|window| window == b"PLAIN      ")
    {
        bytes[at..at + 11].copy_from_slice(label);
    }
    let table = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    bytes[table + 3] &= 0x7F;
    std::fs::write(&part, bytes).unwrap();
    disk(&image, &[&part]);
    let seen = text("inspect", &image);
    assert!(seen.contains("FAT16"), "{seen}");
    assert!(
        seen.contains("remark on partition 1: it was not unmounted"),
        "{seen}"
    );
    assert!(text("verify", &image).contains("error[fat-dirty]: partition 1"));
}

#[test]
fn a_mounted_image_is_said() {
    if !root() {
        return;
    }
    let Some(mke2fs) = tool("mke2fs") else { return };
    let dir = scratch();
    let (part, image) = (dir.path().join("part"), dir.path().join("disk.img"));
    must(mke2fs, &[&"-q", &"-F", &"-t", &"ext4", &part, &"8M"]);
    disk(&image, &[&part]);
    assert!(!text("inspect", &image).contains("is mounted"));
    let mount = dir.path().join("a mount");
    std::fs::create_dir(&mount).unwrap();
    let options = "loop,offset=1048576,sizelimit=8388608";
    must("mount", &[&"-o", &options, &image, &mount]);
    let seen = text("inspect", &image);
    must("umount", &[&mount]);
    assert!(
        seen.contains("is mounted on ") && seen.contains("can be written to while"),
        "{seen}"
    );
}
