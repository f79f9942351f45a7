//! The log, read from its start to the end of its last complete transaction.

use super::Journal;
use super::jbd2::{Commit, Header, MAGIC, Tag, Tag3, block_type, crc32_be, incompat, tag_flags};
use crate::fs::ext4::format::crc32c;
use crate::fs::ext4::read::error::{Error, Fault, Place};
use crate::units::len_u64;
use std::collections::BTreeMap;
use zerocopy::FromBytes;
use zerocopy::big_endian::{U32, U64};

/// Bytes of a header, in front of the tags of a descriptor.
const HEADER: usize = size_of::<Header>();
/// Bytes of a checksum; descriptor and revoke blocks end in one.
const CHECKSUM: usize = 4;
/// Bytes of a UUID after a tag.
const UUID: usize = 16;
/// Where `h_chksum[0]` is in a commit block.
const COMMIT_CHECKSUM: usize = 16;
/// `h_chksum_type` and `h_chksum_size` of CRC-32.
const CRC32: (u8, u8) = (1, 4);

/// A copy of a block of the filesystem in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// The block of the filesystem.
    pub(super) target: u64,
    /// The block of the journal.
    pub(super) block: u32,
    /// The first four bytes are the magic number, though the copy has zeros.
    pub(super) escaped: bool,
    /// As the tag says it.
    pub(super) checksum: u32,
    /// The transaction, counted from the oldest in the log.
    pub(super) transaction: u32,
}

/// All complete transactions of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Copies in the order of the log.
    pub(super) copies: Vec<Copy>,
    /// Blocks whose copies up to and with this transaction do not count.
    pub(super) revoked: BTreeMap<u64, u32>,
    /// The sequence number that the next transaction would have.
    pub(super) next_sequence: u32,
}

/// The transaction being read.
struct Open {
    copies: Vec<Copy>,
    revoked: Vec<u64>,
    /// A checksum was wrong: what was read is either left over from long ago or damaged; the time
    /// of the commit tells.
    doubtful: Option<u32>,
    /// CRC-32 of descriptors and copies, for the oldest kind of checksum.
    crc: u32,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            copies: Vec::new(),
            revoked: Vec::new(),
            doubtful: None,
            crc: !0,
        }
    }
}

/// A transaction whose commit block, or whose content by the commit block, has a wrong checksum.
#[derive(Clone, Copy)]
struct FailedCommit {
    /// The block of the journal with the commit.
    block: u32,
    /// The number of the transaction.
    sequence: u32,
    /// When it was committed (seconds).
    time: u64,
}

struct Reader<'j> {
    journal: &'j Journal,
    log: Log,
    open: Open,
    /// Complete transactions so far.
    transaction: u32,
    /// When the last one was committed (seconds).
    last_commit: u64,
    /// With asynchronous commits: a transaction whose checksum is wrong. It ends the log if no
    /// later one was committed.
    failed: Option<FailedCommit>,
    /// The next block of the log, and how many may still come before the ring closes.
    next: u32,
    left: u32,
}

impl Log {
    /// Reads the log of `journal`, which is not empty.
    ///
    /// # Errors
    /// [`Error`] at a block of the log.
    pub(super) fn read(journal: &Journal) -> Result<Self, Error> {
        let mut reader = Reader {
            journal,
            log: Self::default(),
            open: Open::default(),
            transaction: 0,
            last_commit: 0,
            failed: None,
            next: journal.start,
            left: journal.end.saturating_sub(journal.first),
        };
        while reader.step()? {}
        reader.log.next_sequence = reader
            .failed
            .map_or_else(|| reader.sequence(), |failed| failed.sequence);
        Ok(reader.log)
    }
}

