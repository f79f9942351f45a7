//! Inodes of the filesystem itself: the journal, the resize inode, the orphan file.

use super::checker::{Checker, blocks};
use super::claims::METADATA;
use crate::bytes::{be32, is_zero, le32};
use crate::fs::ext4::format::{Inode, RESIZE_INO, compat, crc32c, inode_flags};
use crate::verify::numbers::{index, widen};
use zerocopy::IntoBytes;

/// `h_magic` of every block of a journal; `h_blocktype` of its superblock in two versions (kernel's
/// page `journal`).
const JOURNAL_MAGIC: u32 = 0xC03B_3998;
const JOURNAL_TYPES: [u32; 2] = [3, 4];
/// `s_feature_incompat` of a journal with CRC-32C over its blocks, in two versions; where its own
/// checksum is.
const JOURNAL_CHECKSUMS: u32 = 0x8 | 0x10;
const JOURNAL_CHECKSUM_AT: usize = 0xFC;
/// `ob_magic` at the end of each block of the orphan file.
const ORPHAN_MAGIC: u32 = 0x0B10_CA04;
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

    /// The first block of the journal: its numbers, and that nothing has to be replayed.
    fn check_journal(&mut self, ino: u32) {
        let blocks = blocks(&self.journal);
        let first = self
            .journal
            .first()
            .filter(|run| run.logical == 0)
            .map(|run| run.physical);
        let place = self.at(ino);
        let Some(first) = first else {
            if !self.maps_broken {
                self.log
                    .error("ext4-journal", place, "the journal has no blocks");
            }
            return;
        };
        let Some(bytes) = self.read_block(first) else {
            return;
        };
        let place = self.at_block(ino, first);
        let word = |number: usize| be32(&bytes, number.saturating_mul(4)).unwrap_or(0);
        let (magic, kind, size, len, start, errno) =
            (word(0), word(1), word(3), word(4), word(7), word(8));
        let facts = [
            (
                magic == JOURNAL_MAGIC && JOURNAL_TYPES.contains(&kind),
                format!("the journal has the magic number {magic:#x} and type {kind}"),
            ),
            (
                u64::from(size) == self.fs.block_size,
                format!(
                    "the journal has blocks of {size} bytes, the filesystem {}",
                    self.fs.block_size
                ),
            ),
            (
                u64::from(len) <= blocks,
                format!("the journal counts {len} blocks, its inode has {blocks}"),
            ),
            (
                start == 0,
                format!(
                    "the journal contains changes from its block {start} on that were not written back"
                ),
            ),
            (
                errno == 0,
                format!("the journal recorded the error {errno}"),
            ),
        ];
        for (holds, text) in facts {
            if !self
                .log
                .check(holds, "ext4-journal", || (place.clone(), text))
            {
                return;
            }
        }
        if kind == JOURNAL_TYPES[1] && word(10) & JOURNAL_CHECKSUMS != 0 {
            let mut plain = bytes.get(..1024).unwrap_or_default().to_vec();
            plain
                .iter_mut()
                .skip(JOURNAL_CHECKSUM_AT)
                .take(4)
                .for_each(|byte| *byte = 0);
            let stored = be32(&bytes, JOURNAL_CHECKSUM_AT).unwrap_or(0);
            let computed = crc32c(!0, &plain);
            self.log.check(stored == computed, "ext4-journal", || {
                (
                    place,
                    format!(
                        "the journal has the checksum {stored:#010x}, computed {computed:#010x}"
                    ),
                )
            });
        }
    }

    /// The superblock keeps a copy of the journal's map.
    pub(super) fn check_journal_backup(&mut self, raw: &Inode) {
        let sb = &self.fs.sb;
        if sb.s_jnl_backup_type != 1 {
            return;
        }
        let copy: Vec<u8> = sb
            .s_jnl_blocks
            .iter()
            .take(15)
            .flat_map(|word| word.as_bytes().to_vec())
            .collect();
        let sizes = [sb.s_jnl_blocks[16].get(), sb.s_jnl_blocks[15].get()]
            == [raw.i_size_lo.get(), raw.i_size_high.get()];
        let place = self.at(self.journal_ino());
        self.log
            .check(copy == raw.i_block && sizes, "ext4-journal", || {
                (
                    place,
                    "the superblock's copy of the journal's map and size differs from the inode"
                        .into(),
                )
            });
    }

    /// The resize inode: its double indirect block names the reserved descriptor blocks of group 0,
    /// each of which names its copies.
    pub(super) fn check_resize(&mut self, raw: &Inode) {
        let double = u64::from(pointers(&raw.i_block).nth(DOUBLE_INDIRECT).unwrap_or(0));
        let others = pointers(&raw.i_block)
            .enumerate()
            .any(|(at, pointer)| at != DOUBLE_INDIRECT && pointer != 0);
        let extents = raw.i_flags.get() & inode_flags::EXTENTS != 0;
        let place = self.at(RESIZE_INO);
        let good = !others && !extents && self.fs.inside(double, 1);
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

    /// Every entry of the orphan file is 0 unless deletions are pending.
    fn check_orphan_file(&mut self) {
        let ino = self.fs.sb.s_orphan_file_inum.get();
        for run in std::mem::take(&mut self.orphan_file) {
            for block in run.physical..run.physical_end() {
                let Some(bytes) = self.read_block(block) else {
                    return;
                };
                let Some((entries, tail)) = bytes.split_at_checked(bytes.len().saturating_sub(8))
                else {
                    return;
                };
                let place = self.at_block(ino, block);
                let mark = le32(tail, 0).unwrap_or(0);
                let empty = is_zero(entries);
                self.log.check(empty && mark == ORPHAN_MAGIC, "ext4-orphans", || {
                    (
                        place,
                        format!(
                            "a block of the orphan file is not empty or has the magic number {mark:#010x}, not {ORPHAN_MAGIC:#010x}"
                        ),
                    )
                });
            }
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
