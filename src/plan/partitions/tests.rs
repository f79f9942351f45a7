//! Decisions about the partitions of small golden images.

use super::Fate;
use crate::config::Config;
use crate::golden::Golden;
use crate::golden::example_tests::{Example, TIME, add, empty, esp, ext, root};
use crate::image::source::InputImage;
use crate::image::table::{PartitionType, types};
use crate::plan::host::HostFiles;
use crate::plan::{Plan, selection};
use crate::report::Silent;
use crate::stamp::Uuid;
use crate::stream::Content;
use crate::tree::{Stat, Tree};
use crate::units::MIB;
use std::path::Path;

/// Plans the conversion of `example`: the plan, or everything that is wrong.
fn plan(example: &Example, text: &str) -> Result<Plan, String> {
    let config = Config::parse(&format!("[artifact]\nname = \"r1\"\n{text}")).unwrap();
    let input = InputImage::of(example.source());
    let golden = Golden::read(input, selection(&config), &Silent).unwrap();
    let host = HostFiles {
        disk: Path::new("golden.img"),
        overlays: &[],
        preserve_layout: None,
        modes: Default::default(),
        package_cache: Path::new(""),
        epoch: None,
    };
    Plan::new(&config, &golden, &host).map_err(|error| error.to_string())
}

/// The fate of partition `number`, and the notes about partitions.
fn fate(example: &Example, text: &str, number: u32) -> (Fate, String) {
    let plan = plan(example, text).unwrap();
    let fate = plan.partitions.fate(number).unwrap().clone();
    (fate, plan.partitions.notes.join("\n"))
}

