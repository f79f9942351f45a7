//! A small image that is good in every way, made by the formats; each test changes one thing.

use goldsmith::artifact::{self, Meta};
use goldsmith::fs::{ext4, fat};
use goldsmith::image::table::{DiskId, Partition, PartitionTable, types};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{Content, MemSource, Source};
use goldsmith::tree::{Stat, Tree};
use goldsmith::units::{Lba, MIB};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::sync::Arc;

/// Where the partitions begin and how long they are, in MiB.
pub(crate) const BOOT: (u64, u64) = (1, 36);
pub(crate) const A: (u64, u64) = (37, 10);
pub(crate) const B: (u64, u64) = (47, 10);
pub(crate) const DATA: (u64, u64) = (57, 10);
const TOTAL: u64 = 68 * MIB;

/// Everything that an image is made of.
pub(crate) struct Build {
    pub(crate) root: Tree,
    pub(crate) boot: Tree,
    pub(crate) data: Tree,
    pub(crate) table: PartitionTable,
    pub(crate) meta: Meta,
    pub(crate) bootstrap: Meta,
    /// The digest that the bootstrap Artifact gets instead of the true one.
    pub(crate) digest: Option<[u8; 32]>,
    /// Leaves the bootstrap Artifact out.
    pub(crate) no_bootstrap: bool,
}

/// An image and its Artifact.
pub(crate) struct Made {
    pub(crate) disk: Arc<Vec<u8>>,
    pub(crate) artifact: Source,
}

impl Made {
    pub(crate) fn source(&self) -> Source {
        super::patched(&self.disk, &[])
    }
}

fn uuid(number: u8) -> Uuid {
    Uuid([number; 16])
}

fn stat(mode: u16) -> Stat {
    Stat::root(mode, TIME)
}

pub(crate) const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 0,
};

/// Puts a file into a tree.
pub(crate) fn put(tree: &mut Tree, path: &str, bytes: impl Into<Vec<u8>>) {
    tree.put_file(path, bytes, stat(0o755)).unwrap();
}

