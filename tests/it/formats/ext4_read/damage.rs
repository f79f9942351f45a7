//! Damaged filesystems: no panic, no endless work, and an error wherever a checksum can tell.

use super::fill::{Scale, fill};
use super::{Image, crash, facts, root};
use goldsmith::fs::ext4::format::{Extent, ExtentHeader, ExtentIdx, GroupDesc, Inode, inode_flags};
use goldsmith::fs::ext4::read::{Error, Filesystem, probe};
use goldsmith::stream::{MemSource, ReadAt, Slice};
use goldsmith::tree::Tree;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

const TINY: Scale = Scale {
    entries: 500,
    extents: 400,
    sparse: 100 << 20,
};
/// Blocks of the images here: small ones, for deep trees.
const BLOCK: usize = 1024;

/// An image in memory and the inodes of some paths.
struct Victim {
    bytes: Vec<u8>,
    inodes: Vec<(&'static str, u32)>,
}

impl Victim {
    fn make(args: &str) -> Option<Self> {
        let image = Image::make(&format!("{args} -b 1024"), 24)?;
        let mount = image.mount("rw");
        fill(&mount.0, TINY);
        let names = [
            "",
            "large",
            "fragmented",
            "xattr-both",
            "symlink-900",
            "file-70000",
            "acl-default",
        ];
        let ino = |name: &&str| {
            u32::try_from(mount.0.join(name).symlink_metadata().unwrap().ino()).unwrap()
        };
        let inodes = names.iter().map(|name| (*name, ino(name))).collect();
        drop(mount);
        Some(Self {
            bytes: std::fs::read(&image.path).unwrap(),
            inodes,
        })
    }

    fn read_with(&self, change: impl FnOnce(&mut [u8])) -> Result<Tree, Error> {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        Filesystem::open(Arc::new(MemSource(bytes.into())))?.tree()
    }

    fn block(&self, number: u64) -> &[u8] {
        let start = usize::try_from(number).unwrap() * BLOCK;
        &self.bytes[start..start + BLOCK]
    }

    /// Where an inode is (bytes): inodes of 256 bytes, descriptors of 64 behind the superblock in
    /// block 1.
    fn inode_offset(&self, ino: u32) -> usize {
        let per_group = u32::from_le_bytes(self.bytes[1064..1068].try_into().unwrap());
        let (group, index) = ((ino - 1) / per_group, (ino - 1) % per_group);
        let desc = GroupDesc::ref_from_prefix(&self.bytes[2 * BLOCK + 64 * group as usize..])
            .unwrap()
            .0;
        desc.bg_inode_table_lo.get() as usize * BLOCK + 256 * index as usize
    }

    /// The blocks of an extent tree (nodes first) and those of the content.
    fn blocks(&self, inode: &Inode) -> (Vec<u64>, Vec<u64>) {
        let (mut nodes, mut data, mut todo) =
            (Vec::new(), Vec::new(), vec![inode.i_block.to_vec()]);
        while let Some(node) = todo.pop() {
            let (header, rest) = ExtentHeader::ref_from_prefix(&node).unwrap();
            let count = header.eh_entries.get().into();
            if header.eh_depth.get() == 0 {
                let extents = <[Extent]>::ref_from_prefix_with_elems(rest, count)
                    .unwrap()
                    .0;
                data.extend(extents.iter().flat_map(|e| {
                    (0..e.ee_len.get()).map(|at| u64::from(e.ee_start_lo.get()) + u64::from(at))
                }));
            } else {
                for entry in <[ExtentIdx]>::ref_from_prefix_with_elems(rest, count)
                    .unwrap()
                    .0
                {
                    nodes.push(entry.ei_leaf_lo.get().into());
                    todo.push(self.block(entry.ei_leaf_lo.get().into()).to_vec());
                }
            }
        }
        (nodes, data)
    }

