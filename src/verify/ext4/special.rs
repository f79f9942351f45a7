//! Structures of the filesystem itself: the resize inode, the orphan file, the list of bad blocks,
//! the block of multiple mount protection.

use super::checker::Checker;
use super::claims::METADATA;
use crate::bytes::{is_zero, le32};
use crate::fs::ext4::format::{Inode, RESIZE_INO, compat, crc32c, incompat, inode_flags};
use crate::verify::finding::Severity;
use crate::verify::numbers::{index, widen};

/// `ob_magic` at the end of each block of the orphan file.
const ORPHAN_MAGIC: u32 = 0x0B10_CA04;
/// `mmp_magic`, and `mmp_seq` of a filesystem that nobody has mounted (`EXT4_MMP_SEQ_CLEAN`).
const MMP_MAGIC: u32 = 0x004D_4D50;
const MMP_CLEAN: u32 = 0xFF4D_4D50;
/// The last number of one that somebody has mounted (`EXT4_MMP_SEQ_MAX`).
const MMP_LAST: u32 = 0xE24D_4D4F;
/// Where `mmp_checksum` is.
const MMP_CHECKSUM_AT: usize = 1020;
/// The inode whose blocks are the bad ones.
const BAD_INO: u32 = 1;
/// The index of the double indirect block in `i_block`.
const DOUBLE_INDIRECT: usize = 13;

/// The pointers in a block or in `i_block`.
fn pointers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|word| le32(word, 0).unwrap_or(0))
}

