//! The entries of a directory block.

use crate::fs::ext4::format::DirEntry;
use zerocopy::FromBytes;

/// Bytes before a name.
const HEAD: usize = size_of::<DirEntry>();
/// Bytes of the entry that holds a block's checksum, and of the shortest entry in use.
pub(super) const TAIL: usize = 12;

/// One entry of a directory block.
pub(super) struct DirectoryEntry<'b> {
    /// Its byte offset in the block.
    pub(super) at: usize,
    /// 0 for an unused entry.
    pub(super) ino: u32,
    /// `file_type`, as it is stored.
    pub(super) kind: u8,
    pub(super) name: &'b [u8],
}

/// Splits a block into its entries, unused ones included.
pub(super) fn entries(block: &[u8]) -> Result<Vec<DirectoryEntry<'_>>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < block.len() {
        let rest = block.get(at..).unwrap_or_default();
        let (head, tail) = DirEntry::read_from_prefix(rest)
            .map_err(|_| format!("the entry at byte {at} is cut off"))?;
        let stored = usize::from(head.rec_len.get());
        // 16 bits cannot hold 65536.
        let len = if block.len() == 1 << 16 && matches!(stored, 0 | 0xFFFF) {
            1 << 16
        } else {
            stored
        };
        let name_len = usize::from(head.name_len);
        let least = if head.inode.get() == 0 {
            HEAD
        } else {
            HEAD.saturating_add(name_len).next_multiple_of(4).max(TAIL)
        };
        if len < least || len > rest.len() || !len.is_multiple_of(4) {
            return Err(format!(
                "the entry at byte {at} has {len} bytes, not {least} to {} in steps of 4",
                rest.len()
            ));
        }
        let name = tail
            .get(..name_len.min(len.saturating_sub(HEAD)))
            .unwrap_or_default();
        out.push(DirectoryEntry {
            at,
            ino: head.inode.get(),
            kind: head.file_type,
            name,
        });
        // At most the length of the block: `len` was compared with what is left.
        at = at.saturating_add(len);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ino: u32, len: u16, name: &[u8]) -> Vec<u8> {
        let mut out = ino.to_le_bytes().to_vec();
        out.extend(len.to_le_bytes());
        out.extend([u8::try_from(name.len()).unwrap(), 1]);
        out.extend(name);
        out.resize(len.into(), 0);
        out
    }

    #[test]
    fn a_block_is_split_into_its_entries() {
        let mut block = entry(2, 12, b".");
        block.extend(entry(0, 8, b""));
        block.extend(entry(12, 44, b"name"));
        let list = entries(&block).unwrap();
        let found: Vec<_> = list.iter().map(|e| (e.at, e.ino, e.name)).collect();
        assert_eq!(found, [(0, 2, &b"."[..]), (12, 0, b""), (20, 12, b"name")]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for (len, name) in [(8, &b"a"[..]), (12, b"12345"), (14, b"a"), (0, b"a")] {
            let mut block = entry(12, 64, name);
            block[4..6].copy_from_slice(&u16::to_le_bytes(len));
            assert!(entries(&block).is_err(), "{len} {name:?}");
        }
        // The entry is longer than its block, or its head is cut off.
        assert!(entries(&entry(12, 64, b"a")[..60]).is_err());
        assert!(entries(&entry(12, 64, b"a")[..6]).is_err());
    }
}
