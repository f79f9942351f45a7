//! A small golden image for tests, in memory: enough of a Debian for a conversion, nothing that
//! would boot.

use super::{Golden, Selection};
use crate::fs::{ext4, fat};
use crate::image::source::InputImage;
use crate::image::table::{DiskId, Partition, PartitionTable, PartitionType, types};
use crate::report::Silent;
use crate::stamp::{Time, Uuid};
use crate::stream::{Content, MemSource, Source};
use crate::tree::{Stat, Tree};
use crate::units::{Lba, MIB};
use std::sync::Arc;

/// The time of all files.
pub(crate) const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 0,
};

/// A disk to be made: partitions in order, each with its type and filesystem.
pub(crate) struct Example {
    pub(crate) partitions: Vec<(PartitionType, Content)>,
}

impl Example {
    /// A system for amd64 on a GPT: EFI system partition and root filesystem.
    pub(crate) fn new() -> Self {
        let mut boot = empty();
        add(&mut boot, "/EFI/BOOT/BOOTX64.EFI", b"");
        Self {
            partitions: vec![
                (types::GPT_ESP, esp(&boot)),
                (types::GPT_LINUX, ext(&root())),
            ],
        }
    }

    /// The bytes of the disk: partitions of 8 MiB, from 1 MiB on.
    pub(crate) fn source(&self) -> Source {
        const LEN: u64 = 8 * MIB;
        let mut table = PartitionTable {
            disk_id: DiskId::Gpt(Uuid([9; 16])),
            partitions: Vec::new(),
            warnings: Vec::new(),
        };
        let total = self.partitions.len() as u64 * LEN + 2 * MIB;
        let mut disk = vec![0; total as usize];
        let mut put = |at: u64, bytes: &[u8]| {
            disk[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        };
        for ((kind, content), number) in self.partitions.iter().zip(1_u8..) {
            let start = MIB + u64::from(number - 1) * LEN;
            let id = Some(Uuid([number; 16]));
            let (first, sectors) = (Lba::from_bytes(start), LEN / 512);
            let partition = Partition::new(number.into(), first, sectors, *kind, id);
            table.partitions.push(partition);
            put(start, &content.read_all(LEN).unwrap());
        }
        for (at, bytes) in table.encode(total).unwrap() {
            put(at, &bytes);
        }
        Arc::new(MemSource(disk.into()))
    }

    /// The disk, read.
    pub(crate) fn read(&self, selection: Selection) -> anyhow::Result<Golden> {
        Golden::read(InputImage::of(self.source()), selection, &Silent)
    }

    /// The disk, read with nothing selected.
    pub(crate) fn golden(&self) -> Golden {
        self.read(Selection::default()).unwrap()
    }
}

/// A tree without files.
pub(crate) fn empty() -> Tree {
    Tree::new(Stat::root(0o755, TIME))
}

/// Adds a file.
pub(crate) fn add(tree: &mut Tree, path: &str, bytes: &[u8]) {
    let stat = Stat::root(0o755, TIME);
    tree.put_file(path, bytes.to_vec(), stat).unwrap();
}

/// The root filesystem of a small Debian 12 with a kernel and a signed GRUB.
pub(crate) fn root() -> Tree {
    let mut shell = vec![0; 64];
    shell[..4].copy_from_slice(b"\x7fELF");
    shell[18] = 62;
    let os = b"ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian 12\"\n";
    let grub = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";
    let mut root = empty();
    for (path, bytes) in [
        ("/bin/sh", shell.as_slice()),
        ("/sbin/init", &shell),
        ("/var/lib/dpkg/status", b""),
        ("/usr/sbin/sfdisk", &shell),
        ("/etc/os-release", os),
        ("/etc/fstab", b"LABEL=golden / ext4 noatime 0 1\n"),
        ("/boot/vmlinuz-6.1.0-1", &efi_program(None)),
        ("/boot/initrd.img-6.1.0-1", b"initrd"),
        (grub, &efi_program(Some("/EFI/debian"))),
    ] {
        add(&mut root, path, bytes);
    }
    root
}

/// The first bytes of a program for UEFI; with a prefix, of a GRUB.
fn efi_program(prefix: Option<&str>) -> Vec<u8> {
    let mut out = vec![0; 0x200];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0\x64\x86\x01");
    put(0x54, &[240]);
    put(0x58, &[0x0b, 0x02]);
    if let Some(prefix) = prefix {
        let mut modules = b"mimg".to_vec();
        for word in [0_u32, 24, 0, 999, 0, 3, prefix.len() as u32 + 9] {
            modules.extend(word.to_le_bytes());
        }
        modules.extend(prefix.as_bytes());
        modules.push(0);
        put(0x148, b"mods");
        put(0x158, &(modules.len() as u32).to_le_bytes());
        put(0x15c, &0x200_u32.to_le_bytes());
        out.extend(modules);
    }
    out
}

/// An ext4 filesystem of 8 MiB with the label `golden`.
pub(crate) fn ext(tree: &Tree) -> Content {
    let mut options = ext4::write::Options::new(Uuid([1; 16]), Uuid([2; 16]), TIME);
    options.label = b"golden".to_vec();
    ext4::write::write(tree, 8 * MIB, &options).unwrap()
}

/// A FAT filesystem of 8 MiB with the label `ESP`.
pub(crate) fn esp(tree: &Tree) -> Content {
    let options = fat::Options {
        volume_id: 7,
        label: Some("ESP".into()),
        time: TIME,
        kind: fat::RequestedKind::Auto,
        hidden_sectors: 0,
    };
    fat::write(tree, 8 * MIB, &options).unwrap()
}
