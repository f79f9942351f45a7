//! Partition tables: bytes of either GPT and of the protective MBR.

use super::image::Build;
use super::{expect, le64, patched, verify};
use goldsmith::image::table::{DiskId, PartitionType};
use goldsmith::verify::{Request, image};
use std::sync::Arc;

/// Changes bytes of both GPTs and makes their checksums right again.
fn resealed(disk: &[u8], change: impl Fn(&mut [u8], &mut [u8])) -> Arc<Vec<u8>> {
    let mut out = disk.to_vec();
    let last = out.len() - 512;
    for at in [512, last] {
        let entries = le64(&out, at as u64 + 72) as usize * 512;
        let (mut header, mut list) = (
            out[at..at + 512].to_vec(),
            out[entries..entries + 16384].to_vec(),
        );
        change(&mut header, &mut list);
        header[88..92].copy_from_slice(&crc32fast::hash(&list).to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32fast::hash(&header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        out[at..at + 512].copy_from_slice(&header);
        out[entries..entries + 16384].copy_from_slice(&list);
    }
    Arc::new(out)
}

#[test]
fn each_damage_of_the_table_has_its_own_finding() {
    let made = Build::new().make();
    let disk = &made.disk;
    let last = disk.len() as u64 - 512;
    let backup = le64(disk, last + 72) * 512;
    let cases = [
        ("table-header", 512 + 60, 0x55),
        ("table-entries", 1024 + 20, 0x55),
        ("table-backup-header", last + 60, 0x55),
        ("table-backup-entries", backup + 20, 0x55),
        ("table-protective", 446 + 12, 0x55),
        ("table-protective", 446 + 16 + 4, 0x83),
    ];
    for (code, at, byte) in cases {
        expect(
            &verify(&patched(disk, &[(at, vec![byte])])),
            &[code],
            &format!("{code} at {at:#x}"),
        );
    }
    expect(
        &verify(&patched(
            disk,
            &[(0, vec![0; 34 * 512]), (backup, vec![0; 33 * 512])],
        )),
        &["table-missing"],
        "no table",
    );
}

#[test]
fn tables_with_right_sums_and_wrong_numbers_are_found() {
    let made = Build::new().make();
    let check = |code: &str, change: &dyn Fn(&mut [u8], &mut [u8])| {
        expect(
            &verify(&patched(&resealed(&made.disk, change), &[])),
            &[code],
            code,
        );
    };
    check("table-usable", &|header, _| header[40] = 20);
    check("table-duplicate", &|_, list| {
        list.copy_within(16..32, 3 * 128 + 16)
    });
    // Partition 2 begins where partition 1 does.
    check("table-overlap", &|_, list| {
        list.copy_within(32..40, 128 + 32)
    });
    check("table-range", &|_, list| {
        list[3 * 128 + 40..][..8]
            .copy_from_slice(&((made.disk.len() / 512 + 9) as u64).to_le_bytes())
    });
    // On the disk, but where the second copy of the table is.
    check("table-range", &|_, list| {
        list[3 * 128 + 40..][..8]
            .copy_from_slice(&((made.disk.len() / 512 - 20) as u64).to_le_bytes())
    });
    let only_first = |header: &mut [u8], list: &mut [u8]| {
        if header[24] == 1 {
            list[56] = b'X';
        }
    };
    check("table-copies", &only_first);
}

#[test]
fn an_mbr_is_fine_and_odd_starts_are_noted() {
    let mut build = Build::new();
    build.table.disk_id = DiskId::Mbr(0x1234_5678);
    for partition in &mut build.table.partitions {
        partition.kind = PartitionType::Mbr(if partition.number == 1 { 0xEF } else { 0x83 });
        partition.id = None;
    }
    let conf = r#"{"RootfsPartA":"/dev/disk/by-partuuid/12345678-02","RootfsPartB":"/dev/disk/by-partuuid/12345678-03"}"#;
    super::image::put(&mut build.data, "/mender/mender.conf", conf);
    super::image::put(
        &mut build.boot,
        "/EFI/BOOT/grub.cfg",
        super::image::stage1("12345678-02", "12345678-03"),
    );
    let fstab = String::from_utf8(build.root.read("/etc/fstab", 4096).unwrap().unwrap()).unwrap();
    let fstab = fstab.replace(&goldsmith::stamp::Uuid([1; 16]).to_string(), "12345678-01");
    super::image::put(&mut build.root, "/etc/fstab", fstab);
    let made = build.make();
    expect(&image(&made.source(), &Request::default()), &[], "an MBR");
    let bad = patched(
        &made.disk,
        &[(446 + 16 + 8, made.disk[446 + 8..446 + 12].to_vec())],
    );
    expect(&verify(&bad), &["table-overlap"], "an MBR with an overlap");
    // A partition that begins one sector late holds nothing that can be read; the alignment is
    // noted besides.
    let start = u32::try_from(57 * 2048 + 1).unwrap().to_le_bytes().to_vec();
    let outcome = verify(&patched(&made.disk, &[(446 + 48 + 8, start)]));
    assert!(
        outcome
            .findings
            .iter()
            .any(|finding| finding.code == "table-alignment"),
        "{outcome:?}"
    );
}
