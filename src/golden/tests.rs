//! Reading of golden images: which partitions are root and boot, and what is refused.

use super::Selection;
use super::example_tests::{Example, TIME, add, empty, esp, ext, root};
use crate::image::table::types;
use crate::platform::{Architecture, Firmware};
use crate::stream::{Content, MemSource, Source};
use std::sync::Arc;

/// The error of reading the image.
fn error(example: &Example) -> String {
    format!("{:#}", example.read(Selection::default()).unwrap_err())
}

#[test]
fn root_and_boot_are_found_by_type_and_content() {
    let golden = Example::new().golden();
    assert_eq!(golden.root.partition.number, 2);
    assert_eq!(golden.root.info.label, b"golden");
    let boot = golden.boot.as_ref().unwrap();
    assert_eq!((boot.partition.number, boot.info.volume_id), (1, 7));
    assert_eq!(golden.facts.architecture, Some(Architecture::Amd64));
    assert_eq!(golden.facts.os.codename, "bookworm");
    assert_eq!(golden.facts.kernels.len(), 1);
    assert_eq!(golden.origin.firmware(), [Firmware::Uefi]);
    // The type of a partition does not decide where the system is.
    let mut example = Example::new();
    example
        .partitions
        .insert(0, (types::GPT_LINUX, ext(&empty())));
    let golden = example.golden();
    assert_eq!(golden.root.partition.number, 3);
    assert_eq!(golden.boot.unwrap().partition.number, 2);
}

#[test]
fn an_image_without_a_boot_partition_has_none() {
    let mut example = Example::new();
    example.partitions.remove(0);
    assert!(example.golden().boot.is_none());
    // A FAT of another type counts only with boot files.
    let mut files = empty();
    example
        .partitions
        .push((types::GPT_BASIC_DATA, esp(&files)));
    assert!(example.golden().boot.is_none());
    add(&mut files, "/CONFIG.TXT", b"");
    example.partitions[1].1 = esp(&files);
    assert_eq!(example.golden().boot.unwrap().partition.number, 2);
}

#[test]
fn two_systems_need_a_selection() {
    let mut example = Example::new();
    example.partitions.push((types::GPT_LINUX, ext(&root())));
    let message = error(&example);
    assert!(
        message.starts_with(
            "more than one partition could be the root filesystem: partition 2 (8 MiB, ext2/3/4), \
             partition 3 (8 MiB, ext2/3/4)\nhint: "
        ),
        "{message}"
    );
    let selection = |root| Selection {
        root: Some(root),
        ..Selection::default()
    };
    assert_eq!(example.read(selection(3)).unwrap().root.partition.number, 3);
    let error = |root| example.read(selection(root)).unwrap_err().to_string();
    let disk = "the disk has partition 1 (8 MiB, FAT), partition 2 (8 MiB, ext2/3/4), partition 3 \
                (8 MiB, ext2/3/4)";
    let way = "hint: set root.partition to the number of one with ext2/3/4, or leave it out: then \
               the partition is found by what it contains";
    assert_eq!(
        error(1),
        format!("root.partition is 1 but partition 1 contains FAT, not ext2/3/4; {disk}\n{way}")
    );
    assert_eq!(
        error(9),
        format!("root.partition is 9 but there is no partition 9; {disk}\n{way}")
    );
}

#[test]
fn a_converted_image_is_recognised() {
    let mut converted = root();
    add(&mut converted, "/etc/mender_grubenv.config", b"");
    let mut example = Example::new();
    example.partitions.push((types::GPT_LINUX, ext(&converted)));
    let message = error(&example);
    assert!(
        message.starts_with("this image was converted before: "),
        "{message}"
    );
}

#[test]
fn an_image_without_a_system_is_refused() {
    let mut example = Example::new();
    example.partitions[1].1 = ext(&empty());
    let message = error(&example);
    assert!(
        message.starts_with("no partition contains a root filesystem"),
        "{message}"
    );
    assert!(message.contains("--set root.partition=NUMBER"), "{message}");
    let read = |bytes: Vec<u8>| {
        let source: Source = Arc::new(MemSource(bytes.into()));
        let disk = super::disk::GoldenDisk::new(source);
        disk.unwrap_err().to_string()
    };
    assert!(read(Vec::new()).starts_with("the image is empty (0 bytes)\nhint: "));
    assert!(read(vec![0; 4096]).contains("hint: convert the image of a whole disk"));
}

#[test]
fn encrypted_and_hidden_systems_are_named() {
    let mut example = Example::new();
    let mut luks = Content::hole(4096);
    luks.push_bytes(0, b"LUKS\xba\xbe".to_vec());
    example.partitions[1].1 = luks;
    let message = error(&example);
    let said = "no partition contains a root filesystem (ext2, ext3 or ext4 with an operating system \
                on it); the disk has partition 1 (8 MiB, FAT), partition 2 (8 MiB, an encrypted volume \
                (LUKS)); partition 2 (8 MiB, an encrypted volume (LUKS)) cannot be read and may contain \
                it\nhint: copy the system to an ext4 partition";
    assert!(message.starts_with(said), "{message}");
    // Not hidden by a readable /boot.
    example.partitions.push((types::GPT_LINUX, ext(&empty())));
    let message = error(&example);
    assert!(
        message.contains("cannot be read and may contain it"),
        "{message}"
    );
}

#[test]
fn trees_are_forgotten_on_request() {
    let mut golden = Example::new().golden();
    assert_eq!(
        golden
            .root
            .tree
            .read("/etc/fstab", 99)
            .unwrap()
            .unwrap()
            .len(),
        32
    );
    golden.forget_trees();
    assert!(golden.root.tree.root.entries.is_empty());
    assert!(golden.boot.unwrap().tree.root.entries.is_empty());
    assert_eq!(golden.root.tree.root.stat.mtime, TIME);
}
