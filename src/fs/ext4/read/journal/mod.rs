//! Recovery: a filesystem that was not unmounted has its newest metadata in the journal. Nothing is
//! written; the blocks of complete transactions are laid over the filesystem's own.
//!
//! The log is read as the kernel reads it (`fs/jbd2/recovery.c`): from `s_start` on, transaction by
//! transaction, until a block is not the one that must come next. A transaction counts when its
//! commit block is there and its checksums are right.

mod jbd2;
mod log;

use super::claims::Claims;
use super::error::{Error, Fault, Place};
use super::inode::Inodes;
use super::map;
use super::volume::Volume;
use crate::bytes::le32;
use crate::fs::ext4::format::{JOURNAL_INO, compat, crc32c};
use crate::stream::{Content, ReadAt};
use crate::units::len_u64;
use jbd2::{COMPAT_CHECKSUM, Superblock, block_type, incompat};
use log::{Copy, Log};
use std::collections::BTreeMap;
use zerocopy::{FromBytes, IntoBytes};

/// Blocks at the journal's end for fast commits where `s_num_fc_blks` is 0.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;
/// Blocks that a log keeps at least (`JBD2_MIN_JOURNAL_BLOCKS`); a journal too small for them has
/// no fast commits.
const MIN_LOG_BLOCKS: u32 = 1024;
/// `s_checksum_type` of CRC-32C (`JBD2_CRC32C_CHKSUM`).
const CHECKSUM_CRC32C: u8 = 4;
/// What a fast commit begins with: tag `EXT4_FC_TAG_HEAD` and its length (`fs/ext4/fast_commit.h`),
/// both little-endian.
const FAST_COMMIT_HEAD: [u8; 4] = [9, 0, 8, 0];

/// The filesystem after recovery.
pub(super) struct Recovered {
    /// The blocks of the whole filesystem, replayed ones replaced.
    pub(super) view: Content,
    /// How many have another content than before.
    pub(super) blocks: usize,
}

/// The journal's place and what its superblock says.
struct Journal {
    /// The journal's blocks, from its superblock on.
    content: Content,
    block_size: usize,
    /// First block of the log.
    first: u32,
    /// The block after the last of the log.
    end: u32,
    /// The first block of the fast commits, one further on by the kernel's reckoning
    /// (`j_fc_first`).
    fast_commits: Option<u32>,
    /// Where the oldest transaction begins; 0: the log is empty.
    start: u32,
    /// The number of the oldest transaction.
    sequence: u32,
    /// Features; none with version 1.
    compat: u32,
    incompat: u32,
    /// What checksums begin with.
    seed: u32,
}

/// Lays the complete transactions of the journal over `volume`.
///
/// # Errors
/// [`Error`] at the journal: damaged, not inside the filesystem, or with fast commits, which are
/// not replayed here.
pub(super) fn recover(volume: &Volume) -> Result<Recovered, Error> {
    let journal = Journal::open(volume)?;
    let mut blocks = BTreeMap::new();
    if journal.start != 0 {
        let log = Log::read(&journal)?;
        journal.refuse_fast_commits(log.next_sequence)?;
        blocks = journal.newest(volume, &log)?;
    }
    Ok(Recovered {
        view: overlay(volume, &journal, &blocks),
        blocks: blocks.len(),
    })
}

impl Journal {
    fn open(volume: &Volume) -> Result<Self, Error> {
        let place = Place::Journal;
        let raw = &volume.layout.raw;
        if !volume.layout.compat(compat::HAS_JOURNAL) {
            return Err(place.corrupt(Fault::Fact("it is needed for recovery and does not exist")));
        }
        match raw.s_journal_inum.get() {
            JOURNAL_INO => {}
            0 => return Err(place.unsupported("recovery from a journal on another device")),
            other => {
                return Err(place.corrupt(Fault::Differs {
                    what: "inode",
                    found: other.into(),
                    expected: JOURNAL_INO.into(),
                }));
            }
        }
        let inode = Inodes::new(volume).get(JOURNAL_INO)?;
        let spans = map::spans(volume, &inode, &mut Claims::default())?;
        let content = map::content(volume, &inode, &spans);
        let mut bytes = [0; 1024];
        content.read_exact_at(0, &mut bytes).map_err(place.io())?;
        Self::parse(&bytes, content, volume.layout.block_size)
    }

