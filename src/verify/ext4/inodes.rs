//! Inodes: read from their tables, each checked by itself, their blocks claimed.

use super::checker::{BlockMap, Checker, Directory, Run, UsedInode, zero_extended};
use crate::bytes::is_zero;
use crate::fs::ext4::format::{
    Inode, JOURNAL_INO, RESIZE_INO, ROOT_INO, compat, crc32c, incompat, inode_flags, mode,
    ro_compat,
};
use crate::verify::finding::Location;
use crate::verify::numbers::widen;

/// Bytes of inode table read at once.
const WINDOW: u64 = 128 << 10;
/// Bytes of the first inodes of ext2; later ones have more fields after these.
const OLD_SIZE: usize = 128;
/// Where `i_checksum_lo` and `i_checksum_hi` are.
const CHECKSUM_LO: usize = 0x7C;
const CHECKSUM_HI: usize = 0x82;
/// Inode of bad blocks.
const BAD_INO: u32 = 1;
/// `i_flags` of features that are not followed here (encrypt, inline_data, ea_inode, casefold), and
/// `EXT4_IMAGIC_FL` of AFS.
const FOREIGN_FLAGS: u32 = inode_flags::ENCRYPT
    | inode_flags::INLINE_DATA
    | inode_flags::EA_INODE
    | inode_flags::CASEFOLD
    | 0x2000;

