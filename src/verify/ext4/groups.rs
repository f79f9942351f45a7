//! Group descriptors: checksums, positions, copies; and the blocks that no file can own.

use super::checker::{Checker, zero_extended};
use super::claims::METADATA;
use super::descriptor::BlockGroup;
use crate::fs::ext4::format::{GroupDesc, bg_flags, compat, crc16, crc32c, incompat, ro_compat};
use crate::verify::finding::Location;
use crate::verify::numbers::{index, widen};

/// Offset of `bg_checksum` in a descriptor (bytes).
const CHECKSUM_AT: usize = 0x1E;

impl Checker<'_> {
    /// Reads all descriptors, checks them and claims the blocks of all metadata. False when a
    /// position is out of range, so that nothing further can be read.
    pub(super) fn read_groups(&mut self) -> bool {
        let size = self.fs.desc_size;
        let mut good = true;
        for nth in 0..self.desc_blocks() {
            let block = self.desc_block(nth);
            let Some(bytes) = self.read_block(block) else {
                return false;
            };
            let offsets = (self.fs.offset(block)..).step_by(size);
            for (offset, desc) in offsets.zip(bytes.chunks_exact(size)) {
                let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                if number >= self.fs.groups {
                    break;
                }
                good &= self.read_group(number, desc, offset);
            }
        }
        if good {
            self.claim_metadata();
            self.check_copies();
        }
        good
    }

    fn read_group(&mut self, number: u32, desc: &[u8], offset: u64) -> bool {
        let raw: GroupDesc = zero_extended(desc);
        let place = self.place().offset(offset);
        if let Some(computed) = self.desc_checksum(number, desc) {
            let stored = raw.bg_checksum.get();
            self.log.check(stored == computed, "ext4-group-checksum", || {
                (place.clone(), format!("group {number} has the checksum {stored:#06x}, computed {computed:#06x}"))
            });
        }
        let group = BlockGroup::new(&raw, desc.len());
        let places = [
            ("block bitmap", group.block_bitmap, 1),
            ("inode bitmap", group.inode_bitmap, 1),
            ("inode table", group.inode_table, self.table_blocks()),
        ];
        let first = self.group_start(number.into());
        let end = first.saturating_add(self.fs.blocks_per_group);
        let flexible = self.fs.incompat(incompat::FLEX_BG);
        let fits = |block: u64, count: u64| {
            let own = block >= first && block.saturating_add(count) <= end;
            self.fs.inside(block, count) && (own || flexible)
        };
        let outside = places
            .iter()
            .find(|(_, block, count)| !fits(*block, *count));
        let blocks = if flexible {
            format!("the {} blocks of the filesystem", self.fs.blocks)
        } else {
            format!("the blocks {first} to {end} of its group (there is no feature flex_bg)")
        };
        let good = self.log.check(outside.is_none(), "ext4-group", || {
            let (what, block, count) = outside.copied().unwrap_or_default();
            (
                place.clone(),
                format!(
                    "the {what} of group {number} ({count} blocks from {block}) is outside {blocks}"
                ),
            )
        });
        let unused = group.unused_inodes;
        let each = self.fs.inodes_per_group;
        let good = self.log.check(unused <= each, "ext4-group", || {
            (
                place,
                format!("group {number} has {unused} unused inodes of {each}"),
            )
        }) && good;
        let last = number.saturating_add(1) == self.fs.groups;
        let uninit = last && self.blocks_uninit(&group);
        let place = self.place().offset(offset);
        self.log.check(!uninit, "ext4-group", || {
            (
                place,
                format!("group {number}, the last one, has no block bitmap"),
            )
        });
        self.groups.push(group);
        good
    }

    /// 16 bits of CRC-32C (`metadata_csum`) or CRC-16 (`uninit_bg`), see the kernel's page
    /// `checksums`.
    fn desc_checksum(&self, number: u32, desc: &[u8]) -> Option<u16> {
        let (front, back) = desc.split_at_checked(CHECKSUM_AT)?;
        let back = back.get(2..)?;
        if self.fs.has_checksums() {
            let crc = crc32c(crc32c(self.fs.seed, &number.to_le_bytes()), front);
            return u16::try_from(crc32c(crc32c(crc, &[0, 0]), back) & 0xFFFF).ok();
        }
        let crc = crc16(
            crc16(crc16(!0, &self.fs.sb.s_uuid), &number.to_le_bytes()),
            front,
        );
        self.fs
            .ro_compat(ro_compat::GDT_CSUM)
            .then(|| crc16(crc, back))
    }

    /// Blocks of one inode table.
    pub(super) fn table_blocks(&self) -> u64 {
        u64::from(self.fs.inodes_per_group)
            .saturating_mul(widen(self.fs.inode_size))
            .div_ceil(self.fs.block_size)
    }

    fn descs_per_block(&self) -> u64 {
        self.fs.descs_per_block
    }

    pub(super) fn desc_blocks(&self) -> u64 {
        u64::from(self.fs.groups).div_ceil(self.descs_per_block())
    }

    /// The first block of a group.
    pub(super) fn group_start(&self, group: u64) -> u64 {
        self.fs
            .first
            .saturating_add(group.saturating_mul(self.fs.blocks_per_group))
    }

    /// Whether a group begins with a superblock.
    pub(super) fn has_super(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.fs.compat(compat::SPARSE_SUPER2) {
            return self
                .fs
                .sb
                .s_backup_bgs
                .iter()
                .any(|backup| u64::from(backup.get()) == group);
        }
        group == 1
            || !self.fs.ro_compat(ro_compat::SPARSE_SUPER)
            || [3, 5, 7].iter().any(|base| power_of(group, *base))
    }

    /// Descriptor blocks that follow each superblock.
    fn plain_desc_blocks(&self) -> u64 {
        let all = self.desc_blocks();
        if self.fs.incompat(incompat::META_BG) {
            all.min(self.fs.sb.s_first_meta_bg.get().into())
        } else {
            all
        }
    }

    /// Where the `index`th block of descriptors is.
    fn desc_block(&self, index: u64) -> u64 {
        if index < self.plain_desc_blocks() {
            return self.fs.first.saturating_add(1).saturating_add(index);
        }
        let group = index.saturating_mul(self.descs_per_block());
        self.group_start(group)
            .saturating_add(self.has_super(group).into())
    }

    /// Blocks at the start of a group that hold superblock, descriptors and room for more
    /// descriptors.
    fn head_blocks(&self, group: u64) -> u64 {
        let own = u64::from(self.has_super(group));
        let reserved = u64::from(self.fs.sb.s_reserved_gdt_blocks.get());
        let plain = own.saturating_mul(self.plain_desc_blocks().saturating_add(reserved));
        let each = self.descs_per_block();
        let (meta_group, member) = (
            group.checked_div(each).unwrap_or(0),
            group.checked_rem(each).unwrap_or(0),
        );
        let spread = self.fs.incompat(incompat::META_BG)
            && meta_group >= self.fs.sb.s_first_meta_bg.get().into();
        if spread {
            let holds = [0, 1, each.saturating_sub(1)].contains(&member);
            own.saturating_add(holds.into())
        } else {
            own.saturating_add(plain)
        }
    }

    fn claim_metadata(&mut self) {
        let table = self.table_blocks();
        for number in 0..u64::from(self.fs.groups) {
            let (start, head) = (self.group_start(number), self.head_blocks(number));
            if head > 0 {
                self.claims.claim(
                    start,
                    head.min(self.fs.blocks.saturating_sub(start)),
                    METADATA,
                );
            }
            let Some(group) = self.groups.get(index(number)) else {
                break;
            };
            self.claims.claim(group.block_bitmap, 1, METADATA);
            self.claims.claim(group.inode_bitmap, 1, METADATA);
            self.claims.claim(group.inode_table, table, METADATA);
        }
        if self.fs.incompat(incompat::MMP) && self.fs.inside(self.fs.sb.s_mmp_block.get(), 1) {
            self.claims.claim(self.fs.sb.s_mmp_block.get(), 1, METADATA);
        }
    }

    /// Copies of superblock and descriptors; of the latter only the positions, because the kernel
    /// updates the counts of the first copy alone.
    fn check_copies(&mut self) {
        for number in 1..self.fs.groups {
            if !self.has_super(number.into()) {
                continue;
            }
            let start = self.group_start(number.into());
            let Some(bytes) = self.read_block(start) else {
                continue;
            };
            self.fs
                .check_copy(number, &bytes, self.fs.offset(start), self.log);
            for nth in 0..self.plain_desc_blocks() {
                let block = start.saturating_add(1).saturating_add(nth);
                self.check_desc_copy(number, block, nth);
            }
        }
    }

    fn check_desc_copy(&mut self, holder: u32, block: u64, nth: u64) {
        let size = self.fs.desc_size;
        if !self.fs.inside(block, 1) {
            return;
        }
        let Some(bytes) = self.read_block(block) else {
            return;
        };
        let first = index(nth.saturating_mul(self.descs_per_block()));
        for ((number, group), desc) in self
            .groups
            .iter()
            .enumerate()
            .skip(first)
            .zip(bytes.chunks_exact(size))
        {
            let copy = BlockGroup::new(&zero_extended(desc), size);
            let places =
                |group: &BlockGroup| [group.block_bitmap, group.inode_bitmap, group.inode_table];
            self.log.check(places(&copy) == places(group), "ext4-backup", || {
                let text = format!(
                    "the copy in group {holder} of the descriptor of group {number} places bitmaps and inode table at {:?}, the first at {:?}",
                    places(&copy),
                    places(group)
                );
                (Location::of(self.fs.partition).offset(self.fs.offset(block)), text)
            });
        }
    }

    /// Whether the inodes of a group were never used, so that its table and bitmap are undefined.
    pub(super) fn inodes_uninit(&self, group: &BlockGroup) -> bool {
        self.fs.lazy() && group.has(bg_flags::INODE_UNINIT)
    }

    /// Whether the block bitmap of a group was never written: only metadata is used.
    pub(super) fn blocks_uninit(&self, group: &BlockGroup) -> bool {
        self.fs.lazy() && group.has(bg_flags::BLOCK_UNINIT)
    }
}

/// Whether `value` is a power of `base`.
fn power_of(mut value: u64, base: u64) -> bool {
    while value > 1 && value.is_multiple_of(base) {
        value = value.checked_div(base).unwrap_or(0);
    }
    value == 1
}