    fn parse(bytes: &[u8], content: Content, block_size: usize) -> Result<Self, Error> {
        let place = Place::Journal;
        let raw = Superblock::read_from_bytes(bytes)
            .map_err(|_| place.corrupt(Fault::Fact("it is cut off")))?;
        place.equal(
            "magic number",
            raw.s_header.h_magic.get().into(),
            jbd2::MAGIC.into(),
        )?;
        let kind = raw.s_header.h_blocktype.get();
        place.within(
            "type of the first block",
            kind.into(),
            block_type::SUPERBLOCK_V1.into(),
            block_type::SUPERBLOCK_V2.into(),
        )?;
        place.equal(
            "block size",
            raw.s_blocksize.get().into(),
            len_u64(block_size),
        )?;
        let (compat, incompat) = match kind {
            block_type::SUPERBLOCK_V1 => (0, 0),
            _ => (raw.s_feature_compat.get(), raw.s_feature_incompat.get()),
        };
        check_features(incompat)?;
        if incompat & (incompat::CSUM_V2 | incompat::CSUM_V3) != 0 {
            place.equal(
                "checksum type",
                raw.s_checksum_type.into(),
                CHECKSUM_CRC32C.into(),
            )?;
            let cleared = Superblock {
                s_checksum: 0.into(),
                ..raw
            };
            place.checksum(raw.s_checksum.get(), crc32c(!0, cleared.as_bytes()))?;
        }
        let log = LogRange::parse(&raw, incompat, content.len(), block_size)?;
        let seed = crc32c(!0, &raw.s_uuid);
        Ok(Self {
            content,
            block_size,
            first: log.first,
            end: log.end,
            fast_commits: log.fast_commits,
            start: log.start,
            sequence: raw.s_sequence.get(),
            compat,
            incompat,
            seed,
        })
    }

    /// The bytes of a block of the journal.
    fn block(&self, number: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.block_size];
        self.content
            .read_exact_at(self.offset(number), &mut bytes)
            .map_err(Place::Log(number).io())?;
        Ok(bytes)
    }

    /// Where a block begins in the journal (bytes).
    fn offset(&self, number: u32) -> u64 {
        u64::from(number).saturating_mul(len_u64(self.block_size))
    }

    fn has(&self, incompat: u32) -> bool {
        self.incompat & incompat != 0
    }

    fn has_checksums(&self) -> bool {
        self.has(incompat::CSUM_V2 | incompat::CSUM_V3)
    }

    fn has_old_checksums(&self) -> bool {
        self.compat & COMPAT_CHECKSUM != 0
    }

    /// The block that follows another in the log, which is a ring.
    fn after(&self, number: u32) -> u32 {
        number
            .checked_add(1)
            .filter(|next| *next < self.end)
            .unwrap_or(self.first)
    }

    /// A fast commit counts only when it builds on the last transaction of the log.
    fn refuse_fast_commits(&self, next_sequence: u32) -> Result<(), Error> {
        let Some(number) = self.fast_commits else {
            return Ok(());
        };
        let block = self.block(number)?;
        if block.starts_with(&FAST_COMMIT_HEAD) && le32(&block, 8) == Some(next_sequence) {
            return Err(
                Place::Log(number).unsupported("recovery from fast commits (feature fast_commit)")
            );
        }
        Ok(())
    }

    /// For each block of the filesystem that the log holds, the copy that counts: the newest that
    /// no later transaction revoked.
    fn newest(&self, volume: &Volume, log: &Log) -> Result<BTreeMap<u64, Copy>, Error> {
        let mut newest = BTreeMap::new();
        for copy in &log.copies {
            if log
                .revoked
                .get(&copy.target)
                .is_some_and(|transaction| *transaction >= copy.transaction)
            {
                continue;
            }
            let place = Place::Log(copy.block);
            place.within(
                "block to recover",
                copy.target,
                0,
                volume.layout.blocks.saturating_sub(1),
            )?;
            self.check_copy(copy)?;
            newest.insert(copy.target, *copy);
        }
        Ok(newest)
    }

    /// The checksum of a copy: all 32 bits with version 3, the low 16 with version 2.
    fn check_copy(&self, copy: &Copy) -> Result<(), Error> {
        if !self.has_checksums() {
            return Ok(());
        }
        let sequence = self.sequence.wrapping_add(copy.transaction);
        let crc = crc32c(
            crc32c(self.seed, &sequence.to_be_bytes()),
            &self.block(copy.block)?,
        );
        let crc = if self.has(incompat::CSUM_V3) {
            crc
        } else {
            crc & 0xFFFF
        };
        Place::Log(copy.block).checksum(copy.checksum, crc)
    }
}

