//! BlockGroup descriptors: checksums, places, copies; and the blocks that no file can have.

use super::Checker;
use super::claims::METADATA;
use crate::fs::ext4::format::{GroupDesc, bg_flags, compat, crc16, crc32c, incompat, ro_compat};
use zerocopy::{FromZeros, IntoBytes};

/// Where `bg_checksum` is.
const CHECKSUM_AT: usize = 0x1E;

/// A group by its descriptor.
#[derive(Clone, Debug)]
pub(super) struct BlockGroup {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) used_dirs: u32,
    pub(super) unused_inodes: u32,
    pub(super) flags: u16,
    pub(super) block_bitmap_checksum: u32,
    pub(super) inode_bitmap_checksum: u32,
    pub(super) wide_checksums: bool,
}

impl BlockGroup {
    fn new(raw: &GroupDesc, size: usize) -> Self {
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let short = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        Self {
            block_bitmap: wide(raw.bg_block_bitmap_lo.get(), raw.bg_block_bitmap_hi.get()),
            inode_bitmap: wide(raw.bg_inode_bitmap_lo.get(), raw.bg_inode_bitmap_hi.get()),
            inode_table: wide(raw.bg_inode_table_lo.get(), raw.bg_inode_table_hi.get()),
            free_blocks: short(
                raw.bg_free_blocks_count_lo.get(),
                raw.bg_free_blocks_count_hi.get(),
            ),
            free_inodes: short(
                raw.bg_free_inodes_count_lo.get(),
                raw.bg_free_inodes_count_hi.get(),
            ),
            used_dirs: short(
                raw.bg_used_dirs_count_lo.get(),
                raw.bg_used_dirs_count_hi.get(),
            ),
            unused_inodes: short(raw.bg_itable_unused_lo.get(), raw.bg_itable_unused_hi.get()),
            flags: raw.bg_flags.get(),
            block_bitmap_checksum: short(
                raw.bg_block_bitmap_csum_lo.get(),
                raw.bg_block_bitmap_csum_hi.get(),
            ),
            inode_bitmap_checksum: short(
                raw.bg_inode_bitmap_csum_lo.get(),
                raw.bg_inode_bitmap_csum_hi.get(),
            ),
            wide_checksums: size >= 64,
        }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

impl Checker<'_> {
    /// Reads all descriptors, checks them and claims the blocks of all metadata. False when a place
    /// is out of range, so that nothing further can be read.
    pub(super) fn read_groups(&mut self) -> bool {
        let size = self.fs.desc_size;
        let mut good = true;
        for index in 0..self.desc_blocks() {
            let block = self.desc_block(index);
            let Some(bytes) = self.read_block(block) else {
                return false;
            };
            for (at, desc) in bytes.chunks_exact(size).enumerate() {
                let number = self.groups.len();
                if number >= self.fs.groups as usize {
                    break;
                }
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                good &= self.read_group(
                    number,
                    desc,
                    block * self.fs.block_size + (at * size) as u64,
                );
            }
        }
        if good {
            self.claim_metadata();
            self.check_copies();
        }
        good
    }

    fn read_group(&mut self, number: u32, desc: &[u8], offset: u64) -> bool {
        let mut raw = GroupDesc::new_zeroed();
        raw.as_mut_bytes()
            .iter_mut()
            .zip(desc)
            .for_each(|(to, from)| *to = *from);
        let place = self.place().offset(offset);
        if let Some(computed) = self.desc_checksum(number, desc) {
            let stored = raw.bg_checksum.get();
            self.log.check(stored == computed, "ext4-group-checksum", || {
                (place.clone(), format!("group {number} has the checksum {stored:#06x} where its bytes give {computed:#06x}"))
            });
        }
        let group = BlockGroup::new(&raw, desc.len());
        let places = [
            ("block bitmap", group.block_bitmap, 1),
            ("inode bitmap", group.inode_bitmap, 1),
            ("inode table", group.inode_table, self.table_blocks()),
        ];
        let outside = places
            .iter()
            .find(|(_, block, count)| !self.fs.inside(*block, *count));
        let blocks = self.fs.blocks;
        let good = self.log.check(outside.is_none(), "ext4-group", || {
            let (what, block, count) = outside.copied().unwrap_or_default();
            (
                place.clone(),
                format!("the {what} of group {number} ({count} blocks from {block}) leaves the {blocks} blocks there are"),
            )
        });
        let unused = group.unused_inodes;
        let each = self.fs.inodes_per_group;
        let good = self.log.check(unused <= each, "ext4-group", || {
            (
                place,
                format!("group {number} has {unused} inodes that were never used, of {each}"),
            )
        }) && good;
        self.groups.push(group);
        good
    }

    /// 16 bits of CRC-32C (`metadata_csum`) or CRC-16 (`uninit_bg`), as the kernel's page
    /// `checksums` has it.
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
        (u64::from(self.fs.inodes_per_group) * self.fs.inode_size as u64)
            .div_ceil(self.fs.block_size)
    }

