#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use super::super::volume::Volume;
use super::jbd2::{Commit, Header};
use super::*;
use zerocopy::FromZeros;

const BLOCK: usize = 1024;
/// Blocks of the filesystem, in front of those of the journal.
const BLOCKS: usize = 64;
const LENGTH: u32 = 16;
/// Blocks of a journal that has room for fast commits, of which there are three.
const FAST_LENGTH: u32 = MIN_LOG_BLOCKS + 4;

/// Which of the forms of tags and checksums a log has.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    v1: bool,
    compat: u32,
    incompat: u32,
}

impl Form {
    fn length(self) -> u32 {
        if self.incompat & incompat::FAST_COMMIT == 0 {
            LENGTH
        } else {
            FAST_LENGTH
        }
    }

    /// The block after the log.
    fn end(self) -> u32 {
        if self.incompat & incompat::FAST_COMMIT == 0 {
            LENGTH
        } else {
            FAST_LENGTH - 3
        }
    }
}

const FORMS: [Form; 7] = [
    Form {
        v1: true,
        compat: 0,
        incompat: 0,
    },
    Form {
        v1: false,
        compat: 0,
        incompat: 0,
    },
    Form {
        v1: false,
        compat: 0,
        incompat: incompat::BIT64,
    },
    Form {
        v1: false,
        compat: COMPAT_CHECKSUM,
        incompat: incompat::REVOKE,
    },
    Form {
        v1: false,
        compat: 0,
        incompat: incompat::CSUM_V2,
    },
    Form {
        v1: false,
        compat: 0,
        incompat: incompat::CSUM_V2 | incompat::BIT64,
    },
    Form {
        v1: false,
        compat: 0,
        incompat: incompat::CSUM_V3 | incompat::BIT64 | incompat::FAST_COMMIT,
    },
];

/// A log being written, block by block, from `start` round the ring.
struct Writer {
    form: Form,
    blocks: Vec<Vec<u8>>,
    start: u32,
    next: u32,
    sequence: u32,
    time: u64,
    crc: u32,
}

impl Writer {
    fn new(form: Form, start: u32) -> Self {
        let mut blocks = vec![vec![0; BLOCK]; form.length() as usize];
        // What was left over from long ago must not count.
        blocks[4..]
            .iter_mut()
            .for_each(|block| block[..12].copy_from_slice(&header(block_type::COMMIT, 3)));
        Self {
            form,
            blocks,
            start,
            next: start,
            sequence: 0xFFFF_FFFE,
            time: 100,
            crc: !0,
        }
    }

    fn checksums(&self) -> bool {
        self.form.incompat & (incompat::CSUM_V2 | incompat::CSUM_V3) != 0
    }

    fn emit(&mut self, block: Vec<u8>) -> usize {
        let at = self.next;
        self.next = if at + 1 == self.form.end() { 1 } else { at + 1 };
        self.blocks[at as usize] = block;
        at as usize
    }

    fn tail(&self, block: &mut [u8]) {
        if self.checksums() {
            let crc = crc32c(crc32c(!0, &[0; 16]), block);
            block[BLOCK - 4..].copy_from_slice(&crc.to_be_bytes());
        }
    }

    /// A descriptor and its copies; returns the descriptor's block.
    fn write(&mut self, copies: &[(u64, [u8; BLOCK])]) -> usize {
        let mut descriptor = header(block_type::DESCRIPTOR, self.sequence).to_vec();
        let mut stored = Vec::new();
        for (at, (target, bytes)) in copies.iter().enumerate() {
            let mut copy = bytes.to_vec();
            let escaped = copy[..4] == jbd2::MAGIC.to_be_bytes();
            copy[..4].copy_from_slice(if escaped { &[0; 4] } else { &bytes[..4] });
            let flags = u16::from(escaped)
                | if at > 0 { 2 } else { 0 }
                | if at + 1 == copies.len() { 8 } else { 0 };
            let crc = crc32c(
                crc32c(crc32c(!0, &[0; 16]), &self.sequence.to_be_bytes()),
                &copy,
            );
            self.tag(&mut descriptor, *target, flags, crc);
            stored.push(copy);
        }
        descriptor.resize(BLOCK, 0);
        self.tail(&mut descriptor);
        for block in std::iter::once(&descriptor).chain(&stored) {
            self.crc = jbd2::crc32_be(self.crc, block);
        }
        let at = self.emit(descriptor);
        stored.into_iter().for_each(|copy| _ = self.emit(copy));
        at
    }

