//! Quotas that the filesystem keeps in hidden files (feature `quota`, format `vfsv1`): what they
//! count for each user, group and project is compared with the inodes.
//!
//! ```text
//! block 0:  magic, version | grace times, flags, number of blocks, two lists of free blocks
//! block 1:  root of a tree of four levels, 256 block numbers in each node, one per byte of the ID
//! leaves:   16 bytes | entries of 72 bytes: ID, limits, usage
//! ```
//!
//! Source: `fs/quota/quota_tree.c`, `fs/quota/quotaio_v2.h` of Linux.

use super::checker::{Checker, Run, Usage};
use crate::bytes::{is_zero, le32};
use crate::fs::ext4::format::{Inode, ROOT_INO, compat, ro_compat};
use crate::verify::numbers::index;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a block of the file, whatever those of the filesystem.
const BLOCK: u64 = 1024;
/// Levels of the tree.
const LEVELS: u32 = 4;
/// Bytes before the entries of a leaf, and of an entry.
const HEAD: usize = 16;
const ENTRY: usize = 72;
/// `dqh_magic` of users, groups, projects.
const MAGICS: [u32; 3] = [0xD9C0_1F11, 0xD9C0_1927, 0xD9C0_3F14];
/// `dqh_version` with entries of 64 bits.
const VERSION: u32 = 1;
/// Names of the kinds, for findings.
const KINDS: [&str; 3] = ["user", "group", "project"];

/// A file of quotas being read.
struct QuotaFile<'f> {
    runs: &'f [Run],
    blocks: u64,
    seen: BTreeSet<u32>,
    entries: BTreeMap<u32, Usage>,
}