    fn descs_per_block(&self) -> u64 {
        self.fs.block_size / self.fs.desc_size as u64
    }

    pub(super) fn desc_blocks(&self) -> u64 {
        u64::from(self.fs.groups).div_ceil(self.descs_per_block())
    }

    /// The first block of a group.
    pub(super) fn group_start(&self, group: u64) -> u64 {
        self.fs.first + group * self.fs.blocks_per_group
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
            return self.fs.first + 1 + index;
        }
        let group = index * self.descs_per_block();
        self.group_start(group) + u64::from(self.has_super(group))
    }

    /// Blocks at the start of a group that hold superblock, descriptors and room for more
    /// descriptors.
    fn head_blocks(&self, group: u64) -> u64 {
        let own = u64::from(self.has_super(group));
        let plain =
            own * (self.plain_desc_blocks() + u64::from(self.fs.sb.s_reserved_gdt_blocks.get()));
        let each = self.descs_per_block();
        let spread = self.fs.incompat(incompat::META_BG)
            && group / each >= self.fs.sb.s_first_meta_bg.get().into();
        let holds = spread && [0, 1, each - 1].contains(&(group % each));
        if spread {
            own + u64::from(holds)
        } else {
            own + plain
        }
    }

    fn claim_metadata(&mut self) {
        let table = self.table_blocks();
        for number in 0..u64::from(self.fs.groups) {
            let (start, head) = (self.group_start(number), self.head_blocks(number));
            if head > 0 {
                self.claims
                    .claim(start, head.min(self.fs.blocks - start), METADATA);
            }
            let Some(group) = usize::try_from(number)
                .ok()
                .and_then(|number| self.groups.get(number))
            else {
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

    /// Copies of superblock and descriptors; of the latter only the places, for the kernel keeps
    /// the counts of the first up alone.
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
                .check_copy(number, &bytes, start * self.fs.block_size, self.log);
            for index in 0..self.plain_desc_blocks() {
                self.check_desc_copy(number, start + 1 + index, index);
            }
        }
    }

    fn check_desc_copy(&mut self, holder: u32, block: u64, index: u64) {
        let size = self.fs.desc_size;
        if !self.fs.inside(block, 1) {
            return;
        }
        let Some(bytes) = self.read_block(block) else {
            return;
        };
        let first = usize::try_from(index * self.descs_per_block()).unwrap_or(usize::MAX);
        for ((number, group), desc) in self
            .groups
            .iter()
            .enumerate()
            .skip(first)
            .zip(bytes.chunks_exact(size))
        {
            let mut raw = GroupDesc::new_zeroed();
            raw.as_mut_bytes()
                .iter_mut()
                .zip(desc)
                .for_each(|(to, from)| *to = *from);
            let copy = BlockGroup::new(&raw, size);
            let places =
                |group: &BlockGroup| [group.block_bitmap, group.inode_bitmap, group.inode_table];
            self.log.check(places(&copy) == places(group), "ext4-backup", || {
                let text = format!(
                    "the copy in group {holder} of the descriptor of group {number} places bitmaps and inode table at {:?}, the first at {:?}",
                    places(&copy),
                    places(group)
                );
                (super::Location::of(self.fs.partition).offset(block * self.fs.block_size), text)
            });
        }
    }

    /// Whether the inodes of a group were never used, and so its table and bitmap hold nothing.
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
        value /= base;
    }
    value == 1
}