impl Checker<'_> {
    /// Checks every inode that was ever used according to its group.
    pub(super) fn scan_inodes(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        for (number, group) in groups.iter().enumerate() {
            if self.inodes_uninit(group) {
                continue;
            }
            let unused = if self.fs.lazy() {
                group.unused_inodes
            } else {
                0
            };
            let count = self.fs.inodes_per_group.saturating_sub(unused);
            let first = u32::try_from(number)
                .unwrap_or(u32::MAX)
                .saturating_mul(self.fs.inodes_per_group);
            self.scan_table(self.fs.offset(group.inode_table), first, count);
        }
        self.groups = groups;
    }

    /// `count` inodes from number `first` + 1 on, whose table begins at byte `start`. Holes of the
    /// source are not read: they contain no inodes.
    fn scan_table(&mut self, start: u64, first: u32, count: u32) {
        let size = widen(self.fs.inode_size);
        let end = start.saturating_add(u64::from(count).saturating_mul(size));
        let mut at = start;
        while at < end {
            let len = WINDOW.min(end.saturating_sub(at));
            let after = at.saturating_add(len);
            match self.fs.source.next_data(at) {
                Ok(Some(range)) if range.start < after => {}
                Ok(_) => {
                    at = after;
                    continue;
                }
                // Reading reports the error.
                Err(_) => {}
            }
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            if let Err(e) = self.fs.source.read_exact_at(at, &mut bytes) {
                let place = self.place().offset(at);
                self.log.error(
                    "ext4-unreadable",
                    place,
                    format!("reading the inode table: {e}"),
                );
                self.maps_broken = true;
                return;
            }
            let before = at.saturating_sub(start).checked_div(size).unwrap_or(0);
            let next = first
                .saturating_add(u32::try_from(before).unwrap_or(u32::MAX))
                .saturating_add(1);
            let offsets = (at..).step_by(self.fs.inode_size);
            for ((ino, offset), inode) in (next..=u32::MAX)
                .zip(offsets)
                .zip(bytes.chunks_exact(self.fs.inode_size))
            {
                if !is_zero(inode) {
                    self.inode(ino, inode, offset);
                }
            }
            at = after;
        }
    }

    fn inode(&mut self, ino: u32, bytes: &[u8], offset: u64) {
        let raw: Inode = zero_extended(bytes);
        let extra = if bytes.len() > OLD_SIZE {
            usize::from(raw.i_extra_isize.get())
        } else {
            0
        };
        let seed = self.fs.inode_seed(ino, raw.i_generation.get());
        let place = self.at(ino).offset(offset);
        if self.fs.has_checksums() {
            let (stored, computed) = checksums(seed, bytes, &raw, extra);
            self.log
                .check(stored == computed, "ext4-inode-checksum", || {
                    (
                        place.clone(),
                        format!(
                            "the inode has the checksum {stored:#010x}, computed {computed:#010x}"
                        ),
                    )
                });
        }
        if ino == BAD_INO {
            return self.check_bad_blocks(&raw, seed);
        }
        let (links, kind) = (raw.i_links_count.get(), raw.i_mode.get());
        if links == 0 {
            self.check_unused(ino, &raw, place);
            return;
        }
        self.used.insert(
            ino,
            UsedInode {
                mode: kind,
                links,
                refs: 0,
            },
        );
        let room = bytes.len().saturating_sub(OLD_SIZE);
        let fits = extra <= room && extra.is_multiple_of(4) && (extra == 0 || extra >= 4);
        self.log.check(fits, "ext4-inode-extra", || {
            (
                place.clone(),
                format!("the inode has {extra} bytes of further fields in a room of {room}"),
            )
        });
        let known = matches!(
            kind & mode::TYPE,
            mode::FIFO
                | mode::CHAR
                | mode::DIR
                | mode::BLOCK
                | mode::FILE
                | mode::SYMLINK
                | mode::SOCKET
        );
        if !self.log.check(known, "ext4-inode-mode", || {
            (
                place,
                format!("the inode has the mode {kind:#o}, which has no valid file type"),
            )
        }) {
            self.maps_broken = true;
            return;
        }
        if ino == RESIZE_INO && self.fs.compat(compat::RESIZE_INODE) {
            self.check_resize(&raw);
            return;
        }
        let attributes = if fits && extra > 0 {
            bytes
                .get(OLD_SIZE.saturating_add(extra)..)
                .unwrap_or_default()
        } else {
            &[]
        };
        self.content(ino, &raw, seed, attributes);
    }

    /// Checks blocks, attributes and size of inode `ino`.
    fn content(&mut self, ino: u32, raw: &Inode, seed: u32, attributes: &[u8]) {
        let shared = self.check_attributes(ino, raw, attributes);
        let kind = raw.i_mode.get() & mode::TYPE;
        let size = self.size(raw);
        let inline = kind == mode::SYMLINK && self.is_fast(raw, shared);
        self.check_fields(ino, raw);
        let mapped = match kind {
            mode::FILE | mode::DIR => self.map(ino, raw, seed),
            mode::SYMLINK if !inline => self.map(ino, raw, seed),
            mode::SYMLINK => {
                let len = widen(raw.i_block.iter().position(|byte| *byte == 0).unwrap_or(60));
                let place = self.at(ino);
                self.log.check(len == size && size > 0, "ext4-symlink", || {
                    (
                        place.clone(),
                        format!("the target has {len} bytes, the size is {size}"),
                    )
                });
                let extents = raw.i_flags.get() & inode_flags::EXTENTS != 0;
                self.log.check(!extents, "ext4-symlink", || {
                    (
                        place,
                        "the target is in the inode, which has the flag of extents".into(),
                    )
                });
                BlockMap::default()
            }
            _ => self.special_file(ino, raw),
        };
        self.maps_broken |= mapped.broken;
        if !mapped.broken {
            let blocks = mapped
                .data()
                .saturating_add(mapped.nodes)
                .saturating_add(shared.into());
            let sectors = self.check_blocks(ino, raw, blocks);
            self.check_size(ino, (kind, raw.i_flags.get()), size, &mapped);
            self.count_quota(ino, raw, sectors, &mapped.runs);
        }
        self.keep(ino, raw, seed, size, mapped);
    }

    /// Whether the target of a symlink is in its inode: it is unless it has blocks besides that of
    /// its attributes, as for the kernel.
    fn is_fast(&self, raw: &Inode, shared: bool) -> bool {
        let attributes = if shared { self.fs.block_size / 512 } else { 0 };
        self.sectors(raw) == attributes
    }

    /// `i_blocks` as it is stored.
    fn sectors(&self, raw: &Inode) -> u64 {
        let high = if self.fs.ro_compat(ro_compat::HUGE_FILE) {
            u64::from(raw.i_blocks_high.get()) << 32
        } else {
            0
        };
        high | u64::from(raw.i_blocks_lo.get())
    }

    /// Flags and fields that have no meaning in this filesystem or for this kind of file.
    fn check_fields(&mut self, ino: u32, raw: &Inode) {
        let (kind, flags) = (raw.i_mode.get() & mode::TYPE, raw.i_flags.get());
        let extents = if self.fs.incompat(incompat::EXTENTS) {
            0
        } else {
            inode_flags::EXTENTS
        };
        let index = if kind == mode::DIR && self.fs.compat(compat::DIR_INDEX) {
            0
        } else {
            inode_flags::INDEX
        };
        let verity = if kind == mode::FILE && self.fs.ro_compat(ro_compat::VERITY) {
            0
        } else {
            inode_flags::VERITY
        };
        // Linux does not read symlinks that are immutable or append-only.
        let symlink = if matches!(kind, mode::FILE | mode::DIR) {
            0
        } else {
            0x30
        };
        let foreign = flags & (FOREIGN_FLAGS | extents | index | verity | symlink);
        let place = self.at(ino);
        self.log.check(foreign == 0, "ext4-inode-flags", || {
            (
                place.clone(),
                format!("the flags {flags:#x} include {foreign:#x}, which is not valid in this filesystem or for this kind of file"),
            )
        });
        let deleted = raw.i_dtime.get();
        self.log.check(deleted == 0, "ext4-inode-deleted", || {
            (
                place.clone(),
                format!("the inode is in use but has the deletion time {deleted}"),
            )
        });
        let wide =
            kind == mode::FILE || (kind == mode::DIR && self.fs.incompat(incompat::LARGEDIR));
        let unused = [
            ("i_obso_faddr", raw.i_obso_faddr.get(), true),
            ("i_size_high", raw.i_size_high.get(), !wide),
            (
                "i_blocks_high",
                raw.i_blocks_high.get().into(),
                !self.fs.ro_compat(ro_compat::HUGE_FILE),
            ),
            (
                "i_file_acl_high",
                raw.i_file_acl_high.get().into(),
                !self.fs.incompat(incompat::BIT64),
            ),
        ];
        let set = unused
            .into_iter()
            .find(|(_, value, applies)| *applies && *value != 0);
        self.log.check(set.is_none(), "ext4-inode-reserved", || {
            let (name, value, _) = set.unwrap_or_default();
            (
                place,
                format!("{name} is {value:#x}, but it is unused here and must be 0"),
            )
        });
    }

    /// An inode without links: deleted, or a reserved one that is not in use and has no content.
    fn check_unused(&mut self, ino: u32, raw: &Inode, place: Location) {
        if ino < self.fs.first_ino() {
            let empty = is_zero(&raw.i_block) && raw.i_file_acl_lo.get() == 0;
            self.log.check(empty, "ext4-inode-reserved", || {
                (
                    place,
                    "the reserved inode is not in use but has blocks".into(),
                )
            });
            return;
        }
        let kind = raw.i_mode.get();
        self.log.check(
            kind == 0 || raw.i_dtime.get() != 0,
            "ext4-inode-deleted",
            || {
                (
                    place,
                    format!("the inode has no links but the mode {kind:#o} and no deletion time"),
                )
            },
        );
    }

    /// Keeps the blocks of directories, journal and orphan file, which are read later.
    fn keep(&mut self, ino: u32, raw: &Inode, seed: u32, size: u64, mapped: BlockMap) {
        if raw.i_mode.get() & mode::TYPE == mode::DIR {
            let blocks = self.fs.whole_blocks(size);
            self.names_broken |= mapped.broken;
            self.dirs.push(Directory {
                ino,
                seed,
                flags: raw.i_flags.get(),
                runs: mapped.runs,
                blocks,
            });
        } else if ino == self.journal_ino() {
            self.check_journal_backup(raw);
            self.journal = mapped.runs;
        } else if self.fs.compat(compat::ORPHAN_FILE) && ino == self.fs.sb.s_orphan_file_inum.get()
        {
            let (held, reach) = (
                mapped.data(),
                mapped.runs.last().map_or(0, Run::logical_end),
            );
            let whole = self.fs.offset(held) == size && reach == held;
            let place = self.at(ino);
            self.log.check(whole || mapped.broken, "ext4-orphans", || {
                (
                    place,
                    format!(
                        "the orphan file has {size} bytes and {held} blocks, up to the {reach}th"
                    ),
                )
            });
            self.orphan_file = (seed, mapped.runs);
        }
    }

    /// The journal's inode; 0 when there is none.
    pub(super) fn journal_ino(&self) -> u32 {
        match (
            self.fs.compat(compat::HAS_JOURNAL),
            self.fs.sb.s_journal_inum.get(),
        ) {
            (false, _) => 0,
            (true, 0) if self.fs.sb.s_journal_dev.get() == 0 => JOURNAL_INO,
            (true, ino) => ino,
        }
    }

    pub(super) fn size(&self, raw: &Inode) -> u64 {
        let wide =
            raw.i_mode.get() & mode::TYPE == mode::FILE || self.fs.incompat(incompat::LARGEDIR);
        u64::from(raw.i_size_lo.get())
            | if wide {
                u64::from(raw.i_size_high.get()) << 32
            } else {
                0
            }
    }

    /// Devices, fifos, sockets: no flags of maps, nothing after the device numbers.
    fn special_file(&mut self, ino: u32, raw: &Inode) -> BlockMap {
        let flags = raw.i_flags.get()
            & (inode_flags::EXTENTS | inode_flags::INDEX | inode_flags::INLINE_DATA);
        let rest = is_zero(raw.i_block.get(16..).unwrap_or_default());
        let place = self.at(ino);
        self.log.check(flags == 0 && rest, "ext4-inode-flags", || {
            (place, format!("a special file has the flags {flags:#x} of a block map, or bytes in place of block numbers"))
        });
        BlockMap::default()
    }

    /// `i_blocks`: sectors of 512 bytes, or blocks if a flag of the inode says so. Returns the
    /// sectors that it has.
    pub(super) fn check_blocks(&mut self, ino: u32, raw: &Inode, blocks: u64) -> u64 {
        let huge = self.fs.ro_compat(ro_compat::HUGE_FILE);
        let stored = self.sectors(raw);
        let sectors = blocks.saturating_mul(self.fs.block_size / 512);
        let expected = if huge && raw.i_flags.get() & inode_flags::HUGE_FILE != 0 {
            blocks
        } else {
            sectors
        };
        let place = self.at(ino);
        self.log.check(stored == expected, "ext4-inode-blocks", || {
            (
                place,
                format!("the inode counts {stored} sectors, it has {expected}"),
            )
        });
        sectors
    }

    /// The size of an inode of this kind and with these flags.
    fn check_size(&mut self, ino: u32, (kind, flags): (u16, u32), size: u64, mapped: &BlockMap) {
        let block = self.fs.block_size;
        let place = self.at(ino);
        let last = mapped
            .runs
            .iter()
            .rfind(|run| run.written)
            .map_or(0, |run| run.logical_end().saturating_sub(1));
        match kind {
            mode::DIR => {
                let (held, sized) = (mapped.data(), self.fs.whole_blocks(size));
                let reach = mapped.runs.last().map_or(0, Run::logical_end);
                let whole = size.is_multiple_of(block) && size > 0;
                self.log.check(whole, "ext4-inode-size", || {
                    (
                        place.clone(),
                        format!("the directory has {size} bytes, not a multiple of {block}"),
                    )
                });
                self.log
                    .check(!whole || (held == sized && reach == sized), "ext4-dir-hole", || {
                        (
                            place,
                            format!(
                                "the directory has {sized} blocks by its size and {held}, up to the {reach}th, by its map"
                            ),
                        )
                    });
            }
            mode::FILE => {
                // The hashes of fs-verity follow the content.
                let hashes = flags & inode_flags::VERITY != 0;
                let reach = if hashes {
                    0
                } else {
                    last.saturating_mul(block)
                };
                self.log.check(size >= reach && size.div_ceil(block) <= mapped.most, "ext4-inode-size", || {
                    (
                        place,
                        format!(
                            "the file has {size} bytes, its last block begins at byte {reach} and its map can address {} blocks",
                            mapped.most
                        ),
                    )
                });
            }
            mode::SYMLINK if !mapped.runs.is_empty() => self.check_long_symlink(ino, size, mapped),
            mode::SYMLINK => {}
            _ => {
                self.log.check(size == 0, "ext4-inode-size", || {
                    (place, format!("the special file has {size} bytes"))
                });
            }
        }
    }

    fn check_long_symlink(&mut self, ino: u32, size: u64, mapped: &BlockMap) {
        let place = self.at(ino);
        let Some(first) = mapped
            .runs
            .first()
            .filter(|run| run.logical == 0 && size < self.fs.block_size)
        else {
            self.log.error(
                "ext4-symlink",
                place,
                format!("the target of {size} bytes is not in one block"),
            );
            return;
        };
        let Some(bytes) = self.read_block(first.physical) else {
            return;
        };
        let end = bytes.iter().position(|byte| *byte == 0);
        let len = widen(end.unwrap_or(bytes.len()));
        self.log.check(len == size, "ext4-symlink", || {
            (
                place,
                format!("the target has {len} bytes, the size is {size}"),
            )
        });
    }

    /// Whether an inode may be in use without a name.
    pub(super) fn is_nameless(&self, ino: u32) -> bool {
        let sb = &self.fs.sb;
        let orphans = self.fs.compat(compat::ORPHAN_FILE) && ino == sb.s_orphan_file_inum.get();
        let quota = self.fs.ro_compat(ro_compat::QUOTA)
            && [
                sb.s_usr_quota_inum.get(),
                sb.s_grp_quota_inum.get(),
                sb.s_prj_quota_inum.get(),
            ]
            .contains(&ino);
        (ino < self.fs.first_ino() && ino != ROOT_INO)
            || orphans
            || quota
            || ino == self.journal_ino()
    }
}

/// The stored and the computed checksum of an inode; 16 bits where it has no room for 32.
fn checksums(seed: u32, bytes: &[u8], raw: &Inode, extra: usize) -> (u32, u32) {
    let wide = bytes.len() > OLD_SIZE && OLD_SIZE.saturating_add(extra) >= CHECKSUM_HI + 2;
    let mut plain = bytes.to_vec();
    let mut clear = |at: usize| plain.iter_mut().skip(at).take(2).for_each(|byte| *byte = 0);
    clear(CHECKSUM_LO);
    let low = u32::from(raw.i_checksum_lo.get());
    if wide {
        clear(CHECKSUM_HI);
        return (
            u32::from(raw.i_checksum_hi.get()) << 16 | low,
            crc32c(seed, &plain),
        );
    }
    (low, crc32c(seed, &plain) & 0xFFFF)
}