/// Which blocks of the journal its log and fast commits have.
struct LogRange {
    first: u32,
    end: u32,
    fast_commits: Option<u32>,
    start: u32,
}

impl LogRange {
    /// The ranges that the journal's superblock names, of a journal of `len` bytes.
    fn parse(raw: &Superblock, incompat: u32, len: u64, block_size: usize) -> Result<Self, Error> {
        let place = Place::Journal;
        let length = raw.s_maxlen.get();
        place.within(
            "number of blocks",
            length.into(),
            2,
            len.checked_div(len_u64(block_size)).unwrap_or(0),
        )?;
        let fast = match (incompat & incompat::FAST_COMMIT, raw.s_num_fc_blks.get()) {
            (0, _) => 0,
            (_, 0) => DEFAULT_FAST_COMMIT_BLOCKS,
            (_, some) => some,
        };
        let end = length
            .checked_sub(fast)
            .filter(|end| *end >= MIN_LOG_BLOCKS)
            .unwrap_or(length);
        let fast_commits = end.checked_add(1).filter(|block| *block < length);
        let (first, start) = (raw.s_first.get(), raw.s_start.get());
        place.within(
            "first block of the log",
            first.into(),
            1,
            u64::from(end.saturating_sub(1)),
        )?;
        if start != 0 {
            place.within(
                "start of the log",
                start.into(),
                first.into(),
                u64::from(end.saturating_sub(1)),
            )?;
        }
        Ok(Self {
            first,
            end,
            fast_commits,
            start,
        })
    }
}

/// Refuses a log that would be misread.
fn check_features(word: u32) -> Result<(), Error> {
    let known = incompat::REVOKE
        | incompat::BIT64
        | incompat::ASYNC_COMMIT
        | incompat::CSUM_V2
        | incompat::CSUM_V3
        | incompat::FAST_COMMIT;
    if word & !known != 0 {
        return Err(
            Place::Journal.unsupported(format!("a feature (incompat bits {:#x})", word & !known))
        );
    }
    if word & incompat::CSUM_V2 != 0 && word & incompat::CSUM_V3 != 0 {
        return Err(Place::Journal.corrupt(Fault::Fact("it has checksums of two versions")));
    }
    Ok(())
}

/// The filesystem's blocks with the journal's copies in the places of their targets, by reference.
fn overlay(volume: &Volume, journal: &Journal, blocks: &BTreeMap<u64, Copy>) -> Content {
    let size = volume.layout.block_size();
    let mut view = Content::hole(0);
    let mut next = 0;
    for (target, copy) in blocks {
        let start = target.saturating_mul(size);
        view.push_range(next, &volume.view, next, start.saturating_sub(next));
        // An escaped block begins with the journal's magic number instead of the zeros in its copy.
        let skip = if copy.escaped { 4 } else { 0 };
        if copy.escaped {
            view.push_bytes(start, jbd2::MAGIC.to_be_bytes());
        }
        view.push_range(
            start.saturating_add(skip),
            &journal.content,
            journal.offset(copy.block).saturating_add(skip),
            size.saturating_sub(skip),
        );
        next = start.saturating_add(size);
    }
    view.push_range(
        next,
        &volume.view,
        next,
        volume.view.len().saturating_sub(next),
    );
    view
}

#[cfg(test)]
mod tests;