impl Checker<'_> {
    /// Counts an inode in use that has `sectors` of 512 bytes, and keeps the blocks of the files
    /// that hold quotas.
    pub(super) fn count_quota(&mut self, ino: u32, raw: &Inode, sectors: u64, runs: &[Run]) {
        if !self.fs.ro_compat(ro_compat::QUOTA) {
            return;
        }
        let sb = &self.fs.sb;
        let files = [
            sb.s_usr_quota_inum.get(),
            sb.s_grp_quota_inum.get(),
            sb.s_prj_quota_inum.get(),
        ];
        if let Some(at) = files.iter().position(|file| *file == ino)
            && let Some(kept) = self.quotas.files.get_mut(at)
        {
            *kept = runs.to_vec();
        }
        let hidden = files.contains(&ino)
            || (self.fs.compat(compat::ORPHAN_FILE) && ino == sb.s_orphan_file_inum.get());
        if hidden || (ino < self.fs.first_ino() && ino != ROOT_INO) {
            return;
        }
        let wide = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
        let ids = [
            wide(raw.i_uid.get(), raw.i_uid_high.get()),
            wide(raw.i_gid.get(), raw.i_gid_high.get()),
            raw.i_projid.get(),
        ];
        for (ids, id) in self.quotas.found.iter_mut().zip(ids) {
            let usage = ids.entry(id).or_default();
            usage.bytes = usage.bytes.saturating_add(sectors.saturating_mul(512));
            usage.inodes = usage.inodes.saturating_add(1);
        }
    }

    /// Compares the files of quotas with what was counted.
    pub(super) fn check_quotas(&mut self) {
        if self.maps_broken {
            return;
        }
        let usage = std::mem::take(&mut self.quotas);
        let sb = &self.fs.sb;
        let inodes = [
            sb.s_usr_quota_inum.get(),
            sb.s_grp_quota_inum.get(),
            sb.s_prj_quota_inum.get(),
        ];
        let files = usage.files.iter().zip(&usage.found);
        for (((kind, magic), ino), (runs, found)) in KINDS.iter().zip(MAGICS).zip(inodes).zip(files)
        {
            if ino == 0 || !self.fs.ro_compat(ro_compat::QUOTA) {
                continue;
            }
            let place = self.at(ino);
            match self.quota_entries(magic, runs) {
                Err(text) => self.log.error(
                    "ext4-quota",
                    place,
                    format!("the file of {kind} quotas: {text}"),
                ),
                Ok(entries) => self.compare_quotas(kind, ino, &entries, found),
            }
        }
    }

    fn compare_quotas(
        &mut self,
        kind: &str,
        ino: u32,
        entries: &BTreeMap<u32, Usage>,
        found: &BTreeMap<u32, Usage>,
    ) {
        let ids: BTreeSet<&u32> = entries.keys().chain(found.keys()).collect();
        for id in ids {
            let [stored, due] =
                [entries, found].map(|usage| usage.get(id).copied().unwrap_or_default());
            let place = self.at(ino);
            self.log.check(stored == due, "ext4-quota", || {
                (
                    place,
                    format!(
                        "the quota of {kind} {id} counts {} bytes and {} inodes, there are {} and {}",
                        stored.bytes, stored.inodes, due.bytes, due.inodes
                    ),
                )
            });
        }
    }

    /// The usage by ID that a file of quotas holds.
    fn quota_entries(&mut self, magic: u32, runs: &[Run]) -> Result<BTreeMap<u32, Usage>, String> {
        let head = self.quota_block(runs, 0).ok_or("it has no first block")?;
        let word = |number: usize| le32(&head, number.saturating_mul(4)).unwrap_or(0);
        if (word(0), word(1)) != (magic, VERSION) {
            return Err(format!(
                "it has the magic number {:#010x} and version {}, not {magic:#010x} and {VERSION}",
                word(0),
                word(1)
            ));
        }
        let held = runs
            .last()
            .map_or(0, |run| self.fs.offset(run.logical_end()) / BLOCK);
        let (blocks, free, free_entry) = (word(5), word(6), word(7));
        let most = u64::from(blocks);
        if most > held || u64::from(free) >= most || u64::from(free_entry) >= most {
            return Err(format!(
                "it counts {blocks} blocks, of which {free} and {free_entry} are free, and has {held}"
            ));
        }
        let mut file = QuotaFile {
            runs,
            blocks: most,
            seen: BTreeSet::new(),
            entries: BTreeMap::new(),
        };
        self.quota_node(&mut file, 1, LEVELS)?;
        Ok(file.entries)
    }

    /// A node of the tree with `levels` levels below it, or a leaf.
    fn quota_node(
        &mut self,
        file: &mut QuotaFile<'_>,
        number: u32,
        levels: u32,
    ) -> Result<(), String> {
        // IDs whose last byte differs share a leaf.
        if !file.seen.insert(number) {
            return if levels == 0 {
                Ok(())
            } else {
                Err(format!("its tree reaches block {number} twice"))
            };
        }
        let bytes = self
            .quota_block(file.runs, number)
            .filter(|_| u64::from(number) < file.blocks)
            .ok_or_else(|| format!("its tree leads to block {number} of {}", file.blocks))?;
        if levels == 0 {
            let entries = bytes.get(HEAD..).unwrap_or_default();
            for entry in entries.chunks_exact(ENTRY).filter(|entry| !is_zero(entry)) {
                let wide = |at: usize| {
                    let word = |at| u64::from(le32(entry, at).unwrap_or(0));
                    word(at.saturating_add(4)) << 32 | word(at)
                };
                let usage = Usage {
                    bytes: wide(48),
                    inodes: wide(24),
                };
                file.entries.insert(le32(entry, 0).unwrap_or(0), usage);
            }
            return Ok(());
        }
        for child in bytes.chunks_exact(4).filter_map(|word| le32(word, 0)) {
            if child != 0 {
                self.quota_node(file, child, levels.saturating_sub(1))?;
            }
        }
        Ok(())
    }

    /// A block of 1 KiB of a file.
    fn quota_block(&mut self, runs: &[Run], number: u32) -> Option<Vec<u8>> {
        let at = u64::from(number).saturating_mul(BLOCK);
        let logical = self.fs.whole_blocks(at);
        let run = runs
            .iter()
            .find(|run| run.logical <= logical && logical < run.logical_end())?;
        let physical = run
            .physical
            .saturating_add(logical.saturating_sub(run.logical));
        let bytes = self.read_block(physical)?;
        let within = index(at.saturating_sub(self.fs.offset(logical)));
        let end = within.saturating_add(index(BLOCK));
        bytes.get(within..end).map(<[u8]>::to_vec)
    }
}