impl Reader<'_> {
    fn sequence(&self) -> u32 {
        self.journal.sequence.wrapping_add(self.transaction)
    }

    /// Takes the number of the next block of the ring; `None` when it has gone round.
    fn take(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        self.next = self.journal.after(number);
        Some(number)
    }

    /// Reads one block of the log and what it describes; false at the end of the log.
    fn step(&mut self) -> Result<bool, Error> {
        let Some(number) = self.take() else {
            return Ok(false);
        };
        let block = self.journal.block(number)?;
        let header = Header::ref_from_prefix(&block)
            .map_err(|_| Place::Log(number).corrupt(Fault::Fact("it is cut off")))?
            .0;
        if header.h_magic.get() != MAGIC || header.h_sequence.get() != self.sequence() {
            return Ok(false);
        }
        match header.h_blocktype.get() {
            block_type::DESCRIPTOR => self.descriptor(number, &block),
            block_type::REVOKE => self.revoke(number, &block),
            block_type::COMMIT => self.commit(number, &block),
            _ => Ok(false),
        }
    }

    /// Notes a wrong checksum in the tail of a descriptor or revoke block.
    fn check_tail(&mut self, number: u32, block: &[u8]) {
        if !self.journal.has_checksums() {
            return;
        }
        let (front, tail) = block.split_at(block.len().saturating_sub(CHECKSUM));
        let stored = U32::read_from_bytes(tail).map_or(0, U32::get);
        if stored != crc32c(crc32c(self.journal.seed, front), &[0; CHECKSUM]) {
            self.open.doubtful.get_or_insert(number);
        }
    }

    fn descriptor(&mut self, number: u32, block: &[u8]) -> Result<bool, Error> {
        self.check_tail(number, block);
        let room = if self.journal.has_checksums() {
            block.len().saturating_sub(CHECKSUM)
        } else {
            block.len()
        };
        let mut tags = block.get(HEADER..room).unwrap_or_default();
        let old = self.journal.has_old_checksums();
        if old {
            self.open.crc = crc32_be(self.open.crc, block);
        }
        while let Some((mut copy, flags, rest)) = tag(self.journal, tags) {
            let Some(number) = self.take() else {
                return Ok(false);
            };
            copy.block = number;
            copy.transaction = self.transaction;
            self.open.copies.push(copy);
            if old {
                self.open.crc = crc32_be(self.open.crc, &self.journal.block(number)?);
            }
            if flags & tag_flags::LAST != 0 {
                break;
            }
            tags = rest;
        }
        Ok(true)
    }

    /// `struct jbd2_journal_revoke_header_s`: after the header the bytes in use, then block
    /// numbers.
    fn revoke(&mut self, number: u32, block: &[u8]) -> Result<bool, Error> {
        self.check_tail(number, block);
        let place = Place::Log(number);
        let room = if self.journal.has_checksums() {
            block.len().saturating_sub(CHECKSUM)
        } else {
            block.len()
        };
        let used = U32::read_from_prefix(block.get(HEADER..).unwrap_or_default())
            .map_or(0, |(used, _)| used.get());
        if self.open.doubtful.is_some() {
            return Ok(true);
        }
        place.within(
            "bytes in use",
            used.into(),
            len_u64(HEADER + 4),
            len_u64(room),
        )?;
        let records = block
            .get(HEADER + 4..usize::try_from(used).unwrap_or(room))
            .unwrap_or_default();
        if self.journal.has(incompat::BIT64) {
            self.open.revoked.extend(
                records
                    .chunks_exact(8)
                    .filter_map(|r| U64::read_from_bytes(r).ok())
                    .map(U64::get),
            );
        } else {
            self.open.revoked.extend(
                records
                    .chunks_exact(4)
                    .filter_map(|r| U32::read_from_bytes(r).ok())
                    .map(|r| u64::from(r.get())),
            );
        }
        Ok(true)
    }

    /// Ends a transaction. What has a wrong checksum and was committed before the transaction in
    /// front of it is left over from long ago: the log ends there. Otherwise it is damaged, as for
    /// the kernel, which does not mount the filesystem then.
    fn commit(&mut self, number: u32, block: &[u8]) -> Result<bool, Error> {
        let commit = Commit::read_from_prefix(block)
            .map_err(|_| Place::Log(number).corrupt(Fault::Fact("it is cut off")))?
            .0;
        let time = commit.h_commit_sec.get();
        let damaged = self
            .open
            .doubtful
            .or_else(|| (!self.is_committed(&commit, block)).then_some(number));
        if let Some(failed) = self.failed {
            // Commits are written one after the other, even asynchronous ones. After a wrong
            // checksum of the oldest kind, the kernel compares no further ones.
            return if time >= failed.time && (damaged.is_none() || self.journal.has_old_checksums())
            {
                Err(wrong_checksum(failed.block))
            } else {
                Ok(false)
            };
        }
        let Some(damaged) = damaged else {
            self.complete(time);
            return Ok(true);
        };
        if time < self.last_commit {
            return Ok(false);
        }
        let was_cut = self.open.doubtful.is_none() && self.journal.has(incompat::ASYNC_COMMIT);
        if !was_cut {
            return Err(wrong_checksum(damaged));
        }
        // An asynchronous commit can reach the disk before its transaction does.
        self.failed = Some(FailedCommit {
            block: number,
            sequence: self.sequence(),
            time,
        });
        self.open = Open::default();
        self.transaction = self.transaction.wrapping_add(1);
        Ok(true)
    }

    /// Takes the open transaction, which was committed at `time`, into the log.
    fn complete(&mut self, time: u64) {
        let open = std::mem::take(&mut self.open);
        self.log.copies.extend(open.copies);
        let transaction = self.transaction;
        self.log
            .revoked
            .extend(open.revoked.into_iter().map(|block| (block, transaction)));
        self.transaction = self.transaction.wrapping_add(1);
        self.last_commit = time;
    }

    /// Whether the checksum of a commit block is right, where the journal has one. Disks write the
    /// first sector of a block alone at times: the rest counts as zeros then.
    fn is_committed(&self, commit: &Commit, block: &[u8]) -> bool {
        let [stored, ..] = commit.h_chksum;
        if self.journal.has_checksums() {
            let (front, back) = block.split_at(COMMIT_CHECKSUM.min(block.len()));
            let front = crc32c(crc32c(self.journal.seed, front), &[0; CHECKSUM]);
            let back = back.get(CHECKSUM..).unwrap_or_default();
            let mut alone = back.to_vec();
            let fields = size_of::<Commit>().saturating_sub(COMMIT_CHECKSUM + CHECKSUM);
            alone.iter_mut().skip(fields).for_each(|byte| *byte = 0);
            return [back, &alone]
                .iter()
                .any(|back| stored.get() == crc32c(front, back));
        }
        if self.journal.has_old_checksums() {
            let kind = (commit.h_chksum_type, commit.h_chksum_size);
            return kind == CRC32 && stored.get() == self.open.crc
                || kind == (0, 0) && stored.get() == 0;
        }
        true
    }
}