    fn tag(&self, out: &mut Vec<u8>, target: u64, flags: u16, crc: u32) {
        let bytes = target.to_be_bytes();
        out.extend_from_slice(&bytes[4..]);
        if self.form.incompat & incompat::CSUM_V3 != 0 {
            out.extend_from_slice(&u32::from(flags).to_be_bytes());
            out.extend_from_slice(&bytes[..4]);
            out.extend_from_slice(&crc.to_be_bytes());
        } else {
            out.extend_from_slice(&crc.to_be_bytes()[2..]);
            out.extend_from_slice(&flags.to_be_bytes());
            if self.form.incompat & incompat::BIT64 != 0 {
                out.extend_from_slice(&bytes[..4]);
            }
            if self.form.incompat & incompat::CSUM_V2 != 0 {
                out.extend_from_slice(&[0; 2]);
            }
        }
        if flags & 2 == 0 {
            out.extend_from_slice(&[7; 16]);
        }
    }

    fn revoke(&mut self, targets: &[u64]) {
        let mut block = header(block_type::REVOKE, self.sequence).to_vec();
        block.extend_from_slice(&[0; 4]);
        for target in targets {
            let skip = if self.form.incompat & incompat::BIT64 == 0 {
                4
            } else {
                0
            };
            block.extend_from_slice(&target.to_be_bytes()[skip..]);
        }
        let used = u32::try_from(block.len()).unwrap();
        block[12..16].copy_from_slice(&used.to_be_bytes());
        block.resize(BLOCK, 0);
        self.tail(&mut block);
        self.emit(block);
    }