/// A program of 64 bits for x86 that needs these libraries.
pub(crate) fn elf(needed: &[&str]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for name in needed {
        entries.push((1, strings.len() as u64));
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let (headers, dynamic) = (64_u64, 64 + 2 * 56_u64);
    let strtab = dynamic + 16 * (entries.len() as u64 + 2);
    entries.extend([(5, strtab), (0, 0)]);
    let total = strtab + strings.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend([3_u16, 62].map(u16::to_le_bytes).concat());
    out.extend(1_u32.to_le_bytes());
    out.extend([0, headers, 0].map(u64::to_le_bytes).concat());
    out.extend(0_u32.to_le_bytes());
    out.extend([64_u16, 56, 2, 0, 0, 0].map(u16::to_le_bytes).concat());
    for (kind, start, len) in [(1_u32, 0, total), (2, dynamic, strtab - dynamic)] {
        out.extend([kind, 4].map(u32::to_le_bytes).concat());
        out.extend(
            [start, start, start, len, len, 8]
                .map(u64::to_le_bytes)
                .concat(),
        );
    }
    for (tag, value) in entries {
        out.extend([tag, value].map(u64::to_le_bytes).concat());
    }
    out.extend(strings);
    out
}

/// An environment block of 1024 bytes.
pub(crate) fn block(values: &str) -> Vec<u8> {
    let mut out = format!("# GRUB Environment Block\n{values}").into_bytes();
    out.resize(1024, b'#');
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Build {
    pub(crate) fn new() -> Self {
        let parts = [
            (1, BOOT, types::GPT_ESP),
            (2, A, types::GPT_LINUX),
            (3, B, types::GPT_LINUX),
            (4, DATA, types::GPT_LINUX),
        ];
        let partition = |(number, (start, len), kind): (u32, (u64, u64), _)| {
            let id = Some(uuid(number as u8));
            Partition::new(
                number,
                Lba::from_bytes(start * MIB),
                len * MIB / 512,
                kind,
                id,
            )
        };
        let table = PartitionTable {
            disk_id: DiskId::Gpt(uuid(9)),
            partitions: parts.map(partition).to_vec(),
            warnings: Vec::new(),
        };
        let meta = Meta {
            name: "release-1".into(),
            device_types: vec!["board".into()],
            payload_name: "rootfs.ext4".into(),
            ..Meta::default()
        };
        Self {
            root: root(),
            boot: boot(),
            data: data(),
            table,
            bootstrap: meta.clone(),
            meta,
            digest: None,
            no_bootstrap: false,
        }
    }

    pub(crate) fn make(mut self) -> Made {
        let options = |number| ext4::write::Options::new(uuid(number), uuid(5), TIME);
        let root = ext4::write::write(&self.root, A.1 * MIB, &options(6)).unwrap();
        let bytes = root.read_all(1 << 30).unwrap();
        let digest = self.digest.unwrap_or_else(|| Sha256::digest(&bytes).into());
        if !self.no_bootstrap && self.data.file("/mender/bootstrap.mender").is_none() {
            put(
                &mut self.data,
                "/mender/bootstrap.mender",
                artifact::bootstrap(&self.bootstrap, &digest).unwrap(),
            );
        }
        let data = ext4::write::write(&self.data, DATA.1 * MIB, &options(7)).unwrap();
        let kind = fat::Options {
            volume_id: 0x1234_ABCD,
            label: None,
            time: TIME,
            kind: fat::RequestedKind::Fat32,
            hidden_sectors: 0,
        };
        let boot = fat::write(&self.boot, BOOT.1 * MIB, &kind).unwrap();
        let mut disk = Content::hole(0);
        let (front, back): (Vec<_>, Vec<_>) = self
            .table
            .encode(TOTAL)
            .unwrap()
            .into_iter()
            .partition(|(at, _)| *at < MIB);
        front
            .into_iter()
            .for_each(|(at, bytes)| disk.push_bytes(at, bytes));
        for ((start, _), content) in [(BOOT, &boot), (A, &root), (B, &root), (DATA, &data)] {
            disk.push_content(start * MIB, content);
        }
        back.into_iter()
            .for_each(|(at, bytes)| disk.push_bytes(at, bytes));
        disk.set_len(TOTAL);
        let mut artifact = Cursor::new(Vec::new());
        artifact::write(&mut artifact, &self.meta, &root, None).unwrap();
        Made {
            disk: Arc::new(disk.read_all(TOTAL).unwrap()),
            artifact: Arc::new(MemSource(artifact.into_inner().into())),
        }
    }
}

fn root() -> Tree {
    let mut tree = Tree::new(stat(0o755));
    put(&mut tree, "/bin/sh", elf(&[]));
    put(&mut tree, "/etc/os-release", "ID=debian\n");
    let fstab = format!(
        "/dev/root / auto defaults 0 1\nPARTUUID={} /boot/efi vfat defaults 0 0\nUUID={} /data ext4 defaults 0 0\ntmpfs /tmp tmpfs defaults 0 0\n",
        uuid(1),
        uuid(7)
    );
    put(&mut tree, "/etc/fstab", fstab);
    put(
        &mut tree,
        "/etc/mender/artifact_info",
        "artifact_name=release-1\n",
    );
    put(&mut tree, "/usr/bin/mender-update", elf(&["libone.so.1"]));
    put(&mut tree, "/usr/share/mender/modules/v3/rootfs-image", "");
    put(
        &mut tree,
        "/usr/lib/x86_64-linux-gnu/libone.so.1",
        elf(&["libtwo.so.2"]),
    );
    put(&mut tree, "/lib/libtwo.so.2", elf(&[]));
    put(&mut tree, "/boot/vmlinuz-6.1.0-1", "kernel");
    put(&mut tree, "/boot/initrd.img-6.1.0-1", "initrd");
    tree.put_symlink("/vmlinuz", "boot/vmlinuz-6.1.0-1", TIME)
        .unwrap();
    tree.put_symlink("/initrd.img", "boot/initrd.img-6.1.0-1", TIME)
        .unwrap();
    tree.put_symlink("/var/lib/mender", "/data/mender", TIME)
        .unwrap();
    tree.mkdir("/data", &stat(0o755)).unwrap();
    tree.mkdir("/boot/efi", &stat(0o755)).unwrap();
    tree
}

/// The first stage that names these PARTUUIDs.
pub(crate) fn stage1(a: &str, b: &str) -> String {
    format!(
        "set uuid_a=\"{a}\"\nset uuid_b=\"{b}\"\nload_env --file \"($root)/boot/mender-slot.env\" kernel initrd args\n"
    )
}

fn boot() -> Tree {
    let mut tree = Tree::new(stat(0o755));
    put(&mut tree, "/EFI/BOOT/BOOTX64.EFI", "MZ".repeat(2000));
    put(
        &mut tree,
        "/EFI/BOOT/grub.cfg",
        stage1(&uuid(2).to_string(), &uuid(3).to_string()),
    );
    put(&mut tree, "/EFI/BOOT/SECOND.EFI", "MZ");
    put(&mut tree, "/EFI/BOOT/a file with a long name.txt", "text");
    for copy in ["mender_grubenv1", "mender_grubenv2"] {
        let lock = block("editing=0\n");
        put(
            &mut tree,
            &format!("/grub-mender-grubenv/{copy}/env"),
            block("bootcount=0\nmender_boot_part=2\nupgrade_available=0\n"),
        );
        put(
            &mut tree,
            &format!("/grub-mender-grubenv/{copy}/lock.sha256sum"),
            format!("{}  lock\n", hex(&Sha256::digest(&lock))),
        );
        put(
            &mut tree,
            &format!("/grub-mender-grubenv/{copy}/lock"),
            lock,
        );
    }
    tree
}

fn data() -> Tree {
    let mut tree = Tree::new(stat(0o755));
    let conf = format!(
        "{{\"RootfsPartA\": \"/dev/disk/by-partuuid/{}\", \"RootfsPartB\": \"/dev/disk/by-partuuid/{}\"}}",
        uuid(2),
        uuid(3)
    );
    put(&mut tree, "/mender/mender.conf", conf);
    put(&mut tree, "/mender/device_type", "device_type=board\n");
    tree
}

#[test]
fn the_good_image_has_no_finding() {
    let made = Build::new().make();
    let request = goldsmith::verify::Request {
        artifact: Some(Arc::clone(&made.artifact)),
        ..Default::default()
    };
    let outcome = goldsmith::verify::image(&made.source(), &request);
    super::expect(&outcome, &[], "the good image");
    assert!(
        outcome.groups.iter().all(|group| group.passed > 0),
        "{:?}",
        outcome.groups
    );
    assert_eq!(made.source().len(), TOTAL);
}