    /// Offsets of bytes that a checksum covers, spread over every kind of metadata that a reader
    /// must look at.
    fn covered(&self) -> Vec<(String, usize)> {
        let mut places: Vec<(String, usize)> = [0, 4, 56, 88, 92, 104, 120, 254, 500, 1020]
            .map(|at| ("superblock".into(), 1024 + at))
            .into();
        places.extend([0, 8, 18, 30, 40, 63].map(|at| ("descriptor".into(), 2 * BLOCK + at)));
        for (name, ino) in &self.inodes {
            let offset = self.inode_offset(*ino);
            let inode = Inode::read_from_prefix(&self.bytes[offset..]).unwrap().0;
            // All but the bits that say where the checksum is.
            places.extend(
                [
                    0, 2, 4, 12, 24, 32, 40, 52, 100, 124, 131, 136, 144, 159, 200, 255,
                ]
                .map(|at| (format!("inode {name}"), offset + at)),
            );
            let spread = |block: &u64| {
                [0_usize, 6, 9, 40, 700, 1021]
                    .map(|at| usize::try_from(*block).unwrap() * BLOCK + at)
            };
            let (nodes, data) = self.blocks(&inode);
            places.extend(
                nodes
                    .iter()
                    .flat_map(spread)
                    .map(|at| (format!("extents of {name}"), at)),
            );
            if inode.i_mode.get() & 0xF000 == 0x4000 {
                places.extend(
                    data.iter()
                        .take(6)
                        .flat_map(spread)
                        .map(|at| (format!("entries of {name}"), at)),
                );
            }
            let attributes = u64::from(inode.i_file_acl_lo.get());
            if attributes != 0 {
                places.extend(spread(&attributes).map(|at| (format!("attributes of {name}"), at)));
            }
        }
        // Behind the last entry of an index or extent node there is room that no checksum covers.
        places.retain(|(what, at)| {
            !(matches!(
                what.as_str(),
                "extents of fragmented" | "entries of large" | "entries of "
            ) && at % BLOCK == 700)
        });
        places
    }
}

#[test]
fn every_flip_that_a_checksum_covers_is_found() {
    if !root() {
        return;
    }
    let Some(victim) = Victim::make("-t ext4") else {
        return;
    };
    let good = facts::of_tree(&victim.read_with(|_| ()).unwrap());
    assert!(good.len() > 500);
    let places = victim.covered();
    let kinds: BTreeSet<_> = places
        .iter()
        .map(|(what, _)| what.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [
            "attributes",
            "descriptor",
            "entries",
            "extents",
            "inode",
            "superblock"
        ]
    );
    let mut missed = Vec::new();
    for (number, (what, at)) in places.iter().enumerate() {
        if victim
            .read_with(|bytes| bytes[*at] ^= 1 << (number % 8))
            .is_ok()
        {
            missed.push(format!("{what}: byte {at}, bit {}", number % 8));
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {} flips went unseen\n{}",
        missed.len(),
        places.len(),
        missed.join("\n")
    );
}

/// Numbers that look random and are the same every time (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }
}

/// Damages blocks that are in use, reads all that can still be read, and returns how often an error
/// was seen.
fn batter(victim: &Victim, cases: u64, metadata: &[usize]) -> usize {
    let mut errors = 0;
    for case in 0..cases {
        let mut random = Random(case);
        let start = Instant::now();
        let read = victim.read_with(|bytes| {
            for _ in 0..1 << random.below(9) {
                let block = metadata[random.below(metadata.len())];
                let value = u8::try_from(random.below(256)).unwrap();
                bytes[block * BLOCK + random.below(BLOCK)] =
                    [0, 0xFF, value, value][random.below(4)];
            }
        });
        match read {
            Ok(tree) => drop(facts::of_tree(&tree)),
            Err(_) => errors += 1,
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "case {case} took {:?}",
            start.elapsed()
        );
    }
    errors
}

#[test]
fn random_damage_ends_in_bounded_time() {
    if !root() {
        return;
    }
    for args in [
        "-t ext4",
        "-t ext4 -O ^metadata_csum",
        "-t ext3",
        "-t ext4 -O ^metadata_csum,inline_data,ea_inode,bigalloc -C 4096 -I 256",
    ] {
        let Some(victim) = Victim::make(args) else {
            return;
        };
        let used = |block: &&usize| {
            victim.bytes[*block * BLOCK..][..BLOCK]
                .iter()
                .any(|byte| *byte != 0)
        };
        // Superblock, descriptors, tables, directories: what is in use at the front, and the blocks
        // that begin like a directory or a map.
        let front: Vec<usize> = (1..victim.bytes.len() / BLOCK).collect();
        let metadata: Vec<usize> = front
            .iter()
            .filter(used)
            .copied()
            .filter(|block| is_metadata(&victim, *block))
            .collect();
        assert!(metadata.len() > 50, "{args}: {} blocks", metadata.len());
        let errors = batter(&victim, 80, &metadata);
        assert!(errors > 20, "{args}: {errors} errors");
    }
}

#[test]
fn random_damage_to_a_journal_ends_in_bounded_time() {
    if !root() {
        return;
    }
    for args in ["-t ext4 -b 1024", "-t ext4 -O ^metadata_csum -b 1024"] {
        let Some((_image, crashed)) = crash(args, "rw") else {
            return;
        };
        let victim = Victim {
            bytes: std::fs::read(crashed).unwrap(),
            inodes: Vec::new(),
        };
        let log =
            |block: &usize| victim.bytes[block * BLOCK..].starts_with(&[0xC0, 0x3B, 0x39, 0x98]);
        let log: Vec<usize> = (0..victim.bytes.len() / BLOCK).filter(log).collect();
        assert!(log.len() > 4, "{args}: {} blocks", log.len());
        let errors = batter(&victim, 40, &log);
        assert!(errors > 0, "{args}: {errors} errors");
    }
}

/// Whether a block is not one of the pattern that fills the files.
fn is_metadata(victim: &Victim, block: usize) -> bool {
    let bytes = victim.block(block as u64);
    bytes.iter().filter(|byte| **byte == 0).count() > 100
        && !bytes
            .windows(20)
            .any(|window| window.iter().all(|byte| byte & 1 == 1 && *byte != b't'))
}

#[test]
fn a_cut_source_is_refused() {
    if !root() {
        return;
    }
    let Some(victim) = Victim::make("-t ext4") else {
        return;
    };
    let whole: Arc<dyn ReadAt> = Arc::new(MemSource(victim.bytes.clone().into()));
    for len in [
        0,
        1,
        1023,
        1024,
        1079,
        1082,
        2047,
        2048,
        100_000,
        whole.len() - 1024,
        whole.len() - 1,
    ] {
        let cut = Arc::new(Slice::new(Arc::clone(&whole), 0, len));
        assert_eq!(probe(&*cut).unwrap(), len >= 2048, "{len}");
        assert!(Filesystem::open(cut).is_err(), "{len}");
    }
    assert!(Filesystem::open(whole).is_ok());
}

#[test]
fn a_file_that_claims_the_blocks_of_another_is_refused() {
    if !root() {
        return;
    }
    let Some(victim) = Victim::make("-t ext4 -O ^metadata_csum") else {
        return;
    };
    let offset =
        |name: &str| victim.inode_offset(victim.inodes.iter().find(|(n, _)| *n == name).unwrap().1);
    let (from, to) = (offset("symlink-900") + 40, offset("file-70000") + 40);
    let read = victim.read_with(|bytes| bytes.copy_within(from..from + 60, to));
    assert!(
        read.unwrap_err()
            .to_string()
            .contains("in use for something else already")
    );
    let huge = victim.read_with(|bytes| bytes[to - 40 + 108..][..4].fill(0x7F));
    assert!(huge.unwrap_err().to_string().contains("size in blocks"));
    let index = victim.read_with(|bytes| {
        let flags = offset("large") + 32;
        bytes[flags + 1] &= !u8::try_from(inode_flags::INDEX >> 8).unwrap();
    });
    assert!(
        index.is_ok(),
        "a directory reads the same without its index"
    );
}