impl Checker<'_> {
    /// Checks the journal, the resize inode and the orphan file.
    pub(super) fn check_special(&mut self) {
        let journal = self.journal_ino();
        if journal != 0 && self.fs.sb.s_journal_dev.get() == 0 {
            self.check_journal(journal);
        }
        let outside = self.fs.sb.s_journal_dev.get() != 0 || self.fs.sb.s_journal_uuid != [0; 16];
        let place = self.at(journal);
        self.log.check(
            self.fs.sb.s_journal_inum.get() == 0 || !outside,
            "ext4-journal",
            || {
                (
                    place,
                    "the superblock names both an inode and an external device as the journal"
                        .into(),
                )
            },
        );
        let reserved = u64::from(self.fs.sb.s_reserved_gdt_blocks.get());
        let place = self.at(RESIZE_INO);
        let has = !self.fs.compat(compat::RESIZE_INODE) || self.used.contains_key(&RESIZE_INO);
        self.log.check(has, "ext4-resize", || {
            (
                place,
                format!(
                    "{reserved} blocks are reserved for descriptors but the resize inode is not in use"
                ),
            )
        });
        self.check_orphan_file();
    }

    /// The resize inode: its double indirect block names the reserved descriptor blocks of group 0,
    /// each of which names its copies.
    pub(super) fn check_resize(&mut self, raw: &Inode) {
        let double = u64::from(pointers(&raw.i_block).nth(DOUBLE_INDIRECT).unwrap_or(0));
        let others = pointers(&raw.i_block)
            .enumerate()
            .any(|(at, pointer)| at != DOUBLE_INDIRECT && pointer != 0);
        let flags = raw.i_flags.get()
            & (inode_flags::EXTENTS
                | inode_flags::INDEX
                | inode_flags::HUGE_FILE
                | inode_flags::INLINE_DATA
                | inode_flags::CASEFOLD);
        let place = self.at(RESIZE_INO);
        let plain = flags == 0 && raw.i_file_acl_lo.get() == 0 && raw.i_blocks_high.get() == 0;
        let good = !others && plain && self.fs.inside(double, 1);
        if !self.log.check(good, "ext4-resize", || {
            (
                place,
                format!(
                    "the map of the resize inode is not one double indirect block (it is {double})"
                ),
            )
        }) {
            self.maps_broken = true;
            return;
        }
        self.claims.claim(double, 1, RESIZE_INO);
        let Some(bytes) = self.read_block(double) else {
            return;
        };
        let per_block = self.fs.block_size / 4;
        let backups: Vec<u64> = (1..u64::from(self.fs.groups))
            .filter(|group| self.has_super(*group))
            .map(|group| self.group_start(group).saturating_sub(self.fs.first))
            .collect();
        let reserved = u64::from(self.fs.sb.s_reserved_gdt_blocks.get());
        let (start, first) = (self.desc_blocks(), self.fs.first.saturating_add(1));
        let due: Vec<(u64, u64)> = (start..start.saturating_add(reserved))
            .map(|nth| {
                let entry = nth.checked_rem(per_block).unwrap_or(0);
                (entry, first.saturating_add(nth))
            })
            .collect();
        if !self.resize_block(double, &bytes, &due) {
            return;
        }
        for (_, block) in &due {
            let copies: Vec<(u64, u64)> = (0..)
                .zip(backups.iter().map(|start| start.saturating_add(*block)))
                .collect();
            if !self.fs.inside(*block, 1) {
                return;
            }
            let Some(bytes) = self.read_block(*block) else {
                return;
            };
            if !self.resize_block(*block, &bytes, &copies) {
                return;
            }
        }
        self.check_resize_counts(raw, reserved, widen(backups.len()));
    }

    /// Size and block count of the resize inode, for `reserved` blocks with `backups` copies each.
    fn check_resize_counts(&mut self, raw: &Inode, reserved: u64, backups: u64) {
        let per_block = self.fs.block_size / 4;
        let addressed = per_block
            .saturating_mul(per_block)
            .saturating_add(per_block)
            .saturating_add(12);
        let (size, reach) = (self.size(raw), self.fs.offset(addressed));
        let place = self.at(RESIZE_INO);
        self.log.check(size == reach, "ext4-resize", || {
            (
                place,
                format!(
                    "the resize inode has {size} bytes, its double indirect block reaches {reach}"
                ),
            )
        });
        let copies = backups.saturating_add(1);
        let count = reserved.saturating_mul(copies).saturating_add(1);
        let (stored, due) = (
            u64::from(raw.i_blocks_lo.get()),
            count.saturating_mul(self.fs.block_size / 512),
        );
        let place = self.at(RESIZE_INO);
        self.log.check(stored == due, "ext4-inode-blocks", || {
            (
                place,
                format!("the inode counts {stored} sectors, it has {due}"),
            )
        });
    }

    /// A block of the resize inode: the expected entries, and zeros.
    fn resize_block(&mut self, holder: u64, bytes: &[u8], due: &[(u64, u64)]) -> bool {
        let mut expected = vec![0_u64; bytes.len() / 4];
        for (entry, block) in due {
            if let Some(slot) = expected.get_mut(index(*entry)) {
                *slot = *block;
            }
        }
        let mut entries = (0_usize..).zip(pointers(bytes).zip(&expected));
        let wrong = entries.find(|(_, (found, due))| u64::from(*found) != **due);
        let place = self.at_block(RESIZE_INO, holder);
        self.log.check(wrong.is_none(), "ext4-resize", || {
            let (entry, (found, due)) = wrong.unwrap_or((0, (0, &0)));
            (
                place,
                format!("entry {entry} of block {holder} of the resize inode names block {found}, not {due}"),
            )
        })
    }

    /// The list of bad blocks: an inode without links, owner and mode, whose map names them.
    pub(super) fn check_bad_blocks(&mut self, raw: &Inode, seed: u32) {
        let fields = [
            raw.i_mode.get(),
            raw.i_uid.get(),
            raw.i_gid.get(),
            raw.i_links_count.get(),
        ];
        let flags = raw.i_flags.get() & (inode_flags::INLINE_DATA | inode_flags::CASEFOLD);
        let plain = fields == [0; 4] && flags == 0 && raw.i_file_acl_lo.get() == 0;
        let place = self.at(BAD_INO);
        if !self.log.check(plain, "ext4-inode-reserved", || {
            (
                place,
                "the list of bad blocks has a mode, owner, links, attributes or foreign flags"
                    .into(),
            )
        }) {
            self.maps_broken = true;
            return;
        }
        let mapped = self.map(BAD_INO, raw, seed);
        self.maps_broken |= mapped.broken;
        if !mapped.broken {
            let blocks = mapped.data().saturating_add(mapped.nodes);
            self.check_blocks(BAD_INO, raw, blocks);
        }
    }

    /// The block of multiple mount protection says that nobody has mounted the filesystem.
    pub(super) fn check_mmp(&mut self) {
        if !self.fs.incompat(incompat::MMP) {
            return;
        }
        let block = self.fs.sb.s_mmp_block.get();
        let place = self.place().offset(self.fs.offset(block));
        let (inside, whole) = (self.fs.inside(block, 1), self.place());
        if !self.log.check(inside, "ext4-mmp", || {
            (
                whole,
                format!(
                    "the block of multiple mount protection is {block}, outside the filesystem"
                ),
            )
        }) {
            return;
        }
        let Some(bytes) = self.read_block(block) else {
            return;
        };
        let word = |at: usize| le32(&bytes, at).unwrap_or(0);
        let (magic, sequence, stored) = (word(0), word(4), word(MMP_CHECKSUM_AT));
        let computed = crc32c(
            self.fs.seed,
            bytes.get(..MMP_CHECKSUM_AT).unwrap_or_default(),
        );
        let facts = [
            (
                magic == MMP_MAGIC,
                format!("it has the magic number {magic:#010x}, not {MMP_MAGIC:#010x}"),
            ),
            (
                !self.fs.has_checksums() || stored == computed,
                format!("it has the checksum {stored:#010x}, computed {computed:#010x}"),
            ),
            (
                sequence == MMP_CLEAN || sequence <= MMP_LAST,
                format!("its number {sequence:#010x} says that the filesystem is being checked"),
            ),
        ];
        for (holds, text) in facts {
            if !self.log.check(holds, "ext4-mmp", || {
                let text = format!("the block of multiple mount protection: {text}");
                (place.clone(), text)
            }) {
                return;
            }
        }
        if sequence != MMP_CLEAN {
            let text = "the filesystem was not unmounted, so Linux waits before it mounts it";
            self.log.add(Severity::Warning, "ext4-mmp", place, text);
        }
    }

    /// Every entry of the orphan file is 0 unless deletions are pending.
    fn check_orphan_file(&mut self) {
        let ino = self.fs.sb.s_orphan_file_inum.get();
        let (seed, runs) = std::mem::take(&mut self.orphan_file);
        for block in runs.iter().flat_map(|run| run.physical..run.physical_end()) {
            let Some(bytes) = self.read_block(block) else {
                return;
            };
            let Some((entries, tail)) = bytes.split_at_checked(bytes.len().saturating_sub(8))
            else {
                return;
            };
            let place = self.at_block(ino, block);
            let (mark, stored) = (le32(tail, 0).unwrap_or(0), le32(tail, 4).unwrap_or(0));
            let empty = is_zero(entries);
            self.log.check(empty && mark == ORPHAN_MAGIC, "ext4-orphans", || {
                (
                    place.clone(),
                    format!(
                        "a block of the orphan file is not empty or has the magic number {mark:#010x}, not {ORPHAN_MAGIC:#010x}"
                    ),
                )
            });
            let computed = crc32c(crc32c(seed, &block.to_le_bytes()), entries);
            let good = !self.fs.has_checksums() || stored == computed;
            self.log.check(good, "ext4-orphans", || {
                (
                    place,
                    format!("a block of the orphan file has the checksum {stored:#010x}, computed {computed:#010x}"),
                )
            });
        }
    }

    /// Blocks that two inodes claim.
    pub(super) fn check_claims(&mut self) {
        let (overlaps, ranges) = self.claims.resolve(100);
        self.log.passed_all(ranges.len());
        // The rightful owner is unknown, and so are the blocks that should be free.
        self.maps_broken |= !overlaps.is_empty();
        for overlap in overlaps {
            let [one, other] = overlap.owners;
            let place = if other == METADATA {
                self.at(one)
            } else {
                self.at(other)
            };
            let text = format!(
                "{} blocks from {} belong to {} and to {}",
                overlap.len,
                overlap.start,
                self.owner(one),
                self.owner(other)
            );
            self.log.error(
                "ext4-shared-block",
                place.offset(self.fs.offset(overlap.start)),
                text,
            );
        }
        self.ranges = ranges;
    }
}