/// The error of a committed transaction with a wrong checksum in this block of the journal.
fn wrong_checksum(block: u32) -> Error {
    Place::Log(block).corrupt(Fault::Fact(
        "the checksum is wrong in a committed transaction",
    ))
}

/// The first tag of `tags`: what it names, its flags, and the bytes after it. Its size depends on
/// the journal's features (`journal_tag_bytes` of the kernel; version 2 checksums made it two bytes
/// longer than meant, and so it has stayed).
fn tag<'b>(journal: &Journal, tags: &'b [u8]) -> Option<(Copy, u32, &'b [u8])> {
    let wide = journal.has(incompat::BIT64);
    let (low, high, flags, checksum, size) = if journal.has(incompat::CSUM_V3) {
        let tag = Tag3::read_from_prefix(tags).ok()?.0;
        (
            tag.t_blocknr,
            tag.t_blocknr_high.get(),
            tag.t_flags.get(),
            tag.t_checksum.get(),
            size_of::<Tag3>(),
        )
    } else {
        let (tag, rest) = Tag::read_from_prefix(tags).ok()?;
        let high = if wide {
            U32::read_from_prefix(rest).ok()?.0.get()
        } else {
            0
        };
        let extra = if journal.has(incompat::CSUM_V2) { 2 } else { 0 };
        let size = size_of::<Tag>()
            .saturating_add(extra)
            .saturating_add(if wide { 4 } else { 0 });
        (
            tag.t_blocknr,
            high,
            tag.t_flags.get().into(),
            tag.t_checksum.get().into(),
            size,
        )
    };
    let high = if wide { u64::from(high) << 32 } else { 0 };
    let size = if flags & tag_flags::SAME_UUID == 0 {
        size.saturating_add(UUID)
    } else {
        size
    };
    let escaped = flags & tag_flags::ESCAPE != 0;
    let copy = Copy {
        target: high | u64::from(low.get()),
        block: 0,
        escaped,
        checksum,
        transaction: 0,
    };
    // The UUID of the last tag may be cut off by the end of the block; the tag itself counts.
    Some((copy, flags, tags.get(size..).unwrap_or_default()))
}