    /// Ends a transaction; returns the commit's block.
    fn commit(&mut self) -> usize {
        let mut commit = Commit::new_zeroed();
        commit.header = Header {
            h_magic: jbd2::MAGIC.into(),
            h_blocktype: block_type::COMMIT.into(),
            h_sequence: self.sequence.into(),
        };
        commit.h_commit_sec = self.time.into();
        if self.form.compat & COMPAT_CHECKSUM != 0 {
            (commit.h_chksum_type, commit.h_chksum_size) = (1, 4);
            commit.h_chksum[0] = self.crc.into();
        }
        let mut block = commit.as_bytes().to_vec();
        block.resize(BLOCK, 0);
        if self.checksums() {
            let crc = crc32c(crc32c(!0, &[0; 16]), &block);
            block[16..20].copy_from_slice(&crc.to_be_bytes());
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.time += 1;
        self.crc = !0;
        self.emit(block)
    }

    /// The filesystem with the journal after it, and the journal opened.
    fn finish(mut self) -> Result<(Volume, Journal), Error> {
        let mut raw = Superblock::new_zeroed();
        let kind = if self.form.v1 {
            block_type::SUPERBLOCK_V1
        } else {
            block_type::SUPERBLOCK_V2
        };
        raw.s_header = Header {
            h_magic: jbd2::MAGIC.into(),
            h_blocktype: kind.into(),
            h_sequence: 0.into(),
        };
        raw.s_blocksize = 1024.into();
        raw.s_maxlen = self.form.length().into();
        raw.s_first = 1.into();
        raw.s_sequence = 0xFFFF_FFFE.into();
        raw.s_start = self.start.into();
        raw.s_feature_compat = self.form.compat.into();
        raw.s_feature_incompat = self.form.incompat.into();
        raw.s_checksum_type = CHECKSUM_CRC32C;
        raw.s_num_fc_blks = 3.into();
        if self.checksums() {
            raw.s_checksum = crc32c(!0, raw.as_bytes()).into();
        }
        self.blocks[0] = raw.as_bytes().to_vec();
        let bytes: Vec<u8> = (0..BLOCKS)
            .flat_map(|at| [u8::try_from(at).unwrap(); BLOCK])
            .collect();
        let volume = Volume::small(bytes);
        let content = Content::bytes(self.blocks.concat());
        let journal = Journal::parse(raw.as_bytes(), content, BLOCK)?;
        Ok((volume, journal))
    }

    /// The first and last byte of each block after recovery that differs from before.
    fn recovered(self) -> Result<Vec<(usize, [u8; 2])>, Error> {
        let (volume, journal) = self.finish()?;
        let log = Log::read(&journal)?;
        journal.refuse_fast_commits(log.next_sequence)?;
        let view = overlay(&volume, &journal, &journal.newest(&volume, &log)?);
        assert_eq!(view.len(), volume.view.len());
        let bytes = view.read_all(view.len()).unwrap();
        let ends = bytes
            .chunks(BLOCK)
            .map(|block| [block[0], block[BLOCK - 1]]);
        Ok(ends
            .enumerate()
            .filter(|(at, ends)| *ends != [u8::try_from(*at).unwrap(); 2])
            .collect())
    }
}

fn header(kind: u32, sequence: u32) -> [u8; 12] {
    let header = Header {
        h_magic: jbd2::MAGIC.into(),
        h_blocktype: kind.into(),
        h_sequence: sequence.into(),
    };
    header.as_bytes().try_into().unwrap()
}

fn escaped(fill: u8) -> [u8; BLOCK] {
    let mut block = [fill; BLOCK];
    block[..4].copy_from_slice(&jbd2::MAGIC.to_be_bytes());
    block
}

/// Two transactions, the second with what must undo parts of the first.
fn two(form: Form, start: u32) -> (Writer, [usize; 4]) {
    let mut writer = Writer::new(form, start);
    let first = writer.write(&[(20, [201; BLOCK]), (21, [202; BLOCK]), (22, [203; BLOCK])]);
    let first_commit = writer.commit();
    let second = writer.write(&[(21, [204; BLOCK]), (63, escaped(205))]);
    writer.revoke(&[22, 40]);
    let second_commit = writer.commit();
    (writer, [first, first_commit, second, second_commit])
}

const AFTER_TWO: [(usize, [u8; 2]); 3] = [(20, [201; 2]), (21, [204; 2]), (63, [0xC0, 205])];
const AFTER_ONE: [(usize, [u8; 2]); 3] = [(20, [201; 2]), (21, [202; 2]), (22, [203; 2])];

#[test]
fn complete_transactions_are_recovered_in_every_form() {
    for form in FORMS {
        for start in [1, form.end() - 7] {
            assert_eq!(
                two(form, start).0.recovered().unwrap(),
                AFTER_TWO,
                "{form:?} from {start}"
            );
        }
    }
}

#[test]
fn a_transaction_without_its_commit_does_not_count() {
    for form in FORMS {
        let (mut writer, [.., commit]) = two(form, form.end() - 7);
        writer.blocks[commit][11] ^= 1;
        assert_eq!(writer.recovered().unwrap(), AFTER_ONE, "{form:?}");
    }
}

/// The forms whose commit blocks have a checksum.
fn with_checksums() -> impl Iterator<Item = Form> {
    FORMS.into_iter().filter(|form| {
        form.compat != 0 || form.incompat & (incompat::CSUM_V2 | incompat::CSUM_V3) != 0
    })
}

#[test]
fn a_wrong_checksum_of_a_commit_is_damage() {
    for form in with_checksums() {
        for nth in [1, 3] {
            let (mut writer, blocks) = two(form, 1);
            writer.blocks[blocks[nth]][18] ^= 1;
            let text = writer.recovered().unwrap_err().to_string();
            let expected = format!(
                "journal: block {}: the checksum is wrong in a committed transaction",
                blocks[nth]
            );
            assert_eq!(text, expected, "{form:?}");
        }
        // One that was committed before the transaction in front of it is left over.
        let (mut writer, _) = two(form, 1);
        writer.time = 50;
        writer.write(&[(21, [1; BLOCK])]);
        let stale = writer.commit();
        writer.blocks[stale][18] ^= 1;
        assert_eq!(writer.recovered().unwrap(), AFTER_TWO, "{form:?}");
    }
}

#[test]
fn an_asynchronous_commit_with_a_wrong_checksum_ends_the_log_unless_others_follow() {
    for form in with_checksums() {
        let form = Form {
            incompat: form.incompat | incompat::ASYNC_COMMIT,
            ..form
        };
        let (mut writer, [.., commit]) = two(form, 1);
        writer.blocks[commit][18] ^= 1;
        assert_eq!(writer.recovered().unwrap(), AFTER_ONE, "{form:?}");
        let (mut writer, [_, commit, ..]) = two(form, 1);
        writer.blocks[commit][18] ^= 1;
        let text = writer.recovered().unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("journal: block {commit}:")),
            "{text}"
        );
        // What follows is left over from long ago.
        let (mut writer, [.., commit]) = two(form, 1);
        writer.time = 50;
        writer.write(&[(21, [1; BLOCK])]);
        writer.commit();
        writer.blocks[commit][18] ^= 1;
        assert_eq!(writer.recovered().unwrap(), AFTER_ONE, "{form:?}");
    }
}

