//! Access control lists: from the form that `getxattr(2)` gives (version 2,
//! `linux/posix_acl_xattr.h`) to the one on disk (version 1, `fs/ext4/acl.h`), where entries
//! without an id are four bytes short.

/// `POSIX_ACL_XATTR_VERSION`, the first four bytes from `getxattr(2)`.
const XATTR_VERSION: [u8; 4] = [2, 0, 0, 0];
/// `EXT4_ACL_VERSION`, the first four bytes on disk.
const DISK_VERSION: [u8; 4] = [1, 0, 0, 0];
/// Bytes of an entry in the first form: tag, permissions, id.
const ENTRY_LEN: usize = 8;

/// `ACL_USER` and `ACL_GROUP`: the tags whose entries name somebody.
const NAMED: [u16; 2] = [0x02, 0x08];
/// `ACL_USER_OBJ`, `ACL_GROUP_OBJ`, `ACL_MASK`, `ACL_OTHER`.
const UNNAMED: [u16; 4] = [0x01, 0x04, 0x10, 0x20];

/// The list as ext4 stores it; `None` when `value` is not a list of version 2.
pub(super) fn to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let entries = value.strip_prefix(&XATTR_VERSION)?;
    let mut out = DISK_VERSION.to_vec();
    let chunks = entries.chunks_exact(ENTRY_LEN);
    if !chunks.remainder().is_empty() {
        return None;
    }
    for entry in chunks {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let len = if NAMED.contains(&tag) {
            ENTRY_LEN
        } else {
            ENTRY_LEN / 2
        };
        if len < ENTRY_LEN && !UNNAMED.contains(&tag) {
            return None;
        }
        out.extend_from_slice(&entry[..len]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_entries_keep_their_id() {
        let list = [
            &XATTR_VERSION[..],
            &[1, 0, 7, 0, 255, 255, 255, 255],
            &[2, 0, 5, 0, 232, 3, 0, 0],
        ]
        .concat();
        assert_eq!(
            to_disk(&list).unwrap(),
            [1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 5, 0, 232, 3, 0, 0]
        );
        assert_eq!(to_disk(&list[..list.len() - 1]), None);
        assert_eq!(to_disk(&[1, 0, 0, 0]), None);
        assert_eq!(to_disk(&[2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