/// The error must contain all of `parts`.
fn refused(example: &Example, text: &str, parts: &[&str]) {
    let error = plan(example, text).map(|plan| plan.partitions).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

fn example(further: &[(PartitionType, Content)]) -> Example {
    let mut example = Example::new();
    example.partitions.extend(further.iter().cloned());
    example
}

/// A system with these lines in `fstab`.
fn mounting(lines: &str, further: &[(PartitionType, Content)]) -> Example {
    let mut example = example(further);
    let mut root = root();
    let text = format!("LABEL=golden / ext4 noatime 0 1\n{lines}");
    add(&mut root, "/etc/fstab", text.as_bytes());
    example.partitions[1].1 = ext(&root);
    example
}

/// Content with these bytes at an offset.
fn bytes(at: u64, bytes: &[u8]) -> Content {
    let mut content = Content::hole(8 * MIB);
    content.push_bytes(at, bytes.to_vec());
    content.set_len(8 * MIB);
    content
}

/// A tree with one file.
fn file(path: &str, len: usize) -> Tree {
    let mut tree = empty();
    tree.put_file(path, vec![b'x'; len], Stat::root(0o644, TIME))
        .unwrap();
    tree
}

fn typed(kind: &str) -> PartitionType {
    PartitionType::Gpt(kind.parse::<Uuid>().unwrap())
}

#[test]
fn partitions_without_use_are_left_out_with_a_note() {
    for (kind, content, says) in [
        (
            types::GPT_LINUX,
            bytes(0, &[]),
            "only zeros) is left out: it is empty",
        ),
        (
            types::GPT_LINUX,
            bytes(4086, b"SWAPSPACE2"),
            "swap) is left out",
        ),
        (
            types::GPT_BIOS_BOOT,
            bytes(0, b"core.img"),
            "a BIOS boot partition has no use",
        ),
        (types::GPT_LINUX, bytes(0, b"XFSB"), "XFS, not readable: "),
        (
            types::GPT_LINUX,
            ext(&empty()),
            "is left out: it holds no files",
        ),
        (
            types::GPT_BASIC_DATA,
            esp(&file("/a", 9)),
            "FAT16, 9 B used: a) is left out",
        ),
        (
            types::GPT_LINUX,
            bytes(5 * MIB, b"?"),
            "unknown data) is left out: its content",
        ),
    ] {
        let (fate, notes) = fate(&example(&[(kind, content)]), "", 3);
        assert_eq!(fate, Fate::Dropped, "{notes}");
        assert!(notes.contains(says), "{says}: {notes}");
        assert!(
            notes.contains("partition 3 ") && notes.contains("(8 MiB, "),
            "{notes}"
        );
    }
}

#[test]
fn files_that_nobody_mounts_need_a_decision() {
    let example = example(&[(types::GPT_LINUX, ext(&file("/app/state", 5000)))]);
    let parts = [
        "partition 3 \"golden\" (8 MiB, ext4, ",
        ": app) is mounted by nothing: it would be left out",
        "do = \"data\"\npath = \"/srv/files\"",
    ];
    refused(&example, "", &parts);
    let entry = "[[partition]]\nnumber = 3\n";
    let (fate3, _) = fate(
        &example,
        &format!("{entry}do = \"data\"\npath = \"/srv/files\"\n"),
        3,
    );
    assert_eq!(fate3, Fate::Data("/srv/files".into()));
    let (fate3, notes) = fate(&example, &format!("{entry}do = \"drop\"\n"), 3);
    assert_eq!(fate3, Fate::Dropped);
    assert!(notes.contains("is left out: as configured"), "{notes}");
    refused(
        &example,
        &format!("{entry}do = \"merge\"\n"),
        &["needs a directory", "path = "],
    );
    let proc = format!("{entry}do = \"merge\"\npath = \"/proc/x\"\n");
    refused(&example, &proc, &["cannot be in /proc/x"]);
}

#[test]
fn every_way_of_mounting_is_seen() {
    let id = "03030303-0303-0303-0303-030303030303";
    let files = || (types::GPT_LINUX, ext(&file("/a", 1)));
    for (line, by) in [
        (
            format!("PARTUUID={id}\t/srv/x//\text4\tnofail\t0 2\n"),
            "on /srv/x by /etc/fstab line 2",
        ),
        (
            format!("\"PARTUUID={id}\" /mnt ext4\n/mnt/h /home none bind\n"),
            "on /home by /etc/fstab line 3 (from /mnt/h)",
        ),
        (
            format!("/dev/disk/by-partuuid/{id} /opt auto noauto\n"),
            "on /opt by",
        ),
        ("/dev/sda3 /var/log ext4\n".into(), "on /var/log by"),
        (
            "/dev/disk/by-id/ata-x-part3 /my\\040files ext4\n".into(),
            "on /my files by",
        ),
    ] {
        refused(&mounting(&line, &[files()]), "", &[by, "number = 3"]);
    }
    let home = typed("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
    let example = example(&[(home, ext(&file("/user/x", 1)))]);
    refused(&example, "", &["on /home by its partition type"]);
    // Another disk is not this one.
    let medium = mounting(
        "/dev/sdb3 /home ext4 nofail\n",
        &[(types::GPT_LINUX, ext(&empty()))],
    );
    let (_, notes) = fate(&medium, "", 3);
    assert!(!notes.contains("/home"), "{notes}");
    let mut other = mounting("", &[(types::GPT_LINUX, ext(&empty()))]);
    let mut tree = root();
    add(
        &mut tree,
        "/etc/fstab",
        b"/dev/mmcblk0p2 / ext4\n/dev/sda3 /home ext4\n",
    );
    other.partitions[1].1 = ext(&tree);
    let plan = plan(&other, "").unwrap();
    assert!(
        plan.partitions
            .notes
            .iter()
            .all(|note| !note.contains("/home"))
    );
}

#[test]
fn content_that_cannot_be_read_is_named_where_it_is_mounted() {
    let luks = {
        let mut bytes = vec![0; 4096];
        bytes[..6].copy_from_slice(b"LUKS\xba\xbe");
        bytes[168..172].copy_from_slice(b"1234");
        bytes
    };
    let mut example = example(&[(types::GPT_LINUX, bytes(0, &luks))]);
    let mut tree = root();
    add(&mut tree, "/etc/fstab", b"/dev/mapper/vault /home ext4\n");
    add(&mut tree, "/etc/crypttab", b"vault UUID=1234 none luks\n");
    example.partitions[1].1 = ext(&tree);
    let parts = [
        "an encrypted volume (LUKS), not readable: ",
        "mounted on /home by /etc/fstab line 1",
        "do = \"drop\"",
    ];
    refused(&example, "", &parts);
    let merge = "[[partition]]\nnumber = 3\ndo = \"merge\"\n";
    refused(
        &example,
        merge,
        &["do = \"merge\" is not possible", "set do = \"drop\""],
    );
    let drop = "[[partition]]\nnumber = 3\ndo = \"drop\"\n";
    assert_eq!(fate(&example, drop, 3).0, Fate::Dropped);
}

#[test]
fn a_boot_loader_in_a_partition_is_copied_where_it_fits() {
    let mut example = Example::new();
    let loader = bytes(0, b"loader");
    example.partitions.insert(0, (types::GPT_LINUX, loader));
    let parts = [
        "partition 1 (8 MiB, unknown data) is at bytes 1048576 to 9437183",
        "the first new partition begins at byte 8388608",
        "raise storage.alignment to \"16 MiB\"",
        "[[raw]]",
    ];
    refused(&example, "", &parts);
    let aligned = "[storage]\nalignment = \"16 MiB\"\n";
    let (fate1, notes) = fate(&example, aligned, 1);
    assert_eq!(fate1, Fate::Copied);
    assert!(
        notes.contains("is copied in place, to bytes 1048576 to 9437183 of the new disk"),
        "{notes}"
    );
    // What [[raw]] writes there takes its place.
    let raw = "[[raw]]\nfile = \"/etc/fstab\"\nfrom = \"image\"\noffset = \"2 MiB\"\n";
    let (fate1, notes) = fate(&example, raw, 1);
    assert_eq!(fate1, Fate::Dropped);
    assert!(
        notes.contains("[[raw]] writes /etc/fstab in its place"),
        "{notes}"
    );
}

/// A system for 64-bit Arm that a U-Boot starts, and its configuration.
const U_BOOT: &str = "[board]\ndevice-type = [\"x\"]\n[boot]\nbootloader = \"u-boot\"\n";

fn arm(mut example: Example) -> Example {
    let mut tree = root();
    let mut shell = vec![0; 64];
    shell[..4].copy_from_slice(b"\x7fELF");
    shell[18] = 183;
    add(&mut tree, "/bin/sh", &shell);
    example.partitions[1].1 = ext(&tree);
    example
}

#[test]
fn unknown_content_needs_a_decision_with_u_boot() {
    for (content, says) in [
        (
            bytes(0, b"ANDROID!"),
            "(8 MiB, an Android boot image) is what an Android boot loader",
        ),
        (
            bytes(64, b"?"),
            "(8 MiB, unknown data) is mounted by nothing",
        ),
        (
            esp(&file("/uEnv.txt2", 9)),
            "FAT16, 9 B used: uEnv.txt2) is mounted by nothing",
        ),
    ] {
        let example = arm(example(&[(types::GPT_BASIC_DATA, content)]));
        refused(&example, U_BOOT, &[says, "number = 3\ndo = \"d"]);
        let drop = format!("{U_BOOT}[[partition]]\nnumber = 3\ndo = \"drop\"\n");
        assert_eq!(fate(&example, &drop, 3).0, Fate::Dropped);
        let copy = format!("{U_BOOT}[[partition]]\nnumber = 3\ndo = \"copy\"\n");
        refused(
            &example,
            &copy,
            &["bytes 17825792 to 26214399", "begins at byte 25165824"],
        );
    }
}

#[test]
fn entries_that_cannot_be_followed() {
    let files = || (types::GPT_LINUX, ext(&file("/a", 1)));
    let example = example(&[files(), files()]);
    let entry = |entry: &str| format!("[[partition]]\n{entry}\n");
    let merge = |number: u32, path: &str| {
        entry(&format!(
            "number = {number}\ndo = \"merge\"\npath = \"{path}\""
        ))
    };
    let cases: [(String, &str); 6] = [
        (
            entry("number = 9\ndo = \"drop\""),
            "has no partition 9; it has partition 1 (8 MiB, FAT)",
        ),
        (
            entry("label = \"none\"\ndo = \"drop\""),
            "no partition with the label \"none\"",
        ),
        (
            entry("label = \"GOLDEN\"\ndo = \"drop\""),
            "several partitions with the label \"GOLDEN\": 2, 3, 4",
        ),
        (
            entry("number = 2\ndo = \"drop\""),
            "partition 2 is the root partition",
        ),
        (
            merge(3, "/srv/x") + &merge(4, "/srv/x"),
            "would both be in /srv/x",
        ),
        (
            merge(3, "/srv/x/y") + &entry("number = 4\ndo = \"data\"\npath = \"/srv/x\""),
            "would be merged into /srv/x/y, which the data partition hides",
        ),
    ];
    for (text, says) in cases {
        refused(&example, &text, &[says]);
    }
}

#[test]
fn an_installed_second_system_is_named() {
    let example = example(&[(types::GPT_LINUX, ext(&root()))]);
    let select = "[root]\npartition = 2\n";
    refused(
        &example,
        select,
        &[
            "partition 3 \"golden\"",
            ": bin, boot, etc, sbin, usr, var) is mounted by",
        ],
    );
    let drop = format!("{select}[[partition]]\nnumber = 3\ndo = \"drop\"\n");
    assert_eq!(fate(&example, &drop, 3).0, Fate::Dropped);
}

#[test]
fn a_kernel_that_another_loader_starts_needs_a_decision() {
    let mut disk = example(&[
        (types::GPT_LINUX, bytes(0, b"ANDROID!")),
        (types::GPT_LINUX, bytes(0, b"CHROMEOS")),
    ]);
    let u_boot = "[board]\ndevice-type = [\"b\"]\n[boot]\nbootloader = \"grub-efi\"\n";
    // UEFI firmware starts GRUB, whatever else is there.
    let (fate4, notes) = fate(&disk, u_boot, 4);
    assert_eq!(fate4, Fate::Dropped, "{notes}");
    // Without anything that UEFI firmware starts, it is what starts the device.
    disk.partitions[0].1 = esp(&empty());
    let mut bare = root();
    bare.remove("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
        .unwrap();
    bare.remove("/usr/lib/grub/x86_64-efi-signed").unwrap();
    disk.partitions[1].1 = ext(&bare);
    let error = plan(&disk, u_boot).map(|plan| plan.partitions).unwrap_err();
    for part in [
        "partition 3 (8 MiB, an Android boot image) is what an Android boot loader",
        "partition 4 (8 MiB, a kernel for Chromebooks) is what the loader of Chromebooks",
        "[[partition]]\nnumber = 3\ndo = \"drop\"",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
    let entry = |number: u32| format!("[[partition]]\nnumber = {number}\ndo = \"drop\"\n");
    let decided = format!("{u_boot}{}{}", entry(3), entry(4));
    assert_eq!(fate(&disk, &decided, 3).0, Fate::Dropped);
}

#[test]
fn bytes_far_into_the_disk_are_not_copied_by_a_huge_alignment() {
    let mut example = Example::new();
    let more = (0..20).map(|at| (types::GPT_LINUX, bytes(at, b"")));
    let mut partitions: Vec<_> = more.collect();
    partitions.push((types::GPT_LINUX, bytes(0, b"loader")));
    example.partitions.splice(0..0, partitions);
    let copy = "[[partition]]\nnumber = 21\ndo = \"copy\"\n";
    refused(
        &example,
        copy,
        &[
            "only what is near the start of the disk can be copied in place",
            "[[raw]]",
        ],
    );
}