#[test]
fn the_rest_of_the_block_of_a_commit_does_not_matter() {
    for form in with_checksums() {
        let (mut writer, [.., commit]) = two(form, 1);
        writer.blocks[commit][600] ^= 1;
        assert_eq!(writer.recovered().unwrap(), AFTER_TWO, "{form:?}");
    }
}

#[test]
fn damage_inside_a_committed_transaction_is_an_error_but_leftovers_are_not() {
    for form in FORMS
        .into_iter()
        .filter(|form| form.incompat & (incompat::CSUM_V2 | incompat::CSUM_V3) != 0)
    {
        for (offset, block) in [(900, 0), (500, 1)] {
            let (mut writer, [_, _, second, _]) = two(form, 1);
            writer.blocks[second + block][offset] ^= 1;
            let text = writer.recovered().unwrap_err().to_string();
            assert!(text.starts_with("journal: block "), "{form:?} {text}");
        }
        let mut writer = Writer::new(form, 1);
        writer.write(&[(20, [201; BLOCK]), (21, [202; BLOCK]), (22, [203; BLOCK])]);
        writer.commit();
        let stale = writer.write(&[(21, [204; BLOCK])]);
        writer.blocks[stale][900] ^= 1;
        writer.time = 50;
        writer.commit();
        assert_eq!(writer.recovered().unwrap(), AFTER_ONE, "{form:?}");
    }
    let (mut writer, [_, _, second, commit]) = two(FORMS[3], 1);
    writer.blocks[second + 1][500] ^= 1;
    let text = writer.recovered().unwrap_err().to_string();
    assert!(
        text.starts_with(&format!("journal: block {commit}:")),
        "{text}"
    );
}

#[test]
fn targets_outside_are_refused_and_a_full_ring_ends() {
    let mut writer = Writer::new(FORMS[0], 1);
    writer.write(&[(64, [1; BLOCK])]);
    writer.commit();
    assert_eq!(
        writer.recovered().unwrap_err().to_string(),
        "journal: block 2: block to recover is 64, outside 0 to 63"
    );
    let mut writer = Writer::new(FORMS[0], 1);
    for _ in 1..LENGTH {
        writer.emit(
            header(block_type::DESCRIPTOR, 0xFFFF_FFFE)
                .iter()
                .copied()
                .chain([0; BLOCK - 12])
                .collect(),
        );
    }
    assert_eq!(writer.recovered().unwrap(), []);
}

#[test]
fn fast_commits_of_the_last_transaction_are_refused() {
    let form = FORMS[6];
    for (sequence, refused) in [(0_u32, true), (0xFFFF_FFFF, false), (1, false)] {
        let (mut writer, _) = two(form, 1);
        let head = [&FAST_COMMIT_HEAD[..], &[0; 4], &sequence.to_le_bytes()].concat();
        writer.blocks[FAST_LENGTH as usize - 2][..12].copy_from_slice(&head);
        assert_eq!(
            matches!(writer.recovered(), Err(Error::Unsupported { .. })),
            refused,
            "{sequence:x}"
        );
    }
}

#[test]
fn a_superblock_that_cannot_be_is_refused() {
    for field in 0..7 {
        let (writer, _) = two(FORMS[1], 1);
        let (_, journal) = writer.finish().unwrap();
        let mut raw = Superblock::read_from_bytes(&journal.block(0).unwrap()).unwrap();
        match field {
            0 => raw.s_blocksize = 4096.into(),
            1 => raw.s_maxlen = 17.into(),
            2 => raw.s_start = 16.into(),
            3 => raw.s_first = 16.into(),
            4 => raw.s_feature_incompat = 0x40.into(),
            5 => raw.s_header.h_blocktype = 5.into(),
            _ => raw.s_feature_incompat = (incompat::CSUM_V2 | incompat::CSUM_V3).into(),
        }
        assert!(
            Journal::parse(raw.as_bytes(), journal.content.clone(), BLOCK).is_err(),
            "{field}"
        );
    }
}
