//! The journal: its inode, the numbers of its superblock (big-endian, kernel's page `journal`), and
//! that nothing has to be replayed.

use super::checker::{Checker, blocks};
use super::superblock::Fs;
use crate::bytes::be32;
use crate::fs::ext4::format::{Inode, compat, crc32c};
use crate::verify::finding::{Location, Severity};
use zerocopy::IntoBytes;

/// `h_magic` of every block of a journal; `h_blocktype` of its superblock in two versions.
const MAGIC: u32 = 0xC03B_3998;
const VERSION_1: u32 = 3;
const VERSION_2: u32 = 4;
/// Known bits of `s_feature_compat` and `s_feature_incompat`; `s_feature_ro_compat` has none.
const COMPAT_CHECKSUM: u32 = 0x1;
const INCOMPAT: u32 = 0x3F;
/// CRC-32C over its blocks, in two versions; fast commits.
const CSUM_V2: u32 = 0x8;
const CSUM_V3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
/// Where its own checksum is, and `s_checksum_type` of CRC-32C.
const CHECKSUM_AT: usize = 0xFC;
const CHECKSUM_TYPE_AT: usize = 0x50;
const CRC32C: u8 = 4;
/// Blocks that a log has at least (`JBD2_MIN_JOURNAL_BLOCKS`).
const LEAST: u32 = 1024;
/// Blocks for fast commits where `s_num_fc_blks` is 0.
const FAST_COMMIT_BLOCKS: u32 = 256;

/// The words of the superblock of a journal.
struct Words<'b>(&'b [u8]);

impl Words<'_> {
    /// The word with this number, counted from 0.
    fn get(&self, number: usize) -> u32 {
        be32(self.0, number.saturating_mul(4)).unwrap_or(0)
    }

    fn has_features(&self) -> bool {
        self.get(1) == VERSION_2
    }

    fn incompat(&self) -> u32 {
        if self.has_features() { self.get(10) } else { 0 }
    }

    fn compat(&self) -> u32 {
        if self.has_features() { self.get(9) } else { 0 }
    }

    fn ro_compat(&self) -> u32 {
        if self.has_features() { self.get(11) } else { 0 }
    }
}

impl Checker<'_> {
    /// The first block of the journal: its numbers, and that nothing has to be replayed.
    pub(super) fn check_journal(&mut self, ino: u32) {
        let held = blocks(&self.journal);
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
        let facts = journal_facts(&Words(&bytes), held, &self.fs);
        for (holds, text) in facts {
            if !self
                .log
                .check(holds, "ext4-journal", || (place.clone(), text))
            {
                return;
            }
        }
        self.check_journal_checksum(&bytes, place);
    }

    fn check_journal_checksum(&mut self, bytes: &[u8], place: Location) {
        if Words(bytes).incompat() & (CSUM_V2 | CSUM_V3) == 0 {
            return;
        }
        let kind = bytes.get(CHECKSUM_TYPE_AT).copied().unwrap_or(0);
        let mut plain = bytes.get(..1024).unwrap_or_default().to_vec();
        plain
            .iter_mut()
            .skip(CHECKSUM_AT)
            .take(4)
            .for_each(|byte| *byte = 0);
        let stored = be32(bytes, CHECKSUM_AT).unwrap_or(0);
        let computed = crc32c(!0, &plain);
        let good = stored == computed && kind == CRC32C;
        self.log.check(good, "ext4-journal", || {
            (
                place,
                format!(
                    "the journal has the checksum {stored:#010x} of type {kind}, computed {computed:#010x} of type {CRC32C}"
                ),
            )
        });
    }

    /// The superblock keeps a copy of the journal's map, for repairs.
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
        if copy == raw.i_block && sizes {
            return self.log.passed(1);
        }
        let place = self.at(self.journal_ino());
        self.log.add(
            Severity::Warning,
            "ext4-journal",
            place,
            "the superblock's copy of the journal's map and size differs from the inode",
        );
    }
}

/// What must hold of a journal with these words in `held` blocks of the filesystem.
fn journal_facts(word: &Words<'_>, held: u64, fs: &Fs<'_>) -> [(bool, String); 9] {
    let block_size = fs.block_size;
    let (magic, kind, size, len, first, start, errno) = (
        word.get(0),
        word.get(1),
        word.get(3),
        word.get(4),
        word.get(5),
        word.get(7),
        word.get(8),
    );
    let has_fast = word.incompat() & FAST_COMMIT != 0 || fs.compat(compat::FAST_COMMIT);
    let fast = match (has_fast, word.get(21)) {
        (false, _) => 0,
        (_, 0) => FAST_COMMIT_BLOCKS,
        (_, some) => some,
    };
    let (incompat, compat, ro) = (word.incompat(), word.compat(), word.ro_compat());
    let unknown = incompat & !INCOMPAT;
    let kinds = [
        incompat & CSUM_V2 != 0,
        incompat & CSUM_V3 != 0,
        compat & COMPAT_CHECKSUM != 0,
    ];
    let kinds = kinds.iter().filter(|has| **has).count();
    let log = len.saturating_sub(first).saturating_sub(fast);
    [
        (
            magic == MAGIC && [VERSION_1, VERSION_2].contains(&kind),
            format!("the journal has the magic number {magic:#x} and type {kind}"),
        ),
        (
            u64::from(size) == block_size,
            format!("the journal has blocks of {size} bytes, the filesystem {block_size}"),
        ),
        (
            u64::from(len) <= held,
            format!("the journal counts {len} blocks, its inode has {held}"),
        ),
        (
            unknown == 0 && ro == 0,
            format!(
                "the journal has the features {incompat:#x} and {ro:#x}, of which {unknown:#x} and {ro:#x} are unknown"
            ),
        ),
        (
            kinds <= 1,
            format!("the journal has {kinds} kinds of checksums"),
        ),
        (
            first > 0 && first < len,
            format!("the log begins with block {first} of the {len} blocks of the journal"),
        ),
        (
            log.saturating_add(1) >= LEAST,
            format!("the log has {log} blocks, {LEAST} are needed"),
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
    ]
}
